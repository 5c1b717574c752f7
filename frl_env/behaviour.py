"""The care team that made the logged decisions, with the exact probability of every one of them.

Each week the team decides whether to contact a member; if so, over which modality, about which goal, through which
provider and how urgently. It sees the seven observations, and also part of what no record shows: risk tier, this
week's acuity, some of the open needs. `Team.insight` and `Team.goal_insight` say how much: they are the confounding
dial. With probability `Team.exploration` it decides uniformly over the valid actions: the overlap dial.

The joint probability of an action (m, p, g, u) is

    (1 - e) * contact * modality[m] * goal[g] * provider_given_goal[g, p] * urgency[u]  +  e / 681

and the logged per-factor propensities are its conditionals in factor order, so that their product is the joint.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.dynamics import State, goal_scope
from frl_env.parameters import NEED_NAMES, TIERS, Parameters, Team
from frl_env.population import NEED_BITS, Members

_N_VALID = len(MEDICAID_ACTIONS.valid_joints)
_MODALITIES, _PROVIDERS, _GOALS, _URGENCIES = MEDICAID_ACTIONS.nvec
_HOME, _DIGITAL = 4, (2, 3, 5)
_NEED_GOALS = np.asarray([MEDICAID_ACTIONS["goal"].levels.index(name) for name in NEED_NAMES])
# Uniform over valid actions: mass of each prefix (m), (m, p), (m, p, g), (m, p, g, u) of a contact.
_UNIFORM_PREFIX = (
    np.asarray([(_PROVIDERS - 1) * (_GOALS - 1) * _URGENCIES, (_GOALS - 1) * _URGENCIES, _URGENCIES, 1]) / _N_VALID
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
        team = self.parameters.team
        n = len(members)
        uniform = rng.random((6, n))
        chosen = self.team_probabilities(members, state)
        levels = np.zeros((n, len(MEDICAID_ACTIONS.nvec)), dtype=np.int64)
        contact = np.flatnonzero(uniform[0] < chosen.contact)
        goal = _pick(chosen.goal[contact], uniform[2, contact])
        levels[contact, 0] = _pick(chosen.modality[contact], uniform[1, contact])
        levels[contact, 1] = _pick(provider_given_goal(team)[goal], uniform[3, contact])
        levels[contact, 2] = goal
        levels[contact, 3] = uniform[4, contact] < chosen.urgent[contact]
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
        team = self.parameters.team
        chosen = self.team_probabilities(members, state)
        rows = np.arange(len(members))
        modality, provider, goal, urgency = levels.T
        table = provider_given_goal(team)
        first = chosen.contact * chosen.modality[rows, modality]
        by_provider = first * (chosen.goal * table[:, provider].T).sum(axis=1)
        by_goal = first * chosen.goal[rows, goal] * table[goal, provider]
        by_urgency = by_goal * np.where(urgency == 1, chosen.urgent, 1 - chosen.urgent)
        contact = np.stack([first, by_provider, by_goal, by_urgency], axis=1)
        mixed = (1 - team.exploration) * contact + team.exploration * _UNIFORM_PREFIX
        # A prefix of a contact needs every factor so far to be non-null; "do nothing" keeps its mass to the end.
        alive = np.logical_and.accumulate(
            np.stack([modality > 0, provider > 0, goal > 0, np.ones_like(goal, dtype=bool)], axis=1), axis=1
        )
        nothing = ((1 - team.exploration) * (1 - chosen.contact) + team.exploration / _N_VALID)[:, None]
        still_null = np.logical_and.accumulate(levels == 0, axis=1)
        prefix = np.where(alive, mixed, 0.0) + np.where(still_null, nothing, 0.0)
        before = np.concatenate([np.ones((len(rows), 1)), prefix[:, :-1]], axis=1)
        conditional = np.divide(prefix, before, out=np.zeros_like(prefix), where=before > 0)
        return prefix[:, -1].copy(), conditional

    def joint_probabilities(self, members: Members, state: State) -> Float64[np.ndarray, "member joint"]:
        """Probability of all 1,080 joint actions; invalid ones are 0, each row sums to 1."""
        team = self.parameters.team
        chosen = self.team_probabilities(members, state)
        urgency = np.stack([1 - chosen.urgent, chosen.urgent], axis=1)
        joint = np.einsum(
            "nm,ng,gp,nu,n->nmpgu", chosen.modality, chosen.goal, provider_given_goal(team), urgency, chosen.contact
        ).reshape(len(members), -1)
        joint[:, MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action)] = 1 - chosen.contact
        return (1 - team.exploration) * joint + team.exploration * MEDICAID_ACTIONS.valid / _N_VALID

    def team_probabilities(self, members: Members, state: State) -> TeamProbabilities:
        """The team's own probabilities, before exploration."""
        team = self.parameters.team
        recent_ip = state.since_ip <= 2
        acuity = state.acuity.astype(np.float64)
        logit = (
            team.contact_intercept
            + team.contact_recent_ed * (state.since_ed == 1)
            + team.contact_recent_ip * recent_ip
            + team.contact_new_member * (state.week < 4)
            + team.contact_log_paid * np.log1p(state.paid.sum(axis=0) / 1000.0)
            + team.contact_recent * (state.calls + state.texts > 0)
            + np.asarray(team.race_contact)[members.race]
            + team.insight * (team.contact_tier * (members.tier - TIERS.index("RISING")) + team.contact_acuity * acuity)
        )
        urgent = team.urgent_intercept + team.urgent_recent_ip * recent_ip + team.insight * team.urgent_acuity * acuity
        return TeamProbabilities(
            contact=_sigmoid(logit),
            modality=self._modality(members),
            goal=self._goal(state),
            urgent=_sigmoid(urgent),
        )

    def _modality(self, members: Members) -> np.ndarray:
        team = self.parameters.team
        weights = np.tile(np.asarray(team.modality), (len(members), 1))
        high = members.tier >= TIERS.index("HIGH")
        weights[:, _HOME] *= np.where(high, team.home_high_tier**team.insight, 1.0)
        weights[:, _HOME] *= np.asarray(team.race_home)[members.race]
        weights[:, _DIGITAL] *= np.where(members.age_band <= 1, team.digital_young, 1.0)[:, None]
        return weights / weights.sum(axis=1, keepdims=True)

    def _goal(self, state: State) -> np.ndarray:
        team = self.parameters.team
        generic = np.asarray(team.goal) / sum(team.goal)
        is_open = ((state.needs[:, None] & NEED_BITS) > 0).astype(np.float64)
        count = is_open.sum(axis=1, keepdims=True)
        insight = team.goal_insight * (count > 0)
        goal = (1 - insight) * generic
        goal[:, _NEED_GOALS] += insight * is_open / np.maximum(count, 1)
        return goal


@lru_cache(maxsize=16)
def provider_given_goal(team: Team) -> Float64[np.ndarray, "goal provider"]:
    """Probability of each provider once the goal is set: partly by scope, partly by who is free."""
    share = np.asarray(team.provider) / sum(team.provider)
    scope = goal_scope()
    total = scope.sum(axis=1, keepdims=True)
    by_scope = np.where(total > 0, scope / np.where(total > 0, total, 1), share)
    table = (1 - team.provider_scope) * share + team.provider_scope * by_scope
    table[0] = 0.0
    table.flags.writeable = False
    return table


def _pick(probabilities: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """One level a row by inversion."""
    cumulative = np.cumsum(probabilities, axis=1)
    # The last level with mass closes the interval, so that rounding never picks a level of probability 0.
    below = (uniform * cumulative[:, -1])[:, None] >= cumulative
    return np.minimum(below.sum(axis=1), probabilities.shape[1] - 1)


def _sigmoid(logit: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-logit))
