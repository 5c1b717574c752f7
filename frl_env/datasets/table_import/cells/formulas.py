"""Text of a table in CSV: an apostrophe in front of what a spreadsheet would compute, and off again when read.

See `frl_env.files.spreadsheets`. What was exported is imported as it was: `=A1` is written `'=A1`, and `'=A1` is
written `''=A1`.
"""

from collections.abc import Callable
from typing import Any

import pyarrow as pa

from frl_env.datasets.table_import.cells.convert import pc
from frl_env.files.spreadsheets import FORMULA


def without_formulas(table: pa.Table) -> pa.Table:
    """A table to be written, its text guarded."""
    return _replace(table, f"({FORMULA})", r"'\1", lambda column: pc.match_substring_regex(column, FORMULA))


def with_formulas(table: pa.RecordBatch) -> pa.RecordBatch:
    """Rows that were read, without the guard."""
    return _replace(table, f"^'({FORMULA.removeprefix('^')})", r"\1", lambda column: pc.starts_with(column, "'"))


def _replace(table: Any, pattern: str, by: str, concerns: Callable[[Any], Any]) -> Any:
    """Replaces in every column of text that has something to replace."""
    columns = [
        pc.replace_substring_regex(column, pattern, by)
        if pa.types.is_string(column.type) and pc.any(concerns(column)).as_py()
        else column
        for column in table.columns
    ]
    return type(table).from_arrays(columns, schema=table.schema)
