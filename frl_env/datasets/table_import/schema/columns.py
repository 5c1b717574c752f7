"""The columns that a table of members may have, and what they are called in yours.

One row is one member-week: what was known, what was done, what came of it.

    member_id, week                        who and when: text or whole numbers; whole numbers, or dates a week apart
    num_encounters_last_week, ...          the state before the decision, one column a measure
    action_modality, ...                   the decision, one column a factor, by name or by code
    reward                                 of the week after it; or instead
    future_ed_30d, future_ip_30d           events of the 30 days after it
    next_num_encounters_last_week, ...     optional: the state a week later
    terminated                             optional: whether the member died or left for good in that week
    propensity, propensity_modality, ...   optional: chance of the logged action, and of each factor given those before
    age_band, gender, race_ethnicity       optional: demographics

A `ColumnMap` says which states, actions and demographics there are, and which of your columns is which of these.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float64

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.capacity.effort import Effort
from frl_env.care_effort import care_effort
from frl_env.datasets.table_import.schema.definitions import DEFINITIONS
from frl_env.datasets.table_import.schema.map_file import LISTS, TABLES, read_map, read_text
from frl_env.errors import UserError, in_file, unknown_name
from frl_env.meaning import Meaning
from frl_env.parameters import MEASURES, preset
from frl_env.simulator.information import DEMOGRAPHIC_KEYS

MEMBER, WEEK, REWARD, TERMINATED, PROPENSITY = "member_id", "week", "reward", "terminated", "propensity"
OUTCOMES = ("future_ed_30d", "future_ip_30d")
EVENTS = ("num_ed_visits_last_week", "num_ip_visits_last_week")
"""States that count the events which rewards count, of the week before."""

UNDEFINED = "not defined; say what, unit and window under [definitions] in the map"
DAYS_ENROLLED = "enrolled_days"

LIMITS: dict[str, tuple[float, float]] = {
    "num_encounters_last_week": (0, 100),
    "num_ed_visits_last_week": (0, 21),
    "num_ip_visits_last_week": (0, 7),
    "num_calls_last_week": (0, 100),
    "num_texts_last_week": (0, 100),
    "enrolled_days": (0, 36_525),
    "total_paid": (0, 10_000_000),
    "reward": (-28, 0),
    "future_ed_30d": (0, 90),
    "future_ip_30d": (0, 30),
}
"""What is possible: three ED visits and a hospital stay a day, a hundred years of enrolment, and so on."""

WHOLE = (*MEASURES[:5], *OUTCOMES)
"""Counts."""

SCHEMA_KEY = b"frl_columns"
"""Entry of a table's own metadata: states, demographics, action schema and limits, for importing it again."""

