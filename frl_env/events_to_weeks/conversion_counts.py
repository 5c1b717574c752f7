"""What a conversion counted: figures for the report and for the metadata of the table.

Of real members no count of 1 to 10 is told, nor of what so few people had (`report_privacy`), and all others to the
nearest 20: several of them are of the same rows, and a difference must not tell of few. A spec that is marked as
simulated tells all.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ibis.expr.types as ir
import numpy as np

from frl_env.datasets.table_import.checking.contact_response import ContactResponse
from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.events_to_weeks.doubts import Doubted, doubts, ends_too_late
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.facts.assemble import Weeks
from frl_env.events_to_weeks.facts.contacts import LoggedContacts
from frl_env.events_to_weeks.facts.coverage import EPOCH, Coverage
from frl_env.events_to_weeks.facts.events import Events
from frl_env.events_to_weeks.facts.lines import ADJUSTS, LEFT_OUT, TAKEN, marked
from frl_env.events_to_weeks.log_reach import LogReach
from frl_env.events_to_weeks.report_privacy import people_behind, told, told_by_group
from frl_env.events_to_weeks.strangers import Strangers

STRANGE = "rows of people without a span, left out"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The stages that figures are counted from.

    Attributes:
        seen: What the first pass over each canonical table has seen.
        read: All rows of claims and encounters.
        spans: The canonical table `enrolment`.
        cut: Last complete day.
        coverage, events, contacts: As made.
        adjusting: The claim that each replacement or void names; None without any.
        lines, current: Claim lines of covered members, and those in force.
        totals: Of the member-weeks.
        unmapped: Contacts left out because a word has no level, and the members they are of.
        strangers: People without a span, whose rows are left out.
        zoned: Sentences about days that come with a zone.
    """

    seen: Mapping[str, Mapping[str, Any]]
    read: Mapping[str, ir.Table]
    spans: ir.Table
    cut: int
    coverage: Coverage
    lines: ir.Table
    current: ir.Table
    adjusting: ir.Table | None
    events: Events
    contacts: LoggedContacts
    totals: "Totals"
    unmapped: tuple[int, int]
    strangers: Strangers
    zoned: Sequence[str]


class Totals:
    """Sums over member-weeks.

    Attributes:
        rows, members: Number of them.
        ed, ip: ED visits, stays.
        ended: Members whose record ends for good.
        by_age: Covered weeks that are no row for the member's age.
        decisions: Weeks with an attempt or a plan.
        attempts, answered: Weeks with a decision other than nothing, and those with an encounter in the week after.
        encounters: Other weeks with an encounter in the week after.
        people: Members behind each of these, and `outside`: those with decisions in weeks that are no row.
        reach: Of the contact log.
    """

    def __init__(self) -> None:
        """All are zero."""
        self.rows = self.members = self.ed = self.ip = self.ended = self.decisions = self.by_age = 0
        self.attempts = self.answered = self.encounters = 0
        self.people: Counter[str] = Counter()
        self.reach = LogReach()

    def add(self, weeks: Weeks, nothing: int) -> None:
        """Adds member-weeks of other members.

        Args:
            weeks: Of some members.
            nothing: Joint index of no contact.
        """
        attempt = weeks.decided & (weeks.joint != nothing)
        answered = weeks.state("encounters", after=True) > 0
        self.rows += len(weeks)
        self.members += int(np.count_nonzero(np.diff(weeks.who, prepend=-1)))
        self.people["outside"] += weeks.outside
        self.reach.add(weeks, nothing)
        self.by_age += len(weeks.left_out_by_age)
        self.people["by_age"] += int(np.count_nonzero(np.diff(weeks.left_out_by_age, prepend=-1)))
        for name, counts in (
            ("ed", weeks.ed), ("ip", weeks.ip), ("ended", weeks.terminated), ("decisions", weeks.decided),
            ("attempts", attempt), ("answered", attempt & answered), ("encounters", ~attempt & answered),
        ):  # fmt: skip
            setattr(self, name, getattr(self, name) + int(counts.sum()))
            self.people[name] += int(np.count_nonzero(np.diff(weeks.who[counts > 0], prepend=-1)))


