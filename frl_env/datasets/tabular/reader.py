"""A batch of a table to rows of numbers, every value checked, and nothing but counts kept of what is wrong.

What a value alone can tell is found here; what takes a member's other rows is found in `weeks`. Rows that are wrong
stay in, marked, so that a gap they leave is not taken for one of the table's own.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from frl_env.actions import Factor
from frl_env.datasets.tabular.columns import MEMBER, OUTCOMES, TERMINATED, WEEK
from frl_env.datasets.tabular.convert import plain, texts, to_days, to_flags, to_identifiers, to_numbers, week_kind
from frl_env.datasets.tabular.layout import Layout
from frl_env.datasets.tabular.leakage import Leakage
from frl_env.datasets.tabular.problems import Findings

MOST_GROUPS = 200
"""Categories of a demographic column; more look like something else."""

NO_GROUP = "UNKNOWN"
"""Category of rows that name none."""


class Reader:
    """Turns batches into checked rows.

    Args:
        layout: The columns.
        clip: Whether numbers out of range move to the nearest one allowed.
    """

    def __init__(self, layout: Layout, *, clip: bool) -> None:
        """Starts with nothing read."""
        self.layout = layout
        self.clip = clip
        self.rows = self.clipped_rows = 0
        self.week_kind: str | None = None
        self.groups: dict[str, dict[str, int]] = {name: {} for name in layout.demographics}
        self.findings = Findings()
        self.leakage = Leakage(layout)
        self._bad = self._clipped = np.zeros(0, dtype=bool)

    def read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Checks a batch; returns the rows that have a member and a week, as `Layout.kept` says."""
        layout = self.layout
        self.rows += len(batch)
        self._bad = np.zeros(len(batch), dtype=bool)
        self._clipped = np.zeros(len(batch), dtype=bool)
        columns = {name: batch.column(layout.map.in_table(name)) for name in layout.of(*layout.map.names)}
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
            self._mark(TERMINATED, {"missing": missing, "not true or false": garbled})
            arrays[TERMINATED] = flags
        self._possible(arrays)
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
        }

    def _mark(self, name: str, wrong: Mapping[str, np.ndarray]) -> None:
        for kind, rows in wrong.items():
            self.findings.add(name, kind, rows.sum())
            self._bad |= rows

    def _days(self, column: pa.Array) -> np.ndarray:
        if self.week_kind is None:
            self.week_kind = week_kind(column)
        days, missing, garbled = to_days(column, self.week_kind or "number")
        self._mark(WEEK, {"missing": missing, "not a week": garbled})
        return days

    def _numbers(self, name: str, column: pa.Array) -> np.ndarray:
        """Values of a column of numbers, NaN where there is none."""
        layout = self.layout
        values, missing, garbled = to_numbers(column)
        if name in OUTCOMES:
            self.findings.add(name, "missing", missing.sum())  # which matters only if rewards are made of outcomes
        elif name not in layout.map.next_states:  # the state after the last week is often unknown
            self._mark(name, {"missing": missing})
        if layout.map.is_whole(name):
            with np.errstate(invalid="ignore"):
                self._mark(name, {"not a whole number": ~np.isnan(values) & (values != np.floor(values))})
        chance = name in layout.map.chances
        low, high = (0.0, 1.0) if chance else layout.map.limit(name)
        outside = (values < low) | (values > high)
        if chance:
            self._mark(name, {"out of range": outside | (values == 0)})
        elif self.clip:
            self.findings.add(name, "out of range", outside.sum())
            self._clipped |= outside
            values = np.clip(values, low, high)
        else:
            self._mark(name, {"out of range": outside})
        self._mark(name, {"not a number": garbled})
        return values

    def _levels(self, name: str, column: pa.Array) -> np.ndarray:
        """Codes of a column of the decision, by name, alias, spelling of one's own, or code."""
        factor = self.layout.map.action_columns[name]
        text = texts(column).dictionary_encode()
        known = _codes(factor, self.layout.map.values.get(name, {}))
        words = text.dictionary.to_pylist()
        codes = np.array([*(known.get(word, -1) for word in words), -1], dtype=np.int64)
        missing = np.asarray(text.indices.is_null().to_numpy(zero_copy_only=False), dtype=bool)
        levels = codes[np.where(missing, -1, text.indices.fill_null(0).to_numpy(zero_copy_only=False))]
        strange = [word for word in words if word not in known]
        if strange:
            near = (get_close_matches(word, list(factor.levels), n=1, cutoff=0.4) for word in strange[:20])
            self.findings.hint(name, (level for found in near for level in found))
        self._mark(name, {"missing": missing, "unknown level": (levels < 0) & ~missing})
        return np.where(levels < 0, factor.null_level, levels)

    def _groups(self, name: str, column: pa.Array) -> np.ndarray:
        """Codes of a column of groups, in the order in which they are met."""
        text = texts(plain(column)).fill_null(NO_GROUP).dictionary_encode()
        codes = self.groups[name]
        for word in text.dictionary.to_pylist():
            if len(codes) <= MOST_GROUPS:
                codes.setdefault(word, len(codes))
        own = np.array([codes.get(word, 0) for word in text.dictionary.to_pylist()] or [0], dtype=np.int64)
        return own[text.indices.to_numpy(zero_copy_only=False)]

    def _possible(self, arrays: dict[str, Any]) -> None:
        """Marks actions that make no sense, or makes them no contact, as the environment does."""
        space = self.layout.map.actions
        names = list(self.layout.map.action_columns)
        levels = np.stack([arrays[name] for name in names], axis=-1)
        impossible = ~space.valid[np.ravel_multi_index(tuple(levels.T), space.nvec)] & ~self._bad
        if self.clip:
            self.findings.add("action", "impossible action", impossible.sum())
            self._clipped |= impossible
            for name, level in zip(names, space.null_action, strict=True):
                arrays[name] = np.where(impossible, level, arrays[name])
        else:
            self._mark("action", {"impossible action": impossible})


def _codes(factor: Factor, spellings: Mapping[str, str]) -> dict[str, int]:
    """Everything that means a level, and its code."""
    codes = {str(code): code for code in range(len(factor))}
    codes |= {level: code for code, level in enumerate(factor.levels)}
    codes |= {alias: factor.levels.index(level) for alias, level in factor.aliases.items()}
    return codes | {word: factor.levels.index(level) for word, level in spellings.items()}
