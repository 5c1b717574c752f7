"""Members' weeks in order: duplicates, overlaps and gaps found, and runs of consecutive weeks cut out.

    rows of a member    w3  w1  w2  w2  w6  w7      as the table has them
    sorted              w1  w2  w2  w3  w6  w7
    duplicates          w1  w2      w3  w6  w7
    runs                w1  w2      w3 | w6  w7     one episode each

Days stand for weeks, so that numbered weeks and dates are treated alike: consecutive rows are seven days apart.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from frl_env.datasets.table_import.checking.partition import sorted_identifiers
from frl_env.datasets.table_import.schema.columns import DAYS_ENROLLED, MEMBER, TERMINATED, WEEK
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import LISTED, LISTED_ACTION, LISTED_PROPENSITY
from frl_env.datasets.table_import.schema.problems import Findings

MOST_WEEKS = 5_200
"""Weeks of one member, a hundred years; more are several members under one identifier."""

MOST_DAYS = 14
"""By which days in the program may grow until a week later; twice of what they do."""

KINDS = (
    "too large a member",
    "several contacts in one week",
    "same row twice",
    "two rows for one week",
    "too many weeks",
    "after the end",
    "overlapping weeks",
    "gap",
    "time runs backwards",
    "not the next row's state",
    "next state of another time",
)
"""Problems that a member's rows together have, in the order in which they are told."""


@dataclass(frozen=True, kw_only=True)
class Weeks:
    """Rows of some members, sorted by member and day, good ones only.

    Attributes:
        identifiers: Of the members.
        member: Which of them each row belongs to.
        day: First day of each row's week.
        columns: Everything else, by name.
        starts: First row of each run of consecutive weeks of one member.
    """

    identifiers: pa.Array
    member: np.ndarray
    day: np.ndarray
    columns: dict[str, np.ndarray]
    starts: np.ndarray

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.member)

    @property
    def ends(self) -> np.ndarray:
        """Last row of each run."""
        return np.append(self.starts[1:], len(self))[: len(self.starts)] - 1

    def stack(self, names: tuple[str, ...]) -> np.ndarray:
        """Several columns side by side, `(rows, columns)`."""
        return np.stack([self.columns[name] for name in names], axis=-1)

    def of_members(self, chosen: np.ndarray) -> "Weeks":
        """The rows of some of the members.

        Args:
            chosen: Whether each member is one of them.
        """
        keep = chosen[self.member]
        heads = np.zeros(len(self), dtype=bool)
        heads[self.starts] = True
        return _kept(self.identifiers, self.member, self.day, self.columns, keep, heads)


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """All rows of some members, sorted by member and day.

    Attributes:
        member: Which member each row belongs to.
        day: First day of each row's week.
        columns: By name.
        keep: Whether nothing is wrong with a row.
        heads: Whether a row that is kept starts a run.
    """

    member: np.ndarray
    day: np.ndarray
    columns: dict[str, np.ndarray]
    keep: np.ndarray
    heads: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SortedRows:
    """Rows of some members as they were read, sorted by member and day.

    Attributes:
        identifiers: Of the members.
        member: Which of them each row belongs to.
        day: First day of each row's week.
        columns: Everything else, by name.
    """

    identifiers: pa.Array
    member: np.ndarray
    day: np.ndarray
    columns: dict[str, np.ndarray]


def sort_rows(table: pa.Table) -> SortedRows:
    """Sorts rows by member and week.

    Args:
        table: Rows as `Layout.kept` says.
    """
    identifiers, member = sorted_identifiers(table.column(MEMBER))
    day = table.column("day").to_numpy()
    order = _order_of(day)
    order = order.take(_order_of(member.take(order)))
    others = [name for name in table.column_names if name not in (MEMBER, "day")]
    return SortedRows(
        identifiers=identifiers,
        member=member.take(order),
        day=day.take(order),
        columns={name: table.column(name).to_numpy().take(order) for name in others},
    )


def _order_of(numbers: np.ndarray) -> np.ndarray:
    """What sorts whole numbers; equal ones stay in their order. NumPy sorts short ones many times as fast."""
    least = numbers.min(initial=0)
    if numbers.max(initial=0) - least < 1 << 16:
        numbers = (numbers - least).astype(np.uint16)
    return np.argsort(numbers, kind="stable")


