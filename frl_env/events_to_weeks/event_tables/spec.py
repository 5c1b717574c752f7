"""A spec: which tables a conversion reads, what their columns and words mean, and by which rules it counts.

It is read from a TOML file (`Spec.read`), of which `frl weeks --init` writes one to start from:

    source = "flat"                        the reader
    [tables.claims]                        a table: its path, and our name of a column = its name there
    [crosswalk.modality]                   a column with words: word = level
    [effort.modality]                      a level = the staff minutes that a contact takes
    [rules.events]                         rules, where the default will not do
"""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError, in_file, unknown_name
from frl_env.events_to_weeks.event_tables.contract import TABLES
from frl_env.events_to_weeks.event_tables.crosswalk import Crosswalk, crosswalks
from frl_env.events_to_weeks.rules import Rules

SOURCES = ("flat", "omop", "synthea", "meds", "tuva")
DATE_FORMATS = ("iso", "us", "european", "compact")
"""2024-01-31, 1/31/2024, 31.1.2024 or 31/1/2024, and 20240131."""


@dataclass(frozen=True, kw_only=True)
class TableSpec:
    """Where a table lies, and what its columns are called there.

    Args:
        path: A Parquet, CSV or Arrow file, a folder of them, or a DuckDB file.
        table: Name of the table within a DuckDB file.
        columns: Our name to the name there.
        constants: Our name to a word that every row has.
        date_format: Of its dates that are text, one of `DATE_FORMATS`; empty: as the spec says for all.
    """

    path: Path
    table: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    date_format: str = ""

    def __post_init__(self) -> None:
        """Checks names."""
        if self.date_format not in ("", *DATE_FORMATS):
            raise unknown_name("date_format", self.date_format, DATE_FORMATS)


