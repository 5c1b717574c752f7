"""Weeks, however they are written, to days: numbers, dates, time stamps, or years and weeks of ISO 8601.

12                                  day 84: seven times the number, so that consecutive weeks are seven days apart
2024-01-31, 20240131                days since 1970-01-01
2024-01-31T00:00:00+01:00           the date as it is written there; the time of day and the zone say nothing
202405, 2024-W05                    days since 1970-01-01 of that week's Monday
"""

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Bool, Float64, Int64

from frl_env.datasets.table_import.cells.convert import is_date, is_text, pc, plain, texts, to_numbers, without_words
from frl_env.errors import UserError

DATE = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)?$"
"""A date; a time of day and a zone may stand behind it and say nothing: the date is taken as it is written."""

MIDNIGHT = r"^.{10}([T ]00:00(:00(\.0+)?)?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)?$"
YEAR_WEEK = r"^\d{4}-?W\d\d$"
WEEK_KINDS = ("number", "date", "compact date", "year-week")
"""How weeks may be written: 12; 2024-01-31; 20240131; 202405 or 2024-W05, a week of ISO 8601."""

MOST_WEEKS = 1_000_000
"""A larger number is no number of a week: it is a date like 20240131, or garbled."""

FIRST_DAY, LAST_DAY = -25_567, 84_005
"""1900-01-01 and 2199-12-31, in days since 1970-01-01."""

FIRST_YEAR, LAST_YEAR = 1900, 2199


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
    """Points in time without their zone, as clocks there show them.

    Raises:
        UserError: If nobody knows the zone.
    """
    zone = values.type.tz if pa.types.is_timestamp(values.type) else None
    if zone is not None and zone.upper() != "UTC":
        try:
            values = pc.local_timestamp(values)
        except pa.ArrowInvalid:
            raise UserError("weeks have a time zone that is not known on this machine; write dates instead") from None
    return values.cast(pa.timestamp("us"), safe=False)


def _is_day(numbers: Float64[np.ndarray, "row"]) -> Bool[np.ndarray, "row"]:
    """Whether numbers look like dates, 20240131."""
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


def _mask(array: pa.Array) -> Bool[np.ndarray, "row"]:
    return np.array(array.to_numpy(zero_copy_only=False), dtype=bool)
