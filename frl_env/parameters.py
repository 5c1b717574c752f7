"""Every number of the simulator, with its unit, its source and how certain it is.

Certainty: **H** read in the source's own abstract or table, **M** read, with a caveat,
**D** derived from H by arithmetic, **A** an assumption. A value sits in an ordinary field; its provenance sits in the
field's metadata, and `provenance` lists both. No value changes without a new `VERSION` and a line in the version
history of `docs/environment.md`.
"""

from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from frl_env.errors import UserError, check_number, unknown_name
from frl_env.meaning import PAID_WEEKS

VERSION = "v0"
"""Version of the parameter values; bumped whenever one of them moves."""

WEEKS_PER_WINDOW = PAID_WEEKS
"""Length of the window of paid amounts."""

TIERS = ("LOW", "RISING", "HIGH", "SUPER")
AGE_BANDS = ("18-24", "25-34", "35-44", "45-54", "55-64")
MEASURES = (
    "num_encounters_last_week",
    "num_ed_visits_last_week",
    "num_ip_visits_last_week",
    "num_calls_last_week",
    "num_texts_last_week",
    "enrolled_days",
    "total_paid",
)
"""The seven observed numbers, in the order of the data contract."""

GENDERS = ("FEMALE", "MALE")
RACES = ("WHITE", "HISPANIC", "BLACK", "OTHER")
"""Race and Hispanic ethnicity in one field, as Medicaid reports publish it."""


def _value(default: Any, unit: str, certainty: str, source: str) -> Any:
    source = source or "assumption, no published figure found"
    return field(default=default, metadata={"unit": unit, "certainty": certainty, "source": source})


class Need(NamedTuple):
    """A problem that a matched contact can resolve.

    Attributes:
        goal: The action goal that addresses it; also its name.
        prevalence: Share of members who can have it (who have the condition).
        open_share: Share of those in whom it is open (uncontrolled, unmet) at the start.
        ed: Hazard ratio of ED visits while open.
        ip: Hazard ratio of hospital stays while open.
        social: Whether prevalence follows the social rather than the clinical gradient by group.
        scope: How far each provider can resolve it: CHW, care coordinator, pharmacist, therapist.
        source: Where prevalence and hazard ratios come from.
    """

    goal: str
    prevalence: float
    open_share: float
    ed: float
    ip: float
    social: bool
    scope: tuple[float, float, float, float]
    source: str


# Hazard ratios are shrunk from marginal figures because members have several needs at once (A throughout).
NEEDS = (
    Need("MEDICATION_ADHERENCE", 0.50, 0.80, 1.40, 1.60, False, (0.5, 0.5, 1.0, 0.3), "PMC5546648; PMC8971297"),
    Need("MEDICATION_OPTIMIZATION", 0.33, 0.50, 1.20, 1.30, False, (0.0, 0.3, 1.0, 0.0), "Agarwal 2016; A"),
    Need("HYPERTENSION", 0.41, 0.50, 1.50, 2.00, False, (0.3, 0.5, 1.0, 0.0), "panel-scale working value; A"),
    Need("DIABETES", 0.28, 0.50, 1.50, 2.00, False, (0.3, 0.5, 1.0, 0.0), "panel-scale working value; A"),
    Need("ASTHMA_COPD", 0.19, 0.50, 1.50, 2.00, False, (0.5, 0.5, 1.0, 0.0), "panel-scale working value; A"),
    Need("DEPRESSION", 0.36, 0.50, 1.40, 1.30, False, (0.2, 0.3, 0.0, 1.0), "KFF 2025; A"),
    Need("MENTAL_HEALTH", 0.10, 0.80, 1.80, 1.80, False, (0.2, 0.3, 0.0, 1.0), "KFF 2025; A"),
    Need("FOOD_INSECURITY", 0.45, 0.80, 1.30, 1.30, True, (1.0, 0.7, 0.0, 0.2), "JAND 2021; Berkowitz 2018"),
    Need("HOUSING_INSECURITY", 0.15, 0.80, 1.30, 1.20, True, (1.0, 0.7, 0.0, 0.2), "panel-scale working value; A"),
    Need("TRANSPORTATION", 0.27, 0.80, 1.15, 1.10, True, (1.0, 1.0, 0.0, 0.0), "panel-scale working value; A"),
    Need("FINANCIAL", 0.30, 0.70, 1.10, 1.05, True, (1.0, 0.7, 0.0, 0.0), "A"),
    Need("EMPLOYMENT", 0.20, 0.70, 1.10, 1.05, True, (1.0, 0.5, 0.0, 0.3), "A"),
    Need("PCP_APPOINTMENT", 0.40, 0.60, 1.15, 1.15, False, (0.7, 1.0, 0.3, 0.2), "A"),
    Need("INSURANCE_COVERAGE", 0.20, 0.50, 1.00, 1.00, True, (1.0, 1.0, 0.0, 0.0), "A; acts on coverage loss only"),
    Need("DENTAL", 0.25, 0.60, 1.10, 1.00, True, (0.7, 1.0, 0.0, 0.0), "A"),
)
NEED_NAMES = tuple(need.goal for need in NEEDS)

