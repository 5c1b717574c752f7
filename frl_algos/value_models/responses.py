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

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from scipy.special import expit, logit

from frl_algos.action_effects.action_rate import FADINGS
from frl_algos.action_effects.terms import Terms
from frl_algos.logged_data.episode_grid import to_grid
from frl_algos.logged_data.member_parts import parts
from frl_algos.value_models.action_echoes import action_echoes
from frl_algos.value_models.histories import Histories
from frl_env.errors import UserError

ROUNDS = 40
"""Of Fisher scoring, at most."""

FAR = 40.0
"""Log odds beyond which a chance is 0 or 1 in single precision, and an exponential of two of them still a number."""

LEAST = 1e-6
"""Chances are kept so far from 0 and 1."""

FEWEST = 10
"""Attempts that must have got a response."""

Piece = tuple[slice, Float[np.ndarray, "some_attempts feature"], Float[np.ndarray, "some_rows other"]]
"""Rows of whole members, features of an answer of those with an attempt, and of an unprompted response of all."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Responses:
    """Fitted chances of a response.

    Attributes:
        fading: What is left of the load after a step.
        slopes: Change of the log odds for a unit of load that an action leaves; by valid action.
        levels: Log odds by valid action, the intercept included.
        odds: What the history adds to the log odds that an attempt is answered; by row.
        chance: p(h, a) of the logged action; 0 where nothing was done; by row.
        chance_unprompted: i(h); by row.
        reached: P(the attempt was answered | what was shown); by row.
        called: P(an unprompted response | what was shown); by row.
    """

    fading: float
    slopes: Float[np.ndarray, "valid"]
    levels: Float[np.ndarray, "valid"]
    odds: Float[np.ndarray, "row"]
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
            UserError: If fewer than `FEWEST` attempts got a response.
        """
        check_answers(rows, response)
        shown = rows.next_values(response) > 0
        fading, start = _fading(rows, terms, shown)
        # What earlier attempts did to the chance is the load's to say: it is what another policy changes.
        changed = [response, *action_echoes(rows, terms.levels, besides=response)]
        kept = ~np.isin(rows.observation_of, changed)
        kept[0] = False
        n = terms.levels.shape[1]
        split = 2 + 2 * n + int(kept.sum())
        # Starts where the fit without history and by-level loads ended; what is new starts at 0.
        start = np.concatenate(
            [start[:2], np.zeros(n), start[2:-1], np.zeros(kept.sum()), start[-1:], np.zeros(len(kept) - 1)]
        )

        def pieces() -> Iterator[Piece]:
            for part, history in rows.parts(2 * split):
                acts = rows.attempted[part]
                levels = terms.levels[rows.actions[part]]
                loads = attempt_loads(np.column_stack([acts, levels]), rows, part, fading)[acts]
                features = np.column_stack([history[acts, :1], loads, levels[acts], history[acts][:, kept]])
                yield part, features, history

        weights, _ = _fit(rows, pieces, shown, split=split, start=start)
        weights, unprompted = weights[:split], weights[split:]
        known = ~rows.unfollowed
        answered = np.zeros(len(kept))
        answered[kept] = weights[2 + 2 * n :]
        chance, calls, odds = np.zeros(len(known)), np.empty(len(known)), np.empty(len(known))
        for part, features, history in pieces():
            calls[part], odds[part] = _sigmoid(history @ unprompted), history @ answered
            chance[part][rows.attempted[part]] = _sigmoid(features @ weights)
        any_response = 1 - (1 - chance) * (1 - calls)
        reached, called = shown * chance / any_response, shown * calls / any_response
        # The last row of an episode shows nothing, which is not the same as no response: it is taken as expected.
        reached, called = np.where(known, reached, chance), np.where(known, called, calls)
        return cls(
            fading=fading,
            slopes=terms.fixed[:, 0] * weights[1] + terms.levels @ weights[2 : 2 + n],
            levels=weights[0] + terms.levels @ weights[2 + n : 2 + 2 * n],
            odds=odds,
            chance=chance,
            chance_unprompted=calls,
            reached=reached,
            called=called,
        )

    def chances(
        self, load: Float[np.ndarray, "n"], rows: Int64[np.ndarray, "n"], null: int
    ) -> Float[np.ndarray, "n valid"]:
        """Chance that each valid action gets an answer; 0 for doing nothing.

        Args:
            load: What earlier attempts left, as change of the log odds.
            rows: The decisions.
            null: Position of doing nothing.
        """
        own, levels = (np.clip(x, -FAR, FAR).astype(np.float32) for x in (load + self.odds[rows], self.levels))
        # 1 / (1 + exp(-levels) exp(-own)): an exponential for each row and each action, not for each pair of them.
        chances = np.multiply.outer(np.exp(-own), np.exp(-levels))
        chances += 1
        np.reciprocal(chances, out=chances)
        chances[:, null] = 0.0
        return chances


def check_answers(rows: Histories, response: int) -> None:
    """Says that responses can't be modelled, before anything is.

    Args:
        rows: The logged decisions.
        response: Index of the observation whose next value is positive when an action got a response.

    Raises:
        UserError: If fewer than `FEWEST` attempts got a response.
    """
    answers = int((rows.attempted & ~rows.unfollowed & (rows.next_values(response) > 0)).sum())
    if answers < FEWEST:
        raise UserError(
            f"fewer than {FEWEST} attempts got a response (observation {response}): too few to estimate "
            "its chance by; take more members, or name no response (None, or --response none)"
        )


