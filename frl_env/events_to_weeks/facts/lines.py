"""Claim lines and encounters in whole numbers: each table is read once, and what a row is becomes one number.

    claims   "M7 ", "C9", 2024-01-03, 0450, paid, 310.20   ->   who 6, key of C9, day 19725, marks ED, 31020 cents

Identifiers are text, and there are many: who a row is about becomes the member's number, which claim it is of a key.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.event_tables.reading import Reading, cell, is_faulty, numbered, parse
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.event_tables.spellings import spellings_of, with_meanings
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.facts.coverage import Coverage, day_number
from frl_env.events_to_weeks.facts.events import IGNORED, encounter_kinds, event_kinds
from frl_env.events_to_weeks.rules import Rules

ORIGINAL, REPLACEMENT, VOID = 0, 1, 2
PAID, DENIED, REVERSED = 0, 1, 2
"""Places in the crosswalks' targets."""

LEFT_OUT, TAKEN, ADJUSTS, CHANGES, VOIDS, FAULTY = (1 << place for place in range(4, 10))
"""Bits of `marks` beside those of `events`: denied or to be ignored; negative or reversed; says which claim it adjusts;
is a replacement or void; is a void; holds a cell that makes no sense."""

CODES = ("bill_type", "revenue", "hcpcs", "place", "discharge", "status", "frequency")
"""Columns of claims of which each spelling is looked at once."""

_MARKS = "marks: "

LINE = ("who", "anchor", "key", "start", "end", "received", "marks", "cents")
"""Columns of lines of covered members; with reversals `sign`, too."""


def marked(marks: Any, bits: int) -> Any:
    """Whether any of some bits is set."""
    return (marks & bits) != 0


def known_claims(engine: Any, raw: ir.Table, numbers: ir.Table, spec: Spec) -> ir.Table:
    """Claims as they are read, with what members and codes mean.

    Args:
        engine: Where spellings are kept.
        raw: As they are read.
        numbers: `member` and `who`, of everybody who was ever enrolled.
        spec: How cells are read, and what codes mean.

    Returns:
        The raw columns, `who` (null if never enrolled), `wrong` (of the identifier), and `marks: ...` of each code.
    """
    found = {"wrong": numbered(engine, "claims", raw, numbers, spec)}
    spelled = [name for name in CODES if name in raw.columns]
    found |= {_MARKS + name: spellings_of(engine, "claims", raw, name, _meaning(name, spec)) for name in spelled}
    return with_meanings(raw, found, {"wrong": "who"})


def read_claims(engine: Any, known: ir.Table, spec: Spec) -> ir.Table:
    """All claim lines.

    Args:
        engine: Where they are kept.
        known: Of `known_claims`.
        spec: How cells are read.

    Returns:
        `who` (null if never enrolled), `key`, `start`, `end`, `received`, `cents`, `marks`.
    """
    text = known.claim.type().is_string()
    claim = (
        cell_parsing.trimmed(known.claim, engine.key)
        if text
        else engine.key(cell("claims", "claim", known.claim, spec).value)
    )
    adjusts = ~cell_parsing.blank(known.adjusts) if "adjusts" in known.columns else ibis.literal(False)
    known = known.mutate(key=claim, adjusting=adjusts)
    of_codes = _marks_of(known)
    reading = parse("claims", known, spec, carry=("who", "wrong", "key", "adjusting", *of_codes))
    table = reading.table
    marks = _sum_of({
        FAULTY: is_faulty(reading, apart=("member", *CODES)) | (table.wrong > 0),
        TAKEN: (table.paid < 0).fill_null(False),
        ADJUSTS: table.adjusting,
    })  # fmt: skip
    for name in of_codes:
        marks |= table[name]
    return _kept(engine, "claims", table, table.key, marks)


def _marks_of(known: ir.Table) -> list[str]:
    """Columns with what a code means."""
    return [name for name in known.columns if name.startswith(_MARKS)]


