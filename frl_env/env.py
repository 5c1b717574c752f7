"""`frl/MedicaidCare-v0` and its ladder: one member of a care program as a gymnasium environment."""

import json
from copy import deepcopy
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float32

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError, check_whole, unknown_name
from frl_env.parameters import VOCABULARIES, Parameters
from frl_env.rollout import HORIZON, LONGEST
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import advance, enter_one
from frl_env.simulator.information import describe_one
from frl_env.simulator.numerics import only
from frl_env.simulator.parameter_tables import scalar_rules
from frl_env.simulator.population import draw_members
from frl_env.simulator.rendering import Week, timeline, week_text
from frl_env.simulator.state import N_NORMAL, N_UNIFORM, PAST_CONTACT_NAMES, as_noise, observation_names, observe
from frl_env.worlds import LADDER, World

_OUTSIDE_COUNTS = (100_000.0, 1e9)
"""Bounds of enrolled_days and total_paid that no simulated member reaches."""


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
    `Box(float32, (7,))`, from 0 up, raw units; 15 more where screening is recorded, then 4 more where the program's own
    past contacts are observed:

    | Num | Observation              | Unit                                |
    |-----|--------------------------|-------------------------------------|
    | 0   | num_encounters_last_week | contacts: completed, or by the member |
    | 1   | num_ed_visits_last_week  | visits                              |
    | 2   | num_ip_visits_last_week  | stays                               |
    | 3   | num_calls_last_week      | phone attempts                      |
    | 4   | num_texts_last_week      | text messages sent                  |
    | 5   | enrolled_days            | days of coverage                    |
    | 6   | total_paid               | US dollars, last 13 weeks (91 days) |
    | ..  | screened_<need>, 15      | 1 if on record as open, else 0      |
    | ..  | weeks_since_visit_attempt, weeks_since_call_attempt, weeks_since_message_attempt | weeks; 99 if never |
    | ..  | num_attempts_last_8_weeks | weeks with an attempt              |

    ## Rewards
    Minus (ED visits + hospital stays) in the week after the decision.

    ## Starting state
    A member drawn from the population, after 13 weeks without any program.

    ## Episode end
    Terminated by death or final disenrolment; truncated after `horizon` weeks.

    ## Information
    Described in `frl_env.simulator.information.describe`, and `action_mask`, a bool array over the 1,080 joint actions.

    ## Version history
    * v0, parameters v0. How they came about stands in `docs/environment.md`.

    ## Rendering
    `render_mode="ansi"` gives the week as text, `"rgb_array"` the member's year so far as a figure. What is latent is
    shown only with `reveal=True`.

    Args:
        effects, strength, insight, exploration, goal_insight, screening, past_contacts: Dials; see `frl_env.worlds`.
            `insight`, `exploration` and `goal_insight` turn the care team, so here they bear on the reported
            propensities only.
        horizon: Weeks until truncation.
        render_mode: None, "ansi" or "rgb_array".
        reveal: Whether rendering shows what is latent.

    Raises:
        UserError: If a preset or a render mode is unknown, or a number is out of range.
    """

    metadata = {"render_modes": ["ansi", "rgb_array"], "render_fps": 1}  # noqa: RUF012 - gymnasium's own attribute

    def __init__(
        self,
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
    ) -> None:
        """Sets up spaces; draws nothing."""
        check_whole("horizon", horizon, low=1, high=LONGEST)
        if render_mode is not None and render_mode not in self.metadata["render_modes"]:
            raise unknown_name("render mode", render_mode, self.metadata["render_modes"])
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
        self.reveal = reveal
        self.action_space = MEDICAID_ACTIONS.gym_space()
        self.observation_space = observation_space(self.world)
        self._seen = self.world.seen
        self._behaviour = BehaviourPolicy(self.parameters)
        self._rules = scalar_rules(self.parameters)
        # One member in plain numbers, in the fields of the batch classes.
        self._member: Any = None
        self._state: Any = None
        self._weeks: list[Week] = []

    @property
    def parameters(self) -> Parameters:
        """Every number of the simulated world."""
        return self.world.parameters

    @staticmethod
    def dataset_facts(
        screening: float | None = None, past_contacts: bool | None = None, **dials: Any
    ) -> dict[str, Any]:
        """What a dataset recorded in such an environment is about, by the keys of our datasets' metadata.

        The propensities in its infos are those of the care team, whoever acted.

        Args:
            screening: As of the environment.
            past_contacts: Likewise.
            dials: Its others; they change nothing here.
        """
        seen = World(screening=screening, past_contacts=past_contacts).seen
        return {
            "frl_action_schema": json.loads(MEDICAID_ACTIONS.to_json()),
            "frl_observation_names": list(observation_names(**seen)),
            "frl_vocabularies": deepcopy(VOCABULARIES),
            "frl_reports_propensities_of": "the simulated care team",
        }

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Float32[np.ndarray, "measure"], dict[str, Any]]:
        """Draws a new member.

        Args:
            seed: Seed of the member and of all chances that follow.
            options: Not used.

        Returns:
            The first observation and its information.
        """
        super().reset(seed=seed)
        members = draw_members(self.np_random, 1, self.parameters)
        self._member = only(members)
        self._state = enter_one(members, self.np_random, self.parameters)
        observation = observe(self._state, **self._seen)
        self._weeks = [Week(observation=observation, state=self._state)]
        return observation, describe_one(self._member, None, None, self._state, None, self._behaviour)

    def step(self, action: np.ndarray) -> tuple[Float32[np.ndarray, "measure"], float, bool, bool, dict[str, Any]]:
        """Simulates the week after a decision.

        Args:
            action: Levels of modality, provider, goal, urgency.

        Returns:
            Observation, reward, terminated, truncated, information.

        Raises:
            UserError: If the action's shape is wrong or a level is out of range.
            gymnasium.error.ResetNeeded: If the environment was not reset, or the episode is over.
        """
        levels = _levels(action)
        before = self._state
        if self._member is None or before is None:
            raise gymnasium.error.ResetNeeded("call reset before step")
        if not before.active or before.week >= self.horizon:
            raise gymnasium.error.ResetNeeded("the episode is over; call reset")
        rng = self.np_random
        noise = as_noise(rng.random(N_UNIFORM).tolist(), rng.standard_normal(N_NORMAL).tolist())
        after: Any
        outcome: Any
        after, outcome = advance(self._member, before, levels, noise, self._rules)
        self._state = after
        observation = observe(after, **self._seen)
        if self.render_mode is not None:
            self._weeks.append(Week(observation=observation, state=after, levels=levels, outcome=outcome))
        info = describe_one(self._member, before, levels, after, outcome, self._behaviour)
        truncated = not outcome.terminated and after.week >= self.horizon
        return observation, outcome.reward, outcome.terminated, truncated, info

    def render(self) -> Any:
        """The latest week as text, or the year so far as an image, by render mode; None without one.

        Raises:
            gymnasium.error.ResetNeeded: If the environment was not reset.
        """
        if self.render_mode is None:
            return None
        if self._member is None:
            raise gymnasium.error.ResetNeeded("call reset before render")
        if self.render_mode == "ansi":
            return week_text(self._member, self._weeks, reveal=self.reveal)
        return timeline(self._member, self._weeks, reveal=self.reveal)


def observation_space(world: World) -> gymnasium.spaces.Box:
    """Non-negative numbers, with bounds that no simulated member reaches."""
    names = observation_names(**world.seen)
    high = np.full(len(names), 1.0, dtype=np.float32)
    high[:5] = 100.0
    high[5:7] = _OUTSIDE_COUNTS
    if world.seen["past_contacts"]:
        high[-len(PAST_CONTACT_NAMES) :] = 100.0
    return gymnasium.spaces.Box(np.zeros_like(high), high, high.shape, np.float32)


def register() -> None:
    """Registers the ladder with gymnasium, once."""
    for name, world in LADDER.items():
        if name not in gymnasium.registry:
            gymnasium.register(
                id=name,
                entry_point="frl_env.env:MedicaidCareEnv",
                vector_entry_point="frl_env.vector:MedicaidCareVectorEnv",
                kwargs=world.dials(),
            )


def _levels(action: Any) -> tuple[int, int, int, int]:
    """One action as plain numbers, checked."""
    if isinstance(action, np.ndarray) and action.shape == (4,) and action.dtype == np.int64:
        one = tuple(action.tolist())
        if all(0 <= level < size for level, size in zip(one, MEDICAID_ACTIONS.nvec, strict=True)):
            return one
    levels = MEDICAID_ACTIONS.check(action)
    if levels.shape != (len(MEDICAID_ACTIONS.nvec),):
        raise UserError(f"step takes one action of 4 levels, not shape {levels.shape}")
    return tuple(levels.tolist())
