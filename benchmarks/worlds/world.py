"""What a small world is: states in, levels in, states and rewards out; all for many episodes at once.

    state = world.start(1_000, rng)             (episode, d)  what the world knows
    world.observe(state)                        (episode, k)  what a policy sees
    world.log(state, rng)                       (episode, f)  what the logging policy does
    world.step(state, levels, rng)              next state, mean reward, whether the episode ended for good

Rewards come without noise, so that true values need fewer episodes; who logs or acts adds it (`World.noise`). What
follows from a world (episodes, values, references) is in `benchmarks.worlds.episodes`. NumPy only.
"""

import abc
from typing import ClassVar, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from frl_env.actions import ActionSpace


class Step(NamedTuple):
    """What a step does.

    Attributes:
        state: After it, `(episode, d)`.
        rewards: `(episode,)`, without noise.
        ended: Whether the episode ended for good.
    """

    state: Float[np.ndarray, "episode d"]
    rewards: Float[np.ndarray, "episode"]
    ended: Bool[np.ndarray, "episode"]


class World(abc.ABC):
    """A problem with factored actions, made up for a purpose.

    Attributes:
        nvec: Levels of each factor.
        observation_size: Numbers that a policy sees.
        horizon: Steps after which an episode is cut off.
        noise: Standard deviation of what is added to a reward.
    """

    nvec: tuple[int, ...]
    observation_size: int
    horizon: int
    noise: ClassVar[float] = 0.0

    @property
    def space(self) -> ActionSpace:
        """Nameless factors; every joint action is valid."""
        return ActionSpace.from_nvec(self.nvec)

    @abc.abstractmethod
    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """First states."""

    @abc.abstractmethod
    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """What a policy sees."""

    @abc.abstractmethod
    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """One step of each episode."""

    @abc.abstractmethod
    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """What the logging policy does."""

    @abc.abstractmethod
    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """What the best policy does that is known: an optimal one, where the world does not say otherwise."""

    def at_random(self, episodes: int, rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """Any levels."""
        return rng.integers(self.nvec, size=(episodes, len(self.nvec)), dtype=np.int64)
