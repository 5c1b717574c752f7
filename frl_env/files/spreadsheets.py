"""Text in CSV files that people open in a spreadsheet: a cell that begins like a formula would be computed.

A name of a group or a level may begin with `=`, `+`, `-` or `@`. Such a cell gets an apostrophe in front, which
spreadsheets take for "this is text".
"""

import re

import pandas as pd

FORMULA = r"^'*[=+\-@\t\r]"
"""How a cell begins that a spreadsheet would compute, also behind the apostrophes that keep it from that."""


def plain_cell(cell: object) -> object:
    """A cell that a spreadsheet shows as it is; numbers stay numbers.

    Args:
        cell: Text, or anything else, which passes.
    """
    return f"'{cell}" if isinstance(cell, str) and re.match(FORMULA, cell) else cell


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose text a spreadsheet shows as it is.

    Args:
        table: Of any types; only text is looked at.
    """
    text = [name for name in table if not pd.api.types.is_numeric_dtype(table[name])]
    return table.assign(**{name: table[name].map(plain_cell) for name in text})
