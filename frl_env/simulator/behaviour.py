"""The care team that made the logged decisions, with the exact probability of every one of them.

Each week the team decides whether to contact a member; if so, over which modality, about which goal, through which
provider and how urgently. It sees the seven observations, and also part of what they don't show: risk tier, this
week's acuity, age, race, how new the member is, a discharge two weeks ago, some of the open needs. `Team.insight` and
`Team.goal_insight` say how much: they are the confounding dials, and at 0 the team acts on the observations alone.
With probability `Team.exploration` it decides uniformly over the valid actions: the overlap dial.

The joint probability of an action (m, p, g, u) is

    (1 - e) * contact * modality[m] * goal[g] * provider_given_goal[g, p] * urgency[u]  +  e / 681

and the logged per-factor propensities are its conditionals in factor order, so that their product is the joint.
"""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, RACES, TIERS, Parameters, Team
from frl_env.simulator.numerics import ARRAYS, SCALARS, Numerics
from frl_env.simulator.parameter_tables import N_PROVIDERS, goal_scope
from frl_env.simulator.population import NEED_BITS, Members
from frl_env.simulator.state import State, need_flags

_N_VALID = len(MEDICAID_ACTIONS.valid_joints)
_MODALITIES, _PROVIDERS, _GOALS, _URGENCIES = MEDICAID_ACTIONS.nvec
_HOME, _DIGITAL = 4, (2, 3, 5)
_NEED_GOALS = np.asarray([MEDICAID_ACTIONS["goal"].levels.index(name) for name in NEED_NAMES])
_HIGH, _RISING = TIERS.index("HIGH"), TIERS.index("RISING")
_N_NEED_SETS = 1 << len(NEEDS)
_YOUNG = 1
"""Last age band that counts as young."""

# Uniform over valid actions: mass of each prefix (m), (m, p), (m, p, g), (m, p, g, u) of a contact.
_UNIFORM_PREFIX = tuple(
    mass / _N_VALID for mass in ((_PROVIDERS - 1) * (_GOALS - 1) * _URGENCIES, (_GOALS - 1) * _URGENCIES, _URGENCIES, 1)
)


@dataclass(frozen=True, kw_only=True)
class TeamProbabilities:
    """What the team would do without exploration; one row a member.

    Attributes:
        contact: Probability of a contact.
        modality: Over modalities, given contact; 0 for NONE.
        goal: Over goals, given contact; 0 for NONE.
        urgent: Probability of URGENT, given contact.
    """

    contact: Float64[np.ndarray, "member"]
    modality: Float64[np.ndarray, "member modality"]
    goal: Float64[np.ndarray, "member goal"]
    urgent: Float64[np.ndarray, "member"]


@dataclass(frozen=True)
class BehaviourPolicy:
    """The logging policy of a simulated world.

    Args:
        parameters: The world; its `team` decides.
    """

    parameters: Parameters

    def act(self, members: Members, state: State, rng: np.random.Generator) -> Int64[np.ndarray, "member 4"]:
        """Samples a decision for every member."""
        team, habits = self.parameters.team, self._arrays
        n = len(members)
        uniform = rng.random((6, n))
        contact = np.flatnonzero(uniform[0] < _contact(members, state, habits))
        levels = np.zeros((n, len(MEDICAID_ACTIONS.nvec)), dtype=np.int64)
        goal = pick(self._goal(state.needs[contact]), uniform[2, contact])
        levels[contact, 0] = pick(self._modality(members)[contact], uniform[1, contact])
        levels[contact, 1] = pick(provider_given_goal(self.parameters)[goal], uniform[3, contact])
        levels[contact, 2] = goal
        levels[contact, 3] = uniform[4, contact] < _urgent(state, habits)[contact]
        explore = uniform[5] < team.exploration
        # The position of the uniform below the exploration share is uniform again: no further draw is needed.
        position = (uniform[5, explore] / max(team.exploration, 1e-300) * _N_VALID).astype(np.int64)
        levels[explore] = MEDICAID_ACTIONS.unravel(MEDICAID_ACTIONS.valid_joints[np.minimum(position, _N_VALID - 1)])
        return levels

    def propensities(
        self, members: Members, state: State, levels: Int64[np.ndarray, "member 4"]
    ) -> tuple[Float64[np.ndarray, "member"], Float64[np.ndarray, "member 4"]]:
        """Probability of the given actions: jointly, and by factor given the factors before it.

        An invalid action has joint probability 0; its conditionals are 0 from the first factor that rules it out.
        """
        joint, factors = _propensities(members, state, levels.T, self._arrays)
        return joint, np.stack(factors, axis=1)

    def propensity_of_one(
        self, member: Members, state: State, action: tuple[int, int, int, int]
    ) -> tuple[float, tuple[float, ...]]:
        """Propensity of one member's action and of each factor, in plain numbers."""
        return _propensities(member, state, action, self._scalars)

    def joint_probabilities(self, members: Members, state: State) -> Float64[np.ndarray, "member joint"]:
        """Probability of all 1,080 joint actions; invalid ones are 0, each row sums to 1."""
        team = self.parameters.team
        chosen = self.team_probabilities(members, state)
        urgency = np.stack([1 - chosen.urgent, chosen.urgent], axis=1)
        providers = provider_given_goal(self.parameters)
        joint = np.einsum("nm,ng,gp,nu,n->nmpgu", chosen.modality, chosen.goal, providers, urgency, chosen.contact)
        joint = joint.reshape(len(members), -1)
        joint[:, MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action)] = 1 - chosen.contact
        return (1 - team.exploration) * joint + team.exploration * MEDICAID_ACTIONS.valid / _N_VALID

    def team_probabilities(self, members: Members, state: State) -> TeamProbabilities:
        """The team's own probabilities, before exploration."""
        return TeamProbabilities(
            contact=_contact(members, state, self._arrays),
            modality=self._modality(members),
            goal=self._goal(state.needs),
            urgent=_urgent(state, self._arrays),
        )

    def _modality(self, members: Members) -> np.ndarray:
        """Chance of each modality, given a contact."""
        table = self._arrays.modality.reshape(-1, _MODALITIES)
        return table[_kind(members, ARRAYS)]

    def _goal(self, needs: np.ndarray) -> np.ndarray:
        """Chance of each goal, given a contact: by habit, or, with insight, one of the open needs."""
        habits = self._arrays
        goal = habits.generic[needs][:, None] * habits.goal
        goal[:, _NEED_GOALS] += habits.each_open[needs][:, None] * need_flags(needs)
        return goal

    @cached_property
    def _arrays(self) -> "_Habits":
        return _habits(self.parameters, ARRAYS)

    @cached_property
    def _scalars(self) -> "_Habits":
        return _habits(self.parameters, SCALARS)


