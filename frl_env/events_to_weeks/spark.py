"""The same expressions on Spark: a cluster that is there already, or local mode.

Stages are Parquet folders beside the result, which driver and workers must both reach. The session that is running is
used if there is one, and gets its settings back afterwards.
"""

import os
import warnings
from collections.abc import Iterator
from functools import partial, reduce
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from frl_env.errors import UserError
from frl_env.events_to_weeks.engine import Engine, load_ibis, partitioned, read_arrow, separator_of, table_files
from frl_env.events_to_weeks.event_tables.spec import TableSpec

INSTALL = "--engine spark needs PySpark and Java 17; install them with: pip install 'pyspark>=4'"
ZONE = "spark.sql.session.timeZone"
INFERRED = "spark.sql.sources.partitionColumnTypeInference.enabled"
"""Whether a folder `county=01003` stands for the number 1003."""


class Spark(Engine):
    """Spark.

    Args:
        folder: Where stages go.
        master: Of the cluster.

    Raises:
        UserError: If PySpark or Java is missing.
    """

    name = "spark"

    def __init__(self, folder: Path, *, master: str) -> None:
        """Starts a session, or takes the one that runs."""
        ibis = load_ibis()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PySpark's imports warn of newer pandas, which is not used here
                from pyspark.errors import PySparkException  # pyright: ignore[reportMissingImports] - may be missing
                from pyspark.sql import SparkSession  # pyright: ignore[reportMissingImports]
        except ImportError:
            raise UserError(INSTALL) from None
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder.resolve()
        self._errors: Any = PySparkException
        active = SparkSession.getActiveSession()
        self._own = active is None
        if active is None:
            builder = SparkSession.builder.master(master).appName("frl weeks").config("spark.ui.enabled", "false")
            if master.startswith("local"):
                partitions = str(max(2, os.cpu_count() or 2))
                builder = builder.config("spark.sql.shuffle.partitions", partitions).config("spark.log.level", "ERROR")
            try:
                active = builder.getOrCreate()
            except Exception:
                raise UserError(f"Spark does not start at {master}; {INSTALL}") from None
        self._session = active
        self._settings = {name: active.conf.get(name) for name in (ZONE, INFERRED)}
        active.conf.set(INFERRED, "false")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._connection = ibis.pyspark.connect(active)

    def open(self, label: str, table: TableSpec) -> Any:
        """The raw table."""
        files, kind = table_files(label, table)
        paths = [str(file.resolve()) for file in files]
        base = {"basePath": str(table.path.resolve())} if partitioned(table.path, files) else {}
        with self._said(f"read {table.path}"):
            if kind == "database":
                raise UserError(f"table {label}: Spark can't read DuckDB files; export it to Parquet, or use DuckDB")
            if kind == "parquet":
                for file in files:
                    for field in pq.read_schema(file):
                        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
                            raise UserError(
                                f"table {label}: Spark can't read column {field.name!r}, times in nanoseconds; write "
                                "them in microseconds"
                            )
                frame = self._session.read.options(mergeSchema="true", **base).parquet(*paths)
            elif kind == "csv":
                frame = self._text(paths, separator_of(files[0]), base)
            else:
                frame = self._session.createDataFrame(read_arrow(table.path, files))
            frame.createOrReplaceTempView(f"raw_{label}")
            return self._table(f"raw_{label}")

    def _text(self, paths: list[str], separator: str, base: dict[str, str]) -> Any:
        """Text files by the names of their columns: Spark reads several at once by place, whatever they are called."""
        reader = self._session.read.options(**base)
        read = partial(
            reader.csv, header=True, sep=separator, quote='"', escape='"', multiLine=True, inferSchema=False
        )  # fmt: skip
        by_columns: dict[tuple[str, ...], list[str]] = {}
        for path in paths:
            by_columns.setdefault(tuple(read(path).columns) if len(paths) > 1 else (), []).append(path)
        frames = [read(alike) for alike in by_columns.values()]
        return reduce(lambda first, second: first.unionByName(second, allowMissingColumns=True), frames)

    def keep(self, name: str, expression: Any, *, lasting: bool = True) -> Any:
        """A Parquet folder, whether or not it has to last."""
        place = self._folder / name
        with self._said(f"compute {name}"):
            if not (place / "_SUCCESS").exists():
                self._session.sql(self.compile(expression)).write.mode("overwrite").parquet(str(place))
            self._session.read.parquet(str(place)).createOrReplaceTempView(f"stage_{name}")
            return self._table(f"stage_{name}")

    def save(self) -> None:
        """All are on disk already."""

    def key(self, text: Any) -> Any:
        """The identifier itself: Spark's own hash has too few bits."""
        return text

    def compile(self, expression: Any) -> str:
        """The expression as SQL of Spark."""
        return str(self._connection.compile(expression))

    def run(self, query: str) -> Iterator[pa.RecordBatch]:
        """Streamed from a sorted folder, part by part."""
        place = self._folder / "result"
        with self._said("compute the result"):
            self._session.sql(query).write.mode("overwrite").parquet(str(place))
        for file in sorted(place.glob("part-*.parquet")):
            yield from pq.ParquetFile(file).iter_batches(1 << 17)

    def rows(self, expression: Any) -> list[dict[str, Any]]:
        """A small result."""
        with self._said("compute figures"):
            return [row.asDict() for row in self._session.sql(self.compile(expression)).collect()]

    def close(self) -> None:
        """Ends a session of its own; gives another its settings back."""
        if self._own:
            self._session.stop()
        else:
            for name, value in self._settings.items():
                self._session.conf.set(name, value)

    def _table(self, name: str) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return self._connection.table(name)

    def _said(self, what: str) -> "_OneLine":
        return _OneLine(self._errors, what)


class _OneLine:
    """Turns Spark's errors, which quote cells, into one line that doesn't."""

    def __init__(self, errors: Any, what: str) -> None:
        self._errors, self._what = errors, what

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(self, kind: Any, problem: BaseException | None, trace: Any) -> None:
        """Says it."""
        if problem is None or isinstance(problem, UserError):
            return
        if isinstance(problem, (self._errors, OSError)) or type(problem).__name__.startswith("Py4J"):
            raise UserError(
                f"Spark can't {self._what}: a file is damaged or not what its ending says, or the cluster failed; "
                "its log says more"
            ) from None
