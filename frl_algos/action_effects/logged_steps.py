"""Logged steps by state, where states recur: counts, payments and moves of each action in each state.

In some data an observation is one of few states, each seen again and again. Then the decision process itself can be
estimated, without an assumption on how what follows depends on the state.
"""

from collections.abc import Callable
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
"""Sweeps of an iteration at most, and the change at which it stops, as a share of the largest value."""


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

    def shared(self, people: Int[np.ndarray, "row"], smallest: int) -> Bool[np.ndarray, "state"]:
        """States that so many people were in before a decision.

        Args:
            people: Person of each row, numbered from 0.
            smallest: Number of people.
        """
        each = np.unique(np.stack([self.before, people]), axis=1)[0]
        return np.bincount(each, minlength=len(self.states)) >= smallest


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


@dataclass(frozen=True, kw_only=True)
class LoggedSteps:
    """Rows by state, with what a model is made of.

    Attributes:
        states: Before and after each row.
        actions: Positions among the valid ones.
        rewards: Of each step.
        ended: 1 where the episode ended for good.
        episodes: Episode of each row, numbered from 0; rows of an episode follow each other.
        valid: Number of valid actions.
        gamma: Discount a step.
    """

    states: Recurring
    actions: Int[np.ndarray, "row"]
    rewards: Float[np.ndarray, "row"]
    ended: Float[np.ndarray, "row"]
    episodes: Int[np.ndarray, "row"]
    valid: int
    gamma: float


class StepTable:
    """The process that some rows estimate.

    Attributes:
        before, after: State before and after each row.
        cells: Action in a state of each row, numbered from 0.
        rewards: Of each row.
        going: 1 where the episode goes on after the row.
        count: Rows of each action in each state.
        visits: Rows of each state.
        seen: Whether a state has rows.
        shares: Of each action in the rows of a state.
        paid: Sum of rewards of each cell.
        moves: Number of rows that go from each cell to each state.
        certain: `count`, with the `SHRINKAGE` rows of the state's mean.

    Args:
        steps: All rows.
        mine: Those to use: whole episodes.
    """

    def __init__(self, steps: LoggedSteps, mine: Bool[np.ndarray, "row"]) -> None:
        """Counts rows by state, action and next state."""
        size, valid = len(steps.states.states), steps.valid
        rows = np.flatnonzero(mine)
        self.gamma = steps.gamma
        self.before, self.after = steps.states.before[rows], steps.states.after[rows]
        self.cells = self.before * valid + steps.actions[rows]
        self.rewards, self.going = steps.rewards[rows].astype(np.float64), 1.0 - steps.ended[rows]
        self.count = np.bincount(self.cells, minlength=size * valid).reshape(size, valid)
        self.paid = np.bincount(self.cells, weights=self.rewards, minlength=size * valid)
        self.moves = sparse.csr_matrix((self.going, (self.cells, self.after)), shape=(size * valid, size))
        self.visits = self.count.sum(axis=1)
        self.seen = self.visits > 0
        self.shares = self.count / np.maximum(self.visits, 1)[:, None]
        self.certain = self.count + SHRINKAGE

    def outcomes(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "part"]:
        """What each row comes to: r + gamma v(s')."""
        return self.rewards + self.gamma * self.going * values[self.after]

    def sums(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state valid"]:
        """Sum over the rows of each cell of r + gamma v(s')."""
        return (self.paid + self.gamma * (self.moves @ values)).reshape(self.count.shape)

    def means(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state valid"]:
        """Mean over the rows of each cell of r + gamma v(s'); 0 where there are none."""
        return self.sums(values) / np.maximum(self.count, 1)

    def shrunk(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state valid"]:
        """The means, shrunk to that of all rows of the state by `SHRINKAGE` rows of it."""
        sums = self.sums(values)
        level = sums.sum(axis=1) / np.maximum(self.visits, 1)
        return (sums + SHRINKAGE * level[:, None]) / self.certain

    def logged_mean(self, q: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "state"]:
        """Mean of q over the decisions logged in each state; 0 where there are none."""
        return (self.shares * q).sum(axis=1)

    def filled(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state"]:
        """Puts the visit-weighted mean of the states with rows where a state has none: no more is known of it."""
        values[~self.seen] = np.average(values[self.seen], weights=self.visits[self.seen])
        return values

    def variance(self, values: Float[np.ndarray, "state"]) -> float:
        """Variance of r + gamma v(s') around the mean of its cell (a state and an action), pooled over cells."""
        around = self.outcomes(values) - self.means(values).ravel()[self.cells]
        return float((around**2).sum() / max((self.count - 1).clip(0).sum(), 1))


def settled(
    better: Callable[[Float[np.ndarray, "state"]], Float[np.ndarray, "state"]], values: Float[np.ndarray, "state"]
) -> Float[np.ndarray, "state"]:
    """Values at which `better`, applied again and again, hardly changes them any more."""
    for _ in range(SWEEPS):
        new = better(values)
        change, values = np.abs(new - values).max(), new
        if change <= CLOSE * max(np.abs(values).max(), 1e-12):
            break
    return values


def _distinct(observations: Float32[np.ndarray, "row k"]) -> tuple[Int[np.ndarray, "state"], Int[np.ndarray, "row"]]:
    """First row of each distinct observation, and which of them each row is."""
    whole = np.ascontiguousarray(observations + np.float32(0))  # a zero has one sign
    keys = whole.view([("", np.void, whole.dtype.itemsize * whole.shape[1])]).ravel()
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    return first, inverse.reshape(-1)
