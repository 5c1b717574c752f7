"""Cells of whatever type to the values of the contract: whole numbers and text, with masks of what makes no sense.

Only whole-number arithmetic and a few functions of text and dates are used, because DuckDB and Spark differ in the
rest: in what a cast of a bad cell does, in how fractions become whole numbers, in the days between two points in
time, in zones.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import ibis
import ibis.expr.datatypes as dt

FIRST_DAY, LAST_DAY = -25_567, 84_005
"""1900-01-01 and 2199-12-31."""

MOST_CENTS = 10_000_000_000
"""A hundred million dollars: a larger amount on one line is a mistake."""

_DATES = {
    "iso": (r"(\d{4})-(\d{1,2})-(\d{1,2})", (1, 2, 3)),
    "us": (r"(\d{1,2})/(\d{1,2})/(\d{4})", (3, 1, 2)),
    "european": (r"(\d{1,2})[./](\d{1,2})[./](\d{4})", (3, 2, 1)),
    "compact": (r"(\d{4})(\d{2})(\d{2})", (1, 2, 3)),
}
SPELLINGS = {
    "iso": "2024-01-31, 2024-01-31 17:30",
    "us": "1/31/2024, 1/31/2024 17:30, 1/31/2024 5:30 PM",
    "european": "31.1.2024, 31/1/2024, 31.1.2024 17:30",
    "compact": "20240131, 20240131 17:30",
}
"""How dates and points in time may be written as text, by `date_format`."""

AMOUNTS = "1234.5, 1,234.50, $1,234, ($20.00) for -20"
"""How amounts may be written as text."""

_SPACE = r"[ \t\n\r\x0b\f]"
_SPACES = " \t\n\r\x0b\f"
"""What trimming takes away."""

_CLOCK = r"(?:[T ](\d{1,2}):(\d{2})(?::(\d{2})(?:[.]\d+)?)?(?:\s?([AaPp])[Mm])?([+-]\d{2})?)?\s*(Z|z|[+-]\d{2}:?\d{2})?"
_NUMBER = r"^[+-]?(\d+([.]\d*)?|[.]\d+)([eE][+-]?\d{1,2})?$"
_DOLLARS = (
    r"^[+-]?\$\s?[+-]?(\d{1,3}(,\d{3})+|\d+)([.]\d*)?$"  # with the sign of currency a comma can mean thousands only
    r"|^\(\$?\s?(\d{1,3}(,\d{3})+|\d+)[.]\d*\)$"  # in brackets: below zero
    r"|^[+-]?\d{1,3}(,\d{3})+[.]\d*$"
)
_EDGES = rf"^{_SPACE}+|{_SPACE}+\z"
_TRUE, _FALSE = ("TRUE", "T", "YES", "Y", "1"), ("FALSE", "F", "NO", "N", "0")


@dataclass(frozen=True, kw_only=True)
class Parsed:
    """A column, and which of its cells make no sense.

    Attributes:
        value: Null where a cell is empty or makes no sense.
        faults: Kind to a mask, never null.
    """

    value: Any
    faults: dict[str, Any] = field(default_factory=dict)


def text(column: Any) -> Any:
    """Trimmed text; null where nothing is left.

    Trimming is slow in DuckDB, so only cells are trimmed that may need it.
    """
    cell = column.cast("string")
    return ibis.cases((cell == "", None), (_spaced(cell), cell.strip().nullif("")), else_=cell)


def trimmed(column: Any, of_text: Callable[[Any], Any]) -> Any:
    """A function of trimmed text, where cells are not empty; text that needs no trimming is not copied."""
    cell = column.cast("string")
    return ibis.ifelse(_spaced(cell), of_text(cell.strip()), of_text(cell))


def _spaced(cell: Any) -> Any:
    """Whether a cell's first character sorts before every visible one, or its last is space."""
    found = cell < "!"
    for space in _SPACES:  # to cut out the last character takes three times as long
        found |= cell.endswith(space)
    return found


