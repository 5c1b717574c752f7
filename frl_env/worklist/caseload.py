"""The caseload of one week: who is in it, what the record shows of them, and what is remembered of their past.

The table is the one that `frl import` reads, and it is read and checked by the same code. A member is on the caseload
when the table has a row of theirs for the week; its state columns are what the record shows at the start of the week.
What comes after is not looked at, and may be empty: the action, because it is what is being decided, and the outcome.
But whoever died or left for good in the week, as far as the table says so already, is not on the caseload.
The weeks before make up the policy's memory (`frl_env.worklist.past`).
"""

import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int64

from frl_env.datasets.table_import.cells.week_formats import to_days
from frl_env.datasets.table_import.checking.stages import read_stage
from frl_env.datasets.table_import.schema.columns import OUTCOMES, REWARD, TERMINATED, ColumnMap
from frl_env.datasets.table_import.schema.layout import lay_out
from frl_env.datasets.table_import.schema.problems import TableError
from frl_env.datasets.table_import.table_files.source import open_table
from frl_env.errors import UserError, nearest_names, shorten
from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.worklist.past import DAYS, Past, Remembering, Rows, past_of

NO_REWARD = "no reward and no outcomes"
"""The problem of a table that a worklist can do without."""

OF_MEMBERS = ("identifiers", "observations", "sums", "memory", "weeks_known", "since_contact")
"""What is one row a member."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Who was left out, and by which rule.

    Attributes:
        why: In words.
        members: How many.
    """

    why: str
    members: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Caseload:
    """Members of one week.

    Attributes:
        week: As the table writes it: a date, or a number.
        identifiers: Of the members, in order.
        states: Names of the state columns.
        observations: At the start of the week, raw units.
        sums: Of each state over the last `WINDOW` weeks that are remembered, this one included.
        memory: Of the policy, before the week.
        weeks_known: Weeks of each member's past that are remembered.
        since_contact: Weeks since the last contact; -1 where none is on record.
        groups: Attribute to label of each member.
        left_out: Who is not on it, and why.
        made: Joint actions that the table has before the week, in order.
        silent: Whether the table has rows of the week before and contacts of earlier weeks, and none of that week: its
            log may be late.
    """

    week: str
    identifiers: np.ndarray
    states: tuple[str, ...]
    observations: Float32[np.ndarray, "member k"]
    sums: Float64[np.ndarray, "member k"]
    memory: Float32[np.ndarray, "member m"]
    weeks_known: Int64[np.ndarray, "member"]
    since_contact: Int64[np.ndarray, "member"]
    groups: dict[str, np.ndarray]
    left_out: tuple[Rule, ...]
    made: Int64[np.ndarray, "joint"]
    silent: bool = False

    def __len__(self) -> int:
        """Number of members."""
        return len(self.identifiers)

    def keep(self, chosen: np.ndarray, rule: str) -> "Caseload":
        """The caseload of the chosen members; the others are counted as left out by `rule`."""
        out = int((~chosen).sum())
        return Caseload(
            week=self.week,
            identifiers=self.identifiers[chosen],
            states=self.states,
            observations=self.observations[chosen],
            sums=self.sums[chosen],
            memory=self.memory[chosen],
            weeks_known=self.weeks_known[chosen],
            since_contact=self.since_contact[chosen],
            groups={name: labels[chosen] for name, labels in self.groups.items()},
            left_out=(*self.left_out, *((Rule(why=rule, members=out),) if out else ())),
            made=self.made,
            silent=self.silent,
        )


