"""Rows of people without a span of enrolment: they are left out, and the report says how many.

    enrolment M1, M2    members M1, m2     m2 is nobody and left out; M2 has no row, so its group is unknown
                        contacts M1, M7    rows of M7 are left out

An identifier in other capitals is another person.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ibis.expr.types as ir

from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.events_to_weeks.event_tables.spec import Spec


@dataclass(frozen=True, kw_only=True)
class Strangers:
    """How many there are.

    Attributes:
        rows: Of claims, encounters and contacts, by table: rows of people without a span, and how many these people
            are.
        people: People of table `members` without a span; None without such a table.
        unnamed: Members, who have spans, without a row in table `members`; None without such a table.
        members: Of table `enrolment`.
    """

    rows: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    people: int | None = None
    unnamed: int | None = None
    members: int = 0

    def of(self, *labels: str) -> tuple[int, int]:
        """Rows of some tables, and people behind them; who is in two of them is not known, so the larger decides."""
        found = [self.rows[label] for label in labels if label in self.rows]
        return sum(rows for rows, _ in found), max((people for _, people in found), default=0)


def count_strangers(
    engine: Any, spec: Spec, numbers: ir.Table, read: Mapping[str, ir.Table], seen: Mapping[str, Mapping[str, Any]],
    members: ir.Table | None,
) -> Strangers:  # fmt: skip
    """Counts them; identifiers are looked at again only where a table has strangers.

    Args:
        engine: Where.
        spec: Whether people are simulated, and need not be counted.
        numbers: `member` and `who`, of everybody with a span.
        read: Canonical tables with their `member`, by label.
        seen: `rows`, and those `met` (of people with a span), by label.
        members: The canonical table, a row a person, if there is one.
    """

    def people_of(table: ir.Table) -> int:
        strange = table.select("member").distinct().anti_join(numbers, "member")
        return int(engine.row(strange.aggregate(people=strange.count()))["people"])

    rows = {}
    for label, figures in seen.items():
        if "met" in figures:
            strange = int(figures["rows"] - figures["met"])
            rows[label] = strange, SMALLEST if spec.simulated or not strange else people_of(read[label])
    everybody = int(engine.row(numbers.aggregate(people=numbers.count()))["people"])
    if members is None:
        return Strangers(rows=rows, members=everybody)
    bare = numbers.anti_join(members, "member")
    unnamed = int(engine.row(bare.aggregate(people=bare.count()))["people"])
    return Strangers(rows=rows, people=people_of(members), unnamed=unnamed, members=everybody)
