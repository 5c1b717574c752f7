"""The caseload of one week: who is in it, what the record shows of them, and what is remembered of their past.

The table is the one that `frl import` reads, and it is read and checked by the same code. A member is on the caseload
when the table has a row of theirs for the week; its state columns are what the record shows at the start of the week,
and what it says of an action is not looked at, because the action is what is being decided. The weeks before, as far
as they follow one another without a gap, make up the policy's memory:

    member   w1  w2  --  w4  w5  [w6]        w4 and w5 are remembered, w6 is decided
"""

import datetime
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
from jaxtyping import Float32, Float64, Int64

from frl_env.datasets.tabular.cells.week_formats import to_days
from frl_env.datasets.tabular.checking.stages import ordered_weeks, read_stage
from frl_env.datasets.tabular.checking.weeks import Weeks
from frl_env.datasets.tabular.schema.columns import ColumnMap
from frl_env.datasets.tabular.schema.layout import lay_out
from frl_env.datasets.tabular.schema.problems import TableError
from frl_env.datasets.tabular.sources.source import open_table
from frl_env.errors import UserError

WINDOW = 13
"""Weeks over which counts of the record are summed for the reasons."""

DAYS = 7

NO_REWARD = "no reward and no outcomes"
"""The problem of a table that a worklist can do without."""


class Remembering(Protocol):
    """What is asked of a policy while the past is read."""

    def start_memory(self, members: int) -> np.ndarray:
        """Memories of members of whom nothing is known."""
        ...

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The memories after a week."""
        ...


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
        since_contact: Weeks since the last contact; -1 where none is remembered.
        groups: Attribute to label of each member.
        left_out: Who is not on it, and why.
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

    def __len__(self) -> int:
        """Number of members."""
        return len(self.identifiers)

    def keep(self, chosen: np.ndarray, rule: str) -> "Caseload":
        """Those of the members, with one more rule for the others."""
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
    layout, problems = lay_out(columns, table.schema)
    problems = [problem for problem in problems if problem.kind != NO_REWARD]  # a week to decide has no outcome yet
    if problems:
        raise TableError(problems)
    with tempfile.TemporaryDirectory(prefix="frl-worklist-") as aside:
        folder = Path(aside)
        read = read_stage(table, layout, folder / "rows", clip=False, progress=tell)
        parts = [ordered_weeks(folder / "rows", number, layout) for number, rows in enumerate(read["files"]) if rows]
    parts = [part for part in parts if len(part)]
    if not parts:
        raise UserError(f"no row of {path} can be used; run 'frl import {path} --id my/try-v0 --check' to see why")
    last = max(int(part.day.max()) for part in parts)
    wanted = last if week is None else _day(week, read["week_kind"])
    vocabularies = read["groups"]
    states = columns.states
    found = []
    before = after = 0
    for number, part in enumerate(parts):
        made, early, late = _of_part(part, policy, layout.map, wanted)
        before, after = before + early, after + late
        found.append(made)
        tell("remembering", number + 1, len(parts))
    if not sum(len(part["identifiers"]) for part in found):
        raise UserError(
            f"the table has no row for week {week if week is not None else _shown(last, read['week_kind'])}; "
            f"its last week is {_shown(last, read['week_kind'])}"
        )
    joined = {name: np.concatenate([part[name] for part in found]) for name in found[0] if name != "groups"}
    groups = {
        name: np.asarray(vocabularies[name], dtype=object)[np.concatenate([part["groups"][name] for part in found])]
        for name in layout.demographics
        if vocabularies.get(name)
    }
    rules = (
        Rule(why="their last row is of an earlier week: they left, or the week is missing", members=before),
        Rule(why="their first row is of a later week", members=after),
    )
    return Caseload(
        week=_shown(wanted, read["week_kind"]),
        states=tuple(states),
        groups=groups,
        left_out=tuple(rule for rule in rules if rule.members),
        **joined,
    )


def _of_part(part: Weeks, policy: Remembering, columns: ColumnMap, wanted: int) -> tuple[dict[str, Any], int, int]:
    """What is kept of the members of one file, and how many have no row for the week: earlier ones, later ones."""
    space = columns.actions
    row = np.flatnonzero(part.day == wanted)
    present = part.member[row]
    others = np.setdiff1d(np.unique(part.member), present)
    first_day = np.full(int(part.member.max()) + 1, np.iinfo(np.int64).max)
    np.minimum.at(first_day, part.member, part.day)
    late = int((first_day[others] > wanted).sum())
    run = np.searchsorted(part.starts, row, side="right") - 1
    known = row - part.starts[run]
    observations = part.stack(columns.states).astype(np.float32)
    levels = np.stack([part.columns[name] for name in columns.action_columns], axis=1).astype(np.int64)
    joints = space.ravel(np.maximum(levels, 0))
    nothing = int(space.ravel(space.null_action))
    memory = np.asarray(policy.start_memory(len(row)))
    sums = observations[row].astype(np.float64)
    since = np.full(len(row), -1)
    for lag in range(int(known.max(initial=0)), 0, -1):
        has = np.flatnonzero(known >= lag)
        at = row[has] - lag
        memory[has] = policy.remember(memory[has], observations[at], joints[at])
        since[has[joints[at] != nothing]] = lag
        if lag < WINDOW:
            sums[has] += observations[at]
    return (
        {
            "identifiers": np.asarray(part.identifiers.to_pylist(), dtype=object)[present],
            "observations": observations[row],
            "sums": sums,
            "memory": memory,
            "weeks_known": known.astype(np.int64),
            "since_contact": since.astype(np.int64),
            "groups": {name: part.columns[name][row] for name in columns.demographics if name in part.columns},
        },
        len(others) - late,
        late,
    )


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
