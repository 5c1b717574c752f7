"""Arrow columns of whatever type to NumPy arrays of the one wanted, with masks of what is missing or makes no sense.

No value ever reaches a message: Arrow's own errors quote the cell that they failed on, so conversions here can't fail.
"""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from jaxtyping import Bool, Float64, Int64

pc: Any = pyarrow.compute
"""Arrow's functions on columns, which it makes when it is imported."""

NUMBER = r"^[+-]?(\d+\.?\d*([eE][+-]?\d+)?|\.\d+([eE][+-]?\d+)?|(?i:nan|inf(inity)?))$"
THOUSANDS = r"^[+-]?\$?([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d*)?$"
"""Numbers with a comma every three digits, also amounts in dollars."""

DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"
"""Numbers with a comma for the point, perhaps with points every three digits."""

CELL = rf"{NUMBER}|^\d{{4}}-?\d\d-?\d\d|^\d\d?/\d\d?/\d{{4}}"
"""What looks like a cell of a row, and not like a column's name."""

STYLES = ("point", "thousands", "decimal comma")
"""How numbers may be written in text."""

TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")

NULL_WORDS = (
    "NULL", "null", "Null", "\\N", "NaN", "nan", "NAN", "-NaN", "-nan", "<NA>", "NaT", "#N/A", "#NA", "#N/A N/A",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""What programs write for a missing value, and nobody else: missing in every column."""

BLANK_WORDS = ("NA", "N/A", "n/a", "na", "None", "none", ".", "-", "--", "?")
"""What people, R and SAS write for a missing value. Among groups they may be names (NA for Native American)."""

MISSING = pa.array([*NULL_WORDS, *BLANK_WORDS])


def hold_cells(names: Iterable[str]) -> bool:
    """Whether names of columns look like the cells of a row, numbers or dates, so that no message may show them.

    A text file may lack its first line, the names: then its first row stands there.
    """
    return any(re.match(CELL, name.strip()) for name in names)


def family(kind: pa.DataType) -> str:
    """What values of a type are: text, numbers, flags, dates, bytes, nothing, or else the type's own name."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    for name, holds in (
        ("text", is_text), ("flags", pa.types.is_boolean), ("numbers", is_number), ("dates", is_date),
        ("bytes", is_bytes), ("nothing", pa.types.is_null),
    ):  # fmt: skip
        if holds(kind):
            return name
    return str(kind)


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds text; bytes of any length are text that a program did not mark as such."""
    return (
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_binary_view(kind)
    )


def is_bytes(kind: pa.DataType) -> bool:
    """Whether a column holds identifiers of so many bytes, such as UUIDs."""
    return pa.types.is_fixed_size_binary(kind) or getattr(kind, "extension_name", "") == "arrow.uuid"


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
    """Values without dictionary encoding, and bytes as text.

    Raises:
        UnicodeDecodeError: If bytes of any length are not UTF-8.
    """
    values = array.dictionary_decode() if pa.types.is_dictionary(array.type) else array
    if is_bytes(values.type):
        return _hexadecimal(values)
    if is_text(values.type) and not pa.types.is_string(values.type):
        try:
            return values.cast(pa.string())
        except pa.ArrowInvalid:
            raise UnicodeDecodeError("utf-8", b"", 0, 1, "UTF8") from None
    return values


def texts(array: pa.Array) -> pa.Array:
    """Values as text; whole numbers lose their point, empty text is missing."""
    values = plain(array)
    if pa.types.is_null(values.type):
        return pa.nulls(len(values), pa.string())
    if pa.types.is_decimal(values.type):
        written = pc.replace_substring_regex(values.cast(pa.string()), r"(\.\d*?)0+$", r"\1")
        return pc.replace_substring_regex(written, r"\.$|^(0)E-\d+$", r"\1")  # Arrow writes 0 of scale 10 as 0E-10
    if pa.types.is_floating(values.type):
        numbers, _, _ = to_numbers(values)
        if not (np.isfinite(numbers) & (numbers != np.floor(numbers)) & (np.abs(numbers) < 2**53)).any():
            whole = np.where(np.isfinite(numbers), numbers, 0).astype(np.int64)
            return pa.array(whole, mask=~np.isfinite(numbers)).cast(pa.string())
    trimmed = pc.utf8_trim_whitespace(values.cast(pa.string()))
    return pc.if_else(pc.equal(trimmed, ""), pa.scalar(None, pa.string()), trimmed)


def words(array: pa.Array) -> tuple[list[str | None], Int64[np.ndarray, "row"]]:
    """The different values as text, None for missing ones, and which of them each row has.

    Fast where rows are many and values few.
    """
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    known = texts(encoded.dictionary).to_pylist()
    indices = encoded.indices.fill_null(len(known)) if encoded.indices.null_count else encoded.indices
    return [*known, None], indices.to_numpy(zero_copy_only=False).astype(np.int64)


def without_words(text: pa.Array) -> pa.Array:
    """Text in which words for missing values are missing."""
    said = pc.is_in(text, MISSING)
    return pc.if_else(said, pa.scalar(None, pa.string()), text) if pc.any(said).as_py() else text


def to_numbers(
    array: pa.Array, style: str = "point"
) -> tuple[Float64[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as floats, NaN where there is none.

    Args:
        array: Numbers, flags or text.
        style: How numbers are written in text, one of `STYLES`.

    Returns:
        Values; which are missing (null, NaN, empty, or a word for it); which are no numbers (or infinite).
    """
    values = plain(array)
    if is_text(values.type):
        text = without_words(texts(values))
        given = pc.is_valid(text)
        if style != "point":
            text = with_point(text, style)
        fits = pc.fill_null(pc.match_substring_regex(text, NUMBER), False)
        garbled = _mask(pc.and_(given, pc.invert(fits)))
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