def _meaning(name: str, spec: Spec) -> Callable[[ir.Table], ir.Table]:
    """What a code of a claim says about it, as bits."""

    def meaning(spelled: ir.Table) -> ir.Table:
        parsed = cell("claims", name, spelled.spelling, spec)
        wrong = ibis.literal(False)
        for mask in parsed.faults.values():
            wrong |= mask
        known = spelled.select("spelling", **{name: parsed.value, "wrong": wrong})
        value = known[name]
        marks = {FAULTY: known.wrong}
        if name == "status":
            marks |= {LEFT_OUT: value == DENIED, TAKEN: value == REVERSED}
        elif name == "frequency":
            marks |= {CHANGES: value > ORIGINAL, VOIDS: value == VOID}
        else:
            marks |= event_kinds(known, frozenset({name}), spec.rules.events)
        return known.select("spelling", meaning=_sum_of(marks))

    return meaning


def read_encounters(engine: Any, reading: Reading, numbers: ir.Table, rules: Rules) -> ir.Table:
    """All encounters, each as a line without a claim.

    Args:
        engine: Where they are kept.
        reading: The canonical table.
        numbers: `member` and `who`.
        rules: How is counted.

    Returns:
        As `read_claims`; `key` is null.
    """
    table = reading.table
    known = numbers.select("who", of_whom="member")
    marks = encounter_kinds(table, reading.has, rules.events)
    marks |= {FAULTY: is_faulty(reading), LEFT_OUT: table.kind == IGNORED}
    table = table.mutate(marks=_sum_of(marks))
    joined = table.left_join(known, table.member == known.of_whom)
    key = ibis.null(engine.key(ibis.literal("")).type())
    return _kept(engine, "encounters", joined, key, joined.marks)


def _kept(engine: Any, label: str, table: Any, key: Any, marks: Any) -> ir.Table:
    """The rows that are read, in small types, kept as a stage."""
    end = table.end.fill_null(table.start)
    rows = table.select(
        "who", key=key, start=table.start.cast("int32"), end=end.cast("int32"),
        received=table.received.fill_null(end).cast("int32"), cents=table.paid.fill_null(0).cast("int64"),
        marks=marks.cast("int16"),
    )  # fmt: skip
    return engine.keep(f"read_{label}", rows, lasting=False)


def _sum_of(marks: Mapping[int, Any]) -> Any:
    """Masks, never null, as the bits of one number."""
    number: Any = ibis.literal(0, "int16")
    for bit, mask in marks.items():
        number |= ibis.ifelse(mask, ibis.literal(bit, "int16"), ibis.literal(0, "int16"))
    return number


def tally(engine: Any, lines: ir.Table) -> dict[str, int]:
    """What there is to do with the rows of a table.

    Returns:
        `rows`, `met` (of somebody who was ever enrolled), `newest` (day of arrival), and how many
        are `denied`, `adjusting`, `reversed`, `orphans`, `faulty`.
    """
    by_marks = lines.group_by("marks").aggregate(rows=lines.count(), met=lines.who.count(), newest=lines.received.max())
    found = engine.rows(by_marks)

    def having(bits: int, without: int = 0) -> int:
        return sum(row["rows"] for row in found if row["marks"] & bits and not row["marks"] & without)

    return {
        "rows": sum(row["rows"] for row in found),
        "met": sum(row["met"] for row in found),
        "newest": max((row["newest"] for row in found if row["newest"] is not None), default=0),
        "denied": having(LEFT_OUT),
        "adjusting": having(ADJUSTS),
        "reversed": having(TAKEN, without=ADJUSTS),
        "orphans": having(CHANGES, without=ADJUSTS | LEFT_OUT),
        "faulty": having(FAULTY),
    }


def of_members(lines: ir.Table, coverage: Coverage, rules: Rules) -> ir.Table:
    """Rows of members, with `anchor`: those that had arrived by the day of the rules, if they name one.

    Args:
        lines: With `who`, `received`.
        coverage: Who is covered when.
        rules: How is counted.

    Returns:
        The same with `anchor`.
    """
    whose = coverage.members.select(whose="who", anchor="anchor")
    return _arrived(lines, rules).join(whose, lines.who == whose.whose).drop("whose")


