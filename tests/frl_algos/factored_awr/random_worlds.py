"""Small random worlds with factored actions, whose true values are exact or rolled out without noise.

    r(s, a) = sum_f w_f(a_f) + sum_{f<g} w_fg(a_f, a_g) + <x(s), v_f(a_f)> + noise      some of these terms, by chance

In a bandit every step has a new state; in a chain the state goes on, the level of the first factor moves it, and the
reward may come late.
"""

from dataclasses import dataclass

import numpy as np

from frl_algos import FactoredReplayBuffer
from frl_env.actions import ActionSpace


@dataclass(frozen=True, kw_only=True)
class RandomWorld:
    """One world.

    Args:
        seed: Of everything in it.
        nvec: Levels of each factor.
        horizon: Steps of an episode; 1 is a bandit.
        size: Observed numbers.
        noise: Standard deviation of the noise, in standard deviations of the mean reward.
        sharpness: How far the logging policy is from uniform.
    """

    seed: int
    nvec: tuple[int, ...]
    horizon: int
    size: int
    noise: float
    sharpness: float

    def __post_init__(self):
        rng = np.random.default_rng(self.seed)
        space = ActionSpace.from_nvec(self.nvec)
        levels = space.joint_levels
        mean = np.zeros(space.n_joint)
        by_state = np.zeros((space.n_joint, self.size))
        kinds = rng.random(4) < (0.7, 0.5, 0.5, 0.3)
        kinds[rng.integers(4)] = True
        for f, n in enumerate(self.nvec):
            mean += kinds[0] * rng.normal(size=n)[levels[:, f]]
            by_state += kinds[2] * rng.normal(size=(n, self.size))[levels[:, f]]
            for g in range(f):
                code = levels[:, f] * self.nvec[g] + levels[:, g]
                mean += kinds[1] * rng.normal(size=n * self.nvec[g])[code]
                by_state += kinds[3] * rng.normal(size=(n * self.nvec[g], self.size))[code]
        spread = np.sqrt(mean.var() + (by_state**2).sum(axis=1).mean()) or 1.0
        own = dict(
            space=space, mean=mean / spread, by_state=by_state / spread,
            logits=self.sharpness * rng.normal(size=space.n_joint),
            state_logits=self.sharpness * 0.5 * rng.normal(size=(space.n_joint, self.size)),
            moves=rng.normal(size=(self.nvec[0], self.size)), late=self.horizon > 1 and rng.random() < 0.5,
        )  # fmt: skip
        for name, value in own.items():
            object.__setattr__(self, name, value)

    def logged(self, x):
        """Probabilities of the logging policy."""
        z = self.logits + x @ self.state_logits.T
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def rewards(self, x):
        """Mean reward of every joint action, `(episode, joint)`."""
        return self.mean + x @ self.by_state.T

    def roll(self, choose, episodes, seed, noisy=True):
        """Observations, joint actions, rewards; `(episode, step)`."""
        rng = np.random.default_rng((seed, 5))
        x = rng.normal(size=(episodes, self.size))
        seen, done, paid = [x], [], []
        for step in range(self.horizon):
            joints = choose(x, rng)
            reward = self.rewards(x)[np.arange(episodes), joints]
            if self.late and step < self.horizon - 1:
                reward = np.zeros(episodes)
            paid.append(reward + noisy * self.noise * rng.normal(size=episodes))
            moved = 0.6 * x + 0.6 * self.moves[self.space.joint_levels[joints, 0]] + 0.5 * rng.normal(size=x.shape)
            x = moved if self.horizon > 1 else rng.normal(size=x.shape)
            seen.append(x)
            done.append(joints)
        return np.stack(seen, axis=1), np.stack(done, axis=1), np.stack(paid, axis=1)

    def buffer(self, rows, seed):
        """Logged episodes."""
        seen, done, paid = self.roll(lambda x, rng: _draw(self.logged(x), rng), rows // self.horizon, seed)
        return FactoredReplayBuffer(
            observations=seen[:, :-1].reshape(-1, self.size).astype(np.float32),
            actions=self.space.unravel(done.reshape(-1)),
            rewards=paid.reshape(-1).astype(np.float32),
            next_observations=seen[:, 1:].reshape(-1, self.size).astype(np.float32),
            lengths=np.full(len(done), self.horizon),
            terminated=np.ones(len(done), bool),
            action_space=self.space,
            seed=seed,
        )

    def value(self, probabilities, episodes=4_000):
        """True mean return of a policy, observations to probabilities of all joint actions."""

        def choose(x, rng):
            return _draw(probabilities(x.astype(np.float32)), rng)

        return float(self.roll(choose, episodes, 0, noisy=False)[2].sum(axis=1).mean())

    def span(self):
        """From random actions to the best action of each step, which in a chain is a greedy one."""
        uniform = self.value(lambda x: np.full((len(x), self.space.n_joint), 1 / self.space.n_joint))
        best = self.value(lambda x: np.eye(self.space.n_joint)[self.rewards(x).argmax(axis=1)])
        return abs(best - uniform)


def _draw(chances, rng):
    cumulative = chances.cumsum(axis=1)
    level = rng.random((len(chances), 1)) * cumulative[:, -1:] * (1 - 1e-9)
    return (cumulative <= level).sum(axis=1)