def attempt_loads(
    attempts: Float[np.ndarray, "some_rows kind"], rows: Histories, part: slice, fading: float
) -> Float[np.ndarray, "some_rows kind"]:
    """Faded number of attempts of each kind before each decision, of whole members' rows.

    Args:
        attempts: 1 where a decision is one of the kind.
        rows: All decisions.
        part: Which of them these are.
        fading: What is left of the load after a step.
    """
    lengths = rows.episodes.lengths[rows.member[part.start] : rows.member[part.stop - 1] + 1]
    grid, mask = to_grid(attempts.astype(np.float64), np.zeros_like(lengths), lengths)
    load = np.zeros_like(grid)
    for t in range(1, grid.shape[1]):
        load[:, t] = fading * (load[:, t - 1] + grid[:, t - 1])
    return load[mask]


def _fading(rows: Histories, terms: Terms, shown: Bool[np.ndarray, "row"]) -> tuple[float, Float[np.ndarray, "weight"]]:
    """What is left of the load after a step, by likelihood, and the weights of a fit with load and levels alone."""
    split = 2 + terms.levels.shape[1]
    best, fading, start, weights = -np.inf, FADINGS[0], np.zeros(0), None
    for candidate in FADINGS:

        def pieces(fading: float = candidate) -> Iterator[Piece]:
            for part, _ in parts(rows.episodes.lengths, 4 * split):
                acts = rows.attempted[part]
                load = attempt_loads(acts[:, None], rows, part, fading)[acts]
                ones = np.ones((len(acts), 1))
                yield part, np.column_stack([ones[acts], load, terms.levels[rows.actions[part][acts]]]), ones

        weights, likelihood = _fit(rows, pieces, shown, split=split, start=weights)
        if likelihood > best:
            best, fading, start = likelihood, candidate, weights
    return fading, start


def _fit(
    rows: Histories,
    pieces: Callable[[], Iterator[Piece]],
    shown: Bool[np.ndarray, "row"],
    *,
    split: int,
    start: Float[np.ndarray, "weight"] | None = None,
) -> tuple[Float[np.ndarray, "weight"], float]:
    """Weights on the log odds of an answer, then of an unprompted response, and their penalised log-likelihood.

    The first feature of an answer, and that of an unprompted response, is a one without a penalty.

    Args:
        rows: The decisions; those that no next observation follows are left out.
        pieces: Their features, some members at a time.
        shown: Where a response shows.
        split: Features of an answer.
        start: Weights to begin with.
    """
    known = ~rows.unfollowed
    if start is None:
        start = np.zeros(split + next(pieces())[2].shape[1])
        share = shown[known & rows.attempted].mean()
        start[[0, split]] = logit(np.clip(share * np.asarray([0.75, 0.25]), 0.001, 0.5))
    shrink = np.ones(len(start))
    shrink[[0, split]] = 1e-6
    weights, value, step = start, -np.inf, np.zeros(len(start))
    scale = 1.0
    for _ in range(ROUNDS):
        tried = weights + scale * step
        likelihood, squares, slope = 0.0, np.zeros((len(tried), len(tried))), np.zeros(len(tried))
        for part, answering, calling in pieces():
            acts, seen = rows.attempted[part], known[part]
            found = _sums(answering[seen[acts]], calling[seen], acts[seen], shown[part][seen], tried)
            likelihood += found[0]
            squares += found[1]
            slope += found[2]
        penalised = likelihood - 0.5 * float(shrink @ tried**2)
        if penalised < value - 1e-9:
            scale /= 2
            continue
        done = penalised - value < 1e-3
        weights, value = tried, penalised
        if done:
            break
        slope -= shrink * weights
        step, scale = np.linalg.solve(squares + np.diag(shrink), slope), 1.0
    return weights, value


def _sums(
    answering: Float[np.ndarray, "attempt feature"],
    calling: Float[np.ndarray, "row other"],
    attempted: Bool[np.ndarray, "row"],
    shown: Bool[np.ndarray, "row"],
    weights: Float[np.ndarray, "weight"],
) -> tuple[float, Float[np.ndarray, "weight weight"], Float[np.ndarray, "weight"]]:
    """Log-likelihood of some rows, its expected curvature and its slope. `answering` has the rows with an attempt."""
    n, split = len(answering), answering.shape[1]
    # Where nothing was done, most rows, nothing but the unprompted responses is to be fitted.
    order = np.argsort(~attempted, kind="stable")
    calling, shown = calling[order], shown[order]
    calls, chance = _sigmoid(calling @ weights[split:]), _sigmoid(answering @ weights[:split])
    any_response = calls.copy()
    # A response shows unless there is neither an answer nor an unprompted one.
    any_response[:n] = 1 - (1 - chance) * (1 - calls[:n])
    likelihood = float(np.log(np.where(shown, any_response, 1 - any_response)).sum())
    # Fisher scoring: slopes over the standard deviation of a 0/1 outcome.
    root = 1 / np.sqrt(any_response * (1 - any_response))
    called = root * calls * (1 - calls)
    called[:n] *= 1 - chance
    calls_part = calling * called[:, None]
    answers_part = answering * (root[:n] * chance * (1 - chance) * (1 - calls[:n]))[:, None]
    left = (shown - any_response) * root
    crossed = answers_part.T @ calls_part[:n]
    squares = np.block([[answers_part.T @ answers_part, crossed], [crossed.T, calls_part.T @ calls_part]])
    return likelihood, squares, np.concatenate([answers_part.T @ left[:n], calls_part.T @ left])


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return np.clip(expit(log_odds), LEAST, 1 - LEAST)
