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

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from frl_algos.effects.planning import CLOSE, SHRINKAGE, SWEEPS, Recurring


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


class ModelOfSteps:
    """The process that some rows estimate, and what policies are worth in it.

    Args:
        steps: All rows.
        mine: Those to use: whole episodes.
    """

    def __init__(self, steps: LoggedSteps, mine: Bool[np.ndarray, "row"]) -> None:
        """Counts."""
        size, valid = len(steps.states.states), steps.valid
        rows = np.flatnonzero(mine)
        self._gamma, self._valid = steps.gamma, valid
        self._before, self._after = steps.states.before[rows], steps.states.after[rows]
        self._cells = self._before * valid + steps.actions[rows]
        self._rewards, self._going = steps.rewards[rows].astype(np.float64), 1.0 - steps.ended[rows]
        self.episodes, self._row_episode = np.unique(steps.episodes[rows], return_inverse=True)
        self._first = np.unique(self._row_episode, return_index=True)[1]
        self._count = np.bincount(self._cells, minlength=size * valid).reshape(size, valid)
        self._paid = np.bincount(self._cells, weights=self._rewards, minlength=size * valid)
        self._moves = sparse.csr_matrix((self._going, (self._cells, self._after)), shape=(size * valid, size))
        self.visits = self._count.sum(axis=1)
        self._own = self._count / np.maximum(self.visits, 1)[:, None]

    def gains(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "episode"]:
        """What the policy is worth more than the logged decisions: one number for each of `episodes`."""
        return self._values(policy) - self._values(self._own)

    def afterwards(self, levels: Float[np.ndarray, "valid level"]) -> Float[np.ndarray, "episode level"]:
        """Sums over decisions of (level taken - its share in the state) x (what came after the next state, beyond it).

        Zero on average where states are Markov.

        Args:
            levels: 1 where an action has a level.
        """
        _, values = self._solved(self._own)
        errors = self._rewards + self._gamma * self._going * values[self._after] - values[self._before]
        later, ends = np.zeros(len(errors)), np.append(self._first[1:], len(errors))
        longest = int((ends - self._first).max(initial=0))
        for back in range(2, longest + 1):
            rows = ends - back
            rows = rows[rows >= self._first]
            later[rows] = self._gamma * (errors[rows + 1] + later[rows + 1])
        taken = levels[self._cells % self._valid] - (self._own @ levels)[self._before]
        sums = np.zeros((len(self.episodes), levels.shape[1]))
        np.add.at(sums, self._row_episode, taken * later[:, None])
        return sums

    def _values(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "episode"]:
        q, values = self._solved(policy)
        come = self._come(policy)
        weights = len(self.episodes) * (come / np.maximum(self._count, 1)).ravel()[self._cells]
        beyond = self._rewards + self._gamma * self._going * values[self._after] - q.ravel()[self._cells]
        corrections = np.bincount(self._row_episode, weights=weights * beyond, minlength=len(self.episodes))
        return values[self._before[self._first]] + corrections

    def _solved(self, policy: Float[np.ndarray, "state valid"]) -> tuple[np.ndarray, np.ndarray]:
        """Values of actions and of states; a state without rows is worth the mean of the others."""
        seen, visits = self.visits > 0, np.maximum(self.visits, 1)
        values = np.zeros(len(policy))
        for _ in range(SWEEPS):
            sums = (self._paid + self._gamma * (self._moves @ values)).reshape(policy.shape)
            q = (sums + SHRINKAGE * (sums.sum(axis=1) / visits)[:, None]) / (self._count + SHRINKAGE)
            new = (policy * q).sum(axis=1)
            new[~seen] = np.average(new[seen], weights=visits[seen])
            change, values = np.abs(new - values).max(), new
            if change <= CLOSE * max(np.abs(values).max(), 1e-12):
                break
        return q, values

    def _come(self, policy: Float[np.ndarray, "state valid"]) -> Float[np.ndarray, "state valid"]:
        """d_pi: discounted number of times, an episode."""
        start = np.bincount(self._before[self._first], minlength=len(policy)) / len(self.episodes)
        seen, visits = self.visits > 0, np.maximum(self.visits, 1)
        certain = self._count + SHRINKAGE
        backwards = self._moves.T.tocsr()
        here = start
        for _ in range(SWEEPS):
            flow = here[:, None] * policy / certain
            of_state = (SHRINKAGE * flow.sum(axis=1) / visits)[:, None]
            new = start + self._gamma * (backwards @ (flow + of_state).ravel()) * seen
            change, here = np.abs(new - here).max(), new
            if change <= CLOSE * max(here.max(), 1e-12):
                break
        return here[:, None] * policy
