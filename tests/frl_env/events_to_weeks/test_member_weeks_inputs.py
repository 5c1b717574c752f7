"""Tables may lie in files of any kind, side by side: CSV, Parquet, an Arrow stream, a DuckDB file."""

import gzip
import os
import shutil
import subprocess
import sys

import pandas as pd
import pyarrow as pa
import pytest
from filelock import FileLock

pytest.importorskip("ibis")
duckdb = pytest.importorskip("duckdb")
from test_member_weeks_formats import ENGINES  # noqa: E402

from frl_env.errors import UserError  # noqa: E402
from frl_env.events_to_weeks import EventTablesError, Spec, conversion, weeks  # noqa: E402
from frl_env.events_to_weeks.engine import _OneLine  # noqa: E402

SPEC = """
[tables.enrolment]
path = "spans.parquet"
member = "M"
start = "FROM"
end = "THRU"
[tables.claims]
path = "claims"
member = "M"
claim = "C"
start = "D"
revenue = "R"
[tables.encounters]
path = "plan.duckdb"
table = "core.visit"
member = "M"
start = "D"
kind = "K"
[tables.contacts]
path = "log.arrow"
member = "M"
time = "T"
outcome = "O"
constants = { modality = "PHONE_CALL", provider = "CHW", goal = "CARE", urgency = "ROUTINE" }
[crosswalk.kind]
ER = "ed"
"*" = "other"
[crosswalk.outcome]
"*" = "reached"
[rules.claims]
complete_through = 2024-01-14
"""


@pytest.mark.long
def test_claims_and_encounters_from_four_kinds_of_files(tmp_path):
    spans = pd.DataFrame({"M": [1, 2], "FROM": pd.to_datetime(["2024-01-01"] * 2), "THRU": [None, None]})
    spans.to_parquet(tmp_path / "spans.parquet")  # identifiers are numbers here and text there; THRU is of no type
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "2024.csv").write_text("M,C,D,R\n1,c,2024-01-03,450\n")
    store = duckdb.connect(str(tmp_path / "plan.duckdb"))
    store.execute("CREATE SCHEMA core").fetchall()
    store.execute("CREATE TABLE core.visit AS SELECT 2 AS M, DATE '2024-01-09' AS D, 'er ' AS K").fetchall()
    store.close()
    log = pa.table({"M": ["1"], "T": pd.to_datetime(["2024-01-08 10:00"]), "O": ["talked"]})
    # Columns that nobody asks for, of types that DuckDB does not read.
    log = log.append_column("score", pa.array([0.5]).cast(pa.float16()))
    log = log.append_column("cost", pa.array([7]).cast(pa.decimal256(50, 2)))
    with pa.OSFile(str(tmp_path / "log.arrow"), "wb") as file, pa.ipc.new_stream(file, log.schema) as stream:
        stream.write_table(log)
    (tmp_path / "spec.toml").write_text(SPEC)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    assert table["member_id"].tolist() == ["1", "1", "2", "2"]
    assert table["reward"].tolist() == [-1, 0, 0, -1]
    assert table["action_modality"].tolist() == ["NONE", "PHONE_CALL", "NONE", "NONE"]
    assert table["next_num_encounters_last_week"].tolist() == [0, 1, 0, 0]


@pytest.mark.long
def test_a_database_may_have_tables_called_like_stages_and_identifiers_of_a_type_of_their_own(tmp_path):
    store = duckdb.connect(str(tmp_path / "plan.duckdb"))
    store.execute("CREATE TYPE one AS ENUM ('c', 'v'); CREATE TYPE other AS ENUM ('x', 'c')").fetchall()
    for name, rows in (
        ("spells", "SELECT '1' AS M, DATE '2024-01-01' AS FROM_, NULL AS THRU"),
        ("read_claims", "SELECT '1' AS M, c::one AS C, DATE '2024-01-03' AS D, r AS R, f AS F, a::other AS A FROM "
         "(VALUES ('c', '0450', '1', NULL), ('v', '', '8', 'c')) AS t(c, r, f, a)"),
        ("members", "SELECT '1' AS M, TIMESTAMP '2024-01-08 10:00' AS T, 'talked' AS O"),
    ):  # fmt: skip
        store.execute(f"CREATE TABLE {name} AS {rows}").fetchall()
    store.close()
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace('"FROM"', '"FROM_"').replace('revenue = "R"', 'revenue = "R"\nfrequency = "F"\nadjusts = "A"')
    for path, name in (("spans.parquet", "spells"), ("claims", "read_claims"), ("log.arrow", "members")):
        text = text.replace(f'path = "{path}"', f'path = "plan.duckdb"\ntable = "{name}"')
    (tmp_path / "spec.toml").write_text(text)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    assert table["reward"].tolist() == [0, 0], "the void finds its claim"
    assert table["action_modality"].tolist() == ["NONE", "PHONE_CALL"]
    (tmp_path / "spec.toml").write_text(text.replace('"spells"', '"spell"'))
    with pytest.raises(UserError, match="no such table; check path and table in the spec"):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet", force=True)


