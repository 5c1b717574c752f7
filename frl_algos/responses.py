"""Which attempts get a response: the more attempts lately, the fewer, and some responses come unprompted.

An observation that shows a response (a completed contact) shows two things at once: the attempt was answered, or the
member got in touch without it, which happens more often when something is wrong. So the two are kept apart,

    P(shown | h, a) = 1 - (1 - p(h, a)) (1 - i(h)),
    p(h, a) = sigmoid(level terms + slope * F + history),     i(h) = sigmoid(history),     p = 0 when nothing is done
    F_t = fading * F_{t-1} + fading * [attempt at t - 1]

fitted by maximum likelihood (Fisher scoring, a little ridge penalty). F is the load of attempts that tires a member;
`fading` is the value of a grid with the largest likelihood. A policy that attempts more, or less, than the data is
answered accordingly, because its own load is put into F.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy.special import expit, logit

from frl_algos.histories import Histories
from frl_algos.pacing import FADINGS
from frl_algos.replay import to_grid
from frl_algos.terms import Terms
from frl_env.errors import UserError

ROUNDS = 40
"""Of Fisher scoring, at most."""

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
        ones = np.ones((len(levels), 1))
        best = -np.inf
        fading, load, start = FADINGS[0], np.zeros(len(levels)), np.zeros(0)
        for candidate in FADINGS:
            loaded = attempt_load(rows.attempted, rows, candidate)
            features = np.concatenate([ones, loaded[:, None], levels], axis=1)
            weights, likelihood = _fit(features[known], ones[known], rows.attempted[known], shown[known])
            if likelihood > best:
                best, fading, load, start = likelihood, candidate, loaded, weights
        features = np.concatenate([ones, load[:, None], levels, rows.history[:, 1:]], axis=1)
        own = rows.history.shape[1] - 1
        start = np.concatenate([start[:-1], np.zeros(own), start[-1:], np.zeros(own)])
        weights, _ = _fit(features[known], rows.history[known], rows.attempted[known], shown[known], start=start)
        weights, unprompted = weights[: features.shape[1]], weights[features.shape[1] :]
        chance, calls = _sigmoid(features @ weights) * rows.attempted, _sigmoid(rows.history @ unprompted)
        any_response = 1 - (1 - chance) * (1 - calls)
        reached, called = shown * chance / any_response, shown * calls / any_response
        # The last row of an episode shows nothing, which is not the same as no response: it is taken as expected.
        reached, called = np.where(known, reached, chance), np.where(known, called, calls)
        n = levels.shape[1]
        return cls(
            fading=fading,
            slope=float(weights[1]),
            levels=weights[0] + terms.levels @ weights[2 : 2 + n],
            answered=np.concatenate([[0.0], weights[2 + n :]]),
            unprompted=unprompted,
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


def _fit(
    answering: Float[np.ndarray, "row feature"],
    calling: Float[np.ndarray, "row other"],
    attempted: Bool[np.ndarray, "row"],
    shown: Bool[np.ndarray, "row"],
    *,
    start: Float[np.ndarray, "weight"] | None = None,
) -> tuple[Float[np.ndarray, "weight"], float]:
    """Weights on the log odds of an answer, then of an unprompted response, and their penalised log-likelihood.

    The first feature of each is a one, whose weight has no penalty.
    """
    split = answering.shape[1]
    shrink = np.ones(split + calling.shape[1])
    shrink[[0, split]] = 1e-6
    if start is None:
        start = np.zeros(len(shrink))
        start[[0, split]] = logit(np.clip(shown[attempted].mean() * np.asarray([0.75, 0.25]), 0.001, 0.5))
    # Where nothing was done, most rows, nothing but the unprompted responses is to be fitted.
    answering = answering[attempted]
    order = np.argsort(~attempted, kind="stable")
    calling, shown = calling[order], shown[order]
    n = len(answering)
    weights, value, step = start, -np.inf, np.zeros(len(start))
    scale = 1.0
    for _ in range(ROUNDS):
        tried = weights + scale * step
        calls = _sigmoid(calling @ tried[split:])
        chance = _sigmoid(answering @ tried[:split])
        any_response = calls.copy()
        any_response[:n] = 1 - (1 - chance) * (1 - calls[:n])
        likelihood = float(np.log(np.where(shown, any_response, 1 - any_response)).sum())
        penalised = likelihood - 0.5 * float(shrink @ tried**2)
        if penalised < value - 1e-9:
            scale /= 2
            continue
        done = penalised - value < 1e-3
        weights, value = tried, penalised
        if done:
            break
        root = 1 / np.sqrt(any_response * (1 - any_response))
        called = root * calls * (1 - calls)
        called[:n] *= 1 - chance
        calls_part = calling * called[:, None]
        answers_part = answering * (root[:n] * chance * (1 - chance) * (1 - calls[:n]))[:, None]
        left = (shown - any_response) * root
        crossed = answers_part.T @ calls_part[:n]
        squares = np.block([[answers_part.T @ answers_part, crossed], [crossed.T, calls_part.T @ calls_part]])
        slope = np.concatenate([answers_part.T @ left[:n], calls_part.T @ left]) - shrink * weights
        step, scale = np.linalg.solve(squares + np.diag(shrink), slope), 1.0
    return weights, value


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return np.clip(expit(log_odds), LEAST, 1 - LEAST)
