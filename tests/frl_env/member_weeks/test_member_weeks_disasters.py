"""The two mistakes that nobody notices, made on purpose in the simulator's events: both checks say so, end to end."""

import re
import shutil
import sys

import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env import cli
from frl_env.datasets import Recipe
from frl_env.raw_events import export_events

RECIPE = Recipe(dataset_id="tests/disasters-v0", description="for tests", members=250, seed=11, horizon=26)


def _reached_only(contacts: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    return contacts[contacts["OUTCOME"] != "No answer"]


def _visits(contacts: pd.DataFrame, claims: pd.DataFrame) -> pd.DataFrame:
    """Every day with a claim is in the log as if the member had called."""
    days = claims[["MEMBER_ID", "FROM_DATE"]].drop_duplicates()
    visits = contacts.head(1).drop(columns=["MEMBER_ID", "CONTACT_TIME"]).merge(days, how="cross")
    visits["CONTACT_TIME"] = pd.to_datetime(visits.pop("FROM_DATE"))
    visits["CONTACT_ID"] = [f"visit-{i}" for i in range(len(visits))]
    visits["DIRECTION"], visits["OUTCOME"] = "inbound", "Spoke with member"
    return pd.concat([contacts, visits[contacts.columns]], ignore_index=True)


SPOILED = {
    "clean": (lambda contacts, claims: contacts, None),
    "reached contacts only": (_reached_only, "this looks like a log of reached contacts only"),
    "medical visits as encounters": (_visits, "num_encounters_last_week looks like medical visits"),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("disasters") / "events"
    export_events(RECIPE, folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("simulated", [True, False])
@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_export_is_told_by_weeks_and_by_import(name, simulated, base, tmp_path, monkeypatch, capsys):
    spoil, sentence = SPOILED[name]
    shutil.copytree(base, tmp_path / "events")
    for file in (tmp_path / "events" / "contacts").iterdir():
        claims = pd.read_parquet(tmp_path / "events" / "claims" / file.name)
        spoil(pd.read_parquet(file), claims).to_parquet(file, index=False)
    spec = tmp_path / "events" / "spec.toml"
    if not simulated:
        spec.write_text(re.sub("simulated = true\n", "", spec.read_text()))

    def frl(*arguments) -> str:
        monkeypatch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return " ".join(capsys.readouterr().out.split())

    said = frl("weeks", spec, "--check")
    frl("weeks", spec, "-o", tmp_path / "weeks.parquet")
    of_import = frl("import", tmp_path / "weeks.parquet", "--id", "tests/disasters-v0", "--check")
    for words in (said, of_import):
        found = [s for _, s in SPOILED.values() if s is not None and s in words]
        assert found == ([sentence] if sentence else []), words
