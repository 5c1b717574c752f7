"""Ten rooms in a row, a reward of 10 behind the last, and a logging policy whose favourite is wrong in every room.

    room 0 -> room 1 -> ... -> room 9 -> 10

The right joint action of a room always leads on; any other drops out of the row with probability `FALL`. So a policy
that is right with probability p in every room has the return 10 (p + (1 - p)(1 - FALL))^10: 10 for the best one, 2.8
for the logging policy, which is right a quarter of the time, 1.7 for one that always does what was logged most.

What is hard is the delay: the reward of what is done in the first room comes nine steps later, to few.
"""

import numpy as np
from jaxtyping import Float, Float32, Int64

from benchmarks.worlds.world import Step, World

ROOMS = 10
REWARD = 10.0
FALL = 0.16
RIGHT, FAVOURITE = 0.25, 0.45
"""How often the logging policy does what is right in a room, and its favourite; the rest is spread evenly."""


class Rooms(World):
    """See the module.

    Args:
        seed: Of what is right, and what the logging policy's favourite, in each room.
    """

    nvec = (3, 4, 2)
    observation_size = ROOMS
    horizon = ROOMS

    def __init__(self, seed: int = 0) -> None:
        """Draws the right action of each room, and a favourite that differs from it in every factor."""
        rng = np.random.default_rng((seed, 2))
        self.right = rng.integers(self.nvec, size=(ROOMS, len(self.nvec)))
        off = np.stack([rng.integers(1, levels, size=ROOMS) for levels in self.nvec], axis=1)
        self.favourite = (self.right + off) % self.nvec
        chances = np.full((ROOMS, int(np.prod(self.nvec))), (1 - RIGHT - FAVOURITE) / (np.prod(self.nvec) - 2))
        for levels, chance in ((self.right, RIGHT), (self.favourite, FAVOURITE)):
            chances[np.arange(ROOMS), np.ravel_multi_index(tuple(levels.T), self.nvec)] = chance
        self._cumulative = chances.cumsum(axis=1)

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """The first room."""
        return np.zeros((episodes, 1))

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """One number a room, 1 for where one is; all 0 when it is over."""
        return (state == np.arange(ROOMS)).astype(np.float32)

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """Into the next room, or out."""
        room = self._room(state)
        wrong = (levels != self.right[room]).any(axis=1)
        fallen = wrong & (rng.random(len(state)) < FALL)
        through = ~fallen & (room == ROOMS - 1)
        following = np.where(fallen, ROOMS, room + 1).astype(float)
        return Step(following[:, None], REWARD * through, fallen | through)

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """Mostly the favourite of the room."""
        uniform = rng.random(len(state))[:, None]
        joints = (self._cumulative[self._room(state)] < uniform * (1 - 1e-12)).sum(axis=1)
        return np.stack(np.unravel_index(joints, self.nvec), axis=1).astype(np.int64)

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """What is right in the room."""
        return self.right[self._room(state)]

    def _room(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode"]:
        return state[:, 0].astype(np.int64).clip(max=ROOMS - 1)
