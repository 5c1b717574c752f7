"""Formats as they are met: amounts in text, identifiers as fractions, coverage opened twice, a contact in several rows.

On Spark, too, where there is one.
"""

import importlib.util
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env.errors import UserError
from frl_env.events_to_weeks import weeks

WITHOUT = importlib.util.find_spec("pyspark") is None or shutil.which("java") is None
ENGINES = [
    "duckdb",
    pytest.param(
        "spark",
        marks=[
            pytest.mark.slow,
            pytest.mark.timeout(1_800),
            pytest.mark.skipif(WITHOUT, reason="needs PySpark and Java: pip install pyspark, Java 17"),
            pytest.mark.filterwarnings("ignore"),  # PySpark's own
        ],
    ),
]

LOG = """
[tables.contacts]
path = "log.csv"
member = "M"
contact = "ID"
time = "T"
goal = "TOPIC"
outcome = "O"
constants = { modality = "PHONE_CALL", provider = "CHW", urgency = "ROUTINE" }
[rules.claims]
complete_through = 2024-01-28
"""
CALLS = "M,ID,T,TOPIC,O\n17,a,2024-01-08 10:00,CARE,reached\n"
FORMATS = {
    "omop": {
        "person": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,"
        "ethnicity_concept_id\n17,8532,1980,,,8527,38003564\n",
        "observation_period": "person_id,observation_period_start_date,observation_period_end_date\n"
        "17,2024-01-01,2024-12-31\n",
        "visit_occurrence": "visit_occurrence_id,person_id,visit_concept_id,visit_start_date,visit_end_date\n"
        "2,17,9203,2024-01-03,2024-01-03\n",
        "cost": 'cost_event_id,cost_domain_id,total_paid\n2.0,Visit,"$9,100.50"\n2,Visit,80\n,Visit,5\n9,Drug,far\n',
    },
    "tuva": {
        "eligibility": "person_id,enrollment_start_date,enrollment_end_date,birth_date,death_date,gender,race,"
        "dual_status_code\n17,2024-01-01,2024-12-31,1980-01-01,,female,white,02\n",
        "encounter": "person_id,encounter_type,encounter_start_date,encounter_end_date,ed_flag,"
        "discharge_disposition_code\n17,emergency department,2024-01-03,2024-01-03,1,01\n",
        "medical_claim": "person_id,claim_start_date,claim_end_date,paid_amount\n"
        '17,2024-01-03,2024-01-03,"$9,100.50"\n17,2024-01-03,2024-01-03,80\n',
    },
    "meds": {},
    "flat": {
        "enrolment": "M,FROM,THRU\n17,2024-01-01,\n",
        "claims": "M,C,D,R\n17,c,2024-01-03,0450\n",
    },
}
COLUMNS = {
    "enrolment": 'member = "M"\nstart = "FROM"\nend = "THRU"',
    "claims": 'member = "M"\nclaim = "C"\nstart = "D"\nrevenue = "R"',
}


@pytest.fixture(params=ENGINES)
def convert(tmp_path, request):
    """Writes the tables of a format, some of them changed, and converts them."""

    def run(source: str, tables: dict | None = None, log: str = CALLS, spec: str = "", head: str = "") -> pd.DataFrame:
        lines = [head, f'source = "{source}"']
        for name, table in (FORMATS[source] | (tables or {})).items():
            ending = "csv" if isinstance(table, str) else "parquet"
            if isinstance(table, str):
                (tmp_path / f"{name}.csv").write_text(table)
            else:
                made = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
                pq.write_table(made, tmp_path / f"{name}.parquet")
            lines += [f"[tables.{name}]", f'path = "{name}.{ending}"', COLUMNS.get(name, "")]
        (tmp_path / "log.csv").write_text(log)
        (tmp_path / "spec.toml").write_text("\n".join(lines) + LOG + spec)
        target = tmp_path / "weeks.parquet"
        weeks(tmp_path / "spec.toml", target, force=True, engine=request.param, master="local[1]")
        return pd.read_parquet(tmp_path / "weeks.parquet")

    return run


@pytest.mark.long
@pytest.mark.parametrize("source", ["omop", "tuva"])
def test_amounts_in_text_are_read_or_refused(convert, source):
    assert convert(source)["next_total_paid"].tolist() == [9_180.5] * 4
    name = "cost" if source == "omop" else "medical_claim"
    for cell, said in (("nine", "not a number"), ("200000000", "out of range")):
        with pytest.raises(UserError, match=f"^encounters.paid: {said} in 1 row") as raised:
            convert(source, {name: FORMATS[source][name].replace("80", cell)})
        assert cell not in str(raised.value)


@pytest.mark.long
def test_costs_of_other_visits_are_refused_and_fractions_are_whole(convert):
    costs = pd.DataFrame({"cost_event_id": [2.0, np.nan], "cost_domain_id": "Visit", "total_paid": [120.0, 5.0]})
    assert convert("omop", {"cost": costs})["next_total_paid"].tolist() == [120.0] * 4
    with pytest.raises(UserError, match="no row of table cost is about a visit of visit_occurrence"):
        convert("omop", {"cost": costs.assign(cost_event_id=costs["cost_event_id"] + 900)})