@lru_cache(maxsize=32)
def provider_given_goal(parameters: Parameters) -> Float64[np.ndarray, "goal provider"]:
    """Probability of each provider once the goal is set: partly by scope, partly by who is free."""
    team = parameters.team
    share = np.asarray(team.provider) / sum(team.provider)
    scope = goal_scope(parameters)
    total = scope.sum(axis=1, keepdims=True)
    by_scope = np.where(total > 0, scope / np.where(total > 0, total, 1), share)
    table = (1 - team.provider_scope) * share + team.provider_scope * by_scope
    table[0] = 0.0
    table.flags.writeable = False
    return table


@dataclass(frozen=True, kw_only=True, eq=False)
class _Habits:
    """The team's parameters as tables, for a batch or for one member.

    Attributes:
        team: The parameters.
        ops: Batch or single-member arithmetic.
        race_contact: Log odds; by race.
        modality: Probability given contact; by `kind * 6 + modality` (see `_kind`).
        goal: Probability without insight; by goal.
        goal_bit: Bit of the need that a goal addresses; by goal.
        provider: Probability given the goal; by `goal * 5 + provider`.
        generic: Probability that a goal is chosen without insight; by set of open needs.
        each_open: Probability of each open need's goal with insight; by set of open needs.
        marginal_provider: Probability of a provider before the goal is known; by `provider * 2**15 + needs`.
    """

    team: Team
    ops: Numerics
    race_contact: Any
    modality: Any
    goal: Any
    goal_bit: Any
    provider: Any
    generic: Any
    each_open: Any
    marginal_provider: Any


@lru_cache(maxsize=32)
def _habits(parameters: Parameters, ops: Numerics) -> _Habits:
    """The team's habits as tables to index: by kind of member (tier, race, age) and by set of open needs."""
    team = parameters.team
    kinds = np.arange(2 * len(RACES) * 2)
    high, race, young = kinds // (2 * len(RACES)), kinds // 2 % len(RACES), kinds % 2
    modality = np.tile(np.asarray(team.modality), (len(kinds), 1))
    # An exponent of 0, no insight, makes every factor 1: the team then looks at nobody's tier, race or age.
    modality[:, _HOME] *= np.where(high, team.home_high_tier**team.insight, 1.0)
    modality[:, _HOME] *= np.asarray(team.race_home)[race] ** team.insight
    modality[:, _DIGITAL] *= np.where(young, team.digital_young**team.insight, 1.0)[:, None]
    goal = np.asarray(team.goal) / sum(team.goal)
    goal_bit = np.zeros(_GOALS, dtype=np.int64)
    goal_bit[_NEED_GOALS] = NEED_BITS
    provider = provider_given_goal(parameters)
    flags = need_flags(np.arange(_N_NEED_SETS))
    count = flags.sum(axis=1)
    each_open = np.where(count > 0, team.goal_insight / np.maximum(count, 1), 0.0)
    generic = np.where(count > 0, 1 - team.goal_insight, 1.0)
    # Chance of each provider before the goal is known, for propensities factor by factor.
    marginal = generic[:, None] * (goal @ provider) + each_open[:, None] * (flags @ provider[_NEED_GOALS])
    return _Habits(
        team=team,
        ops=ops,
        race_contact=ops.table(np.asarray(team.race_contact)),
        modality=ops.table((modality / modality.sum(axis=1, keepdims=True)).ravel()),
        goal=ops.table(goal),
        goal_bit=ops.table(goal_bit),
        provider=ops.table(provider.ravel()),
        generic=ops.table(generic),
        each_open=ops.table(each_open),
        marginal_provider=ops.table(marginal.T.ravel()),
    )


