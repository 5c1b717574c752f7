"""A bandit whose rewards are linear: each level of each factor has an effect of its own, linear in ten observations.

    r = 1 + sum over factors f of <w_f(a_f), x> + noise        x ~ N(0, I), drawn anew at every step

Nothing interacts and nothing lasts; what is hard is that every effect depends on the state. The effects of a factor's
levels sum to zero, and the logging policy does not look at x, so that its mean return over ten steps is 10; they are
scaled so that the best policy's is 25.1.
"""

import numpy as np
from jaxtyping import Float, Float32, Int64

from benchmarks.worlds.world import Step, World

BEST = 2.51
"""Mean reward of a step under the best policy."""

DRAWS = 100_000
"""States over which the effects are scaled."""


class LinearBandit(World):
    """See the module.

    Args:
        seed: Of the effects and of the logging policy's preferences.
    """

    nvec = (3, 4, 5)
    observation_size = 10
    horizon = 10
    noise = 1.0

    def __init__(self, seed: int = 0) -> None:
        """Draws the effects."""
        rng = np.random.default_rng((seed, 1))
        effects = [rng.normal(size=(levels, self.observation_size)) for levels in self.nvec]
        effects = [each - each.mean(axis=0) for each in effects]
        states = rng.normal(size=(DRAWS, self.observation_size))
        gain = sum((states @ each.T).max(axis=1) for each in effects)
        self.effects = [each * (BEST - 1) / np.mean(gain) for each in effects]
        self.preferences = [rng.uniform(0.5, 1.5, levels) for levels in self.nvec]

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """Any state."""
        return rng.normal(size=(episodes, self.observation_size))

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """All of it."""
        return state.astype(np.float32)

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """The sum of the effects, and another state."""
        rewards = 1.0 + sum((state * each[levels[:, f]]).sum(axis=1) for f, each in enumerate(self.effects))
        return Step(self.start(len(state), rng), np.asarray(rewards), np.zeros(len(state), dtype=bool))

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """Each factor on its own, some levels up to three times as often as others."""
        columns = [rng.choice(len(p), size=len(state), p=p / p.sum()) for p in self.preferences]
        return np.stack(columns, axis=1).astype(np.int64)

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """The level with the largest effect, of each factor."""
        return np.stack([(state @ each.T).argmax(axis=1) for each in self.effects], axis=1)
