"""A table on disk, whatever its format, as a stream of batches.

One file or a folder of them, Parquet, CSV or Arrow; a folder may be partitioned (`year=2024/...`). A few batches are
read ahead, no more, and no message quotes what stands in the table: Arrow's own do.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from frl_env.errors import UserError

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
PACKED = (".gz", ".bz2", ".zst")
"""Endings of compressed text."""

BATCH = 1 << 17
"""Rows read at a time."""

LINE = 60
"""Bytes a line of text has at the least, to guess how many there are."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """An open table.

    Args:
        path: File or folder.
        files: Its files, in order.
        kind: "parquet", "csv" or "ipc".
        data: Arrow's view of it.
        unreadable: Number of each line of text that has another number of fields than the first.
    """

    path: Path
    files: tuple[Path, ...]
    kind: str
    data: pa_dataset.Dataset
    unreadable: list[int | None]

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self.data.schema

    def fingerprint(self) -> list[list[Any]]:
        """What tells this table from a changed one: names, sizes and times of its files."""
        stats = [(file.name, file.stat()) for file in self.files]
        return [[name, stat.st_size, stat.st_mtime_ns] for name, stat in stats]

    def size(self) -> int:
        """Number of rows; an upper guess for text.

        Raises:
            UserError: If a file is damaged.
        """
        if self.kind == "csv":
            packed = any(file.suffix in PACKED for file in self.files)
            return sum(file.stat().st_size for file in self.files) * (10 if packed else 1) // LINE + 1
        try:
            return self.data.count_rows()
        except (pa.ArrowException, OSError) as problem:
            raise _unreadable(self.path, problem) from None

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows, some at a time.

        Raises:
            UserError: If a file is damaged; never says what stands in it.
        """
        self.unreadable.clear()
        try:
            for batch in self.data.to_batches(
                columns=columns, batch_size=BATCH, batch_readahead=2, fragment_readahead=1, use_threads=True
            ):
                batch.validate(full=True)  # Arrow trusts its own files: one byte wrong, and the process may crash
                yield batch
        except (pa.ArrowException, OSError, UnicodeDecodeError) as problem:
            raise _unreadable(self.path, problem) from None

    def changing(self, columns: list[str]) -> list[str]:
        """Columns whose type is not the same in all files.

        Raises:
            UserError: If a file is damaged.
        """
        if self.kind == "csv" or len(self.files) == 1:
            return []
        changing = set()
        for fragment in self.data.get_fragments():
            try:
                own = fragment.physical_schema
            except (pa.ArrowException, OSError) as problem:
                raise _unreadable(self.path, problem) from None
            changing |= {
                name for name in columns if name in own.names and own.field(name).type != self.schema.field(name).type
            }
        return sorted(changing)


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
        files = _files(path)
    except OSError as problem:
        raise UserError(f"can't read {path} ({problem.strerror})") from None
    endings = {_ending(file) for file in files}
    kinds = {FORMATS[ending] for ending in endings if ending in FORMATS}
    if not kinds:
        raise UserError(f"{path} is no table of a known format; known endings: {', '.join(FORMATS)}")
    if len(kinds) > 1 or len(endings & {".csv", ".tsv"}) > 1:
        raise UserError(f"{path} holds files of several formats ({', '.join(sorted(endings))}); keep one")
    kind = kinds.pop()
    unreadable: list[int | None] = []
    places = [str(file) for file in files if _ending(file) in FORMATS]
    options: dict[str, Any] = {"partitioning": "hive", "partition_base_dir": str(path)} if path.is_dir() else {}
    try:
        data = pa_dataset.dataset(places, format=_format(kind, endings, places, unreadable), **options)
    except (pa.ArrowException, OSError, UnicodeDecodeError, TypeError) as problem:
        raise _unreadable(path, problem) from None
    return Table(path=path, files=tuple(map(Path, places)), kind=kind, data=data, unreadable=unreadable)


def _files(path: Path) -> list[Path]:
    """All files of a table; hidden ones, and what Spark leaves beside them, don't count."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file())
    return [f for f in found if not any(part.startswith((".", "_")) for part in f.relative_to(path).parts)]


def _ending(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in PACKED and suffixes[-2] in (".csv", ".tsv"):
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""


def _format(kind: str, endings: set[str], places: list[str], unreadable: list[int | None]) -> Any:
    """How Arrow is to read the files; text is taken as text, so that no cell can fail to be a number."""
    if kind != "csv":
        return kind

    def skip(row: Any) -> str:
        unreadable.append(row.number)
        return "skip"

    parse = pa_csv.ParseOptions(
        delimiter="\t" if ".tsv" in endings else ",", newlines_in_values=True, invalid_row_handler=skip
    )
    guess = pa_dataset.dataset(places, format=pa_dataset.CsvFileFormat(parse_options=parse))
    return pa_dataset.CsvFileFormat(
        parse_options=parse,
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(guess.schema.names, pa.string()), strings_can_be_null=True
        ),
    )


def _unreadable(path: Path, problem: Exception) -> UserError:
    text = str(problem)
    for sign, meaning in (
        ("UTF8", "it is not UTF-8 text; save it as UTF-8"),
        ("multiple columns named", "a column name occurs twice; rename or remove one"),
        ("duplicate field", "a column name occurs twice; rename or remove one"),
        ("Empty CSV", "it is empty"),
        ("cannot infer number of columns", "it is empty"),
        ("magic", "it is cut off or of another format than its ending says; write it again"),
        ("Not an Arrow file", "it is cut off or of another format than its ending says; write it again"),
    ):
        if sign in text:
            return UserError(f"can't read {path}: {meaning}")
    if isinstance(problem, FileNotFoundError | PermissionError):
        return UserError(f"can't read {path} ({problem.strerror or 'no access'})")
    return UserError(f"can't read {path}: it is damaged, or its files don't fit together; write it again")