@dataclass(frozen=True, kw_only=True)
class Spec:
    """All that a conversion depends on.

    Args:
        source: One of `SOURCES`.
        tables: By name; which names there are depends on the source.
        crosswalk: By column of the contract.
        rules: How is counted.
        actions: Factors and vocabularies.
        date_format: Of dates that are text, one of `DATE_FORMATS`, in tables that don't name their own.
        options: What a reader knows besides, as code patterns of MEDS.
        effort: Factor to level to staff minutes (`frl_env.capacity.Effort`), for the table's metadata; None: not said.
        simulated: Whether no real person stands behind the tables, so that small counts may be shown.
        file: Where it was read, for messages; None if it was made in Python.
    """

    source: str = "flat"
    tables: Mapping[str, TableSpec]
    crosswalk: Mapping[str, Crosswalk]
    rules: Rules = field(default_factory=Rules)
    actions: ActionSpace = MEDICAID_ACTIONS
    date_format: str = "iso"
    options: Mapping[str, Any] = field(default_factory=dict)
    effort: Mapping[str, Mapping[str, float]] | None = None
    simulated: bool = False
    file: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Checks names."""
        if self.source not in SOURCES:
            raise unknown_name("source", self.source, SOURCES)
        if self.date_format not in DATE_FORMATS:
            raise unknown_name("date_format", self.date_format, DATE_FORMATS)
        if self.effort is not None:
            Effort(self.actions, self.effort)
        first = self.actions.factors[0]
        for name in ("calls", "texts", "intensity"):
            for level in getattr(self.rules.contacts, name):
                if level not in first.levels and self.actions is MEDICAID_ACTIONS:
                    raise unknown_name(f"level in rules.contacts.{name}:", level, first.levels)

    @classmethod
    def read(cls, file: Path) -> "Spec":
        """Reads a spec; paths in it are relative to the file.

        Raises:
            UserError: If the file can't be read, or says what means nothing.
        """
        with in_file(file):
            return cls._of(file, _toml(file))

    @classmethod
    def _of(cls, file: Path, said: Mapping[str, Any]) -> "Spec":
        """A spec from what a file says."""
        known = (
            "source", "tables", "crosswalk", "rules", "action_schema", "date_format", "options", "effort", "simulated",
        )  # fmt: skip
        for key in said:
            if key not in known:
                raise unknown_name(f"entry in {file}:", key, known)
        actions = MEDICAID_ACTIONS
        if "action_schema" in said:
            schema = file.parent / str(said["action_schema"])
            with in_file(schema):
                actions = ActionSpace.from_json(_text(schema))
        for key in ("tables", "crosswalk", "rules", "options", "effort"):
            if not isinstance(said.get(key, {}), dict):
                raise UserError(f"{file}: [{key}] must be a table")
        walks = said.get("crosswalk", {})
        for column, words in walks.items():
            if not (isinstance(words, dict) and all(isinstance(word, str) for word in words.values())):
                raise UserError(f"{file}: [crosswalk.{column}] must be a table of word = level, in quotes")
        if not isinstance(said.get("simulated", False), bool):
            raise UserError(f"{file}: simulated must be true or false")
        return cls(
            source=str(said.get("source", "flat")),
            tables={name: _table(file, name, table, actions) for name, table in said.get("tables", {}).items()},
            crosswalk=crosswalks(walks, actions, str(said.get("source", "flat"))),
            rules=Rules.of(said.get("rules", {})),
            actions=actions,
            date_format=str(said.get("date_format", "iso")),
            options=said.get("options", {}),
            effort=said.get("effort"),
            simulated=said.get("simulated", False),
            file=file,
        )

    def date_format_of(self, label: str) -> str:
        """How dates that are text are written in a table."""
        return (self.tables[label].date_format if label in self.tables else "") or self.date_format

    def facts(self) -> dict[str, Any]:
        """All of it but where tables lie, JSON-able."""
        return {
            "source": self.source,
            "tables": {
                name: {"columns": dict(table.columns), "constants": dict(table.constants)}
                | ({"date_format": table.date_format} if table.date_format else {})
                for name, table in self.tables.items()
            },
            "crosswalk": {
                name: dict(sorted(walk.words.items())) for name, walk in self.crosswalk.items() if walk.words
            },
            "rules": self.rules.facts(),
            "action_schema": json.loads(self.actions.to_json()),
            "date_format": self.date_format,
            "options": json.loads(json.dumps(self.options, default=str)),
            "effort": None if self.effort is None else Effort(self.actions, self.effort).to_json(),
            "simulated": self.simulated,
        }


def _table(file: Path, name: str, said: Any, actions: ActionSpace) -> TableSpec:
    if not isinstance(said, dict) or not isinstance(said.get("path"), str):
        raise UserError(f'{file}: [tables.{name}] needs a path, like path = "{name}.parquet"')
    columns = dict(said)
    path, inner = file.parent / columns.pop("path"), columns.pop("table", "")
    constants, date_format = columns.pop("constants", {}), columns.pop("date_format", "")
    if not isinstance(constants, dict) or not all(isinstance(word, str) for word in constants.values()):
        raise UserError(f"{file}: [tables.{name}.constants] must be a table of column = word, in quotes")
    if not isinstance(date_format, str):
        raise UserError(f"{file}: [tables.{name}] date_format must be one of {', '.join(DATE_FORMATS)}, in quotes")
    if date_format and name not in TABLES:
        raise UserError(f"{file}: [tables.{name}] can't have a date_format of its own; say it once, above the tables")
    if name in TABLES:
        known = [item.name for item in TABLES[name]]
        known += [factor.name for factor in actions] if name == "contacts" else []
        for column in (*columns, *constants):
            if column not in known:
                raise unknown_name(f"column of {name}:", column, known)
    for column, there in columns.items():
        if not isinstance(there, str) or not there:
            raise UserError(f"{file}: [tables.{name}] {column} must be the name of a column, in quotes")
    return TableSpec(path=path, table=str(inner), columns=columns, constants=constants, date_format=date_format)


def _toml(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise UserError(f"{file} is not TOML ({problem}); 'frl weeks --init flat' writes an example") from None


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "not UTF-8 text"
        raise UserError(f"can't read {file} ({why})") from None
