"""Arrow columns of whatever type to NumPy arrays of the one wanted, with masks of what is missing or makes no sense.

No value ever reaches a message: Arrow's own errors quote the cell that they failed on, so conversions here can't fail.
"""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Float64, Int64

pc: Any = pyarrow.compute
"""Arrow's functions on columns, which it makes when it is imported."""

NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:nan|inf(inity)?))$"
DATE = r"^\d{4}-\d\d-\d\d([T ]00:00(:00(\.0+)?)?)?$"
TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")

MOST_WEEKS = 1_000_000
FIRST_DAY, LAST_DAY = -25_567, 84_005
"""1900-01-01 and 2199-12-31, in days since 1970-01-01."""


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers, or flags that count as 0 and 1."""
    return (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_boolean(kind)
    )


def is_date(kind: pa.DataType) -> bool:
    """Whether a column holds dates or points in time."""
    return pa.types.is_date(kind) or pa.types.is_timestamp(kind)


def plain(array: pa.Array) -> pa.Array:
    """The same values without dictionary encoding."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def texts(array: pa.Array) -> pa.Array:
    """Values as text; whole floats lose their point, empty text is missing."""
    values = plain(array)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_floating(values.type):
        numbers, _, _ = to_numbers(values)
        if not (np.isfinite(numbers) & (numbers != np.floor(numbers)) & (np.abs(numbers) < 2**53)).any():
            whole = np.where(np.isfinite(numbers), numbers, 0).astype(np.int64)
            return pa.array(whole, mask=~np.isfinite(numbers)).cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def to_numbers(array: pa.Array) -> tuple[Float64[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as floats, NaN where there is none.

    Returns:
        Values; which are missing (null, NaN or empty); which are no numbers (or infinite).
    """
    values = plain(array)
    if is_text(values.type):
        text = texts(values)
        fits = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
        garbled = _mask(pc.and_(pc.is_valid(text), pc.invert(fits)))
        values = pc.if_else(fits, text, pa.scalar(None, pa.string())).cast(pa.float64())
    else:
        garbled = np.zeros(len(values), dtype=bool)
        values = values.cast(pa.uint8()) if pa.types.is_boolean(values.type) else values
        values = values.cast(pa.float64(), safe=False)
    numbers = np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    garbled |= np.isinf(numbers)
    missing = np.isnan(numbers) & ~garbled
    numbers[garbled] = np.nan
    return numbers, missing, garbled


def to_identifiers(array: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as text that tells members apart; floats that are whole count as whole numbers.

    Returns:
        Identifiers; which are missing; which can't be one (numbers with a fraction).
    """
    values = plain(array)
    garbled = np.zeros(len(values), dtype=bool)
    if pa.types.is_floating(values.type):
        numbers, _, garbled = to_numbers(values)
        with np.errstate(invalid="ignore"):
            garbled |= np.isfinite(numbers) & ((numbers != np.floor(numbers)) | (np.abs(numbers) >= 2**53))
        whole = np.where(garbled | np.isnan(numbers), 0, numbers).astype(np.int64)
        identifiers = pa.array(whole, mask=garbled | np.isnan(numbers)).cast(pa.string())
    else:
        identifiers = texts(values)
    return identifiers, _mask(pc.is_null(identifiers)) & ~garbled, garbled


def week_kind(array: pa.Array) -> str | None:
    """Whether weeks are numbers or dates, by the type or else what most values look like; None where there are none."""
    values = plain(array)
    if is_date(values.type):
        return "date"
    if not is_text(values.type):
        return "number"
    some = texts(values).drop_null()
    if not len(some):
        return None
    return "date" if pc.mean(pc.match_substring_regex(some, DATE)).as_py() > 0.5 else "number"


def to_days(
    array: pa.Array, kind: str
) -> tuple[Int64[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """First day of each week: seven times its number, or the days of its date since 1970-01-01.

    Args:
        array: Whole numbers or dates.
        kind: "number" or "date".

    Returns:
        Days, 0 where there is none; which are missing; which are no weeks.
    """
    values = plain(array)
    if kind == "number":
        numbers, missing, garbled = to_numbers(values)
        with np.errstate(invalid="ignore"):
            garbled |= (numbers != np.floor(numbers)) & ~missing | (np.abs(numbers) > MOST_WEEKS)
        return np.where(missing | garbled, 0, numbers).astype(np.int64) * 7, missing, garbled
    missing = _mask(pc.is_null(values))
    if is_text(values.type):
        text = texts(values)
        missing = _mask(pc.is_null(text))
        stamps = pd.to_datetime(pc.utf8_slice_codeunits(text, 0, 10).to_pandas(), format="%Y-%m-%d", errors="coerce")
        fits = pc.fill_null(pc.match_substring_regex(text, DATE), False).to_numpy(zero_copy_only=False)
        day = stamps.to_numpy().astype("datetime64[D]")
        garbled = ~missing & (np.isnat(day) | ~fits)
    elif is_date(values.type):
        day = values.cast(pa.timestamp("us"), safe=False).to_numpy(zero_copy_only=False).astype("datetime64[D]")
        garbled = np.zeros(len(values), dtype=bool)
    else:
        return np.zeros(len(values), dtype=np.int64), missing, ~missing
    days = np.where(np.isnat(day), 0, day.astype(np.int64))
    garbled |= (days < FIRST_DAY) | (days > LAST_DAY)
    return np.where(missing | garbled, 0, days), missing, garbled


def to_flags(array: pa.Array) -> tuple[Bool[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as true or false.

    Returns:
        Flags; which are missing; which are neither.
    """
    values = plain(array)
    if pa.types.is_boolean(values.type):
        missing = _mask(pc.is_null(values))
        return _mask(pc.fill_null(values, False)), missing, np.zeros(len(values), dtype=bool)
    text = pc.utf8_lower(texts(values))
    missing = _mask(pc.is_null(text))
    yes = _mask(pc.fill_null(pc.is_in(text, pa.array(TRUE)), False))
    no = _mask(pc.fill_null(pc.is_in(text, pa.array(FALSE)), False))
    return yes, missing, ~(yes | no | missing)


def _mask(array: pa.Array) -> Bool[np.ndarray, "row"]:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=bool)