VOCABULARIES = {
    "risk_tier": list(TIERS),
    "age_band": list(AGE_BANDS),
    "gender": list(GENDERS),
    "race_ethnicity": list(RACES),
    "open_needs": list(NEED_NAMES),
}
"""Names behind the numbers in infos and datasets, by key, in the order of the numbers."""


_NEED_COLUMNS = (
    ("prevalence", "share of members", "D"),
    ("open_share", "share of those", "A"),
    ("ed", "hazard ratio of ED visits", "A"),
    ("ip", "hazard ratio of stays", "A"),
    ("scope", "by provider, 0 to 1", "A"),
)
"""Unit and certainty of the columns of `NEEDS`: hazard ratios are shrunk from marginal figures, scopes are guesses."""


@dataclass(frozen=True, kw_only=True)
class Population:
    """Who the members are. Race acts only through needs, access and a small residual."""

    tier_mix: tuple[float, ...] = _value((0.10, 0.40, 0.42, 0.08), "share by tier", "A", "working value")
    race_mix: tuple[float, ...] = _value((0.40, 0.25, 0.21, 0.14), "share by race", "H", "KFF")
    age_mix: tuple[float, ...] = _value((0.16, 0.26, 0.22, 0.18, 0.18), "share by age band", "A", "adult Medicaid")
    female: float = _value(0.58, "share", "A", "adult Medicaid")
    frailty_shape: float = _value(1.5, "gamma shape, mean 1", "D", "working value; negative-binomial shape 0.30")
    tier_need_odds: tuple[float, ...] = _value((0.35, 0.75, 1.2, 2.2), "odds ratio by tier", "A", "")
    race_social_odds: tuple[float, ...] = _value((0.85, 1.35, 1.3, 0.9), "odds ratio by race", "A", "")
    race_clinical_odds: tuple[float, ...] = _value((0.95, 1.05, 1.15, 0.9), "odds ratio by race", "A", "")
    race_ed_residual: tuple[float, ...] = _value(
        (0.88, 1.10, 1.15, 0.95), "hazard ratio by race", "A", "small by design"
    )
    age_clinical_odds: tuple[float, ...] = _value((0.4, 0.6, 1.0, 1.4, 1.8), "odds ratio by age band", "A", "")
    entry_weeks: int = _value(104, "weeks enrolled before the program, at most", "A", "")