def _arrived(lines: ir.Table, rules: Rules) -> ir.Table:
    if rules.claims.as_of is None:
        return lines
    return lines.filter(lines.received <= day_number(rules.claims.as_of))


def of_covered(lines: ir.Table, coverage: Coverage, rules: Rules) -> ir.Table:
    """Rows of members on covered days, with `anchor`; on any day where the rules keep what is outside coverage.

    `lines` have a column `start`.
    """
    if rules.claims.outside_coverage == "kept":
        return of_members(lines, coverage, rules)
    lines = _arrived(lines, rules)
    whose = coverage.spells.select("anchor", "first", "last", whose="who")
    joined = lines.join(whose, lines.who == whose.whose)
    return joined.filter((joined["start"] >= joined["first"]) & (joined["start"] <= joined["last"])).drop(
        "whose", "first", "last"
    )


def counted_lines(tables: Iterable[ir.Table], coverage: Coverage, rules: Rules, *, reversed_: bool) -> ir.Table:
    """Lines of all tables that may count, `LINE`; nothing is computed yet.

    Args:
        tables: Of `read_claims` and `read_encounters`.
        coverage: Who is covered when.
        rules: How is counted.
        reversed_: Whether lines are reversed; then `sign` is -1 where one is, and what it takes back below zero.
    """
    parts = list(tables)
    every = ibis.union(*parts) if len(parts) > 1 else parts[0]
    lines = of_covered(every.filter(~marked(every.marks, LEFT_OUT)), coverage, rules)
    if not reversed_:
        return lines.select(*LINE)
    back = marked(lines.marks, TAKEN) & ~marked(lines.marks, ADJUSTS)
    cents = ibis.ifelse(back, -lines.cents.abs(), lines.cents)
    return lines.mutate(sign=ibis.ifelse(back, -1, 1).cast("int8"), cents=cents).select(*LINE, "sign")


def adjusting_lines(engine: Any, known: ir.Table, coverage: Coverage, spec: Spec) -> ir.Table:
    """Claim lines that replace or void a claim, read again with their identifiers.

    Args:
        engine: Where they are kept.
        known: Of `known_claims`.
        coverage: Who is covered when.
        spec: How cells are read, and how is counted.

    Returns:
        `who`, `received`, `claim`, `adjusts`, `action` (as its frequency or bill type says), `cents`.
    """
    # What is empty as it stands is left out before anything else is read, and only two codes matter here.
    some = known.filter(known.adjusts != "") if known.adjusts.type().is_string() else known
    some = some.filter(~cell_parsing.blank(some.adjusts))
    of_codes = [name for name in _marks_of(some) if name in (_MARKS + "status", _MARKS + "frequency")]
    table = parse("claims", some, spec, carry=("who", *of_codes)).table
    marks: Any = ibis.literal(0, "int16")
    for name in of_codes:
        marks |= table[name]
    voids, changes = marked(marks, VOIDS), marked(marks, CHANGES)
    if "frequency" not in known.columns and "bill_type" in known.columns:  # its last digit is the frequency
        voids, changes = table.bill_type.re_search(r"^0?\d\d8$"), table.bill_type.re_search(r"^0?\d\d7$")
    said = ibis.cases((voids, VOID), (changes, REPLACEMENT), else_=ORIGINAL)
    rows = table.filter(~marked(marks, LEFT_OUT)).select(
        "who", "claim", "adjusts",
        received=ibis.coalesce(table.received, table.end, table.start).cast("int32"),
        action=said.cast("int8"), cents=table.paid.fill_null(0).cast("int64"),
    )  # fmt: skip
    # On whatever day: a claim that is voided, or moved to a day without coverage, no longer counts where it did.
    lines = of_members(rows, coverage, spec.rules)
    return engine.keep("adjusting", lines.drop("anchor"), lasting=False)
