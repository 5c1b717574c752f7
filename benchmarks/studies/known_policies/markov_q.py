"""Regression on logged steps, for Markov worlds: fitted Q iteration (policies) and fitted Q evaluation (their values).

    W <- argmin  sum over rows ( r + g V(s') - Q(s, a; W) )^2 + penalty |W|^2
    Q(s, a; W) is linear in W (`q_forms`), and kept within the returns that were seen
    V(s) = max_a Q(s, a) or sum_a pi(a | s) Q(s, a)

There are as many iterations as the longest episode has steps, or until no value moves: fewer would leave out what comes
late. Without the limits a linear Q can run away, as nothing makes a step a contraction. States that ended earn nothing,
cut-off ones neither: an episode's end is the end of what counts. The regression is factorised once and serves all
policies. A value's error is that of the regression, too: a member's term has its influence on W, which solves the same
equations transposed, times what Q did not foresee of the member.
`frl_algos.fitted_q_evaluation`, which is for care data, adds levels up and lets the state change their sum only.

Source: Ernst et al. (2005); Le, Voloshin & Yue (2019).
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from benchmarks.studies.known_policies.q_forms import Form, Shape, Weights
from frl_algos.policies.policy import Probabilities
from frl_env.evaluation import ActionValues, Estimate, LoggedEpisodes

STILL = 1e-4
"""Iterations end when no state's value moves by more than this share of the returns' range."""


class Regression:
    """Least squares on the steps of some episodes, added up by state and action: there are few different states.

    Args:
        episodes: Logged.
        shape: Of Q.
        discount: Of a step.
    """

    def __init__(self, episodes: LoggedEpisodes, shape: Shape, discount: float) -> None:
        mask = episodes.mask
        self.discount, self.joints = discount, episodes.action_space.n_joint
        self.seen, at = np.unique(episodes.observation_rows, axis=0, return_inverse=True)
        self.cell = at.reshape(-1) * self.joints + episodes.actions[mask]
        self.rewards = episodes.rewards[mask]
        self.low, self.high = _limits(episodes, discount)
        self.longest = int(episodes.lengths.max())
        ends = np.zeros(mask.shape, dtype=bool)
        ends[np.arange(len(episodes)), episodes.lengths - 1] = True
        self.follows = np.flatnonzero(~ends[mask])
        self.next_state = at.reshape(-1)[self.follows + 1]
        self.form = Form(shape, episodes.action_space, self.seen, self._sums(np.ones(len(self.cell))))
        self.own = self.form.at(self.seen)

    def q(self, weights: Weights, observations: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "row joint"]:
        """Q of all joint actions in any states."""
        return self._kept(self.form.at(observations).q(weights))

    def improved(self, iterations: Sequence[int]) -> dict[int, Weights]:
        """Fitted Q iteration, as it stands after some numbers of iterations."""
        found, values = {}, np.zeros(len(self.seen))
        for done in range(1, max(iterations) + 1):
            weights = self._step(values)
            values = self._kept(self.own.q(weights)).max(axis=1)
            if done in iterations:
                found[done] = weights
        return found

    def evaluated(self, target: Probabilities) -> Weights:
        """Weights of Q of a policy, by fitted Q evaluation."""
        chances = np.asarray(target(self.seen))
        values = np.zeros(len(self.seen))
        weights = self._step(values)
        for _ in range(self.longest - 1):
            before, values = values, (self._kept(self.own.q(weights)) * chances).sum(axis=1)
            weights = self._step(values)
            if np.abs(values - before).max() <= STILL * (self.high - self.low):
                break
        return weights

    def influences(
        self,
        weights: Weights,
        target: Probabilities,
        starts: Float[np.ndarray, "start k"],
        unforeseen: Float[np.ndarray, "row"],
    ) -> Float[np.ndarray, "row"]:
        """What each logged step changes in the value of a policy, by what Q did not foresee of it.

        Args:
            weights: Of `evaluated`; a Q at a limit of the returns moves with no step.
            target: The policy.
            starts: States in which it is valued.
            unforeseen: r + g V(s') - Q(s, a) of the steps of this regression, by a Q of other members.
        """
        start = self.form.at(starts)
        first = start.gathered(np.asarray(target(starts)) * self._moves(start.q(weights))) / len(starts)
        following = np.asarray(target(self.seen)) * self._moves(self.own.q(weights))
        found = np.zeros_like(first)
        for _ in range(self.longest):
            step = self.own.q(found).ravel()[self.cell]
            reached = np.bincount(self.next_state, step[self.follows], minlength=len(self.seen))
            before = found
            found = self.form.solved(first + self.discount * self.own.gathered(reached[:, None] * following))
            if np.abs(found - before).max() <= STILL * np.abs(found).max():
                break
        return self.own.q(found).ravel()[self.cell] * unforeseen

    def _moves(self, q: np.ndarray) -> np.ndarray:
        """Which Q lie strictly between the lowest and highest return seen: only there does clipping leave a slope."""
        return (q > self.low) & (q < self.high)

    def _kept(self, q: np.ndarray) -> np.ndarray:
        """Q cut to the returns that were seen."""
        return np.clip(q, self.low, self.high)

    def _step(self, values: Float[np.ndarray, "state"]) -> Weights:
        """Weights of one regression of r + discount v(s') on the logged steps, with `values` for v."""
        wanted = self.rewards.copy()
        wanted[self.follows] += self.discount * values[self.next_state]
        return self.form.solved(self.own.gathered(self._sums(wanted)))

    def _sums(self, of: Float[np.ndarray, "row"]) -> Float[np.ndarray, "state joint"]:
        """Sums of a number of each logged step by state and joint action."""
        return np.bincount(self.cell, of, minlength=len(self.seen) * self.joints).reshape(-1, self.joints)


def _limits(episodes: LoggedEpisodes, discount: float) -> tuple[float, float]:
    """Least and largest return from any step on, with 0 between them."""
    low, high, following = 0.0, 0.0, np.zeros(len(episodes))
    for step in range(episodes.steps - 1, -1, -1):
        following = episodes.rewards[:, step] + discount * following
        low, high = min(low, float(following.min())), max(high, float(following.max()))
    return low, high


class CrossFitted:
    """Fitted Q evaluation in which no member values itself: two halves, each by the other's regression.

    Args:
        episodes: Logged.
        shape: Of Q.
        discount: Of a step.
    """

    def __init__(self, episodes: LoggedEpisodes, shape: Shape, discount: float) -> None:
        self.episodes = episodes
        self.halves = halves = [np.arange(len(episodes)) % 2 == half for half in (0, 1)]
        self.fits = [Regression(episodes.subset(np.flatnonzero(~own)), shape, discount) for own in halves]
        self.rows = [np.repeat(own, episodes.lengths) for own in halves]
        self.seen, at = np.unique(episodes.observation_rows, axis=0, return_inverse=True)
        self.at = at.reshape(-1)

    def values(self, target: Probabilities) -> tuple[ActionValues, Float[np.ndarray, "episode step"], Estimate]:
        """Q of the logged actions and V, the target's probabilities of the logged actions, and the policy's value."""
        episodes = self.episodes
        taken = episodes.actions[episodes.mask]
        chances = np.asarray(target(self.seen), dtype=np.float64)
        logged, policy = np.zeros(len(taken)), np.zeros(len(taken))
        weights = [fit.evaluated(target) for fit in self.fits]
        for own, fit, found in zip(self.rows, self.fits, weights, strict=True):
            q = fit.q(found, self.seen)
            logged[own] = q[self.at[own], taken[own]]
            policy[own] = (q * chances).sum(axis=1)[self.at[own]]
        values = ActionValues(logged=episodes.padded("Q", logged), policy=episodes.padded("V", policy))
        probabilities = episodes.padded("the target's probabilities", chances[self.at, taken], 1.0)
        return values, probabilities, self._estimate(target, values, weights)

    def _estimate(self, target: Probabilities, values: ActionValues, weights: Sequence[Weights]) -> Estimate:
        """Mean of V at the start, with the error of the regressions in the members' terms."""
        episodes, mask = self.episodes, self.episodes.mask
        following = np.zeros_like(values.policy)
        following[:, :-1] = values.policy[:, 1:]
        left = (episodes.rewards + self.fits[0].discount * following - values.logged)[mask]
        first, influence = self.at[np.cumsum(episodes.lengths) - episodes.lengths], np.zeros(len(episodes))
        for half, fit in enumerate(self.fits):
            # This regression values one half of the members, and is of the steps of the other.
            valued, learned = self.halves[half], ~self.halves[half]
            share = valued.mean() * len(episodes)
            own = left[np.repeat(learned, episodes.lengths)]
            steps = fit.influences(weights[half], target, self.seen[first[valued]], own)
            ends = np.cumsum(episodes.lengths[learned])
            influence[learned] = share * np.add.reduceat(steps, ends - episodes.lengths[learned])
        return Estimate(name="FQE", plain=values.policy[:, 0] + influence - influence.mean())