def blank(column: Any) -> Any:
    """Whether cells are empty, or hold nothing but space; of fractions NaN is."""
    if column.type().is_floating():
        return column.isnull() | column.isnan().fill_null(False)
    cell = column.cast("string")
    return ibis.cases((cell == "", True), (cell < "!", cell.strip() == ""), else_=cell.isnull())


def capitals(column: Any) -> Any:
    """Trimmed text in capitals; empty where nothing is left.

    Made of functions of one column alone: of such DuckDB works out each word of a dictionary once, not each cell.
    """
    return column.cast("string").re_replace(_EDGES, "").upper()


def without_fraction(cell: Any) -> Any:
    """Whole numbers without the zeros behind their point: 450.0, as tables with empty cells write 450."""
    return cell.re_replace(r"[.]0+\z", "")


def place_in(cell: Any, words: Sequence[str]) -> Any:
    """Place of a cell's text in a list; -1 if it is not in it, null if there is no text."""
    return ibis.literal(list(words), "array<string>").index(cell)


def identifier(column: Any) -> Parsed | None:
    """Text of an identifier; None for a type that can't be one."""
    kind = column.type()
    if kind.is_floating():  # whole numbers with missing ones among them, as pandas writes them
        column = ibis.ifelse(column.isnan(), None, column)
        # From 2 to the 53rd on fractions can't tell neighbours apart.
        exact = ibis.ifelse(column.abs() < 2**53, column, 0.5)
        whole = column.isnull() | (exact == exact.floor())
        return Parsed(
            value=ibis.ifelse(whole, column, None).cast("int64").cast("string"),
            faults={"not an identifier": ~whole.fill_null(True)},
        )
    if kind.is_string() or kind.is_integer() or kind.is_uuid():
        return Parsed(value=text(column))
    if kind.is_decimal() and kind.scale == 0:
        return Parsed(value=column.cast("string"))
    return None


def day(column: Any, date_format: str) -> Parsed | None:
    """Days since 1970-01-01; None for a type that holds none."""
    kind = column.type()
    if kind.is_date() or kind.is_timestamp():
        return _in_range(_of_date(column.cast("date")))
    if kind.is_integer() and date_format == "compact":
        column, kind = column.cast("string"), dt.string
    if not kind.is_string():
        return None
    pattern, places = _DATES[date_format]
    return _in_range(*_of_text(column, _whole(pattern), places))


def moment(column: Any, date_format: str, zone: str) -> Parsed | None:
    """Seconds of local time since 1970-01-01; None for a type that holds no time.

    Args:
        column: Dates, points in time, or text.
        date_format: Of text.
        zone: Into which points in time with a zone are turned; text without one is local already.
    """
    kind = column.type()
    if kind.is_date():
        return _moment(_in_range(_of_date(column.cast("date"))), ibis.literal(0), None, zone)
    if kind.is_timestamp():
        clock = column.hour().cast("int64") * 3600 + column.minute() * 60 + column.second()
        offset = None if kind.timezone is None else ibis.ifelse(column.isnull(), None, ibis.literal(0, "int64"))
        return _moment(_in_range(_of_date(column.cast("date"))), clock, offset, zone)
    if not kind.is_string():
        return None
    pattern, places = _DATES[date_format]
    whole = _whole(pattern)

    def part(group: int) -> Any:
        return column.re_extract(whole, group).nullif("")

    clock = sum(
        (part(group).cast("int64").fill_null(0) * unit for group, unit in ((4, 3600), (5, 60), (6, 1))),
        start=ibis.literal(0, "int64"),
    )
    half = part(7).upper()
    hour = part(4).cast("int64")
    clock += ibis.cases(
        ((half == "P").fill_null(False) & (hour < 12), 43_200),
        ((half == "A").fill_null(False) & (hour == 12), -43_200),
        else_=0,
    )
    sign = ibis.coalesce(part(9), part(8))  # +05:30, or +05
    digits = sign.substr(1).replace(":", "")
    hours, rest = (digits.substr(place, 2).nullif("").cast("int64") for place in (0, 2))
    minutes = hours * 60 + rest.fill_null(0)
    seconds = ibis.ifelse(sign.substr(0, 1) == "-", -minutes, minutes) * 60
    offset = ibis.ifelse(sign.upper() == "Z", ibis.literal(0, "int64"), seconds)
    parsed = _in_range(*_of_text(column, whole, places))
    late = (hour > 23) | (half.notnull() & ((hour < 1) | (hour > 12)))
    late |= (part(5).cast("int64") > 59) | (part(6).cast("int64") > 60)  # a leap second is the 60th
    late = late.fill_null(False)
    outside = {"out of range": parsed.faults["out of range"] | late}
    return _moment(
        Parsed(value=parsed.value, faults=parsed.faults | outside), clock, offset, zone,
    )  # fmt: skip


