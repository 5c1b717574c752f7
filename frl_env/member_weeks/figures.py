"""What a conversion counted: figures for the report and for the metadata of the table.

Of real members no count of 1 to 10 is told, no level that so few got, and all others to the nearest 20: several of them
are of the same rows, and a difference must not tell of few. A spec that is marked as simulated tells all.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ibis
import ibis.expr.types as ir
import numpy as np

from frl_env.datasets.tabular.checking.contact_response import ContactResponse
from frl_env.evaluation.privacy.suppression import SECRET, SMALLEST, hidden_cells, rough
from frl_env.member_weeks.facts.assemble import Weeks
from frl_env.member_weeks.facts.contacts import UNDECIDED, LoggedContacts
from frl_env.member_weeks.facts.coverage import EPOCH, Coverage
from frl_env.member_weeks.facts.events import Events
from frl_env.member_weeks.sources.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Counted:
    """The stages that figures are counted from.

    Attributes:
        seen: What the first pass over each canonical table has seen.
        coverage, events, contacts: As made.
        lines, current: Claim lines of covered members, and those in force.
        totals: Of the member-weeks.
        unmapped: Contacts left out because a word has no level.
    """

    seen: Mapping[str, Mapping[str, Any]]
    coverage: Coverage
    lines: ir.Table
    current: ir.Table
    events: Events
    contacts: LoggedContacts
    totals: "Totals"
    unmapped: int


class Totals:
    """Sums over member-weeks.

    Attributes:
        rows, members: Number of them.
        ed, ip: ED visits, stays.
        ended: Members whose record ends for good.
        decisions: Weeks with an attempt or a plan.
        attempts, answered: Weeks with a decision other than nothing, and those with an encounter in the week after.
        encounters: Other weeks with an encounter in the week after.
    """

    def __init__(self) -> None:
        """All are zero."""
        self.rows = self.members = self.ed = self.ip = self.ended = self.decisions = 0
        self.attempts = self.answered = self.encounters = 0

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
        self.ed += int(weeks.ed.sum())
        self.ip += int(weeks.ip.sum())
        self.ended += int(np.count_nonzero(weeks.terminated))
        self.decisions += int(np.count_nonzero(weeks.decided))
        self.attempts += int(np.count_nonzero(attempt))
        self.answered += int(np.count_nonzero(attempt & answered))
        self.encounters += int(np.count_nonzero(~attempt & answered))


def count(engine: Any, spec: Spec, found: Counted) -> dict[str, Any]:
    """All figures, as they may be told; JSON-able."""
    months = _months(engine, found)
    numbers = {
        "enrolment": _enrolment(engine, found),
        "claims": _claims(engine, found) | {"rows in force": sum(months["rows in force"].values())},
        "events": _events(engine, found),
        "contacts": _contacts(engine, found),
        "rows": _rows(engine, found),
    }
    levels = {f"contacts by {factor.name}": _by_level(engine, spec, found, i) for i, factor in enumerate(spec.actions)}
    sums = found.totals
    response = ContactResponse(
        attempts=sums.attempts, answered=sums.answered, others=sums.rows - sums.attempts, encounters=sums.encounters
    )
    told = {
        section: {name: _told(int(number or 0), spec) for name, number in values.items()}
        for section, values in numbers.items()
    }
    told["months"] = {name: _told_groups(counts, counts, spec) for name, counts in months.items()}
    for section, table in levels.items():
        met = table.pop("people")
        told[section] = {name: _told_groups(counts, met, spec) for name, counts in table.items()}
    small = not spec.simulated and any(
        0 < n < SMALLEST for n in (response.answered, response.encounters, response.attempts)
    )
    digits = 4 if spec.simulated else 2
    told["response"] = {
        "after_attempt": None if small or not response.attempts else round(response.after_attempt, digits),
        "without_attempt": None if small or not response.others else round(response.without_attempt, digits),
        "warnings": list(response.warnings()),
    }
    return told


def _enrolment(engine: Any, found: Counted) -> dict[str, Any]:
    spells, members = found.coverage.spells, found.coverage.members
    counted = engine.row(
        spells.aggregate(spells=spells.count(), gaps=spells.next_first.notnull().cast("int64").sum().fill_null(0))
    )
    people_ = engine.row(
        members.aggregate(members=members.count(), ended=members.end_day.notnull().cast("int64").sum())
    )
    return {"spans read": found.seen["enrolment"]["rows"], "members": people_["members"], "spells": counted["spells"],
            "gaps": counted["gaps"], "members who died or left for good": people_["ended"]}  # fmt: skip


def _claims(engine: Any, found: Counted) -> dict[str, Any]:
    said = found.seen.get("claims", {})
    lines = engine.row(found.lines.aggregate(rows=found.lines.count()))["rows"]
    read = sum(found.seen[label]["rows"] for label in ("claims", "encounters") if label in found.seen)
    return {
        "rows read": read,
        "denied": said.get("denied"),
        "replacements and voids": said.get("adjusting"),
        "reversals": said.get("reversed"),
        "rows of members on covered days": lines,
    }


def _events(engine: Any, found: Counted) -> dict[str, Any]:
    stays = found.events.stays
    ed = engine.row(found.events.ed.aggregate(rows=found.events.ed.count()))["rows"]
    before = engine.row(found.events.ed_before.aggregate(rows=found.events.ed_before.count()))["rows"]
    counted = engine.row(stays.aggregate(stays=stays.count(), parts=stays.parts.sum().fill_null(0)))
    return {
        "ED visits": ed,
        "ED visits that ended in a stay": before - ed,
        "stays": counted["stays"],
        "claims or encounters joined into another's stay": counted["parts"] - counted["stays"],
    }


def _contacts(engine: Any, found: Counted) -> dict[str, Any]:
    rows = found.contacts.rows
    outbound = rows.filter(rows.inbound == 0)
    per_week = outbound.group_by(["who", "week"]).aggregate(contacts=outbound.count())
    several = per_week.filter(per_week.contacts > 1)
    counted = engine.row(
        rows.aggregate(
            used=rows.count(), reached=rows.reached.sum().fill_null(0), inbound=rows.inbound.sum().fill_null(0),
            planned=rows.planned.sum().fill_null(0),
        )
    )  # fmt: skip
    many = engine.row(several.aggregate(weeks=several.count(), contacts=several.contacts.sum().fill_null(0)))
    return {
        "rows read": found.seen["contacts"]["rows"],
        "left out: a word has no level": found.unmapped,
        "contacts of members, repeats joined": counted["used"],
        "of them reached, or by the member": counted["reached"],
        "of them by the member": counted["inbound"],
        "of them planned only": counted["planned"],
        "weeks with several": many["weeks"],
        "contacts that are not their week's decision": many["contacts"] - many["weeks"],
    }


def _rows(engine: Any, found: Counted) -> dict[str, Any]:
    totals, weeks = found.totals, found.contacts.weeks
    decided = engine.row(weeks.filter(weeks.action != UNDECIDED).aggregate(weeks=ibis._.count()))["weeks"]
    return {"member-weeks": totals.rows, "members": totals.members, "ED visits": totals.ed, "stays": totals.ip,
            "weeks with a decision to contact": totals.decisions,
            "decisions in weeks that are no row (not covered, or after the cut)": decided - totals.decisions,
            "members whose record ends for good": totals.ended}  # fmt: skip


def _months(engine: Any, found: Counted) -> dict[str, dict[str, int]]:
    """By month of service: claim lines, ED visits, stays; months as 2024-01."""
    table: dict[str, dict[str, int]] = {}
    for name, source, days in (
        ("rows in force", found.current, found.current["start"]),
        ("ED visits", found.events.ed, found.events.ed.day),
        ("stays", found.events.stays, found.events.stays["first"]),
    ):
        by_month: Counter[str] = Counter()
        for row in engine.rows(source.select(day=days).group_by("day").aggregate(rows=ibis._.count())):
            by_month[f"{EPOCH + timedelta(days=row['day']):%Y-%m}"] += row["rows"]
        table[name] = by_month
    return {name: dict(sorted(months.items())) for name, months in table.items()}


def _by_level(engine: Any, spec: Spec, found: Counted, place: int) -> dict[str, dict[str, int]]:
    rows = found.contacts.rows.filter(found.contacts.rows.inbound == 0)
    factor = spec.actions.factors[place]
    later = 1
    for other in spec.actions.factors[place + 1 :]:
        later *= len(other)
    shifted = rows.joint // later
    level = shifted - shifted // len(factor) * len(factor)
    counted = (
        rows.select(level=level, reached="reached", who="who")
        .group_by("level")
        .aggregate(attempts=ibis._.count(), reached=ibis._.reached.sum(), people=ibis._.who.nunique())
    )
    found_rows = sorted(engine.rows(counted), key=lambda row: row["level"])
    return {
        name: {factor.levels[row["level"]]: int(row[name]) for row in found_rows}
        for name in ("attempts", "reached", "people")
    }


def _told(number: int, spec: Spec) -> int | str:
    return SECRET if not spec.simulated and 0 < number < SMALLEST else rough(number, simulated=spec.simulated)


def _told_groups(counts: Mapping[str, int], met: Mapping[str, int], spec: Spec) -> dict[str, int | None]:
    """Counts by name; None where they, or the people they are of, are few, and for what would give such away."""
    hidden = set[str]() if spec.simulated or not counts else hidden_cells(counts) | hidden_cells(met)
    return {key: None if key in hidden else rough(number, simulated=spec.simulated) for key, number in counts.items()}
