"""What Q is linear in, for Markov worlds: columns of the state times actions, and what each state has of its own.

    Q(s, a) = sum over k, j of w_kj x_k(s) z_j(a)  +  u_s + u_sa

x is the state, as it is or with its products of two; z an indicator of the joint action, or the levels of its factors,
beside a 1. An action that nobody took in such a state is worth what the state is, not nothing: of the columns the 1,
and u_s. The u say what no column does, of states that come again; in others they are 0. All weights have one penalty,
so that a state or an action in it counts for itself as soon as it was seen more than a few times.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from frl_env.actions import ActionSpace

PENALTY = 1.0
"""Of a weight, in steps."""

Weights = Float[np.ndarray, "weight"]
Grid = Float[np.ndarray, "state joint"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What Q is linear in.

    Args:
        pairs: Whether products of two observations are columns of the state.
        joint: Whether each joint action has weights of its own, beside those of all; else levels add up.
        cells: Whether each state that was seen, and each action in it, has a weight of its own, beside the columns.
    """

    pairs: bool
    joint: bool
    cells: bool = False

    def states(self, observations: Float[np.ndarray, "state k"]) -> Float[np.ndarray, "state column"]:
        """Columns of the state, the first all 1."""
        x = np.asarray(observations, dtype=np.float32)
        one = np.ones((len(x), 1), dtype=np.float32)
        if not self.pairs:
            return np.concatenate([one, x], axis=1)
        first, second = np.triu_indices(x.shape[1])
        return np.concatenate([one, x[:, first] * x[:, second]], axis=1)

    def actions(self, space: ActionSpace) -> Float[np.ndarray, "joint action"]:
        """Columns of the actions."""
        own = [np.eye(space.n_joint, dtype=np.float32)]
        if not self.joint:
            own = [np.eye(n, dtype=np.float32)[space.joint_levels[:, f]][:, 1:] for f, n in enumerate(space.nvec)]
        return np.concatenate([np.ones((space.n_joint, 1), dtype=np.float32), *own], axis=1)


@dataclass(frozen=True)
class States:
    """Some states, as a form sees them.

    Attributes:
        rows: Columns of the states.
        actions: Columns of the actions.
        place: Of each among the states that were seen, -1 for others.
        seen: How many were seen; 0 where there are no cells.
    """

    rows: Float[np.ndarray, "state column"]
    actions: Float[np.ndarray, "joint action"]
    place: Int64[np.ndarray, "state"]
    seen: int

    def q(self, weights: Weights) -> Grid:
        """Q of all joint actions."""
        size = self.rows.shape[1] * self.actions.shape[1]
        found = self.rows @ weights[:size].reshape(self.rows.shape[1], -1) @ self.actions.T
        if self.seen:
            own = weights[size:].reshape(self.seen, -1)
            found = found + np.where((self.place >= 0)[:, None], own[self.place], 0.0)
        return found

    def gathered(self, grid: Grid) -> Weights:
        """`q` transposed: a number for each state and action to one for each weight."""
        columns = (self.rows.T.astype(np.float64) @ grid @ self.actions).ravel()
        if not self.seen:
            return columns
        own, known = np.zeros((self.seen, grid.shape[1])), self.place >= 0
        np.add.at(own, self.place[known], grid[known])
        return np.concatenate([columns, own.ravel()])


class Form:
    """A shape, on logged steps; it can do least squares.

    Args:
        shape: What Q is linear in.
        space: The actions.
        seen: The states of the steps, each once.
        counts: Steps by state and action.
    """

    def __init__(self, shape: Shape, space: ActionSpace, seen: Float[np.ndarray, "state k"], counts: Grid) -> None:
        self.shape, self.actions, self.counts = shape, shape.actions(space), counts
        self.places = {row.tobytes(): number for number, row in enumerate(seen)} if shape.cells else {}
        self.kind = seen.dtype
        rows = shape.states(seen)
        self.used = np.abs(rows).max(axis=0) > 0
        self.columns = States(rows[:, self.used], self.actions, np.full(len(seen), -1), 0)
        left = steps = counts[:, :, None] * np.eye(space.n_joint)
        if shape.cells:
            # u_s + u_sa of a state's actions vary as I + 1 does: each by itself, and all together.
            penalty = PENALTY * np.linalg.inv(np.eye(space.n_joint) + 1)
            self.own = np.linalg.inv(steps + penalty)
            left = steps - counts[:, :, None] * self.own * counts[:, None, :]
        self.inverse = self._inverse(left)

    def at(self, observations: Float[np.ndarray, "state k"]) -> States:
        """Columns of any states, and which of the states seen they are."""
        rows = np.asarray(observations, dtype=self.kind)
        place = np.array([self.places.get(row.tobytes(), -1) for row in rows], dtype=np.int64)
        return States(self.shape.states(observations)[:, self.used], self.actions, place, len(self.places))

    def solved(self, sums: Weights) -> Weights:
        """Least-squares weights, with penalties, of what is wanted of each step; `sums` are its `gathered` sums."""
        size = len(self.inverse)
        if not self.shape.cells:
            return self.inverse @ sums
        wanted = sums[size:].reshape(self.counts.shape)
        columns = self.inverse @ (sums[:size] - self.columns.gathered(self.counts * self._own(wanted)))
        return np.concatenate([columns, self._own(wanted - self.counts * self.columns.q(columns)).ravel()])

    def _own(self, sums: Grid) -> Grid:
        """Each state's u_s + u_sa that fit sums by state and action, after what the columns explain is taken off."""
        return np.einsum("sab,sb->sa", self.own, sums)

    def _inverse(self, left: Float[np.ndarray, "state joint joint"]) -> Float[np.ndarray, "weight weight"]:
        """Inverse of the columns' normal equations, once each state's own part has taken its share of the steps.

        `left` weighs the pairs of actions by state: diag(steps), less what the state's own part explains.
        """
        rows = self.columns.rows.astype(np.float64)
        squares = np.empty((rows.shape[1], self.actions.shape[1]) * 2)
        for (i, j), share in zip(np.ndindex(squares.shape[1::2]), self._by_action(left), strict=True):
            squares[:, i, :, j] = (rows * share[:, None]).T @ rows
        size = rows.shape[1] * self.actions.shape[1]
        return np.linalg.inv(squares.reshape(size, size) + PENALTY * np.eye(size))

    def _by_action(self, left: Float[np.ndarray, "state joint joint"]) -> Float[np.ndarray, "pair state"]:
        """z_i(a) left_ab z_j(b), summed over a and b, for each pair i, j of action columns."""
        by = np.einsum("ai,sab,bj->ijs", self.actions, left, self.actions, optimize=True)
        return by.reshape(-1, len(left))
