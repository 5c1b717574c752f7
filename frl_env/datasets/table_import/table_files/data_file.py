"""One file of a table, read by its own columns and types."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.dataset as pa_dataset

from frl_env.datasets.table_import.cells.formulas import with_formulas
from frl_env.datasets.table_import.table_files.folders import folder_columns
from frl_env.datasets.table_import.table_files.text_files import delimiter, line_length, text_options

FORMATS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".arrow": "ipc",
    ".arrows": "ipc",
    ".ipc": "ipc",
    ".feather": "ipc",
}
PACKED = (".gz", ".bz2", ".zst")
"""Endings of compressed text."""

BATCH = 1 << 17
"""Rows read at a time."""

STREAM = b"\xff\xff\xff\xff"
"""How Arrow's streaming format begins."""

LINE = 60
"""Bytes a line of text has at the least, to guess how many there are."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """One file of a table.

    Args:
        place: Where it is.
        kind: "parquet", "csv", "ipc", or "stream" for Arrow's streaming format.
        schema: Its own columns.
        folders: Columns that its folders stand for.
        data: Arrow's view of it; None for what it can only read in one go: streams, and text that is packed with zstd.
        separator: Of the fields of text.
        reading: Options for reading text.
        unreadable: Number of each line of text that has another number of fields than the first.
    """

    place: Path
    kind: str
    schema: pa.Schema
    folders: Mapping[str, str | None]
    data: pa_dataset.Dataset | None = None
    separator: str = ""
    reading: Mapping[str, Any] = field(default_factory=dict)
    unreadable: list[int | None] = field(default_factory=list)

    def has(self, column: str) -> bool:
        """Whether a column is in the file or stands for one of its folders."""
        return column in self.schema.names or column in self.folders

    def batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The rows, some at a time; a column that the file lacks is null.

        Raises:
            pyarrow.ArrowException: If it is damaged.
            OSError: The same, or it can't be read.
        """
        own = [name for name in columns if name in self.schema.names]
        for batch in self._batches(own):
            batch.validate(full=True)  # Arrow trusts its own files: one byte wrong, and the process may crash
            batch = with_formulas(batch) if self.kind == "csv" else batch
            arrays = [
                batch.column(name) if name in own else self._constant(self.folders.get(name), len(batch))
                for name in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=columns)

    def rows(self) -> int:
        """Number of rows; an upper guess for text and streams.

        Raises:
            pyarrow.ArrowException: If it is damaged.
            OSError: The same, or it can't be read.
        """
        if self.kind not in ("csv", "stream") and self.data is not None:
            return self.data.count_rows()
        return self.place.stat().st_size * (10 if self.place.suffix in PACKED else 1) // LINE + 1

    def expected_rows(self) -> int:
        """Number of rows, for text by the length of its first lines.

        Raises:
            pyarrow.ArrowException: If it is damaged.
            OSError: The same, or it can't be read.
        """
        if self.kind != "csv" or self.place.suffix in PACKED:
            return self.rows()
        return round(self.place.stat().st_size / line_length(self.place))

    def _batches(self, columns: list[str]) -> Iterator[pa.RecordBatch]:
        """The wanted columns, a batch of rows at a time, so that a large file never is in memory as a whole."""
        if self.data is not None:
            for part in self._parts(self.data):
                yield from part.to_batches(
                    columns=columns, batch_size=BATCH, batch_readahead=2, fragment_readahead=1, use_threads=True
                )
            return
        read = partial(pa_csv.open_csv, **self.reading) if self.kind == "csv" else pa.ipc.open_stream
        with pa.input_stream(str(self.place), compression="detect") as source, read(source) as stream:
            for batch in stream:
                for start in range(0, len(batch), BATCH):
                    yield batch.select(columns).slice(start, BATCH)

    def _parts(self, data: pa_dataset.Dataset) -> list[Any]:
        """What Arrow may read ahead: of many small groups of rows it would take all into memory at once."""
        if self.kind != "parquet":
            return [data]
        return [part for file in data.get_fragments() for part in file.split_by_row_group()]

    @staticmethod
    def _constant(value: str | None, rows: int) -> pa.Array:
        return pa.nulls(rows) if value is None else pa.array([value] * rows, pa.string())


def open_file(path: Path, place: Path) -> DataFile:
    """One file.

    Raises:
        pyarrow.ArrowException: If it is damaged.
        OSError: The same, or it can't be read.
    """
    kind = FORMATS[ending(place)]
    folders = folder_columns(path, place)
    if kind == "ipc" and _start(place, len(STREAM)) == STREAM:
        with pa.OSFile(str(place), "rb") as source, pa.ipc.open_stream(source) as stream:
            return DataFile(place=place, kind="stream", schema=stream.schema, folders=folders)
    if kind != "csv":
        data = pa_dataset.dataset(str(place), format=kind)
        return DataFile(place=place, kind=kind, schema=data.schema, folders=folders, data=data)
    separator = delimiter(place, "\t" if ending(place) == ".tsv" else ",")
    unreadable: list[int | None] = []
    names, reading = text_options(place, separator, unreadable)
    schema, data = pa.schema([(name, pa.string()) for name in names]), None
    if place.suffix.lower() != ".zst":  # with its columns given, Arrow does not open the file to look for them
        data = pa_dataset.dataset(str(place), schema=schema, format=pa_dataset.CsvFileFormat(**reading))
    return DataFile(
        place=place, kind=kind, schema=schema, folders=folders, data=data, separator=separator, reading=reading,
        unreadable=unreadable,
    )  # fmt: skip


def _start(place: Path, length: int) -> bytes:
    with place.open("rb") as source:
        return source.read(length)


def ending(file: Path) -> str:
    """What tells a file's format; of packed text the ending before that of the packing."""
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in PACKED and suffixes[-2] in (".csv", ".tsv"):
        return suffixes[-2]
    return suffixes[-1] if suffixes else ""
