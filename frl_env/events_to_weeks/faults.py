"""What can be wrong with event tables; a line each, and never what stands in a cell."""

from collections.abc import Iterable
from dataclasses import dataclass

from frl_env.errors import UserError

WAYS_OUT = {
    "missing": "fill them in, or leave the rows out",
    "not a date": "write them so, or correct date_format (iso, us, european, compact) in the spec or its table",
    "out of range": "correct them; days lie in 1900 to 2199, amounts below 100 million",
    "not a number": "write numbers so; commas alone may be decimal ones",
    "not an identifier": "use text or whole numbers",
    "not true or false": "write true or false, or 1 or 0",
    "unknown word": "give it a target under [crosswalk.{column}] in the spec; --check lists such words",
    "ends before it starts": "correct the dates",
    "a contact without a level": 'give all of its words a level, or make it "ignore"',
    "death before birth": "correct the dates",
    "two rows for one member": "rows that say the same count once; keep one of those that differ",
    "a time zone but no rule": "say the plan's zone, as time_zone under [rules.contacts]",
    "adjustments in a circle": "correct the column adjusts: no claim may adjust itself, or one that adjusts it",
}
"""Kinds of faults within rows, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing that is wrong with a table.

    Attributes:
        table: Which.
        column: Where in it.
        kind: A key of `WAYS_OUT`.
        rows: In how many rows.
        allowed: What would be allowed.
    """

    table: str
    column: str
    kind: str
    rows: int
    allowed: str = ""

    def __str__(self) -> str:
        """One line."""
        rows = f"{self.rows:,} row{'s' if self.rows != 1 else ''}"
        allowed = f" (allowed: {self.allowed})" if self.allowed else ""
        way_out = WAYS_OUT[self.kind].format(column=self.column)
        return f"{self.table}.{self.column}: {self.kind} in {rows}{allowed}; {way_out}"


class EventTablesError(UserError):
    """Event tables can't be converted as they are.

    Attributes:
        faults: All of them.
        words: Words that have no target yet: column, word ("" for an empty cell), rows. Only those in at least 11 rows
            of 11 members.
    """

    def __init__(self, faults: Iterable[Fault], words: Iterable[tuple[str, str, int]] = ()) -> None:
        """Says the first fault, and how many more there are."""
        self.faults, self.words = list(faults), list(words)
        more = f" (and {len(self.faults) - 1} more; --check lists all)" if len(self.faults) > 1 else ""
        super().__init__(f"{self.faults[0]}; nothing was written{more}")
