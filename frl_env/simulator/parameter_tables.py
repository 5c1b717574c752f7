"""The parameters of a world as tables that the dynamics can index, for a batch or for one member."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import NEED_NAMES, NEEDS, Parameters
from frl_env.simulator.numerics import ARRAYS, SCALARS, Numerics
from frl_env.simulator.population import NEED_BITS, need_hazard_ratios
from frl_env.simulator.state import NEVER

CARE = MEDICAID_ACTIONS["goal"].levels.index("CARE")
N_PROVIDERS = len(MEDICAID_ACTIONS["provider"])


@dataclass(frozen=True, kw_only=True, eq=False)
class Rules:
    """One world, ready to be stepped.

    Attributes:
        parameters: The world.
        ops: Batch or single-member arithmetic.
        goal_bit: Bit of the need that a goal addresses, 0 if none; by goal.
        scope: How far a provider can pursue a goal; by `goal * N_PROVIDERS + provider`.
        resolve, engagement, fatigue: By modality.
        ed_ratio, ip_ratio: Hazard ratios; by set of open needs.
        season: Hazard ratio; by week of the year.
        readmission: Extra weekly hazard of a stay; by weeks since discharge.
        resolution, onset: Chance that a need closes or opens once it is drawn; by need.
        need_bit: By need.
        log_support_ed, log_support_ip, log_transition: Log hazard ratios.
        support_kept: Share of support left after a week.
        acuity_innovation: Standard deviation of the weekly change in acuity.
    """

    parameters: Parameters
    ops: Numerics
    goal_bit: Any
    scope: Any
    resolve: Any
    engagement: Any
    fatigue: Any
    ed_ratio: Any
    ip_ratio: Any
    season: Any
    readmission: Any
    resolution: Any
    onset: Any
    need_bit: Any
    log_support_ed: float
    log_support_ip: float
    log_transition: float
    support_kept: float
    acuity_innovation: float


@lru_cache(maxsize=32)
def array_rules(parameters: Parameters) -> Rules:
    """Rules for a batch of members."""
    return _rules(parameters, ARRAYS)


@lru_cache(maxsize=32)
def scalar_rules(parameters: Parameters) -> Rules:
    """Rules for one member."""
    return _rules(parameters, SCALARS)


def goal_scope(parameters: Parameters) -> Float64[np.ndarray, "goal provider"]:
    """How far each provider can pursue each goal: 0 out of scope, 1 fully."""
    goals = MEDICAID_ACTIONS["goal"].levels
    scope = np.zeros((len(goals), N_PROVIDERS))
    for need in NEEDS:
        scope[goals.index(need.goal), 1:] = need.scope
    scope[CARE, 1:] = parameters.effects.care_scope
    return scope


def _rules(parameters: Parameters, ops: Numerics) -> Rules:
    """A world's parameters as tables to index, by need, goal, week or weeks since an event."""
    hazards, effects = parameters.hazards, parameters.effects
    goals = MEDICAID_ACTIONS["goal"].levels
    goal_bit = np.zeros(len(goals), dtype=np.uint16)
    for name, bit in zip(NEED_NAMES, NEED_BITS, strict=True):
        goal_bit[goals.index(name)] = bit
    weeks = np.arange(52)
    readmission = np.zeros(NEVER + 1)
    readmission[1 : 1 + len(hazards.readmission)] = np.asarray(hazards.readmission) * hazards.readmission_scale
    open_share = np.asarray([need.open_share for need in NEEDS])
    # One need is drawn each week, so its own weekly rate is multiplied by their number.
    resolution = np.full(len(NEEDS), len(NEEDS) * hazards.need_turnover)
    ratios = need_hazard_ratios(hazards.need_cap)
    return Rules(
        parameters=parameters,
        ops=ops,
        goal_bit=ops.table(goal_bit),
        scope=ops.table(goal_scope(parameters).ravel()),
        resolve=ops.table(effects.strength * np.asarray(effects.resolve)),
        engagement=ops.table(np.asarray(effects.engagement)),
        fatigue=ops.table(np.asarray(parameters.outreach.fatigue_by_attempt)),
        ed_ratio=ops.table(ratios[:, 0]),
        ip_ratio=ops.table(ratios[:, 1]),
        season=ops.table(
            1 + hazards.season_amplitude * np.cos(2 * np.pi * (weeks - hazards.season_peak_week) / len(weeks))
        ),
        readmission=ops.table(readmission),
        resolution=ops.table(resolution),
        onset=ops.table(resolution * open_share / (1 - open_share)),
        need_bit=ops.table(NEED_BITS),
        log_support_ed=effects.strength * float(np.log(effects.support[0])),
        log_support_ip=effects.strength * float(np.log(effects.support[1])),
        log_transition=effects.strength * float(np.log(effects.transition)),
        support_kept=0.5 ** (1 / effects.support_half_life),
        acuity_innovation=hazards.acuity_sd * float(np.sqrt(1 - hazards.acuity_persistence**2)),
    )
