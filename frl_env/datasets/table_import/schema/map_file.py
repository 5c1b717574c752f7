"""A map in TOML, each entry of the type it must have."""

import math
import tomllib
from pathlib import Path
from typing import Any

from frl_env.errors import UserError, unknown_name

LISTS = ("states", "demographics", "ignore")
TABLES = ("columns", "values", "limits", "meaning", "definitions", "effort")


def read_map(file: Path) -> dict[str, Any]:
    """A map file.

    Args:
        file: See `ColumnMap.read`.

    Raises:
        UserError: If it can't be read, or an entry is not known or of another type.
    """
    try:
        said = tomllib.loads(read_text(file))
    except (tomllib.TOMLDecodeError, RecursionError) as problem:
        raise UserError(f"{file} is not TOML ({problem}); see docs/own_data.md for an example") from None
    for key, value in said.items():
        if key not in (*LISTS, *TABLES, "action_schema"):
            raise unknown_name(f"entry in {file}:", key, (*LISTS, *TABLES, "action_schema"))
        if key in LISTS and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise UserError(f"{file}: {key!r} must be a list of names")
        if key in TABLES and not isinstance(value, dict):
            raise UserError(f"{file}: [{key}] must be a table of name = value")
    if not isinstance(said.get("action_schema", ""), str):
        raise UserError(f"{file}: 'action_schema' must be the name of a file, in quotes")
    for table, what in (("columns", "the name of a column"), ("definitions", "a sentence")):
        for name, column in said.get(table, {}).items():
            if not isinstance(column, str):
                raise UserError(f"{file}: [{table}] {name} must be {what}, in quotes")
    for name, pair in said.get("limits", {}).items():
        numbers = isinstance(pair, list) and len(pair) == 2 and all(_is_number(each) for each in pair)
        if not numbers:
            raise UserError(f"{file}: [limits] {name} must be two numbers, [smallest, largest]")
    for name, spellings in said.get("values", {}).items():
        if not (isinstance(spellings, dict) and all(isinstance(level, str) for level in spellings.values())):
            raise UserError(f"{file}: [values.{name}] must be a table of spelling = level")
    return said


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def read_text(file: Path) -> str:
    """All of a small file.

    Raises:
        UserError: If it can't be read.
    """
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        why = getattr(problem, "strerror", None) or "not UTF-8 text"
        raise UserError(f"can't read {file} ({why})") from None
