"""A table on disk, whatever its format, as a stream of batches.

One file or a folder of them, Parquet, CSV or Arrow; a folder may be partitioned (`year=2024/...`). Every file is read
by its own columns and types, and one that lacks a column has nothing in it there. A few batches are read ahead, no
more, and no message quotes what stands in the table: Arrow's own do.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from frl_env.datasets.table_import.cells.convert import family
from frl_env.datasets.table_import.table_files.data_file import FORMATS, PACKED, DataFile, ending, open_file
from frl_env.datasets.table_import.table_files.folders import table_files
from frl_env.datasets.table_import.table_files.text_files import delimiter, lines, open_quote
from frl_env.errors import UserError, system_reason

NOT_UNPACKED = (*PACKED, ".xz", ".lz4", ".lzma", ".lzo", ".br", ".snappy", ".z", ".7z", ".zip")
UNFINISHED = (".part", ".partial", ".filepart", ".crdownload", ".download", ".tmp")
"""Endings behind that of a table, of what is a part of it and can't be read as it is."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """An open table.

    Args:
        path: File or folder.
        files: Its files, in order.
        schema: All columns of all files, each with the first type that is one; metadata of the first file.
        others: Files of the folder that are not read, because they look like no part of a table.
    """

    path: Path
    files: tuple[DataFile, ...]
    schema: pa.Schema
    others: int = 0

    @property
    def unreadable(self) -> int:
        """Lines of text, so far, that have another number of fields than the first."""
        return sum(len(file.unreadable) for file in self.files)

    def fingerprint(self) -> list[list[Any]]:
        """What tells this table from a changed one: names, sizes and times of its files."""
        stats = [(file.place.name, file.place.stat()) for file in self.files]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def size(self) -> int:
        """Number of rows; an upper guess for text and streams.

        Raises:
            UserError: If a file is damaged.
        """
        try:
            return sum(file.rows() for file in self.files)
        except (pa.ArrowException, OSError) as problem:
            raise _unreadable(self.path, problem) from None

    def expected_rows(self) -> int:
        """Number of rows, as well as can be told before text is read; for people who wait.

        Raises:
            UserError: If a file is damaged.
        """
        try:
            return sum(file.expected_rows() for file in self.files)
        except (pa.ArrowException, OSError) as problem:
            raise _unreadable(self.path, problem) from None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows, some at a time.

        Raises:
            UserError: If a file is damaged; never says what stands in it.
        """
        for file in self.files:
            rows = 0
            file.unreadable.clear()
            try:
                for batch in file.batches(columns):
                    rows += len(batch)
                    yield batch
                if file.kind == "csv":
                    self._look_for_open_quotes(file, rows + len(file.unreadable))
            except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
                if file.kind == "csv":
                    self._look_for_open_quotes(file, None)
                raise _unreadable(self.path, problem) from None

    def lacking(self, column: str) -> int:
        """How many files lack a column."""
        return sum(not file.has(column) for file in self.files)

    def changing(self, columns: list[str]) -> list[str]:
        """Columns that are, say, text in some files and numbers in others."""
        return [name for name in columns if len(self._families(name)) > 1]

    def _families(self, column: str) -> set[str]:
        types = [each.type for file in self.files for each in file.schema if each.name == column]
        types += [pa.string() for file in self.files if column in file.folders and column not in file.schema.names]
        return {family(kind) for kind in types} - {"nothing"}

    def _look_for_open_quotes(self, file: DataFile, rows: int | None) -> None:
        """Looks at a text file whose lines are not as many as its rows.

        Raises:
            UserError: If a quote is not closed.
        """
        try:
            count, quoted = lines(file.place)
            found = open_quote(file.place, file.separator) if quoted and count - 1 != rows else None
        except OSError:
            return
        if found is not None:
            raise _not_closed(self.path, self.files.index(file), len(self.files), *found)


def open_table(path: Path) -> Table:
    """Opens a file or a folder of files.

    Args:
        path: The format is told by the ending: .parquet, .csv (also .tsv, compressed .csv.gz), .arrow, .feather.

    Raises:
        UserError: If there is nothing, of no known or of several formats, or it can't be read.
    """
    if not path.exists():
        raise UserError(f"there is no table {path}; check the path")
    try:
        files = table_files(path)
    except OSError as problem:
        raise UserError(f"can't read {path} ({system_reason(problem, 'no access')})") from None
    if not files:
        raise UserError(f"folder {path} holds no table; known endings: {', '.join(FORMATS)}")
    endings = {ending(file) for file in files}
    known = endings & set(FORMATS)
    kinds = {FORMATS[ending] for ending in known}
    check_whole_folder(str(path), path, (file for file in files if ending(file) not in FORMATS))
    if not kinds:
        raise UserError(f"{path} is no table of a known format; known endings: {', '.join(FORMATS)}")
    if len(kinds) > 1 or len(endings & {".csv", ".tsv"}) > 1:
        raise UserError(f"{path} holds files of several formats ({', '.join(sorted(known))}); keep one")
    places = [file for file in files if ending(file) in FORMATS]
    opened = []
    for place in places:
        try:
            opened.append(open_file(path, place))
        except (pa.ArrowException, OSError, UnicodeDecodeError, TypeError) as problem:
            if FORMATS[ending(place)] == "csv":
                found = _open_quote_in(place)
                if found is not None:
                    raise _not_closed(path, len(opened), len(places), *found) from None
            raise _unreadable(path, problem) from None
        if len(set(names := opened[-1].schema.names)) < len(names):
            first = " (in a text file the first line has them)" if opened[-1].kind == "csv" else ""
            raise UserError(f"can't read {path}: a column name occurs twice{first}; rename or remove one")
    others = len(files) - len(places)
    return Table(path=path, files=tuple(opened), schema=_all_columns(opened), others=others)


