"""Rows of a table too large for memory, sorted out by member into files that are not.

Every member's rows end up in one file, chosen by a hash of the identifier; which one depends on nothing else, so that
the order of the table's rows does not matter.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pandas.util
import pyarrow as pa
from jaxtyping import Float64, Int64, UInt64

from frl_env.datasets.behind import Behind
from frl_env.datasets.table_import.cells.convert import pc
from frl_env.datasets.table_import.schema.columns import MEMBER

ROWS = 400_000
"""Rows that a file is to hold, about; sorting them takes some 200 MB."""

AT_ONCE = 1 << 17
"""Rows sorted out in one go, at the least: a file of small groups of rows would cost the more."""

MOST_FILES = 512
"""Files that rows are sorted into, at most."""

MOST_ROWS = 10 * ROWS
"""Rows of one file that can't come about by chance: one identifier has nearly all."""


def partition_files(folder: Path, rows: int) -> list[Path]:
    """Names of the files for so many rows."""
    count = int(np.clip(-(-rows // ROWS), 1, MOST_FILES))
    return [partition_file(folder, number) for number in range(count)]


def partition_file(folder: Path, number: int) -> Path:
    """Name of one file."""
    return folder / f"rows-{number:03d}.arrow"


def partition(batches: Iterable[pa.RecordBatch], schema: pa.Schema, files: list[Path]) -> list[int]:
    """Writes rows into the file of their member, replacing what was there.

    Args:
        batches: The rows.
        schema: Theirs.
        files: Where to.

    Returns:
        Rows of each file.

    Raises:
        OSError: If a file can't be written.
    """
    rows = np.zeros(len(files), dtype=np.int64)
    options = pa.ipc.IpcWriteOptions(compression="lz4" if pa.Codec.is_available("lz4") else None)
    with ExitStack() as opened:
        writers = []
        for file in files:
            sink = opened.enter_context(pa.OSFile(str(file), "wb"))
            writers.append(opened.enter_context(pa.ipc.new_stream(sink, schema, options=options)))
        writing = opened.enter_context(Behind())  # left first, before files are closed
        for gathered in _gathered(batches):
            writing(_sort_out, gathered, writers, rows)
    return rows.tolist()


def _gathered(batches: Iterable[pa.RecordBatch]) -> Iterator[list[pa.RecordBatch]]:
    """Batches with at least `AT_ONCE` rows together, but for the last."""
    some, rows = [], 0
    for batch in batches:
        some.append(batch)
        rows += len(batch)
        if rows >= AT_ONCE:
            yield some
            some, rows = [], 0
    if rows:
        yield some


def _sort_out(
    batches: list[pa.RecordBatch], writers: list[pa.ipc.RecordBatchStreamWriter], rows: Int64[np.ndarray, "file"]
) -> None:
    """Writes rows into the file of their member, and counts them there."""
    batch = batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
    if len(writers) == 1:
        writers[0].write_batch(batch)
        rows += len(batch)
        return
    members = batch.column(MEMBER).dictionary_encode()
    own = (hashes(members.dictionary) % np.uint64(len(writers))).astype(np.uint16)
    where = own[members.indices.to_numpy()]
    counts = np.bincount(where, minlength=len(writers))
    ordered = batch.take(pa.array(np.argsort(where, kind="stable")))
    starts = np.cumsum(counts) - counts
    for number in np.flatnonzero(counts):
        writers[number].write_batch(ordered.slice(starts[number], counts[number]))
    rows += counts


def read_partition(file: Path) -> pa.Table:
    """All rows of one file, in memory."""
    with pa.OSFile(str(file), "rb") as source, pa.ipc.open_stream(source) as stream:
        return stream.read_all()


def sorted_identifiers(column: pa.ChunkedArray) -> tuple[pa.Array, np.ndarray]:
    """Different identifiers, shorter first and then by text (which puts whole numbers in order), and each row's."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):
        encoded = encoded.combine_chunks()
    words = encoded.dictionary
    order = np.lexsort((pc.rank(words, "ascending", tiebreaker="dense").to_numpy(), pc.utf8_length(words).to_numpy()))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return words.take(pa.array(order)), rank[encoded.indices.to_numpy()]


def hashes(identifiers: pa.Array) -> UInt64[np.ndarray, "n"]:
    """A number for each identifier, the same on every machine."""
    words = np.asarray(identifiers.to_numpy(zero_copy_only=False), dtype=object)
    tools: Any = pandas.util
    return tools.hash_array(words, categorize=False)


def shares(identifiers: pa.Array) -> Float64[np.ndarray, "n"]:
    """A number in 0..1 for each identifier, independent of the file that it is in; to draw members by."""
    return (hashes(identifiers) >> np.uint64(32)) / 2.0**32
