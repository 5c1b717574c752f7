"""A bandit in which two factors matter only together, and, if asked for, in another way in another state.

    r = 1 if [a_0 >= 2] xor [a_1 >= 2] equals what is wanted, else 0;   + noise

`wanted` is whether the first of four observations is positive, or always true. The third factor does nothing. No level
of any factor has an effect of its own, on average over the others: a sum over factors sees nothing here. The logging
policy does what is wanted a little more often than chance, so that its mean return over twelve steps is 6.5, of 12.
"""

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from benchmarks.worlds.world import Step, World

LUCK = 1 / 12
"""Share of steps on which the logging policy knows what is wanted; else it does anything."""


class Xor(World):
    """See the module.

    Args:
        by_state: Whether what is wanted depends on the state.
    """

    nvec = (4, 4, 3)
    observation_size = 4
    horizon = 12
    noise = 1.0

    def __init__(self, *, by_state: bool) -> None:
        """Keeps it."""
        self.by_state = by_state

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """Any state."""
        return rng.normal(size=(episodes, self.observation_size))

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """All of it."""
        return state.astype(np.float32)

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """Whether it was wanted, and another state."""
        right = ((levels[:, 0] >= 2) ^ (levels[:, 1] >= 2)) == self._wanted(state)
        return Step(self.start(len(state), rng), right.astype(float), np.zeros(len(state), dtype=bool))

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """Anything, or by luck what is wanted."""
        levels = self.at_random(len(state), rng)
        lucky = rng.random(len(state)) < LUCK
        wrong = ((levels[:, 0] >= 2) ^ (levels[:, 1] >= 2)) != self._wanted(state)
        levels[lucky & wrong, 0] = (levels[lucky & wrong, 0] + 2) % 4
        return levels

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """What is wanted."""
        levels = np.zeros((len(state), 3), dtype=np.int64)
        levels[:, 0] = 2 * self._wanted(state)
        return levels

    def _wanted(self, state: Float[np.ndarray, "episode d"]) -> Bool[np.ndarray, "episode"]:
        return state[:, 0] > 0 if self.by_state else np.ones(len(state), dtype=bool)