def order_weeks(
    rows: SortedRows, layout: Layout, findings: Findings, look: Callable[[Sorted], None] | None = None
) -> Weeks:
    """Cuts rows into runs of weeks.

    Args:
        rows: Sorted.
        layout: The columns.
        findings: Takes what is wrong.
        look: Called with all of the rows.

    Returns:
        The rows that nothing is wrong with.
    """
    identifiers, member, day = rows.identifiers, rows.member, rows.day
    columns = dict(rows.columns)
    bad = columns.pop("bad")
    keep = _one_row_a_week(member, day, columns, bad, layout, findings)
    keep &= _few_enough(member, findings)
    keep &= _before_the_end(member, columns, keep, findings)
    left = np.flatnonzero(keep)
    apart = _seven_days_apart(member[left], day[left])
    findings.add(WEEK, "overlapping weeks", (~apart).sum())
    keep[left[~apart]] = False
    left = left[apart]
    same = member[left[1:]] == member[left[:-1]]
    findings.add(WEEK, "gap", (same & (np.diff(day[left]) > 7)).sum())
    keep &= ~bad
    heads = _heads(member, day, columns, keep, layout, findings)
    _forget_others(member, day, columns, keep, layout, findings)
    if look is not None:
        look(Sorted(member=member, day=day, columns=columns, keep=keep, heads=heads))
    return _kept(identifiers, member, day, columns, keep, heads)


def _one_row_a_week(
    member: np.ndarray,
    day: np.ndarray,
    columns: dict[str, np.ndarray],
    bad: np.ndarray,
    layout: Layout,
    findings: Findings,
) -> np.ndarray:
    """Which rows to keep so that no member has two for one week.

    Of equal ones the first; of those that differ in the action alone one by rule; of others none.
    """
    again = np.zeros(len(member), dtype=bool)
    again[1:] = (member[1:] == member[:-1]) & (day[1:] == day[:-1])
    if not again.any():
        return ~again
    decision = (*layout.map.action_columns, *layout.map.chances, LISTED, LISTED_ACTION, LISTED_PROPENSITY)
    equal, alike = again.copy(), again.copy()
    for name, values in columns.items():
        same = values[1:] == values[:-1]
        if values.dtype.kind == "f":
            same |= np.isnan(values[1:]) & np.isnan(values[:-1])
        equal[1:] &= same
        if name not in decision:
            alike[1:] &= same
    week = np.cumsum(~again) - 1
    weeks = week[-1] + 1
    disputed = np.bincount(week[again & ~alike], minlength=weeks) > 0
    several = (np.bincount(week[again & ~equal], minlength=weeks) > 0) & ~disputed
    twice = again & ~disputed[week] & ~several[week]
    keep = ~(twice | disputed[week] | several[week])
    rows = np.flatnonzero(several[week])
    if len(rows):
        chosen = _one_contact(rows, week[rows], columns, bad, layout)
        keep[chosen] = True
        findings.add(WEEK, "several contacts in one week", len(rows) - len(chosen))
    findings.add(WEEK, "same row twice", twice.sum())
    findings.add(WEEK, "two rows for one week", disputed[week].sum())
    return keep


def _one_contact(
    rows: np.ndarray, week: np.ndarray, columns: dict[str, np.ndarray], bad: np.ndarray, layout: Layout
) -> np.ndarray:
    """One row of each week, by the rule; one that can't be used only where all can't.

    Args:
        rows: Those with several contacts in a week.
        week: Of each, ascending.
        columns: Of all rows.
        bad: Which of all rows have a problem.
        layout: The columns and the rule.
    """
    place = -np.arange(len(rows)) if layout.several == "last" else np.arange(len(rows))
    ranks = np.zeros(len(rows))
    unusable = bad[rows] | np.any([columns[name][rows] < 0 for name in layout.map.action_columns], axis=0)
    if layout.several == "most-minutes":
        levels = [np.maximum(columns[name][rows], 0) for name in layout.map.action_columns]
        ranks = -layout.map.minutes[np.ravel_multi_index(tuple(levels), layout.map.actions.nvec)]
    order = np.lexsort((place, ranks, unusable, week))
    return rows[order[np.diff(week[order], prepend=-1) != 0]]


def _few_enough(member: np.ndarray, findings: Findings) -> np.ndarray:
    """Which rows belong to members with a possible number of weeks."""
    few = (np.bincount(member) <= MOST_WEEKS)[member] if len(member) else np.ones(0, dtype=bool)
    findings.add(MEMBER, "too many weeks", (~few).sum())
    return few


