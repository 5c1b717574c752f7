"""Which attempts get a response: the more attempts lately, the fewer, and some responses come unprompted.

An observation that shows a response (a completed contact) shows two things at once: the attempt was answered, or the
member got in touch without it, which happens more often when something is wrong. So the two are kept apart,

    P(shown | h, a) = 1 - (1 - p(h, a)) (1 - i(h)),
    p(h, a) = sigmoid(level terms + slopes . F + history),     i(h) = sigmoid(history),     p = 0 when nothing is done
    F_t = fading * (F_{t-1} + [attempts at t - 1, in all and by level])

fitted by maximum likelihood (Fisher scoring, a little ridge penalty). F is the load of attempts that tires a member,
each level of an action with a weight of its own: a text message tires less than a visit. `fading` is the value of a
grid with the largest likelihood. A policy that attempts more, or otherwise, than the data is answered accordingly,
because its own load is put into F.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.special import expit, logit

from frl_algos.effects.action_rate import FADINGS
from frl_algos.effects.terms import Terms
from frl_algos.logged.replay import to_grid
from frl_algos.valuation.action_echoes import action_echoes
from frl_algos.valuation.histories import Histories
from frl_env.errors import UserError

ROUNDS = 40
"""Of Fisher scoring, at most."""

LEAST = 1e-6
"""Chances are kept so far from 0 and 1."""

FEWEST = 10
"""Attempts that must have got a response."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Responses:
    """Fitted chances of a response.

    Attributes:
        fading: What is left of the load after a step.
        slopes: Change of the log odds for a unit of load that an action leaves; by valid action.
        levels: Log odds by valid action, the intercept included.
        answered: Weights of the history on the log odds that an attempt is answered.
        unprompted: Weights of the history on the log odds of an unprompted response.
        chance: p(h, a) of the logged action; 0 where nothing was done; by row.
        chance_unprompted: i(h); by row.
        reached: P(the attempt was answered | what was shown); by row.
        called: P(an unprompted response | what was shown); by row.
    """

    fading: float
    slopes: Float[np.ndarray, "valid"]
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
        check_answers(rows, response)
        shown = rows.next_values(response) > 0
        # Only attempts are answered: the columns of the chance of it are those of the attempts.
        known, attempts = ~rows.unfollowed, np.flatnonzero(rows.attempted)
        seen = known[attempts]
        levels = terms.levels[rows.actions[attempts]]
        fading, start = _fading(rows, levels, attempts, shown)
        loads = [attempt_load(rows.attempted, rows, fading)[attempts]]
        loads += [attempt_load(level[rows.actions], rows, fading)[attempts] for level in terms.levels.T]
        # What earlier attempts did to the chance is the load's to say: it is what another policy changes.
        changed = [response, *action_echoes(rows, terms.levels, besides=response)]
        kept = ~np.isin(rows.observation_of, changed)
        kept[0] = False
        features = np.column_stack([rows.history[attempts, :1], *loads, levels, rows.history[np.ix_(attempts, kept)]])
        n = levels.shape[1]
        start = np.concatenate(
            [start[:2], np.zeros(n), start[2:-1], np.zeros(kept.sum()), start[-1:], np.zeros(len(kept) - 1)]
        )
        weights, _ = _fit(features[seen], rows.history[known], rows.attempted[known], shown[known], start=start)
        weights, unprompted = weights[: features.shape[1]], weights[features.shape[1] :]
        chance, calls = np.zeros(len(known)), _sigmoid(rows.history @ unprompted)
        chance[attempts] = _sigmoid(features @ weights)
        any_response = 1 - (1 - chance) * (1 - calls)
        reached, called = shown * chance / any_response, shown * calls / any_response
        # The last row of an episode shows nothing, which is not the same as no response: it is taken as expected.
        reached, called = np.where(known, reached, chance), np.where(known, called, calls)
        answered = np.zeros(len(kept))
        answered[kept] = weights[2 + 2 * n :]
        return cls(
            fading=fading,
            slopes=terms.fixed[:, 0] * weights[1] + terms.levels @ weights[2 : 2 + n],
            levels=weights[0] + terms.levels @ weights[2 + n : 2 + 2 * n],
            answered=answered,
            unprompted=unprompted,
            chance=chance,
            chance_unprompted=calls,
            reached=reached,
            called=called,
        )

    def chances(
        self, load: Float[np.ndarray, "n"], history: Float[np.ndarray, "n feature"], null: int
    ) -> Float[np.ndarray, "n valid"]:
        """Chance that each valid action gets an answer; 0 for doing nothing.

        Args:
            load: What earlier attempts left, as change of the log odds.
            history: Features of the history.
            null: Position of doing nothing.
        """
        own = (load + history @ self.answered).astype(np.float32)
        chances = expit(self.levels.astype(np.float32) + own[:, None])
        chances[:, null] = 0.0
        return chances


