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
from jaxtyping import Bool, Float, Int, Int64
from scipy.special import expit

from frl_algos.logged_data.episode_grid import to_grid
from frl_algos.logged_data.member_parts import parts
from frl_algos.logged_data.scaled_rows import slices

FADINGS = (0.5, 0.7, 0.8, 0.9, 0.95)
RATES = np.linspace(0.01, 1.0, 100)


def steady_rate(
    attempted: Bool[np.ndarray, "row"],
    responses: Float[np.ndarray, "row"],
    actions: Int[np.ndarray, "row"],
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
    tried, answered = actions[attempted], responses[attempted]
    count = np.bincount(tried, minlength=len(levels))
    best_likelihood, best_rate = -np.inf, 1.0
    for fading in FADINGS:
        load = _load(attempted, lengths, fading)
        own, slope, likelihood = _logistic(load, tried, answered, levels)
        if likelihood > best_likelihood:
            seen = float(np.quantile(load, 0.99)) * (1 - fading)
            rates = RATES[: max(int(np.searchsorted(RATES, seen, side="right")), 1)]
            found = [rate * (count @ expit(own + slope * rate / (1 - fading))) for rate in rates]
            best_likelihood, best_rate = likelihood, float(rates[int(np.argmax(found))])
    return best_rate


def _load(
    attempted: Bool[np.ndarray, "row"], lengths: Int64[np.ndarray, "episode"], fading: float
) -> Float[np.ndarray, "attempt"]:
    """Load at each attempt: the attempts before it in its episode, each faded by `fading` a step."""
    found: list[np.ndarray] = []
    for rows, own in parts(lengths, 4):
        grid, mask = to_grid(attempted[rows].astype(np.float64), np.cumsum(own) - own, own)
        recent = np.zeros_like(grid)
        for t in range(1, grid.shape[1]):
            recent[:, t] = fading * recent[:, t - 1] + grid[:, t - 1]
        found.append(recent[mask][attempted[rows]])
    return np.concatenate(found)


def _logistic(
    load: Float[np.ndarray, "attempt"],
    actions: Int[np.ndarray, "attempt"],
    target: Float[np.ndarray, "attempt"],
    levels: Float[np.ndarray, "valid level"],
    penalty: float = 1.0,
) -> tuple[Float[np.ndarray, "valid"], float, float]:
    """A logistic regression on one, the load, and levels, by Newton's method; the first two weights are free.

    Rows of one action share all but the load, so that sums by action are enough: no column a level is ever made.

    Returns:
        Log odds of each action at no load, the weight of the load, and the log-likelihood.
    """
    of_action = np.concatenate([np.ones((len(levels), 1)), levels], axis=1)
    # Weights stand in the order of the columns: one, levels, load.
    weights = np.zeros(of_action.shape[1] + 1)
    shrink = np.full(len(weights), penalty)
    shrink[[0, -1]] = 1e-6

    def chances(some: slice) -> Float[np.ndarray, "some"]:
        return expit((of_action @ weights[:-1])[actions[some]] + weights[-1] * load[some])

    def by_action(values: np.ndarray, some: slice) -> Float[np.ndarray, "valid"]:
        return np.bincount(actions[some], weights=values, minlength=len(levels))

    for _ in range(25):
        slope, curvature = -shrink * weights, np.diag(shrink)
        for some in slices(len(load)):
            chance, own = chances(some), load[some]
            error, weight = target[some] - chance, chance * (1 - chance)
            slope[:-1] += of_action.T @ by_action(error, some)
            slope[-1] += error @ own
            curvature[:-1, :-1] += of_action.T @ (by_action(weight, some)[:, None] * of_action)
            across = of_action.T @ by_action(weight * own, some)
            curvature[:-1, -1] += across
            curvature[-1, :-1] += across
            curvature[-1, -1] += (weight * own) @ own
        step = np.linalg.solve(curvature, slope)
        weights += step
        if np.abs(step).max() < 1e-8:
            break
    likelihood = 0.0
    for some in slices(len(load)):
        chance = chances(some)
        likelihood += float(np.log(np.where(target[some] > 0, chance, 1 - chance) + 1e-12).sum())
    return of_action @ weights[:-1], float(weights[-1]), likelihood
