"""Measure on the simulator what was published about the real world."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Bool, Float64, Int8

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.parameters import AGE_BANDS, NEED_NAMES, RACES, TIERS, Parameters, preset
from frl_env.references import NoProgram, ObservationPolicy, Policy
from frl_env.rollout import HORIZON, Returns, rollout
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, need_flags

CHRONIC = ("HYPERTENSION", "DIABETES", "ASTHMA_COPD", "DEPRESSION", "MENTAL_HEALTH")
SOCIAL = ("FOOD_INSECURITY", "HOUSING_INSECURITY", "TRANSPORTATION", "FINANCIAL", "EMPLOYMENT")
SMS, VIDEO = (MEDICAID_ACTIONS["modality"].levels.index(name) for name in ("SMS_TEXT", "VIDEO_VISIT"))
RESTED = 0.05
"""Fatigue below which a member counts as rested."""


@dataclass
class Diary:
    """What is written down of a rollout, week by week; arrays of shape `(week, member)`."""

    members: Members | None = None
    entry: State | None = None
    ed: list[np.ndarray] = field(default_factory=list)
    ip: list[np.ndarray] = field(default_factory=list)
    active: list[np.ndarray] = field(default_factory=list)
    paid: list[np.ndarray] = field(default_factory=list)
    encounters: list[np.ndarray] = field(default_factory=list)
    reached: list[np.ndarray] = field(default_factory=list)
    matched: int = 0
    tried: np.ndarray = field(default_factory=lambda: np.zeros(len(MEDICAID_ACTIONS["modality"])))
    attempts: np.ndarray = field(default_factory=lambda: np.zeros((len(MEDICAID_ACTIONS["modality"]), 2)))

    def record(
        self, week: int, members: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome
    ) -> None:
        """Writes one week down, as `rollout` calls it: levels `(member, 4)`, the states before and after the week."""
        if week == 0:
            self.members, self.entry = members, before
        self.ed.append(outcome.ed)
        self.ip.append(outcome.ip)
        self.active.append(before.active)
        self.paid.append(after.paid[-1])
        self.encounters.append(after.encounters)
        self.reached.append(outcome.reached)
        self.tried += np.bincount(levels[outcome.attempted, 0], minlength=len(self.tried))
        self.matched += int(outcome.matched.sum())
        rested = outcome.attempted & (before.fatigue < RESTED)
        for column, flags in enumerate((rested, rested & outcome.reached)):
            self.attempts[:, column] += np.bincount(levels[flags, 0], minlength=len(self.attempts))


def measure(*, members: int, seed: int, progress: Callable[[int, int], None] | None = None) -> dict[str, float]:
    """Every measurement that an anchor or a figure without verdict names.

    Args:
        members: Members of each rollout.
        seed: Seed of each rollout: all policies meet the same members and chances.
        progress: Called with (rollouts done, rollouts in all).
    """
    rct = preset("rct")
    runs: list[tuple[str, Policy, Parameters]] = [
        ("nothing", NoProgram(), rct),
        ("team", BehaviourPolicy(rct), rct),
        ("telephone", _every_other(4, "PHONE_CALL", "CHW", "FOOD_INSECURITY"), rct),
        ("intensive", _every_other(2, "HOME_VISIT", "CHW", "FOOD_INSECURITY"), rct),
        ("transition", _after_discharge(), rct),
        ("team at a distance", _TeamWithoutHomeVisits(BehaviourPolicy(rct)), rct),
    ]
    for name in ("program", "null"):
        runs += [(f"{name} nothing", NoProgram(), preset(name)), (name, BehaviourPolicy(preset(name)), preset(name))]
    returns: dict[str, Returns] = {}
    diaries: dict[str, Diary] = {}
    for done, (name, policy, parameters) in enumerate(runs):
        diary = Diary()
        returns[name] = rollout(policy, parameters, members=members, seed=seed, record=diary.record)
        if parameters is rct:
            diaries[name] = diary
        if progress is not None:
            progress(done + 1, len(runs))
    nothing = diaries["nothing"]
    return (
        _use(nothing)
        | _money(nothing)
        | _people(nothing)
        | _reach(diaries["team"])
        | _effects(returns)
        | {"transition_30": _return(diaries["transition"].ip, 4) / _return(nothing.ip, 4)}
    )


def _use(diary: Diary) -> dict[str, float]:
    """How much care is used, by whom, how soon again, and when in the year."""
    assert diary.members is not None  # for the type checker
    ed, ip, active = np.asarray(diary.ed), np.asarray(diary.ip), np.asarray(diary.active)
    weeks = active.sum()
    year = ed.sum(axis=0)[active[-1]]
    mean = year.mean()
    tier = diary.members.tier
    high, top = tier >= TIERS.index("HIGH"), tier == TIERS.index("SUPER")
    frequent = ed[:13].sum(axis=0) >= 2
    return {
        "ed_per_1000_months": 1000 * ed.sum() / weeks * 52 / 12,
        "high_risk_ip": 1000 * 52 * ip[:, high].sum() / active[:, high].sum(),
        "ed_shape": mean**2 / (year.var() - mean),
        "any_ed": (year > 0).mean(),
        "three_ed": (year >= 3).mean(),
        "six_ed": (year >= 6).mean(),
        "frequent_odds": _frequent_odds(ed),
        "three_ed_share": year[year >= 3].sum() / year.sum(),
        "ten_ed_share": year[year >= 10].sum() / year.sum(),
        "ed_revisit_14": _return(diary.ed, 2),
        "ip_return_7": _return(diary.ip, 1),
        "ip_return_14": _return(diary.ip, 2),
        "ip_return_30": _return(diary.ip, 4),
        "super_return_180": _return([week[top] for week in diary.ip], 26),
        "fall_without_program": ed[13:26, frequent].sum() / ed[:13, frequent].sum(),
        "any_acute_90": ((ed[:13] + ip[:13]).sum(axis=0) > 0)[active[12]].mean(),
    } | _season(diary.members.start_week, ed, active)


def _season(
    start_week: Int8[np.ndarray, "member"],
    ed: Float64[np.ndarray, "week member"],
    active: Bool[np.ndarray, "week member"],
) -> dict[str, float]:
    """The yearly wave of ED visits: the first Fourier component of the visits by week of the calendar.

    Returns:
        Its amplitude as a share of the mean, and the week of its peak, from -26 to 26 around New Year.
    """
    calendar = (start_week.astype(int) + np.arange(len(ed))[:, None]) % 52
    visits = np.bincount(calendar[active].ravel(), weights=ed[active], minlength=52)
    wave = visits / np.bincount(calendar[active].ravel(), minlength=52)
    turn = np.exp(-2j * np.pi * np.arange(52) / 52)
    first = (wave * turn).sum() / wave.sum() * 2
    peak = (-np.angle(first) * 52 / (2 * np.pi) + 26) % 52 - 26
    return {"season_amplitude": abs(first), "season_peak": peak}


def _money(diary: Diary) -> dict[str, float]:
    """Spending of those who stayed the whole year, in US dollars, and how unequal it is."""
    stayed = np.asarray(diary.active)[-1]
    year = np.sort(np.asarray(diary.paid).sum(axis=0)[stayed])
    share = 1 - np.cumsum(year) / year.sum()
    n = len(year)
    return {
        "paid_a_year": year.mean(),
        "top_1": share[int(0.99 * n)],
        "top_5": share[int(0.95 * n)],
        "bottom_half": 1 - share[n // 2],
        "zero_spending": (year == 0).mean(),
    }


def _people(diary: Diary) -> dict[str, float]:
    """Who the members are: race, conditions, open needs on the first day, reach by group."""
    assert diary.members is not None and diary.entry is not None  # noqa: PT018 - for the type checker
    members = diary.members
    has, is_open = need_flags(members.conditions), need_flags(diary.entry.needs)
    ed, active = np.asarray(diary.ed), np.asarray(diary.active)

    def column(name: str, flags: np.ndarray = has) -> np.ndarray:
        return flags[:, NEED_NAMES.index(name)]

    def rate(race: str) -> float:
        group = members.race == RACES.index(race)
        return ed[:, group].sum() / active[:, group].sum()

    chronic = np.stack([column(name) for name in CHRONIC]).sum(axis=0)
    return {
        "black": (members.race == RACES.index("BLACK")).mean(),
        "hispanic": (members.race == RACES.index("HISPANIC")).mean(),
        "black_ed_ratio": rate("BLACK") / rate("WHITE"),
        "hispanic_ed_ratio": rate("HISPANIC") / rate("WHITE"),
        "mental_illness": (column("DEPRESSION") | column("MENTAL_HEALTH")).mean(),
        "serious_mental_illness": column("MENTAL_HEALTH").mean(),
        "chronic_1": (chronic >= 1).mean(),
        "chronic_3": (chronic >= 3).mean(),
        "food": column("FOOD_INSECURITY", is_open).mean(),
        "social_need": np.stack([column(name, is_open) for name in SOCIAL]).any(axis=0).mean(),
        "not_adherent": column("MEDICATION_ADHERENCE", is_open).mean(),
        "hypertension": column("HYPERTENSION").mean(),
        "diabetes": column("DIABETES").mean(),
        "lung": column("ASTHMA_COPD").mean(),
        "depression": column("DEPRESSION").mean(),
        "transport": column("TRANSPORTATION", is_open).mean(),
        "housing": column("HOUSING_INSECURITY", is_open).mean(),
        "black_to_all": rate("BLACK") / (ed.sum() / active.sum()),
        "video_black": _reach_of(members, VIDEO, "BLACK") / _reach_of(members, VIDEO, "WHITE"),
        "sms_black": _reach_of(members, SMS, "BLACK") / _reach_of(members, SMS, "WHITE"),
        "video_young": members.reach[members.age_band == 0, VIDEO].mean()
        / members.reach[members.age_band == len(AGE_BANDS) - 1, VIDEO].mean(),
    }


def _reach_of(members: Members, modality: int, race: str) -> float:
    """Mean chance of members of a race to be reached over a modality."""
    return float(members.reach[members.race == RACES.index(race), modality].mean())


def _frequent_odds(ed: np.ndarray) -> float:
    """Odds ratio of a revisit within two weeks, members with 3 or more visits in the year against the others."""
    frequent = ed.sum(axis=0) >= 3
    shares = [_return(list(ed[:, group]), 2) for group in (frequent, ~frequent)]
    odds = [share / (1 - share) for share in shares]
    return odds[0] / odds[1]


def _reach(diary: Diary) -> dict[str, float]:
    """What the care team tries, and whom it reaches; by modality only where the member is rested."""
    rates = diary.attempts[:, 1] / np.maximum(diary.attempts[:, 0], 1)
    names = ("none", "phone", "sms", "video", "home", "ehr")
    reached, encounters = np.asarray(diary.reached), np.asarray(diary.encounters)
    later = np.stack([encounters[k : HORIZON - 4 + k] for k in range(1, 5)]).sum(axis=0)
    tried = diary.tried
    return {f"reach_{name}": rates[i] for i, name in enumerate(names) if i} | {
        "attempts": tried.sum() / reached.shape[1],
        "home_attempts": tried[names.index("home")] / reached.shape[1],
        "distant_share": (tried[names.index("phone")] + tried[names.index("sms")]) / tried.sum(),
        "matched_share": diary.matched / reached.sum(),
        "engaged": (reached.sum(axis=0) >= 2).mean(),
        "silent_30": (later[reached[:-4]] == 0).mean(),
    }


def _effects(returns: dict[str, Returns]) -> dict[str, float]:
    """What programs do to ED visits and stays, on the same members and chances."""

    def ratio(with_program: str, without: str, *kinds: str) -> float:
        first, second = (
            sum(getattr(returns[name], kind).sum() for kind in kinds) / returns[name].weeks.sum()
            for name in (with_program, without)
        )
        return first / second

    difference = returns["null"].value - returns["null nothing"].value
    spread = difference.std() / np.sqrt(len(difference))
    return {
        "rct_ed": ratio("team", "nothing", "ed"),
        "rct_ip": ratio("team", "nothing", "ip"),
        "program_all": ratio("program", "program nothing", "ed", "ip"),
        "null_z": difference.mean() / spread if spread > 0 else float(np.sign(difference.mean())) * 99 + 0.0,
        "telephone_all": ratio("telephone", "nothing", "ed", "ip"),
        "intensive_ip": ratio("intensive", "nothing", "ip"),
        "home_z": _power(returns["team"], returns["team at a distance"], members=5_000),
    }


def _power(team: Returns, without: Returns, *, members: int) -> float:
    """Z of the best unconfounded estimate of an attempt's effect from so many members.

    An attempt prevents e events; a member has a attempts and y events. Were attempts assigned at random, their effect's
    standard error would be about sqrt(y / (members * a)), counts being nearly Poisson, so z = e sqrt(members a / y).
    """
    attempts = (team.contacts - without.contacts).mean()
    prevented = (team.value - without.value).mean()
    return float(prevented / attempts * np.sqrt(members * attempts / -team.value.mean()))


@dataclass(frozen=True)
class _TeamWithoutHomeVisits:
    """The care team, with every home visit left out."""

    team: BehaviourPolicy

    def act(self, members: Members, state: State, rng: np.random.Generator) -> np.ndarray:
        levels = self.team.act(members, state, rng)
        at_home = levels[:, 0] == MEDICAID_ACTIONS["modality"].levels.index("HOME_VISIT")
        levels[at_home] = MEDICAID_ACTIONS.null_action
        return levels


def _return(events: list[np.ndarray], weeks: int) -> float:
    """Share of weeks with an event that are followed by another within so many weeks."""
    happened = np.stack(events) > 0
    index = happened[:-weeks]
    later = np.any([happened[k : len(happened) - weeks + k] for k in range(1, weeks + 1)], axis=0)
    return float(later[index].mean())


def _every_other(weeks: int, modality: str, provider: str, goal: str) -> Policy:
    """A program with the same contact for everybody, once in so many weeks."""
    contact = MEDICAID_ACTIONS.encode((modality, provider, goal, "ROUTINE"))

    def decide(observations: Float64[np.ndarray, "member 7"], rng: np.random.Generator) -> np.ndarray:
        due = (observations[:, 5].astype(np.int64) // 7) % weeks == 0
        return np.where(due[:, None], contact, MEDICAID_ACTIONS.null_action)

    return ObservationPolicy(decide)


def _after_discharge() -> Policy:
    """A program with an urgent home visit in the week after a discharge, and nothing else."""
    contact = MEDICAID_ACTIONS.encode(("HOME_VISIT", "CARE_COORDINATOR", "CARE", "URGENT"))

    def decide(observations: Float64[np.ndarray, "member 7"], rng: np.random.Generator) -> np.ndarray:
        return np.where((observations[:, 2] > 0)[:, None], contact, MEDICAID_ACTIONS.null_action)

    return ObservationPolicy(decide)
