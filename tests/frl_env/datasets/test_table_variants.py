"""One table in more than two hundred valid forms: all import to the same bytes.

Forms differ in who wrote them, in types, words for missing values, delimiters, quotes, folders and partitions. What a
form means is the same to any person who looks at it, so it must be the same here.
"""

import csv
import datetime
import decimal
import gzip
import importlib.util
import itertools
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.tabular import ColumnMap, import_table

Form = Callable[[pd.DataFrame, Path], Path]
"""Writes the table into a folder; returns what is to be imported."""

COUNTS = [f"num_{name}_last_week" for name in ("encounters", "ed_visits", "ip_visits", "calls", "texts")]
NUMBERS = [*COUNTS, "enrolled_days", "total_paid", "reward"]
ACTIONS = [f"action_{factor.name}" for factor in MEDICAID_ACTIONS]
WORDS = [*ACTIONS, "gender", "race_ethnicity"]
FIRST = datetime.date(2024, 12, 2)
"""A Monday; the twelve weeks cross a year's end."""


@pytest.fixture(scope="session")
def people(whole_table) -> pd.DataFrame:
    """Ten members, weeks by number; one has no gender, one has spent thousands, somebody's end is known."""
    table = whole_table[whole_table["member_id"] < 1010][["member_id", "week", *NUMBERS, *WORDS, "terminated"]].copy()
    table.loc[table["member_id"] == 1003, "gender"] = None
    table["total_paid"] = (table["total_paid"].astype(float) * 1.37).round(2)
    table.loc[table["member_id"] == 1004, "total_paid"] = 1_234.5
    last = table.groupby("member_id").tail(1).index
    table.loc[last[:2], "terminated"] = True
    return table.reset_index(drop=True)


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


