"""Two generalised linear models by Newton's method, small and in closed form but for a handful of steps."""

import numpy as np
from jaxtyping import Float
from scipy.special import expit

STEPS = 30
"""Newton steps at most; a handful are usual."""

CHUNK = 8_000
"""Rows whose weighted copies are held at once: few enough for the processor's cache."""


def fit_poisson(
    features: Float[np.ndarray, "row feature"],
    target: Float[np.ndarray, "row"],
    exposure: Float[np.ndarray, "row"],
    penalty: float = 10.0,
    start: Float[np.ndarray, "feature"] | None = None,
) -> Float[np.ndarray, "feature"]:
    """Weights of log E[target] = log exposure + features . weights.

    Args:
        features: The first is a column of ones, which is not shrunk. An array, or what makes the rows of a slice.
        target: Amounts, not negative; they need not be whole.
        exposure: Positive.
        penalty: On the square of every other weight: as if so many more events, of a feature of mean square 1, said
            that it is 0.
        start: Weights to start from, say those of more rows; fewer steps then do.

    Source: McCullagh and Nelder (1989), iteratively reweighted least squares.
    """
    total = float(exposure.sum())
    weights = np.zeros(features.shape[1])
    weights[0] = np.log(max(float(target.sum()), 1e-9) / total)
    if start is not None:
        weights = start
    return _newton(features, weights, penalty, lambda x, rows: _poisson_step(x, target[rows], exposure[rows]))


def fit_logistic(
    features: Float[np.ndarray, "row feature"], target: Float[np.ndarray, "row"], penalty: float = 10.0
) -> Float[np.ndarray, "feature"]:
    """Weights of a logistic regression; the first feature is a column of ones, which is not shrunk."""
    weights = np.zeros(features.shape[1])
    share = float(np.clip(target.mean(), 1e-4, 1 - 1e-4))
    weights[0] = np.log(share / (1 - share))
    return _newton(features, weights, penalty, lambda x, rows: _logistic_step(x, target[rows]))


def log_likelihood(
    features: Float[np.ndarray, "row feature"], weights: Float[np.ndarray, "feature"], target: Float[np.ndarray, "row"]
) -> float:
    """Log-likelihood of 0/1 targets under a logistic regression with these weights."""
    score = features @ weights
    return float((target * score - np.logaddexp(0.0, score)).sum())


def _newton(features, weights, penalty, step_of):  # type: ignore[no-untyped-def] - internal, shapes as above
    """Newton's method, with rows in chunks; a step moves no weight by more than 2."""
    shrink = np.full(len(weights), penalty)
    shrink[0] = 1e-6
    for _ in range(STEPS):
        slope, curvature = -shrink * weights, np.diag(shrink)
        for start in range(0, len(features), CHUNK):
            rows = slice(start, start + CHUNK)
            x = features[rows].astype(np.float64)
            error, weight = step_of(x @ weights, rows)
            slope += x.T @ error
            curvature += (x * weight[:, None]).T @ x
        step = np.linalg.solve(curvature, slope)
        # Far from the optimum a full step of the exponential can overshoot.
        step *= min(1.0, 2.0 / max(float(np.abs(step).max()), 1e-12))
        weights = weights + step
        if np.abs(step).max() < 1e-6:
            break
    return weights


def _poisson_step(score: np.ndarray, target: np.ndarray, exposure: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and curvature of each row's log-likelihood by its score: Poisson events with an exposure."""
    mean = exposure * np.exp(np.clip(score, -20, 20))
    return target - mean, mean


def _logistic_step(score: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slope and curvature of each row's log-likelihood by its score: a 0/1 target."""
    chance = expit(score)
    return target - chance, chance * (1 - chance)