def read_caseload(
    path: str | Path,
    policy: Remembering,
    *,
    columns: ColumnMap | None = None,
    week: str | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Caseload:
    """Reads the caseload of a week from a table of member-weeks.

    Args:
        path: A Parquet, CSV or Arrow file, or a folder of them.
        policy: Whose memory is filled.
        columns: What the table's columns mean; when None as `export_table` wrote it into the table, or by their names.
        week: A date or number as in the table; the last week of the table when None.
        progress: Called as the table is read.

    Raises:
        TableError: If the table has problems.
        UserError: If the week is not one of the table, or nobody is in it.
    """
    tell = progress or (lambda what, done, total: None)
    table = open_table(Path(path))
    columns = columns or ColumnMap.of_table(table.schema)
    after = (REWARD, *OUTCOMES, *columns.chances)  # a week to decide has none of them yet
    layout, problems = lay_out(replace(columns, ignore=(*columns.ignore, *after)), table.schema)
    problems = [problem for problem in problems if problem.kind != NO_REWARD]
    if problems:
        raise TableError(problems)
    with tempfile.TemporaryDirectory(prefix="frl-worklist-") as aside:
        folder = Path(aside) / "rows"
        read = read_stage(table, layout, folder, clip=False, progress=tell, undecided=True)
        parts = [Rows.read(folder, number, layout) for number, rows in enumerate(read["files"]) if rows]
    check = f"run 'frl import {path} --id my/try-v0 --check' to see why"
    if not any(len(part.weeks) for part in parts):
        raise UserError(f"no row of {path} can be used; {check}")
    kind = read["week_kind"]
    last = max(int(part.weeks.day.max()) for part in parts if len(part.weeks))
    wanted = last if week is None else _day(week, kind)
    if week is None and any((part.day >= last + DAYS).any() for part in parts):
        raise UserError(
            f"no row after week {_shown(last, kind)} can be used, though there are some; {check}, or give --week"
        )
    found = []
    for number, part in enumerate(parts):
        found.append(past_of(part, policy, layout.map, wanted))
        tell("remembering", number + 1, len(parts))
    if not sum(len(each.identifiers) for each in found):
        if any(each.unusable for each in found):
            raise UserError(f"no row of week {_shown(wanted, kind)} can be used; {check}")
        raise UserError(f"the table has no row for week {week}; its last week is {_shown(last, kind)}")
    groups = {
        name: np.asarray(read["groups"][name], dtype=object)[np.concatenate([each.groups[name] for each in found])]
        for name in layout.demographics
        if read["groups"].get(name)
    }
    rows, contacts, earlier = np.sum([each.logged for each in found], axis=0)
    ended = np.concatenate([each.ended for each in found])
    if ended.all():
        raise UserError(
            f"the table says of every member of week {_shown(wanted, kind)} that they died or left for good in it "
            f'({layout.show(TERMINATED)}); where a table only ends, nobody did: ignore = ["{TERMINATED}"] in a map '
            "leaves the column out"
        )
    caseload = Caseload(
        week=_shown(wanted, kind),
        states=tuple(columns.states),
        groups=groups,
        left_out=_left_out(found),
        made=np.unique(np.concatenate([each.made for each in found])),
        silent=bool(rows and earlier and not contacts),
        **{name: np.concatenate([getattr(each, name) for each in found]) for name in OF_MEMBERS},
    )
    return caseload.keep(~ended, "the table says that they died or left for good in this week")


def only_group(caseload: Caseload, name: str, group: str) -> Caseload:
    """The members of one group, such as a team with a list and hours of its own.

    Args:
        caseload: Of the week.
        name: A column of groups.
        group: As the table, or the map's spelling of it, has it.

    Raises:
        UserError: If the table has no such column, or no member of the week is in the group.
    """
    if name not in caseload.groups:
        raise UserError(f"the table has no column for {name}, so that nobody is known to be in {shorten(group)!r}")
    labels = caseload.groups[name].astype(str)
    chosen = labels == group
    if not chosen.any():
        names, members = np.unique(labels, return_counts=True)
        near = nearest_names(group, names[members >= SMALLEST].tolist())
        hint = f"did you mean {near}?" if near else "write it as in the table"
        raise UserError(f"no member of week {caseload.week} has {name} {shorten(group)!r}; {hint}")
    return caseload.keep(chosen, f"their {name} is not {group}")


def _left_out(found: list[Past]) -> tuple[Rule, ...]:
    """Who has no usable row of the week."""
    rules = (
        Rule(
            why="a cell of their row of the week is missing or can't be used, or two rows of it differ; "
            "'frl import --check' says which",
            members=sum(each.unusable for each in found),
        ),
        Rule(
            why="their last row is of an earlier week: they left, or the week is missing",
            members=sum(each.earlier for each in found),
        ),
        Rule(why="their first row is of a later week", members=sum(each.later for each in found)),
        Rule(
            why="they have rows of earlier and of later weeks, and none of this one",
            members=sum(each.around for each in found),
        ),
        Rule(
            why="their row begins on another day, and a list takes rows that begin on one day (docs/event_tables.md, "
            "A list for next week)",
            members=sum(each.aside for each in found),
        ),
    )
    return tuple(rule for rule in rules if rule.members)


def _day(week: str, kind: str) -> int:
    """Day that stands for a week, as the table's reader counts them.

    Raises:
        UserError: If it is not written as the table writes weeks.
    """
    given = pa.array([week.strip()])
    for each in ("number",) if kind == "number" else dict.fromkeys((kind, "date")):
        days, missing, garbled = to_days(given, each)
        if not (missing | garbled)[0]:
            return int(days[0])
    if kind == "number":
        raise UserError(f"the table counts weeks by number; --week {week!r} is none")
    raise UserError(f"--week {week!r} is no date; write it like 2026-12-07, the first day of the week")


def _shown(day: int, kind: str) -> str:
    if kind == "number":
        return str(day // DAYS)
    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=day)).isoformat()
