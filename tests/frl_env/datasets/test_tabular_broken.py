"""A corpus of broken tables, one fault each: every one ends in a clear error, and no file is left behind."""

import contextlib
import gzip
import random
import string
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from frl_env.datasets.tabular import ColumnMap, ImportOptions, TableError, import_table
from frl_env.datasets.tabular.sources.data_file import open_file
from frl_env.datasets.tabular.sources.source import open_table
from frl_env.errors import UserError

SECRET = "Zebulon"
"""Stands in every cell of text that no message may quote."""

SECRET_NUMBER = 918273.5

ID = "tests/broken-v0"

Change = Callable[[pd.DataFrame], "pd.DataFrame | None"]


def put(column: str, value, rows=(3,), kind=None) -> Change:
    """Writes a value into some cells of a column."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        if kind is not None:
            table[column] = table[column].astype(kind)
        for row in rows:
            table.at[table.index[row], column] = value
        return table

    return change


def without(*columns: str) -> Change:
    return lambda table: table.drop(columns=list(columns))


def as_column(column: str, make: Callable[[pd.DataFrame], object]) -> Change:
    return lambda table: table.assign(**{column: make(table)})


def later(days: int, row: int = 3) -> Change:
    """Weeks as dates, one of them some days off."""

    def change(table: pd.DataFrame) -> pd.DataFrame:
        week = pd.Timestamp("2024-01-01") + pd.to_timedelta(table["week"] * 7, unit="D")
        week.iloc[row] += pd.Timedelta(days=days)
        return table.assign(week=week)

    return change


def outcomes(change: Change = lambda table: table) -> Change:
    """The published schema, every window consistent with nothing having happened."""

    def whole(table: pd.DataFrame) -> pd.DataFrame:
        later = [name for name in table if name.startswith("next_")]
        return change(table.drop(columns=["reward", *later]).assign(future_ed_30d=0.0, future_ip_30d=0.0))

    return whole


VALUES: dict[str, tuple[Change, str]] = {
    "no member": (without("member_id"), "member_id: no such column"),
    "no week": (without("week"), "week: no such column; name it with --column"),
    "no state": (without("total_paid"), "total_paid: no such column; "),  # what comes later is not proposed as a state
    "no action": (without("action_goal"), "action_goal: no such column"),
    "misspelt column": (
        lambda t: t.rename(columns={"total_paid": "totl_paid"}), "no such column .allowed: 'totl_paid' is the nearest",
    ),
    "no reward": (without("reward"), "no reward and no outcomes"),
    "one outcome": (lambda t: t.drop(columns="reward").assign(future_ed_30d=0), "no reward and no outcomes"),
    "some next states": (without("next_total_paid"), "next_total_paid: no such column"),
    "some chances of factors": (without("propensity_goal"), "propensity_goal: no such column"),
    "no rows": (lambda t: t.iloc[:0], "table: no rows"),
    "state of lists": (as_column("total_paid", lambda t: [[1.0]] * len(t)), "total_paid: wrong type"),
    "state of dates": (as_column("total_paid", lambda t: pd.Timestamp("2024-01-01")), "total_paid: wrong type"),
    "members of flags": (as_column("member_id", lambda t: t["week"] > 3), "member_id: wrong type"),
    "weeks of flags": (as_column("week", lambda t: t["week"] > 3), "week: wrong type"),
    "actions of flags": (as_column("action_urgency", lambda t: t["week"] > 3), "action_urgency: wrong type"),
    "reward of structs": (as_column("reward", lambda t: [{"a": 1}] * len(t)), "reward: wrong type"),
    "missing member": (put("member_id", np.nan, kind="float"), "member_id: missing in 1 row"),
    "empty member": (put("member_id", " ", kind="str"), "member_id: missing in 1 row"),
    "fractional member": (put("member_id", SECRET_NUMBER, kind="float"), "member_id: not an identifier in 1 row"),
    "missing week": (put("week", np.nan, kind="float"), "week: missing in 1 row"),
    "fractional week": (put("week", 3.5, kind="float"), "week: not a week in 1 row"),
    "week of text": (put("week", SECRET, kind="str"), "week: not a week in 1 row"),
    "week out of bounds": (put("week", 10**9), "week: not a week in 1 row"),
    "infinite week": (put("week", np.inf, kind="float"), "week: not a week in 1 row"),
    "no such day": (
        lambda t: put("week", "2024-02-30")(later(0)(t).astype({"week": "str"})), "week: not a week in 1 row",
    ),
    "day in another century": (put("week", pd.Timestamp("1685-03-21"), kind=None), "week: not a week in 1 row"),
    "NaN": (put("enrolled_days", np.nan, rows=(3, 4)), "enrolled_days: missing in 2 rows"),
    "null": (lambda t: put("num_calls_last_week", pd.NA)(t.convert_dtypes()), "num_calls_last_week: missing in 1 row"),
    "infinite": (put("total_paid", np.inf), "total_paid: not a number in 1 row"),
    "text for a number": (put("total_paid", SECRET, kind="object"), "total_paid: not a number in 1 row"),
    "comma in a number": (put("total_paid", "1,5", kind="object"), "total_paid: not a number in 1 row"),
    "negative count": (put("num_texts_last_week", -1), r"out of range in 1 row \(allowed: whole numbers in 0..100\)"),
    "379 events in a week": (put("num_ed_visits_last_week", 379), r"out of range in 1 row \(allowed: .*0..21\)"),
    "eight stays in a week": (put("num_ip_visits_last_week", 8), "num_ip_visits_last_week: out of range"),
    "half a visit": (put("num_ed_visits_last_week", 0.5), "num_ed_visits_last_week: not a whole number in 1 row"),
    "negative payment": (put("total_paid", -SECRET_NUMBER), "total_paid: out of range in 1 row"),
    "enrolled for 200 years": (put("enrolled_days", 73_000), "enrolled_days: out of range in 1 row"),
    "next state out of range": (put("next_total_paid", -1), "next_total_paid: out of range in 1 row"),
    "unknown level": (put("action_goal", SECRET), "action_goal: unknown level in 1 row"),
    "a role that is no slip for NONE": (
        put("action_provider", "NURSE"), "unknown level in 1 row .allowed: NONE, CHW, CARE_COORDINATOR",
    ),
    "a slip for NONE": (put("action_provider", "NON"), "unknown level in 1 row .allowed: nearest: NONE; all"),
    "misspelt level": (put("action_goal", "FOD_INSECURITY"), "nearest: FOOD_INSECURITY"),
    "level misspelt in small letters": (
        put("action_modality", "fone_call"), "action_modality: unknown level in 1 row .allowed: nearest: PHONE_CALL",
    ),
    "no level near": (put("action_goal", "123456"), "allowed: NONE, MEDICATION_ADHERENCE, .*, CARE, OTHER, or 0..17"),
    "commas in some numbers": (
        lambda t: put("total_paid", "1,234", rows=(0, 1))(
            put("total_paid", "5678.00", rows=(2,))(t.astype({"total_paid": object}))
        ),
        "total_paid: commas in some numbers in 2 rows",
    ),
    "names in several letters": (
        lambda t: t.rename(columns={"week": "Week"}).assign(WEEK=1), "week: one name in several letters",
    ),
    "a week that the year has not": (
        lambda t: t.assign(week=202401 + t["week"]).replace({"week": {202403: 202453}}),
        r"week: not a week in \d+ rows",
    ),
    "code out of range": (
        lambda t: t.assign(action_modality=6),
        r"modality: unknown level in \d+ rows \(allowed: .*PHONE_CALL, SMS_TEXT.*, or 0..5",
    ),
    "negative code": (as_column("action_provider", lambda t: -1), "action_provider: unknown level"),
    "fractional code": (as_column("action_provider", lambda t: 0.5), "action_provider: unknown level"),
    "missing level": (put("action_urgency", None), "action_urgency: missing in 1 row"),
    "goal without contact": (
        lambda t: put("action_goal", "DENTAL", rows=(idle(t),))(t), "action: impossible action in 1 row",
    ),
    "urgent nothing": (
        lambda t: put("action_urgency", "URGENT", rows=(idle(t),))(t), "action: impossible action in 1 row",
    ),
    "missing reward": (put("reward", np.nan), "reward: missing in 1 row"),
    "positive reward": (put("reward", 1), r"reward: out of range in 1 row \(allowed: -28..0\)"),
    "reward of text": (put("reward", SECRET, kind="object"), "reward: not a number in 1 row"),
    "missing outcome": (
        outcomes(lambda t: put("future_ed_30d", np.nan)(t[t["week"] % 3 == 0])), "future_ed_30d: missing in 1 row",
    ),
    "negative outcome": (outcomes(put("future_ed_30d", -1)), "future_ed_30d: out of range in 1 row"),
    "outcome of half a visit": (outcomes(put("future_ip_30d", 0.5)), "future_ip_30d: not a whole number in 1 row"),
    "chance of nothing": (put("propensity", 0), r"propensity: out of range in 1 row \(allowed: above 0, at most 1\)"),
    "chance above one": (put("propensity", 1.5), "propensity: out of range in 1 row"),
    "missing chance of a factor": (put("propensity_goal", np.nan), "propensity_goal: missing in 1 row"),
    "negative chance of a factor": (put("propensity_goal", -0.1), "propensity_goal: out of range in 1 row"),
    "perhaps terminated": (put("terminated", "perhaps", kind="object"), "terminated: not true or false in 1 row"),
    "missing end": (put("terminated", None, kind="object"), "terminated: missing in 1 row"),
    "weeks after the end": (put("terminated", True), r"terminated: after the end in \d+ rows"),
    "row twice": (lambda t: pd.concat([t, t.iloc[[3]]]), "week: same row twice in 1 row"),
    "two rows for a week": (
        lambda t: pd.concat([t, t.iloc[[3]].assign(total_paid=1.0)]), "week: two rows for one week in 2 rows",
    ),
    "overlapping weeks": (later(-3), "week: overlapping weeks in 1 row"),
    "ten days apart": (later(3, row=11), "week: gap in 1 row"),
    "missing row": (lambda t: t.drop(index=3), "week: gap in 1 row "),
    "members mixed up": (lambda t: t.assign(member_id="all"), "week: two rows for one week"),
    "a hundred years": (
        lambda t: pd.concat([t, t.iloc[[0] * 5_300].assign(member_id=7, week=range(5_300))]),
        "member_id: too many weeks in 5,300 rows",
    ),
    "days in care go down": (put("enrolled_days", 0, rows=(5,)), "enrolled_days: time runs backwards in 1 row"),
    "another next state": (put("next_total_paid", 1.0, rows=(5,)), "total_paid: not the next row's state in 1 row"),
    "copy of the reward": (
        lambda t: t.assign(reward=-(t["week"] == 4).astype(float), num_calls_last_week=(t["week"] == 4).astype(float)),
        "num_calls_last_week: copy of an outcome",
    ),
    "copy of an outcome": (
        outcomes(lambda t: t.assign(future_ed_30d=t["week"] % 3, num_texts_last_week=t["week"] % 3)),
        "num_texts_last_week: copy of an outcome",
    ),
    "reward of last week": (
        lambda t: t.assign(reward=-(t["num_ed_visits_last_week"] + t["num_ip_visits_last_week"])),
        "reward: reward of the week before",
    ),
    "a group for every row": (
        as_column("gender", lambda t: [f"{SECRET}{i}" for i in range(len(t))]), "gender: too many categories",
    ),
    "one week each": (
        lambda t: t[t["week"] == 0].drop(columns=[c for c in t if c.startswith("next_")]),
        "no row of the table can be used",
    ),
}  # fmt: skip


def idle(table: pd.DataFrame) -> int:
    """A row on which nothing was done."""
    return int(np.flatnonzero(table["action_modality"] == "NONE")[0])


def _nothing_left(store: Path) -> None:
    assert [str(f) for f in store.rglob("*") if f.is_file() and not f.name.endswith(".lock")] == []


def _check(message: str, store: Path) -> None:
    for secret in (SECRET, str(SECRET_NUMBER)):
        assert secret not in message
    _nothing_left(store)


@pytest.mark.parametrize("fault", VALUES)
def test_a_broken_table_is_refused_in_words(fault, table, tmp_path, empty_store):
    change, said = VALUES[fault]
    if fault == "reward of last week":  # there are too few events of one's own to be sure
        table = table.drop(columns=[name for name in table if name.startswith("next_")])
        table.loc[table["week"] == 4, "num_ed_visits_last_week"] = 1.0
    broken = change(table.astype({"week": "object"}) if fault == "day in another century" else table)
    if fault == "day in another century":
        first = pd.Timestamp("2024-01-01")
        broken["week"] = [w if isinstance(w, pd.Timestamp) else first + pd.Timedelta(weeks=w) for w in broken["week"]]
    file = tmp_path / "table.parquet"
    try:
        broken.to_parquet(file)
    except (pa.ArrowException, TypeError, ValueError):
        file = tmp_path / "table.csv"  # columns of several types exist in text only
        broken.to_csv(file, index=False)
    with pytest.raises(UserError, match=said) as caught:
        import_table(file, ID)
    if isinstance(caught.value, TableError):
        assert all(problem.way_out for problem in caught.value.problems)
    _check(str(caught.value), empty_store)


@pytest.mark.parametrize("fault", [name for name in VALUES if "copy" not in name and name != "reward of last week"])
def test_dropping_repairs_it_or_says_why_not(fault, table, tmp_path, empty_store):
    """With --on-error drop an import ends well, or no less clearly than without."""
    change, _ = VALUES[fault]
    try:
        broken = change(table)
        broken.to_parquet(tmp_path / "table.parquet")
    except (pa.ArrowException, TypeError, ValueError):
        pytest.skip("exists in text only")
    try:
        result = import_table(tmp_path / "table.parquet", ID, options=ImportOptions(on_error="drop"))
    except UserError as problem:
        _check(str(problem), empty_store)
    else:
        facts = result.facts[0]
        assert facts["repairs"]
        split = sum(repair["rows"] for repair in facts["repairs"] if repair["done"] == "split")
        assert facts["rows_left_out"] + facts["rows"] - facts["steps"] + split > 0
        assert result.load().total_steps > 100


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
    "empty folder": (lambda t, d: d, "no table of a known format"),
    "a spreadsheet": (_file("table.xlsx", b"PK"), "no table of a known format; known endings: .parquet"),
    "no ending": (_file("table", b"a,b"), "no table of a known format"),
    "two formats": (lambda t, d: _several(t, d, "a.csv", "b.parquet"), "files of several formats"),
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
    _check(str(caught.value), empty_store)


MAPS = {
    "not TOML": ("states = [", "is not TOML"),
    "unknown entry": ('colums = "x"', "unknown entry in .*'colums'; did you mean columns"),
    "unknown column": ('[columns]\nmember = "x"', "unknown column 'member'; did you mean member_id"),
    "a number for a name": ("[columns]\nweek = 3", "must be the name of a column, in quotes"),
    "column not there": ('[columns]\npropensity = "p"', "p: no such column"),
    "one for two": ('[columns]\nweek = "member_id"', "one column, two meanings"),
    "outcome for a state": ('[columns]\ntotal_paid = "reward"', "outcome among the states"),
    "future state": ('states = ["future_cost"]', "future_cost: outcome among the states"),
    "states not a list": ('states = "total_paid"', "'states' must be a list of names"),
    "no states": ("states = []", "at least one state column"),
    "state twice": ('states = ["total_paid", "total_paid"]', "would have two meanings"),
    "unknown level": ('[values.action_goal]\nx = "TEETH"', "unknown level of 'action_goal': 'TEETH'"),
    "unknown action": ('[values.goal]\nx = "DENTAL"', "unknown action column 'goal'; did you mean action_goal"),
    "values not a table": ("[values]\naction_goal = 3", r"\[values.action_goal\] must be a table"),
    "limits reversed": ("[limits]\ntotal_paid = [5, 1]", "limits of 'total_paid': 5 is above 1"),
    "limits of text": ('[limits]\ntotal_paid = ["a", "b"]', "must be two numbers"),
    "limits of an unknown column": ("[limits]\npaid = [0, 1]", "unknown column with limits 'paid'"),
    "no action schema": ('action_schema = "none.json"', "can't read .*none.json"),
    "broken action schema": ('action_schema = "map.toml"', "not an action schema"),
}


@pytest.mark.parametrize("fault", MAPS)
def test_a_broken_map_is_refused_in_words(fault, table, tmp_path, empty_store):
    text, said = MAPS[fault]
    table.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        import_table(tmp_path / "table.parquet", ID, columns=ColumnMap.read(tmp_path / "map.toml"))
    _nothing_left(empty_store)


@pytest.mark.parametrize(
    ("dataset_id", "options", "said"),
    [
        ("no version", {}, "is no dataset id"),
        ("tests/unversioned", {}, "is no dataset id"),
        ("../up-v0", {}, "is no dataset id"),
        ("frl/medicaid-synthetic-v0", {}, "made by a recipe"),
        ("frl/medicaid-synthetic-v0", {"validation_share": 0.5}, "made by a recipe"),
        (ID, {"on_error": "ignore"}, "unknown on-error 'ignore'"),
        (ID, {"rewards": "monthly"}, "unknown rewards 'monthly'"),
        (ID, {"validation_share": 1.0}, "must lie in 0..1"),
    ],
)
def test_broken_requests_are_refused_in_words(dataset_id, options, said, table, tmp_path, empty_store):
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(UserError, match=said):
        import_table(tmp_path / "table.parquet", dataset_id, options=ImportOptions(**options))
    _nothing_left(empty_store)


def test_the_corpus_is_large():
    assert len(VALUES) + len(FILES) + len(MAPS) >= 60


def test_all_problems_come_in_one_report(table, tmp_path, empty_store):
    for column, value in (("total_paid", -1), ("action_goal", SECRET), ("reward", np.nan), ("terminated", True)):
        put(column, value)(table)
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(TableError) as caught:
        import_table(tmp_path / "table.parquet", ID)
    assert {(p.column, p.kind) for p in caught.value.problems} == {
        ("total_paid", "out of range"), ("action_goal", "unknown level"), ("reward", "missing"),
        ("terminated", "after the end"),
    }  # fmt: skip


def test_folders_named_after_members_are_not_named(table, tmp_path, empty_store):
    """A partitioned table may hold identifiers in its paths."""
    folder = tmp_path / "table" / f"member_id={SECRET}"
    folder.mkdir(parents=True)
    file = folder / "part.parquet"
    table.drop(columns="member_id").to_parquet(file)
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(UserError, match="cut off") as caught:
        import_table(tmp_path / "table", ID)
    _check(str(caught.value), empty_store)


CELLS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(), st.text(max_size=8),
    st.sampled_from(["NONE", "1e999", "2024-02-30", "0x10", "\x00", "٣", "1_000", "nan", "true", "1 000"]),
)  # fmt: skip


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    cells=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 40), CELLS), max_size=6),
    dropped=st.lists(st.integers(0, 29), max_size=1),
    on_error=st.sampled_from(["fail", "drop", "clip"]),
    text=st.booleans(),
)
def test_whatever_stands_in_a_table(whole_table, tmp_path, empty_store, cells, dropped, on_error, text):
    """Any cell may hold anything: an import ends well, or in an error meant for people, and never half way."""
    table = whole_table.iloc[:48].astype(object)
    for column, row, value in cells:
        table.iat[row, column] = value
    table = table.drop(columns=table.columns[dropped])
    file = tmp_path / ("table.csv" if text else "table.parquet")
    try:
        table.to_csv(file, index=False) if text else table.to_parquet(file)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, UnicodeEncodeError):
        return
    said = ""
    try:
        import_table(file, ID, options=ImportOptions(on_error=on_error), force=True).load()
    except UserError as problem:
        said = str(problem)
    for _, _, value in cells:
        assert not (isinstance(value, str) and len(value) > 4 and value in said)
    assert not list(empty_store.rglob("*.arrow"))
    assert not list(empty_store.rglob(".*building*"))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(seed=st.integers(0, 10**6), ending=st.sampled_from(["parquet", "csv", "arrow"]))
def test_whatever_a_file_holds(whole_table, tmp_path, empty_store, seed, ending):
    """Bytes flipped, cut out and put in anywhere."""
    rng = random.Random(seed)
    file = tmp_path / f"table.{ending}"
    small = whole_table.iloc[:30]
    if ending == "csv":
        small.to_csv(file, index=False)
    elif ending == "parquet":
        small.to_parquet(file)
    else:
        pyarrow.feather.write_feather(pa.Table.from_pandas(small), str(file), compression="uncompressed")
    content = bytearray(file.read_bytes())
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        content[place : place + rng.choice([0, 1, 20])] = rng.choices(
            string.printable.encode() + bytes([0, 255]), k=rng.choice([0, 1, 3])
        )
    file.write_bytes(content)
    with contextlib.suppress(UserError):
        import_table(file, ID, force=True)
    assert not list(empty_store.rglob("*.arrow"))


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