def _before_the_end(
    member: np.ndarray, columns: dict[str, np.ndarray], keep: np.ndarray, findings: Findings
) -> np.ndarray:
    """Which rows come no later than their member's end."""
    if TERMINATED not in columns:
        return np.ones(len(member), dtype=bool)
    ends = columns[TERMINATED] & keep  # of several rows for the last week none comes after another
    ended = np.cumsum(ends) - ends
    first = np.flatnonzero(np.diff(member, prepend=-1))
    before = ended - np.repeat(ended[first], np.diff(first, append=len(member)))
    findings.add(TERMINATED, "after the end", ((before > 0) & keep).sum())
    return before == 0


def _seven_days_apart(member: np.ndarray, day: np.ndarray) -> np.ndarray:
    """Which rows to keep so that a member's are seven days apart: the first, then each so far from the last one kept.

    Args:
        member: Whose each row is, ascending.
        day: Of each row; a member's are ascending, each once.
    """
    first = np.diff(member, prepend=-1) != 0
    close = ~first & (np.diff(day, prepend=0) < 7)
    if not close.any():
        return ~close
    since = day - day.min()
    place = member * (since.max() + 8) + since  # seven days later is never another member's
    later = np.searchsorted(place, place + 7)
    apart = np.zeros(len(member), dtype=bool)
    row = np.flatnonzero(first)
    while len(row):
        apart[row] = True
        following = later[row]
        inside = following < len(member)
        row = following[inside][member[following[inside]] == member[row[inside]]]
    return apart


def _heads(
    member: np.ndarray,
    day: np.ndarray,
    columns: dict[str, np.ndarray],
    keep: np.ndarray,
    layout: Layout,
    findings: Findings,
) -> np.ndarray:
    """Which of the rows kept start a run."""
    heads = np.zeros(len(member), dtype=bool)
    rows = np.flatnonzero(keep)
    if not len(rows):
        return heads
    before, now = rows[:-1], rows[1:]
    follows = (member[now] == member[before]) & (day[now] - day[before] == 7)
    if DAYS_ENROLLED in layout.map.states:
        backwards = follows & (columns[DAYS_ENROLLED][now] < columns[DAYS_ENROLLED][before])
        findings.add(DAYS_ENROLLED, "time runs backwards", backwards.sum())
        follows &= ~backwards
    if layout.has(*layout.map.next_states):
        differs = np.zeros(len(now), dtype=bool)
        for state, after in zip(layout.map.states, layout.map.next_states, strict=True):
            said = columns[after][before]
            wrong = follows & ~np.isnan(said) & ~np.isclose(said, columns[state][now], rtol=1e-5, atol=1e-6)
            findings.add(after, "not the next row's state", wrong.sum())
            differs |= wrong
        follows &= ~differs
    heads[rows[0]] = True
    heads[now] = ~follows
    return heads


def _forget_others(
    member: np.ndarray,
    day: np.ndarray,
    columns: dict[str, np.ndarray],
    keep: np.ndarray,
    layout: Layout,
    findings: Findings,
) -> None:
    """Takes for not known what can't be the state a week later, where no row of the member follows to tell.

    Such are the next member's first state, or zeros: what a database writes behind a member's last row unless told
    otherwise. Days in the program give them away, because they neither fall nor leap.
    """
    after = f"next_{DAYS_ENROLLED}"
    if DAYS_ENROLLED not in layout.map.states or not layout.has(*layout.map.next_states):
        return
    rows = np.flatnonzero(keep)
    alone = np.ones(len(rows), dtype=bool)
    alone[:-1] = (member[rows[1:]] != member[rows[:-1]]) | (np.diff(day[rows]) != 7)
    days = columns[after][rows] - columns[DAYS_ENROLLED][rows]
    wrong = alone & ((days < 0) | (days > MOST_DAYS))
    if layout.has(TERMINATED):
        wrong &= ~columns[TERMINATED][rows]
    findings.add(after, "next state of another time", wrong.sum())
    if wrong.any():
        for name in layout.map.next_states:
            columns[name] = columns[name].copy()
            columns[name][rows[wrong]] = np.nan


def _kept(
    identifiers: pa.Array,
    member: np.ndarray,
    day: np.ndarray,
    columns: dict[str, np.ndarray],
    keep: np.ndarray,
    heads: np.ndarray,
) -> Weeks:
    """The rows to keep, with the starts of their spells."""
    if keep.all():
        return Weeks(identifiers=identifiers, member=member, day=day, columns=columns, starts=np.flatnonzero(heads))
    return Weeks(
        identifiers=identifiers,
        member=member[keep],
        day=day[keep],
        columns={name: values[keep] for name, values in columns.items()},
        starts=np.flatnonzero(heads[keep]),
    )