def test_coverage_that_is_opened_again_goes_on(convert):
    """In MEDS; weeks start on 1, 8, 15 and 22 January, and all is complete up to the 28th."""
    events = {
        17: ["+ 01-01", "+ 01-10", "- 01-20"],
        18: ["+ 01-01", "- 01-10", "+ 01-10", "- 01-20"],
        19: ["+ 01-08", "- 01-08"],
        20: ["+ 01-10", "+ 01-16"],
    }
    rows = [
        (who, pd.Timestamp(f"2024-{event[2:]}"), f"COVERAGE_{'START' if event[0] == '+' else 'END'}")
        for who, several in events.items()
        for event in several
    ]
    rows += [(17, pd.Timestamp("2024-01-03 22:10"), "ED_REGISTRATION//WALK_IN")]
    # Discharged, and admitted again at the same moment: one stay, which lasts until the 18th and holds its ED visit.
    rows += [(18, pd.Timestamp(f"2024-01-{day}"), code) for day, code in (
        ("08", "HOSPITAL_ADMISSION"), ("10", "HOSPITAL_DISCHARGE"), ("10", "HOSPITAL_ADMISSION"),
        ("18", "HOSPITAL_DISCHARGE"), ("16", "ED_REGISTRATION"),
    )]  # fmt: skip
    table = pd.DataFrame(rows, columns=["subject_id", "time", "code"]).assign(numeric_value=np.float32("nan"))
    found = convert("meds", {"events": table.assign(time=table["time"].astype("datetime64[us]"))})
    found["day"] = pd.to_datetime(found["week"]).dt.day
    assert found.groupby("member_id")["day"].agg(list).to_dict() == {
        "17": [1, 8, 15], "18": [1, 8, 15], "19": [8], "20": [15, 22],
    }  # fmt: skip
    assert found[found["member_id"] == "18"]["reward"].tolist() == [0, -1, 0]


@pytest.mark.long
@pytest.mark.parametrize(
    ("rules", "topic"),
    [
        ("", "CARE"),
        ('several = "last"', "HOUSING_INSECURITY"),
        ('several = "reached_first"\nrepeats = "each"', "FOOD_INSECURITY"),
    ],
)
def test_a_contact_in_several_rows_counts_once(convert, rules, topic):
    log = (
        "M,ID,T,TOPIC,O\n17,a,2024-01-08 10:00,CARE,attempted\n17, a ,2024-01-08 10:10,FOOD_INSECURITY,reached\n"
        "17,a,2024-01-08 10:20,HOUSING_INSECURITY,attempted\n"
    )
    found = convert("flat", log=log, spec=f"[rules.contacts]\n{rules}\n")
    assert found["action_goal"].tolist()[1] == topic
    assert found["next_num_calls_last_week"].tolist() == [0, 1, 0, 0]
    assert found["next_num_encounters_last_week"].tolist() == [0, 1, 0, 0]
    if rules:
        return
    # Without an identifier, or on another day, rows are contacts of their own.
    log = log.replace("17, a ,", "17,,").replace("08 10:20", "09 10:20")
    assert convert("flat", log=log)["next_num_calls_last_week"].tolist() == [0, 3, 0, 0]


@pytest.mark.parametrize(
    ("numbers", "said"),
    [
        ([17.0, np.nan], "claims.member: missing in 1 row"),
        ([17.0, 2.0**53], "claims.member: not an identifier in 1 row"),
        ([17.0, 1e30], "claims.member: not an identifier in 1 row"),
    ],
)
def test_fractions_that_are_no_identifiers_are_told(convert, numbers, said):
    claims = pa.table({"M": numbers, "C": ["c", "d"], "D": ["2024-01-03"] * 2, "R": ["0450"] * 2})
    with pytest.raises(UserError, match=said):
        convert("flat", {"claims": claims})


@pytest.mark.parametrize(
    ("source", "old", "new", "said"),
    [
        ("omop", "", "[options]\npayers = []\n", "source omop has no \\[options\\]"),
        ("flat", "", "[options]\ned = '^ED'\n", "source flat has no \\[options\\]"),
        ("meds", "", "[options]\nedd = '^ED'\n", "unknown entry in \\[options\\]: 'edd'; did you mean ed"),
        ("synthea", "", "[options]\npayer = ['x']\n", "unknown entry in \\[options\\]: 'payer'; did you mean payers"),
        ("omop", "cost.csv", 'person_id = "PERSON"', "columns have the names that omop gives them"),
    ],
)
def test_what_a_format_does_not_know_is_refused(tmp_path, source, old, new, said):
    tables = "".join(f'[tables.{name}]\npath = "{name}.csv"\n' for name in FORMATS.get(source, {}))
    text = f'source = "{source}"\n{tables}'
    text = text.replace(f'"{old}"\n', f'"{old}"\n{new}\n') if old else text + new
    (tmp_path / "spec.toml").write_text(text)
    for name in FORMATS.get(source, {}):
        (tmp_path / f"{name}.csv").write_text("x\n1\n")
    with pytest.raises(UserError, match=said):
        weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