def number_forms() -> Iterator[tuple[str, Form]]:
    """Forms of the table whose weeks are numbers."""
    for compression, page in itertools.product(("none", "snappy", "zstd", "gzip"), ("1.0", "2.0")):
        options = {"compression": compression, "data_page_version": page, "row_group_size": 7}
        yield f"parquet {compression} {page}", parquet(**options)
    yield "parquet 1.0", parquet(version="1.0")
    yield "parquet without dictionaries", parquet(use_dictionary=False)
    for kind in (pa.int8(), pa.int16(), pa.int64(), pa.uint8(), pa.uint64(), pa.float32(), pa.float64(),
                 pa.decimal128(38, 0), pa.decimal128(38, 10), pa.decimal256(50, 10), pa.string()):  # fmt: skip
        yield f"counts as {kind}", parquet(kinds=dict.fromkeys(COUNTS, kind))
    for kind in (pa.int32(), pa.int64(), pa.uint32(), pa.float64(), pa.decimal128(38, 0), pa.decimal128(38, 10),
                 pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(),
                 pa.dictionary(pa.int32(), pa.int64())):  # fmt: skip
        way = arrow("arrow", kinds={"member_id": kind})
        yield f"members as {kind}", way if pa.types.is_dictionary(kind) else _through_text("member_id", kind)
    for kind in (pa.int8(), pa.int64(), pa.uint16(), pa.float64(), pa.decimal128(38, 0), pa.decimal128(38, 10),
                 pa.string(), pa.large_string()):  # fmt: skip
        yield f"weeks as {kind}", parquet(kinds={"week": kind})
    for kind in (pa.float32(), pa.decimal128(12, 2), pa.decimal128(38, 10), pa.string()):
        yield f"payments as {kind}", parquet(kinds={"total_paid": kind})
    for kind in (pa.int8(), pa.int64(), pa.float64(), pa.string()):
        yield f"end as {kind}", parquet(kinds={"terminated": kind})
    for kind in (pa.large_string(), pa.string_view(), pa.binary(), pa.dictionary(pa.int8(), pa.string()),
                 pa.dictionary(pa.int32(), pa.large_string())):  # fmt: skip
        yield f"words as {kind}", parquet(kinds=dict.fromkeys(WORDS, kind))
    for kind in (pa.int8(), pa.int64(), pa.float64(), pa.decimal128(38, 0), pa.decimal128(38, 10), pa.string()):
        yield f"codes as {kind}", parquet(coded, kinds=dict.fromkeys(ACTIONS, kind))
    yield "codes with a point in text", text(lambda t: coded(t).astype(dict.fromkeys(ACTIONS, float)))
    for name, change in (
        ("upper-case names", lambda t: t.rename(columns=str.upper)), ("names in title case", _titled),
        ("blanks around names", lambda t: t.rename(columns=" {} ".format)),
    ):  # fmt: skip
        yield f"{name}, parquet", parquet(change)
        yield f"{name}, csv", text(change)
    for name, change in (("lower", str.lower), ("title", str.title), ("spaced", lambda s: s.replace("_", " ")),
                         ("dashed", lambda s: s.lower().replace("_", "-"))):  # fmt: skip
        spelling = spelled(**{column: lambda s, c=change: s.map(c) for column in ACTIONS})
        yield f"levels {name}, parquet", parquet(spelling)
        yield f"levels {name}, csv", text(spelling)
    for how, compression in itertools.product(("arrow", "arrows", "ipc"), (None, "lz4", "zstd")):
        yield f"{how} {compression}", arrow(how, compression)
    yield "a stream under another ending", _renamed(arrow("arrows"), "t.arrow")
    for compression in ("uncompressed", "lz4", "zstd"):
        yield f"feather {compression}", _feather(compression)
    for separator, quoting, end in itertools.product(
        (",", ";", "\t", "|", "\x01"), (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC), ("\n", "\r\n")
    ):
        options = {"sep": separator, "quoting": quoting, "lineterminator": end}
        yield f"csv {separator!r} {quoting} {end!r}", text(**options)
        yield f"csv {separator!r} {quoting} {end!r} with notes", text(noted, **options)
    for name in ("t.csv.gz", "t.tsv", "t.tsv.gz"):
        yield name, text(name=name, sep="\t" if "tsv" in name else ",")
    for packed in ("bz2", "zst"):
        yield f"csv.{packed}", _packed(packed)
    yield "byte-order mark", text(edit=lambda s: "\ufeff" + s)
    yield "no end of the last line", text(edit=str.rstrip)
    yield "empty lines", text(edit=lambda s: s.replace("\n", "\n\n"))
    yield "blanks in cells", text(spelled(action_goal=lambda s: " " + s + "  "))
    for missing in ("", "NULL", "null", "\\N", "NaN", "nan", "<NA>", "#N/A"):
        yield f"csv with {missing!r} for missing", text(na_rep=missing)
        yield f"csv with {missing!r} for missing, all quoted", text(na_rep=missing, quoting=csv.QUOTE_ALL)
        yield f"parquet with {missing!r} for missing", parquet(words_for(missing))
        if missing:
            yield f"no end: {missing!r}", text(spelled(terminated=lambda s, m=missing: s.map({True: "1", False: m})))
    for yes, no in (("true", "false"), ("True", "False"), ("T", "F"), ("Y", "N"), ("yes", "no"), ("1", "0"),
                    ("1.0", "0.0"), ("1", "")):  # fmt: skip
        change = spelled(terminated=lambda s, y=yes, n=no: s.map({True: y, False: n}))
        yield f"end as {yes}/{no or 'blank'}, csv", text(change)
        yield f"end as {yes}/{no or 'blank'}, parquet", parquet(change)
    yield "end as 1 or null", parquet(spelled(terminated=lambda s: s.map({True: 1.0, False: None})))
    yield "payments with commas", text(spelled(total_paid=thousands))
    yield "payments with commas in parquet", parquet(spelled(total_paid=thousands))
    yield "payments in dollars", text(spelled(total_paid=lambda s: [f"${value:,.2f}" for value in s]))
    yield "payments with decimal commas", text(sep=";", decimal=",")
    yield "payments with points and a comma", text(spelled(total_paid=_european), sep=";")
    yield "members once floats, in text", text(lambda t: t.astype({"member_id": float}))
    for number, (parts, by, ending) in enumerate(itertools.product((1, 3), (None, *WORDS[-2:]), ("parquet", "csv"))):
        yield f"spark {number}", lambda t, d, p=parts, b=by, e=ending: spark(t, d, p, b, e)
    yield "spark snappy", lambda t, d: spark(t, d, 2, "gender", "snappy.parquet")
    yield "hive by week", lambda t, d: spark(t, d, 1, "week", "parquet")
    yield "hive by member", lambda t, d: spark(t, d, 1, "member_id", "parquet")
    yield "hive by modality", lambda t, d: spark(t, d, 1, "action_modality", "csv")
    yield "pyarrow's hive", _hive_of_pyarrow
    yield "two shuffled files", folder_of(lambda t: t, lambda t: t.sample(frac=1, random_state=0))
    yield "columns in another order", folder_of(lambda t: t, lambda t: t[t.columns[::-1]])
    yield "counts of two types", folder_of(lambda t: t.astype(dict.fromkeys(COUNTS, int)), lambda t: t)
    yield "an empty file", folder_of(lambda t: t, lambda t: t, lambda t: t, ending="csv")
    yield "groups of two types", folder_of(lambda t: t.astype({"gender": "category"}), lambda t: t)
    yield "text files with other delimiters", _two_delimiters
    yield "an optional column more in one file", folder_of(lambda t: t, lambda t: t.assign(extra="x"))
    yield "rows in another order", parquet(lambda t: t.sample(frac=1, random_state=3))
    yield "nullable types of pandas", parquet(lambda t: t.convert_dtypes())
    yield "Arrow types of pandas", parquet(lambda t: t.convert_dtypes(dtype_backend="pyarrow"))
    yield "categories of pandas", parquet(lambda t: t.astype(dict.fromkeys(WORDS, "category")))
    for make, name in ((lambda n: uuid.UUID(int=n), "uuid"), (lambda n: uuid.UUID(int=n), "16 bytes")):
        yield f"members as {name}", _bytes(make, pa.uuid() if name == "uuid" else pa.binary(16))
    yield "members as uuids in text", text(other_identifiers(lambda n: str(uuid.UUID(int=n)).upper()))
    if importlib.util.find_spec("duckdb"):
        for ending in ("parquet", "csv"):
            yield f"duckdb {ending}", lambda t, d, e=ending: _duckdb(t, d, e, "")
            yield f"duckdb hive {ending}", lambda t, d, e=ending: _duckdb(t, d, e, ", partition_by (gender)")
    # What polars writes, whether it is installed or not.
    words = dict.fromkeys(WORDS, pa.large_string())
    numbers = dict.fromkeys(COUNTS, pa.uint32()) | {"member_id": pa.uint32(), "enrolled_days": pa.int64()}
    yield "layout of polars, parquet", parquet(kinds=words | numbers, compression="zstd", data_page_version="1.0")
    yield "layout of polars, views", arrow("arrow", "zstd", kinds=dict.fromkeys(WORDS, pa.string_view()) | numbers)
    yield "layout of polars, categories", parquet(kinds=dict.fromkeys(
        WORDS, pa.dictionary(pa.uint32(), pa.large_string())), compression="zstd")  # fmt: skip
    yield "layout of polars, text", text(spelled(terminated=lambda s: s.map({True: "true", False: "false"})))
    yield "layout of polars, hive", _hive_of_polars
    if importlib.util.find_spec("polars"):
        for ending in ("parquet", "csv", "arrow"):
            yield f"polars {ending}", lambda t, d, e=ending: _polars(t, d, e)


