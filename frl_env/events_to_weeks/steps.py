"""The steps of a conversion, from event tables to member-weeks; each takes what the one before has made.

    read_tables     every table opened and parsed, all faults counted in one pass each
    last_day        the last day whose claims are complete
    make_facts      coverage, claims in force, events, contacts
    write_table     member-weeks, counted as they go by, and what their metadata say

It imports Ibis, which `frl_env.events_to_weeks.conversion` looks for first.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import ibis.expr.types as ir

from frl_env.datasets.placing import package_version
from frl_env.errors import UserError, in_file
from frl_env.events_to_weeks.checks import check_columns, check_members, check_rows, one_row_a_member
from frl_env.events_to_weeks.conversion_counts import Counted, Totals, count
from frl_env.events_to_weeks.engine import Engine
from frl_env.events_to_weeks.event_tables.reading import Reading, clean, count_faults, in_numbers, parse
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.event_tables.unmapped_words import words_of_faults
from frl_env.events_to_weeks.event_tables.zoned_days import zoned_days
from frl_env.events_to_weeks.facts import claims as claim_rules
from frl_env.events_to_weeks.facts.assemble import Facts, Weeks, member_weeks
from frl_env.events_to_weeks.facts.cells import read_spells
from frl_env.events_to_weeks.facts.contacts import contact_faults, joint_index, make_contacts
from frl_env.events_to_weeks.facts.coverage import (
    EPOCH,
    Coverage,
    day_number,
    dual_spans,
    make_coverage,
    number_members,
)
from frl_env.events_to_weeks.facts.events import make_events, without_hindsight
from frl_env.events_to_weeks.facts.lines import (
    adjusting_lines,
    counted_lines,
    known_claims,
    read_claims,
    read_encounters,
    tally,
)
from frl_env.events_to_weeks.faults import EventTablesError
from frl_env.events_to_weeks.readers import read_source
from frl_env.events_to_weeks.rules import Rules
from frl_env.events_to_weeks.strangers import Strangers, count_strangers
from frl_env.events_to_weeks.writing import write_weeks

STEPS = 6
"""Of which progress is told."""

Step = Callable[[int], None]
"""Called with the number of steps that are done."""

EVENT_TABLES = ("claims", "encounters")


@dataclass(frozen=True, kw_only=True)
class ReadTables:
    """Canonical tables, of which nothing is wrong any more.

    Attributes:
        numbers: Members by number.
        columns: Of each table, those that it has.
        seen: What the first pass over each has seen.
        enrolment, contacts: Rows that are used.
        members: The same; None without such a table.
        lines: All rows of claims and encounters.
        claims: Claims as `known_claims` has them; None without any.
        unmapped: Contacts left out because a word has no level, and the members they are of.
        strangers: People without a span, whose rows are left out.
        zoned: Sentences about days that come with a zone.
    """

    numbers: ir.Table
    columns: Mapping[str, frozenset[str]]
    seen: Mapping[str, Mapping[str, Any]]
    enrolment: ir.Table
    contacts: ir.Table
    members: ir.Table | None
    lines: Mapping[str, ir.Table]
    claims: ir.Table | None
    unmapped: tuple[int, int]
    strangers: Strangers
    zoned: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class MadeFacts:
    """What happened to members, and what was done.

    Attributes:
        coverage: Spans of the members, in numbers of days.
        lines, current: Claim lines of covered members, and those in force.
        adjusting: The claim that each replacement or void names; None without any.
        facts: What goes into member-weeks.
    """

    coverage: Coverage
    lines: ir.Table
    current: ir.Table
    adjusting: ir.Table | None
    facts: Facts


def read_tables(engine: Engine, spec: Spec) -> ReadTables:
    """Opens and parses every table, and counts all that is wrong.

    Raises:
        EventTablesError: If rows make no sense.
        UserError: If a table can't be read, or lacks what the rules need.
    """
    rules = spec.rules
    with in_file(spec.file):
        raws = read_source(engine, spec)
        readings = {label: parse(label, raw, spec) for label, raw in raws.items()}
        check_columns(readings, rules)
    read = dict(readings)
    for label in ("enrolment", "members"):
        if label in read:
            readings[label] = replace(read[label], table=engine.keep(f"read_{label}", read[label].table))
    numbers = number_members(engine, readings["enrolment"].table)
    log = in_numbers(engine, raws["contacts"], numbers, spec)
    readings["contacts"] = replace(log, table=engine.keep("read_contacts", log.table, lasting=False))
    faults, seen, lines, claims = [], {}, {}, None
    for label, reading in readings.items():
        if label in EVENT_TABLES:
            if label == "claims":
                claims = known_claims(engine, raws[label], numbers, spec)
                lines[label] = read_claims(engine, claims, spec)
            else:
                lines[label] = read_encounters(engine, reading, numbers, rules)
            seen[label] = tally(engine, lines[label])
            if not seen[label]["faulty"]:
                continue
        found, figures = count_faults(engine, label, reading, **_counted_besides(label, reading, rules))
        faults += found
        seen.setdefault(label, figures)
    tables = {label: clean(readings[label]) for label in ("enrolment", "members", "contacts") if label in readings}
    members = tables.get("members")
    if members is not None:
        members = members.distinct()  # of a file of spans, which says everything about a member again
    check_rows(seen, rules)
    more_faults, words, unmapped = contact_faults(engine, tables["contacts"], clean(read["contacts"]), spec)
    faults += more_faults
    faults += one_row_a_member(engine, members)
    if faults:
        raise EventTablesError(faults, words + words_of_faults(engine, raws, faults, spec))
    check_members(seen)
    return ReadTables(
        numbers=numbers,
        columns={label: reading.has for label, reading in readings.items()},
        seen=seen,
        enrolment=tables["enrolment"],
        contacts=tables["contacts"],
        members=members,
        lines=lines,
        claims=claims,
        unmapped=unmapped,
        strangers=count_strangers(
            engine, spec, numbers, {label: reading.table for label, reading in read.items()}, seen, members
        ),
        zoned=zoned_days(engine, raws),
    )


def last_day(tables: ReadTables, rules: Rules) -> int:
    """Number of the last day whose claims are complete."""
    if rules.claims.complete_through is not None:
        return day_number(rules.claims.complete_through)
    # Where one of two tables ends, its events do.
    newest = min(tables.seen[label]["newest"] for label in tables.lines if tables.seen[label]["rows"])
    if rules.claims.as_of is not None:
        newest = min(newest, day_number(rules.claims.as_of))
    return newest - rules.claims.run_out_days


def make_facts(engine: Engine, spec: Spec, tables: ReadTables, cut: int, done: Step) -> MadeFacts:
    """Coverage, claims in force, events and contacts.

    Args:
        engine: Does the work.
        spec: With the rules.
        tables: What was read.
        cut: Last complete day.
        done: Progress.
    """
    rules = spec.rules
    coverage = make_coverage(
        engine, tables.enrolment, tables.numbers, tables.members, tables.columns.get("members", frozenset()), rules, cut
    )
    done(2)
    known = _known_of_claims(tables, rules)
    lines = counted_lines(tables.lines.values(), coverage, rules, reversed_=bool(known.reversed))
    adjusting = adjusting_lines(engine, tables.claims, coverage, spec) if known.adjusting else None
    done(3)
    related = claim_rules.families(engine, adjusting)
    if known.received and known.adjusting:
        lines = engine.keep("lines", lines, lasting=False)  # read five times then, by others once
    current = claim_rules.in_force(lines, related, known).drop("received")
    current = engine.keep("lines_in_force", current, lasting=False)
    events = make_events(engine, current, rules.events, "final")
    in_time = events
    if known.received:
        then = claim_rules.known_in_time(engine, lines, related, known)
        in_time = make_events(engine, then, rules.events, "known", hindsight=False)
    elif rules.claims.known == "when_received":
        in_time = without_hindsight(engine, events, rules.events)
    paid = claim_rules.payments(engine, lines, current, related, known, rules)
    contacts = make_contacts(engine, tables.contacts, coverage, spec)
    done(4)
    facts = Facts(events=events, known=in_time, contacts=contacts, paid=paid)
    named = related.adjusting if related is not None else None
    return MadeFacts(coverage=coverage, lines=lines, current=current, adjusting=named, facts=facts)


def write_table(
    engine: Engine,
    spec: Spec,
    tables: ReadTables,
    made: MadeFacts,
    *,
    cut: int,
    output: Path | None,
    folder: Path,
    done: Step,
) -> dict[str, Any]:
    """Puts facts into member-weeks, writes and counts them.

    Args:
        engine: Does the work.
        spec: With the rules.
        tables: What was read.
        made: What came of it.
        cut: Last complete day.
        output: The Parquet file; None to count only.
        folder: For what is kept meanwhile.
        done: Progress.

    Returns:
        What the table's metadata say; with `rows` where one was written.

    Raises:
        UserError: If no member-week is left, or the table can't be written.
    """
    spells = read_spells(engine, made.coverage, spec.rules, cut)
    nothing, totals = joint_index(spec.actions), Totals()

    def counted() -> Iterator[Weeks]:
        for part in member_weeks(engine, spells, made.facts, spec.rules, nothing):
            totals.add(part, nothing)
            yield part

    def summary() -> dict[str, Any]:
        done(5)
        return _summary(engine, spec, tables, made, cut, totals)

    if output is None:
        deque(counted(), maxlen=0)
        return summary()
    written = write_weeks(engine, counted(), made.coverage, spec, summary, output, folder)
    return written | {"rows": totals.rows}


def _counted_besides(label: str, reading: Reading, rules: Rules) -> dict[str, Any]:
    """What is counted of a table beside its faults."""
    if label == "enrolment" and rules.enrolment.dual == "left_out":
        return dual_spans(reading.table)
    return {"met": reading.table.who.count()} if label == "contacts" else {}


def _known_of_claims(tables: ReadTables, rules: Rules) -> claim_rules.ClaimFacts:
    """What the first pass over the claims has seen, as far as the rules make use of it."""
    said = tables.seen.get("claims", {}) if rules.claims.adjustments == "net" else {}
    arrivals = any("received" in tables.columns[label] for label in tables.lines)
    return claim_rules.ClaimFacts(
        adjusting=said.get("adjusting", 0),
        reversed=said.get("reversed", 0),
        received=arrivals and rules.claims.known == "when_received",
    )


def _summary(
    engine: Engine, spec: Spec, tables: ReadTables, made: MadeFacts, cut: int, totals: Totals
) -> dict[str, Any]:
    """What the metadata say, once all weeks are counted.

    Raises:
        UserError: If there are none.
    """
    complete_through = (EPOCH + timedelta(days=cut)).isoformat()
    if not totals.rows:
        raise UserError(
            f"no member-week is left: no week with coverage ends by {complete_through}; "
            "check complete_through, run_out_days, first_day and last_day in the rules"
        )
    found = Counted(
        seen=tables.seen,
        read=tables.lines,
        spans=tables.enrolment,
        cut=cut,
        coverage=made.coverage,
        lines=made.lines,
        current=made.current,
        adjusting=made.adjusting,
        events=made.facts.events,
        contacts=made.facts.contacts,
        totals=totals,
        unmapped=tables.unmapped,
        strangers=tables.strangers,
        zoned=tables.zoned,
    )
    return {
        "version": package_version(),
        "spec": spec.facts(),
        "complete_through": complete_through,
        "gaps": spec.rules.enrolment.gaps,
        "figures": count(engine, spec, found),
    }