def amount(column: Any) -> Parsed | None:
    """Cents; None for a type that holds no numbers.

    Text is a plain number, or an amount as US programs write it ($1,234.50, ($20.00), 1,234.50). A comma that may be a
    decimal one (1,234) is not taken.
    """
    kind = column.type()
    garbled = ibis.literal(False)
    if kind.is_string():
        cell = text(column)
        dollars = cell.re_search(_DOLLARS).fill_null(False)
        fits = cell.re_search(_NUMBER).fill_null(False) | dollars
        garbled = cell.notnull() & ~fits
        bare = cell
        for sign in ("$", ",", "(", ")", " "):
            bare = bare.replace(sign, "")
        number = ibis.ifelse(fits, ibis.ifelse(dollars, bare, cell), None).cast("float64")
        number = ibis.ifelse(cell.startswith("("), -number, number)
    elif kind.is_numeric() and not kind.is_boolean():
        number = column.cast("float64")
        if kind.is_floating():  # for Spark NaN counts as null, for DuckDB not: asked for by its own name on both
            garbled = column.isnan().fill_null(False)
        number = ibis.ifelse(garbled, None, number)
    else:
        return None
    cents = number * 100
    small = cents.abs() < MOST_CENTS
    return Parsed(
        value=ibis.ifelse(small, cents, None).round().cast("int64"),
        faults={"not a number": garbled, "out of range": (~small).fill_null(False)},
    )


def flag(column: Any) -> Parsed | None:
    """True or false; None for a type that can't be."""
    kind = column.type()
    if kind.is_boolean():
        return Parsed(value=column)
    if not (kind.is_string() or kind.is_integer()):
        return None
    cell = text(column).upper()
    true, false = cell.isin(_TRUE), cell.isin(_FALSE)
    return Parsed(
        value=ibis.cases((true, True), (false, False)),
        faults={"not true or false": cell.notnull() & ~(true | false).fill_null(False)},
    )


def code(column: Any) -> Parsed | None:
    """A code in capitals, empty if there is none; numbers as text."""
    kind = column.type()
    if kind.is_string() or kind.is_integer():
        return Parsed(value=without_fraction(capitals(column)))
    return identifier(column)


def month_and_day(days: Any) -> tuple[Any, Any]:
    """Months since January of year 0, and day of the month, of days since 1970-01-01 (Hinnant's algorithm).

    In whole numbers, and short: in a query a name is written out wherever it is used.
    """
    shifted = days + 719_468
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year_of_era = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365  # from March to February
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    months = (5 * of_year + 2) // 153  # since March
    return (era * 400 + year_of_era) * 12 + months + 2, of_year - (153 * months + 2) // 5 + 1


def _of_date(date: Any) -> Any:
    return date.delta(ibis.date("1970-01-01"), unit="day").cast("int64")


