"""A maze whose walker has n actuators, each on or off: 2^n joint actions, of which the sum of directions is felt.

    motion(a) = sum over i of a_i (cos, sin)(2 pi i / n), divided by the longest such sum

The walker starts at (0.25, 0.1) of the unit square and is to reach the square from (0.25, 0.45) to (0.3, 0.5), behind a
wall from the left side to the middle and another one that goes up from there. A step is four strides of 0.045 times the
motion; one stride in ten goes somewhere up and to the right instead. A stride into a wall or out of the square is not
made and ends the step. Each step costs 0.05, the goal pays 100 and ends the episode, 150 steps cut it off.

The problem is that of Chandak et al. (2020, "Lifelong learning with a changing action set") as Beeson et al. (2024, "An
investigation of offline reinforcement learning in factorisable action spaces") use it, who report the returns of random
walkers (`PUBLISHED_RANDOM`); written from how it works. What is logged is ours: see `MIXTURE`.
"""

from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from benchmarks.worlds.world import Step, World

PUBLISHED_RANDOM = {3: -1.76, 5: -5.62, 7: -6.85, 10: -7.45, 12: -7.45, 15: -7.45}
"""Mean return of uniformly random actions by number of actuators, as published."""

START = (0.25, 0.1)
GOAL = (0.25, 0.45, 0.30, 0.50)
WALLS = ((0.0, 0.25, 0.50, 0.30), (0.50, 0.25, 0.55, 0.80))
"""Rectangles: left, lower, right, upper."""

WAYPOINTS = ((0.62, 0.20), (0.62, 0.87), (0.45, 0.87), (0.275, 0.475))
"""Around the end of the upright wall; a guide walks from one to the next."""

STRIDE, STRIDES = 0.045, 4
STRAYING = 0.1
"""Chance of a stride that goes elsewhere."""

COST, REWARD = -0.05, 100.0

DIRECTIONS = 720
"""That a guide tells apart."""

MIXTURE = ((0.1, 0.5), (0.5, 0.3), (1.0, 0.2))
"""Shares of random actions, and what share of the logged episodes has each: good, middling and random walkers."""


class Maze(World):
    """See the module. The state is the place, and how the walker of this episode errs when it is logged.

    Args:
        actuators: At least 3.
    """

    observation_size = 2
    horizon = 150

    def __init__(self, actuators: int) -> None:
        """Lays out the directions."""
        self.nvec = (2,) * actuators
        angles = 2 * np.pi * np.arange(actuators) / actuators
        directions = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        self.directions = directions / np.linalg.norm(self.space.joint_levels @ directions, axis=1).max()

    @cached_property
    def _guide(self) -> Int64[np.ndarray, "direction actuator"]:
        """Actuator levels whose motion comes nearest to full speed, for each of `DIRECTIONS` directions."""
        bits = self.space.joint_levels
        angles = 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
        motions = bits @ self.directions
        # |m - w|^2 without |w|^2, which is the same for every motion
        distance = (motions**2).sum(axis=1)[:, None] - 2 * motions @ np.stack([np.cos(angles), np.sin(angles)])
        return bits[distance.argmin(axis=0)]

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """The start; every episode another kind of walker."""
        shares, weights = np.asarray(MIXTURE).T
        errs = rng.choice(shares, size=episodes, p=weights)
        return np.column_stack([np.tile(START, (episodes, 1)), errs])

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """The place."""
        return state[:, :2].astype(np.float32)

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """Up to four strides."""
        place, motion = state[:, :2].copy(), levels @ self.directions
        walking = np.ones(len(state), dtype=bool)
        arrived = np.zeros(len(state), dtype=bool)
        for _ in range(STRIDES):
            strays = rng.random(len(state)) < STRAYING
            elsewhere = rng.random((len(state), 2)) / np.sqrt(2)
            reached = place + STRIDE * np.where(strays[:, None], elsewhere, motion)
            walking &= _free(reached)
            place[walking] = reached[walking]
            arrived |= walking & _within(place, GOAL)
            walking &= ~arrived
        return Step(np.column_stack([place, state[:, 2]]), COST + REWARD * arrived, arrived)

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """What the guide says, or anything, as often as this walker errs."""
        errs = rng.random(len(state)) < state[:, 2]
        return np.where(errs[:, None], self.at_random(len(state), rng), self.best(state))

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """A guide walks from waypoint to waypoint at full speed: close to optimal, and above what experts published."""
        place = state[:, :2]
        x, y = (np.asarray(WAYPOINTS)[_next_waypoint(place)] - place).T
        angles = np.arctan2(y, x) / (2 * np.pi)
        return self._guide[np.rint(angles * DIRECTIONS).astype(np.int64) % DIRECTIONS]


def _next_waypoint(place: Float[np.ndarray, "episode 2"]) -> Int64[np.ndarray, "episode"]:
    """Which waypoint comes next, by where in the maze the walker is."""
    x, y = place.T
    below = (y < 0.25) & (x < 0.57)
    rising = (x >= 0.5) & (y < 0.82)
    crossing = (y >= 0.8) & (x > 0.48)
    return np.select([below, rising, crossing], [0, 1, 2], default=3)


def _within(place: Float[np.ndarray, "episode 2"], region: tuple[float, ...]) -> Bool[np.ndarray, "episode"]:
    x, y = place.T
    left, lower, right, upper = region
    return (x >= left) & (x <= right) & (y >= lower) & (y <= upper)


def _free(place: Float[np.ndarray, "episode 2"]) -> Bool[np.ndarray, "episode"]:
    free = _within(place, (0.0, 0.0, 1.0, 1.0))
    for wall in WALLS:
        free &= ~_within(place, wall)
    return free