def _written(kind, file, columns):
    file.parent.mkdir(parents=True, exist_ok=True)
    if kind == "csv":
        pd.DataFrame(columns).to_csv(file, index=False)
    elif kind == "parquet":
        pd.DataFrame(columns).to_parquet(file)
    else:
        table = pa.table(columns)
        with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, table.schema) as stream:
            stream.write_table(table)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["parquet", "arrow", "csv"])
@pytest.mark.parametrize("engine", ENGINES)
def test_folders_stand_for_columns_as_text(kind, engine, tmp_path):
    _written(kind, tmp_path / f"spans.{kind}", {"M": ["007"], "FROM": ["2024-01-01"], "THRU": [""]})
    for member, day in (("007", "2024-01-03"), ("008", "2024-01-04"), ("__HIVE_DEFAULT_PARTITION__", "2024-01-05")):
        for code in ("0450", "0510"):
            folder = tmp_path / "claims" / f"M={member}" / f"R={code}"
            _written(kind, folder / f"a.{kind}", {"C": ["c"], "D": [day]})
    _written(kind, tmp_path / f"log.{kind}", {"M": ["007"], "T": ["2024-01-08 10:00"], "O": ["talked"]})
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace("spans.parquet", f"spans.{kind}").replace("log.arrow", f"log.{kind}")
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(EventTablesError, match=r"claims\.member: missing in 2 rows"):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet", engine=engine, master="local[1]")
    shutil.rmtree(tmp_path / "claims" / "M=__HIVE_DEFAULT_PARTITION__")
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet", engine=engine, master="local[1]")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [-1, 0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "separator"),
    [("claims.txt", "|"), ("claims.csv", ";"), ("claims.tsv", "\t"), ("claims.csv.gz", ";"), ("claims.txt.gz", "|")],
)
def test_text_of_any_delimiter_and_levels_in_plain_words(tmp_path, name, separator):
    (tmp_path / "spans.csv").write_text("M,FROM,THRU\n1,2024-01-01,\n")
    claims = "M,C,D,R\n1,c,2024-01-03,450\n".replace(",", separator).encode()
    (tmp_path / name).write_bytes(gzip.compress(claims) if name.endswith(".gz") else claims)
    (tmp_path / "log.csv").write_text("M,T,O,W\n1,2024-01-08 10:00,talked,Home visit\n1,2024-01-01 10:00,x,sms-text\n")
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace("spans.parquet", "spans.csv").replace('"claims"', f'"{name}"').replace("arrow", "csv")
    text = text.replace('modality = "PHONE_CALL", ', "").replace('outcome = "O"', 'outcome = "O"\nmodality = "W"')
    (tmp_path / "spec.toml").write_text(text)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    assert table["reward"].tolist() == [-1, 0]
    assert table["action_modality"].tolist() == ["SMS_TEXT", "HOME_VISIT"]


@pytest.mark.long
def test_replacements_of_nothing_count_as_rows_where_adjustments_are_ignored(tmp_path):
    (tmp_path / "spans.csv").write_text("M,FROM,THRU\n1,2024-01-01,\n")
    (tmp_path / "claims.csv").write_text("M,C,D,F,R\n1,c,2024-01-03,7,450\n")
    (tmp_path / "log.csv").write_text("M,T,O\n1,2024-01-08 10:00,talked\n")
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace("spans.parquet", "spans.csv").replace('"claims"', '"claims.csv"').replace("arrow", "csv")
    text = text.replace('revenue = "R"', 'revenue = "R"\nfrequency = "F"')
    (tmp_path / "spec.toml").write_text(text)
    with pytest.raises(UserError, match='set adjustments = "ignored"'):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    (tmp_path / "spec.toml").write_text(text + 'adjustments = "ignored"\n')
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [-1, 0]