def _whole(pattern: str) -> str:
    """Matches a cell with a date, maybe a time, and space around: trimming first would be repeated for each part."""
    return rf"^{_SPACE}*{pattern}{_CLOCK}{_SPACE}*\z"


def _of_text(cell: Any, pattern: str, places: tuple[int, int, int]) -> tuple[Any, Any]:
    """Days of text, and which cells are no dates."""
    # Put together from its parts: Spark doesn't know \\1 in replacements.
    year, month, of_month = (cell.re_extract(pattern, place) for place in places)
    days = _of_date((year + "-" + month + "-" + of_month).try_cast("date"))
    return days, ~blank(cell) & days.isnull()


def _in_range(days: Any, garbled: Any = None) -> Parsed:
    """Days as parsed; empty, and a fault, where they are out of range."""
    inside = days.between(FIRST_DAY, LAST_DAY)
    faults = {"out of range": (~inside).fill_null(False)}
    if garbled is not None:
        faults["not a date"] = garbled
    return Parsed(value=ibis.ifelse(inside, days, None), faults=faults)


def _moment(days: Parsed, clock: Any, offset: Any, zone: str) -> Parsed:
    """Local seconds; where there is an offset, the point in time is turned into the zone."""
    seconds = days.value * 86_400 + clock
    faults = dict(days.faults)
    if offset is not None:
        instant = seconds - offset
        if zone:
            seconds = ibis.ifelse(offset.isnull(), seconds, instant + _zone_offset(instant, zone))
        else:
            faults["a time zone but no rule"] = offset.notnull()
    return Parsed(value=seconds, faults=faults)


def _zone_offset(instant: Any, zone: str) -> Any:
    """Offset at a point in time, by two lists: a branch for each change would be a query that Spark takes hours for."""
    first, changes = zone_changes(zone)
    if not changes:
        return ibis.literal(first, "int64")
    step, moments, offsets = change_lists(zone)
    place = ibis.greatest(ibis.least(instant // step, len(moments) - 1), 0).cast("int32")  # Spark takes no wider one
    later = ibis.ifelse(instant >= _listed(moments)[place], 1, 0).cast("int32")
    return _listed(offsets)[(place + later).cast("int32")]


def _listed(numbers: Sequence[int]) -> Any:
    return ibis.literal(list(numbers), "array<int64>")


@lru_cache(maxsize=8)
def change_lists(zone: str) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    """Changes of a zone by pieces of time of the same length, so short that none holds two.

    Returns:
        Seconds of a piece; of each piece from 1970 on the second of the change in it, or its end; the offset before
        it, and after the last.
    """
    _, changes = zone_changes(zone)
    at = [second for second, _ in changes[:-1]]
    step = 128 * 86_400
    while len({second // step for second in at}) < len(at):
        step //= 2
    pieces = changes[-1][0] // step + 1
    moments = [(piece + 1) * step for piece in range(pieces)]
    for second in at:
        moments[second // step] = second
    offsets = [next(offset for before, offset in changes if before > piece * step) for piece in range(pieces)]
    return step, tuple(moments), (*offsets, changes[-1][1])


@lru_cache(maxsize=8)
def zone_changes(zone: str) -> tuple[int, tuple[tuple[int, int], ...]]:
    """Offsets of a zone from UTC, in seconds, 1970 to 2050.

    Returns:
        The first offset; then pairs of (second before which an offset holds, offset), the last without an end.
    """
    place = ZoneInfo(zone)

    def offset(second: int) -> int:
        here = datetime.fromtimestamp(second, UTC).astimezone(place).utcoffset()
        return int((here or timedelta()).total_seconds())

    week, end = 7 * 86_400, int(datetime(2050, 1, 1, tzinfo=UTC).timestamp())
    changes = []
    for second in range(0, end, week):
        if offset(second) != offset(second + week):
            low, high = second, second + week
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(middle) == offset(low) else (low, middle)
            changes.append((high, offset(second)))
    changes.append((end, offset(end)))
    return offset(0), tuple(changes)
