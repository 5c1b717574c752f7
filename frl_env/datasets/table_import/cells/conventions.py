"""How a column writes what it means, where only all of it can tell.

    total_paid     "1,234.50"  "980"  "12,000.00"      commas every three digits, in all numbers of 1,000 and more
                   "980,5"  "1.234,50"                 a comma for the point, and no number with a point
                   "1,234"  "5678"                     neither: it may be 1,234 or 1.234; nothing is assumed
    terminated     ""  ""  "1"                         the empty ones mean no: there is no word for it
                   "0"  ""  "1"                        the empty one is missing

The table is read once with what is most common. Only if what was seen asks for another convention is it read again.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from frl_env.datasets.table_import.cells.convert import (
    DECIMAL_COMMA,
    THOUSANDS,
    is_text,
    pc,
    plain,
    texts,
    without_words,
)

LARGE = 1_000
"""Numbers from here on have a comma if any have."""


@dataclass(frozen=True, kw_only=True)
class Conventions:
    """How columns write what they mean.

    Args:
        numbers: Column of text to how its numbers are written, one of `convert.STYLES`, where not with a point.
        empty_is_no: Whether an empty cell of `terminated` means no.
    """

    numbers: dict[str, str] = field(default_factory=dict)
    empty_is_no: bool = False


class Seen:
    """What a table shows of its conventions, gathered as it goes by."""

    def __init__(self) -> None:
        """Starts with nothing seen."""
        self.numbers: dict[str, Counter[str]] = {}
        self.flags: Counter[str] = Counter()

    def look_at_numbers(self, name: str, column: pa.Array, values: np.ndarray, garbled: np.ndarray) -> None:
        """Counts how numbers are written in a batch of text.

        Args:
            name: Of the column.
            column: As it is.
            values: The numbers that were understood, NaN elsewhere.
            garbled: Which rows were not.
        """
        column = plain(column)
        if not is_text(column.type):
            return
        seen = self.numbers.setdefault(name, Counter())
        with np.errstate(invalid="ignore"):
            seen["large without comma"] += int((np.abs(values) >= LARGE).sum())
        pointed = pc.fill_null(pc.match_substring(column, "."), False)
        seen["with point"] += int((_mask(pointed) & ~garbled).sum())
        if garbled.any():
            odd = without_words(texts(column.filter(pa.array(garbled))))
            thousands, comma = (_mask(pc.match_substring_regex(odd, pattern)) for pattern in (THOUSANDS, DECIMAL_COMMA))
            seen["either"] += int((thousands & comma).sum())
            seen["thousands"] += int((thousands & ~comma).sum())
            seen["decimal comma"] += int((comma & ~thousands).sum())

    def look_at_flags(self, flags: np.ndarray, missing: np.ndarray) -> None:
        """Counts what stands in a batch of `terminated`."""
        self.flags["yes"] += int(flags.sum())
        self.flags["empty"] += int(missing.sum())
        self.flags["no"] += int((~flags & ~missing).sum())

    def conventions(self) -> Conventions:
        """What all of it comes to."""
        styles = {name: _style(seen) for name, seen in self.numbers.items()}
        return Conventions(
            numbers={name: style for name, style in styles.items() if style is not None},
            empty_is_no=bool(self.flags["empty"]) and not self.flags["no"],
        )

    def undecided(self) -> dict[str, int]:
        """Columns in which some numbers have commas that may mean two things, and how many have."""
        return {
            name: seen["either"] + seen["thousands"]
            for name, seen in self.numbers.items()
            if seen["either"] + seen["thousands"] and _style(seen) is None
        }


def _style(seen: Counter[str]) -> str | None:
    """How a column writes numbers if not with a point throughout; None where nothing or too little speaks for it."""
    if seen["thousands"] + seen["either"] and not seen["decimal comma"] and not seen["large without comma"]:
        return "thousands"
    if seen["decimal comma"] and not seen["thousands"] and not seen["with point"]:
        return "decimal comma"
    return None


def _mask(array: Any) -> np.ndarray:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=bool)
