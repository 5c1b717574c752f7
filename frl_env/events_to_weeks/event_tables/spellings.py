"""What a cell means is worked out once for each spelling, not once for each row.

    revenue   "0450", "450 ", "", "0450", ...      ->      "0450" ed    "450 " ed    "" nothing

Codes, words and members' identifiers repeat in a long table. Its distinct spellings are few; each is trimmed, turned
into capitals and looked up once, and rows find what theirs means by a join on the cell as it is.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

FEW = 8
"""Spellings that rows are compared with, where no more than so many mean other than the most; more are joined."""

SOME = 1_000
"""Spellings that are looked at one by one; of more, only those with a rare meaning."""


@dataclass(frozen=True, kw_only=True)
class Spellings:
    """What the spellings of a column mean.

    Attributes:
        column: Of the raw table.
        table: `spelling`, `meaning`, and what else was asked for.
        empty: What an empty cell means.
        most: What most spellings mean.
        others: What the others mean, if they are few; None otherwise.
    """

    column: str
    table: ir.Table
    empty: int
    most: int
    others: Mapping[Any, int] | None


def spellings_of(
    engine: Any, label: str, raw: ir.Table, column: str, meaning: Callable[[ir.Table], ir.Table]
) -> Spellings:
    """Works out what each spelling means.

    Args:
        engine: Where they are kept.
        label: Of the table.
        raw: The table as it is read.
        column: Of it.
        meaning: From a table with the column `spelling` to the same with `meaning`, a whole number, never null.
    """
    distinct = raw.select(spelling=raw[column]).distinct()
    table = engine.keep(f"spelled_{label}_{column}", meaning(distinct), lasting=False)
    known = engine.rows(table.select("spelling", "meaning").limit(SOME))
    if len(known) == SOME:  # those of the meanings that are rare, and the empty one
        by_meaning = table.group_by("meaning").aggregate(rows=table.count())
        rows = {row["meaning"]: row["rows"] for row in engine.rows(by_meaning)}
        few = [meaning for meaning, number in rows.items() if number <= FEW]
        known = engine.rows(
            table.filter(table.spelling.isnull() | table.meaning.isin(few)).select("spelling", "meaning")
        )
    else:
        rows = Counter(row["meaning"] for row in known)
    empty = next((row["meaning"] for row in known if row["spelling"] is None), 0)
    most = min(rows, key=lambda meaning: (-rows[meaning], meaning), default=0)
    others = None
    # Fractions have spellings that are hard to compare: NaN, -0.
    if sum(rows.values()) - rows.get(most, 0) <= FEW and not raw[column].type().is_floating():
        rare = [row for row in known if row["meaning"] != most and row["spelling"] is not None]
        others = {row["spelling"]: row["meaning"] for row in rare}
    return Spellings(column=column, table=table, empty=empty, most=most, others=others)


def with_meanings(raw: ir.Table, found: Mapping[str, Spellings], also: Mapping[str, str] | None = None) -> ir.Table:
    """The raw table with what its cells mean.

    Args:
        raw: As it is read.
        found: Of its columns, by the names that meanings get.
        also: Name of a meaning to one more column of its spellings.

    Returns:
        The raw columns, the meanings, and what else was asked for.
    """
    also = also or {}
    joined: Any = raw
    by_join = [name for name, one in found.items() if one.others is None or name in also]
    for name in by_join:
        names = {f"spelling of {name}": "spelling", f"meaning of {name}": "meaning"}
        table = found[name].table.select(**names, **({also[name]: also[name]} if name in also else {}))
        joined = joined.left_join(table, joined[found[name].column] == table[f"spelling of {name}"])
    made = {}
    for name, one in found.items():
        if name in by_join:
            made[name] = joined[f"meaning of {name}"].fill_null(one.empty).cast("int16")
        else:
            made[name] = _compared(joined[one.column], one)
    return joined.select(*raw.columns, *also.values(), **made)


def _compared(cell: Any, found: Spellings) -> Any:
    """A chain of comparisons that gives each spelling its meaning, the most frequent one without comparing."""
    others = found.others or {}
    branches = [(cell == spelling, ibis.literal(meaning, "int16")) for spelling, meaning in sorted(others.items())]
    if found.empty != found.most:
        branches.append((cell.isnull(), ibis.literal(found.empty, "int16")))
    most = ibis.literal(found.most, "int16")
    return ibis.cases(*branches, else_=most) if branches else most
