"""Extracts as a US plan's spreadsheets write them: AM and PM, dollars, one file of spans and of who members are."""

import ibis
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("duckdb")

from frl_env.datasets.table_import import ColumnMap
from frl_env.errors import UserError
from frl_env.events_to_weeks import EventTablesError, Spec, weeks
from frl_env.events_to_weeks.facts import cell_parsing

SPEC = """
date_format = "us"
[tables.enrolment]
path = "eligibility.csv"
member = "Subscriber ID"
start = "Eff Date"
end = "Term Date"
[tables.members]
path = "eligibility.csv"
member = "Subscriber ID"
birth = "DOB"
gender = "Sex"
[tables.claims]
path = "claims.csv"
member = "Subscriber ID"
claim = "ClaimNo"
start = "Service From"
paid = "Paid Amt"
[tables.encounters]
path = "visits.csv"
member = "Subscriber ID"
start = "Arrival"
kind = "Kind"
[tables.contacts]
path = "outreach.csv"
member = "Subscriber ID"
time = "When"
goal = "Topic"
outcome = "Outcome"
constants = { modality = "PHONE_CALL", provider = "CHW", urgency = "ROUTINE" }
[effort.modality]
PHONE_CALL = 12
[rules.claims]
complete_through = 2024-01-31
"""
WORDS = """
[crosswalk.kind]
"ED visit" = "ed"
[crosswalk.goal]
"Food" = "FOOD_INSECURITY"
"" = "OTHER"
[crosswalk.outcome]
"Spoke" = "reached"
"""
PEOPLE = 12


@pytest.fixture
def extracts(tmp_path):
    ids = [f"M{i:03d}" for i in range(PEOPLE)]
    spans = [f"{who},1/1/2024,1/31/2024,6/22/1992,F" for who in ids] + ["M000,3/1/2024,,6/22/1992,F"]
    (tmp_path / "eligibility.csv").write_text("Subscriber ID,Eff Date,Term Date,DOB,Sex\n" + "\n".join(spans))
    paid = [f'{who},C{who},1/2/2024,"$1,234.50"' for who in ids] + ['M000,CM000,1/2/2024,"($1,234.50)"']
    (tmp_path / "claims.csv").write_text("Subscriber ID,ClaimNo,Service From,Paid Amt\n" + "\n".join(paid))
    visits = [f"{who},1/9/2024 9:05 PM,ED visit" for who in ids] + ["M000,1/31/2024,ED visit"]
    (tmp_path / "visits.csv").write_text("Subscriber ID,Arrival,Kind\n" + "\n".join(visits))
    log = [f"{who},1/8/2024 12:30 AM,{'Food' if i % 2 else ''},Spoke" for i, who in enumerate(ids * 2)]
    (tmp_path / "outreach.csv").write_text("Subscriber ID,When,Topic,Outcome\n" + "\n".join(log))
    (tmp_path / "spec.toml").write_text(SPEC + WORDS)
    return tmp_path


@pytest.mark.long
def test_spreadsheets_of_a_us_plan_are_read_as_they_are(extracts):
    weeks(extracts / "spec.toml", extracts / "weeks.parquet")
    table = pd.read_parquet(extracts / "weeks.parquet")
    assert table["member_id"].nunique() == PEOPLE
    assert set(table["gender"]) == {"FEMALE"}
    first = table[table["member_id"] == "M001"]
    assert first["next_total_paid"].iloc[0] == 1234.5
    assert table[table["member_id"] == "M000"]["next_total_paid"].iloc[0] == 0, "paid, and taken back"
    assert first["reward"].tolist()[:3] == [0, -1, 0]
    assert first["action_modality"].tolist()[:3] == ["NONE", "PHONE_CALL", "NONE"]  # half past midnight is Monday's


@pytest.mark.long
def test_staff_minutes_of_the_spec_go_with_the_table(extracts):
    weeks(extracts / "spec.toml", extracts / "weeks.parquet")
    columns = ColumnMap.of_table(pq.read_schema(extracts / "weeks.parquet"))
    assert columns.effort == {"modality": {"PHONE_CALL": 12.0}}
    (extracts / "spec.toml").write_text((SPEC + WORDS).replace("PHONE_CALL = 12", "PHONE = 12"))
    with pytest.raises(UserError, match="unknown level of factor 'modality': 'PHONE'"):
        Spec.read(extracts / "spec.toml")


@pytest.mark.long
def test_every_word_without_a_target_is_listed_empty_cells_too(extracts):
    (extracts / "spec.toml").write_text(SPEC)
    with pytest.raises(EventTablesError) as raised:
        weeks(extracts / "spec.toml", check_only=True)
    assert {(fault.table, fault.column) for fault in raised.value.faults} == {
        ("encounters", "kind"), ("contacts", "goal"), ("contacts", "outcome"),
    }  # fmt: skip
    assert sorted(raised.value.words) == [("kind", "ED visit", PEOPLE + 1), ("outcome", "Spoke", 2 * PEOPLE)]
    # A word of six people is not told; one of all is, and an empty cell is a word.
    text = (extracts / "outreach.csv").read_text().replace(",Food,", ",,")
    (extracts / "outreach.csv").write_text(text)
    with pytest.raises(EventTablesError) as raised:
        weeks(extracts / "spec.toml", check_only=True)
    assert ("goal", "", 2 * PEOPLE) in raised.value.words


