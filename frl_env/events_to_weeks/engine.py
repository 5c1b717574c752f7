"""Where the relational expressions run: DuckDB within this process, or a Spark that is there already.

The expressions are Ibis and the same for both; what differs is here: how a table is opened, how a stage is kept, and
how rows come back. Stages lie in a folder beside the result, so memory stays bounded and an interrupted conversion
goes on.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from frl_env.datasets.table_import.table_files import folders
from frl_env.datasets.table_import.table_files.source import check_whole_folder
from frl_env.datasets.table_import.table_files.text_files import delimiter
from frl_env.errors import UserError, unknown_name
from frl_env.events_to_weeks.event_tables.spec import TableSpec

ENGINES = ("duckdb", "spark")

PARQUET, TEXT, ARROW, DATABASE = (
    (".parquet", ".pq"),
    (".csv", ".tsv", ".txt", ".gz"),
    (".arrow", ".feather", ".ipc"),
    (".duckdb", ".db"),
)

INSTALL = "frl weeks needs Ibis and DuckDB; install them with: pip install 'frl-medicaid[weeks]'"


def load_ibis() -> Any:
    """The library of expressions.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import ibis
    except ImportError:
        raise UserError(INSTALL) from None
    return ibis


def open_engine(name: str, folder: Path, *, master: str = "local[*]", memory: str = "3GB") -> "Engine":
    """Starts an engine.

    Args:
        name: One of `ENGINES`.
        folder: Where stages are kept.
        master: Of Spark.
        memory: That DuckDB may take before it writes to disk.

    Raises:
        UserError: If the name is unknown or what the engine needs is not installed.
    """
    if name not in ENGINES:
        raise unknown_name("engine", name, ENGINES)
    load_ibis()
    if name == "spark":
        from frl_env.events_to_weeks.spark import Spark

        return Spark(folder, master=master)
    return DuckDB(folder, memory=memory)


class Engine(ABC):
    """A place where expressions run.

    Attributes:
        name: Of the engine.
    """

    name: str

    @abstractmethod
    def open(self, label: str, table: TableSpec) -> Any:
        """The raw table, as an Ibis expression.

        Raises:
            UserError: If it isn't there or can't be read.
        """

    @abstractmethod
    def keep(self, name: str, expression: Any, *, lasting: bool = True) -> Any:
        """Computes a stage once and keeps it; one that is there from before is not computed again.

        Args:
            name: Of the stage.
            expression: What it is.
            lasting: Whether it is on disk at once, for whoever goes on after a crash; else by `save` only.

        Raises:
            UserError: If a file is damaged or the disk is full.
        """

    @abstractmethod
    def save(self) -> None:
        """Puts all stages on disk, so that an interrupted conversion goes on where it was."""

    @abstractmethod
    def key(self, text: Any) -> Any:
        """What stands for an identifier among those of one member: equal where it is equal; its order means nothing."""

    def batches(self, expression: Any) -> Iterator[pa.RecordBatch]:
        """The rows of an expression, in its order."""
        return self.run(self.compile(expression))

    def of_members(self, compiled: str, low: int, high: int) -> Iterator[pa.RecordBatch]:
        """Rows of some members.

        Args:
            compiled: Of an expression with the column `who`; compiling takes long, so it is done once.
            low: First member.
            high: Last member.
        """
        return self.run(f"SELECT * FROM ({compiled}) AS every WHERE who BETWEEN {low} AND {high}")

    @abstractmethod
    def compile(self, expression: Any) -> str:
        """The query of an expression."""

    @abstractmethod
    def run(self, query: str) -> Iterator[pa.RecordBatch]:
        """The rows of a query, in its order."""

    @abstractmethod
    def close(self) -> None:
        """Ends it."""

    def rows(self, expression: Any) -> list[dict[str, Any]]:
        """A small result."""
        return [row for batch in self.batches(expression) for row in batch.to_pylist()]

    def row(self, expression: Any) -> dict[str, Any]:
        """A result of one row."""
        return self.rows(expression)[0]


