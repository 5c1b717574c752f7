"""`frl_env.weeks`: from a spec to a table of member-weeks, read and checked first, then written whole or not at all.

read      open every table, count all faults in one pass each; stop at any
convert   coverage, claims in force, events, contacts; stages are kept beside the result
report    what was counted and left out, and the checks that catch a wrong contact log
write     one Parquet file, sorted by member and week, with all rules in its metadata
"""

import hashlib
import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from frl_env.datasets.placing import package_version
from frl_env.errors import UserError
from frl_env.member_weeks.checks import check_columns, check_members, check_output, check_rows, one_row_a_member
from frl_env.member_weeks.engine import Engine, load_ibis, open_engine, table_files
from frl_env.member_weeks.sources.spec import Spec

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""

STAGES = 6


@dataclass(frozen=True, kw_only=True)
class MemberWeeks:
    """What a conversion came to.

    Attributes:
        path: The table; None if it was only checked.
        facts: What its metadata say: rules, counts, figures of the report; JSON-able.
    """

    path: Path | None
    facts: dict[str, Any]


def weeks(
    spec: str | Path | Spec,
    output: str | Path | None = None,
    *,
    check_only: bool = False,
    engine: str = "duckdb",
    master: str = "local[*]",
    memory: str = "3GB",
    progress: Progress | None = None,
) -> MemberWeeks:
    """Turns event tables into the table of member-weeks that `import_table` takes.

    Args:
        spec: A TOML file, or what was read from one.
        output: The Parquet file to write; an older one stays until the new one is whole.
        check_only: Report, and write nothing.
        engine: "duckdb" or "spark".
        master: Of Spark, for instance "local[4]" or "spark://host:7077".
        memory: What DuckDB may take before it writes to disk.
        progress: Called as the work goes on.

    Returns:
        What it came to.

    Raises:
        EventTablesError: If rows make no sense; nothing was written.
        UserError: If the spec, a table or the output is no good, or what the engine needs is not installed.
    """
    load_ibis()
    read = spec if isinstance(spec, Spec) else Spec.read(Path(spec))
    beside = Path(output) if output is not None else Path(spec if not isinstance(spec, Spec) else "members.parquet")
    if output is None and not check_only:
        raise UserError("name the table to write with -o members.parquet, or ask for --check")
    if not check_only and beside.suffix != ".parquet":
        raise UserError(f"the table of member-weeks is a Parquet file; {beside.name} ends otherwise")
    if not beside.parent.is_dir():
        raise UserError(f"can't write into {beside.parent}; name a folder that exists")
    if not check_only:
        check_output(read, beside)
    folder = beside.with_name(f".{beside.name}.weeks-{_digest(read, engine)}")
    report = progress or (lambda what, done, total: None)
    kept = folder.exists()  # of an interrupted conversion, or of one that is running
    try:
        made = open_engine(engine, folder, master=master, memory=memory)
        kept = False
        try:
            return _convert(made, read, None if check_only else beside, folder, report)
        except KeyboardInterrupt:
            kept = True
            made.save()
            raise
        finally:
            made.close()
    except OSError as problem:
        raise UserError(f"can't write beside {beside}: {problem.strerror or 'the disk may be full'}") from None
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _convert(engine: Engine, spec: Spec, output: Path | None, folder: Path, progress: Progress) -> MemberWeeks:
    from frl_env.member_weeks.conversion_counts import Counted, Totals, count
    from frl_env.member_weeks.facts import claims as claim_rules
    from frl_env.member_weeks.facts.assemble import Facts, Weeks, member_weeks
    from frl_env.member_weeks.facts.cells import read_spells
    from frl_env.member_weeks.facts.contacts import contact_faults, joint_index, make_contacts
    from frl_env.member_weeks.facts.coverage import EPOCH, day_number, dual_spans, make_coverage, number_members
    from frl_env.member_weeks.facts.events import make_events, without_hindsight
    from frl_env.member_weeks.facts.lines import (
        adjusting_lines,
        counted_lines,
        known_claims,
        read_claims,
        read_encounters,
        tally,
    )
    from frl_env.member_weeks.faults import EventTablesError
    from frl_env.member_weeks.readers import read_source
    from frl_env.member_weeks.sources.reading import clean, count_faults, in_numbers, parse
    from frl_env.member_weeks.sources.unmapped_words import words_of_faults
    from frl_env.member_weeks.writing import write_weeks

    rules = spec.rules
    progress("reading", 0, STAGES)
    raws = read_source(engine, spec)
    readings = {label: parse(label, raw, spec) for label, raw in raws.items()}
    check_columns(readings, rules)
    read = dict(readings)
    for label in ("enrolment", "members"):
        if label in read:
            readings[label] = replace(read[label], table=engine.keep(f"read_{label}", read[label].table))
    numbers = number_members(engine, readings["enrolment"].table)
    log = in_numbers(engine, raws["contacts"], numbers, spec)
    readings["contacts"] = replace(log, table=engine.keep("read_contacts", log.table))
    faults, seen, lines, claims = [], {}, {}, None
    for label, reading in readings.items():
        if label in ("claims", "encounters"):
            if label == "claims":
                claims = known_claims(engine, raws[label], numbers, spec)
                lines[label] = read_claims(engine, claims, spec)
            else:
                lines[label] = read_encounters(engine, reading, numbers, rules)
            seen[label] = tally(engine, lines[label])
            if not seen[label]["faulty"]:
                continue
        more = {"met": reading.table.who.count()} if label == "contacts" else {}
        if label == "enrolment" and rules.enrolment.dual == "left_out":
            more = dual_spans(reading.table)
        found, figures = count_faults(engine, label, reading, **more)
        faults += found
        seen.setdefault(label, figures)
    tables = {label: clean(readings[label]) for label in ("enrolment", "members", "contacts") if label in readings}
    if "members" in tables:
        tables["members"] = tables[
            "members"
        ].distinct()  # of a file of spans, which says everything about a member again
    check_rows(seen, rules)
    more_faults, words, unmapped = contact_faults(engine, tables["contacts"], clean(read["contacts"]), spec)
    faults += more_faults
    faults += one_row_a_member(engine, tables.get("members"))
    if faults:
        raise EventTablesError(faults, words + words_of_faults(engine, raws, faults, spec))
    check_members(seen)

    progress("converting", 1, STAGES)
    if rules.claims.complete_through is not None:
        cut = day_number(rules.claims.complete_through)
    else:  # where one of two tables ends, its events do
        newest = min(seen[label]["newest"] for label in lines if seen[label]["rows"])
        if rules.claims.as_of is not None:
            newest = min(newest, day_number(rules.claims.as_of))
        cut = newest - rules.claims.run_out_days
    people = readings.get("members")
    coverage = make_coverage(
        engine, tables["enrolment"], numbers, tables.get("members"), people.has if people else frozenset(), rules, cut
    )
    progress("converting", 2, STAGES)
    said = seen.get("claims", {}) if rules.claims.adjustments == "net" else {}
    arrivals = any("received" in readings[label].has for label in lines)
    facts = claim_rules.ClaimFacts(
        adjusting=said.get("adjusting", 0),
        reversed=said.get("reversed", 0),
        received=arrivals and rules.claims.known == "when_received",
    )
    every = counted_lines(lines.values(), coverage, rules, reversed_=bool(facts.reversed))
    adjusting = adjusting_lines(engine, claims, coverage, spec) if facts.adjusting else None
    progress("converting", 3, STAGES)
    related = claim_rules.families(engine, adjusting)
    if facts.received and facts.adjusting:
        every = engine.keep("lines", every, lasting=False)  # read five times then, by others once
    current = claim_rules.in_force(every, related, facts).drop("received")
    current = engine.keep("lines_in_force", current, lasting=False)
    events = make_events(engine, current, rules.events, "final")
    known = events
    if facts.received:
        then = claim_rules.known_in_time(engine, every, related, facts)
        known = make_events(engine, then, rules.events, "known", hindsight=False)
    elif rules.claims.known == "when_received":
        known = without_hindsight(engine, events, rules.events)
    paid = claim_rules.payments(engine, every, current, related, facts, rules)
    contacts = make_contacts(engine, tables["contacts"], coverage, spec)
    progress("converting", 4, STAGES)
    made_of = Facts(events=events, known=known, contacts=contacts, paid=paid)
    spells = read_spells(engine, coverage, rules, cut)
    nothing = joint_index(spec.actions)
    totals = Totals()
    complete_through = (EPOCH + timedelta(days=cut)).isoformat()

    def counted() -> Iterator[Weeks]:
        for part in member_weeks(engine, spells, made_of, rules, nothing):
            totals.add(part, nothing)
            yield part

    def summary() -> dict[str, Any]:
        """What the metadata say, once all weeks are counted."""
        progress("converting", 5, STAGES)
        if not totals.rows:
            raise UserError(
                f"no member-week is left: no week with coverage ends by {complete_through}; "
                "check complete_through, run_out_days, first_day and last_day in the rules"
            )
        return {
            "version": package_version(),
            "spec": spec.facts(),
            "complete_through": complete_through,
            "gaps": rules.enrolment.gaps,
            "figures": count(
                engine,
                spec,
                Counted(
                    seen=seen,
                    read=lines,
                    spans=tables["enrolment"],
                    cut=cut,
                    coverage=coverage,
                    lines=every,
                    current=current,
                    events=events,
                    contacts=contacts,
                    totals=totals,
                    unmapped=unmapped,
                ),
            ),
        }

    if output is not None:
        facts_told = write_weeks(engine, counted(), coverage, spec, summary, output, folder) | {"rows": totals.rows}
    else:
        deque(counted(), maxlen=0)
        facts_told = summary()
    progress("converting", STAGES, STAGES)
    return MemberWeeks(path=output, facts=facts_told)


def _digest(spec: Spec, engine: str) -> str:
    """Says whether stages of an interrupted conversion are of this one."""
    files = []
    for label, table in sorted(spec.tables.items()):
        for file in table_files(label, table)[0]:
            stat = file.stat()
            files.append([label, str(file), table.table, stat.st_size, stat.st_mtime_ns])
    made_of = [spec.facts(), files, engine, package_version()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
