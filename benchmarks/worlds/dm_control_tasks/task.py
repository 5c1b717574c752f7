"""A task of DM Control, in three bins an actuator: a cheetah that runs, and a finger that spins.

    level of an actuator     0 its least control     1 the middle     2 its greatest

Bodies, observations and rewards are those of the package `dm_control` (Tassa et al. 2018, "DeepMind Control Suite"): a
reward from 0 to 1 a step, 1,000 steps, no end before. In bins they are tasks for offline reinforcement learning with
factored actions (Beeson et al. 2024, "An investigation of offline reinforcement learning in factorisable action
spaces"). Their data was logged by agents in training and is not used; what is logged here is ours: see `MIXTURE`.
"""

import logging
import os
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from benchmarks.worlds.dm_control_tasks.controllers import Controller, known_controller
from benchmarks.worlds.maze import MIXTURE
from benchmarks.worlds.world import Step, World
from frl_env.errors import UserError

BINS = 3
"""Levels of each actuator."""

TASKS = {
    "cheetah-run": ("cheetah", "run"),
    "finger-spin": ("finger", "spin"),
}
"""Whose body, and what it is to do."""

NEEDED = "tasks of DM Control need more packages; install them with: make control"


class ControlTask(World):
    """See the module.

    The state is how the controller of this episode errs when it is logged, what MuJoCo needs to go on from here, and
    what is observed. (Some of what is observed is computed on the way and not from a state.) What a task draws for an
    episode must be in MuJoCo's state: a target's place is not, so no task here has one.

    Args:
        name: One of `TASKS`.

    Raises:
        UserError: If the packages of the extra `control` are not installed.
    """

    horizon = 1_000

    def __init__(self, name: str) -> None:
        """Loads the body."""
        self.name = name
        self._mujoco, suite = _packages()
        self._env = suite.load(*TASKS[name], task_kwargs={"random": 0, "time_limit": float("inf")})
        limits = self._env.action_spec()
        middle = (limits.minimum + limits.maximum) / 2
        self.controls = np.stack([limits.minimum, middle, limits.maximum])
        """Control of each level and actuator: `(bin, actuator)`."""
        self.nvec = (BINS,) * self.controls.shape[1]
        kinds = self._mujoco.mjtState
        self._kind = int(kinds.mjSTATE_FULLPHYSICS) | int(kinds.mjSTATE_WARMSTART)
        self._moving = self._mujoco.mj_stateSize(self._model, self._kind)
        self.observation_size = len(_flat(self._env.reset()))

    @property
    def best_known(self) -> Controller:
        """Found by search in the simulator; better ones exist."""
        return known_controller(self.name)

    def start(self, episodes: int, rng: np.random.Generator) -> Float[np.ndarray, "episode d"]:
        """Draws the task's start states, and for each episode how often its logging controller errs."""
        shares, weights = np.asarray(MIXTURE).T
        errs = rng.choice(shares, size=episodes, p=weights)
        rows = []
        for share, seed in zip(errs, rng.integers(2**32, size=episodes), strict=True):
            self._env.task.random.seed(int(seed))
            rows.append(self._row(share, self._env.reset()))
        return np.stack(rows)

    def observe(self, state: Float[np.ndarray, "episode d"]) -> Float32[np.ndarray, "episode k"]:
        """All that the task shows, one after the other."""
        return state[:, -self.observation_size :].astype(np.float32)

    def step(
        self, state: Float[np.ndarray, "episode d"], levels: Int64[np.ndarray, "episode f"], rng: np.random.Generator
    ) -> Step:
        """One step of the task; no chance is in it."""
        controls = self.controls[levels, np.arange(len(self.nvec))]
        following, rewards = np.empty_like(state), np.empty(len(state))
        for i, row in enumerate(state):
            self._go_on_from(row)
            done = self._env.step(controls[i])
            following[i], rewards[i] = self._row(row[0], done), done.reward
        return Step(following, rewards, np.zeros(len(state), dtype=bool))

    def log(self, state: Float[np.ndarray, "episode d"], rng: np.random.Generator) -> Int64[np.ndarray, "episode f"]:
        """What the best known controller does, or anything, as often as this one errs."""
        errs = rng.random(len(state)) < state[:, 0]
        return np.where(errs[:, None], self.at_random(len(state), rng), self.best(state))

    def best(self, state: Float[np.ndarray, "episode d"]) -> Int64[np.ndarray, "episode f"]:
        """The best controller that is known."""
        return self.best_known.levels(self.observe(state))

    @property
    def _model(self) -> Any:
        return self._env.physics.model.ptr

    @property
    def _data(self) -> Any:
        return self._env.physics.data.ptr

    def _row(self, errs: float, shown: Any) -> Float[np.ndarray, "d"]:
        """The state in which MuJoCo is now."""
        moving = np.empty(self._moving)
        self._mujoco.mj_getState(self._model, self._data, moving, self._kind)
        return np.concatenate([[errs], moving, _flat(shown)])

    def _go_on_from(self, row: Float[np.ndarray, "d"]) -> None:
        """Puts the simulator into the state of a row."""
        moving = np.ascontiguousarray(row[1 : -self.observation_size])
        self._mujoco.mj_setState(self._model, self._data, moving, self._kind)
        self._mujoco.mj_step1(self._model, self._data)  # a step of dm_control starts in the middle of one of MuJoCo


def _packages() -> tuple[Any, Any]:
    """MuJoCo and the tasks.

    Raises:
        UserError: If they are not installed.
    """
    os.environ.setdefault("MUJOCO_GL", "disable")  # nothing is drawn, and a machine may have no screen
    try:
        import mujoco
        from dm_control import suite
    except ImportError:
        raise UserError(NEEDED) from None
    logging.getLogger("absl").setLevel(logging.ERROR)  # the cheetah's file has an attribute that MuJoCo will drop
    return mujoco, suite


def _flat(shown: Any) -> Float[np.ndarray, "k"]:
    return np.concatenate([np.ravel(part) for part in shown.observation.values()])