class DuckDB(Engine):
    """DuckDB in this process.

    Args:
        folder: Where stages and what doesn't fit into memory go.
        memory: Upper limit.
    """

    name = "duckdb"

    def __init__(self, folder: Path, *, memory: str) -> None:
        """Opens the database of the stages."""
        ibis = load_ibis()
        try:
            import duckdb
        except ImportError:
            raise UserError(INSTALL) from None
        self._errors = duckdb.Error

        @ibis.udf.scalar.builtin(name="hash", signature=((ibis.dtype("string"),), ibis.dtype("uint64")))
        def hash_of(text: Any) -> Any: ...

        self._hash = hash_of
        self._ibis = ibis
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        # ibis loads a progress bar and autoloads extensions otherwise; nothing here may reach the network.
        with self._said("stages", folder):
            self._connection = ibis.duckdb.connect(
                str(folder / "stages.duckdb"),
                memory_limit=memory,
                temp_directory=str(folder / "spill"),
                preserve_insertion_order=False,
                autoinstall_known_extensions=False,
                autoload_known_extensions=False,
                # Stages are read a few times and then thrown away: compressing them costs more than it saves.
                force_compression="uncompressed",
            )
        self._raw = self._connection.con
        self._database = self._raw.execute("SELECT current_database()").fetchone()[0]
        self._raw.execute("SET TimeZone = 'UTC'").fetchall()
        self._raw.execute("SET enable_progress_bar = false").fetchall()
        # Joins here have the small table to their right. Estimates miss that, and the hash table would hold all claims.
        self._raw.execute("SET disabled_optimizers = 'build_side_probe_side'").fetchall()

    def open(self, label: str, table: TableSpec) -> Any:
        """The raw table."""
        files, kind = table_files(label, table)
        with self._said(label, table.path):
            if kind == "database":
                alias = f"source_{label}"
                attached = {
                    row[0] for row in self._raw.execute("SELECT database_name FROM duckdb_databases()").fetchall()
                }
                if alias not in attached:
                    quoted = str(table.path).replace("'", "''")
                    self._raw.execute(f"ATTACH '{quoted}' AS {alias} (READ_ONLY)").fetchall()
                schema, _, inner = table.table.rpartition(".")
                found = self._raw.table(".".join(map(_quoted, (alias, schema or "main", inner or label))))
                # Words of an ENUM are compared, ordered and hashed by their places in its list.
                words = [name for name, of in zip(found.columns, found.types, strict=True) if of.id == "enum"]
                if words:
                    as_text = ", ".join(f"{name}::VARCHAR AS {name}" for name in map(_quoted, words))
                    found = found.project(f"* REPLACE ({as_text})")
            elif kind == "parquet":
                listed = ", ".join("'" + str(file).replace("'", "''") + "'" for file in files)
                found = self._raw.sql(  # what folders stand for stays text: 01003 is no number
                    f"FROM read_parquet([{listed}], union_by_name = true, hive_types_autocast = false, "
                    f"hive_partitioning = {partitioned(table.path, files)})"
                )
            elif kind == "csv":
                separator = separator_of(files[0])
                found = self._raw.read_csv(
                    [str(file) for file in files], header=True, all_varchar=True, delimiter=separator, quotechar='"',
                    escapechar='"', parallel=True, union_by_name=len(files) > 1,
                )  # fmt: skip
            else:
                found = read_arrow(table.path, files)
            view = f"raw_{label}"
            if kind == "arrow":
                self._raw.register(view, found)
            elif kind == "csv":  # text is parsed once only, and a damaged line is found here
                if not self._has(view):
                    found.create(view)
            else:
                found.create_view(view, replace=True)
            return self._connection.table(view)

    def keep(self, name: str, expression: Any, *, lasting: bool = True) -> Any:
        """A table of the database, or one in memory that goes to disk where memory does not do."""
        if not self._has(name):
            kind = "TABLE" if lasting else "TEMPORARY TABLE"
            with self._said(name):
                self._raw.execute(f'CREATE {kind} "{name}" AS {self.compile(expression)}').fetchall()
        return self._connection.table(name)

    def key(self, text: Any) -> Any:
        """A hash of 64 bits: the chance that two of a member's 10,000 identifiers share one is 3 in 10 to the 12th."""
        return self._hash(text)

    def save(self) -> None:
        """Stages in memory become tables of the database."""
        for (name,) in self._raw.execute("SELECT table_name FROM duckdb_tables() WHERE temporary").fetchall():
            self._raw.execute(f'CREATE TABLE {self._database}.main."{name}" AS FROM temp.main."{name}"').fetchall()

    def compile(self, expression: Any) -> str:
        """The expression as SQL of DuckDB."""
        return str(self._connection.compile(expression))

    def run(self, query: str) -> Iterator[pa.RecordBatch]:
        """Streamed."""
        with self._said("result"):
            yield from self._raw.sql(query).to_arrow_reader(1 << 17)

    def close(self) -> None:
        """Closes the database."""
        self._connection.disconnect()

    def _has(self, name: str) -> bool:
        """Whether there is a stage; a table of that name in a file that is read is none."""
        there = "SELECT 1 FROM duckdb_tables() WHERE table_name = ? AND database_name IN (?, 'temp')"
        return bool(self._raw.execute(there, [name, self._database]).fetchall())

    def _said(self, what: str, path: Path | None = None) -> "_OneLine":
        return _OneLine(self._errors, what, path)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


