"""Reference policies: what a learner is measured against.

Every policy has one method, `act(members, state, rng)`, which returns levels of shape `(members, 4)`. A policy that
may use only what a real care program records sees `observe(state)` and nothing else (`ObservationPolicy`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, Parameters
from frl_env.simulator.parameter_tables import CARE, goal_scope
from frl_env.simulator.population import NEED_BITS, Members, need_hazard_ratios
from frl_env.simulator.state import State, observe

_COORDINATOR = MEDICAID_ACTIONS["provider"].levels.index("CARE_COORDINATOR")
_NEED_GOALS = np.asarray([MEDICAID_ACTIONS["goal"].levels.index(name) for name in NEED_NAMES])
_AFTER_DISCHARGE = MEDICAID_ACTIONS.encode(("HOME_VISIT", "CARE_COORDINATOR", "CARE", "URGENT"))
_AFTER_ED = MEDICAID_ACTIONS.encode(("HOME_VISIT", "PHARMACIST", "MEDICATION_ADHERENCE", "ROUTINE"))
_MONTHLY = MEDICAID_ACTIONS.encode(
    [
        ("HOME_VISIT", "PHARMACIST", "HYPERTENSION", "ROUTINE"),
        ("HOME_VISIT", "PHARMACIST", "MEDICATION_ADHERENCE", "ROUTINE"),
        ("HOME_VISIT", "THERAPIST", "DEPRESSION", "ROUTINE"),
        ("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE"),
    ]
)


class Policy(Protocol):
    """Anything that decides for many members at once.

    A policy with a memory has a method `start(members)` besides, which a rollout calls once before the first week: it
    returns the policy that acts in this rollout.
    """

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Decides for every member; all randomness comes from `rng`."""
        ...


@dataclass(frozen=True)
class ObservationPolicy:
    """A policy that sees what the program records and nothing else.

    Args:
        decide: `(observations, rng) -> levels`, raw units in; shapes `(members, k)`, `(members, 4)`, where k is 7, with
            screening results 15 more, with past contacts 4 more.
        screening, past_contacts: Whether these are among the observations.
    """

    decide: Callable[[Float32[np.ndarray, "member measure"], np.random.Generator], Int64[np.ndarray, "member 4"]]
    screening: bool = False
    past_contacts: bool = False

    def start(self, members: int) -> "ObservationPolicy":
        """The policy for one rollout; what decides is started, too, where it keeps something in mind of members."""
        start = getattr(self.decide, "start", None)
        return replace(self, decide=start(members)) if callable(start) else self

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Decides from the observations."""
        return self.decide(observe(state, screening=self.screening, past_contacts=self.past_contacts), rng)


@dataclass(frozen=True)
class NoProgram:
    """Never contacts anybody."""

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Does nothing."""
        return np.tile(MEDICAID_ACTIONS.null_action, (len(members), 1))


@dataclass(frozen=True)
class UniformRandom:
    """Uniform over the valid joint actions."""

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Draws a valid joint action for every member."""
        joints = MEDICAID_ACTIONS.valid_joints
        return MEDICAID_ACTIONS.unravel(joints[rng.integers(0, len(joints), len(members))])


@dataclass(frozen=True)
class Heuristic:
    """A clinical rule of thumb on the seven observations, as a care manager might write it down.

    - After a hospital stay last week: an urgent home visit by the care coordinator, goal CARE (transitional care).
    - After an ED visit last week: a home visit by the pharmacist about medication adherence.
    - Spending above 2,500 US dollars in 13 weeks: every fourth week a home visit, in turn about blood pressure,
      adherence (pharmacist) and depression (therapist).
    - Everyone else: every fourth week a phone call by the community health worker about food.

    Every fourth week is told from `enrolled_days`, so the rule needs no memory.
    """

    HIGH_SPENDING = 2_500.0

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Decides from the observations."""
        return self.decide(observe(state), rng)

    @classmethod
    def decide(
        cls, observations: Float32[np.ndarray, "member 7"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "member 4"]:
        """The rule itself; nothing in it is random."""
        _, ed, ip, _, _, days, paid = observations[:, :7].T
        # One week in four: those who cost much get three kinds of visits in turn, the others a call.
        month, week = np.divmod(days.astype(np.int64) // 7, 4)
        turn = np.where(paid > cls.HIGH_SPENDING, month % 3, 3)
        levels = np.where((week == 0)[:, None], _MONTHLY[turn], MEDICAID_ACTIONS.null_action)
        levels = np.where((ed > 0)[:, None], _AFTER_ED, levels)
        return np.where((ip > 0)[:, None], _AFTER_DISCHARGE, levels)


@dataclass(frozen=True)
class Oracle:
    """Full-information greedy care: a yardstick far above what the observations allow, not a proven optimum.

    It sees open needs, hazards, reach and fatigue. It pursues the open need whose closing lowers the member's base
    hazard most (any open need where the cap leaves nothing to lower, CARE where none is open), over the modality with
    the best chance for this member, urgent within a week of discharge. It rests a member whose fatigue is above
    1 / `Outreach.fatigue_reach`: at a steady rate of attempts, reach falls as exp(-fatigue_reach * fatigue), so that
    level gives the most completed contacts. It looks neither at support nor at the weeks to come.

    Args:
        parameters: The world it acts in.
    """

    parameters: Parameters

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Chooses the contact with the largest expected gain."""
        hazards, effects = self.parameters.hazards, self.parameters.effects
        ratios = need_hazard_ratios(hazards.need_cap)
        scope = goal_scope(self.parameters)
        now = ratios[state.needs]
        best_gain = np.full(len(members), -1.0)
        goal = np.full(len(members), CARE)
        for need, need_goal, bit in zip(NEEDS, _NEED_GOALS, NEED_BITS, strict=True):
            fall = now - ratios[state.needs & ~bit]
            gain = members.ed_base * fall[:, 0] + members.ip_base * fall[:, 1]
            gain = np.where((state.needs & bit) > 0, gain * max(need.scope), -1.0)
            goal = np.where(gain > best_gain, need_goal, goal)
            best_gain = np.maximum(gain, best_gain)
        # Resolution and engagement rank the modalities alike, so the best chance of one is good for both.
        modality = (members.reach * np.asarray(effects.resolve)).argmax(axis=1)
        provider = np.where(scope[goal].max(axis=1) > 0, scope[goal].argmax(axis=1), _COORDINATOR)
        discharged = state.since_ip == 1
        levels = np.stack([modality, provider, goal, discharged], axis=1).astype(np.int64)
        rest = (state.fatigue > 1 / self.parameters.outreach.fatigue_reach) & ~discharged
        levels[rest] = MEDICAID_ACTIONS.null_action
        return levels
