"""An upper bound on what any policy can prevent with so many staff minutes, full information or not.

Lagrange relaxation: a price on every staff minute makes members independent, and for any price

    value(budget) <= price * budget * weeks + sum over members of the best a member alone can do at that price

bounds every policy that keeps within the budget on average. The best a member alone can do is bounded in turn, since
the member's own state is too large to solve for. The member is compared with a twin who meets the same chances without
a program, and everything that the program may change is made easier than it is:

- the year's illness, needs, coverage and deaths of the twin are known beforehand (information relaxation); events are
  not, their chances are;
- fatigue is rounded down to quarters of an attempt every week, and every contact fits an open need;
- a closed need stays closed, and of the open needs those that raise hazards most are closed first, from the fourth on
  all at once;
- transitional care adds to the other effects, though they multiply;
- each prevented event is credited with the most that it can spare in repeat visits and readmissions;
- everybody is enrolled for the whole year where the budget is counted.

What is left (support in steps of a week, fatigue, needs closed, weeks since a stay and since an ED visit) is solved
exactly, backwards, for every member. A few members are enough: what they could be spared is corrected by what their
twins have to expect, whose mean over many members is known (a control variate).

Sources: Hawkins (2003) and Adelman & Mersereau (2008) for the price; Brown, Smith & Sun (2010) for information
relaxations.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from frl_env.parameters import NEEDS, Parameters
from frl_env.references import NoProgram
from frl_env.rollout import HORIZON, rollout, standard_error
from frl_env.simulator.parameter_tables import array_rules
from frl_env.simulator.population import Members
from frl_env.simulator.state import Outcome, State, need_flags

PRICES = (0.0, 0.0003, 0.0006, 0.0011, 0.002)
"""Events a staff minute at which the bound is computed; for a budget the lowest is taken."""

MEMBERS = 400
"""Members for whom the relaxed problem is solved."""

CONTROL_MEMBERS = 100_000
"""Members whose events without a program, as control variates, make the bound more exact."""

CHUNK = 50
"""Members solved at once."""

_STEPS = 34
"""Steps of support, each a week's fading from full; what is below the last is credited at once."""

_FATIGUE = np.arange(11) / 4
"""Levels of fatigue, in attempts; what is above the last counts as the last."""

_STAY, _VISIT, _CLOSED = 5, 3, 5
"""States: weeks since a stay (1 to 4, longer), since an ED visit (1, 2, longer), needs closed (0 to 3, all)."""


@dataclass(frozen=True, kw_only=True)
class Relaxed:
    """The relaxed problem of many members, solved at several prices.

    Attributes:
        prices: Events a staff minute.
        gain: Mean over members of the best at that price, events prevented a member.
        se: Standard error of `gain`.
        horizon: Weeks.
    """

    prices: tuple[float, ...]
    gain: tuple[float, ...]
    se: tuple[float, ...]
    horizon: int

    def at(self, minutes: float | None) -> tuple[float, float]:
        """Bound on the events prevented a member with so many minutes a member-week, and its standard error."""
        if minutes is None:
            return self.gain[0], self.se[0]
        totals = [price * minutes * self.horizon + gain for price, gain in zip(self.prices, self.gain, strict=True)]
        best = int(np.argmin(totals))
        return float(totals[best]), self.se[best]