def check_whole_folder(name: str, path: Path, unread: Iterable[Path]) -> None:
    """Refuses a folder of which a part would not be read, so that rows would be missing without a word.

    Args:
        name: Of the table, for messages.
        path: The table.
        unread: Files that are not read.

    Raises:
        UserError: If a file is packed as nothing here unpacks it, or not whole, or a folder in it is a link.
    """
    if not path.is_dir():
        return
    inside = (entry for entry in path.rglob("*") if not entry.name.startswith((".", "_")))
    links = sum(entry.is_symlink() and entry.is_dir() for entry in inside)
    if links:
        raise UserError(
            f"{name} holds {links:,} link{'s' if links > 1 else ''} to folders, which are not followed, so that rows "
            "would be missing; put the files themselves there"
        )
    parts = [file for file in unread if any(suffix.lower() in (*FORMATS, ".txt") for suffix in file.suffixes[:-1])]
    packed, unfinished = (sum(file.suffix.lower() in kinds for file in parts) for kinds in (NOT_UNPACKED, UNFINISHED))
    if packed:
        raise UserError(
            f"{name} holds {packed:,} file{'s' if packed > 1 else ''} packed as nothing here unpacks them, so that "
            "rows would be missing; unpack them, or move them away"
        )
    if unfinished:
        raise UserError(
            f"{name} holds {unfinished:,} file{'s' if unfinished > 1 else ''} that look not wholly written or copied "
            f"({', '.join(UNFINISHED)}); let that end, or move them away"
        )


def _all_columns(files: list[DataFile]) -> pa.Schema:
    """Columns of all files; where one has no type in a file, because all of it is empty, that of the next."""
    fields = list(files[0].schema)
    place = {each.name: number for number, each in enumerate(fields)}
    for file in files:
        own = [*file.schema, *(pa.field(name, pa.string()) for name in file.folders if name not in file.schema.names)]
        for each in own:
            number = place.setdefault(each.name, len(fields))
            if number == len(fields):
                fields.append(each)
            elif pa.types.is_null(fields[number].type):
                fields[number] = each
    return pa.schema(fields, metadata=files[0].schema.metadata)


def _open_quote_in(place: Path) -> tuple[int, int] | None:
    """Where a text file that can't be read has an unclosed quote; None if that is not why it can't be."""
    try:
        return open_quote(place, delimiter(place, ",")) if lines(place)[1] else None
    except OSError:
        return None


def _not_closed(path: Path, number: int, files: int, line: int, span: int) -> UserError:
    """Error for a quote that is not closed; the name of a file below a folder may hold an identifier."""
    where = f"line {line:,}" if files == 1 else f"line {line:,} of file {number + 1:,} of {files:,}"
    return UserError(
        f"can't read {path}: a quote opens in {where} and is not closed there; what should be {span:,} "
        f"line{'s' if span != 1 else ''} became one cell; close the quote, or double it where it is part of the text"
    )


def _unreadable(path: Path, problem: Exception) -> UserError:
    text = str(problem)
    for sign, meaning in (
        ("UTF8", "it is not UTF-8 text; save it as UTF-8"),
        ("codec can't decode", "it is not UTF-8 text; save it as UTF-8"),
        ("duplicate field", "a column name occurs twice; rename or remove one"),
        ("Empty CSV", "it is empty"),
        ("cannot infer number of columns", "it is empty"),
        ("straddling", "a cell is longer than a megabyte; check its quotes"),
        ("magic", "it is cut off or of another format than its ending says; write it again"),
        ("Not an Arrow file", "it is cut off or of another format than its ending says; write it again"),
    ):
        if sign in text:
            return UserError(f"can't read {path}: {meaning}")
    if isinstance(problem, FileNotFoundError | PermissionError):
        return UserError(f"can't read {path} ({system_reason(problem, 'no access')})")
    return UserError(f"can't read {path}: it is damaged, or its files don't fit together; write it again")
