"""Regression on logged steps, for Markov worlds: fitted Q iteration (policies) and fitted Q evaluation (their values).

    W <- argmin  sum over rows ( r + g V(s') - psi(s, a) . W )^2 + penalty |W|^2
    Q = psi . W within the returns that were seen;     V(s) = max_a Q(s, a) or sum_a pi(a | s) Q(s, a)

psi is a column of the state, as it is and times an indicator of the joint action (or the levels of its factors): what
an action does may depend on the state, and an action that nobody took in such a state is worth what the state is, not
nothing. There are as many iterations as the longest episode has steps, or until no value moves: fewer would leave out
what comes late. Without the limits a linear Q can run away, as nothing makes a step a contraction. States that ended
earn nothing, cut-off ones neither: an episode's end is the end of what counts. The regression is factorised once and
serves all policies. A value's error is that of the regression, too: a member's term has its influence on W, which
solves the same equations transposed, times what Q did not foresee of the member.
`frl_algos.fitted_q_evaluation`, which is for care data, adds levels up and lets the state change their sum only.

Source: Ernst et al. (2005); Le, Voloshin & Yue (2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frl_algos.policies.policy import Probabilities
from frl_env.actions import ActionSpace
from frl_env.evaluation import ActionValues, Estimate, LoggedEpisodes

PENALTY = 1.0
STILL = 1e-4
"""Iterations end when no state's value moves by more than this share of the returns' range."""

Weights = Float[np.ndarray, "column action"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What Q is linear in.

    Args:
        pairs: Whether products of two observations are columns of the state.
        joint: Whether each joint action has weights of its own, beside those of all; else levels add up.
    """

    pairs: bool
    joint: bool

    def states(self, observations: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "row column"]:
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


class Regression:
    """Least squares on the steps of some episodes, added up by state and action: there are few different states.

    Args:
        episodes: Logged.
        shape: Of Q.
        discount: Of a step.
    """

    def __init__(self, episodes: LoggedEpisodes, shape: Shape, discount: float) -> None:
        mask, space = episodes.mask, episodes.action_space
        self.shape, self.discount, self.joints = shape, discount, space.n_joint
        self.actions = shape.actions(space)
        self.seen, at = np.unique(episodes.observation_rows, axis=0, return_inverse=True)
        rows = shape.states(self.seen)
        self.used = np.abs(rows).max(axis=0) > 0
        self.rows = rows[:, self.used]
        self.cell = at.reshape(-1) * self.joints + episodes.actions[mask]
        self.rewards = episodes.rewards[mask]
        self.low, self.high = _limits(episodes, discount)
        self.longest = int(episodes.lengths.max())
        ends = np.zeros(mask.shape, dtype=bool)
        ends[np.arange(len(episodes)), episodes.lengths - 1] = True
        self.follows = np.flatnonzero(~ends[mask])
        self.next_state = at.reshape(-1)[self.follows + 1]
        cells, count = np.unique(self.cell, return_counts=True)
        columns = self.rows[cells // self.joints][:, :, None] * self.actions[cells % self.joints][:, None, :]
        columns = columns.reshape(len(cells), -1).astype(np.float64) * np.sqrt(count)[:, None]
        squares = columns.T @ columns
        self.inverse = np.linalg.inv(squares + PENALTY * np.eye(len(squares)))

    def q(self, weights: Weights, observations: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "row joint"]:
        """Q of all joint actions in any states."""
        return self._q(weights, self.shape.states(observations)[:, self.used])

    def improved(self, iterations: Sequence[int]) -> dict[int, Weights]:
        """Fitted Q iteration, as it stands after some numbers of iterations."""
        found, values = {}, np.zeros(len(self.seen))
        for done in range(1, max(iterations) + 1):
            weights = self._step(values)
            values = self._q(weights, self.rows).max(axis=1)
            if done in iterations:
                found[done] = weights
        return found

    def evaluated(self, target: Probabilities) -> Weights:
        """Fitted Q evaluation of a policy."""
        chances = np.asarray(target(self.seen))
        values = np.zeros(len(self.seen))
        weights = self._step(values)
        for _ in range(self.longest - 1):
            before, values = values, (self._q(weights, self.rows) * chances).sum(axis=1)
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
        rows = self.shape.states(starts)[:, self.used]
        own = (np.asarray(target(starts)) * self._moves(weights, rows)) @ self.actions
        first = rows.T.astype(np.float64) @ own / len(starts)
        following = (np.asarray(target(self.seen)) * self._moves(weights, self.rows)) @ self.actions
        found = np.zeros_like(first)
        for _ in range(self.longest):
            step = (self.rows @ found @ self.actions.T).ravel()[self.cell]
            reached = np.bincount(self.next_state, step[self.follows], minlength=len(self.seen))
            total = first + self.discount * self.rows.T @ (reached[:, None] * following)
            before, found = found, (self.inverse @ total.ravel()).reshape(total.shape)
            if np.abs(found - before).max() <= STILL * np.abs(found).max():
                break
        return (self.rows @ found @ self.actions.T).ravel()[self.cell] * unforeseen

    def _moves(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        """Where Q is within the returns that were seen."""
        q = rows @ weights @ self.actions.T
        return (q > self.low) & (q < self.high)

    def _q(self, weights: Weights, rows: np.ndarray) -> np.ndarray:
        return np.clip(rows @ weights @ self.actions.T, self.low, self.high)

    def _step(self, values: Float[np.ndarray, "state"]) -> Weights:
        """One regression, where the states seen are worth so much from then on."""
        wanted = self.rewards.copy()
        wanted[self.follows] += self.discount * values[self.next_state]
        sums = np.bincount(self.cell, wanted, minlength=len(self.seen) * self.joints).reshape(-1, self.joints)
        products = self.rows.T @ sums @ self.actions
        return (self.inverse @ products.ravel()).reshape(products.shape)


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