def _kind(members: Members, ops: Numerics) -> Any:
    """Which row of the modality table: by tier, race and age band."""
    young = ops.where(members.age_band <= _YOUNG, 1, 0)
    return ops.where(members.tier >= _HIGH, 2 * len(RACES), 0) + 2 * members.race + young


def _contact(members: Members, state: State, habits: _Habits) -> Any:
    """Probability that the team contacts a member: logistic in the record and, by `insight`, in what it lacks."""
    team, ops = habits.team, habits.ops
    logit = (
        team.contact_intercept
        + team.contact_recent_ed * (state.since_ed == 1)
        + team.contact_recent_ip * _recent_discharge(state, team)
        + team.contact_log_paid * ops.log1p(state.total_paid / 1000.0)
        + team.contact_recent * (state.calls + state.texts > 0)
        + team.insight
        * (
            team.contact_tier * (members.tier - _RISING)
            + team.contact_acuity * state.acuity
            + team.contact_new_member * (state.week < team.new_member_weeks)
            + habits.race_contact[members.race]
        )
    )
    return 1 / (1 + ops.exp(-logit))


def _recent_discharge(state: State, team: Team) -> Any:
    """1 within a week of discharge, which the record shows; `insight` in the week after, which it does not."""
    return (state.since_ip == 1) + team.insight * (state.since_ip == 2)


def _urgent(state: State, habits: _Habits) -> Any:
    """Probability of URGENT, given contact."""
    team = habits.team
    logit = (
        team.urgent_intercept
        + team.urgent_recent_ip * _recent_discharge(state, team)
        + team.insight * team.urgent_acuity * state.acuity
    )
    return 1 / (1 + habits.ops.exp(-logit))


def _propensities(members: Members, state: State, action: Any, habits: _Habits) -> tuple[Any, tuple[Any, ...]]:
    """Joint probability of an action and its conditionals by factor, for a batch or for one member."""
    team, ops = habits.team, habits.ops
    modality, provider, goal, urgency = action
    contact, urgent = _contact(members, state, habits), _urgent(state, habits)
    needs = state.needs
    is_open = (needs & habits.goal_bit[goal]) > 0
    goal_share = habits.generic[needs] * habits.goal[goal] + habits.each_open[needs] * is_open
    # Mass of each prefix of the action among the team's contacts.
    first = contact * habits.modality[_kind(members, ops) * _MODALITIES + modality]
    second = first * habits.marginal_provider[provider * _N_NEED_SETS + needs]
    third = first * goal_share * habits.provider[goal * N_PROVIDERS + provider]
    fourth = third * ops.where(urgency == 1, urgent, 1 - urgent)
    # A prefix of a contact needs every factor so far to be non-null; "do nothing" keeps its mass to the end.
    nothing = (1 - team.exploration) * (1 - contact) + team.exploration / _N_VALID
    alive, still_null = True, True
    before: Any = 1.0
    factors = []
    for mass, uniform, level in zip((first, second, third, fourth), _UNIFORM_PREFIX, action, strict=True):
        if len(factors) < 3:  # urgency has no NONE
            alive = alive & (level > 0)
        still_null = still_null & (level == 0)
        prefix = alive * ((1 - team.exploration) * mass + team.exploration * uniform) + still_null * nothing
        factors.append(ops.where(before > 0, prefix / ops.maximum(before, 1e-300), 0.0))
        before = prefix
    return before, tuple(factors)


def pick(
    probabilities: Float64[np.ndarray, "member level"], uniform: Float64[np.ndarray, "member"]
) -> Int64[np.ndarray, "member"]:
    """One level a row by inversion; rows need not sum to 1."""
    cumulative = np.cumsum(probabilities, axis=1)
    # The last level with mass closes the interval, so that rounding never picks a level of probability 0.
    below = (uniform * cumulative[:, -1])[:, None] >= cumulative
    return np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)
