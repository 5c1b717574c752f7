"""A dataset of the simulator, written as raw events, comes back through `frl weeks` as its own member-weeks."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

pytest.importorskip("ibis")
pytest.importorskip("duckdb")

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, collect, import_table
from frl_env.errors import UserError
from frl_env.event_export import export_events
from frl_env.events_to_weeks import weeks
from frl_env.parameters import AGE_BANDS, GENDERS, MEASURES, RACES

RECIPE = Recipe(dataset_id="tests/events-v0", description="for tests", members=120, seed=5, horizon=40)


@pytest.fixture(scope="module")
def truth() -> pd.DataFrame:
    """The dataset's own member-weeks, by member and number of week."""
    episodes = collect(RECIPE.parameters, members=RECIPE.members, seed=RECIPE.seed, horizon=RECIPE.horizon)
    mask = episodes.mask
    member = np.repeat(np.arange(len(episodes)), episodes.lengths)
    week = np.concatenate([np.arange(length) for length in episodes.lengths])
    columns = {"member": member, "number": week}
    for i, name in enumerate(MEASURES):
        columns[name] = episodes.observations[:, :-1][mask][:, i]
        columns[f"next_{name}"] = episodes.observations[:, 1:][mask][:, i]
    names = MEDICAID_ACTIONS.decode(episodes.actions[mask])
    columns |= {f"action_{factor.name}": names[:, i] for i, factor in enumerate(MEDICAID_ACTIONS)}
    columns["reward"] = episodes.rewards[mask]
    columns["terminated"] = (week == episodes.lengths[member] - 1) & episodes.terminated[member]
    for name, groups in (("age_band", AGE_BANDS), ("gender", GENDERS), ("race_ethnicity", RACES)):
        columns[name] = np.asarray(groups, dtype=object)[episodes.information[name][:, :-1][mask][:, 0]]
    columns["covered"] = episodes.information["covered"][:, :-1][mask][:, 0]
    return pd.DataFrame(columns).set_index(["member", "number"])


def _read(file) -> pd.DataFrame:
    table = pd.read_parquet(file)
    table["member"] = table["member_id"].str.removeprefix("M").astype("int64")
    table["number"] = (pd.to_datetime(table["week"]) - pd.Timestamp("2024-01-01")).dt.days // 7
    return table.drop(columns=["member_id", "week"]).set_index(["member", "number"])


@pytest.fixture(scope="module")
def flat(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flat") / "events"
    assert export_events(RECIPE, folder) == RECIPE.members
    weeks(folder / "spec.toml", folder / "weeks.parquet")
    return folder


def test_flat_events_come_back_bit_for_bit(flat, truth):
    found = _read(flat / "weeks.parquet")
    expected = truth.drop(columns="covered")
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False, check_exact=True)


def test_the_events_hold_what_makes_claims_hard(flat):
    claims = pd.read_parquet(flat / "claims")
    assert (claims["FREQUENCY_CODE"] == "8").sum() > 100
    assert claims["ADJUSTS_CLAIM_ID"].str.endswith("V").any(), "a void of a void"
    assert (claims["STATUS"] == "D").sum() > 50
    assert (claims["RECEIVED_DATE"] > claims["THRU_DATE"]).all()
    assert (claims["DISCHARGE_STATUS"] == "02").any()
    log = pd.read_parquet(flat / "contacts")
    week = pd.to_datetime(log["CONTACT_TIME"]).dt.to_period("W-SUN")
    assert (log.groupby(["MEMBER_ID", week]).size() > 1).sum() > 100
    assert set(log["DIRECTION"]) == {"inbound", "outbound"}


def test_the_dataset_knows_the_rules(flat, empty_store):
    imported = import_table(flat / "weeks.parquet", "tests/rules-v0")
    counted = imported.load().storage.metadata["frl_import"]["member_weeks"]
    assert counted["spec"]["rules"]["claims"]["known"] == "at_service"
    assert counted["figures"]["events"]["stays"] > 10
    assert counted["complete_through"] == "2024-10-06"


@pytest.mark.slow
def test_the_same_conversion_writes_the_same_bytes(flat, tmp_path):
    weeks(flat / "spec.toml", tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == (flat / "weeks.parquet").read_bytes()
    assert [file.name for file in tmp_path.iterdir()] == ["again.parquet"], "no stage is left"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["omop", "synthea", "meds", "tuva"])
def test_other_formats_give_the_same_weeks(kind, truth, tmp_path):
    """But for who left: these formats don't say so."""
    export_events(RECIPE, tmp_path / "events", kind=kind)
    weeks(tmp_path / "events" / "spec.toml", tmp_path / "weeks.parquet")
    table = pd.read_parquet(tmp_path / "weeks.parquet")
    table["member_id"] = table["member_id"].str.replace("M", "").astype("int64").map("M{:07d}".format)
    table.to_parquet(tmp_path / "weeks.parquet")
    found = _read(tmp_path / "weeks.parquet")
    covered = truth[truth["covered"]].drop(columns=["covered", "terminated", "race_ethnicity"])
    pd.testing.assert_frame_equal(found.loc[covered.index, list(covered)], covered, check_dtype=False, check_exact=True)


@pytest.mark.long
def test_gaps_that_are_left_out_are_no_mistake_to_an_import(flat, truth, tmp_path, empty_store):
    spec = (
        (flat / "spec.toml")
        .read_text()
        .replace('gaps = "kept"', 'gaps = "left_out"')
        .replace('path = "', f'path = "{flat}/')
    )
    (tmp_path / "spec.toml").write_text(spec)
    weeks(tmp_path / "spec.toml", tmp_path / "weeks.parquet")
    assert len(pd.read_parquet(tmp_path / "weeks.parquet")) == truth["covered"].sum() < len(truth)
    imported = import_table(tmp_path / "weeks.parquet", "tests/gaps-v0")
    assert [repair["kind"] for repair in imported.facts[0]["repairs"]] == ["gap"]
    assert imported.facts[0]["episodes"] > imported.facts[0]["members"]
    plain = pq.read_table(tmp_path / "weeks.parquet").replace_schema_metadata(None)
    pq.write_table(plain, tmp_path / "plain.parquet")
    with pytest.raises(UserError, match="gap"):
        import_table(tmp_path / "plain.parquet", "tests/plain-v0")


def test_export_is_whole_or_absent_and_says_what_it_needs(tmp_path):
    (tmp_path / "there").mkdir()
    for arguments, said in (
        ((RECIPE, tmp_path / "there"), "exists already; name a new folder"),
        (("frl/medicaid-syntetic-v0", tmp_path / "new"), "unknown dataset"),
        ((RECIPE, tmp_path / "none" / "new"), "can't write"),
    ):
        with pytest.raises(UserError, match=said):
            export_events(*arguments)
    with pytest.raises(UserError, match="unknown format of events 'fhir'"):
        export_events(RECIPE, tmp_path / "new", kind="fhir")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
