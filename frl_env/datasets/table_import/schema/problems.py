"""What can be wrong with a table, how often it is, and what becomes of it.

A `Problem` says where, of what kind, in how many rows, what would be allowed, and the way out; never what stands in a
row. Kinds differ in how they can be repaired when the user asks for it (`--on-error`):

    drop    rows with the problem are left out
    clip    numbers move to the nearest one allowed, impossible actions become no contact; the rest is left out
    either  gaps and the like end an episode, and the next row starts another
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from frl_env.errors import UserError, shorten

ON_ERROR = ("fail", "drop", "clip")

MOST_UNUSED = 40
"""Names of columns that are told, at most."""


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of problem.

    Args:
        way_out: What to do.
        repair: What `--on-error drop` and `clip` do with it; None: nothing can be done.
    """

    way_out: str
    repair: Mapping[str, str] | None = field(default_factory=lambda: {"drop": "dropped", "clip": "dropped"})


_DROP = "or leave the rows out with --on-error drop"
_SPLIT = {"drop": "split", "clip": "split"}

KINDS: dict[str, Kind] = {
    "missing": Kind(way_out=f"fill them in, {_DROP}"),
    "not a number": Kind(way_out=f"write numbers, {_DROP}"),
    "commas in some numbers": Kind(
        way_out="a comma may stand for thousands or for the point; write all numbers one way", repair=None
    ),
    "not a whole number": Kind(way_out=f"correct them, {_DROP}"),
    "out of range": Kind(
        way_out="correct them, set [limits] in the map, or use --on-error clip or drop",
        repair={"drop": "dropped", "clip": "clipped"},
    ),
    "not a chance": Kind(
        way_out=f"write the chance with which the action was chosen, or nothing where it is not known, {_DROP}"
    ),
    "the other sign": Kind(
        way_out="a reward is minus the number of events (two events are -2), and an outcome is the number itself: "
        "change the column's sign; if it holds something else, set [limits] and [definitions] in the map",
        repair=None,
    ),
    "another unit": Kind(
        way_out="a reward is minus the number of events of a week, an outcome their number in 30 days: no dollars, no "
        "rate; if another unit is meant, set [limits] and [definitions] in the map",
        repair=None,
    ),
    "not an identifier": Kind(way_out=f"use text or whole numbers, {_DROP}"),
    "not a week": Kind(way_out=f"write whole numbers or dates like 2024-01-31, {_DROP}"),
    "not true or false": Kind(way_out=f"write true or false, or 1 or 0, {_DROP}"),
    "unknown level": Kind(way_out=f"name its level under [values] in the map, {_DROP}"),
    "impossible action": Kind(
        way_out="correct them; --on-error clip makes them no contact, drop leaves them out",
        repair={"drop": "dropped", "clip": "clipped"},
    ),
    "unreadable line": Kind(way_out=f"give every line the same number of fields, {_DROP}"),
    "same row twice": Kind(way_out="keep one of each; --on-error drop does"),
    "several contacts in one week": Kind(
        way_out="keep one; --on-error drop does, by the rule of --several (most-minutes, first or last in the table)",
        repair={"drop": "one kept", "clip": "one kept"},
    ),
    "two rows for one week": Kind(way_out=f"decide which is right, {_DROP}"),
    "overlapping weeks": Kind(
        way_out="give every member one row in seven days, or leave the later out with --on-error drop"
    ),
    "after the end": Kind(way_out=f"no row may follow the one that is terminated; correct them, {_DROP}"),
    "too many weeks": Kind(way_out=f"check that the column tells members apart, {_DROP}"),
    "gap": Kind(way_out="fill the weeks in; --on-error drop ends the episode there and starts another", repair=_SPLIT),
    "time runs backwards": Kind(
        way_out="check the order of the weeks; --on-error drop ends the episode there and starts another", repair=_SPLIT
    ),
    "not the next row's state": Kind(
        way_out="make both the same; --on-error drop ends the episode there and starts another", repair=_SPLIT
    ),
    "cells for names": Kind(
        way_out="a text file may lack its first line, the names of the columns; write it (no name is shown here, since "
        "it may be a cell)",
        repair=None,
    ),
    "next state of another time": Kind(
        way_out="it must be the same member's a week later (LEAD by member), and empty where there is no such row; "
        "--on-error drop takes it for not known",
        repair={"drop": "taken for not known", "clip": "taken for not known"},
    ),
    "no such column": Kind(way_out="name it with --column or under [columns] in the map", repair=None),
    "wrong type": Kind(way_out="convert the column", repair=None),
    "another type in some files": Kind(way_out="write all files with the same types", repair=None),
    "not in every file": Kind(
        way_out="write it into every file; what is optional can be left out with --ignore", repair=None
    ),
    "one name in several letters": Kind(way_out="name the one that is meant with --column", repair=None),
    "column name twice": Kind(way_out="rename or remove one of the columns", repair=None),
    "one column, two meanings": Kind(way_out="name another column for one of them", repair=None),
    "outcome among the states": Kind(way_out="a state is what is known before the decision; leave it out", repair=None),
    "copy of an outcome": Kind(
        way_out="a state is what is known before the decision; name another column or leave it out", repair=None
    ),
    "reward of the week before": Kind(
        way_out="the reward is of the week after the decision; move it up by a row", repair=None
    ),
    "too many categories": Kind(way_out="group them first, or leave the column out", repair=None),
    "no reward and no outcomes": Kind(way_out="name a weekly reward, or both 30-day outcomes", repair=None),
    "no rows": Kind(way_out="check how the table was written", repair=None),
    "too large a member": Kind(way_out="check that the column tells members apart", repair=None),
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, and in how many rows.

    Attributes:
        column: Where; with the table's own name for it if that is another.
        kind: A key of `KINDS`.
        rows: How many; None where it is the column itself.
        allowed: What would be allowed.
        everywhere: Whether every row has it.
    """

    column: str
    kind: str
    rows: int | None = None
    allowed: str = ""
    everywhere: bool = False

    @property
    def way_out(self) -> str:
        """What to do; where all rows have the problem it is no way out to leave them out."""
        said = KINDS[self.kind].way_out
        return said.removesuffix(f", {_DROP}") if self.everywhere else said

    def __str__(self) -> str:
        """One line."""
        where = f"{self.column}: {self.kind}"
        count = "" if self.rows is None else f" in {self.rows:,} row{'s' if self.rows != 1 else ''}"
        return f"{where}{count}{f' (allowed: {self.allowed})' if self.allowed else ''}; {self.way_out}"


class TableError(UserError):
    """A table can't be imported as it is.

    Attributes:
        problems: All of them.
        losses: Who would be left out with the rows; empty if nobody would.
        unused: Columns of the table that nothing was taken from, where one was looked for in vain.
    """

    def __init__(self, problems: Iterable[Problem], losses: str = "", columns: Iterable[str] = ()) -> None:
        """Says all problems, a line each, and who would be lost.

        Args:
            problems: All of them.
            losses: In words.
            columns: Of the table, that nothing was taken from.
        """
        self.problems = list(problems)
        self.losses = losses
        kinds = {problem.kind for problem in self.problems}
        self.unused = tuple(columns) if "no such column" in kinds and "cells for names" not in kinds else ()
        lines = "".join(f"\n  {problem}" for problem in self.problems)
        lines += f"\n  columns that are not used: {self.unused_in_words}" if self.unused else ""
        lines += f"\n  leaving rows out would lose {losses}" if losses else ""
        super().__init__(f"the table has {self.summary}; nothing was written{lines}")

    @property
    def unused_in_words(self) -> str:
        """The first of the columns that are not used."""
        more = len(self.unused) - MOST_UNUSED
        names = ", ".join(shorten(name) for name in self.unused[:MOST_UNUSED])
        return f"{names}, and {more:,} more" if more > 0 else names

    @property
    def summary(self) -> str:
        """How many problems."""
        return "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"


class Findings:
    """Counts of problems, gathered as a table goes by."""

    def __init__(self, rows: Mapping[tuple[str, str], int] | None = None) -> None:
        """Starts with none, or with these."""
        self.rows: Counter[tuple[str, str]] = Counter(rows or {})
        self.nearest: dict[str, list[str]] = {}

    def add(self, column: str, kind: str, rows: int) -> None:
        """Counts more rows with a problem."""
        if rows:
            self.rows[column, kind] += int(rows)
            if self.rows[column, kind] == 0:
                del self.rows[column, kind]

    def hint(self, column: str, nearest: Iterable[str]) -> None:
        """Remembers the known levels nearest to unknown ones, three at most."""
        known = self.nearest.setdefault(column, [])
        known += [level for level in dict.fromkeys(nearest) if level not in known]
        del known[3:]

    def order(self, kinds: Sequence[str], columns: Sequence[str]) -> None:
        """Puts what was found in one order, in whichever part of the rows it was met first.

        Args:
            kinds: All kinds there may be, in their order.
            columns: Those that may have the same kind, in their order.
        """
        places = {column: place for place, column in enumerate(columns)}
        found = sorted(self.rows.items(), key=lambda each: (kinds.index(each[0][1]), places.get(each[0][0], -1)))
        self.rows = Counter(dict(found))

    def to_json(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {"rows": [[*key, count] for key, count in self.rows.items()], "nearest": self.nearest}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Findings":
        """Reads what `to_json` wrote."""
        findings = cls({(column, kind): count for column, kind, count in data["rows"]})
        findings.nearest = {column: list(levels) for column, levels in data["nearest"].items()}
        return findings