def count(engine: Any, spec: Spec, found: Counted) -> dict[str, Any]:
    """All figures, as they may be told; JSON-able."""
    tried = _tried_weeks(found)
    many = engine.row(
        tried.aggregate(
            weeks=tried.count(), several=(tried.contacts > 1).cast("int64").sum().fill_null(0),
            contacts=tried.contacts.sum().fill_null(0),
        )
    )  # fmt: skip
    numbers = {
        "enrolment": _enrolment(engine, spec, found),
        "claims": _claims(engine, spec, found),
        "events": _events(engine, spec, found),
        "contacts": _contacts(engine, spec, found, tried, many),
        "rows": _rows(found, many["weeks"]),
    }
    sums = found.totals
    response = ContactResponse(
        attempts=sums.attempts, answered=sums.answered, others=sums.rows - sums.attempts, encounters=sums.encounters
    )
    figures: dict[str, Any] = {
        section: {name: told(int(number or 0), people, spec) for name, (number, people) in counts.items()}
        for section, counts in numbers.items()
    }
    figures["months"] = _months(engine, spec, found)
    for i, factor in enumerate(spec.actions):
        figures[f"contacts by {factor.name}"] = _by_level(engine, spec, found, i)
    small = not spec.simulated and any(
        getattr(sums, name) > 0 and sums.people[name] < SMALLEST for name in ("answered", "encounters", "attempts")
    )
    digits = 4 if spec.simulated else 2
    doubted = Doubted(
        seen=found.seen, lines=found.read, spans=found.spans, spells=found.coverage.spells,
        contacts=found.contacts.rows, adjusting=found.adjusting, cut=found.cut, strangers=found.strangers,
    )  # fmt: skip
    figures["response"] = {
        "after_attempt": None if small or not response.attempts else round(response.after_attempt, digits),
        "without_attempt": None if small or not response.others else round(response.without_attempt, digits),
        "warnings": [
            *response.warnings(),
            *sums.reach.warnings(),
            *found.zoned,
            *doubts(engine, spec.rules, doubted),
            *(() if spec.simulated else ends_too_late(spec.rules, doubted)),
        ],
    }
    return figures


_Numbers = dict[str, tuple[Any, int]]
"""Numbers, and the people behind each, by what is counted."""


def _enrolment(engine: Any, spec: Spec, found: Counted) -> _Numbers:
    """Numbers of spans, members, spells and gaps, and of the people behind them."""
    spells, members = found.coverage.spells, found.coverage.members
    gap, gone = spells.next_first.notnull(), members.end_day.notnull()
    counted = engine.row(spells.aggregate(spells=spells.count(), gaps=gap.cast("int64").sum().fill_null(0)))
    people_ = engine.row(members.aggregate(members=members.count(), ended=gone.cast("int64").sum()))
    everybody = people_["members"]
    with_gap = people_behind(engine, spec, spells, gaps=gap)["gaps"]
    dual = (found.seen["enrolment"].get("dual") or 0, found.seen["enrolment"].get("dual_people") or 0)
    numbers = {"spans read": (found.seen["enrolment"]["rows"], everybody), "spans with Medicare, left out": dual,
            "members": (everybody, everybody),
            "spells": (counted["spells"], everybody), "gaps": (counted["gaps"], with_gap),
            "members who died or left for good": (people_["ended"], people_["ended"] or 0)}  # fmt: skip
    strange = found.strangers
    if strange.people is not None and strange.unnamed is not None:
        numbers["people of table members without a span, left out"] = strange.people, strange.people
        numbers["members without a row in table members"] = strange.unnamed, strange.unnamed
    return numbers


def _claims(engine: Any, spec: Spec, found: Counted) -> _Numbers:
    """Numbers of claim lines by what became of them, and of the people behind them."""
    said = found.seen.get("claims", {})
    kinds = {"read": 0, "denied": 0, "adjusting": 0, "reversed": 0}
    for label, rows in found.read.items():
        taken = marked(rows.marks, TAKEN) & ~marked(rows.marks, ADJUSTS)
        masks = {"denied": marked(rows.marks, LEFT_OUT), "adjusting": marked(rows.marks, ADJUSTS), "reversed": taken}
        masks = {"read": rows.who.notnull()} | (masks if label == "claims" else {})
        # Who is in both tables is not known here: the larger of them decides.
        people = people_behind(engine, spec, rows, **masks)
        kinds = {name: max(number, people.get(name, 0)) for name, number in kinds.items()}
    return {
        "rows read": (sum(found.seen[label]["rows"] for label in found.read), kinds["read"]),
        STRANGE: found.strangers.of(*found.read),
        "denied": (said.get("denied"), kinds["denied"]),
        "replacements and voids": (said.get("adjusting"), kinds["adjusting"]),
        "reversals": (said.get("reversed"), kinds["reversed"]),
        "rows of members on covered days": _all_of(engine, spec, found.lines),
        "rows in force": _all_of(engine, spec, found.current),
    }


def _all_of(engine: Any, spec: Spec, rows: ir.Table) -> tuple[int, int]:
    """How many rows there are, and of how many people."""
    number = engine.row(rows.aggregate(rows=rows.count()))["rows"]
    return number, people_behind(engine, spec, rows, rows=rows.who.notnull())["rows"]


