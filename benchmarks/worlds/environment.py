"""A small world as a gymnasium environment: one episode at a time."""

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float32

from benchmarks.worlds.registry import world_entry


class WorldEnv(gymnasium.Env[Any, Any]):
    """One of `benchmarks.worlds.registry.WORLDS`.

    | Space | |
    |---|---|
    | Action | `MultiDiscrete` of the world's levels |
    | Observation | `Box` of what the world shows |
    | Reward | the world's, with its noise |
    | End | as the world says; cut off after its horizon |

    Args:
        world: Its name.

    Raises:
        UserError: If there is no such world.
    """

    def __init__(self, world: str) -> None:
        """Makes the world."""
        self.world = world_entry(world).make()
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (self.world.observation_size,), np.float32)
        self.action_space = self.world.space.gym_space()
        self._state, self._steps = np.zeros((1, 0)), 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "k"], dict[str, Any]]:
        """Starts an episode."""
        super().reset(seed=seed)
        self._state, self._steps = self.world.start(1, self.np_random), 0
        return self.world.observe(self._state)[0], {}

    def step(self, action: Any) -> tuple[Float32[np.ndarray, "k"], float, bool, bool, dict[str, Any]]:
        """One step.

        Raises:
            UserError: If the action does not exist.
        """
        levels = self.world.space.check(action)
        done = self.world.step(self._state, levels[None], self.np_random)
        self._state, self._steps = done.state, self._steps + 1
        reward = float(done.rewards[0])
        if self.world.noise:
            reward += float(self.np_random.normal(0.0, self.world.noise))
        ended = bool(done.ended[0])
        return self.world.observe(self._state)[0], reward, ended, not ended and self._steps >= self.world.horizon, {}


def make_environment(world: str) -> WorldEnv:
    """The environment behind the datasets."""
    return WorldEnv(world)
