"""One table in more than two hundred valid forms: all import to the same bytes.

Forms differ in who wrote them, in types, words for missing values, delimiters, quotes, folders and partitions. What a
form means is the same to any person who looks at it, so it must be the same here.
"""

import csv
import importlib.util
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from table_forms import (
    ACTIONS,
    COUNTS,
    NUMBERS,
    WORDS,
    Form,
    arrow,
    by_duckdb,
    by_polars,
    coded,
    compressed,
    dated,
    european,
    feather,
    folder_of,
    hive_of_polars,
    hive_of_pyarrow,
    identifiers_in_bytes,
    noted,
    other_identifiers,
    parquet,
    renamed,
    spark,
    spelled,
    text,
    thousands,
    through_text,
    titled,
    two_delimiters,
    words_for,
    written,
    zone,
)

from frl_env.datasets.table_import import ColumnMap, import_table


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
        yield f"members as {kind}", way if pa.types.is_dictionary(kind) else through_text("member_id", kind)
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
        ("upper-case names", lambda t: t.rename(columns=str.upper)), ("names in title case", titled),
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
    yield "a stream under another ending", renamed(arrow("arrows"), "t.arrow")
    for compression in ("uncompressed", "lz4", "zstd"):
        yield f"feather {compression}", feather(compression)
    for separator, quoting, end in itertools.product(
        (",", ";", "\t", "|", "\x01"), (csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC), ("\n", "\r\n")
    ):
        options = {"sep": separator, "quoting": quoting, "lineterminator": end}
        yield f"csv {separator!r} {quoting} {end!r}", text(**options)
        yield f"csv {separator!r} {quoting} {end!r} with notes", text(noted, **options)
    for name in ("t.csv.gz", "t.tsv", "t.tsv.gz"):
        yield name, text(name=name, sep="\t" if "tsv" in name else ",")
    for packed in ("bz2", "zst"):
        yield f"csv.{packed}", compressed(packed)
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
    yield "payments with points and a comma", text(spelled(total_paid=european), sep=";")
    yield "members once floats, in text", text(lambda t: t.astype({"member_id": float}))
    for number, (parts, by, ending) in enumerate(itertools.product((1, 3), (None, *WORDS[-2:]), ("parquet", "csv"))):
        yield f"spark {number}", lambda t, d, p=parts, b=by, e=ending: spark(t, d, p, b, e)
    yield "spark snappy", lambda t, d: spark(t, d, 2, "gender", "snappy.parquet")
    yield "hive by week", lambda t, d: spark(t, d, 1, "week", "parquet")
    yield "hive by member", lambda t, d: spark(t, d, 1, "member_id", "parquet")
    yield "hive by modality", lambda t, d: spark(t, d, 1, "action_modality", "csv")
    yield "pyarrow's hive", hive_of_pyarrow
    yield "two shuffled files", folder_of(lambda t: t, lambda t: t.sample(frac=1, random_state=0))
    yield "columns in another order", folder_of(lambda t: t, lambda t: t[t.columns[::-1]])
    yield "counts of two types", folder_of(lambda t: t.astype(dict.fromkeys(COUNTS, int)), lambda t: t)
    yield "an empty file", folder_of(lambda t: t, lambda t: t, lambda t: t, ending="csv")
    yield "groups of two types", folder_of(lambda t: t.astype({"gender": "category"}), lambda t: t)
    yield "text files with other delimiters", two_delimiters
    yield "an optional column more in one file", folder_of(lambda t: t, lambda t: t.assign(extra="x"))
    yield "rows in another order", parquet(lambda t: t.sample(frac=1, random_state=3))
    yield "nullable types of pandas", parquet(lambda t: t.convert_dtypes())
    yield "Arrow types of pandas", parquet(lambda t: t.convert_dtypes(dtype_backend="pyarrow"))
    yield "categories of pandas", parquet(lambda t: t.astype(dict.fromkeys(WORDS, "category")))
    for make, name in ((lambda n: uuid.UUID(int=n), "uuid"), (lambda n: uuid.UUID(int=n), "16 bytes")):
        yield f"members as {name}", identifiers_in_bytes(make, pa.uuid() if name == "uuid" else pa.binary(16))
    yield "members as uuids in text", text(other_identifiers(lambda n: str(uuid.UUID(int=n)).upper()))
    if importlib.util.find_spec("duckdb"):
        for ending in ("parquet", "csv"):
            yield f"duckdb {ending}", lambda t, d, e=ending: by_duckdb(t, d, e, "")
            yield f"duckdb hive {ending}", lambda t, d, e=ending: by_duckdb(t, d, e, ", partition_by (gender)")
    # What polars writes, whether it is installed or not.
    words = dict.fromkeys(WORDS, pa.large_string())
    numbers = dict.fromkeys(COUNTS, pa.uint32()) | {"member_id": pa.uint32(), "enrolled_days": pa.int64()}
    yield "layout of polars, parquet", parquet(kinds=words | numbers, compression="zstd", data_page_version="1.0")
    yield "layout of polars, views", arrow("arrow", "zstd", kinds=dict.fromkeys(WORDS, pa.string_view()) | numbers)
    yield "layout of polars, categories", parquet(kinds=dict.fromkeys(
        WORDS, pa.dictionary(pa.uint32(), pa.large_string())), compression="zstd")  # fmt: skip
    yield "layout of polars, text", text(spelled(terminated=lambda s: s.map({True: "true", False: "false"})))
    yield "layout of polars, hive", hive_of_polars
    if importlib.util.find_spec("polars"):
        for ending in ("parquet", "csv", "arrow"):
            yield f"polars {ending}", lambda t, d, e=ending: by_polars(t, d, e)


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


@pytest.mark.long
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