def check_answers(rows: Histories, response: int) -> None:
    """Says that responses can't be modelled, before anything is.

    Args:
        rows: The logged decisions.
        response: Index of the observation whose next value is positive when an action got a response.

    Raises:
        UserError: If there are too few attempts, or none got a response.
    """
    answers = int((rows.attempted & ~rows.unfollowed & (rows.next_values(response) > 0)).sum())
    if answers < FEWEST:
        raise UserError(
            f"fewer than {FEWEST} attempts got a response (observation {response}): too few to estimate "
            "its chance by; take more members, or name no response (None, or --response none)"
        )


def attempt_load(
    attempts: Bool[np.ndarray, "row"] | Float[np.ndarray, "row"], rows: Histories, fading: float
) -> Float[np.ndarray, "row"]:
    """Faded number of attempts, or of those of a kind, before each decision."""
    lengths = rows.episodes.lengths
    grid, mask = to_grid(attempts.astype(np.float64), np.zeros_like(lengths), lengths)
    load = np.zeros_like(grid)
    for t in range(1, grid.shape[1]):
        load[:, t] = fading * (load[:, t - 1] + grid[:, t - 1])
    return load[mask]


def _fading(
    rows: Histories,
    levels: Float[np.ndarray, "attempt level"],
    attempts: Int64[np.ndarray, "attempt"],
    shown: Bool[np.ndarray, "row"],
) -> tuple[float, Float[np.ndarray, "weight"]]:
    """What is left of the load after a step, by likelihood, and the weights of a fit with load and levels alone."""
    known = ~rows.unfollowed
    seen, ones = known[attempts], rows.history[known, :1]
    best, fading, start, weights = -np.inf, FADINGS[0], np.zeros(0), None
    for candidate in FADINGS:
        load = attempt_load(rows.attempted, rows, candidate)[attempts]
        features = np.column_stack([rows.history[attempts, :1], load, levels])[seen]
        weights, likelihood = _fit(features, ones, rows.attempted[known], shown[known], start=weights)
        if likelihood > best:
            best, fading, start = likelihood, candidate, weights
    return fading, start


def _fit(
    answering: Float[np.ndarray, "attempt feature"],
    calling: Float[np.ndarray, "row other"],
    attempted: Bool[np.ndarray, "row"],
    shown: Bool[np.ndarray, "row"],
    *,
    start: Float[np.ndarray, "weight"] | None = None,
) -> tuple[Float[np.ndarray, "weight"], float]:
    """Weights on the log odds of an answer, then of an unprompted response, and their penalised log-likelihood.

    `answering` has the rows with an attempt, `calling` all. The first feature of each is a one without a penalty.
    """
    split = answering.shape[1]
    shrink = np.ones(split + calling.shape[1])
    shrink[[0, split]] = 1e-6
    if start is None:
        start = np.zeros(len(shrink))
        start[[0, split]] = logit(np.clip(shown[attempted].mean() * np.asarray([0.75, 0.25]), 0.001, 0.5))
    # Where nothing was done, most rows, nothing but the unprompted responses is to be fitted.
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
