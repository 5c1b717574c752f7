"""Ways to write one table: by program, type, spelling, delimiter, folder and partition."""

import datetime
import decimal
import gzip
import itertools
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.feather
import pyarrow.parquet as pq

from frl_env.actions import MEDICAID_ACTIONS

Form = Callable[[pd.DataFrame, Path], Path]
"""Writes the table into a folder; returns what is to be imported."""

COUNTS = [f"num_{name}_last_week" for name in ("encounters", "ed_visits", "ip_visits", "calls", "texts")]
NUMBERS = [*COUNTS, "enrolled_days", "total_paid", "reward"]
ACTIONS = [f"action_{factor.name}" for factor in MEDICAID_ACTIONS]
WORDS = [*ACTIONS, "gender", "race_ethnicity"]
FIRST = datetime.date(2024, 12, 2)
"""A Monday; the twelve weeks cross a year's end."""


def dated(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(week=[FIRST + datetime.timedelta(weeks=int(week)) for week in table["week"]])


def typed(table: pd.DataFrame, kinds: dict[str, pa.DataType]) -> pa.Table:
    """An Arrow table with some columns of other types."""
    made = pa.Table.from_pandas(table, preserve_index=False)
    for name, kind in kinds.items():
        number, column = made.schema.get_field_index(name), made.column(name)
        if pa.types.is_decimal(kind):
            exact = [None if v is None else decimal.Decimal(str(v)) for v in column.to_pylist()]
            made = made.set_column(number, name, pa.array(exact, kind))
        else:
            if pa.types.is_dictionary(kind):
                column = column.combine_chunks().dictionary_encode()
            made = made.set_column(number, name, column.cast(kind))
    return made


def parquet(change=lambda t: t, kinds: dict[str, pa.DataType] | None = None, **options) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        pq.write_table(typed(change(table), kinds or {}), folder / "t.parquet", **options)
        return folder / "t.parquet"

    return write


def text(change=lambda t: t, name="t.csv", edit: Callable[[str], str] = lambda s: s, **options) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        content = edit(change(table).to_csv(index=False, **options)).encode()
        (folder / name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
        return folder / name

    return write


def arrow(how: str, compression: str | None = None, kinds: dict[str, pa.DataType] | None = None) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        made = typed(table, kinds or {})
        options = pa.ipc.IpcWriteOptions(compression=compression)
        file = folder / f"t.{how}"
        opened = pa.ipc.new_file if how == "arrow" else pa.ipc.new_stream
        with opened(str(file), made.schema, options=options) as writer:
            writer.write_table(made, max_chunksize=17)
        return file

    return write


def spelled(**changes: Callable[[pd.Series], object]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{name: change(table[name]) for name, change in changes.items()})


def words_for(missing: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return spelled(gender=lambda s: s.where(s.notna(), missing))


def spark(table: pd.DataFrame, folder: Path, parts: int, by: str | None, ending: str) -> Path:
    """The layout of Spark: parts with long names, checksums, `_SUCCESS`, a folder a value."""
    place = folder / "members"
    groups = [(None, table)] if by is None else table.groupby(by, dropna=False)
    for number, (value, rows) in enumerate(groups):
        value = "__HIVE_DEFAULT_PARTITION__" if value is not None and pd.isna(value) else value
        below = place if by is None else place / f"{by}={value}"
        below.mkdir(parents=True, exist_ok=True)
        for part, own in enumerate(np.array_split(np.arange(len(rows)), parts)):
            own = rows.iloc[own] if by is None else rows.iloc[own].drop(columns=by)
            name = f"part-{part:05d}-{uuid.UUID(int=number)}-c000.{ending}"
            if ending == "csv":
                own.to_csv(below / name, index=False)
            else:
                pq.write_table(typed(own, {}), below / name, compression="snappy")
            (below / f".{name}.crc").write_bytes(b"crc")
    (place / "_SUCCESS").touch()
    (place / "._SUCCESS.crc").write_bytes(b"crc")
    return place


def folder_of(*changes: Callable[[pd.DataFrame], pd.DataFrame], ending: str = "parquet") -> Form:
    """A folder with a file for each change, the table's members shared out among them."""

    def write(table: pd.DataFrame, folder: Path) -> Path:
        for number, change in enumerate(changes):
            part = change(table[table["member_id"] % len(changes) == number])
            if ending == "csv":
                part.to_csv(folder / f"{number}.csv", index=False)
            else:
                pq.write_table(pa.Table.from_pandas(part, preserve_index=False), folder / f"{number}.parquet")
        return folder

    return write


def zone(name: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(week=pd.to_datetime(table["week"]).dt.tz_localize(name))


def written(form: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(week=[day.strftime(form) for day in table["week"]])


def other_identifiers(make: Callable[[int], object]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(member_id=[make(int(number)) for number in table["member_id"]])


def noted(table: pd.DataFrame) -> pd.DataFrame:
    """A column of free text that is not read, with lines, commas and quotes in it."""
    notes = itertools.cycle(['fell, "again"', "line one,\nline two, and\n\nline four", 'the 5" step', "", None])
    return table.assign(notes=[next(notes) for _ in range(len(table))])[["notes", *table.columns]]


def thousands(series: pd.Series) -> list[str]:
    return [f"{value:,.2f}" for value in series]


def titled(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=lambda name: name.title())


def european(series: pd.Series) -> list[str]:
    return [f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in series]


def coded(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{f"action_{f.name}": f.encode(table[f"action_{f.name}"]) for f in MEDICAID_ACTIONS})


def through_text(name: str, kind: pa.DataType) -> Form:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.astype({name: str}) if not (pa.types.is_decimal(kind) or pa.types.is_primitive(kind)) else table

    return parquet(change, kinds={name: kind})


def renamed(form: Form, name: str) -> Form:
    return lambda table, folder: form(table, folder).rename(folder / name)


def feather(compression: str) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        pyarrow.feather.write_feather(typed(table, {}), str(folder / "t.feather"), compression=compression)
        return folder / "t.feather"

    return write


def compressed(how: str) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        with pa.output_stream(str(folder / f"t.csv.{how}"), compression="detect") as target:
            target.write(table.to_csv(index=False).encode())
        return folder / f"t.csv.{how}"

    return write


def identifiers_in_bytes(make: Callable[[int], uuid.UUID], kind: pa.DataType) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        made = pa.Table.from_pandas(table, preserve_index=False)
        values = pa.array([make(int(number)).bytes for number in table["member_id"]], pa.binary(16)).cast(kind)
        pq.write_table(made.set_column(0, "member_id", values), folder / "t.parquet")
        return folder / "t.parquet"

    return write


def hive_of_polars(table: pd.DataFrame, folder: Path) -> Path:
    """A folder a value, files numbered with eight digits, missing ones as everybody writes them."""
    for value, rows in table.groupby("gender", dropna=False):
        below = folder / "t" / f"gender={'__HIVE_DEFAULT_PARTITION__' if pd.isna(value) else value}"
        below.mkdir(parents=True)
        kinds = dict.fromkeys([name for name in WORDS if name != "gender"], pa.large_string())
        pq.write_table(typed(rows.drop(columns="gender"), kinds), below / "00000000.parquet", compression="zstd")
    return folder / "t"


def hive_of_pyarrow(table: pd.DataFrame, folder: Path) -> Path:
    pa_dataset.write_dataset(
        pa.Table.from_pandas(table, preserve_index=False), folder / "t", format="parquet",
        partitioning=["race_ethnicity", "gender"], partitioning_flavor="hive",
    )  # fmt: skip
    return folder / "t"


def two_delimiters(table: pd.DataFrame, folder: Path) -> Path:
    table.iloc[:40].to_csv(folder / "a.csv", index=False, sep=";")
    table.iloc[40:].to_csv(folder / "b.csv", index=False)
    return folder


def by_duckdb(table: pd.DataFrame, folder: Path, ending: str, more: str) -> Path:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("t", pa.Table.from_pandas(table, preserve_index=False))
        place = folder / (f"t.{ending}" if not more else "t")
        connection.execute(f"copy t to '{place}' (format {ending}{more})")
    return place


def by_polars(table: pd.DataFrame, folder: Path, ending: str) -> Path:
    import polars

    frame = polars.from_arrow(pa.Table.from_pandas(table, preserve_index=False))
    place = folder / f"t.{ending}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "arrow": frame.write_ipc}[ending](place)
    return place
