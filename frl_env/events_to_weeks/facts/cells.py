"""The weeks of members as cells of flat arrays, in the order of members and weeks, and the places of facts in them.

    spells    member 0: weeks 3 to 5      member 1: weeks 0 to 1, weeks 7 to 8
    cells     3 4 5 (6)                   0 1 (2) 7 8 (9)           in brackets: after a spell, no row

After each spell comes one cell that is no row: it holds the state after the spell's last decision. Members are taken
some at a time, so that memory does not grow with their number.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Int

from frl_env.events_to_weeks.facts.cell_parsing import FIRST_DAY, LAST_DAY
from frl_env.events_to_weeks.facts.coverage import EPOCH, Coverage, day_number
from frl_env.events_to_weeks.rules import Rules

pc: Any = pyarrow.compute

CELLS = 1 << 19
"""Cells that are assembled at a time: few enough that arrays stay in the processor's cache."""

UNKNOWN_AGE = 255
"""Stands for an age that is not known."""

NEVER = 1 << 30
"""Stands for a day that there is not."""

_WEEKS = 1 << 17
"""More than there are weeks, before week 0 and after it."""


@dataclass(frozen=True, kw_only=True)
class Spells:
    """Spells of coverage in the order of members and days, all in whole numbers.

    Attributes:
        who: Member.
        anchor, first, last: First day of its week 0; first and last covered day.
        before: Covered days before the spell.
        birth, entry, end_day: Of the member; `NEVER` where not known.
        low, high: First week that is a row, and last.
    """

    who: Int[np.ndarray, "spell"]
    anchor: Int[np.ndarray, "spell"]
    first: Int[np.ndarray, "spell"]
    last: Int[np.ndarray, "spell"]
    before: Int[np.ndarray, "spell"]
    birth: Int[np.ndarray, "spell"]
    entry: Int[np.ndarray, "spell"]
    end_day: Int[np.ndarray, "spell"]
    low: Int[np.ndarray, "spell"]
    high: Int[np.ndarray, "spell"]

    def part(self, some: slice) -> "Spells":
        """Some of them."""
        return Spells(**{name: column[some] for name, column in vars(self).items()})


