"""Tables may lie in files of any kind, side by side: CSV, Parquet, an Arrow stream, a DuckDB file."""

import pandas as pd
import pyarrow as pa
import pytest

pytest.importorskip("ibis")
duckdb = pytest.importorskip("duckdb")

from frl_env.errors import UserError  # noqa: E402
from frl_env.member_weeks import weeks  # noqa: E402

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
    with pa.OSFile(str(tmp_path / "log.arrow"), "wb") as file, pa.ipc.new_stream(file, log.schema) as stream:
        stream.write_table(log)
    (tmp_path / "spec.toml").write_text(SPEC)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    assert table["member_id"].tolist() == ["1", "1", "2", "2"]
    assert table["reward"].tolist() == [-1, 0, 0, -1]
    assert table["action_modality"].tolist() == ["NONE", "PHONE_CALL", "NONE", "NONE"]
    assert table["next_num_encounters_last_week"].tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize(("name", "separator"), [("claims.txt", "|"), ("claims.csv", ";"), ("claims.tsv", "\t")])
def test_text_of_any_delimiter_and_levels_in_plain_words(tmp_path, name, separator):
    (tmp_path / "spans.csv").write_text("M,FROM,THRU\n1,2024-01-01,\n")
    (tmp_path / name).write_text("M,C,D,R\n1,c,2024-01-03,450\n".replace(",", separator))
    (tmp_path / "log.csv").write_text("M,T,O,W\n1,2024-01-08 10:00,talked,Home visit\n1,2024-01-01 10:00,x,sms-text\n")
    text = SPEC[: SPEC.index("[tables.encounters]")] + SPEC[SPEC.index("[tables.contacts]") :]
    text = text.replace("spans.parquet", "spans.csv").replace('"claims"', f'"{name}"').replace("arrow", "csv")
    text = text.replace('modality = "PHONE_CALL", ', "").replace('outcome = "O"', 'outcome = "O"\nmodality = "W"')
    (tmp_path / "spec.toml").write_text(text)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    assert table["reward"].tolist() == [-1, 0]
    assert table["action_modality"].tolist() == ["SMS_TEXT", "HOME_VISIT"]


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