def date_forms() -> Iterator[tuple[str, Form]]:
    """Forms of the table whose weeks are dates."""
    for kind in (pa.date64(), *(pa.timestamp(unit) for unit in ("s", "ms", "us", "ns"))):
        yield f"weeks as {kind}", parquet(kinds={"week": kind})
        yield f"weeks as {kind} in arrow", arrow("arrow", kinds={"week": kind})
    yield "weeks as INT96", parquet(kinds={"week": pa.timestamp("ns")}, use_deprecated_int96_timestamps=True)
    for name in ("UTC", "America/New_York", "Europe/Berlin", "Asia/Tokyo", "+05:30"):
        yield f"midnight in {name}", parquet(zone(name))
    for form in ("%Y-%m-%d", "%Y-%m-%dT00:00:00", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00Z", "%Y-%m-%dT00:00:00.000Z",
                 "%Y-%m-%dT00:00:00.000-05:00", "%Y-%m-%d 00:00:00+01", "%Y-%m-%d 00:00:00 UTC", "%Y%m%d", "%G%V",
                 "%G-W%V", "%GW%V"):  # fmt: skip
        yield f"{form} in text", text(written(form))
        yield f"{form} in parquet", parquet(written(form))
    for form in ("%Y%m%d", "%G%V"):
        as_numbers = spelled(week=lambda s, f=form: [int(day.strftime(f)) for day in s])
        yield f"{form} as numbers", parquet(as_numbers)
        yield f"{form} as decimals", parquet(as_numbers, kinds={"week": pa.decimal128(38, 0)})
    yield "hive by date", lambda t, d: spark(t, d, 1, "week", "parquet")


def _titled(table: pd.DataFrame) -> pd.DataFrame:
    return table.rename(columns=lambda name: name.title())


def _european(series: pd.Series) -> list[str]:
    return [f"{value:,.2f}".translate(str.maketrans(",.", ".,")) for value in series]