@dataclass(frozen=True, kw_only=True)
class Hazards:
    """How often events happen."""

    ed_by_tier: tuple[float, ...] = _value((0.003, 0.0095, 0.023, 0.062), "per week", "A", "working values")
    ip_by_tier: tuple[float, ...] = _value((0.0002, 0.0012, 0.0045, 0.020), "per week", "A", "working values")
    ed_scale: float = _value(0.40, "ratio", "D", "tuned: 18.2 ED visits per 1,000 member-weeks (NHAMCS, Oregon)")
    ip_scale: float = _value(0.38, "ratio", "D", "tuned with ed_scale")
    need_cap: float = _value(5.0, "hazard ratio", "A", "cap on the product over open needs")
    acuity_sd: float = _value(0.4, "log hazard", "A", "week-to-week illness that records don't show")
    acuity_persistence: float = _value(0.9, "correlation, 1 week", "A", "")
    season_amplitude: float = _value(0.06, "share", "D", "BMC MIDM 5:4; peak late January")
    season_peak_week: int = _value(4, "week of the year", "H", "ojem.2016.42007")
    max_ed: int = _value(3, "ED visits a week, at most", "A", "")
    ed_recurrence: float = _value(1.15, "hazard ratio for 2 weeks after an ED visit", "D", "12.6 % in 14 days (Montoy)")
    readmission: tuple[float, ...] = _value(
        (0.076, 0.053, 0.043, 0.043), "per week since discharge, weeks 1 to 4", "M", "HCUP SB115"
    )
    readmission_scale: float = _value(0.23, "ratio", "D", "the member's own hazard and open needs give the rest")
    death_by_tier: tuple[float, ...] = _value((0.00003, 0.00006, 0.0002, 0.0008), "per week", "A", "")
    coverage_loss: float = _value(0.0025, "per week", "A", "about 12 % a year")
    coverage_loss_need: float = _value(3.0, "hazard ratio while INSURANCE_COVERAGE is open", "A", "")
    coverage_return_share: float = _value(0.45, "share of losses that are gaps", "A", "")
    coverage_return: float = _value(0.10, "per week of a gap", "A", "")
    inbound: float = _value(0.05, "contacts per week that the member starts, times exp(acuity)", "A", "")
    need_turnover: float = _value(
        0.006, "natural resolution per week", "A", "onset balances it, so needs are stationary"
    )


@dataclass(frozen=True, kw_only=True)
class Outreach:
    """What it takes to reach a member, by modality: none, phone, SMS, video, home, EHR."""

    reach: tuple[float, ...] = _value(
        (0.0, 0.33, 0.178, 0.30, 0.50, 0.10),
        "per attempt",
        "M",
        "phone APHA 2011 242919, Chaiyachati 2018; SMS hedis-outreach-quality; video, home, EHR are A",
    )
    reach_cap: float = _value(0.95, "per attempt, at most", "A", "")
    responsiveness_sd: float = _value(0.5, "log odds between members", "A", "")
    race_reach: tuple[tuple[float, ...], ...] = _value(
        (
            (1.0, 1.0, 1.03, 1.10, 1.0, 1.10),
            (1.0, 0.90, 1.00, 0.90, 1.0, 0.85),
            (1.0, 1.0, 0.93, 0.95, 1.0, 0.90),
            (1.0, 0.95, 1.00, 0.95, 1.0, 1.00),
        ),
        "ratio by race and modality",
        "D",
        "ASPE HP-2022-04 (video), PMC7598235 (SMS), APHA 2011 242919 (phone, language)",
    )
    age_digital: tuple[float, ...] = _value(
        (1.2, 1.15, 1.0, 0.9, 0.75), "ratio for SMS, video and EHR by age band", "D", "ASPE HP-2022-04"
    )
    fatigue_by_attempt: tuple[float, ...] = _value((0.0, 1.0, 0.5, 1.0, 1.0, 0.3), "units an attempt", "A", "")
    fatigue_decay: float = _value(0.90, "kept per week", "A", "")
    fatigue_reach: float = _value(0.40, "log reach lost per unit", "A", "")
    minutes: tuple[float, ...] = _value(
        (0.0, 15.0, 2.0, 30.0, 75.0, 5.0), "minutes an attempt", "A", "home with travel"
    )
    wage: tuple[float, ...] = _value(
        (0.0, 24.93, 32.63, 62.0, 28.53), "US dollars an hour by provider", "H", "BLS 2025, 2022"
    )
    wage_load: float = _value(1.7, "ratio", "D", "IMPaCT ROI")


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What a completed contact does."""

    strength: float = _value(1.0, "ratio on every effect below", "D", "1 in preset rct, tuned in the others")
    resolve: tuple[float, ...] = _value(
        (0.0, 0.10, 0.02, 0.15, 0.25, 0.02),
        "probability that a matched contact resolves its need",
        "A",
        "working values 0.08, 0.10, 0.15 for phone, video, home; pharmacist review OR 3.50 over several (PMC3895351)",
    )
    engagement: tuple[float, ...] = _value(
        (0.0, 0.15, 0.03, 0.50, 1.00, 0.05),
        "share of full support after a matched contact, by modality",
        "A",
        "telephone-only programs are null; face-to-face ones (IMPaCT) are not",
    )
    care_scope: tuple[float, float, float, float] = _value(
        (0.7, 1.0, 0.3, 0.0), "scope of CHW, care coordinator, pharmacist, therapist for goal CARE", "A", ""
    )
    unmatched: float = _value(0.30, "ratio on engagement when the contact matches no open need", "A", "")
    support: tuple[float, float] = _value(
        (0.66, 0.40),
        "hazard ratio of ED, IP at full support",
        "D",
        "IMPaCT: hospital days 0.66 of control; ED from Contra Costa's ED against IP",
    )
    support_half_life: float = _value(8.0, "weeks", "M", "IMPaCT: about 3 months")
    transition: float = _value(
        0.80, "hazard ratio after a timely urgent contact", "H", "transitional care, NC Medicaid"
    )
    transition_weeks: int = _value(4, "weeks", "A", "30 days")


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What care costs. Amounts are whole dollars, so that window sums are exact."""

    routine_median: float = _value(20.0, "US dollars a week", "D", "KFF 2021: $7,593 a year, all spending")
    routine_sigma: float = _value(1.85, "log", "D", "GAO-15-460")
    routine_zero: float = _value(
        0.16, "share of members without routine spending", "D", "GAO-15-460: 12 % spend nothing"
    )
    ed_cost: float = _value(527.0, "US dollars, mean", "H", "HCUP SB268")
    ip_cost: float = _value(10400.0, "US dollars, mean", "H", "HCUP SB180")
    cost_sigma: float = _value(0.6, "log", "A", "")