@pytest.mark.long
def test_the_last_digit_of_a_bill_type_is_the_frequency_where_no_column_is(tmp_path):
    """Of claims that name another; one that names none stands, as in extracts of the last version of each."""
    claims = "c,2024-01-03,0111,\nv,2024-01-03,0118,c\nd,2024-01-04,111,\nw,2024-01-04,118.0,d\ne,2024-01-09,0117,\n"
    text = _small(tmp_path, "C,D,B,A,M\n" + claims.replace("\n", ",1\n"))
    text = text.replace('revenue = "R"', 'bill_type = "B"\nadjusts = "A"')
    (tmp_path / "spec.toml").write_text(text)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [0, -1]


@pytest.mark.long
def test_a_denied_replacement_need_not_say_of_what(tmp_path):
    """It doesn't count, so nothing depends on what it would replace."""
    text = _small(tmp_path, "M,C,D,F,R,S\n1,c,2024-01-03,7,450,denied\n1,d,2024-01-04,1,450,paid\n")
    (tmp_path / "spec.toml").write_text(text.replace('= "R"', '= "R"\nfrequency = "F"\nstatus = "S"'))
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [-1, 0]


def _small(tmp_path, claims: str, more: str = "") -> str:
    """Tables of one member, and the text of their spec."""
    (tmp_path / "spans.csv").write_text("M,FROM,THRU\n1,2024-01-01,\n")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "a.csv").write_text(claims)
    (tmp_path / "log.csv").write_text("M,T,O\n1,2024-01-08 10:00,talked\n")
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace("spans.parquet", "spans.csv").replace("arrow", "csv") + more
    (tmp_path / "spec.toml").write_text(text)
    return text


@pytest.mark.long
def test_all_parts_are_read_whose_names_differ_after_a_point(tmp_path):
    """As Dask names them; what stands before the first point is the same in all."""
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    (tmp_path / "claims" / "a.csv").rename(tmp_path / "claims" / "part.0.csv")
    (tmp_path / "claims" / "part.1.csv").write_text("M,C,D,R\n1,d,2024-01-09,0450\n")
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [-1, -1]


@pytest.mark.long
def test_columns_of_a_folder_go_by_their_names(tmp_path):
    """The second file has them in another order, and one fewer."""
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    (tmp_path / "claims" / "b.csv").write_text("R,D,M,C\n0450,2024-01-09,1,e\n")
    (tmp_path / "claims" / "c.csv").write_text("D,M,C\n2024-01-10,1,f\n")
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert pd.read_parquet(tmp_path / "weeks.parquet")["reward"].tolist() == [-1, -1]


def test_deleted_rows_of_a_table_with_a_log_do_not_come_back(tmp_path):
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    (tmp_path / "claims" / "_delta_log").mkdir()
    with pytest.raises(UserError, match="is \\(part of\\) a Delta table"):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")


@pytest.mark.long
def test_the_cut_is_where_the_first_table_ends_and_never_after_the_extract(tmp_path):
    (tmp_path / "visits.csv").write_text("M,D,K\n1,2024-03-01,ER\n")
    text = _small(tmp_path, "M,C,D,R,IN\n1,c,2024-01-03,0450,2024-01-14\n1,d,2024-02-14,0450,2024-02-18\n")
    text = text.replace('revenue = "R"', 'revenue = "R"\nreceived = "IN"')
    text = text.replace("complete_through = 2024-01-14", "run_out_days = 7")
    visits = '[tables.encounters]\npath = "visits.csv"\nmember = "M"\nstart = "D"\nkind = "K"\n'
    for more, through in ((visits, "2024-02-11"), ("as_of = 2024-01-28\n", "2024-01-21")):
        (tmp_path / "spec.toml").write_text(text + more)
        assert weeks(tmp_path / "spec.toml", check_only=True).facts["complete_through"] == through


@pytest.mark.parametrize("output", ["people.parquet", "claims/weeks.parquet"])
def test_what_is_read_is_not_written_over(tmp_path, output):
    text = _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    pd.DataFrame({"M": ["1"]}).to_parquet(tmp_path / "people.parquet")
    before = (tmp_path / "people.parquet").read_bytes()
    (tmp_path / "spec.toml").write_text(text + '[tables.members]\npath = "people.parquet"\nmember = "M"\n')
    with pytest.raises(UserError, match=r"would be written where table (members|claims) is read from"):
        weeks(tmp_path / "spec.toml", tmp_path / output)
    assert (tmp_path / "people.parquet").read_bytes() == before
    assert [file.name for file in (tmp_path / "claims").iterdir()] == ["a.csv"]


