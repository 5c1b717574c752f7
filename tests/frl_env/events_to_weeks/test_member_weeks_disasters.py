"""The mistakes that nobody notices, made on purpose in the simulator's events: a check says so, end to end."""

import re
import shutil
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env import cli
from frl_env.datasets import Recipe
from frl_env.event_export import export_events
from frl_env.events_to_weeks.log_reach import LogReach

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


def _half(contacts: pd.DataFrame, claims: pd.DataFrame, *, later: bool) -> pd.DataFrame:
    """Half of the weeks only."""
    middle = pd.to_datetime(claims["FROM_DATE"]).quantile(0.5).floor("D")
    return contacts[(pd.to_datetime(contacts["CONTACT_TIME"]) >= middle) == later]


SPOILED = {
    "clean": (lambda contacts, claims: contacts, None),
    "reached contacts only": (_reached_only, "this looks like a log of reached contacts only"),
    "a log that starts late": (partial(_half, later=True), "the contact log begins"),
    "a log that ends early": (partial(_half, later=False), "the contact log ends"),
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
    for words in (said,) if name.startswith("a log that") else (said, of_import):
        found = [s for _, s in SPOILED.values() if s is not None and s in words]
        assert found == ([sentence] if sentence else []), words


def _reach(attempted: np.ndarray, first_day: int = 19_000) -> LogReach:
    """Of members' weeks, a row a member: which of them have an attempt; added ten members at a time."""
    reach = LogReach()
    for start in range(0, len(attempted), 10):
        some = attempted[start : start + 10]
        who = np.repeat(np.arange(start, start + len(some)), some.shape[1])
        days = np.tile(first_day + 7 * np.arange(some.shape[1]), len(some))
        weeks = SimpleNamespace(who=who, start=days, decided=some.ravel(), joint=np.ones(len(who), np.int64))
        reach.add(weeks, nothing=0)
    return reach


def test_a_log_that_does_not_reach_over_all_weeks_is_told():
    often = np.random.default_rng(0).random((60, 40)) < 0.4
    assert _reach(often).warnings() == ()
    late, early = often.copy(), often.copy()
    late[:, :10] = False
    late[3, 2] = True  # one wrong date is no log
    early[:, 30:] = False
    (said,) = _reach(late).warnings()
    assert said.startswith("25% of member-weeks start before 2022-03-19, where the contact log begins")
    assert "set first_day = 2022-03-19 under [rules.weeks]" in said
    (said,) = _reach(early).warnings()
    assert said.startswith("25% of member-weeks end after 2022-08-05, where the contact log ends")
    assert "set last_day = 2022-08-05 under [rules.weeks]" in said


def test_of_few_members_or_a_slow_start_nothing_is_said():
    often = np.random.default_rng(0).random((60, 40)) < 0.4
    few = often.copy()
    few[10:] = False
    few[:, :20] = False
    assert _reach(few).warnings() == ()
    slow = often.copy()
    slow[:, :1] = False
    assert _reach(slow).warnings() == ()
    assert LogReach().warnings() == ()