@dataclass(frozen=True, kw_only=True)
class Team:
    """How the care team behaves. The first three numbers are the dials of the difficulty ladder."""

    insight: float = _value(
        1.0, "weight of tier and acuity, which no record shows, in contact", "A", "confounding dial"
    )
    exploration: float = _value(0.02, "share of weeks decided uniformly over valid actions", "A", "overlap dial")
    goal_insight: float = _value(0.25, "share of goals drawn from the member's open needs", "A", "poor matching")
    contact_intercept: float = _value(-2.5, "log odds of contact", "A", "")
    contact_recent_ed: float = _value(0.8, "log odds", "A", "")
    contact_recent_ip: float = _value(1.5, "log odds", "A", "within 2 weeks of discharge")
    contact_new_member: float = _value(0.8, "log odds while new", "A", "")
    new_member_weeks: int = _value(4, "weeks a member counts as new", "A", "")
    contact_log_paid: float = _value(0.10, "log odds per unit of ln(1 + paid / 1000)", "A", "")
    contact_tier: float = _value(0.30, "log odds per tier above RISING", "A", "not recorded: confounds")
    contact_acuity: float = _value(0.50, "log odds per unit of acuity", "A", "not recorded: confounds")
    contact_recent: float = _value(-0.6, "log odds if called or texted last week", "A", "")
    race_contact: tuple[float, ...] = _value((0.0, -0.25, -0.15, -0.05), "log odds by race", "A", "access barrier")
    modality: tuple[float, ...] = _value((0.0, 0.42, 0.23, 0.05, 0.20, 0.10), "share of contacts", "A", "mostly phone")
    home_high_tier: float = _value(2.0, "odds ratio of a home visit from HIGH up", "A", "")
    race_home: tuple[float, ...] = _value((1.0, 0.7, 0.75, 0.95), "odds ratio of a home visit by race", "A", "barrier")
    digital_young: float = _value(1.5, "odds ratio of SMS, video, EHR below 35", "A", "")
    goal: tuple[float, ...] = _value(
        (0.0, 0.12, 0.03, 0.06, 0.06, 0.02, 0.04, 0.02, 0.06, 0.03, 0.04, 0.02, 0.01, 0.15, 0.03, 0.02, 0.18, 0.11),
        "share of goals when chosen without insight",
        "A",
        "",
    )
    provider: tuple[float, ...] = _value((0.0, 0.30, 0.50, 0.10, 0.10), "share by provider", "A", "")
    provider_scope: float = _value(0.5, "share of contacts given to a provider by scope", "A", "")
    urgent_intercept: float = _value(-2.2, "log odds of URGENT", "A", "")
    urgent_recent_ip: float = _value(2.0, "log odds", "A", "within 2 weeks of discharge")
    urgent_acuity: float = _value(0.5, "log odds per unit of acuity", "A", "not recorded: confounds")


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What of the latent state is written down."""

    screening: float = _value(0.0, "share of needs screened at entry", "A", "dial: 0 records no screening at all")
    sensitivity: float = _value(0.85, "share of open needs found", "A", "")
    specificity: float = _value(0.95, "share of absent or closed needs found to be so", "A", "")
    past_contacts: bool = _value(
        False, "true or false", "A", "dial: whether the program's own past attempts are observed"
    )

    @property
    def seen(self) -> dict[str, bool]:
        """What is observed besides the seven measures, as arguments of `frl_env.simulator.state.observe`."""
        return {"screening": self.screening > 0, "past_contacts": self.past_contacts}


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """All parameters of one simulated world."""

    population: Population = Population()
    hazards: Hazards = Hazards()
    outreach: Outreach = Outreach()
    effects: Effects = Effects()
    spending: Spending = Spending()
    team: Team = Team()
    recording: Recording = Recording()

    def __post_init__(self) -> None:
        """Checks that mixes add up and shares are shares."""
        for name in ("tier_mix", "race_mix", "age_mix"):
            if not np.isclose(sum(getattr(self.population, name)), 1.0):
                raise UserError(f"parameter population.{name} must sum to 1")
        shares = {f"team.{name}": getattr(self.team, name) for name in ("insight", "exploration", "goal_insight")}
        shares |= {
            f"recording.{name}": getattr(self.recording, name) for name in ("screening", "sensitivity", "specificity")
        }
        if not isinstance(self.recording.past_contacts, bool):
            raise UserError(f"parameter recording.past_contacts is true or false, not {self.recording.past_contacts!r}")
        for name, value in shares.items():
            check_number(f"parameter {name}", value, low=0.0, high=1.0)
        check_number("parameter effects.strength", self.effects.strength, low=0.0, high=1000.0)


PRESETS = {
    "rct": Parameters(),
    "program": Parameters(
        effects=Effects(strength=1.65),
        team=Team(contact_intercept=-1.0, goal_insight=0.8, modality=(0.0, 0.24, 0.08, 0.04, 0.60, 0.04)),
    ),
    "null": Parameters(effects=Effects(strength=0.0)),
}
"""Effect presets, anchored on the Contra Costa trial, Waymark's matched study and no effect at all."""


