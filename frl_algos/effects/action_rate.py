"""How often to act: the steady rate of attempts at which responses are most frequent.

Attempts tire: each one lowers the chance that the next gets a response. An estimate of what one more attempt does,
made where attempts are rare, says nothing of that, and a policy that follows it acts every week and is never answered.
The data shows it, though: the more attempts lately, the fewer responses.

    P(response) = sigmoid(level terms + slope * F),    F_t = fading * F_{t-1} + [attempt at t - 1]

At a steady rate c of attempts, F is c / (1 - fading), so responses come at c * P(response | F = c / (1 - fading)), and
the best c follows. `fading` is the value of a grid with the largest likelihood. Nothing is said of loads that the data
all but never shows: c stays below the rate at which F is the 99th percentile of those logged.
"""

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.special import expit

from frl_algos.logged.member_parts import parts
from frl_algos.logged.replay import to_grid

FADINGS = (0.5, 0.7, 0.8, 0.9, 0.95)
RATES = np.linspace(0.01, 1.0, 100)


def steady_rate(
    attempted: Bool[np.ndarray, "row"],
    responses: Float[np.ndarray, "row"],
    actions: Int64[np.ndarray, "row"],
    levels: Float[np.ndarray, "valid level"],
    lengths: Int64[np.ndarray, "episode"],
) -> float:
    """Share of steps with an attempt at which responses are most frequent.

    Args:
        attempted: Whether anything was done.
        responses: Whether it got a response.
        actions: Position of the logged action among the valid ones.
        levels: Indicators of the levels of each valid action.
        lengths: Rows of each episode.

    Returns:
        A rate of `RATES`; the largest that the data knows of if attempts don't tire.
    """
    loads = _loads(attempted, lengths)
    free = levels[actions[attempted]]
    best_likelihood, best_rate = -np.inf, 1.0
    for fading, load in zip(FADINGS, loads, strict=True):
        features = np.column_stack([np.ones(len(load)), load, free])
        weights, likelihood = _logistic(features, responses[attempted])
        if likelihood > best_likelihood:
            others = features @ weights - load * weights[1]
            seen = float(np.quantile(load, 0.99)) * (1 - fading)
            rates = RATES[: max(int(np.searchsorted(RATES, seen, side="right")), 1)]
            answered = [rate * expit(others + weights[1] * rate / (1 - fading)).mean() for rate in rates]
            best_likelihood, best_rate = likelihood, float(rates[int(np.argmax(answered))])
    return best_rate


def _loads(
    attempted: Bool[np.ndarray, "row"], lengths: Int64[np.ndarray, "episode"]
) -> list[Float[np.ndarray, "attempt"]]:
    """Attempts lately, F, at each attempt; one array a fading."""
    found: list[list[np.ndarray]] = [[] for _ in FADINGS]
    for rows, own in parts(lengths, 4):
        grid, mask = to_grid(attempted[rows].astype(np.float64), np.cumsum(own) - own, own)
        for number, fading in enumerate(FADINGS):
            recent = np.zeros_like(grid)
            for t in range(1, grid.shape[1]):
                recent[:, t] = fading * recent[:, t - 1] + grid[:, t - 1]
            found[number].append(recent[mask][attempted[rows]])
    return [np.concatenate(each) for each in found]


def _logistic(features: np.ndarray, target: np.ndarray, penalty: float = 1.0) -> tuple[np.ndarray, float]:
    """Weights and log-likelihood of a logistic regression by Newton's method; the first two weights are free."""
    weights = np.zeros(features.shape[1])
    shrink = np.full(len(weights), penalty)
    shrink[:2] = 1e-6
    for _ in range(25):
        chance = expit(features @ weights)
        slope = features.T @ (target - chance) - shrink * weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + np.diag(shrink)
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    chance = expit(features @ weights)
    return weights, float(np.log(np.where(target > 0, chance, 1 - chance) + 1e-12).sum())
