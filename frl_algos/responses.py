"""Which attempts get a response: the more attempts lately, the fewer, and some responses come unprompted.

An observation that shows a response (a completed contact) shows two things at once: the attempt was answered, or the
member got in touch without it, which happens more often when something is wrong. So the two are kept apart,

    P(shown | h, a) = 1 - (1 - p(h, a)) (1 - i(h)),
    p(h, a) = sigmoid(level terms + slope * F + history),     i(h) = sigmoid(history),     p = 0 when nothing is done
    F_t = fading * F_{t-1} + fading * [attempt at t - 1]

fitted by expectation-maximisation: given a response that is shown, each cause is as likely as the model says. F is the
load of attempts that tires a member; `fading` is the value of a grid with the largest likelihood. A policy that attempts
more, or less, than the data is answered accordingly, because its own load is put into F.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit

from frl_algos.histories import Histories
from frl_algos.pacing import FADINGS
from frl_algos.replay import to_grid
from frl_algos.terms import Terms
from frl_env.errors import UserError

ROUNDS = 8
"""Of expectation-maximisation; the likelihood is flat after five."""

LEAST = 1e-6
"""Chances are kept so far from 0 and 1."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Responses:
    """Fitted chances of a response.

    Attributes:
        fading: What is left of the load after a step.
        slope: Change of the log odds for a unit of load.
        levels: Log odds by valid action, the intercept included.
        answered: Weights of the history on the log odds that an attempt is answered.
        unprompted: Weights of the history on the log odds of an unprompted response.
        load: Of the logged attempts; by row.
        chance: p(h, a) of the logged action; 0 where nothing was done; by row.
        chance_unprompted: i(h); by row.
        reached: P(the attempt was answered | what was shown); by row.
        called: P(an unprompted response | what was shown); by row.
    """

    fading: float
    slope: float
    levels: Float[np.ndarray, "valid"]
    answered: Float[np.ndarray, "feature"]
    unprompted: Float[np.ndarray, "feature"]
    load: Float[np.ndarray, "row"]
    chance: Float[np.ndarray, "row"]
    chance_unprompted: Float[np.ndarray, "row"]
    reached: Float[np.ndarray, "row"]
    called: Float[np.ndarray, "row"]

    @classmethod
    def fit(cls, rows: Histories, terms: Terms, response: int) -> "Responses":
        """Fits the chances to logged attempts.

        Args:
            rows: The logged decisions.
            terms: Columns of the actions.
            response: Index of the observation whose next value is positive when an action got a response.

        Raises:
            UserError: If there are too few attempts, or none got a response.
        """
        shown = rows.next_values(response) > 0
        known = ~rows.last
        tried = np.flatnonzero(rows.attempted & known)
        answers = int(shown[tried].sum())
        if answers < 10:
            raise UserError(
                f"{len(tried)} attempts got {answers} responses (observation {response}); at least 10 are needed"
            )
        levels = terms.levels[rows.actions]
        quiet = np.flatnonzero(~rows.attempted & known)
        unprompted = np.zeros(rows.history.shape[1])
        unprompted[0] = -4.0
        if shown[quiet].any():
            unprompted = logistic(rows.history[quiet], shown[quiet].astype(float), start=unprompted)
        best = -np.inf
        fading, load, start = FADINGS[0], np.zeros(len(levels)), np.zeros(0)
        for candidate in FADINGS:
            loaded = attempt_load(rows.attempted, rows, candidate)
            features = np.column_stack([np.ones(len(tried)), loaded[tried], levels[tried]])
            weights, likelihood = _answered(features, shown[tried], expit(rows.history[tried] @ unprompted))
            if likelihood > best:
                best, fading, load, start = likelihood, candidate, loaded, weights
        features = np.column_stack([np.ones(len(load)), load, levels, rows.history[:, 1:]])
        weights = np.concatenate([start, np.zeros(rows.history.shape[1] - 1)])
        chance, calls, reached, called = _split(features, weights, rows, unprompted, shown)
        for _ in range(ROUNDS):
            weights = logistic(features[tried], reached[tried], start=weights, sweeps=3)
            unprompted = logistic(rows.history[known], called[known], start=unprompted, sweeps=3)
            chance, calls, reached, called = _split(features, weights, rows, unprompted, shown)
        # The last row of an episode shows nothing, which is not the same as no response: it is taken as expected.
        reached, called = np.where(known, reached, chance), np.where(known, called, calls)
        n = levels.shape[1]
        return cls(
            fading=fading,
            slope=float(weights[1]),
            levels=weights[0] + terms.levels @ weights[2 : 2 + n],
            answered=np.concatenate([[0.0], weights[2 + n :]]),
            unprompted=unprompted,
            load=load,
            chance=chance,
            chance_unprompted=calls,
            reached=reached,
            called=called,
        )

    def chances(
        self, load: Float[np.ndarray, "n"], history: Float[np.ndarray, "n feature"], null: int
    ) -> Float[np.ndarray, "n valid"]:
        """Chance that each valid action gets an answer; 0 for doing nothing."""
        own = (self.slope * load + history @ self.answered).astype(np.float32)
        chances = expit(self.levels.astype(np.float32) + own[:, None])
        chances[:, null] = 0.0
        return chances


