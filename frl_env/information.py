"""What `info` says after a reset and after every step, for one member or for many; one definition for both.

Infos may tell what no observation shows: the true propensities, the latent needs, the risk tier. They are there for
evaluation, fairness audits and tests; a learner never sees them.
"""

from typing import Any

import numpy as np

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.behaviour import BehaviourPolicy
from frl_env.dynamics import Outcome, State, effort
from frl_env.population import NEED_BITS, Members

LATENT_KEYS = ("risk_tier", "open_needs", "acuity", "covered")
"""Keys of what is latent at the time of the observation that comes with the info."""

DEMOGRAPHIC_KEYS = ("age_band", "gender", "race_ethnicity")

ACTION_KEYS = ("propensity", "factor_propensities", "invalid_action", "attempted", "reached", "matched")
"""Keys about the action that led here; after a reset there is none, which has probability 1 and did nothing."""

EVENT_KEYS = ("ed_visits", "ip_stays", "effort_minutes", "cost")


def describe(
    members: Members,
    before: State | None,
    levels: np.ndarray | None,
    after: State,
    outcome: Outcome | None,
    behaviour: BehaviourPolicy,
) -> dict[str, np.ndarray]:
    """Information on one moment, as arrays of shape `(members, k)`; k is 1 unless said otherwise.

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
        joint, factors = np.ones(n), np.ones((n, len(MEDICAID_ACTIONS.nvec)))
        invalid = attempted = reached = matched = np.zeros(n, dtype=bool)
        ed = ip = minutes = cost = np.zeros(n, dtype=np.float32)
    else:
        joint, factors = behaviour.propensities(members, before, levels)
        invalid = ~MEDICAID_ACTIONS.is_valid(levels)
        attempted, reached, matched = outcome.attempted, outcome.reached, outcome.matched
        ed, ip = outcome.ed, outcome.ip
        minutes, cost = effort(levels, attempted, behaviour.parameters)
    columns = {
        "propensity": joint,
        "factor_propensities": factors,
        "invalid_action": invalid,
        "attempted": attempted,
        "reached": reached,
        "matched": matched,
        "ed_visits": ed.astype(np.int8),
        "ip_stays": ip.astype(np.int8),
        "effort_minutes": minutes.astype(np.float32),
        "cost": cost.astype(np.float32),
        "risk_tier": members.tier,
        "open_needs": (after.needs[:, None] & NEED_BITS) > 0,
        "acuity": after.acuity,
        "covered": after.active & ~after.gap,
        "age_band": members.age_band,
        "gender": members.gender,
        "race_ethnicity": members.race,
    }
    return {key: value[:, None].copy() if value.ndim == 1 else value for key, value in columns.items()}


def action_mask() -> np.ndarray:
    """Which of the 1,080 joint actions are valid; the same in every state. A fresh array each time."""
    return MEDICAID_ACTIONS.valid.copy()


def of_member(columns: dict[str, np.ndarray], member: int) -> dict[str, Any]:
    """The information on one member, as fresh arrays of shape `(k,)`, with the action mask."""
    info: dict[str, Any] = {key: value[member].copy() for key, value in columns.items()}
    info["action_mask"] = action_mask()
    return info