@pytest.mark.long
def test_stages_of_a_conversion_that_runs_are_left_alone(tmp_path, monkeypatch):
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    target = tmp_path / "weeks.parquet"
    folder = tmp_path / f".{target.name}.weeks-{conversion._digest(Spec.read(tmp_path / 'spec.toml'), 'duckdb')}"
    folder.mkdir()
    script = (
        "import duckdb, sys, time\nstore = duckdb.connect(sys.argv[1])\nprint('open', flush=True)\ntime.sleep(60)\n"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(folder / "stages.duckdb")], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(UserError, match="the same command is running already"):
            weeks(tmp_path / "spec.toml", target)
        assert (folder / "stages.duckdb").exists()
    finally:
        other.kill()
        other.communicate()
    weeks(tmp_path / "spec.toml", target)
    assert not folder.exists()


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_two_runs_of_a_command_do_not_share_stages(engine, tmp_path):
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    target = tmp_path / "weeks.parquet"
    folder = tmp_path / f".{target.name}.weeks-{conversion._digest(Spec.read(tmp_path / 'spec.toml'), engine)}"
    folder.mkdir()
    with FileLock(folder / conversion.RUNNING):
        with pytest.raises(UserError, match="the same command is running already"):
            weeks(tmp_path / "spec.toml", target, engine=engine)
        assert folder.exists()
    assert not target.exists()


@pytest.mark.long
@pytest.mark.parametrize("place", ["weeks.parquet", "spec.toml"])
def test_what_killed_runs_left_goes_with_the_next(place, tmp_path):
    """Stages hold members' rows: those of another spec, or of a check, stay only while their run does."""
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    left, running = (tmp_path / f".{place}.weeks-{name}" for name in ("0123456789ab", "ba9876543210"))
    for folder in (left, running):
        folder.mkdir()
        (folder / conversion.RUNNING).touch()
        (folder / "stages.duckdb").write_bytes(b"rows")
    with FileLock(running / conversion.RUNNING):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert not left.exists()
    assert (running / "stages.duckdb").exists()


@pytest.mark.parametrize(
    ("said", "expected"),
    [("IO Error: Disk quota exceeded", "quota is used up"), ("IO Error: File too large", "no file may become")],
)
def test_a_quota_is_no_damaged_file(said, expected):
    with pytest.raises(UserError, match=expected), _OneLine(duckdb.Error, "covered"):
        raise duckdb.IOException(said)


@pytest.mark.long
def test_a_power_cut_after_the_rename_finds_the_rows(tmp_path, monkeypatch):
    _small(tmp_path, "M,C,D,R\n1,c,2024-01-03,0450\n")
    kept, sync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: kept.append(os.fstat(number).st_size) or sync(number))
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert (tmp_path / "weeks.parquet").stat().st_size in kept


def test_another_table_of_the_same_file_is_another_conversion(tmp_path):
    (tmp_path / "spec.toml").write_text(SPEC)
    for name in ("spans.parquet", "claims.csv", "plan.duckdb", "log.arrow"):
        (tmp_path / name).write_text("")
    (tmp_path / "claims").mkdir()
    (tmp_path / "claims" / "a.csv").write_text("M")
    spec = Spec.read(tmp_path / "spec.toml")
    (tmp_path / "spec.toml").write_text(SPEC.replace("core.visit", "old.visit"))
    assert conversion._digest(spec, "duckdb") != conversion._digest(Spec.read(tmp_path / "spec.toml"), "duckdb")


@pytest.mark.long
def test_a_state_has_no_hindsight_where_no_table_says_when_rows_arrived(tmp_path):
    """An ED visit on Sunday is part of Monday's stay, but Monday's state does not know of that yet."""
    text = _small(tmp_path, "M,C,D,R,B\n1,a,2024-01-07,0450,\n1,b,2024-01-08,,0111\n")
    text = text.replace('revenue = "R"', 'revenue = "R"\nbill_type = "B"').replace("01-14", "01-21")
    found = {}
    for known in ("when_received", "at_service"):
        (tmp_path / "spec.toml").write_text(f'{text}known = "{known}"\n')
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet", force=True)
        table = pd.read_parquet(tmp_path / "weeks.parquet")
        assert table["reward"].tolist() == [0, -1, 0], "the stay alone"
        assert table["num_ip_visits_last_week"].tolist() == [0, 0, 1]
        found[known] = table["num_ed_visits_last_week"].tolist()
    assert found == {"when_received": [0, 1, 0], "at_service": [0, 0, 0]}