def test_decisions_that_no_row_has_are_counted(extracts):
    text = (extracts / "outreach.csv").read_text()
    (extracts / "outreach.csv").write_text(f"{text}\nM003,2/20/2024 10:00 AM,Food,Spoke")
    (extracts / "spec.toml").write_text("simulated = true\n" + SPEC + WORDS)
    rows = weeks(extracts / "spec.toml", check_only=True).facts["figures"]["rows"]
    assert rows["weeks with a decision to contact"] == PEOPLE
    assert rows["decisions in weeks that are no row (not covered, or after the cut)"] == 1


def _cells(said, made):
    connection = ibis.duckdb.connect()
    connection.con.register("cells", pa.table({"place": range(len(said)), "said": pa.array(said, pa.string())}))
    table = connection.table("cells")
    parsed = made(table.said)
    wrong = ibis.literal(False)
    for mask in parsed.faults.values():
        wrong = wrong | mask
    query = table.select("place", value=parsed.value, wrong=wrong).order_by("place")
    return [row[1:] for row in connection.con.sql(connection.compile(query)).fetchall()]


@pytest.mark.long
def test_groups_have_words_for_empty_cells_and_for_every_other(extracts):
    spans = (extracts / "eligibility.csv").read_text()
    spans = spans.replace("M001,1/1/2024,1/31/2024,6/22/1992,F", "M001,1/1/2024,1/31/2024,6/22/1992,")
    (extracts / "eligibility.csv").write_text(spans)
    text = (SPEC + WORDS).replace('gender = "Sex"', 'gender = "Sex"\nrace_ethnicity = "Sex"')
    text += '[crosswalk.gender]\n"" = "NOT_SAID"\n[crosswalk.race_ethnicity]\n"*" = "OTHER"\n'
    (extracts / "spec.toml").write_text(text)
    weeks(extracts / "spec.toml", extracts / "weeks.parquet")
    people = pd.read_parquet(extracts / "weeks.parquet").groupby("member_id")[["gender", "race_ethnicity"]].first()
    assert people.loc["M001"].tolist() == ["NOT_SAID", "UNKNOWN"]
    assert people.loc["M002"].tolist() == ["FEMALE", "OTHER"]


def test_clocks_of_twelve_hours():
    said = {
        "1/2/1970 12:00 AM": 0, "1/2/1970 12:30 pm": 45_000, "1/2/1970 1:05 PM": 47_100, "1/2/1970 11:59:59AM": 43_199,
        "1/2/1970 9:05": 32_700, "1/2/1970": 0, None: None,
    }  # fmt: skip
    found = _cells(list(said), lambda column: cell_parsing.moment(column, "us", ""))
    assert found == [(None if second is None else 86_400 + second, False) for second in said.values()]
    wrong = [
        "1/2/1970 13:00 PM", "1/2/1970 0:30 AM", "1/2/1970 5 PM", "1/2/1970 5:00 XM", "1/2/1970 5:60",
        "1/2/1970 5:00:61",
    ]  # fmt: skip
    found = _cells(wrong, lambda column: cell_parsing.moment(column, "us", ""))
    assert [row[1] for row in found] == [True] * len(wrong)


def test_zones_as_databases_write_them():
    said = {
        "1970-01-02 01:00:00+00": 3_600, "1970-01-02 01:00:00.25-05": 21_600, "1970-01-02T01:00+0530": -16_200,
        "1970-01-02 01:00:00 +01:00": 0, "1970-01-02 01:00Z": 3_600, "1970-01-02 01:00": 3_600,
    }  # fmt: skip
    found = _cells(list(said), lambda column: cell_parsing.moment(column, "iso", "UTC"))
    assert found == [(86_400 + second, False) for second in said.values()]
    assert _cells(["1970-01-02-05"], lambda column: cell_parsing.moment(column, "iso", "UTC")) == [(None, True)]


def test_amounts_in_dollars():
    said = {
        "12": 1_200, "1234.5": 123_450, "$1,234.50": 123_450, "$ 7": 700, "-$20.00": -2_000, "$-20.00": -2_000,
        "($20.00)": -2_000, "(1,000.00)": -100_000, "1,234.50": 123_450, "$1,234": 123_400, "-3": -300, "": None,
    }  # fmt: skip
    found = _cells(list(said), cell_parsing.amount)
    assert found == [(cents, False) for cents in said.values()]
    for wrong in ("1,234", "12,50", "1.234,50", "$1,23.00", "($20.00", "\u20ac5", "(20)", "$"):
        assert _cells([wrong], cell_parsing.amount) == [(None, True)], wrong
