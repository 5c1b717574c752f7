"""The value of a policy in states that recur, by a model of what follows and a correction with the logged rows.

    q(s, a) = (sum of r + gamma v(s') over the n_sa rows + k m_s) / (n_sa + k),    v(s) = sum_a pi(a | s) q(s, a)
    value   = mean of v(s_0)  +  sum over rows of  d_pi(s, a) / n_sa  (r + gamma v(s') - q(s, a))

m_s is the mean of all rows of the state, and d_pi how often the policy comes to an action in a state, discounted, by
the same model. The second sum takes out what the shrinkage of q put in (it is the doubly robust estimator of Kallus and
Uehara, 2020, with a table for q and for d_pi). One number an episode comes of it, so that values have standard errors
and policies are compared in pairs. The policy must not come from the same rows.

All of this supposes that a state tells what matters of the past (the Markov property). Where it does, what comes after
the next state, beyond what that state is worth, has nothing to do with what was done before it. `afterwards` has that
remainder, so that the supposition can be tested.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float

from frl_algos.action_effects.logged_steps import SHRINKAGE, LoggedSteps, StepTable, settled


class ModelOfSteps:
    """The process that some rows estimate, and what policies are worth in it.

    Args:
        steps: All rows.
        mine: Those to use: whole episodes.
    """

    def __init__(self, steps: LoggedSteps, mine: Bool[np.ndarray, "row"]) -> None:
        """Counts."""
        self._table = StepTable(steps, mine)
        self.visits = self._table.visits
        self.episodes, self._row_episode = np.unique(steps.episodes[mine], return_inverse=True)
        self._first = np.unique(self._row_episode, return_index=True)[1]

    def gains(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "episode"]:
        """What the policy is worth more than the logged decisions: one number for each of `episodes`."""
        return self._values(policy) - self._logged

    @cached_property
    def _logged(self) -> Float[np.ndarray, "episode"]:
        return self._values(self._table.shares)

    def afterwards(self, levels: Float[np.ndarray, "valid level"]) -> Float[np.ndarray, "episode level"]:
        """Sums over decisions of (level taken - its share in the state) x (what came after the next state, beyond it).

        Zero on average where states are Markov.

        Args:
            levels: 1 where an action has a level.
        """
        table = self._table
        _, values = self._solved(table.shares)
        errors = table.outcomes(values) - values[table.before]
        later, ends = np.zeros(len(errors)), np.append(self._first[1:], len(errors))
        longest = int((ends - self._first).max(initial=0))
        for back in range(2, longest + 1):
            rows = ends - back
            rows = rows[rows >= self._first]
            later[rows] = table.gamma * (errors[rows + 1] + later[rows + 1])
        taken = levels[table.cells % len(levels)] - (table.shares @ levels)[table.before]
        sums = np.zeros((len(self.episodes), levels.shape[1]))
        np.add.at(sums, self._row_episode, taken * later[:, None])
        return sums

    def _values(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "episode"]:
        """Value of a policy by episode: v at its start, plus the weighted surprises of its rows.

        A surprise is r + gamma v(s') - q(s, a). Its weight is how much more often the policy comes there than the data.
        """
        table = self._table
        q, values = self._solved(policy)
        weights = len(self.episodes) * (self._come(policy) / np.maximum(table.count, 1)).ravel()[table.cells]
        beyond = table.outcomes(values) - q.ravel()[table.cells]
        corrections = np.bincount(self._row_episode, weights=weights * beyond, minlength=len(self.episodes))
        return values[table.before[self._first]] + corrections

    def _solved(
        self, policy: Float[np.ndarray, "state valid"]
    ) -> tuple[Float[np.ndarray, "state valid"], Float[np.ndarray, "state"]]:
        """Values of actions and of states; a state without rows is worth the mean of the others."""
        table = self._table

        def better(values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state"]:
            return table.filled((policy * table.shrunk(values)).sum(axis=1))

        values = settled(better, np.zeros(len(policy)))
        return table.shrunk(values), values

    def _come(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "state valid"]:
        """d_pi(s, a): discounted number of times that an episode comes to a state and action."""
        table = self._table
        start = np.bincount(table.before[self._first], minlength=len(policy)) / len(self.episodes)
        visits = np.maximum(table.visits, 1)
        backwards = table.moves.T.tocsr()

        def further(here: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state"]:
            # The transpose of `StepTable.shrunk`, by which Q also rests on rows of the state's other actions.
            flow = here[:, None] * policy / table.certain
            of_state = (SHRINKAGE * flow.sum(axis=1) / visits)[:, None]
            return start + table.gamma * (backwards @ (flow + of_state).ravel()) * table.seen

        return settled(further, start)[:, None] * policy
