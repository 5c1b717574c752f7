"""A batch of a table to rows of numbers, every value checked, and nothing but counts kept of what is wrong.

What a value alone can tell is found here; what takes a member's other rows is found in `weeks`. Rows that are wrong
stay in, marked, so that a gap they leave is not taken for one of the table's own.
"""

from collections import Counter
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from frl_env.actions import Factor
from frl_env.datasets.table_import.cells.conventions import Conventions, Seen
from frl_env.datasets.table_import.cells.convert import (
    BLANK_WORDS,
    NULL_WORDS,
    plain,
    to_flags,
    to_identifiers,
    to_numbers,
    words,
)
from frl_env.datasets.table_import.cells.spelling import NO_LEVEL, UNKNOWN, code_of, codes_of, normal
from frl_env.datasets.table_import.cells.week_formats import times_of_day, to_days, week_kind
from frl_env.datasets.table_import.checking.leakage import Leakage
from frl_env.datasets.table_import.checking.rewards import Signs
from frl_env.datasets.table_import.checking.tally import contacts, events_of, undecided_weeks
from frl_env.datasets.table_import.schema.columns import MEMBER, OUTCOMES, PROPENSITY, TERMINATED, WEEK
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import (
    AS_LISTED,
    LISTED,
    LISTED_ACTION,
    LISTED_PROPENSITY,
    NO_LIST,
    Listed,
)
from frl_env.datasets.table_import.schema.problems import Findings
from frl_env.errors import UserError

NEAR, NEARER = 0.4, 0.75
"""Likeness of a word and a level from which the level is named."""

MOST_GROUPS = 200
"""Categories of a demographic column; more look like something else."""

NO_GROUP = "UNKNOWN"
"""Category of rows that name none."""