def with_point(text: pa.Array, style: str) -> pa.Array:
    """Numbers written with commas as they are written with a point; null where they are not written so."""
    pattern = THOUSANDS if style == "thousands" else DECIMAL_COMMA
    written = pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, pa.string()))
    if style == "thousands":
        return pc.replace_substring_regex(written, r"[,$]", "")
    return pc.replace_substring(pc.replace_substring(written, ".", ""), ",", ".")


def to_identifiers(array: pa.Array) -> tuple[pa.Array, Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as text that tells members apart; floats that are whole count as whole numbers.

    Returns:
        Identifiers; which are missing; which can't be one (numbers with a fraction).
    """
    values = plain(array)
    garbled = np.zeros(len(values), dtype=bool)
    if pa.types.is_floating(values.type):
        numbers, _, garbled = to_numbers(values)
        exact = 2.0 ** {16: 11, 32: 24}.get(values.type.bit_width, 53)  # from here on neighbours are one number
        with np.errstate(invalid="ignore"):
            garbled |= np.isfinite(numbers) & ((numbers != np.floor(numbers)) | (np.abs(numbers) >= exact))
        whole = np.where(garbled | np.isnan(numbers), 0, numbers).astype(np.int64)
        identifiers = pa.array(whole, mask=garbled | np.isnan(numbers)).cast(pa.string())
    else:
        identifiers = without_words(texts(values))
        if pa.types.is_decimal(values.type):
            garbled = _mask(pc.fill_null(pc.match_substring(identifiers, "."), False))
        elif pc.any(pc.ends_with(identifiers, ".0")).as_py():  # a column of whole numbers, once kept as floats
            identifiers = pc.replace_substring_regex(identifiers, r"^(\d+)\.0$", r"\1")
    return identifiers, _mask(pc.is_null(identifiers)) & ~garbled, garbled


def _hexadecimal(values: pa.Array) -> pa.Array:
    """Bytes as text; 16 of them as UUIDs are written."""
    values = values.storage if isinstance(values, pa.ExtensionArray) else values
    width, rows = values.type.byte_width, len(values)
    if not rows:
        return pa.array([], pa.string())
    raw = np.frombuffer(values.buffers()[1], dtype=np.uint8)[values.offset * width : (values.offset + rows) * width]
    digits = np.frombuffer(bytes(range(256)).hex().encode(), dtype=np.uint8).reshape(256, 2)
    written = digits[raw].reshape(rows, 2 * width)
    if width == 16:
        written = np.insert(written, (8, 12, 16, 20), ord("-"), axis=1)
    text = np.ascontiguousarray(written).view(f"S{written.shape[1]}")[:, 0].astype(str)
    return pa.array(text, pa.string(), mask=_mask(pc.is_null(values)))


def to_flags(array: pa.Array) -> tuple[Bool[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Values as true or false.

    Returns:
        Flags; which are missing; which are neither.
    """
    values = plain(array)
    if pa.types.is_boolean(values.type):
        missing = _mask(pc.is_null(values))
        return _mask(pc.fill_null(values, False)), missing, np.zeros(len(values), dtype=bool)
    text = pc.utf8_lower(without_words(texts(values)))
    missing = _mask(pc.is_null(text))
    yes = _mask(pc.fill_null(pc.is_in(text, pa.array(TRUE)), False))
    no = _mask(pc.fill_null(pc.is_in(text, pa.array(FALSE)), False))
    return yes, missing, ~(yes | no | missing)


def _mask(array: pa.Array) -> Bool[np.ndarray, "row"]:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=bool)
