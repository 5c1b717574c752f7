"""What looks like a mistake that nothing refuses: sentences for the report, each with what else it may be.

    newest day          one claim of 2033 among claims up to 2024      the cut moves, and no week is too young
    strangers           contacts of M7, spans of 0M7                   few are left
    unnamed             m7 in table members, spans of M7               members without a group
    exclusive ends      ... to 2024-02-01, from 2024-02-01 to ...      a day too many in every span
    night               calls at three in the morning                  times of another zone
    late cut            the week to decide, for a list                 claims missing where events are learned from
    without coverage    calls to members between their spans           dropped in silence
    adjusting nothing   a void of claim 123.0 where claim is 123       nothing is taken back
    spans of visits     every span ends with a visit                   who is well is never seen

Nothing is said of fewer than 11 members, and no day, unless 11 stand behind it. Strangers are no members: of their rows
there is a share.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.datasets.table_import.provenance import FOR_LISTS
from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.facts.coverage import EPOCH, day_number
from frl_env.events_to_weeks.rules import Rules
from frl_env.events_to_weeks.strangers import Strangers

LONELY_DAYS = 31
"""The newest row of all may arrive so much later than the newest rows of 11 members."""

ENOUGH = 100
"""Members, or rows, below which the newest day and shares say little."""

STRANGERS = {"contacts": 0.05, "claims": 0.2, "encounters": 0.2}
"""Share of rows of nobody with a span, by table; claims may be those of the whole plan."""

NIGHT, NIGHTLY = 6 * 3600, 0.05
"""Seconds after midnight, and the share of contacts before them; few programs call then."""

UNCOVERED = 0.1
"""Share of attempts on days without coverage."""

UNNAMED = 0.05
"""Share of the members without a row in table members."""

MOST = 0.5
"""Share of the rows above which an oddity is the rule, and is said."""


ALIKE = "write identifiers alike in both tables (capitals and leading zeros count)"


@dataclass(frozen=True, kw_only=True)
class Doubted:
    """What is looked at.

    Attributes:
        seen: What the first pass over each table has seen.
        lines: All rows of claims and encounters, by table.
        spans: The canonical table `enrolment`.
        spells: Of coverage.
        contacts: Cleaned, one row an attempt.
        adjusting: `who` and the key of the claim that each replacement or void names; None without any.
        cut: Last complete day.
        strangers: People without a span, and members without a row in table members.
    """

    seen: Mapping[str, Mapping[str, Any]]
    lines: Mapping[str, ir.Table]
    spans: ir.Table
    spells: ir.Table
    contacts: ir.Table
    adjusting: ir.Table | None
    cut: int
    strangers: Strangers


def doubts(engine: Any, rules: Rules, found: Doubted) -> list[str]:
    """A sentence for each thing that looks like a mistake."""
    said = [
        *_newest_day(engine, rules, found), *_strangers(found), *_unnamed(found), *_exclusive_ends(engine, found),
        *_at_night(engine, found), *_without_coverage(engine, found), *_adjusting_nothing(engine, found),
        *_spans_of_visits(engine, found),
    ]  # fmt: skip
    return said


def ends_too_late(rules: Rules, found: Doubted) -> list[str]:
    """A cut that was set by hand may leave weeks in whose claims are still to come, as a list for next week needs."""
    if rules.claims.complete_through is None:
        return []
    newest = min(found.seen[label]["newest"] for label in found.lines if found.seen[label]["rows"])
    return [FOR_LISTS] if found.cut > newest - rules.claims.run_out_days else []


def _newest_day(engine: Any, rules: Rules, found: Doubted) -> list[str]:
    """The cut goes by the newest day of all, and one mistyped day is enough to move it."""
    if rules.claims.complete_through is not None:
        return []
    label = min((each for each in found.lines if found.seen[each]["rows"]), key=lambda each: found.seen[each]["newest"])
    newest = found.seen[label]["newest"]
    if rules.claims.as_of is not None:
        newest = min(newest, day_number(rules.claims.as_of))
    lines = found.lines[label].filter(ibis._.received <= newest)
    by_member = lines.filter(lines.who.notnull()).group_by("who").aggregate(day=lines.received.max())
    days = [int(row["day"]) for row in engine.rows(by_member.order_by(ibis.desc("day")).limit(ENOUGH))]
    if len(days) < ENOUGH or newest - days[SMALLEST - 1] <= LONELY_DAYS:
        return []
    day = (EPOCH + timedelta(days=days[SMALLEST - 1])).isoformat()
    return [
        f"fewer than {SMALLEST} members have rows of {label} later than {day}, and the newest row is more than "
        f"{LONELY_DAYS} days later: if a date is mistyped there, weeks count as complete that are not; correct it, or "
        "set complete_through under [rules.claims]"
    ]


def _strangers(found: Doubted) -> list[str]:
    said = []
    for label, most in STRANGERS.items():
        seen = found.seen.get(label)
        if seen is None or seen["rows"] < ENOUGH:
            continue
        share = 1 - seen["met"] / seen["rows"]
        if share >= most:
            said.append(
                f"{share:.0%} of the rows of table {label} are about nobody in table enrolment, and are not used: if "
                f"these are not other people, {ALIKE}"
            )
    return said


def _unnamed(found: Doubted) -> list[str]:
    """Who is written otherwise in table members is in no group of an audit."""
    unnamed = found.strangers.unnamed or 0
    if unnamed < SMALLEST or unnamed < UNNAMED * found.strangers.members:
        return []
    return [
        f"{unnamed / found.strangers.members:.0%} of the members have no row in table members, so when they were born "
        f"or died, and their groups, are not known: if they should have one, {ALIKE}"
    ]


def _exclusive_ends(engine: Any, found: Doubted) -> list[str]:
    """Ends that are the first day without coverage show where spans go on, and in months."""
    spans = found.spans.filter(found.spans.end.notnull() & (found.spans.end < cell_parsing.LAST_DAY))
    following = found.spans.start.lead(1).over(ibis.window(group_by="member", order_by=["start", "end"]))
    pairs = found.spans.mutate(following=following)
    pairs = pairs.filter(pairs.following.notnull() & (pairs.end > pairs.start))
    met, touching = pairs.following == pairs.end, pairs.following == pairs.end + 1
    counted = _numbers(
        engine,
        pairs.aggregate(
            people=ibis.ifelse(met, pairs.member, None).nunique(), met=met.cast("int64").sum().fill_null(0),
            touching=touching.cast("int64").sum().fill_null(0),
        )
    )  # fmt: skip
    way_out = (
        "end must be the last covered day: if it is the first day without coverage, take a day off in the extract, or "
        "every span is a day too long"
    )
    if counted["people"] >= SMALLEST and counted["met"] > counted["touching"]:
        return [f"most spans that go on without a gap end on the day on which the next one starts; {way_out}"]
    first_of_month = cell_parsing.month_and_day(spans.end.cast("int64"))[1] == 1
    counted = _numbers(
        engine,
        spans.aggregate(
            spans=spans.count(), firsts=first_of_month.cast("int64").sum().fill_null(0),
            people=ibis.ifelse(first_of_month, spans.member, None).nunique(),
        )
    )  # fmt: skip
    if counted["people"] >= SMALLEST and counted["firsts"] > MOST * counted["spans"]:
        return [f"most spans that end do so on the first day of a month; {way_out}"]
    return []


def _at_night(engine: Any, found: Doubted) -> list[str]:
    """Times without a zone are taken as they are; those of another zone show in calls at night."""
    rows = found.contacts.filter(found.contacts.inbound == 0)
    clock = rows.second - rows.second // 86_400 * 86_400
    night = (clock > 0) & (clock < NIGHT)
    counted = _numbers(
        engine,
        rows.aggregate(
            timed=(clock > 0).cast("int64").sum().fill_null(0), night=night.cast("int64").sum().fill_null(0),
            people=ibis.ifelse(night, rows.who, None).nunique(),
        )
    )  # fmt: skip
    if counted["people"] < SMALLEST or counted["night"] < NIGHTLY * counted["timed"]:
        return []
    return [
        f"{counted['night'] / counted['timed']:.0%} of the contacts that have a time of day were tried between "
        "midnight and 6 o'clock: if nobody works then, the times are of another zone, like UTC; write it with them "
        "(2024-01-31 17:30Z), and the plan's as time_zone under [rules.contacts]"
    ]


def _without_coverage(engine: Any, found: Doubted) -> list[str]:
    """Nobody calls whom the program does not have: rather spans are missing."""
    rows = found.contacts.filter((found.contacts.inbound == 0) & (found.contacts.day <= found.cut))
    spells = found.spells.select(whose="who", since="first", until="last")
    bare = rows.anti_join(spells, [rows.who == spells.whose, rows.day >= spells.since, rows.day <= spells.until])
    every = _numbers(engine, rows.aggregate(rows=rows.count()))["rows"]
    counted = _numbers(engine, bare.aggregate(rows=bare.count(), people=bare.who.nunique()))
    if counted["people"] < SMALLEST or counted["rows"] < UNCOVERED * every:
        return []
    return [
        f"{counted['rows'] / every:.0%} of the attempts up to the cut are on days on which the member has no coverage, "
        "and are not used: are spans missing in table enrolment?"
    ]


def _adjusting_nothing(engine: Any, found: Doubted) -> list[str]:
    """A void finds its claim by the identifier: one that is written otherwise takes nothing back."""
    if found.adjusting is None:
        return []
    claims = found.lines["claims"].select(whose="who", there="key").distinct()
    named = [found.adjusting.who == claims.whose, found.adjusting.adjusts == claims.there]
    lost = found.adjusting.anti_join(claims, named)
    every = _numbers(engine, found.adjusting.aggregate(rows=found.adjusting.count()))["rows"]
    counted = _numbers(engine, lost.aggregate(rows=lost.count(), people=lost.who.nunique()))
    if counted["people"] < SMALLEST or counted["rows"] <= MOST * every:
        return []
    return [
        "most replacements and voids name a claim that is not in table claims, so they take nothing back: if these "
        "claims are there, write adjusts as claim is written (12345.0 is not 12345, and leading zeros count)"
    ]


def _spans_of_visits(engine: Any, found: Doubted) -> list[str]:
    """A span that ends with the last visit says who was ill, not who was covered."""
    ended = found.spells.filter(found.spells["last"] < found.cut).select("who", day="last").distinct()
    with_visit = None
    for lines in found.lines.values():
        days = lines.select(whose="who", of_day="end")
        same = [days.whose == ended.who, days.of_day == ended.day]
        here = days.join(ended, same).select("who", "day").distinct()
        with_visit = here if with_visit is None else with_visit.union(here, distinct=True)
    assert with_visit is not None
    spells = _numbers(engine, ended.aggregate(spells=ended.count()))["spells"]
    counted = _numbers(engine, with_visit.aggregate(spells=with_visit.count(), people=with_visit.who.nunique()))
    if counted["people"] < SMALLEST or counted["spells"] <= MOST * spells:
        return []
    return [
        "most coverage that ends does so on the day of a visit: if spans are made of visits, like the observation "
        "periods of a hospital, records end because somebody was ill, and who stays well counts as having left; take "
        "the plan's or the program's spans"
    ]


def _numbers(engine: Any, row: ir.Table) -> dict[str, int]:
    """A row of whole numbers; sums come back as decimals."""
    return {name: int(value) for name, value in engine.row(row).items()}
