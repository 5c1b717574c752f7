"""Spans of enrolment to spells of coverage and to the weeks in which a member is observed.

    spans     |-----|  |------|        overlapping, touching, given twice
                  |-----|
    spells    |---------|  |----|      joined; the gap between them is not observed
    weeks      1  2  3      6  7       those whose first day is covered

Nothing here is a loop over members: spells come from a running maximum. `cells` lays out the weeks.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.facts.cell_parsing import LAST_DAY
from frl_env.events_to_weeks.rules import WEEKDAYS, Rules

EPOCH = date(1970, 1, 1)
_FIRST_MONDAY = -3
"""Monday, 29 December 1969."""


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Who is covered when.

    Attributes:
        members: One row a member: `member`, `who` (of `number_members`), `anchor` (first day of its week 0), `entry`,
            `end_day` (when it died or left for good, null while it is there), `birth`, `gender`, `race_ethnicity`.
        spells: One row a spell: `who`, `anchor`, `first`, `last`, `before` (covered days before it), `next_first`.
    """

    members: ir.Table
    spells: ir.Table


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def week_of(day: Any, anchor: Any) -> Any:
    """Number of the week in which a day lies; week 0 starts on the anchor."""
    return (day - anchor) // 7


def number_members(engine: Any, enrolment: ir.Table) -> ir.Table:
    """`who`, a number in the order of the identifiers, of every `member` that is in the table of spans."""
    members = enrolment.filter(enrolment.member.notnull()).select("member").distinct()
    number = ibis.row_number().over(ibis.window(order_by="member")).cast("int32")
    return engine.keep("numbers", members.select("member", who=number))


def dual_spans(enrolment: ir.Table) -> dict[str, Any]:
    """Figures of the spans with Medicare: how many there are (`dual`), and of how many people (`dual_people`)."""
    dual = enrolment.dual.fill_null(False)
    return {
        "dual": dual.cast("int64").sum().fill_null(0),
        "dual_people": ibis.ifelse(dual, enrolment.member, None).nunique(),
    }


def make_coverage(
    engine: Any, enrolment: ir.Table, numbers: ir.Table, people: ir.Table | None, has: frozenset[str], rules: Rules,
    cut: int,
) -> Coverage:  # fmt: skip
    """Spells and members.

    Args:
        engine: Where stages are kept.
        enrolment: The canonical table.
        numbers: Of `number_members`.
        people: The canonical table `members`, if there is one.
        has: Columns that it has.
        rules: How is counted.
        cut: Last complete day.
    """
    spans = enrolment
    if rules.enrolment.dual == "left_out":
        spans = spans.filter(~spans.dual.fill_null(False))
    spans = spans.join(numbers, "member")
    spans = spans.select(
        "who", first=spans.start.cast("int32"),
        last=ibis.least(spans.end.fill_null(LAST_DAY), LAST_DAY).cast("int32"),
    )  # fmt: skip
    who_they_are = _people(people, numbers, cut)
    if who_they_are is not None:
        ended = who_they_are.select("death", "left", of_whom="who")
        joined = spans.left_join(ended, spans.who == ended.of_whom)
        gone = (joined[name].fill_null(LAST_DAY) for name in ("death", "left"))
        spans = joined.select("who", "first", last=ibis.least(joined.last, *gone).cast("int32"))
    # A span that is given twice is one: the windows below may see rows that are alike in different orders.
    spans = spans.filter(spans.first <= spans.last).distinct()
    order = ibis.window(group_by="who", order_by=["first", "last"])
    running = ibis.window(group_by="who", order_by=["first", "last"], preceding=None, following=0)
    reached = spans.mutate(reach=spans["last"].max().over(running))
    reached = reached.mutate(reach=reached.reach.lag(1).over(order))
    news = reached.mutate(
        new=ibis.ifelse(
            reached.reach.isnull() | (reached["first"] > reached.reach + 1 + rules.enrolment.bridge_days), 1, 0
        )
    )
    numbered = news.mutate(spell=news.new.sum().over(running))
    spells = numbered.group_by(["who", "spell"]).aggregate(first=numbered["first"].min(), last=numbered["last"].max())
    spells = engine.keep("spells", spells)
    members = engine.keep("members", _members(spells, numbers, who_they_are, has, rules, cut))
    joined = spells.join(members.select("who", "anchor"), "who")
    order = ibis.window(group_by="who", order_by="first")
    days = joined["last"] - joined["first"] + 1
    covered = joined.mutate(
        before=days.sum().over(ibis.window(group_by="who", order_by="first", preceding=None, following=0)) - days,
        next_first=joined["first"].lead(1).over(order),
    ).select("who", "anchor", "first", "last", "before", "next_first")
    return Coverage(members=members, spells=engine.keep("covered", covered))


def _people(people: ir.Table | None, numbers: ir.Table, cut: int) -> ir.Table | None:
    """The table `members` with their numbers; what happened after the cut is not known."""
    if people is None:
        return None
    return people.join(numbers, "member").mutate(
        death=ibis.ifelse(ibis._.death <= cut, ibis._.death, None),
        left=ibis.ifelse(ibis._.left <= cut, ibis._.left, None),
    )


def _members(
    spells: ir.Table, numbers: ir.Table, people: ir.Table | None, has: frozenset[str], rules: Rules, cut: int
) -> ir.Table:
    """One row a member: entry, end for good (death or leaving) if there is one, and groups."""
    members = spells.group_by("who").aggregate(entry=spells["first"].min(), last_covered=spells["last"].max())
    members = members.join(numbers, "who")
    if people is not None:
        facts = people.select(
            known="who", birth="birth", death="death", left="left", gender="gender", race_ethnicity="race_ethnicity"
        )
        members = members.left_join(facts, members.who == facts.known).drop("known")
    else:
        none = {name: ibis.literal(None, "int64") for name in ("birth", "death", "left")}
        members = members.mutate(
            **none, gender=ibis.literal(None, "string"), race_ethnicity=ibis.literal(None, "string")
        )
    if "left" in has:
        left = members.left
    else:
        # Who dies before so many days are over has not left.
        away = members.last_covered + rules.enrolment.gone_after_days <= ibis.coalesce(members.death, cut)
        left = ibis.ifelse(away, members.last_covered, None)
    end_day = ibis.coalesce(members.death, left)
    end_day = ibis.ifelse((left < end_day).fill_null(False), left, end_day)
    if rules.enrolment.gaps == "left_out":
        # Who dies or leaves in a gap is not seen again: the end is the last covered day.
        end_day = ibis.ifelse(end_day.isnull(), None, ibis.least(end_day, members.last_covered))
    return members.select(
        "member",
        "who",
        anchor=_anchor(members.entry, rules).cast("int32"),
        entry=members.entry,
        end_day=end_day,
        birth="birth",
        gender="gender",
        race_ethnicity="race_ethnicity",
    )


def _anchor(entry: Any, rules: Rules) -> Any:
    """First day of week 0."""
    if rules.weeks.starts != "member":
        return ibis.literal(_FIRST_MONDAY + WEEKDAYS.index(rules.weeks.starts), "int64")
    return entry if rules.weeks.first_day is None else ibis.greatest(entry, day_number(rules.weeks.first_day))
