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
THOUSANDS = r"^[+-]?\$?([1-9]\d{0,2}(,\d{3})+|\d+)(\.\d*)?$"
"""Numbers with a comma every three digits, also amounts in dollars."""

DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?$"
"""Numbers with a comma for the point, perhaps with points every three digits."""

STYLES = ("point", "thousands", "decimal comma")
"""How numbers may be written in text."""

DATE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)?$"
"""A date; a time of day and a zone may stand behind it and say nothing: the date is taken as it is written."""

MIDNIGHT = r"^.{10}([T ]00:00(:00(\.0+)?)?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)?$"
YEAR_WEEK = r"^\d{4}-?W\d\d$"
TRUE, FALSE = ("true", "t", "yes", "y", "1", "1.0"), ("false", "f", "no", "n", "0", "0.0")

NULL_WORDS = (
    "NULL", "null", "Null", "\\N", "NaN", "nan", "NAN", "-NaN", "-nan", "<NA>", "NaT", "#N/A", "#NA", "#N/A N/A",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""What programs write for a missing value, and nobody else: missing in every column."""

BLANK_WORDS = ("NA", "N/A", "n/a", "na", "None", "none", ".", "-", "--", "?")
"""What people, R and SAS write for a missing value. Among groups they may be names (NA for Native American)."""

MISSING = pa.array([*NULL_WORDS, *BLANK_WORDS])
WEEK_KINDS = ("number", "date", "compact date", "year-week")
"""How weeks may be written: 12; 2024-01-31; 20240131; 202405 or 2024-W05, a week of ISO 8601."""

MOST_WEEKS = 1_000_000
FIRST_DAY, LAST_DAY = -25_567, 84_005
"""1900-01-01 and 2199-12-31, in days since 1970-01-01."""

FIRST_YEAR, LAST_YEAR = 1900, 2199


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
    """The same values without dictionary encoding; bytes as text.

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
        with np.errstate(invalid="ignore"):
            garbled |= np.isfinite(numbers) & ((numbers != np.floor(numbers)) | (np.abs(numbers) >= 2**53))
        whole = np.where(garbled | np.isnan(numbers), 0, numbers).astype(np.int64)
        identifiers = pa.array(whole, mask=garbled | np.isnan(numbers)).cast(pa.string())
    else:
        identifiers = without_words(texts(values))
        if pa.types.is_decimal(values.type):
            garbled = _mask(pc.fill_null(pc.match_substring(identifiers, "."), False))
        elif pc.any(pc.ends_with(identifiers, ".0")).as_py():  # a column of whole numbers, once kept as floats
            identifiers = pc.replace_substring_regex(identifiers, r"^(\d+)\.0$", r"\1")
    return identifiers, _mask(pc.is_null(identifiers)) & ~garbled, garbled


def week_kind(array: pa.Array) -> str | None:
    """How weeks are written, by the type or else what most values look like; None where there are none.

    Returns:
        One of `WEEK_KINDS`.
    """
    values = plain(array)
    if is_date(values.type):
        return "date"
    if is_text(values.type):
        some = without_words(texts(values)).drop_null()
        for kind, pattern in (("date", DATE), ("year-week", YEAR_WEEK)):
            if len(some) and pc.mean(pc.match_substring_regex(some, pattern)).as_py() > 0.5:
                return kind
    numbers, missing, garbled = to_numbers(values)
    numbers = numbers[~(missing | garbled)]
    if not len(numbers):
        return None if missing.all() else "number"
    if np.mean((numbers > MOST_WEEKS) & _is_day(numbers)) > 0.5:
        return "compact date"
    year, week = np.divmod(numbers, 100)
    looks = (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (week >= 1) & (week <= 53)
    return "year-week" if looks.mean() > 0.5 else "number"


def to_days(
    array: pa.Array, kind: str
) -> tuple[Int64[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """First day of each week: seven times its number, or days since 1970-01-01 of its date or its Monday.

    Args:
        array: Whole numbers or dates.
        kind: One of `WEEK_KINDS`.

    Returns:
        Days, 0 where there is none; which are missing; which are no weeks.
    """
    values = plain(array)
    if kind == "date":
        return _days_of_dates(values)
    if is_date(values.type):
        missing = _mask(pc.is_null(values))
        return np.zeros(len(values), dtype=np.int64), missing, ~missing
    if kind == "year-week" and is_text(values.type):
        values = pc.replace_substring_regex(texts(values), r"^(\d{4})-?W(\d\d)$", r"\1\2")
    numbers, missing, garbled = to_numbers(values)
    with np.errstate(invalid="ignore"):
        garbled |= (numbers != np.floor(numbers)) & ~missing
    whole = np.where(missing | garbled, 0, numbers)
    if kind == "number":
        garbled |= np.abs(whole) > MOST_WEEKS
        return np.where(missing | garbled, 0, whole).astype(np.int64) * 7, missing, garbled
    days = _days_of_compact_dates(whole) if kind == "compact date" else _mondays(whole)
    garbled |= ~missing & np.isnat(days)
    return np.where(missing | garbled, 0, days.astype(np.int64)), missing, garbled


def times_of_day(array: pa.Array) -> int:
    """How many dates have a time of day other than midnight, which is left out."""
    values = plain(array)
    if is_text(values.type):
        text = texts(values)
        dated = pc.fill_null(pc.match_substring_regex(text, DATE), False)
        return int(pc.sum(pc.and_(dated, pc.invert(pc.match_substring_regex(text, MIDNIGHT)))).as_py() or 0)
    if not pa.types.is_timestamp(values.type):
        return 0
    stamps = _local(values).to_numpy(zero_copy_only=False)
    return int(((stamps != stamps.astype("datetime64[D]")) & ~np.isnat(stamps)).sum())


def _days_of_dates(
    values: pa.Array,
) -> tuple[Int64[np.ndarray, "row"], Bool[np.ndarray, "row"], Bool[np.ndarray, "row"]]:
    """Days since 1970-01-01, as `to_days` gives them; of a point in time the day where it was written down."""
    missing = _mask(pc.is_null(values))
    if is_text(values.type):
        text = without_words(texts(values))
        missing = _mask(pc.is_null(text))
        stamps = pd.to_datetime(pc.utf8_slice_codeunits(text, 0, 10).to_pandas(), format="%Y-%m-%d", errors="coerce")
        fits = pc.fill_null(pc.match_substring_regex(text, DATE), False).to_numpy(zero_copy_only=False)
        day = stamps.to_numpy().astype("datetime64[D]")
        garbled = ~missing & (np.isnat(day) | ~fits)
    elif is_date(values.type):
        day = _local(values).to_numpy(zero_copy_only=False).astype("datetime64[D]")
        garbled = np.zeros(len(values), dtype=bool)
    else:
        return np.zeros(len(values), dtype=np.int64), missing, ~missing
    days = np.where(np.isnat(day), 0, day.astype(np.int64))
    garbled |= (days < FIRST_DAY) | (days > LAST_DAY)
    return np.where(missing | garbled, 0, days), missing, garbled


def _local(values: pa.Array) -> pa.Array:
    """Points in time without their zone, as clocks there show them."""
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    if zone is not None and zone.upper() != "UTC":
        values = pc.local_timestamp(values)
    return values.cast(pa.timestamp("us"), safe=False)


def _is_day(numbers: Float64[np.ndarray, "row"]) -> Bool[np.ndarray, "row"]:
    year, rest = np.divmod(numbers, 10_000)
    month, day = np.divmod(rest, 100)
    return (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (month >= 1) & (month <= 12) & (day >= 1) & (day <= 31)


def _days_of_compact_dates(numbers: Float64[np.ndarray, "row"]) -> np.ndarray:
    """Dates of numbers like 20240131; none where there is no such day."""
    valid = _is_day(numbers)
    whole = np.where(valid, numbers, 19700101).astype(np.int64)
    year, month, day = whole // 10_000, whole // 100 % 100, whole % 100
    months = (year - 1970).astype("datetime64[Y]").astype("datetime64[M]") + (month - 1)
    days = months.astype("datetime64[D]") + (day - 1)
    valid &= days.astype("datetime64[M]") == months  # else the 30th of February is the 1st of March
    return np.where(valid, days, np.datetime64("NaT"))


def _mondays(numbers: Float64[np.ndarray, "row"]) -> np.ndarray:
    """Mondays of weeks of ISO 8601 like 202405; none where the year has no such week."""
    year, week = np.divmod(numbers, 100)
    valid = (year >= FIRST_YEAR) & (year <= LAST_YEAR) & (week >= 1) & (week <= 53)
    years = np.where(valid, year, 1970).astype(np.int64)
    # Week 1 has the year's fourth of January in it; 1970-01-01 was a Thursday.
    fourth = (years - 1970).astype("datetime64[Y]").astype("datetime64[D]") + 3
    first = fourth - (fourth.astype(np.int64) + 3) % 7
    days = first + (np.where(valid, week, 1).astype(np.int64) - 1) * 7
    valid &= (days + 3).astype("datetime64[Y]").astype(np.int64) + 1970 == years  # its Thursday is in the year
    return np.where(valid, days, np.datetime64("NaT"))


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
