"""What is remembered of members' weeks before the one to decide.

    member   w1  w2  --  w4  w5  [w6]        w4 and w5 are remembered, w6 is decided

The policy's memory and the sums go back as far as usable weeks follow one another without a gap, as they do in an
episode. The last contact is looked for in all rows before, whatever lies between: a rule that members rest holds after
a gap, too.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from frl_env.capacity.effort import null_joint
from frl_env.datasets.table_import.checking.stages import ordered_weeks
from frl_env.datasets.table_import.checking.weeks import Sorted, Weeks
from frl_env.datasets.table_import.schema.columns import TERMINATED, ColumnMap
from frl_env.datasets.table_import.schema.layout import Layout

WINDOW = 13
"""Weeks over which counts of the record are summed for the reasons."""

DAYS = 7
"""Of a week."""


class Remembering(Protocol):
    """What is asked of a policy while the past is read."""

    def start_memory(self, members: int) -> np.ndarray:
        """Memories of members of whom nothing is known."""
        ...

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The memories after a week."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Rows:
    """All rows of some members: those that can be used, and of the others whose they are.

    Attributes:
        weeks: The rows that can be used, in order; their decision may lack.
        member, day: Of every row.
        usable: Whether it is among `weeks`.
        contact: Whether somebody was contacted, as far as the row tells.
    """

    weeks: Weeks
    member: Int64[np.ndarray, "row"]
    day: Int64[np.ndarray, "row"]
    usable: Bool[np.ndarray, "row"]
    contact: Bool[np.ndarray, "row"]

    @classmethod
    def read(cls, folder: Path, number: int, layout: Layout) -> "Rows":
        """Rows of one of the files that the read stage sorted members into."""
        found: list[dict[str, np.ndarray]] = []

        def look(rows: Sorted) -> None:
            joints = _joints(rows.columns, layout.map)
            contact = (joints >= 0) & (joints != null_joint(layout.map.actions))
            found.append({"member": rows.member, "day": rows.day, "usable": rows.keep, "contact": contact})

        weeks = ordered_weeks(folder, number, layout, look=look)
        return cls(weeks=weeks, **found[0])


@dataclass(frozen=True, kw_only=True, eq=False)
class Past:
    """Members with a row of the week, and their past; see `frl_env.worklist.Caseload` for what is of members.

    Attributes:
        ended: Of whom the row of the week says that they died or left for good in it.
        earlier, later, around: Members without a row of the week, whose rows are of earlier weeks, of later ones, or of
            both.
        aside: Members without a row of the week, of whom one begins less than seven days from it.
        unusable: Members whose row of the week can't be used.
        made: Joint actions of all rows before the week, in order.
        logged: Rows of the week before, contacts in them, and contacts of the weeks before these.
    """

    identifiers: np.ndarray
    observations: Float32[np.ndarray, "member k"]
    sums: Float64[np.ndarray, "member k"]
    memory: Float32[np.ndarray, "member m"]
    weeks_known: Int64[np.ndarray, "member"]
    since_contact: Int64[np.ndarray, "member"]
    ended: Bool[np.ndarray, "member"]
    groups: dict[str, np.ndarray] = field(default_factory=dict)
    earlier: int
    later: int
    around: int
    aside: int
    unusable: int
    made: Int64[np.ndarray, "joint"]
    logged: Int64[np.ndarray, "3"]


def past_of(rows: Rows, policy: Remembering, columns: ColumnMap, wanted: int) -> Past:
    """Reads the past of the members of one file.

    Args:
        rows: Of the file.
        policy: Whose memory is filled.
        columns: What the columns mean.
        wanted: Day that stands for the week to decide.
    """
    weeks = rows.weeks
    row = np.flatnonzero(weeks.day == wanted)
    present = weeks.member[row]
    known = row - _first_remembered(weeks, columns)[row]
    observations = weeks.stack(columns.states).astype(np.float32)
    joints = _joints(weeks.columns, columns)
    memory = np.asarray(policy.start_memory(len(row)))
    sums = observations[row].astype(np.float64)
    for lag in range(int(known.max(initial=0)), 0, -1):
        has = np.flatnonzero(known >= lag)
        at = row[has] - lag
        memory[has] = policy.remember(memory[has], observations[at], joints[at])
        if lag < WINDOW:
            sums[has] += observations[at]
    unusable = np.setdiff1d(rows.member[~rows.usable & (rows.day == wanted)], present)
    absent = np.ones(len(weeks.identifiers), dtype=bool)
    absent[present] = absent[unusable] = False

    def those_with(row: Bool[np.ndarray, "row"]) -> Bool[np.ndarray, "member"]:
        """Of the absent, who has such a row."""
        found = np.zeros(len(absent), dtype=bool)
        found[rows.member[row]] = True
        return found & absent

    aside = those_with(np.abs(rows.day - wanted) < DAYS)
    before, after = those_with(rows.day < wanted) & ~aside, those_with(rows.day > wanted) & ~aside
    last, earlier = rows.day == wanted - DAYS, rows.day < wanted - DAYS
    return Past(
        identifiers=np.asarray(weeks.identifiers.to_pylist(), dtype=object)[present],
        observations=observations[row],
        sums=sums,
        memory=memory,
        weeks_known=known.astype(np.int64),
        since_contact=_since_contact(rows, wanted)[present],
        ended=weeks.columns[TERMINATED][row] if TERMINATED in weeks.columns else np.zeros(len(row), dtype=bool),
        groups={name: weeks.columns[name][row] for name in columns.demographics if name in weeks.columns},
        earlier=int((before & ~after).sum()),
        later=int((after & ~before).sum()),
        around=int((before & after).sum()),
        aside=int(aside.sum()),
        unusable=len(unusable),
        made=np.unique(joints[(joints >= 0) & (weeks.day < wanted)]),
        logged=np.asarray([each.sum() for each in (last, last & rows.contact, earlier & rows.contact)]),
    )


def _first_remembered(weeks: Weeks, columns: ColumnMap) -> Int64[np.ndarray, "row"]:
    """First of the rows that are remembered at each row: none before a gap, or before a decision that is not known."""
    first = np.zeros(len(weeks), dtype=np.int64)
    first[weeks.starts] = weeks.starts
    unknown = np.flatnonzero(_joints(weeks.columns, columns)[:-1] < 0) + 1
    first[unknown] = unknown
    return np.maximum.accumulate(first)


def _since_contact(rows: Rows, wanted: int) -> Int64[np.ndarray, "member"]:
    """Whole weeks since each member's last contact before a day; -1 where none is on record."""
    before = rows.contact & (rows.day < wanted)
    last = np.full(len(rows.weeks.identifiers), np.iinfo(np.int64).min)
    np.maximum.at(last, rows.member[before], rows.day[before])
    met = last > np.iinfo(np.int64).min
    return np.where(met, (wanted - np.where(met, last, wanted)) // DAYS, -1)


def _joints(levels: dict[str, np.ndarray], columns: ColumnMap) -> Int64[np.ndarray, "row"]:
    """Joint index of each row's action; -1 where the row has none that can be used."""
    chosen = np.stack([levels[name] for name in columns.action_columns], axis=1).astype(np.int64)
    return np.where((chosen < 0).any(axis=1), -1, columns.actions.ravel(np.maximum(chosen, 0)))
