"""A report hides what few people had, however many rows of it there are. On Spark, too, where there is one."""

import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")
from test_member_weeks_formats import ENGINES

from frl_env.events_to_weeks import weeks

SPEC = """
[tables.enrolment]
path = "spans.csv"
member = "M"
start = "FROM"
end = "THRU"
[tables.claims]
path = "claims.csv"
member = "M"
claim = "C"
start = "D"
revenue = "R"
bill_type = "B"
status = "S"
[tables.contacts]
path = "log.csv"
member = "M"
time = "T"
modality = "K"
outcome = "O"
constants = { provider = "CHW", goal = "CARE", urgency = "ROUTINE" }
[rules.claims]
complete_through = 2024-06-30
"""
MEMBERS, FEW = 40, 6


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("simulated", [False, True])
def test_people_are_counted_and_not_rows(engine, simulated, tmp_path):
    everybody = [f"m{i:02d}" for i in range(MEMBERS)]
    few = everybody[:FEW]
    claims = [(who, day, "0450", "", "paid") for who in everybody for day in ("2024-01-09", "2024-03-12", "2024-03-20")]
    # The same few in February and in April: together they are more than ten, and still the same.
    claims += [(who, f"2024-{month}-{day}", "0450", "", "paid") for who in few for month in ("02", "04")
               for day in range(10, 20)]  # fmt: skip
    claims += [(who, f"2024-05-{day}", "", "0111", "paid") for who in few for day in (10, 15, 20)]
    claims += [(who, f"2024-01-{day}", "0450", "", "denied") for who in few for day in range(10, 20)]
    table = pd.DataFrame(claims, columns=["M", "D", "R", "B", "S"])
    table.assign(C=[f"c{i}" for i in range(len(table))]).to_csv(tmp_path / "claims.csv", index=False)
    pd.DataFrame({"M": everybody, "FROM": "2024-01-01", "THRU": ""}).to_csv(tmp_path / "spans.csv", index=False)
    log = [(who, day, "PHONE_CALL", "attempted") for who in everybody for day in ("2024-01-09", "2024-02-20")]
    log += [(who, day, "SMS_TEXT", "attempted") for who in few for day in ("2024-03-05", "2024-03-12", "2024-04-02")]
    log += [(who, day, "PHONE_CALL", "reached") for who in few for day in ("2024-03-26", "2024-03-19", "2024-04-16")]
    pd.DataFrame(log, columns=["M", "T", "K", "O"]).to_csv(tmp_path / "log.csv", index=False)
    (tmp_path / "spec.toml").write_text(f"simulated = {str(simulated).lower()}\n{SPEC}")
    figures = weeks(tmp_path / "spec.toml", check_only=True, engine=engine, master="local[1]").facts["figures"]
    ed, months = figures["months"]["ED visits"], [f"2024-0{month}" for month in range(1, 5)]
    if simulated:
        assert ed == dict(zip(months, (40, 60, 80, 60), strict=True))
        assert figures["claims"]["denied"] == 60
        assert figures["contacts by modality"]["reached"] == {"PHONE_CALL": 18, "SMS_TEXT": 0}
        return
    assert ed == {"2024-01": None, "2024-02": None, "2024-03": 80, "2024-04": None}
    assert figures["months"]["stays"] == {"2024-05": None}
    assert figures["claims"]["denied"] == figures["events"]["stays"] == figures["rows"]["stays"] == "fewer than 11"
    assert figures["events"]["ED visits"] == figures["rows"]["ED visits"] == 240
    assert figures["contacts"]["of them reached, or by the member"] == "fewer than 11"
    assert figures["contacts by modality"]["attempts"] == {"PHONE_CALL": None, "SMS_TEXT": None}
    assert figures["contacts by modality"]["reached"] == {"PHONE_CALL": None, "SMS_TEXT": 0}
    assert figures["response"]["after_attempt"] is None


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strange", [0, FEW, 2 * FEW])
def test_people_without_a_span_are_counted(engine, strange, tmp_path):
    """Identifiers in small letters in other tables than that of spans: nobody's, and the members lose their rows."""
    everybody = [f"M{i:02d}" for i in range(MEMBERS)]
    otherwise = [who.lower() if i < strange else who for i, who in enumerate(everybody)]
    pd.DataFrame({"M": everybody, "FROM": "2024-01-01", "THRU": ""}).to_csv(tmp_path / "spans.csv", index=False)
    pd.DataFrame({"M": otherwise, "BORN": "1980-01-01"}).to_csv(tmp_path / "people.csv", index=False)
    claims = pd.DataFrame({"M": otherwise, "C": everybody, "D": "2024-01-09", "R": "0450", "B": "", "S": "paid"})
    claims.to_csv(tmp_path / "claims.csv", index=False)
    log = pd.DataFrame({"M": otherwise * 3, "T": "2024-02-20", "K": "PHONE_CALL", "O": "attempted"})
    log.to_csv(tmp_path / "log.csv", index=False)
    members = '[tables.members]\npath = "people.csv"\nmember = "M"\nbirth = "BORN"\n'
    for simulated in (True, False):
        (tmp_path / "spec.toml").write_text(f"simulated = {str(simulated).lower()}\n{SPEC}{members}")
        figures = weeks(tmp_path / "spec.toml", check_only=True, engine=engine, master="local[1]").facts["figures"]
        found = [
            figures["enrolment"]["people of table members without a span, left out"],
            figures["enrolment"]["members without a row in table members"],
            figures["claims"]["rows of people without a span, left out"],
            figures["contacts"]["rows of people without a span, left out"],
        ]
        if simulated or not strange:
            assert found == [strange, strange, strange, 3 * strange]
        else:  # 18 rows of 6 people are no number to tell
            assert found == (["fewer than 11"] * 4 if strange == FEW else [20, 20, 20, 40])
        said = [each for each in figures["response"]["warnings"] if "have no row in table members" in each]
        assert len(said) == (strange >= 11), "capitals and leading zeros count"


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("people", [FEW, 2 * FEW])
def test_what_age_and_medicare_leave_out_is_counted(engine, people, tmp_path):
    everybody = [f"m{i:02d}" for i in range(MEMBERS)]
    spans = [(who, "2024-01-01", "2024-03-31", "no") for who in everybody]
    spans += [(who, "2024-04-01", "", "yes") for who in everybody[:people]]
    pd.DataFrame(spans, columns=["M", "FROM", "THRU", "X"]).to_csv(tmp_path / "spans.csv", index=False)
    born = ["2006-02-05" if i < people else "1980-01-01" for i in range(MEMBERS)]  # eighteen at the start of week 5
    pd.DataFrame({"M": everybody, "BORN": born}).to_csv(tmp_path / "people.csv", index=False)
    claims = pd.DataFrame({"M": everybody, "C": everybody, "D": "2024-01-09", "R": "0450", "B": "", "S": "paid"})
    claims.to_csv(tmp_path / "claims.csv", index=False)
    log = pd.DataFrame({"M": everybody, "T": "2024-02-20", "K": "PHONE_CALL", "O": "attempted"})
    log.to_csv(tmp_path / "log.csv", index=False)
    spec = SPEC.replace('end = "THRU"', 'end = "THRU"\ndual = "X"')
    spec += '[rules.enrolment]\nmin_age = 18\ndual = "left_out"\n'
    spec += '[tables.members]\npath = "people.csv"\nmember = "M"\nbirth = "BORN"\n'
    found = {}
    for simulated in (True, False):
        (tmp_path / "spec.toml").write_text(f"simulated = {str(simulated).lower()}\n{spec}")
        figures = weeks(tmp_path / "spec.toml", check_only=True, engine=engine, master="local[1]").facts["figures"]
        found[simulated] = (
            figures["enrolment"]["spans with Medicare, left out"],
            figures["rows"]["weeks left out by age"],
        )
    assert found[True] == (people, 5 * people)
    assert found[False] == (("fewer than 11",) * 2 if people == FEW else (20, 60))
