"""Many members at once: the gymnasium vector environment over one NumPy batch."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector.utils import batch_space
from jaxtyping import Bool, Float32, Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.env import observation_space
from frl_env.errors import UserError, check_whole
from frl_env.parameters import Parameters
from frl_env.rollout import HORIZON, LONGEST
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.information import describe
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.worlds import World

# gymnasium 1.0 has this mode only and no name for it; later versions ask for the name.
_AUTORESET = getattr(gymnasium.vector, "AutoresetMode", None)
_METADATA: dict[str, Any] = {"render_modes": []}
if _AUTORESET is not None:
    _METADATA["autoreset_mode"] = _AUTORESET.NEXT_STEP


STOCK_SHARE = 8
"""New members are drawn an eighth of the batch at a time."""


class MedicaidCareVectorEnv(gymnasium.vector.VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """`num_envs` members of a care program in one batch; see `MedicaidCareEnv` for what a member's week is.

    All members share one generator. With one member it draws exactly what the single environment draws, so that both
    give the same values from the same seed.

    Autoreset is gymnasium's next-step mode: the step after an episode's end ignores that member's action, returns the
    first observation of a new member with reward 0, and neither terminates nor truncates.

    Infos hold one array of shape `(num_envs, k)` a key, as `frl_env.simulator.information.describe` says, and
    gymnasium's masks (`_key`). `action_mask` is the same for everyone: a read-only view of shape `(num_envs, 1080)`.

    Args:
        num_envs: Number of members.
        effects, strength, insight, exploration, goal_insight, screening, past_contacts: Dials; see `frl_env.worlds`.
        horizon: Weeks until truncation.
        render_mode, reveal: None and False only; render single members with `MedicaidCareEnv`.
        max_episode_steps: The same as `horizon` in a spec, such as a dataset's, from which `make_vec` passes it; the
            fewer of the two count.

    Raises:
        UserError: If a preset is unknown or a number is out of range.
    """

    metadata = _METADATA

    def __init__(
        self,
        num_envs: int = 1,
        effects: str = "rct",
        strength: float | None = None,
        insight: float | None = None,
        exploration: float | None = None,
        goal_insight: float | None = None,
        screening: float | None = None,
        past_contacts: bool | None = None,
        horizon: int = HORIZON,
        render_mode: str | None = None,
        reveal: bool = False,
        max_episode_steps: int | None = None,
    ) -> None:
        """Sets up spaces; draws nothing."""
        check_whole("num_envs", num_envs, low=1, high=10_000_000)
        check_whole("horizon", horizon, low=1, high=LONGEST)
        if max_episode_steps is not None:
            check_whole("max_episode_steps", max_episode_steps, low=1, high=10**9)
            horizon = min(horizon, max_episode_steps)
        if render_mode is not None or reveal:
            raise UserError("the vector environment does not render; make a single environment to see a member")
        self.num_envs = int(num_envs)
        self.world = World(
            effects=effects,
            strength=strength,
            insight=insight,
            exploration=exploration,
            goal_insight=goal_insight,
            screening=screening,
            past_contacts=past_contacts,
        )
        self.horizon = int(horizon)
        self.render_mode = render_mode
        self.single_action_space = MEDICAID_ACTIONS.gym_space()
        self.single_observation_space = observation_space(self.world)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self._seen = self.world.seen
        self._behaviour = BehaviourPolicy(self.parameters)
        self._members: Members | None = None
        self._state: State | None = None
        self._ended = np.zeros(num_envs, dtype=bool)
        self._stock: tuple[Members, State] | None = None
        self._used = 0

    @property
    def parameters(self) -> Parameters:
        """Every number of the simulated world."""
        return self.world.parameters

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "member measure"], dict[str, Any]]:
        """Draws new members.

        Args:
            seed: Seed of the members and of all chances that follow; one for the batch.
            options: Not used; a `reset_mask`, which asks for new members in some places only, is refused.

        Returns:
            The first observations and their information.

        Raises:
            UserError: If `seed` is a list: the members share one generator. If only some are to be reset.
        """
        if seed is not None and not isinstance(seed, int | np.integer):
            raise UserError("the members share one generator: give one seed, not one for each member")
        if options and options.get("reset_mask") is not None:
            raise UserError(
                "the step after its end replaces a member, so none is reset by a reset_mask; leave it out, or make "
                "separate members (make_vec with vectorization_mode='sync')"
            )
        super().reset(seed=None if seed is None else int(seed))
        self._members = draw_members(self.np_random, self.num_envs, self.parameters)
        self._state = enter(self._members, self.np_random, self.parameters)
        self._ended = np.zeros(self.num_envs, dtype=bool)
        self._stock = None
        columns = describe(self._members, None, None, self._state, None, self._behaviour)
        return observe(self._state, **self._seen), self._infos(columns)

    def step(
        self, actions: Int64[np.ndarray, "member 4"]
    ) -> tuple[
        Float32[np.ndarray, "member measure"],
        Float64[np.ndarray, "member"],
        Bool[np.ndarray, "member"],
        Bool[np.ndarray, "member"],
        dict[str, Any],
    ]:
        """Simulates a week for every member; members whose episode ended are replaced instead.

        Args:
            actions: Levels of modality, provider, goal, urgency.

        Returns:
            Observations, rewards, terminated, truncated, information.

        Raises:
            UserError: If the shape is wrong or a level is out of range.
            gymnasium.error.ResetNeeded: If the environment was not reset.
        """
        levels = MEDICAID_ACTIONS.check(actions)
        if levels.shape != (self.num_envs, len(MEDICAID_ACTIONS.nvec)):
            raise UserError(f"step takes actions of shape ({self.num_envs}, 4), not {levels.shape}")
        if self._members is None or self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        if self._ended.all():  # nobody is left to simulate; one member then draws what the single environment draws
            observations, infos = self.reset()
            none = np.zeros(self.num_envs, dtype=bool)
            return observations, np.zeros(self.num_envs), none, none.copy(), infos

        levels = np.asfortranarray(levels)  # each factor's levels side by side: they are read some thirty times
        before, ended = self._state, self._ended
        after, outcome = step(self._members, before, levels, draw_noise(self.np_random, self.num_envs), self.parameters)
        terminated = outcome.terminated & ~ended
        truncated = (after.week >= self.horizon) & ~outcome.terminated & ~ended
        rewards = outcome.reward
        columns = describe(self._members, before, levels, after, outcome, self._behaviour)
        if ended.any():
            new, entered = self._take(int(ended.sum()))
            place = np.flatnonzero(ended)
            _overwrite(self._members, new, place)
            _overwrite(after, entered, place)
            rewards[ended] = 0.0
            for key, value in describe(new, None, None, entered, None, self._behaviour).items():
                columns[key][ended] = value
        self._state, self._ended = after, terminated | truncated
        return observe(after, **self._seen), rewards, terminated, truncated, self._infos(columns)

    def _infos(self, columns: dict[str, np.ndarray]) -> dict[str, Any]:
        infos: dict[str, Any] = dict(columns)
        infos["action_mask"] = np.broadcast_to(MEDICAID_ACTIONS.valid, (self.num_envs, MEDICAID_ACTIONS.n_joint))
        everyone = np.ones(self.num_envs, dtype=bool)
        return infos | {f"_{key}": everyone for key in infos}

    def _take(self, n: int) -> tuple[Members, State]:
        """Members who have just entered, from a stock that is filled many at a time: that is ten times cheaper."""
        if self._stock is None or self._used + n > len(self._stock[0]):
            fresh = draw_members(self.np_random, max(n, self.num_envs // STOCK_SHARE), self.parameters)
            self._stock = fresh, enter(fresh, self.np_random, self.parameters)
            self._used = 0
        members, state = self._stock
        chosen = slice(self._used, self._used + n)
        self._used += n
        return _each(members, lambda value: value[chosen]), _each(state, lambda value: value[chosen])


def _each(batch: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    """The batch with every array changed."""
    changed = {}
    for item in fields(batch):
        value = getattr(batch, item.name)
        changed[item.name] = tuple(map(change, value)) if isinstance(value, tuple) else change(value)
    return replace(batch, **changed)


def _overwrite(batch: Any, new: Any, place: np.ndarray) -> None:
    """Puts other members in place, in arrays that nobody else holds."""
    for item in fields(batch):
        old, fresh = getattr(batch, item.name), getattr(new, item.name)
        for array, values in zip(old, fresh, strict=True) if isinstance(old, tuple) else ((old, fresh),):
            array[place] = values