def relax(
    parameters: Parameters,
    *,
    members: int = MEMBERS,
    seed: int,
    horizon: int = HORIZON,
    prices: Sequence[float] = PRICES,
    progress: Callable[[int, int], None] | None = None,
) -> Relaxed:
    """Solves the relaxed problem.

    Args:
        parameters: The simulated world.
        members: Members on whom it is solved.
        seed: Of members and chances, as in `rollout`.
        horizon: Weeks of an episode.
        prices: Events a staff minute.
        progress: Called with (steps done, steps in all).
    """
    if parameters.effects.strength == 0:  # contacts do nothing, so that nothing can be spared
        nothing = (0.0,) * len(prices)
        return Relaxed(prices=tuple(prices), gain=nothing, se=nothing, horizon=horizon)
    year = _twins(parameters, members, seed, horizon)
    values = np.zeros((len(prices), members))
    own, control = year.expected, _twins(parameters, CONTROL_MEMBERS, seed + 1, horizon, keep_weeks=False).expected
    starts = range(0, members, CHUNK)
    for done, start in enumerate(starts, start=1):
        rows = slice(start, min(start + CHUNK, members))
        values[:, rows] = _solve(year.of(rows), parameters, prices)
        if progress is not None:
            progress(done, len(starts))
    # Control variates: events without a program go with the bound, and are known of far more members.
    slope = [float(np.cov(row, own)[0, 1] / own.var(ddof=1)) for row in values]
    rest = [row - share * own for row, share in zip(values, slope, strict=True)]
    return Relaxed(
        prices=tuple(prices),
        gain=tuple(float(row.mean() + share * control.mean()) for row, share in zip(rest, slope, strict=True)),
        se=tuple(
            float(np.hypot(standard_error(row), share * standard_error(control)))
            for row, share in zip(rest, slope, strict=True)
        ),
        horizon=horizon,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Year:
    """What befalls members without a program; arrays `(week, member)` unless said otherwise.

    Attributes:
        covered: Enrolled.
        ed, own: Weekly hazards of ED visits (without recurrence) and stays (without readmission).
        ratio: Hazard ratio of stays by open needs.
        needs: Bits of open needs.
        reach: `(member, modality)`.
        stay, visit: State at entry, `(member,)`.
        expected: Events of the year that were to be expected, `(member,)`.
    """

    covered: np.ndarray
    ed: np.ndarray
    own: np.ndarray
    ratio: np.ndarray
    needs: np.ndarray
    reach: np.ndarray
    stay: np.ndarray
    visit: np.ndarray
    expected: np.ndarray

    def of(self, rows: slice) -> "_Year":
        """Some of the members."""
        weekly = {name: getattr(self, name)[:, rows] for name in ("covered", "ed", "own", "ratio", "needs")}
        return _Year(
            **weekly, reach=self.reach[rows], stay=self.stay[rows], visit=self.visit[rows], expected=self.expected[rows]
        )


def _twins(parameters: Parameters, members: int, seed: int, horizon: int, *, keep_weeks: bool = True) -> _Year:
    """What befalls members in a year without a program, rolled out on the simulator."""
    rules, hazards = array_rules(parameters), parameters.hazards
    weeks: dict[str, list[np.ndarray]] = {name: [] for name in ("covered", "ed", "own", "ratio", "needs")}
    entry: dict[str, Any] = {"expected": np.zeros(members)}

    def keep(week: int, who: Members, before: State, levels: np.ndarray, after: State, outcome: Outcome) -> None:
        """Keeps what the bound needs of a week: rates of events, each as it is without a program."""
        if week == 0:
            entry.update(
                reach=who.reach,
                stay=np.minimum(before.since_ip, _STAY).astype(np.int64) - 1,
                visit=np.minimum(before.since_ed, _VISIT).astype(np.int64) - 1,
            )
        entry["expected"] += outcome.expected
        if not keep_weeks:
            return
        illness = np.exp(before.acuity - hazards.acuity_sd**2 / 2) * rules.season[(who.start_week + before.week) % 52]
        weeks["covered"].append(before.active & ~before.gap)
        weeks["ed"].append(who.ed_base * illness * rules.ed_ratio[before.needs])
        weeks["own"].append(who.ip_base * illness * rules.ip_ratio[before.needs])
        weeks["ratio"].append(rules.ip_ratio[before.needs])
        weeks["needs"].append(before.needs)

    rollout(NoProgram(), parameters, members=members, seed=seed, horizon=horizon, record=keep)
    return _Year(**{name: np.asarray(values) for name, values in weeks.items()}, **entry)


def _solve(year: _Year, parameters: Parameters, prices: Sequence[float]) -> np.ndarray:
    """The best of each member alone, `(price, member)`."""
    rules, hazards, effects, outreach = (
        array_rules(parameters), parameters.hazards, parameters.effects, parameters.outreach
    )  # fmt: skip
    weeks, n = year.covered.shape
    f4 = np.float32
    readmission = np.concatenate((rules.readmission[1:_STAY], [0.0]))
    recurrence = np.asarray([hazards.ed_recurrence, hazards.ed_recurrence, 1.0])
    # An event that is prevented spares what would have followed it, and that again what would have followed.
    more_ip = 1 / (1 - readmission.sum() * year.ratio.max(axis=0))
    more_ed = 1 / (1 - 2 * (hazards.ed_recurrence - 1) * year.ed.max(axis=0))
    kept = rules.support_kept
    steps = np.append(kept ** np.arange(_STEPS), 0.0)
    relief_ed, relief_ip = -np.expm1(rules.log_support_ed * steps), -np.expm1(rules.log_support_ip * steps)
    # Support below the last step: its whole rest, at the highest hazards of the year.
    rest = steps[-2] * kept / (1 - kept)
    tail = rest * (
        -rules.log_support_ed * hazards.ed_recurrence * more_ed * year.ed.max(axis=0)
        - rules.log_support_ip * more_ip * year.own.max(axis=0)
    )
    engagement = np.asarray(effects.engagement)
    with np.errstate(divide="ignore"):
        # The step of support that each modality lifts a member to; support is kept ** step of full.
        given = np.where(engagement > 0, np.floor(np.log(np.maximum(engagement, 1e-12)) / np.log(kept) + 1e-9), _STEPS)
    given = np.minimum(given, _STEPS).astype(int)
    scope = np.asarray([max(need.scope) for need in NEEDS])
    logs_ed, logs_ip = (np.log([getattr(need, kind) for need in NEEDS]) for kind in ("ed", "ip"))
    resolve, minutes = np.asarray(rules.resolve), np.asarray(outreach.minutes)
    transition = -np.expm1(rules.log_transition)

    units = np.asarray(outreach.fatigue_by_attempt)
    tired = np.stack([_level(outreach.fatigue_decay * _FATIGUE + unit) for unit in units])
    answer = np.exp(-outreach.fatigue_reach * _FATIGUE)

    # Axes: price, member, weeks since a stay, weeks since a visit, needs closed, fatigue, step of support.
    value = np.zeros((len(prices), n, _STAY, _VISIT, _CLOSED, len(_FATIGUE), _STEPS + 1), dtype=f4)
    for week in range(weeks - 1, -1, -1):
        covered, is_open = year.covered[week], need_flags(year.needs[week])
        ed = (covered * year.ed[week])[:, None] * recurrence
        own = covered * year.own[week]
        again = covered[:, None] * readmission * year.ratio[week][:, None]
        ed_chance, ip_chance = -np.expm1(-ed), -np.expm1(-(own[:, None] + again))
        left_ed, left_ip = _left(is_open, logs_ed), _left(is_open, logs_ip)
        ahead = slice(week, min(week + effects.transition_weeks, weeks))
        four = effects.transition_weeks * (
            hazards.ed_recurrence * year.ed[ahead].max(axis=0) * more_ed
            + (year.own[ahead].max(axis=0) + readmission.max() * year.ratio[ahead].max(axis=0)) * more_ip
        )
        timely = np.zeros((n, _STAY, 1, 1, 1), dtype=f4)
        timely[:, 0, 0, 0, 0] = transition * four
        # Events that are spared this week: by (stay, visit, closed needs, support).
        ed_spared = 1 - left_ed[:, :, None] * (1 - relief_ed)
        ip_spared = 1 - left_ip[:, :, None] * (1 - relief_ip)
        now = (ed * more_ed[:, None])[:, None, :, None, None] * ed_spared[:, None, None]
        now = now + ((own * more_ip)[:, None, None] * ip_spared)[:, None, None]
        now = now + ((again * more_ip[:, None])[:, :, None] * (1 - left_ip)[:, None, :])[:, :, None, :, None]
        now = now.astype(f4)[:, :, :, :, None]
        able = (is_open * scope).max(axis=1)
        for number, price in enumerate(prices):
            faded = np.concatenate((value[number][..., 1:], value[number][..., -1:]), axis=-1)
            faded[..., -2] += tail[:, None, None, None, None].astype(f4)
            ahead_of = _expected(faded, ed_chance, ip_chance) + now  # by next week's fatigue
            choice = ahead_of[:, :, :, :, tired[0]]
            for modality in range(1, len(minutes)):
                after = ahead_of[:, :, :, :, tired[modality]]
                chance = (covered * year.reach[:, modality]).astype(f4)[:, None, None, None, None] * answer.astype(f4)
                # If it reaches the member, support rises to `top`, and one more need may be closed.
                top = given[modality]
                reached = after.copy()
                reached[..., top:] = after[..., top, None]
                closes = (resolve[modality] * able).astype(f4)[:, None, None, None, None, None]
                reached[:, :, :, :-1] += closes * (reached[:, :, :, 1:] - reached[:, :, :, :-1])
                reached -= after
                reached *= chance[..., None]
                reached += after
                # Who is not covered is not contacted; a fine says so.
                fine = np.where(covered, price * minutes[modality], 1e6).astype(f4)
                reached += (chance * timely - fine[:, None, None, None, None])[..., None]
                np.maximum(choice, reached, out=choice)
            value[number] = choice
    return value[:, np.arange(n), year.stay, year.visit, 0, 0, -1].astype(np.float64)


def _level(fatigue: np.ndarray) -> np.ndarray:
    """The level of fatigue at or below each amount."""
    return np.searchsorted(_FATIGUE, fatigue + 1e-9, side="right") - 1


def _left(is_open: np.ndarray, logs: np.ndarray) -> np.ndarray:
    """Share of the hazard that is left at least when so many of the open needs are closed: the worst ones; then all."""
    worst = -np.sort(-(is_open * logs), axis=1)
    falls = np.concatenate((np.zeros((len(worst), 1)), np.cumsum(worst, axis=1)), axis=1)
    return np.exp(-np.concatenate((falls[:, : _CLOSED - 1], falls[:, -1:]), axis=1))


def _expected(table: np.ndarray, ed_chance: np.ndarray, ip_chance: np.ndarray) -> np.ndarray:
    """Expectation over whether there is an ED visit and a stay this week, which set the weeks since them back to 1."""
    ed = ed_chance.astype(np.float32)[:, None, :, None, None, None]
    ip = ip_chance.astype(np.float32)[:, :, None, None, None, None]
    # Without an event the weeks since the last one grow by 1, up to "longer".
    visits = table[:, :, [1, 2, 2]]
    visits += ed * (table[:, :, :1] - visits)
    stays = visits[:, [1, 2, 3, 4, 4]]
    stays += ip * (visits[:, :1] - stays)
    return stays