class _OneLine:
    """Turns an engine's errors, which quote cells, into one line that doesn't."""

    def __init__(self, errors: Any, what: str, path: Path | None = None) -> None:
        self._errors, self._what, self._path = errors, what, path

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, problem: BaseException | None, trace: Any) -> None:
        if problem is None or isinstance(problem, UserError):
            return
        where = f"can't read {self._path}" if self._path is not None else f"can't compute {self._what}"
        text = str(problem)
        if isinstance(problem, self._errors):
            if "INTERRUPT" in text:
                raise KeyboardInterrupt from None
            for sign, meaning in (
                ("Memory must have", "it is no amount of memory; write --memory like 3GB"),
                ("Unknown unit for memory", "it is no amount of memory; write --memory like 3GB"),
                ("Could not set lock", "the same command is running already; wait for it, or end it"),
                ("No space left", "the disk is full; free some, and run the same command again"),
                ("quota", "the disk quota is used up; free some space, and run the same command again"),
                ("File too large", "no file may become that large here; raise the limit, or write elsewhere"),
                ("Out of Memory", "too little memory or disk to spill to; give more with --memory"),
                ("does not exist", "it is not there, or has no such table; check path and table in the spec"),
                ("not a valid DuckDB", "it is no DuckDB file; check path in the spec"),
                ("UTF", "it is not UTF-8 text; save it as UTF-8"),
                ("unicode", "it is not UTF-8 text; save it as UTF-8"),
            ):
                if sign in text:
                    raise UserError(f"{where}: {meaning}") from None
        if isinstance(problem, (self._errors, pa.ArrowException, OSError)):
            raise UserError(f"{where}: a file is damaged, empty, or not what its ending says; write it again") from None


def table_files(label: str, table: TableSpec) -> tuple[list[Path], str]:
    """The files of a table and their format.

    Raises:
        UserError: If there are none, or of several formats.
    """
    path = table.path
    if not path.exists():
        raise UserError(f"table {label}: {path} does not exist; check path in the spec")
    if path.is_dir():
        found = folders.table_files(path)
        files = [file for file in found if _format(file)]
        check_whole_folder(f"table {label}: {path}", path, (file for file in found if not _format(file)))
    else:
        files = folders.table_files(path)
    kinds = {_format(file) for file in files}
    if len(kinds) != 1 or None in kinds:
        raise UserError(
            f"table {label}: {path} is no Parquet, CSV, Arrow or DuckDB file, nor a folder with files of one kind"
        )
    kind = kinds.pop()
    if any(not os.access(file, os.R_OK) for file in files):
        raise UserError(f"table {label}: {path} can't be read; check who may")
    if kind == "csv" and any(file.stat().st_size == 0 for file in files):
        raise UserError(f"table {label}: {path} is empty; write it again")
    return files, str(kind)


def _format(file: Path) -> str | None:
    for kind, endings in (("parquet", PARQUET), ("csv", TEXT), ("arrow", ARROW), ("database", DATABASE)):
        if file.suffix.lower() in endings:
            return kind
    return None


def separator_of(file: Path) -> str:
    """What stands between the cells of a text file: a comma, or what its first line has instead."""
    return delimiter(file, "\t" if ".tsv" in file.name else ",")


def partitioned(path: Path, files: list[Path]) -> bool:
    """Whether the folders between a table and its files stand for columns (`year=2024/...`), the same for all files."""
    names = {tuple(folders.folder_columns(path, file)) for file in files}
    return len(names) == 1 and names != {()}


def read_arrow(path: Path, files: list[Path]) -> pa.Table:
    """The rows of Arrow files, with the columns that their folders stand for.

    Args:
        path: The table.
        files: Of it.
    """
    parts = []
    for file in files:
        part = _arrow_file(file)
        for name, value in folders.folder_columns(path, file).items():
            part = part.drop_columns([name] if name in part.column_names else [])
            part = part.append_column(name, pa.array([value] * len(part), pa.string()))
        parts.append(part)
    return pa.concat_tables(parts, promote_options="default")


def _arrow_file(file: Path) -> pa.Table:
    """An Arrow file or stream; numbers of types that no engine reads become fractions."""
    with pa.OSFile(str(file)) as source:
        try:
            table = pa.ipc.open_file(source).read_all()
        except pa.ArrowInvalid:
            source.seek(0)
            table = pa.ipc.open_stream(source).read_all()
    for place, field in enumerate(table.schema):
        if pa.types.is_float16(field.type) or pa.types.is_decimal256(field.type):
            table = table.set_column(place, field.name, table.column(place).cast(pa.float64()))
    return table
