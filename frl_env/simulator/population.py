"""Draw members: demographics, risk tier, frailty, needs and how easily they are reached.

What is drawn here never changes during an episode, except the needs that are open at the start (see `dynamics`).
Open needs are kept as one integer a member, one bit a need, so that hazard ratios become a table look-up.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from jaxtyping import Bool, Float64, Int8, UInt16

from frl_env.parameters import NEEDS, WEEKS_PER_WINDOW, Parameters

NEED_BITS = np.left_shift(1, np.arange(len(NEEDS))).astype(np.uint16)
"""Bit of each need, in the order of `NEEDS`."""


@dataclass(frozen=True, kw_only=True)
class Members:
    """Members as drawn; one entry a member in every array.

    Attributes:
        tier: Index into `TIERS`; latent.
        race, gender, age_band: Indices into `RACES`, `GENDERS`, `AGE_BANDS`.
        conditions: Bits of the needs that the member can have; latent.
        open_needs: Bits of the needs that are open before the first week; latent.
        ed_base, ip_base: Weekly hazards before needs, acuity, season and support; latent.
        death: Weekly hazard of death; latent.
        reach: Probability that an attempt reaches the member, by modality, before fatigue; latent.
        routine_cost: Mean weekly spending outside ED and hospital, US dollars; latent.
        start_week: Week of the year at entry.
        entry_days: Days enrolled at entry.
    """

    tier: Int8[np.ndarray, "member"]
    race: Int8[np.ndarray, "member"]
    gender: Int8[np.ndarray, "member"]
    age_band: Int8[np.ndarray, "member"]
    conditions: UInt16[np.ndarray, "member"]
    open_needs: UInt16[np.ndarray, "member"]
    ed_base: Float64[np.ndarray, "member"]
    ip_base: Float64[np.ndarray, "member"]
    death: Float64[np.ndarray, "member"]
    reach: Float64[np.ndarray, "member modality"]
    routine_cost: Float64[np.ndarray, "member"]
    start_week: Int8[np.ndarray, "member"]
    entry_days: Float64[np.ndarray, "member"]

    def __len__(self) -> int:
        """Number of members."""
        return len(self.tier)


def draw_members(rng: np.random.Generator, n: int, parameters: Parameters) -> Members:
    """Draws members from the population.

    Args:
        rng: Source of randomness; what it draws depends on `n` only.
        n: Number of members.
        parameters: The simulated world.
    """
    who, hazards, outreach, spending = (
        parameters.population,
        parameters.hazards,
        parameters.outreach,
        parameters.spending,
    )
    tier = _categories(rng, n, who.tier_mix)
    race = _categories(rng, n, who.race_mix)
    age = _categories(rng, n, who.age_mix)
    gender = (rng.random(n) >= who.female).astype(np.int8)

    clinical = np.asarray(who.age_clinical_odds)[age] * np.asarray(who.race_clinical_odds)[race]
    social = np.asarray(who.race_social_odds)[race]
    tier_odds = np.asarray(who.tier_need_odds)[tier]
    prevalence = np.asarray([need.prevalence for need in NEEDS])[:, None]
    gradient = np.where(np.asarray([need.social for need in NEEDS])[:, None], social, clinical)
    odds = prevalence / (1 - prevalence) * tier_odds * gradient
    has = rng.random((len(NEEDS), n)) < odds / (1 + odds)
    is_open = has & (rng.random((len(NEEDS), n)) < np.asarray([need.open_share for need in NEEDS])[:, None])

    frailty = rng.gamma(who.frailty_shape, 1 / who.frailty_shape, n)
    residual = np.asarray(who.race_ed_residual)[race]
    base_reach = np.asarray(outreach.reach)
    odds = base_reach / (1 - base_reach) * np.exp(outreach.responsiveness_sd * rng.standard_normal(n))[:, None]
    access = np.asarray(outreach.race_reach)[race]
    # Texts, video visits and EHR messages need a device, which fewer of the old use.
    access[:, [2, 3, 5]] *= np.asarray(outreach.age_digital)[age][:, None]
    spender = rng.random(n) >= spending.routine_zero
    routine = spender * spending.routine_median * np.exp(spending.routine_sigma * rng.standard_normal(n))
    return Members(
        tier=tier,
        race=race,
        gender=gender,
        age_band=age,
        conditions=_bits(has),
        open_needs=_bits(is_open),
        ed_base=(np.asarray(hazards.ed_by_tier)[tier] * hazards.ed_scale * frailty * residual),
        ip_base=(np.asarray(hazards.ip_by_tier)[tier] * hazards.ip_scale * frailty),
        death=(np.asarray(hazards.death_by_tier)[tier] * frailty),
        reach=np.clip(odds / (1 + odds) * access, 0.0, outreach.reach_cap),
        routine_cost=routine,
        start_week=rng.integers(0, 52, n).astype(np.int8),
        entry_days=(7.0 * rng.integers(WEEKS_PER_WINDOW, who.entry_weeks + 1, n)),
    )


@lru_cache(maxsize=4)
def need_hazard_ratios(cap: float) -> Float64[np.ndarray, "bits 2"]:
    """Hazard ratios (ED, IP) of every set of open needs: the product over needs, capped.

    Args:
        cap: Largest product.

    Returns:
        A row for each of the 2**15 sets of needs.
    """
    sets = np.arange(1 << len(NEEDS), dtype=np.uint32)
    has = (sets[:, None] & NEED_BITS.astype(np.uint32)) > 0
    log_ratios = np.log(np.asarray([(need.ed, need.ip) for need in NEEDS]))
    table = np.minimum(np.exp(has @ log_ratios), cap)
    table.flags.writeable = False
    return table


def _categories(rng: np.random.Generator, n: int, mix: tuple[float, ...]) -> Int8[np.ndarray, "member"]:
    """Draws a category of each member with the shares of `mix`."""
    edges = np.cumsum(mix)[:-1]
    return np.searchsorted(edges, rng.random(n), side="right").astype(np.int8)


def _bits(flags: Bool[np.ndarray, "need member"]) -> UInt16[np.ndarray, "member"]:
    """Flags of the needs as one number a member, a bit a need."""
    return (NEED_BITS.astype(np.int64) @ flags).astype(np.uint16)
