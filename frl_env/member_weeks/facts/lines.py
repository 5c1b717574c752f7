"""Claim lines and encounters in whole numbers: each table is read once, and what a row is becomes one number.

    claims   "M7 ", "C9", 2024-01-03, 0450, paid, 310.20   ->   who 6, key of C9, day 19725, marks ED, 31020 cents

Identifiers are text, and there are many: who a row is about becomes the member's number, which claim it is of a key.
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.member_weeks.facts.coverage import Coverage, day_number
from frl_env.member_weeks.facts.events import IGNORED, encounter_kinds, event_kinds
from frl_env.member_weeks.rules import Rules
from frl_env.member_weeks.sources.reading import Reading, is_faulty

ORIGINAL, REPLACEMENT, VOID = 0, 1, 2
PAID, DENIED, REVERSED = 0, 1, 2
"""Places in the crosswalks' targets."""

LEFT_OUT, TAKEN, ADJUSTS, ORPHAN, FAULTY = (1 << place for place in range(4, 9))
"""Bits of `marks` beside those of `events`: denied or to be ignored; negative or reversed; replaces or voids a claim;
replaces or voids none that it names; holds a cell that makes no sense."""

LINE = ("who", "anchor", "key", "start", "end", "received", "marks", "cents")
"""Columns of lines of covered members; with reversals `sign`, too."""


def marked(mark: Any, bits: int) -> Any:
    """Whether any of some bits is set."""
    return (mark & bits) != 0


def read_lines(engine: Any, label: str, reading: Reading, numbers: ir.Table, rules: Rules) -> ir.Table:
    """All rows of claims or encounters.

    Args:
        engine: Where they are kept.
        label: Which table.
        reading: The canonical table.
        numbers: `member` and `who`, of everybody who was ever enrolled.
        rules: How is counted.

    Returns:
        `who` (null if never enrolled), `key` (null of encounters), `start`, `end`, `received`, `cents`, `marks`.
    """
    table = reading.table
    of_kind = event_kinds if label == "claims" else encounter_kinds
    marks = of_kind(table, reading.has, rules.events)
    marks[FAULTY] = is_faulty(reading)
    if label == "claims":
        adjusting = table.adjusts.notnull()
        marks[LEFT_OUT] = table.status == DENIED
        marks[TAKEN] = (table.paid < 0).fill_null(False) | (table.status == REVERSED)
        marks[ADJUSTS] = adjusting
        marks[ORPHAN] = (table.frequency > 0) & ~adjusting
    else:
        marks[LEFT_OUT] = table.kind == IGNORED
    number = ibis.literal(0, "int16")
    for bit, found in marks.items():
        number += found.cast("int16") * ibis.literal(bit, "int16")
    end = table.end.fill_null(table.start)
    key = engine.key(table.claim) if label == "claims" else ibis.null(engine.key(ibis.literal("")).type())
    rows = table.select(
        "member", key=key, start=table.start.cast("int32"), end=end.cast("int32"),
        received=table.received.fill_null(end).cast("int32"), cents=table.paid.fill_null(0).cast("int64"),
        marks=number.cast("int16"),
    )  # fmt: skip
    known = numbers.select("who", known="member")
    numbered = rows.left_join(known, rows.member == known.known)
    return engine.keep(f"read_{label}", numbered.drop("member", "known"), lasting=False)


def tally(engine: Any, lines: ir.Table) -> dict[str, int]:
    """What there is to do with the rows of a table.

    Returns:
        `rows`, `newest` (day of arrival), and how many are `denied`, `adjusting`, `reversed`, `orphans`, `faulty`.
    """
    by_marks = lines.group_by("marks").aggregate(rows=lines.count(), newest=lines.received.max())
    found = engine.rows(by_marks)

    def having(bits: int, without: int = 0) -> int:
        return sum(row["rows"] for row in found if row["marks"] & bits and not row["marks"] & without)

    return {
        "rows": sum(row["rows"] for row in found),
        "newest": max((row["newest"] for row in found if row["newest"] is not None), default=0),
        "denied": having(LEFT_OUT),
        "adjusting": having(ADJUSTS),
        "reversed": having(TAKEN, without=ADJUSTS),
        "orphans": having(ORPHAN),
        "faulty": having(FAULTY),
    }


def of_covered(lines: ir.Table, coverage: Coverage, rules: Rules) -> ir.Table:
    """Rows that may count: of covered members, on covered days unless the rules keep others, and arrived in time.

    Args:
        lines: With `who`, `start`, `received`.
        coverage: Who is covered when.
        rules: How is counted.

    Returns:
        The same with `anchor`.
    """
    if isinstance(rules.claims.as_of, date):
        lines = lines.filter(lines.received <= day_number(rules.claims.as_of))
    if rules.claims.outside_coverage == "kept":
        whose = coverage.members.select(whose="who", anchor="anchor")
        return lines.join(whose, lines.who == whose.whose).drop("whose")
    whose = coverage.spells.select("anchor", "first", "last", whose="who")
    joined = lines.join(whose, lines.who == whose.whose)
    return joined.filter((joined["start"] >= joined["first"]) & (joined["start"] <= joined["last"])).drop(
        "whose", "first", "last"
    )


def counted_lines(tables: Iterable[ir.Table], coverage: Coverage, rules: Rules, *, reversed_: bool) -> ir.Table:
    """Lines of all tables that may count, `LINE`; nothing is computed yet.

    Args:
        tables: Of `read_lines`.
        coverage: Who is covered when.
        rules: How is counted.
        reversed_: Whether lines are reversed; then `sign` is -1 where one is.
    """
    parts = list(tables)
    every = ibis.union(*parts) if len(parts) > 1 else parts[0]
    lines = of_covered(every.filter(~marked(every.marks, LEFT_OUT)), coverage, rules)
    if not reversed_:
        return lines.select(*LINE)
    back = marked(lines.marks, TAKEN) & ~marked(lines.marks, ADJUSTS)
    return lines.mutate(sign=ibis.ifelse(back, -1, 1).cast("int8")).select(*LINE, "sign")


def adjusting_lines(engine: Any, reading: Reading, numbers: ir.Table, coverage: Coverage, rules: Rules) -> ir.Table:
    """Claim lines that replace or void a claim, read again with their identifiers.

    Returns:
        `who`, `anchor`, `start`, `received`, `claim`, `adjusts`, `action`.
    """
    table = reading.table
    table = table.filter(table.adjusts.notnull() & (table.status != DENIED))
    negative = (table.paid < 0).fill_null(False)
    said = table.frequency if "frequency" in reading.has else ibis.ifelse(negative, VOID, REPLACEMENT)
    end = table.end.fill_null(table.start)
    rows = table.select(
        "member", "claim", "adjusts", start=table.start.cast("int32"),
        received=table.received.fill_null(end).cast("int32"),
        action=ibis.ifelse(said == VOID, VOID, REPLACEMENT).cast("int8"),
    )  # fmt: skip
    lines = of_covered(rows.join(numbers, "member").drop("member"), coverage, rules)
    return engine.keep(
        "adjusting", lines.select("who", "anchor", "start", "received", "claim", "adjusts", "action"), lasting=False
    )
