"""Sums of a regression whose columns are products of something of the action and something of the state.

Column p of the effects' regression is u_p(a) z_{i(p)}(s): a term of the action times one of z = (1, s_1, ..., s_k). So

    sum over rows of w C_p C_q  =  sum over actions a of u_p(a) u_q(a) S_a[i(p), i(q)],      S_a = sum w z z'

and rows are gone through once, for S, whatever the number of columns. What depends on the state alone (the features by
which columns are centred, and those that are free) is appended to z.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frl_algos.action_effects.terms import Terms

MOST_SUMS = 20_000_000
"""Numbers in the sums of all actions, at most; with more, rows are gone through column by column."""

ROWS_AT_ONCE = 100_000
"""Rows whose z is held at once."""


@dataclass(frozen=True, kw_only=True)
class ProductColumns:
    """The columns of some terms as products.

    Attributes:
        of_action: `(valid, column)`, u.
        of_state: `(column,)`, i: 0 for the constant, else one more than the observation.
    """

    of_action: Float[np.ndarray, "valid column"]
    of_state: Int[np.ndarray, "column"]

    @classmethod
    def of_terms(cls, terms: Terms, observation_size: int) -> "ProductColumns | None":
        """None where columns are not such products: indications are sums over observations."""
        if terms.indicated.any():
            return None
        of_action, of_state = [terms.fixed], [np.zeros(terms.fixed.shape[1], dtype=np.int64)]
        if terms.crossing.shape[1]:
            own = np.repeat(terms.fixed[:, :1], observation_size, axis=1)
            of_action += [own, np.repeat(terms.crossing, observation_size, axis=1)]
            of_state.append(np.tile(np.arange(1, observation_size + 1), 1 + terms.crossing.shape[1]))
        return cls(of_action=np.concatenate(of_action, axis=1, dtype=np.float64), of_state=np.concatenate(of_state))

    def fits(self, known: int) -> bool:
        """Whether the sums of all actions, with z of so many numbers, are few enough to hold."""
        return len(self.of_action) * known**2 <= MOST_SUMS

    def columns(
        self, states: Float[np.ndarray, "row k"], actions: Int[np.ndarray, "row"], wanted: Int[np.ndarray, "some"]
    ) -> Float[np.ndarray, "row some"]:
        """Some of the columns of some rows."""
        z = np.concatenate([np.ones((len(states), 1)), states], axis=1)
        return self.of_action[np.ix_(actions, wanted)] * z[:, self.of_state[wanted]]

    def with_themselves(self, sums: Float[np.ndarray, "valid z z"]) -> Float[np.ndarray, "column column"]:
        """Weighted products of columns with columns."""
        found = np.zeros((len(self.of_state), len(self.of_state)))
        # Columns with the same factor of the state have the same sums: whole blocks at once.
        groups = [np.flatnonzero(self.of_state == i) for i in range(int(self.of_state.max()) + 1)]
        for i, mine in enumerate(groups):
            for j, other in enumerate(groups[: i + 1]):
                block = self.of_action[:, mine].T @ (sums[:, i, j, None] * self.of_action[:, other])
                found[np.ix_(mine, other)] = block
                found[np.ix_(other, mine)] = block.T
        return found

    def with_known(self, sums: Float[np.ndarray, "valid z known"]) -> Float[np.ndarray, "column known"]:
        """Weighted products of columns with what depends on the state alone, or with targets."""
        found = np.zeros((len(self.of_state), sums.shape[2]))
        for i in range(int(self.of_state.max()) + 1):
            mine = np.flatnonzero(self.of_state == i)
            found[mine] = self.of_action[:, mine].T @ sums[:, i]
        return found


def add_by_action(
    found: Float[np.ndarray, "valid z known"],
    z: Float[np.ndarray, "row z"],
    weights: Float[np.ndarray, "row"],
    actions: Int[np.ndarray, "row"],
    targets: Float[np.ndarray, "row"] | None = None,
) -> None:
    """Adds, for each action, the weighted sum over its rows of z z'; of z times the targets where given.

    Args:
        found: Sums so far, with one last column for targets.
        z: What of each row depends on the state alone; `ROWS_AT_ONCE` rows, say.
        weights: Of the rows.
        actions: Positions among the valid ones.
        targets: One number a row.
    """
    order = np.argsort(actions, kind="stable")
    sorted_actions = actions[order]
    rows = z[order].astype(np.float64)
    weighted = rows * weights[order, None]
    with_what = rows if targets is None else targets[order, None]
    starts = np.flatnonzero(np.diff(sorted_actions, prepend=-1))
    for first, end in zip(starts, [*starts[1:], len(order)], strict=True):
        found[sorted_actions[first]] += weighted[first:end].T @ with_what[first:end]