class Reader:
    """Turns batches into checked rows.

    Args:
        layout: The columns.
        clip: Whether numbers out of range move to the nearest one allowed.
        conventions: How columns write what they mean.
        listed: Decisions of worklists; None without.
        undecided: Whether rows may lack a decision: one that can't be used leaves the row good, with `UNKNOWN` levels.

    Attributes:
        groups: Code of each group, by attribute, in the order in which they were met.
        findings, leakage, seen, signs: What is wrong, states that hold outcomes, conventions seen, signs of rewards.
        without_place: Rows whose member or week is not known, by kind, and the events in them.
        notes: Rows by column and what was noted of them.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        clip: bool,
        conventions: Conventions,
        listed: Listed | None = None,
        undecided: bool = False,
    ) -> None:
        """Starts with nothing read."""
        self.layout = layout
        self.clip = clip
        self.undecided = undecided
        self.conventions = conventions
        self.listed = listed
        self.rows = self.clipped_rows = 0
        self.week_kind: str | None = None
        self.groups: dict[str, dict[str, int]] = {name: {} for name in layout.demographics}
        self.findings = Findings()
        self.leakage = Leakage(layout)
        self.seen = Seen()
        self.signs = Signs(layout)
        self.without_place = {"contact": 0, "other": 0, "undecided": 0, "events": 0.0}
        self.notes: Counter[tuple[str, str]] = Counter()
        self._bad = self._clipped = self._open = np.zeros(0, dtype=bool)

    def read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Checks a batch; returns the rows that have a member and a week, as `Layout.kept` says."""
        layout = self.layout
        self.rows += len(batch)
        self._bad = np.zeros(len(batch), dtype=bool)
        self._clipped = np.zeros(len(batch), dtype=bool)
        self._open = np.zeros(len(batch), dtype=bool)
        columns = {name: self._text_of_bytes(name, batch) for name in layout.of(*layout.map.names)}
        identifiers, missing, garbled = to_identifiers(columns[MEMBER])
        self._mark(MEMBER, {"missing": missing, "not an identifier": garbled})
        days = self._days(columns[WEEK])
        placed = ~self._bad
        arrays: dict[str, Any] = {MEMBER: identifiers, "day": days}
        numbers = {name: self._numbers(name, columns[name]) for name in layout.numbers}
        arrays |= {name: self._levels(name, columns[name]) for name in layout.map.action_columns}
        arrays |= {name: self._groups(name, columns[name]) for name in layout.demographics}
        if layout.has(TERMINATED):
            flags, missing, garbled = to_flags(columns[TERMINATED])
            self.seen.look_at_flags(flags, missing)
            self._mark(TERMINATED, {"not true or false": garbled})
            if self.conventions.empty_is_no:
                self.notes[TERMINATED, "empty means no"] += int(missing.sum())
            elif not self.undecided:  # of a week to come nobody knows
                self._mark(TERMINATED, {"missing": missing})
            arrays[TERMINATED] = flags
        if not placed.all():
            contact, undecided = contacts(arrays, layout), undecided_weeks(arrays, layout)
            kinds = {"contact": contact, "other": ~contact & ~undecided, "undecided": undecided}
            for kind, rows in kinds.items():
                self.without_place[kind] += int((rows & ~placed).sum())
            self.without_place["events"] += float(events_of(arrays | numbers, layout)[~placed].sum())
        self._possible(arrays, numbers)
        if self.listed is not None:
            self._join(self.listed, arrays, numbers)
        self.leakage.look(numbers, ~self._bad)
        self.clipped_rows += int((self._clipped & ~self._bad).sum())
        arrays |= numbers | {"bad": self._bad}
        kept = layout.kept
        made = [pa.array(arrays[field.name]).cast(field.type, safe=False) for field in kept]
        return pa.RecordBatch.from_arrays(made, schema=kept).filter(pa.array(placed))

    def facts(self) -> dict[str, Any]:
        """What was learnt of the table, JSON-able."""
        return {
            "rows": self.rows,
            "clipped_rows": self.clipped_rows,
            "week_kind": self.week_kind or "number",
            "groups": {name: list(codes) for name, codes in self.groups.items()},
            "leaks": self.leakage.found(),
            "findings": self.findings.to_json(),
            "signs": self.signs.facts(),
            "without_place": self.without_place,
            "notes": [[column, note, rows] for (column, note), rows in self.notes.items() if rows],
        }

    def _text_of_bytes(self, name: str, batch: pa.RecordBatch) -> pa.Array:
        """A column as it is, but text that a program did not mark as such.

        Raises:
            UserError: If it is no text.
        """
        column = batch.column(self.layout.map.in_table(name))
        try:
            return column if pa.types.is_dictionary(column.type) else plain(column)
        except UnicodeDecodeError:
            raise UserError(
                f"{self.layout.show(name)} holds bytes that are not UTF-8 text; convert the column to text"
            ) from None

    def _mark(self, name: str, wrong: Mapping[str, np.ndarray]) -> None:
        for kind, rows in wrong.items():
            self.findings.add(name, kind, rows.sum())
            self._bad |= rows

    def _mark_decision(self, name: str, wrong: Mapping[str, np.ndarray]) -> None:
        """Marks rows whose decision is wrong; where rows may be undecided, these lack their decision instead."""
        if self.undecided:
            self._open |= np.logical_or.reduce(list(wrong.values()))
        else:
            self._mark(name, wrong)

    def _days(self, column: pa.Array) -> np.ndarray:
        if self.week_kind is None:
            self.week_kind = week_kind(column)
        kind = self.week_kind or "number"
        days, missing, garbled = to_days(column, kind)
        if kind == "date":
            self.notes[WEEK, "time of day left out"] += times_of_day(column)
        self._mark(WEEK, {"missing": missing, "not a week": garbled})
        return days

    def _numbers(self, name: str, column: pa.Array) -> np.ndarray:
        """Values of a column of numbers, NaN where there is none."""
        layout = self.layout
        style = self.conventions.numbers.get(name, "point")
        values, missing, garbled = to_numbers(column, style)
        if style == "point":
            self.seen.look_at_numbers(name, column, values, garbled)
        else:
            self.notes[name, style] += int((~missing).sum())
        if name in OUTCOMES:
            self.findings.add(name, "missing", missing.sum())  # which matters only if rewards are made of outcomes
        elif name in layout.map.chances:
            self.notes[name, "chances not known"] += int(missing.sum())
        elif name not in layout.map.next_states:  # the state after the last week is often unknown
            self._mark(name, {"missing": missing})
        if layout.map.is_whole(name):
            with np.errstate(invalid="ignore"):
                self._mark(name, {"not a whole number": ~np.isnan(values) & (values != np.floor(values))})
        chance = name in layout.map.chances
        self.signs.look(name, values)
        low, high = (0.0, 1.0) if chance else layout.map.limit(name)
        outside = (values < low) | (values > high)
        if chance:
            self._mark(name, {"not a chance": outside | (values == 0)})
        elif self.clip:
            self.findings.add(name, "out of range", outside.sum())
            self._clipped |= outside
            values = np.clip(values, low, high)
        else:
            self._mark(name, {"out of range": outside})
        self._mark(name, {"not a number": garbled})
        return values

    def _levels(self, name: str, column: pa.Array) -> np.ndarray:
        """Codes of a column of the decision, by name, alias, spelling of one's own, or code.

        `UNKNOWN` for a level that is not known, `NO_LEVEL` for an empty cell.
        """
        factor = self.layout.map.action_columns[name]
        spellings = self.layout.map.values.get(name, {})
        known = codes_of(factor, spellings)
        loose = {normal(word): code for word, code in known.items()}
        loose = {word: code for word, code in loose.items() if len({known[w] for w in known if normal(w) == word}) == 1}
        said, rows = words(column)
        empty = known.get("", NO_LEVEL)  # a level only where the map says which: "" = "NONE"
        codes = np.array([code_of(word, known, loose) for word in said], dtype=np.int64)
        codes = np.where(codes == NO_LEVEL, empty, codes)
        levels = codes[rows]
        otherwise = np.array([word is not None and word not in known for word in said]) & (codes >= 0)
        if otherwise.any():
            self.notes[name, "levels spelled otherwise"] += int(otherwise[rows].sum())
        strange = [word for word, code in zip(said, codes, strict=True) if code == UNKNOWN and word is not None]
        if strange:
            nothing = factor.levels[factor.null_level] if factor.name in self.layout.map.actions.contact_factors else ""
            self.findings.hint(
                name, (level for word in strange[:20] for level in _near(word, factor, spellings, nothing))
            )
        self._mark_decision(name, {"missing": levels == NO_LEVEL, "unknown level": levels == UNKNOWN})
        return levels

    def _groups(self, name: str, column: pa.Array) -> np.ndarray:
        """Codes of a column of groups, in the order in which they are met."""
        spellings = self.layout.map.values.get(name, {})
        said, rows = words(column)
        named = [NO_GROUP if word is None or word in NULL_WORDS else spellings.get(word, word) for word in said]
        named = [group or NO_GROUP for group in named]
        codes = self.groups[name]
        met = np.bincount(rows, minlength=len(said))
        for group, count, word in zip(named, met, said, strict=True):
            if count and len(codes) <= MOST_GROUPS:
                codes.setdefault(group, len(codes))
            if word in BLANK_WORDS and word not in spellings:
                self.notes[name, "groups that may mean missing"] += int(count)
        return np.array([codes.get(group, 0) for group in named], dtype=np.int64)[rows]

    def _join(self, listed: Listed, arrays: dict[str, Any], numbers: dict[str, np.ndarray]) -> None:
        """What lists decided, and the chance of the decision that is recorded."""
        names, space = list(self.layout.map.action_columns), self.layout.map.actions
        levels = [np.maximum(arrays[name], 0) for name in names]
        done = np.ravel_multi_index(tuple(levels), space.nvec)
        became, joints, chances = listed.join(arrays[MEMBER], arrays["day"], done, dates=self.week_kind != "number")
        no_list = became == NO_LIST
        own = numbers.get(PROPENSITY, np.full(len(done), np.nan))
        recorded = ~no_list if listed.decision == "listed" else became == AS_LISTED
        numbers[PROPENSITY] = np.where(recorded, chances, np.where(no_list, own, np.nan))
        if listed.decision == "listed":
            intended = space.unravel(np.where(no_list, done, joints))
            for number, name in enumerate(names):
                arrays[name] = np.where(no_list, arrays[name], intended[:, number])
        arrays |= {LISTED: became, LISTED_ACTION: joints, LISTED_PROPENSITY: chances}

    def _possible(self, arrays: dict[str, Any], numbers: dict[str, np.ndarray]) -> None:
        """Marks actions that make no sense, or makes them no contact, as the environment does.

        The chance of such an action is not that of no contact, which nobody knows.
        """
        space = self.layout.map.actions
        names = list(self.layout.map.action_columns)
        levels = [np.maximum(arrays[name], 0) for name in names]
        impossible = ~space.valid[np.ravel_multi_index(tuple(levels), space.nvec)] & ~self._bad
        if self.clip:
            self.findings.add("action", "impossible action", impossible.sum())
            self._clipped |= impossible
            for name, level in zip(names, space.null_action, strict=True):
                arrays[name] = np.where(impossible, level, arrays[name])
            for name in self.layout.of(*self.layout.map.chances):
                numbers[name] = np.where(impossible, np.nan, numbers[name])
                self.notes[name, "chances of impossible actions"] += int(impossible.sum())
        else:
            self._mark_decision("action", {"impossible action": impossible})
        if self.undecided:
            for name in names:
                arrays[name] = np.where(self._open, UNKNOWN, arrays[name])


def _near(word: str, factor: Factor, spellings: Mapping[str, str], nothing: str) -> list[str]:
    """The level that a word is near, if any; to do nothing must be nearer, because NURSE is not a slip for NONE."""
    names = {normal(own): level for own, level in spellings.items()} | {normal(level): level for level in factor.levels}
    found = get_close_matches(normal(word), list(names), n=2, cutoff=NEAR)
    slip = bool(get_close_matches(normal(word), [normal(nothing)], cutoff=NEARER))
    return [names[each] for each in found if names[each] != nothing or slip][:1]