NOTHING: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class ColumnMap:
    """What a table holds and under which names.

    Args:
        columns: Name here to name in the table, where they differ.
        states: Measures of the state, in the order of the observation.
        demographics: Optional columns of groups for audits.
        actions: Factors and vocabularies.
        values: Action column to other spellings of its levels, or column of groups to other spellings of its groups;
            a group spelled "" is missing.
        limits: Smallest and largest value, of columns for which `LIMITS` has none or others.
        ignore: Optional columns, by their names here, that are not read even if the table has them.
        said: What states, factors and levels mean, as `[meaning]` says it; see `frl_env.meaning`.
        definitions: Column to what it holds; unit; window. The contract's own columns have theirs.
        effort: Factor to level to staff minutes; see `frl_env.capacity.Effort`.

    Raises:
        UserError: If a name means nothing here, or occurs twice, or a required column is to be ignored.
    """

    columns: Mapping[str, str] = field(default_factory=dict)
    states: tuple[str, ...] = MEASURES
    demographics: tuple[str, ...] = DEMOGRAPHIC_KEYS
    actions: ActionSpace = MEDICAID_ACTIONS
    values: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    ignore: tuple[str, ...] = ()
    said: Mapping[str, Any] = field(default_factory=dict)
    definitions: Mapping[str, str] = field(default_factory=dict)
    effort: Mapping[str, Mapping[str, float]] | None = None

    def __post_init__(self) -> None:
        """Checks names and limits."""
        if not self.states:
            raise UserError("a table needs at least one state column; name them under 'states'")
        names = self.names
        for name in names:
            if names.count(name) > 1:
                raise UserError(f"column {name!r} would have two meanings; give states or demographics other names")
        for name in self.columns:
            if name not in names:
                raise unknown_name("column", name, names)
        for name, (low, high) in self.limits.items():
            if name not in (*self.states, *OUTCOMES, REWARD):
                raise unknown_name("column with limits", name, (*self.states, *OUTCOMES, REWARD))
            if not low <= high:
                raise UserError(f"limits of {name!r}: {low} is above {high}; give the smallest value first")
        for name in self.definitions:
            if name not in names:
                raise unknown_name("column to define", name, names)
        _ = self.meaning
        if self.effort is not None:
            Effort(self.actions, self.effort)
        for name in self.ignore:
            if name in self.required:
                raise UserError(f"column {name!r} is required and can't be ignored; name the table's own with --column")
            if name not in names:
                raise unknown_name("column to ignore", name, names)
        for name, spellings in self.values.items():
            if name in self.demographics:
                continue
            if name not in self.action_columns:
                raise unknown_name("action column", name, self.action_columns)
            for level in spellings.values():
                if level not in self.action_columns[name].levels:
                    raise unknown_name(f"level of {name!r}:", level, self.action_columns[name].levels)

    @classmethod
    def read(
        cls,
        file: Path | None = None,
        *,
        table: pa.Schema | None = None,
        columns: Mapping[str, str] = NOTHING,
        action_schema: Path | None = None,
        ignore: Sequence[str] = (),
    ) -> "ColumnMap":
        """Reads a map from a TOML file; what is given here besides wins.

        Args:
            file: With `states`, `demographics`, `ignore`, `action_schema` (a path, relative to the file), and tables
                `[columns]`, `[values.NAME]`, `[limits]`, `[meaning]`, `[definitions]` and `[effort.FACTOR]`; all
                optional.
            table: Schema of the table. What it says of itself (`of_table`) holds where nothing is said here. A map that
                gives states, groups or an action schema describes the table anew.
            columns: Name here to name in the table.
            action_schema: A file of `ActionSpace.to_json`.
            ignore: Optional columns that are not read.

        Raises:
            UserError: If a file can't be read or says what it can't.
        """
        said = read_map(file) if file is not None else {}
        schema = action_schema
        if schema is None and file is not None and "action_schema" in said:
            schema = file.parent / str(said["action_schema"])
        anew = table is None or schema is not None or "states" in said or "demographics" in said
        base = cls() if anew else cls.of_table(table)
        said |= {"columns": {**said.get("columns", {}), **columns}}
        said["limits"] = {name: tuple(pair) for name, pair in said.get("limits", {}).items()}
        said["ignore"] = dict.fromkeys((*said.get("ignore", ()), *ignore))
        settings: dict[str, Any] = {key: tuple(said[key]) for key in LISTS if key in said}
        for key in TABLES:
            name = "said" if key == "meaning" else key
            if said.get(key):
                settings[name] = {**(getattr(base, name) or {}), **said[key]}
        if schema is not None:
            text = read_text(schema)
            with in_file(schema):
                settings["actions"] = ActionSpace.from_json(text)
        with in_file(None if columns else file):
            return replace(base, **settings)

    @classmethod
    def of_table(cls, schema: pa.Schema) -> "ColumnMap":
        """What a table says of itself, if `export_table` or `frl weeks` wrote it; else the names here.

        Raises:
            UserError: If it can't be read.
        """
        said = (schema.metadata or {}).get(SCHEMA_KEY)
        if said is None:
            return cls()
        try:
            facts = json.loads(said)
            return cls(
                states=tuple(facts["states"]),
                demographics=tuple(facts["demographics"]),
                actions=ActionSpace.from_json(facts["action_schema"]),
                limits={name: tuple(pair) for name, pair in facts["limits"].items()},
                said={key: "" if value is None else value for key, value in facts.get("meaning", {}).items()},
                definitions=facts.get("definitions", {}),
                effort=facts.get("effort"),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise UserError(
                "what the table says of its columns can't be read; give a map with --map that names states and groups"
            ) from None

    @property
    def meaning(self) -> Meaning:
        """What learners and audits take from the columns."""
        return Meaning.of(self.said, self.states, self.actions)

    @cached_property
    def minutes(self) -> Float64[np.ndarray, "joint"]:
        """Staff minutes of each joint action; where nothing was said 1 for a contact, and 0 for none."""
        if self.effort is not None:
            return Effort(self.actions, self.effort).minutes
        if self.actions == MEDICAID_ACTIONS:
            return care_effort(preset()).minutes
        minutes = self.actions.valid.astype(np.float64)
        minutes[self.actions.ravel(self.actions.null_action)] = 0.0
        return minutes

    def definition(self, name: str) -> str:
        """What a column holds; unit; window."""
        return self.definitions.get(name, DEFINITIONS.get(name, UNDEFINED))

    @property
    def action_columns(self) -> dict[str, Factor]:
        """Columns of the decision, one a factor."""
        return {f"action_{factor.name}": factor for factor in self.actions}

    @property
    def own_words(self) -> dict[str, dict[str, str]]:
        """The table's own word for each level, by factor: the first of its spellings in `values` that is a word.

        A code ("3") is none, nor is a spelling that is the name of another level.
        """
        found: dict[str, dict[str, str]] = {}
        for column, factor in self.action_columns.items():
            for word, level in self.values.get(column, {}).items():
                if any(each.isalpha() for each in word) and word not in factor.levels:
                    found.setdefault(factor.name, {}).setdefault(level, word)
        return found

    @property
    def factor_propensities(self) -> tuple[str, ...]:
        """Columns of the chance of each factor."""
        return tuple(f"{PROPENSITY}_{factor.name}" for factor in self.actions)

    @property
    def chances(self) -> tuple[str, ...]:
        """Columns of chances, of the joint action and of each factor."""
        return (PROPENSITY, *self.factor_propensities)

    @property
    def next_states(self) -> tuple[str, ...]:
        """Columns of the state a week later."""
        return tuple(f"next_{name}" for name in self.states)

    @property
    def required(self) -> tuple[str, ...]:
        """Columns without which nothing can be done."""
        return (MEMBER, WEEK, *self.states, *self.action_columns)

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that mean something."""
        optional = (REWARD, *OUTCOMES, TERMINATED, *self.chances, *self.demographics)
        return (*self.required, *optional, *self.next_states)

    def in_table(self, name: str) -> str:
        """What a column is called in the table."""
        return self.columns.get(name, name)

    def limit(self, name: str) -> tuple[float, float]:
        """Smallest and largest value of a number."""
        measure = self._measure(name)
        everything = (float("-inf"), float("inf"))
        return self.limits.get(measure, LIMITS.get(measure, everything))

    def is_whole(self, name: str) -> bool:
        """Whether a number is a count."""
        return self._measure(name) in WHOLE

    def facts(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "columns": dict(self.columns),
            "states": list(self.states),
            "demographics": list(self.demographics),
            "action_schema": self.actions.to_json(),
            "values": {name: dict(spellings) for name, spellings in self.values.items()},
            "limits": {name: list(pair) for name, pair in self.limits.items()},
            "ignore": list(self.ignore),
            "meaning": self.meaning.to_json(),
            "definitions": dict(self.definitions),
            "effort": None if self.effort is None else Effort(self.actions, self.effort).to_json(),
        }

    def _measure(self, name: str) -> str:
        return name.removeprefix("next_") if name in self.next_states else name
