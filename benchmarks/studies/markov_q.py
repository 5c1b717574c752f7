"""Regression on logged steps, for Markov worlds: fitted Q iteration (policies) and fitted Q evaluation (their values).

    W <- argmin  sum over rows ( r + g V(s') - psi(s, a) . W )^2 + penalty |W|^2
    Q = psi . W within the returns that were seen;     V(s) = max_a Q(s, a) or sum_a pi(a | s) Q(s, a)

psi is a column of the state times an indicator of the joint action (or the levels of its factors): what an action does
may depend on the state. Without the limits a linear Q can run away: nothing makes the step a contraction. States that ended earn nothing, cut-off ones too: an episode's end is the end of what counts.
The regression is factorised once and serves all policies; `frl_algos.fitted_q_evaluation`, which is for care data, adds
levels up and lets the state change their sum only.

Source: Ernst et al. (2005); Le, Voloshin & Yue (2019).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from frl_algos.policies.policy import Probabilities
from frl_env.actions import ActionSpace
from frl_env.evaluation import ActionValues, LoggedEpisodes

PENALTY = 1.0
ITERATIONS = 20

Weights = Float[np.ndarray, "column action"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What Q is linear in.

    Args:
        pairs: Whether products of two observations are columns of the state.
        joint: Whether each joint action has weights of its own; else levels add up.
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
        if self.joint:
            return np.eye(space.n_joint, dtype=np.float32)
        levels = [np.eye(n, dtype=np.float32)[space.joint_levels[:, f]][:, 1:] for f, n in enumerate(space.nvec)]
        return np.concatenate([np.ones((space.n_joint, 1), dtype=np.float32), *levels], axis=1)


class Regression:
    """Least squares on the rows of some episodes.

    Args:
        episodes: Logged.
        shape: Of Q.
        discount: Of a step.
    """

    def __init__(self, episodes: LoggedEpisodes, shape: Shape, discount: float) -> None:
        mask, space = episodes.mask, episodes.action_space
        self.shape, self.discount, self.space = shape, discount, space
        self.actions = shape.actions(space)
        rows = shape.states(episodes.observation_rows)
        self.used = np.abs(rows).max(axis=0) > 0
        self.rows = rows[:, self.used]
        self.observations = episodes.observation_rows
        self.taken = episodes.actions[mask]
        self.rewards = episodes.rewards[mask]
        returns = episodes.returns(discount)
        self.low, self.high = min(0.0, float(returns.min())), max(0.0, float(returns.max()))
        ends = np.zeros(mask.shape, dtype=bool)
        ends[np.arange(len(episodes)), episodes.lengths - 1] = True
        self.follows = np.flatnonzero(~ends[mask])
        self.columns = (self.rows[:, :, None] * self.actions[self.taken][:, None, :]).reshape(len(self.rows), -1)
        squares = self.columns.T @ self.columns
        self.inverse = np.linalg.inv(squares.astype(np.float64) + PENALTY * np.eye(len(squares))).astype(np.float32)

    def states(self, observations: np.ndarray) -> np.ndarray:
        """Columns of any states."""
        return self.shape.states(observations)[:, self.used]

    def q(self, weights: Weights, rows: np.ndarray) -> Float[np.ndarray, "row joint"]:
        """Q of all joint actions."""
        return np.clip(rows @ weights @ self.actions.T, self.low, self.high)

    def step(self, following: Float[np.ndarray, "follows"]) -> Weights:
        """One regression; `following` is the value of the next state of the rows that have one."""
        wanted = self.rewards.astype(np.float32)
        wanted[self.follows] += self.discount * following
        return (self.inverse @ (self.columns.T @ wanted)).reshape(self.rows.shape[1], -1)

    def improved(self, iterations: Sequence[int]) -> dict[int, Weights]:
        """Fitted Q iteration, as it stands after some numbers of iterations."""
        found, following = {}, np.zeros(len(self.follows), dtype=np.float32)
        for done in range(1, max(iterations) + 1):
            weights = self.step(following)
            following = self.q(weights, self.rows[self.follows + 1]).max(axis=1)
            if done in iterations:
                found[done] = weights
        return found

    def evaluated(self, chances: Float[np.ndarray, "row joint"]) -> Weights:
        """Fitted Q evaluation of the policy that has these probabilities in the rows."""
        following = np.zeros(len(self.follows), dtype=np.float32)
        weights = self.step(following)
        for _ in range(ITERATIONS - 1):
            following = (self.q(weights, self.rows[self.follows + 1]) * chances[self.follows + 1]).sum(axis=1)
            weights = self.step(following)
        return weights


class CrossFitted:
    """Fitted Q evaluation in which no member values itself: two halves, each by the other's regression.

    Args:
        episodes: Logged.
        shape: Of Q.
        discount: Of a step.
    """

    def __init__(self, episodes: LoggedEpisodes, shape: Shape, discount: float) -> None:
        self.episodes = episodes
        self.halves = [np.arange(len(episodes)) % 2 == half for half in (0, 1)]
        self.fits = [Regression(episodes.subset(np.flatnonzero(~own)), shape, discount) for own in self.halves]
        self.rows = [np.repeat(own, episodes.lengths) for own in self.halves]

    def values(self, target: Probabilities) -> tuple[ActionValues, Float[np.ndarray, "episode step"]]:
        """Q of the logged actions and V, and the target's probabilities of the logged actions."""
        episodes = self.episodes
        observations, taken = episodes.observation_rows, episodes.actions[episodes.mask]
        chances = np.asarray(target(observations), dtype=np.float32)
        logged, policy = np.zeros(len(taken)), np.zeros(len(taken))
        for own, fit in zip(self.rows, self.fits, strict=True):
            q = fit.q(fit.evaluated(chances[~own]), fit.states(observations[own]))
            logged[own] = q[np.arange(len(q)), taken[own]]
            policy[own] = (q * chances[own]).sum(axis=1)
        values = ActionValues(logged=episodes.padded("Q", logged), policy=episodes.padded("V", policy))
        return values, episodes.padded("the target's probabilities", chances[np.arange(len(taken)), taken], 1.0)