def coded(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(**{f"action_{f.name}": f.encode(table[f"action_{f.name}"]) for f in MEDICAID_ACTIONS})


def _through_text(name: str, kind: pa.DataType) -> Form:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.astype({name: str}) if not (pa.types.is_decimal(kind) or pa.types.is_primitive(kind)) else table

    return parquet(change, kinds={name: kind})


def _renamed(form: Form, name: str) -> Form:
    return lambda table, folder: form(table, folder).rename(folder / name)


def _feather(compression: str) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        pyarrow.feather.write_feather(typed(table, {}), str(folder / "t.feather"), compression=compression)
        return folder / "t.feather"

    return write


def _packed(how: str) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        with pa.output_stream(str(folder / f"t.csv.{how}"), compression="detect") as target:
            target.write(table.to_csv(index=False).encode())
        return folder / f"t.csv.{how}"

    return write


def _bytes(make: Callable[[int], uuid.UUID], kind: pa.DataType) -> Form:
    def write(table: pd.DataFrame, folder: Path) -> Path:
        made = pa.Table.from_pandas(table, preserve_index=False)
        values = pa.array([make(int(number)).bytes for number in table["member_id"]], pa.binary(16)).cast(kind)
        pq.write_table(made.set_column(0, "member_id", values), folder / "t.parquet")
        return folder / "t.parquet"

    return write


def _hive_of_polars(table: pd.DataFrame, folder: Path) -> Path:
    """A folder a value, files numbered with eight digits, missing ones as everybody writes them."""
    for value, rows in table.groupby("gender", dropna=False):
        below = folder / "t" / f"gender={'__HIVE_DEFAULT_PARTITION__' if pd.isna(value) else value}"
        below.mkdir(parents=True)
        kinds = dict.fromkeys([name for name in WORDS if name != "gender"], pa.large_string())
        pq.write_table(typed(rows.drop(columns="gender"), kinds), below / "00000000.parquet", compression="zstd")
    return folder / "t"


def _hive_of_pyarrow(table: pd.DataFrame, folder: Path) -> Path:
    pa_dataset.write_dataset(
        pa.Table.from_pandas(table, preserve_index=False), folder / "t", format="parquet",
        partitioning=["race_ethnicity", "gender"], partitioning_flavor="hive",
    )  # fmt: skip
    return folder / "t"


def _two_delimiters(table: pd.DataFrame, folder: Path) -> Path:
    table.iloc[:40].to_csv(folder / "a.csv", index=False, sep=";")
    table.iloc[40:].to_csv(folder / "b.csv", index=False)
    return folder


def _duckdb(table: pd.DataFrame, folder: Path, ending: str, more: str) -> Path:
    import duckdb

    with duckdb.connect() as connection:
        connection.register("t", pa.Table.from_pandas(table, preserve_index=False))
        place = folder / (f"t.{ending}" if not more else "t")
        connection.execute(f"copy t to '{place}' (format {ending}{more})")
    return place


def _polars(table: pd.DataFrame, folder: Path, ending: str) -> Path:
    import polars

    frame = polars.from_arrow(pa.Table.from_pandas(table, preserve_index=False))
    place = folder / f"t.{ending}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "arrow": frame.write_ipc}[ending](place)
    return place


FORMS = [(name, form, False) for name, form in number_forms()] + [(name, form, True) for name, form in date_forms()]


@pytest.fixture(scope="module")
def same(people, tmp_path_factory):
    """Content of the two tables, weeks by number and by date, written by pandas without anything special."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MINARI_DATASETS_PATH", str(tmp_path_factory.mktemp("store")))
    content = {}
    for by_date in (False, True):
        file = tmp_path_factory.mktemp("plain") / "t.parquet"
        (dated(people) if by_date else people).to_parquet(file)
        content[by_date] = _content(file)
    assert content[False] != content[True]
    yield content
    patch.undo()


def _content(path: Path, columns: ColumnMap | None = None) -> tuple[str, dict]:
    """Hash of all episodes, and the names of the groups whose codes stand in them."""
    metadata = import_table(path, "tests/form-v0", columns=columns, force=True).load().storage.metadata
    return metadata["frl_content_sha256"], metadata["frl_vocabularies"]


def test_there_are_more_than_two_hundred():
    assert len({name for name, *_ in FORMS}) == len(FORMS) > 200


@pytest.mark.parametrize(("form", "by_date"), [pytest.param(form, by, id=name) for name, form, by in FORMS])
def test_the_same_table_gives_the_same_bytes(form, by_date, people, same, tmp_path):
    path = form(dated(people) if by_date else people.copy(), tmp_path)
    assert _content(path) == same[by_date]


@pytest.mark.parametrize("way", [parquet, text])
def test_a_word_that_may_be_a_group_stays_one_in_every_format(way, people, tmp_path, same):
    path = way(words_for("NA"))(people.copy(), tmp_path)
    imported = import_table(path, "tests/form-v0", force=True)
    assert "NA" in imported.load().storage.metadata["frl_vocabularies"]["gender"]
    assert _content(path, ColumnMap(values={"gender": {"NA": ""}})) == same[False]


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_a_column_that_only_later_files_have_counts(ending, people, tmp_path, same):
    """The group of members in files without it is unknown; those of the other files keep theirs."""
    path = folder_of(lambda t: t.drop(columns="race_ethnicity"), lambda t: t, ending=ending)(people, tmp_path)
    metadata = import_table(path, "tests/form-v0", force=True).load().storage.metadata
    vocabulary = metadata["frl_vocabularies"]["race_ethnicity"]
    later = people[people["member_id"] % 2 == 1]["race_ethnicity"]
    assert set(vocabulary) >= {*later, "UNKNOWN"}
