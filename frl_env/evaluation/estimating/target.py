"""What the estimators need to know of the target policy, computed without a members x weeks x actions array."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.episodes import LoggedEpisodes
from frl_env.evaluation.estimating.estimators import ActionValues
from frl_env.evaluation.privacy.suppression import among
from frl_env.kinds import shown

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)` float32 in raw units to probabilities of all joint actions, `(n, n_joint)`."""

Scores = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)` to Q of all joint actions, `(n, n_joint)`."""

Grid = Float64[np.ndarray, "episode step"]

_TOLERANCE = 1e-3
"""How far probabilities may be from a sum of 1: single precision over a thousand actions."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetScores:
    """The target policy at every logged decision.

    Attributes:
        logged: pi(a_t | s_t) of the logged action; one after the end.
        unsupported: Mass that the target puts on actions that the data hardly holds; zero after the end. None when
            only `logged` was given.
        values: Of a Q function, when there is one.
    """

    logged: Grid
    unsupported: Grid | None
    values: ActionValues | None = None


def check_target(target: Any) -> None:
    """Says that a target policy is no function from observations to probabilities.

    Raises:
        UserError: If it is a class, draws actions itself, or can't be called.
    """
    if isinstance(target, type) or not callable(target):
        raise UserError(
            f"the target is {shown(target)}; a function of observations is needed, such as the predict_probabilities "
            "of a trained algorithm"
        )
    if callable(getattr(target, "probabilities", None)):
        raise UserError(f"the target is {shown(target)}, which draws actions; pass its method probabilities instead")


def score_target(
    episodes: LoggedEpisodes,
    target_probabilities: Probabilities | np.ndarray | TargetScores,
    *,
    q_function: Scores | None = None,
    support: Bool[np.ndarray, "joint"] | None = None,
) -> TargetScores:
    """Asks the target policy about every logged decision, a chunk at a time.

    Args:
        episodes: The logged decisions.
        target_probabilities: The policy, its probabilities of the logged actions as an array, or scores of it.
        q_function: Q of the target; then V is its expectation under the target, action by action.
        support: Joint actions that the data holds; by `supported_actions` unless given.

    Raises:
        UserError: If probabilities are not finite, negative or don't sum to 1, or scores are of other decisions; says
            in how many members.
    """
    if isinstance(target_probabilities, TargetScores):
        given = np.shape(target_probabilities.logged)
        if given != episodes.mask.shape:
            raise UserError(
                f"the target's scores have shape {given}; {episodes.mask.shape} (members, steps) is needed: score the "
                "target on these episodes"
            )
        return target_probabilities
    if not callable(target_probabilities):
        if q_function is not None:
            raise UserError("a Q function needs the target policy as a function too, to take its expectation")
        try:
            given = np.asarray(target_probabilities, dtype=np.float64)
        except (TypeError, ValueError):
            raise UserError(
                f"the target is a {type(target_probabilities).__name__}; a function of observations is needed, such as "
                "the predict_probabilities of an algorithm, or an array of probabilities of the logged actions"
            ) from None
        logged = episodes.padded("the target's probabilities", given, 1.0)
        wrong = ((logged < 0) | (logged > 1 + _TOLERANCE)).any(axis=1)
        if wrong.any():
            who = among(int(wrong.sum()), len(logged), simulated=episodes.simulated)
            raise UserError(f"the target's probabilities are not in 0..1 in {who}")
        return TargetScores(logged=np.minimum(logged, 1.0), unsupported=None)
    check_target(target_probabilities)
    support = supported_actions(episodes) if support is None else support
    outside = np.flatnonzero(~support)
    joint = episodes.actions[episodes.mask]
    n = len(joint)
    logged, unsupported, off_sum = np.empty(n), np.empty(n), np.empty(n)
    q_logged, q_policy = np.empty(n), np.empty(n)
    for rows, observations in _chunks(episodes):
        probabilities = _table(target_probabilities(observations), "the target's probabilities", episodes, observations)
        actions = joint[rows]
        at = np.arange(len(actions))
        off_sum[rows] = np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1)
        off_sum[rows][probabilities.min(axis=1) < 0] = np.inf
        logged[rows] = probabilities[at, actions]
        unsupported[rows] = probabilities[:, outside].sum(axis=1, dtype=np.float64)
        if q_function is not None:
            scores = _table(q_function(observations), "Q", episodes, observations)
            q_logged[rows] = scores[at, actions]
            q_policy[rows] = np.einsum("na,na->n", probabilities, scores, dtype=np.float64)
    wrong = (
        episodes.padded("sums of the target's probabilities", np.where(np.isfinite(off_sum), off_sum, 9.0)) > _TOLERANCE
    )
    if wrong.any():
        who = among(int(wrong.any(axis=1).sum()), len(episodes), simulated=episodes.simulated)
        raise UserError(
            f"the target's probabilities are negative, not finite or don't sum to 1 in {who}; normalise them over all "
            "joint actions"
        )
    values = None
    if q_function is not None:
        values = ActionValues(logged=episodes.padded("Q", q_logged), policy=episodes.padded("Q", q_policy))
    return TargetScores(
        logged=episodes.padded("the target's probabilities", np.minimum(logged, 1.0), 1.0),
        unsupported=episodes.padded("unsupported mass", unsupported),
        values=values,
    )


def supported_actions(episodes: LoggedEpisodes, members: int = 11) -> Bool[np.ndarray, "joint"]:
    """Joint actions that at least so many members got at least once."""
    joint = episodes.actions[episodes.mask]
    who = np.repeat(np.arange(len(episodes)), episodes.lengths)
    pairs = np.unique(who * episodes.action_space.n_joint + joint)
    count = np.bincount(pairs % episodes.action_space.n_joint, minlength=episodes.action_space.n_joint)
    return count >= min(members, len(episodes))


def _chunks(episodes: LoggedEpisodes) -> Iterator[tuple[slice, np.ndarray]]:
    observations = episodes.observation_rows
    for start in range(0, len(observations), DECISIONS_AT_ONCE):
        yield slice(start, start + DECISIONS_AT_ONCE), observations[start : start + DECISIONS_AT_ONCE]


def _table(table: np.ndarray, name: str, episodes: LoggedEpisodes, observations: np.ndarray) -> np.ndarray:
    wanted = (len(observations), episodes.action_space.n_joint)
    try:
        table = np.asarray(table)
    except (RuntimeError, TypeError, ValueError) as problem:  # a torch tensor with gradients, rows of other lengths
        raise UserError(f"{name} are no array ({problem})") from None
    if table.shape != wanted:
        raise UserError(f"{name} have shape {table.shape}; {wanted} (decisions, joint actions) is needed")
    return table