def _events(engine: Any, spec: Spec, found: Counted) -> _Numbers:
    """Numbers of ED visits and stays, and of the people behind them."""
    ed, before, stays = found.events.ed, found.events.ed_before, found.events.stays
    visits, alone = _all_of(engine, spec, before)[0], _all_of(engine, spec, ed)
    ended = before.anti_join(ed, ["who", "day"])
    counted = engine.row(stays.aggregate(stays=stays.count(), parts=stays.parts.sum().fill_null(0)))
    people = people_behind(engine, spec, stays, stays=stays.who.notnull(), joined=stays.parts > 1)
    return {
        "ED visits": alone,
        "ED visits that ended in a stay": (visits - alone[0], _all_of(engine, spec, ended)[1]),
        "stays": (counted["stays"], people["stays"]),
        "claims or encounters joined into another's stay": (counted["parts"] - counted["stays"], people["joined"]),
    }


def _tried_weeks(found: Counted) -> ir.Table:
    """Weeks in which a member was tried, or was to be, with the number of `contacts`."""
    rows = found.contacts.rows
    outbound = rows.filter(rows.inbound == 0)
    return outbound.group_by(["who", "week"]).aggregate(contacts=outbound.count())


def _contacts(engine: Any, spec: Spec, found: Counted, tried: ir.Table, many: Mapping[str, Any]) -> _Numbers:
    """Numbers of contacts by what became of them, and of the people behind them."""
    rows = found.contacts.rows
    several = tried.filter(tried.contacts > 1)
    kinds = {"reached": rows.reached == 1, "inbound": rows.inbound == 1, "planned": rows.planned == 1}
    sums = {name: mask.cast("int64").sum().fill_null(0) for name, mask in kinds.items()}
    counted = engine.row(rows.aggregate(used=rows.count(), **sums))
    people = people_behind(engine, spec, rows, used=rows.who.notnull(), **kinds)
    of_many = people_behind(engine, spec, several, weeks=several.who.notnull())["weeks"]
    return {
        "rows read": (found.seen["contacts"]["rows"], people["used"]),
        STRANGE: found.strangers.of("contacts"),
        "left out: a word has no level": found.unmapped,
        "contacts of members, repeats joined": (counted["used"], people["used"]),
        "of them reached, or by the member": (counted["reached"], people["reached"]),
        "of them by the member": (counted["inbound"], people["inbound"]),
        "of them planned only": (counted["planned"], people["planned"]),
        "weeks with several": (many["several"], of_many),
        "contacts that are not their week's decision": (many["contacts"] - many["weeks"], of_many),
    }


def _rows(found: Counted, decided: int) -> _Numbers:
    totals, people = found.totals, found.totals.people
    outside = decided - totals.decisions
    return {"member-weeks": (totals.rows, totals.members), "members": (totals.members, totals.members),
            "ED visits": (totals.ed, people["ed"]), "stays": (totals.ip, people["ip"]),
            "weeks with a decision to contact": (totals.decisions, people["decisions"]),
            "weeks left out by age": (totals.by_age, people["by_age"]),
            "decisions in weeks that are no row (not covered, or after the cut)": (outside, people["outside"]),
            "members whose record ends for good": (totals.ended, people["ended"])}  # fmt: skip


def _months(engine: Any, spec: Spec, found: Counted) -> dict[str, dict[str, int | None]]:
    """Numbers of claim lines, ED visits and stays by month of service (2024-01)."""
    events = found.events
    sources = {
        "rows in force": (found.current, "start"), "ED visits": (events.ed, "day"), "stays": (events.stays, "first"),
    }  # fmt: skip
    table = {}
    for name, (source, column) in sources.items():
        day = source[column].cast("int64")
        # A month of each row takes a while, and only people in it need one.
        group = day if spec.simulated else cell_parsing.month_and_day(day)[0]
        rows = source.select("who", group=group.cast("int64"))
        table[name] = told_by_group(engine, spec, rows, _of_day if spec.simulated else _of_month)
    return table


def _of_day(day: int) -> str:
    return f"{EPOCH + timedelta(days=day):%Y-%m}"


def _of_month(month: int) -> str:
    return f"{month // 12:04d}-{month % 12 + 1:02d}"


def _by_level(engine: Any, spec: Spec, found: Counted, place: int) -> dict[str, dict[str, int | None]]:
    """Attempts and reached contacts by level of one factor, decoded from the joint index."""
    rows = found.contacts.rows.filter(found.contacts.rows.inbound == 0)
    factor = spec.actions.factors[place]
    later = 1
    for other in spec.actions.factors[place + 1 :]:
        later *= len(other)
    shifted = rows.joint // later
    level = shifted - shifted // len(factor) * len(factor)
    by_level = rows.select("who", "reached", group=level.cast("int64"))
    names = factor.levels
    attempts = told_by_group(engine, spec, by_level.drop("reached"), lambda level: names[level])
    answered = by_level.filter(by_level.reached == 1).drop("reached")
    reached = told_by_group(engine, spec, answered, lambda level: names[level])
    return {"attempts": attempts, "reached": {name: reached.get(name, 0) for name in attempts}}
