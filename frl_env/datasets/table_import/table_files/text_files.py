"""Text files: their delimiter, and quotes that are never closed.

A quote that opens a cell and is not closed takes all lines up to the next quote, or to the end, into that cell. Readers
take them without a word, or call them one bad line. So lines are counted, and where there are more lines than rows, the
cells that reach over several lines are looked at:

    7  1001,3,"PHONE_CALL,CHW          line 7 opens a quote that is not closed: its cell takes in the rest of line 7,
    8  1001,4,NONE,NONE                line 8, which has as many fields as the first line, and so on
    9  1002,0,"SMS_TEXT",CHW           up to the quote in line 9

A note of several lines is left alone: its lines don't have the fields of a row.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

DELIMITERS = (",", ";", "\t", "|", "\x01")
"""Known ones; the last is what Hive writes. The one that occurs most often in the first line is taken."""

CHUNK = 1 << 24
"""Bytes looked at in one go."""


def delimiter(file: Path, default: str) -> str:
    """What separates the fields of a file.

    Args:
        file: May be compressed.
        default: Where the first line has none of those known.

    Raises:
        OSError: If the file can't be read.
    """
    first = re.sub(rb'"[^"]*"', b"", _first_line(file))
    counts = {each: first.count(each.encode()) for each in (default, *DELIMITERS)}
    return max(counts, key=lambda each: counts[each])


def text_options(
    file: Path, separator: str, unreadable: list[int | None]
) -> tuple[list[str], dict[str, pa_csv.ParseOptions | pa_csv.ConvertOptions]]:
    """How Arrow is to read a file: as text, so that no cell can fail to be a number, and only empty cells are missing.

    Args:
        file: May be compressed.
        separator: Of its fields.
        unreadable: Takes the number of each line that has another number of fields than the first.

    Returns:
        Names of the columns, and options by their names.

    Raises:
        pyarrow.ArrowException: If it can't be read.
        OSError: The same.
    """

    def skip(row: Any) -> str:
        unreadable.append(row.number)
        return "skip"

    parse = pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True, invalid_row_handler=skip)
    # Of a file, Arrow's reader would go on reading in the background. Closed meanwhile, it may read from the next file
    # opened, which then lacks its beginning.
    names = pa_csv.open_csv(pa.BufferReader(_first_row(file) + b"\n"), parse_options=parse).schema.names
    convert = pa_csv.ConvertOptions(
        column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=True, null_values=[""]
    )
    return names, {"parse_options": parse, "convert_options": convert}


def lines(file: Path) -> tuple[int, bool]:
    """Lines of a file that are not empty, and whether there is a quote in any.

    Raises:
        OSError: If the file can't be read.
    """
    count, quoted, before = 0, False, True
    for chunk in _chunks(file):
        values = np.frombuffer(chunk, dtype=np.uint8)
        breaks = (values == 10) | (values == 13)
        count += int((~breaks[1:] & breaks[:-1]).sum()) + int(before and not breaks[0])
        before = bool(breaks[-1])
        quoted = quoted or b'"' in chunk
    return count, quoted


def line_length(file: Path) -> float:
    """Bytes of a line, on average over the beginning of a file; its names of columns are longer, and don't count.

    Raises:
        OSError: If the file can't be read.
    """
    _, _, rows = _beginning(file).partition(b"\n")
    return len(rows) / max(rows.count(b"\n"), 1) or 1.0


def open_quote(file: Path, separator: str) -> tuple[int, int] | None:
    """The first quote that is not closed where it should be.

    Args:
        file: May be compressed.
        separator: Of its fields.

    Returns:
        Number of the line in which it opens, and lines that its cell reaches over; None if there is none.

    Raises:
        OSError: If the file can't be read.
    """
    text = b"".join(_chunks(file))
    field = re.escape(separator.encode())
    fields = len(re.sub(rb'"[^"]*"', b"", _first_line(file)).split(separator.encode()))
    # A quote that begins a field, all up to one that is not doubled, and that one if it is there.
    quoted = re.compile(rb"(?:\A(?:\xef\xbb\xbf)?|(?<=[\r\n])|(?<=" + field + rb'))"([^"]*+(?:""[^"]*+)*+)("?)')
    for match in quoted.finditer(text):
        inside = match[1]
        parts = re.split(rb"\r\n|\r|\n", inside)
        if len(parts) == 1 and match[2]:
            continue
        after = text[match.end() : match.end() + 1]
        start = max(text.rfind(b"\n", 0, match.start()), text.rfind(b"\r", 0, match.start())) + 1
        column = re.sub(rb'"[^"]*"', b"", text[start : match.start()]).count(separator.encode())
        closed = bool(match[2]) and after in (b"", b"\r", b"\n", separator.encode())
        if not closed or _holds_rows([part.count(separator.encode()) for part in parts], column, fields):
            return len(re.findall(rb"\r\n|\r|\n", text[: match.start()])) + 1, len(parts)
    return None


def _holds_rows(counts: list[int], column: int, fields: int) -> bool:
    """Whether the lines within a cell are rows.

    Args:
        counts: Separators in each line of the cell.
        column: Which field of its row the cell is.
        fields: Of the first line of the file.
    """
    inner = counts[1:-1]
    completes = counts[0] == fields - 1 - column
    if not inner:
        return completes and counts[-1] == column
    return completes and 2 * sum(count == fields - 1 for count in inner) >= len(inner)


def _first_line(file: Path) -> bytes:
    return re.split(rb"[\r\n]", _beginning(file), maxsplit=1)[0]


def _first_row(file: Path) -> bytes:
    """Names of the columns; a name in quotes may hold line breaks."""
    return re.match(rb'(?:"[^"]*"|[^\r\n])*', _beginning(file))[0]


def _beginning(file: Path) -> bytes:
    for chunk in _chunks(file, 1 << 20):
        return chunk.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    return b""


def _chunks(file: Path, size: int = CHUNK) -> Iterator[bytes]:
    with pa.input_stream(str(file), compression="detect") as source:
        while chunk := source.read(size):
            yield chunk