def read_spells(engine: Any, coverage: Coverage, rules: Rules, cut: int) -> Spells:
    """Spells with at least one week that is a row.

    Args:
        engine: That has computed them.
        coverage: Who is covered when.
        rules: How is counted.
        cut: Last complete day.
    """
    whose = coverage.members.select("who", "birth", "entry", "end_day")
    spells = coverage.spells.join(whose, "who")
    found = columns_of(engine.batches(spells), spells.columns)
    order = np.lexsort((found["first"], found["who"]))
    found = {name: column[order] for name, column in found.items()}
    anchor, first, last = found["anchor"], found["first"], found["last"]
    start = first if rules.weeks.first_day is None else np.maximum(first, day_number(rules.weeks.first_day))
    until = last
    if rules.enrolment.gaps == "kept":
        end = np.minimum(found["end_day"], LAST_DAY)
        until = np.maximum(last, np.minimum(np.where(found["next_first"] < NEVER, found["next_first"] - 1, end), end))
    last_day = cut if rules.weeks.last_day is None else min(cut, day_number(rules.weeks.last_day))
    # Whole weeks: the first to start on or after `start`, the last to start within the spell and end by `last_day`.
    low = (start - anchor + 6) // 7
    high = np.minimum((until - anchor) // 7, (last_day - 6 - anchor) // 7)
    names = ("who", "anchor", "first", "last", "before", "birth", "entry", "end_day")
    some = low <= high
    return Spells(low=low[some], high=high[some], **{name: found[name][some] for name in names})


def columns_of(batches: Iterable[pa.RecordBatch], names: Iterable[str]) -> dict[str, np.ndarray]:
    """A result as arrays of whole numbers, `NEVER` where it is empty."""
    found = list(batches)
    if not found:
        return {name: np.empty(0, np.int64) for name in names}
    table = pa.Table.from_batches(found)
    return {name: _whole(table[name]) for name in names}


def _whole(column: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_decimal(column.type):  # DuckDB's sums of whole numbers
        column = column.cast(pa.int64())
    return (pc.fill_null(column, NEVER) if column.null_count else column).to_numpy()


class Cells:
    """Cells of the members of some spells.

    Args:
        spells: Of these members, all of theirs.
        rules: How is counted.

    Attributes:
        low, high: First and last member.
        week: Of each cell.
    """

    def __init__(self, spells: Spells, rules: Rules) -> None:
        """Numbers the cells, and finds where each member's begin."""
        self._spells, self._rules = spells, rules
        self.low, self.high = int(spells.who[0]), int(spells.who[-1])
        counts = spells.high - spells.low + 2
        # Where the next spell starts in the week after this one, the cell is that spell's row.
        counts[:-1] -= (spells.who[1:] == spells.who[:-1]) & (spells.low[1:] == spells.high[:-1] + 1)
        ends = np.cumsum(counts)
        self._counts = counts
        self.week = np.arange(ends[-1], dtype=np.int32) + self._spread(spells.low - ends + counts)
        of_member = spells.who - self.low
        members = self.high - self.low + 1
        cells = np.zeros(members, np.int64)
        np.add.at(cells, of_member, counts)
        self._base = np.concatenate(([0], np.cumsum(cells)))
        """First cell of each member, and the end."""
        opening = np.flatnonzero(np.diff(spells.who, prepend=-1))
        closing = np.append(opening[1:] - 1, len(counts) - 1)
        self._first_week = np.zeros(members, np.int64)
        self._first_week[of_member[opening]] = spells.low[opening]
        weeks = spells.low[closing] + counts[closing] - spells.low[opening]
        # Members with a gap between spells: their cells are not consecutive weeks.
        self._broken = np.zeros(members, bool)
        self._broken[of_member[opening]] = weeks != cells[of_member[opening]]

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.week)

    def _spread(self, values: np.ndarray) -> np.ndarray:
        """What holds for a spell, to each of its cells."""
        return np.repeat(values.astype(np.int32), self._counts)

    @cached_property
    def who(self) -> Int[np.ndarray, "cell"]:
        """Member of each cell."""
        return self._spread(self._spells.who)

    @cached_property
    def start(self) -> Int[np.ndarray, "cell"]:
        """First day of each."""
        return self._spread(self._spells.anchor) + 7 * self.week

    @cached_property
    def enrolled(self) -> Int[np.ndarray, "cell"]:
        """Days of enrolment before each."""
        spells = self._spells
        if self._rules.state.enrolled_days == "since_first":
            return self.start - self._spread(spells.entry)
        before = self.start + self._spread(spells.before - spells.first)
        return np.minimum(before, self._spread(spells.before + spells.last - spells.first + 1))

    @cached_property
    def age(self) -> Int[np.ndarray, "cell"]:
        """Completed years at the start of each; who is born on 29 February has its birthday on 1 March otherwise."""
        born = self._spells.birth
        digits = calendar()
        day = digits[np.where(born < NEVER, born, 0) - FIRST_DAY]
        years = (digits[self.start - FIRST_DAY] - self._spread(day)) // 10_000
        return np.where(self._spread(born) < NEVER, years, UNKNOWN_AGE)

    @cached_property
    def is_row(self) -> Bool[np.ndarray, "cell"]:
        """Whether each is a row of the table."""
        return self._covered & self._of_age

    @cached_property
    def left_out_by_age(self) -> Bool[np.ndarray, "cell"]:
        """Whether the member's age alone keeps each from being a row."""
        return self._covered & ~self._of_age

    @property
    def _covered(self) -> Bool[np.ndarray, "cell"]:
        """Whether each is a week of a spell, and not the one after its end."""
        return self.week <= self._spread(self._spells.high)

    @property
    def _of_age(self) -> Bool[np.ndarray, "cell"] | np.bool_:
        """Which cells are of an age that the rules keep."""
        rules = self._rules.enrolment
        if rules.min_age <= 0 and rules.max_age >= 120:
            return np.True_
        return (self.age >= rules.min_age) & (self.age <= rules.max_age)

    @cached_property
    def terminated(self) -> Bool[np.ndarray, "cell"]:
        """Whether the member's record ends for good in each."""
        return self._spread((self._spells.end_day - self._spells.anchor) // 7) == self.week

    def at(self, who: np.ndarray, week: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places of facts of a week.

        Returns:
            Which of the facts have a cell, as a mask; the cells of those.
        """
        place, found = self._places(who, week)
        found &= self.week[np.where(found, place, 0)] == week
        return found, place[found]

    def since(self, who: np.ndarray, week: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Places from which on a fact counts: of the member's first cell in its week or later.

        Returns:
            Which of the facts have one, as a mask; the cells of those.
        """
        place, found = self._places(who, week)
        return found, place[found]

    def running(self, amounts: np.ndarray) -> np.ndarray:
        """Sums over each member's cells up to each."""
        sums = np.cumsum(amounts)
        before = np.concatenate(([0], sums))[self._base[:-1]]
        return sums - np.repeat(before, np.diff(self._base))

    def _places(self, who: np.ndarray, week: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The member's first cell in a week or later, and whether there is one."""
        member = who - self.low
        base = self._base[member]
        place = base + np.maximum(week - self._first_week[member], 0)
        broken = np.flatnonzero(self._broken[member])
        if len(broken):
            place[broken] = np.searchsorted(self._keys, member[broken].astype(np.int64) * _WEEKS + week[broken])
        return place, place < self._base[member + 1]

    @cached_property
    def _keys(self) -> np.ndarray:
        """One number for member and week, ascending, to search in."""
        return (self.who.astype(np.int64) - self.low) * _WEEKS + self.week


def cells_of(spells: Spells, rules: Rules, at_a_time: int = CELLS) -> Iterator[Cells]:
    """The cells of all members, some members at a time.

    Args:
        spells: Of all.
        rules: How is counted.
        at_a_time: About how many cells.
    """
    if not len(spells.who):
        return
    # Cells up to each spell's end, with the one after it; a member's spells stay together.
    before = np.cumsum(spells.high - spells.low + 2)
    start = 0
    while start < len(spells.who):
        reached = before[start - 1] if start else 0
        end = max(int(np.searchsorted(before, reached + at_a_time)), start + 1)
        end = int(np.searchsorted(spells.who, spells.who[min(end, len(spells.who)) - 1], side="right"))
        yield Cells(spells.part(slice(start, end)), rules)
        start = end


@cache
def calendar() -> Int[np.ndarray, "day"]:
    """Year, month and day as the digits of one number (2024-01-31: 20240131), for each day from `FIRST_DAY` on."""
    days = (np.datetime64(EPOCH) + FIRST_DAY) + np.arange(LAST_DAY - FIRST_DAY + 370)
    months = days.astype("datetime64[M]")
    years = months.astype("datetime64[Y]")
    of_month = (days - months.astype("datetime64[D]")).astype(np.int64) + 1
    of_year = (months - years.astype("datetime64[M]")).astype(np.int64) + 1
    return ((years.astype(np.int64) + 1970) * 10_000 + of_year * 100 + of_month).astype(np.int32)