def attempt_load(attempted: Bool[np.ndarray, "row"], rows: Histories, fading: float) -> Float[np.ndarray, "row"]:
    """Faded number of attempts before each decision."""
    lengths = rows.episodes.lengths
    grid, mask = to_grid(attempted.astype(np.float64), np.zeros_like(lengths), lengths)
    load = np.zeros_like(grid)
    for t in range(1, grid.shape[1]):
        load[:, t] = fading * (load[:, t - 1] + grid[:, t - 1])
    return load[mask]


def logistic(
    features: Float[np.ndarray, "row feature"],
    target: Float[np.ndarray, "row"],
    *,
    start: Float[np.ndarray, "feature"] | None = None,
    penalty: float = 1.0,
    sweeps: int = 25,
) -> Float[np.ndarray, "feature"]:
    """Weights of a logistic regression by Newton's method; the first weight, the intercept, is free.

    Args:
        features: With a column of ones first.
        target: In 0..1.
        start: Weights to start from.
        penalty: On the squares of the other weights.
        sweeps: Newton steps at most.
    """
    weights = np.zeros(features.shape[1]) if start is None else start.copy()
    shrink = np.full(len(weights), penalty)
    shrink[0] = 1e-6
    for _ in range(sweeps):
        chance = expit(features @ weights)
        slope = features.T @ (target - chance) - shrink * weights
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + np.diag(shrink)
        step = np.linalg.solve(curvature, slope)
        # A long step means all but separated classes; short ones arrive as well.
        weights += step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-12))
        if np.abs(step).max() < 1e-5:
            break
    return weights


def _answered(
    features: np.ndarray, shown: Bool[np.ndarray, "row"], calls: Float[np.ndarray, "row"]
) -> tuple[np.ndarray, float]:
    """Weights and log-likelihood of the chance that an attempt is answered, unprompted responses being known."""
    chance = np.full(len(shown), float(np.clip(shown.mean() - calls.mean(), 0.02, 0.9)))
    weights = None
    for _ in range(3):
        any_response = 1 - (1 - chance) * (1 - calls)
        weights = logistic(features, shown * chance / any_response, start=weights, sweeps=8)
        chance = np.clip(expit(features @ weights), LEAST, 1 - LEAST)
    any_response = 1 - (1 - chance) * (1 - calls)
    assert weights is not None
    return weights, float(np.log(np.where(shown, any_response, 1 - any_response)).sum())


def _split(
    features: np.ndarray, weights: np.ndarray, rows: Histories, unprompted: np.ndarray, shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Both chances, and how likely each cause is given what was shown."""
    chance = np.clip(expit(features @ weights), LEAST, 1 - LEAST) * rows.attempted
    calls = np.clip(expit(rows.history @ unprompted), LEAST, 1 - LEAST)
    any_response = 1 - (1 - chance) * (1 - calls)
    return chance, calls, shown * chance / any_response, shown * calls / any_response
