"""Planned values: dynamic programming over what followed each action in each state, where states recur.

In some data an observation is one of few states, each seen again and again. There the decision process itself can be
estimated, without an assumption on how effects depend on the state, and solved:

    q(s, a) = (n_sa m_sa + k m_s) / (n_sa + k),     m = mean of r + gamma v(s') over rows,     v(s) = max over logged a

n_sa counts the rows of an action in a state, m_sa is their mean, and m_s the mean of all rows of the state: what is
known of few rows is shrunk to what the state is worth whatever is done. Only logged actions count in the maximum. The
advantage is A(s, a) = q(s, a) - m_s, and 0 in states that were never seen.

Source of the shrinkage: Efron and Morris (1975), with a fixed k; of the maximum over logged actions: Fujimoto, Meger
and Precup (2019).
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from scipy import sparse

SHRINKAGE = 20.0
"""k: rows that the state's mean counts for."""

MOST_STATES = 5_000
"""More distinct observations are not states that recur."""

ROWS_A_STATE = 20
"""Rows for each state, at least, where nobody says that states recur."""

SWEEPS, CLOSE = 1_000, 1e-6
"""Sweeps of value iteration at most, and the change at which it stops, as a share of the largest value."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Advantages of the valid actions in each state that was seen, in units of reward.

    Attributes:
        states: Scaled observations.
        advantages: From all rows.
        halves: From each half of the people.
    """

    states: Float32[np.ndarray, "state k"]
    advantages: Float32[np.ndarray, "state valid"]
    halves: tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Recurring:
    """Rows by state.

    Attributes:
        states: Scaled observations, each once.
        before: State of each row.
        after: State after it.
    """

    states: Float32[np.ndarray, "state k"]
    before: Int[np.ndarray, "row"]
    after: Int[np.ndarray, "row"]

    @property
    def often(self) -> bool:
        """Whether there are rows enough for each state."""
        return len(self.before) >= ROWS_A_STATE * len(self.states)


def recurring(scaled: Float32[np.ndarray, "row k"], following: Float32[np.ndarray, "row k"]) -> Recurring | None:
    """The states of all rows; None where there are more than `MOST_STATES`.

    Args:
        scaled: Observations as the networks see them.
        following: The next ones.
    """
    if len(_distinct(scaled[: 4 * MOST_STATES])[0]) > MOST_STATES:
        return None
    first, states = _distinct(np.concatenate([scaled, following]))
    if len(first) > MOST_STATES:
        return None
    before, after = states[: len(scaled)], states[len(scaled) :]
    return Recurring(states=np.concatenate([scaled, following])[first], before=before, after=after)


def plan(
    rows: Recurring,
    actions: Int[np.ndarray, "row"],
    rewards: Float[np.ndarray, "row"],
    ended: Float[np.ndarray, "row"],
    halves: Int[np.ndarray, "row"],
    *,
    valid: int,
    gamma: float,
) -> Planned:
    """Advantages by planning, from all rows and from each half of the people.

    Args:
        rows: Their states.
        actions: Positions among the valid ones.
        rewards: Of each step.
        ended: 1 where the episode ended for good.
        halves: Half of the people, 0 or 1.
        valid: Number of valid actions.
        gamma: Discount a step.
    """

    def of(mine: Bool[np.ndarray, "row"]) -> Float32[np.ndarray, "state valid"]:
        return _advantages(rows, actions, rewards, ended, np.flatnonzero(mine), valid=valid, gamma=gamma)

    return Planned(states=rows.states, advantages=of(halves >= 0), halves=(of(halves == 0), of(halves == 1)))


def _advantages(
    rows: Recurring,
    actions: Int[np.ndarray, "row"],
    rewards: Float[np.ndarray, "row"],
    ended: Float[np.ndarray, "row"],
    mine: Int[np.ndarray, "part"],
    *,
    valid: int,
    gamma: float,
) -> Float32[np.ndarray, "state valid"]:
    size = len(rows.states)
    if not len(mine):
        return np.zeros((size, valid), dtype=np.float32)
    cells = rows.before[mine] * valid + actions[mine]
    count = np.bincount(cells, minlength=size * valid).reshape(size, valid)
    paid = np.bincount(cells, weights=rewards[mine], minlength=size * valid)
    moves = sparse.csr_matrix((1.0 - ended[mine], (cells, rows.after[mine])), shape=(size * valid, size))
    seen, visits = count.sum(axis=1) > 0, np.maximum(count.sum(axis=1), 1)
    values = np.zeros(size)
    for _ in range(SWEEPS):
        sums = (paid + gamma * (moves @ values)).reshape(size, valid)
        level = sums.sum(axis=1) / visits
        found = (sums + SHRINKAGE * level[:, None]) / (count + SHRINKAGE)
        new = np.where(count > 0, found, -np.inf).max(axis=1)
        # Of a state where nothing was decided yet, no more is known than of the others.
        new[~seen] = np.average(new[seen], weights=visits[seen])
        change, values = np.abs(new - values).max(), new
        if change <= CLOSE * max(np.abs(values).max(), 1e-12):
            break
    return np.where(seen[:, None], found - level[:, None], 0.0).astype(np.float32)


def _distinct(observations: Float32[np.ndarray, "row k"]) -> tuple[Int[np.ndarray, "state"], Int[np.ndarray, "row"]]:
    """First row of each distinct observation, and which of them each row is."""
    whole = np.ascontiguousarray(observations + np.float32(0))  # a zero has one sign
    keys = whole.view([("", np.void, whole.dtype.itemsize * whole.shape[1])]).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)
