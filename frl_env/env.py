"""`frl/MedicaidCare-v0`: one member of a care program as a gymnasium environment, over the batched dynamics."""

from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float32

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.behaviour import BehaviourPolicy
from frl_env.dynamics import OBSERVATION_NAMES, State, draw_noise, enter, observe, step
from frl_env.errors import UserError
from frl_env.information import describe, of_member
from frl_env.parameters import Parameters, preset
from frl_env.population import Members, draw_members
from frl_env.rollout import HORIZON

ENVIRONMENT_ID = "frl/MedicaidCare-v0"


class MedicaidCareEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """Care management for one Medicaid member, a decision a week.

    ## Description
    Each episode is a member, drawn with a risk tier, needs, responsiveness and a history that the care team does not
    see. Each week the team chooses whether and how to contact the member. A contact helps when it reaches the member
    and fits an open need within the provider's scope. The aim is to prevent emergency department (ED) visits and
    hospital stays (IP). It is a benchmark for methods and must not be used to guide care.

    ## Action space
    `MultiDiscrete([6, 5, 18, 2])`: modality, provider, goal, urgency; names in `frl_env.MEDICAID_ACTIONS`. An action
    is valid when modality, provider, goal are all NONE and urgency ROUTINE, or none of the three is NONE. An invalid
    one is a week without contact, and `info["invalid_action"]` says so.

    ## Observation space
    `Box(float32, (7,))`, from 0 up, raw units:

    | Num | Observation              | Unit                                |
    |-----|--------------------------|-------------------------------------|
    | 0   | num_encounters_last_week | completed contacts                  |
    | 1   | num_ed_visits_last_week  | visits                              |
    | 2   | num_ip_visits_last_week  | stays                               |
    | 3   | num_calls_last_week      | phone attempts                      |
    | 4   | num_texts_last_week      | text messages sent                  |
    | 5   | enrolled_days            | days of coverage                    |
    | 6   | total_paid               | US dollars, last 13 weeks (91 days) |

    ## Rewards
    Minus (ED visits + hospital stays) in the week after the decision.

    ## Starting state
    A member drawn from the population, after 13 weeks without any program.

    ## Episode end
    Terminated by death or final disenrolment; truncated after `horizon` weeks.

    ## Information
    Described in `frl_env.information.describe`, and `action_mask`, a bool array over the 1,080 joint actions.

    ## Version history
    * v0, parameters 0.2. What changed since 0.1 stands in `docs/environment.md`.

    Args:
        effects: Effect preset: "rct", "program" or "null".
        insight: How much unrecorded state the care team acts on, in 0..1; bears on reported propensities only.
        exploration: Share of weeks that the care team decides uniformly, in 0..1; likewise.
        horizon: Weeks until truncation.
        render_mode: Only None for now.

    Raises:
        UserError: If a preset is unknown or a number is out of range.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 - gymnasium's own attribute

    def __init__(
        self,
        effects: str = "rct",
        insight: float | None = None,
        exploration: float | None = None,
        horizon: int = HORIZON,
        render_mode: str | None = None,
    ) -> None:
        """Sets up spaces; draws nothing."""
        if horizon < 1:
            raise UserError(f"horizon must be at least 1 week, not {horizon}")
        self.parameters: Parameters = preset(effects, insight=insight, exploration=exploration)
        self.horizon = horizon
        self.render_mode = render_mode
        self.action_space = MEDICAID_ACTIONS.gym_space()
        self.observation_space = observation_space()
        self._behaviour = BehaviourPolicy(self.parameters)
        self._members: Members | None = None
        self._state: State | None = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "7"], dict[str, Any]]:
        """Draws a new member.

        Args:
            seed: Seed of the member and of all chances that follow.
            options: Not used.

        Returns:
            The first observation and its information.
        """
        super().reset(seed=seed)
        self._members = draw_members(self.np_random, 1, self.parameters)
        self._state = enter(self._members, self.np_random, self.parameters)
        columns = describe(self._members, None, None, self._state, None, self._behaviour)
        return observe(self._state)[0], of_member(columns, 0)

    def step(self, action: np.ndarray) -> tuple[Float32[np.ndarray, "7"], float, bool, bool, dict[str, Any]]:
        """Simulates the week after a decision.

        Args:
            action: Levels of modality, provider, goal, urgency.

        Returns:
            Observation, reward, terminated, truncated, information.

        Raises:
            UserError: If the action's shape is wrong or a level is out of range.
            gymnasium.error.ResetNeeded: If the environment was not reset, or the episode is over.
        """
        levels = MEDICAID_ACTIONS.check(action)
        if levels.shape != (len(MEDICAID_ACTIONS.nvec),):
            raise UserError(f"step takes one action of 4 levels, not shape {levels.shape}")
        if self._members is None or self._state is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        if not self._state.active[0] or self._state.week[0] >= self.horizon:
            raise gymnasium.error.ResetNeeded("the episode is over; call reset")
        before = self._state
        noise = draw_noise(self.np_random, 1)
        self._state, outcome = step(self._members, before, levels[None], noise, self.parameters)
        columns = describe(self._members, before, levels[None], self._state, outcome, self._behaviour)
        terminated = bool(outcome.terminated[0])
        truncated = not terminated and int(self._state.week[0]) >= self.horizon
        return observe(self._state)[0], float(outcome.reward[0]), terminated, truncated, of_member(columns, 0)


def observation_space() -> gymnasium.spaces.Box:
    """Seven non-negative numbers, with bounds that no simulated member reaches."""
    high = np.asarray([100, 100, 100, 100, 100, 100_000, 1e9], dtype=np.float32)
    return gymnasium.spaces.Box(np.zeros_like(high), high, (len(OBSERVATION_NAMES),), np.float32)


def register() -> None:
    """Registers the environment with gymnasium, once."""
    if ENVIRONMENT_ID not in gymnasium.registry:
        gymnasium.register(id=ENVIRONMENT_ID, entry_point="frl_env.env:MedicaidCareEnv")
