"""The worked examples of docs/event_tables.md: each reader gives what stands there."""

import io
import re
from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env.events_to_weeks.engine import open_engine
from frl_env.events_to_weeks.event_tables.reading import clean, parse
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.readers import read_source

PAGE = Path(__file__).resolve().parents[3] / "docs" / "event_tables.md"
KINDS = ("other", "ed", "stay", "ed_stay", "observation")
BESIDE = {
    "omop": {
        "person": "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth,race_concept_id,"
        "ethnicity_concept_id\n17,8532,1980,,,8527,38003564\n18,8507,1990,2,3,8516,38003563\n",
        "observation_period": "person_id,observation_period_start_date,observation_period_end_date\n"
        "17,2023-01-01,2024-12-31\n",
    },
    "synthea": {
        "patients": "Id,BIRTHDATE,DEATHDATE,GENDER,RACE,ETHNICITY\np1,1980-01-01,,F,white,hispanic\n",
        "payer_transitions": "PATIENT,START_DATE,END_DATE,PAYER\n"
        "p1,2023-01-01T00:00:00Z,2023-12-31T00:00:00Z,b1c428d6-4f07-31e0-90f0-68ffa6ff8c76\n"
        "p1,2024-01-01T00:00:00Z,2024-12-31T00:00:00Z,medicaid\n",
    },
    "meds": {},
    "tuva": {
        "eligibility": "person_id,enrollment_start_date,enrollment_end_date,birth_date,death_date,gender,race,"
        "dual_status_code\nq1,2023-01-01,2024-12-31,1980-01-01,,female,white,02\n",
    },
}
"""Tables that the page does not show."""


def _blocks() -> dict[str, str]:
    return dict(re.findall(r"^```csv ([^\n]+)\n(.*?)^```", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL))


def _tables(source: str, folder: Path) -> dict[str, pd.DataFrame]:
    """Canonical tables of the page's example."""
    lines = [f'source = "{source}"', "[tables.contacts]", 'path = "contacts.csv"', 'member = "m"', 'time = "t"']
    (folder / "contacts.csv").write_text("m,t\n17,2024-01-01\n")
    inputs = {name.split("/")[1]: text for name, text in _blocks().items() if name.startswith(f"{source}/")}
    assert inputs, source
    for name, text in (inputs | BESIDE[source]).items():
        table = pd.read_csv(io.StringIO(text), dtype=None if source == "meds" else str)
        if source == "meds":
            table["time"] = pd.to_datetime(table["time"]).astype("datetime64[us]")
            table.to_parquet(folder / f"{name}.parquet")
        else:
            table.to_csv(folder / f"{name}.csv", index=False)
        lines += [f"[tables.{name}]", f'path = "{name}.{"parquet" if source == "meds" else "csv"}"']
    (folder / "spec.toml").write_text("\n".join(lines))
    spec = Spec.read(folder / "spec.toml")
    engine = open_engine("duckdb", folder / "stages")
    try:
        found = {}
        for label, raw in read_source(engine, spec).items():
            if label != "contacts":
                found[label] = pd.DataFrame(engine.rows(clean(parse(label, raw, spec))))
        return found
    finally:
        engine.close()


def _shown(table: pd.DataFrame) -> str:
    shown = table[["member"]].copy()
    for name in ("start", "end"):
        days = pd.to_datetime(table[name].fillna(table["start"]).astype("int64"), unit="D")
        shown[name] = days.dt.strftime("%Y-%m-%d")
    shown["kind"] = [KINDS[code] for code in table["kind"]]
    shown["paid"] = ["" if pd.isna(cents) else f"{cents / 100:.2f}" for cents in table["paid"]]
    return shown.sort_values(["start", "kind"]).to_csv(index=False)


@pytest.mark.parametrize("source", BESIDE)
def test_the_page_shows_what_the_reader_does(source, tmp_path):
    tables = _tables(source, tmp_path)
    assert _shown(tables["encounters"]).split() == _blocks()[f"{source} -> encounters"].split()


@pytest.mark.long
def test_people_of_each_format(tmp_path):
    for source in ("omop", "synthea", "tuva"):
        (tmp_path / source).mkdir()
    omop = _tables("omop", tmp_path / "omop")["members"].set_index("member")
    assert omop.loc["17", ["gender", "race_ethnicity"]].tolist() == ["FEMALE", "WHITE"]
    assert omop.loc["18", ["gender", "race_ethnicity"]].tolist() == ["MALE", "HISPANIC"]
    assert pd.to_datetime(omop["birth"], unit="D").dt.strftime("%Y-%m-%d").tolist() == ["1980-07-01", "1990-02-03"]
    synthea = _tables("synthea", tmp_path / "synthea")
    assert synthea["members"]["race_ethnicity"].tolist() == ["HISPANIC"]
    assert len(synthea["enrolment"]) == 1, "spans without insurance are none"
    tuva = _tables("tuva", tmp_path / "tuva")
    assert tuva["enrolment"]["dual"].tolist() == [True]
    assert tuva["members"]["gender"].tolist() == ["FEMALE"]


@pytest.mark.parametrize(("flag", "dual"), [("1", "02"), ("1.0", "2.0"), ("True", "2")])
def test_flags_of_tuva_are_read_however_they_are_written(flag, dual, tmp_path, monkeypatch):
    eligibility = BESIDE["tuva"]["eligibility"].replace(",02\n", f",{dual}\n")
    monkeypatch.setitem(BESIDE["tuva"], "eligibility", eligibility)
    blocks = {
        name: text.replace("2024-02-04,1,01", f"2024-02-04,{flag},02.0") if name == "tuva/encounter" else text
        for name, text in _blocks().items()
    }
    monkeypatch.setitem(globals(), "_blocks", lambda: blocks)
    tables = _tables("tuva", tmp_path)
    assert tables["enrolment"]["dual"].tolist() == [True]
    stay = tables["encounters"].query("kind == @KINDS.index('ed_stay')")
    assert stay["discharge"].tolist() == ["02"]


def test_coverage_in_meds_is_what_is_opened_and_closed_or_all_that_was_seen(tmp_path):
    seen = _tables("meds", tmp_path)["enrolment"]
    days = [pd.to_datetime(int(seen[name].iloc[0]), unit="D").strftime("%m-%d") for name in ("start", "end")]
    assert days == ["01-03", "02-20"]
