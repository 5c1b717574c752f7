"""Broken files of a table, one fault each: every one ends in a clear error, and no file is left behind."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from refusals import ID, SECRET, check_refusal

from frl_env.datasets.table_import import TableError, import_table
from frl_env.datasets.table_import.table_files.data_file import open_file
from frl_env.datasets.table_import.table_files.source import open_table
from frl_env.errors import UserError


def _file(name: str, content: bytes) -> Callable[[pd.DataFrame, Path], Path]:
    def make(table: pd.DataFrame, folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return make


def _cut(name: str, bytes_off: int) -> Callable[[pd.DataFrame, Path], Path]:
    def make(table: pd.DataFrame, folder: Path) -> Path:
        file = folder / name
        if name.endswith("parquet"):
            table.to_parquet(file)
        else:
            pyarrow.feather.write_feather(pa.Table.from_pandas(table), str(file))
        file.write_bytes(file.read_bytes()[:-bytes_off])
        return file

    return make


def _linked(table: pd.DataFrame, folder: Path) -> Path:
    (folder.parent / "elsewhere").mkdir()
    table.iloc[100:].to_parquet(folder.parent / "elsewhere" / "b.parquet")
    table.iloc[:100].to_parquet(folder / "a.parquet")
    (folder / "sub").symlink_to(folder.parent / "elsewhere")
    return folder


def _several(table: pd.DataFrame, folder: Path, *names: str) -> Path:
    for name in names:
        table.to_csv(folder / name, index=False) if name.endswith("csv") else table.to_parquet(folder / name)
    return folder


def _other_types(table: pd.DataFrame, folder: Path) -> Path:
    table.to_parquet(folder / "a.parquet")
    table.astype({"total_paid": str}).to_parquet(folder / "b.parquet")
    return folder


def _lines(change: Callable[[list[str]], list[str]]) -> Callable[[pd.DataFrame, Path], Path]:
    def make(table: pd.DataFrame, folder: Path) -> Path:
        lines = change(table.to_csv(index=False).splitlines())
        (folder / "table.csv").write_text("\n".join(lines) + "\n")
        return folder / "table.csv"

    return make


def _flipped(table: pd.DataFrame, folder: Path) -> Path:
    file = folder / "table.parquet"
    pq.write_table(pa.Table.from_pandas(table), file, compression="zstd")
    content = bytearray(file.read_bytes())
    for place in range(200, len(content) // 2, 7):
        content[place] ^= 0xFF
    file.write_bytes(content)
    return file


def _with(table: pd.DataFrame, folder: Path, *others: str, text: str = "{}") -> Path:
    """A folder of Parquet with other files beside."""
    table.to_parquet(folder / "part.parquet")
    for other in others:
        (folder / other).parent.mkdir(parents=True, exist_ok=True)
        table.to_parquet(folder / other) if other.endswith("parquet") else (folder / other).write_text(text)
    return folder


def _lacking(table: pd.DataFrame, folder: Path, column: str) -> Path:
    """Two files, the first of which lacks a column."""
    table.iloc[:36].drop(columns=column).to_parquet(folder / "a.parquet")
    table.iloc[36:].to_parquet(folder / "b.parquet")
    return folder


def _quote_in_second(table: pd.DataFrame, folder: Path) -> Path:
    table.iloc[:36].to_csv(folder / "a.csv", index=False)
    lines = table.iloc[36:].to_csv(index=False).splitlines()
    (folder / "b.csv").write_text("\n".join([*lines[:3], lines[3].replace("NONE", '"NONE', 1), *lines[4:]]) + "\n")
    return folder


def _twice(table: pd.DataFrame, folder: Path) -> Path:
    made = pa.Table.from_pandas(table, preserve_index=False)
    pq.write_table(made.append_column("week", made["week"]), folder / "table.parquet")
    return folder / "table.parquet"


def _utf_16(table: pd.DataFrame, folder: Path) -> Path:
    (folder / "table.csv").write_text(table.to_csv(index=False), encoding="utf-16")
    return folder / "table.csv"


FILES: dict[str, tuple[Callable[[pd.DataFrame, Path], Path], str]] = {
    "no file": (lambda t, d: d / "none.parquet", "there is no table"),
    "empty folder": (lambda t, d: d, "holds no table; known endings: .parquet"),
    "a spreadsheet": (_file("table.xlsx", b"PK"), "no table of a known format; known endings: .parquet"),
    "no ending": (_file("table", b"a,b"), "no table of a known format"),
    "two formats": (lambda t, d: _several(t, d, "a.csv", "b.parquet"), "files of several formats"),
    "a part that nothing unpacks": (
        lambda t, d: _with(t, d, "other.csv.xz"), "holds 1 file packed as nothing here unpacks",
    ),
    "a part that is still copied": (lambda t, d: _with(t, d, "other.parquet.tmp"), "holds 1 file that look not wholly"),
    "a link to a folder": (_linked, "holds 1 link to folders, which are not followed"),
    "Parquet cut off": (_cut("table.parquet", 500), "cut off or of another format"),
    "Parquet damaged": (_flipped, "is damaged"),
    "Arrow cut off": (_cut("table.arrow", 500), "cut off or of another format"),
    "bytes that are no text": (
        lambda t, d: _with(t.assign(member_id=[b"\xff\xfe"] * len(t)), d, "_SUCCESS"), "member_id holds bytes that",
    ),
    "text named Parquet": (_file("table.parquet", f"member_id\n{SECRET}\n".encode()), "cut off or of another format"),
    "nothing at all": (_file("table.csv", b""), "it is empty"),
    "names only": (_lines(lambda lines: lines[:1]), "table: no rows"),
    "not UTF-8": (_lines(lambda lines: lines), "not UTF-8"),
    "a name twice": (
        _lines(lambda lines: ["week," + lines[0], *("1," + line for line in lines[1:])]), "name occurs twice",
    ),
    "a name twice, Parquet": (_twice, "name occurs twice"),
    "UTF-16": (_utf_16, "not UTF-8"),
    "a line too long": (
        _lines(lambda lines: [*lines[:5], lines[5] + f",{SECRET}", *lines[6:]]), "lines: unreadable line in 1 row",
    ),
    "a line too short": (_lines(lambda lines: [*lines[:5], "1,2,3", *lines[6:]]), "lines: unreadable line in 1 row"),
    "blanks between fields": (
        _lines(lambda lines: [line.replace(",", " ") for line in lines]), "member_id: no such column",
    ),
    "quote never closed": (
        _lines(lambda lines: [*lines[:6], '"' + lines[6], *lines[7:]]),
        "a quote opens in line 7 and is not closed there",
    ),
    "quote up to the next one": (
        _lines(lambda lines: [*lines[:6], '"' + lines[6], *lines[7:50], lines[50] + '"', *lines[51:]]),
        "line 7 and is not closed there; what should be 45 lines became one cell",
    ),
    "quote and quoted cells": (
        _lines(lambda lines: [*lines[:6], lines[6].replace("NONE", '"NONE', 1), *(
            ",".join(f'"{cell}"' if cell.isalpha() else cell for cell in line.split(",")) for line in lines[7:]
        )]),
        "line 7 and is not closed there",
    ),
    "quote in a large file": (
        _lines(lambda lines: [lines[0], '"' + lines[1], *(lines[2:] * 20)]), "line 2 and is not closed there",
    ),
    "quote in the second file": (lambda t, d: _quote_in_second(t, d), "line 4 of file 2 of 2 and is not closed there"),
    "a table with a log": (lambda t, d: _with(t, d, "_delta_log/0.json"), "is .part of. a Delta table: its log"),
    "a table's data below its log": (
        lambda t, d: _with(t, d, "metadata/v1.metadata.json", "data/x.parquet") / "data", "an Iceberg table",
    ),
    "one file of a table with a log": (lambda t, d: _with(t, d, ".hoodie/x") / "part.parquet", "a Hudi table"),
    "a table with a log further down": (
        lambda t, d: _with(t, d, "2024/_delta_log/0.json", "2024/x.parquet"), "a Delta table",
    ),
    "what a stream writes": (lambda t, d: _with(t, d, "_spark_metadata/0"), "what a Spark stream writes"),
    "a job that is not done": (lambda t, d: _with(t, d, "_temporary/0/x"), "is not whole: the job that writes it"),
    "a write that was not committed": (lambda t, d: _with(t, d, "_started_12"), "was started and not committed"),
    "a write that replaced files": (
        lambda t, d: _with(t, d, "_started_12", "_committed_12", text='{"removed": ["part.parquet"]}'),
        "files that a later write removed",
    ),
    "ends in some files": (lambda t, d: _lacking(t, d, "terminated"), "terminated: not in every file .*; 1 lack"),
    "a state in some files": (lambda t, d: _lacking(t, d, "total_paid"), "total_paid: not in every file"),
    "other types in some files": (_other_types, "total_paid: another type in some files"),
    "compressed and cut off": (
        lambda t, d: _file("t.csv.gz", gzip.compress(t.to_csv(index=False).encode())[:-900])(t, d),
        "can't read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FILES)
def test_a_broken_file_is_refused_in_words(fault, table, tmp_path, empty_store):
    make, said = FILES[fault]
    folder = tmp_path / "table"
    folder.mkdir()
    path = make(table, folder)
    if fault == "not UTF-8":
        path.write_bytes(path.read_bytes().replace(b"CHW", b"\xc4hw"))
    with pytest.raises(UserError, match=said) as caught:
        import_table(path, ID)
    check_refusal(str(caught.value), empty_store)


def test_a_time_zone_that_nobody_knows_is_one_line(table, tmp_path, empty_store):
    made = pa.Table.from_pandas(table, preserve_index=False)
    weeks = pa.array(7 * 86_400 * table["week"].to_numpy()).cast(pa.timestamp("s", tz="Mars/Base"))
    pq.write_table(made.set_column(made.column_names.index("week"), "week", weeks), tmp_path / "t.parquet")
    with pytest.raises(
        UserError, match="weeks have a time zone that is not known on this machine; write dates"
    ) as caught:
        import_table(tmp_path / "t.parquet", ID)
    check_refusal(str(caught.value), empty_store)


def test_folders_named_after_members_are_not_named(table, tmp_path, empty_store):
    """A partitioned table may hold identifiers in its paths."""
    folder = tmp_path / "table" / f"member_id={SECRET}"
    folder.mkdir(parents=True)
    file = folder / "part.parquet"
    table.drop(columns="member_id").to_parquet(file)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(UserError, match="cut off") as caught:
        import_table(tmp_path / "table", ID)
    check_refusal(str(caught.value), empty_store)


def test_a_file_without_names_of_columns_shows_none_of_its_first_row(table, tmp_path, empty_store):
    """The first row stands where the names should: an identifier, ages, numbers."""
    table = table[[name for name in table if not name.startswith(("propensity", "next_"))]]
    cells = [f"{SECRET}1", "0", "1.5", "2", "-3", "4", "5", "60", "71.25", "gender", "CHW", "week_1", "U", "-0.0", "no"]
    lines = [cells, *([str(value) for value in row] for row in table.iloc[:, : len(cells)].to_numpy()[1:])]
    (tmp_path / "t.csv").write_text("\n".join(map(",".join, lines)))
    with pytest.raises(TableError) as caught:
        import_table(tmp_path / "t.csv", ID)
    check_refusal(str(caught.value), empty_store)
    assert caught.value.unused == ()
    assert "may lack its first line, the names of the columns" in str(caught.value)
    assert not [cell for cell in ("71.25", "week_1") if cell in str(caught.value)]


def test_files_that_are_not_read_are_counted_and_not_named(table, tmp_path, empty_store):
    folder = tmp_path / "table"
    folder.mkdir()
    _with(table, folder, f"notes.{SECRET}", "README.md", "_SUCCESS", ".hidden.csv")
    (said,) = import_table(folder, ID, check_only=True).facts[0]["odd"]
    assert said.startswith("2 files of the folder are not read; known endings: .parquet, .pq, .csv")
    table.to_csv(folder / "b.csv")
    with pytest.raises(UserError, match=r"several formats \(.csv, .parquet\); keep one"):
        import_table(folder, ID)


def test_nothing_but_the_columns_that_mean_something_is_read(table, tmp_path, empty_store):
    table["notes"] = [[1, 2]] * len(table)
    table.to_parquet(tmp_path / "table.parquet")
    read = open_table(tmp_path / "table.parquet")
    assert "notes" in read.schema.names
    import_table(tmp_path / "table.parquet", ID)


def test_arrow_reads_nothing_of_a_text_file_before_its_rows_are_wanted(tmp_path, monkeypatch):
    """Its readers read ahead in the background; one that is closed meanwhile takes the beginning of the next file."""
    sources = []
    monkeypatch.setattr(
        pyarrow.csv, "open_csv", lambda source, opened=pyarrow.csv.open_csv, **rest: (
            sources.append(source) or opened(source, **rest)
        ),
    )  # fmt: skip
    file = tmp_path / "table.csv"
    file.write_text("a,b,a\n1,2,3\n")  # Arrow, when it looks for the columns of a file, refuses to see one twice
    assert open_file(file, file).schema.names == ["a", "b", "a"]
    assert [type(source) for source in sources] == [pa.BufferReader]
