"""What `info` says after a reset and after every step, for one member or for many; one definition for both.

Infos may tell what no observation shows: the true propensities, the latent needs, the risk tier. They are there for
evaluation, fairness audits and tests; a learner never sees them.
"""

from typing import Any

import numpy as np

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import effort
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, need_flags

LATENT_KEYS = ("risk_tier", "open_needs", "acuity", "covered")
"""Keys of what is latent at the time of the observation that comes with the info."""

DEMOGRAPHIC_KEYS = ("age_band", "gender", "race_ethnicity")

ACTION_KEYS = ("propensity", "factor_propensities", "invalid_action", "attempted", "reached", "matched")
"""Keys about the action that led here; after a reset there is none, which has probability 1 and did nothing."""

EVENT_KEYS = ("ed_visits", "ip_stays", "effort_minutes", "cost")

_COLUMNS = {
    "propensity": np.float64,
    "invalid_action": np.bool_,
    "attempted": np.bool_,
    "reached": np.bool_,
    "matched": np.bool_,
    "ed_visits": np.int8,
    "ip_stays": np.int8,
    "effort_minutes": np.float32,
    "cost": np.float32,
    "risk_tier": np.int8,
    "acuity": np.float32,
    "covered": np.bool_,
    "age_band": np.int8,
    "gender": np.int8,
    "race_ethnicity": np.int8,
}
"""Type of every key with one number a member."""

_BY_KIND = {kind: [key for key, own in _COLUMNS.items() if own is kind] for kind in dict.fromkeys(_COLUMNS.values())}


def describe(
    members: Members,
    before: State | None,
    levels: np.ndarray | None,
    after: State,
    outcome: Outcome | None,
    behaviour: BehaviourPolicy,
) -> dict[str, np.ndarray]:
    """Information on one moment of many members, as fresh arrays of shape `(members, k)`; k is 1 unless said otherwise.

    Args:
        members: Who they are.
        before: State in which the action was taken; None after a reset.
        levels: The action, `(members, 4)`; None after a reset.
        after: State now.
        outcome: What happened in between; None after a reset.
        behaviour: The policy whose propensities are reported.

    Returns:
        `propensity` and `factor_propensities` (k = 4) of the action under the behaviour policy, `invalid_action`,
        `attempted`, `reached`, `matched`; `ed_visits`, `ip_stays`, `effort_minutes`, `cost` of the week;
        `risk_tier`, `open_needs` (k = 15, in the order of `NEED_NAMES`), `acuity`, `covered` now; `age_band`,
        `gender`, `race_ethnicity` as indices into the vocabularies of `frl_env.parameters`.
    """
    n = len(members)
    if before is None or levels is None or outcome is None:
        columns: dict[str, Any] = dict.fromkeys(ACTION_KEYS + EVENT_KEYS, np.zeros(n)) | {"propensity": np.ones(n)}
        factors = np.ones((n, len(MEDICAID_ACTIONS.nvec)))
    else:
        joint, factors = behaviour.propensities(members, before, levels)
        minutes, cost = effort(levels, outcome.attempted, behaviour.parameters)
        columns = _columns(joint, _invalid(*levels.T), outcome, minutes, cost)
    columns |= _person(members, after, after.active & ~after.gap)
    described = {key: np.array(columns[key], dtype=kind)[:, None] for key, kind in _COLUMNS.items()}
    return described | {"factor_propensities": factors, "open_needs": need_flags(after.needs)}


def describe_one(
    member: Members,
    before: State | None,
    action: tuple[int, int, int, int] | None,
    after: State,
    outcome: Outcome | None,
    behaviour: BehaviourPolicy,
) -> dict[str, Any]:
    """`describe` for one member in plain numbers: fresh arrays of shape `(k,)`, with the action mask."""
    factors: tuple[float, ...] = (1.0,) * len(MEDICAID_ACTIONS.nvec)
    if before is None or action is None or outcome is None:
        columns: dict[str, Any] = dict.fromkeys(ACTION_KEYS + EVENT_KEYS, 0) | {"propensity": 1.0}
    else:
        joint, factors = behaviour.propensity_of_one(member, before, action)
        outreach = behaviour.parameters.outreach
        minutes = outcome.attempted * outreach.minutes[action[0]]
        cost = minutes / 60.0 * outreach.wage[action[1]] * outreach.wage_load
        columns = _columns(joint, _invalid(*action), outcome, minutes, cost)
    columns |= _person(member, after, after.active and not after.gap)
    info: dict[str, Any] = {}
    for kind, keys in _BY_KIND.items():  # one array a type, a place in it a key: creating arrays is what takes time
        block = np.array([columns[key] for key in keys], dtype=kind)
        for i, key in enumerate(keys):
            info[key] = block[i : i + 1]
    info["factor_propensities"] = np.array(factors)
    info["open_needs"] = need_flags(after.needs).copy()
    info["action_mask"] = action_mask()
    return info


def action_mask() -> np.ndarray:
    """Which of the 1,080 joint actions are valid; the same in every state. A fresh array each time."""
    return MEDICAID_ACTIONS.valid.copy()


def _invalid(modality: Any, provider: Any, goal: Any, urgency: Any) -> Any:
    """Neither a contact nor all of it null; the rule of `MEDICAID_ACTIONS`, for arrays or numbers."""
    contact = (modality > 0) & (provider > 0) & (goal > 0)
    nothing = (modality == 0) & (provider == 0) & (goal == 0) & (urgency == 0)
    return contact == nothing  # both can't hold


def _columns(joint: Any, invalid: Any, outcome: Outcome, minutes: Any, cost: Any) -> dict[str, Any]:
    """What the info tells of a week, by key; `joint` is the propensity of the whole action."""
    return {
        "propensity": joint,
        "invalid_action": invalid,
        "attempted": outcome.attempted,
        "reached": outcome.reached,
        "matched": outcome.matched,
        "ed_visits": outcome.ed,
        "ip_stays": outcome.ip,
        "effort_minutes": minutes,
        "cost": cost,
    }


def _person(members: Members, now: State, covered: Any) -> dict[str, Any]:
    return {
        "risk_tier": members.tier,
        "acuity": now.acuity,
        "covered": covered,
        "age_band": members.age_band,
        "gender": members.gender,
        "race_ethnicity": members.race,
    }