def preset(
    name: str = "rct",
    *,
    strength: float | None = None,
    insight: float | None = None,
    exploration: float | None = None,
    goal_insight: float | None = None,
    screening: float | None = None,
    past_contacts: bool | None = None,
) -> Parameters:
    """Parameters of a named effect preset, with the dials turned if asked; None leaves a dial where the preset has it.

    Args:
        name: A key of `PRESETS`.
        strength: Ratio on every effect of a contact, 0 or more.
        insight: How much of the unrecorded state the care team acts on, in 0..1 (confounding).
        exploration: Share of weeks decided uniformly over valid actions, in 0..1 (overlap).
        goal_insight: Share of goals drawn from the member's open needs, in 0..1 (confounding of the goal).
        screening: Share of the needs that are screened at entry, in 0..1 (missing state); above 0 the results are
            observed.
        past_contacts: Whether the program's own past attempts are observed.

    Raises:
        UserError: If the name is unknown or a dial is out of range.
    """
    if not isinstance(name, str) or name not in PRESETS:
        raise unknown_name("effect preset", str(name), PRESETS)
    base = PRESETS[name]
    return replace(
        base,
        effects=_turned(base.effects, strength=strength),
        team=_turned(base.team, insight=insight, exploration=exploration, goal_insight=goal_insight),
        recording=_turned(base.recording, screening=screening, past_contacts=past_contacts),
    )


def _turned(group: Any, **dials: float | bool | None) -> Any:
    return replace(group, **{name: value for name, value in dials.items() if value is not None})


def provenance(parameters: Parameters) -> list[dict[str, str]]:
    """One row a parameter: name, value, unit, certainty, source; the table of needs included."""
    rows = [
        {"name": f"needs.{need.goal}.{name}", "value": str(getattr(need, name)), "unit": unit}
        | {"certainty": certainty, "source": need.source}
        for need in NEEDS
        for name, unit, certainty in _NEED_COLUMNS
    ]
    for group in fields(parameters):
        values = getattr(parameters, group.name)
        if not is_dataclass(values):
            continue
        for item in fields(values):
            row = {"name": f"{group.name}.{item.name}", "value": str(getattr(values, item.name))}
            rows.append(row | {key: item.metadata[key] for key in ("unit", "certainty", "source")})
    return rows
