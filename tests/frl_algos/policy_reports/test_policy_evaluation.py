"""From policy file and table to what the policy would do there: right, whole, and without small numbers of people."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from frl_algos import LearnedPolicy, audit_fairness, evaluate_policy, save_model
from frl_algos.policy_reports.embedding_map import embedding_map
from frl_algos.policy_reports.evaluation_plots import evaluation_figures
from frl_algos.policy_reports.policy_evaluation import write_evaluation
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import ColumnMap, ImportOptions, TableError, dataset_place, export_table
from frl_env.datasets.placing import store_root
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, evaluate, load_episodes
from frl_env.evaluation.dataset_reading.member_records import load_people
from frl_env.evaluation.privacy.suppression import coarse_steps, hidden_cells
from frl_env.members import open_members

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = "tests/tiny-v0"
FILES = {"summary.json", "actions.csv", "joint_actions.csv", "embeddings.csv", "actions.svg", "embeddings.svg"}


@pytest.fixture
def file(trained, tmp_path):
    save_model(trained, tmp_path / "policy.safetensors")
    return tmp_path / "policy.safetensors"


@pytest.fixture
def table(tiny_dataset, tmp_path):
    export_table(tiny_dataset, tmp_path / "members.parquet")
    return tmp_path / "members.parquet"


def test_shares_are_means_over_the_logged_decisions(trained, file, tiny_dataset, tmp_path):
    found = evaluate_policy(file, TINY, tmp_path / "out", value=False)
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    episodes = load_episodes(tiny_dataset)
    chances = trained.predict_probabilities(episodes.observation_rows).astype(float)
    levels = MEDICAID_ACTIONS.joint_levels
    best_actions = trained.predict(episodes.observation_rows)
    assert (best_actions != chances.argmax(axis=1)).any(), "the best action is not the likeliest"
    logged = MEDICAID_ACTIONS.unravel(episodes.actions[episodes.mask])
    written = pd.read_csv(tmp_path / "out" / "actions.csv", keep_default_na=False).set_index(["factor", "level"])
    for position, factor in enumerate(MEDICAID_ACTIONS):
        for k, level in enumerate(factor.levels):
            row = written.loc[factor.name, level].astype(float)
            assert row["policy"] == pytest.approx(chances[:, levels[:, position] == k].sum(axis=1).mean())
            assert row["greedy"] == pytest.approx((levels[best_actions, position] == k).mean())
            assert row["logged"] == pytest.approx((logged[:, position] == k).mean())
    assert found.entropy == pytest.approx(-(chances * np.log(np.maximum(chances, 1e-300))).sum(axis=1).mean())
    best = found.joint_actions.iloc[0]
    joint = MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(best[["modality", "provider", "goal", "urgency"]].tolist()))
    assert best["policy"] == pytest.approx(chances.mean(axis=0).max())
    assert int(joint) == chances.mean(axis=0).argmax()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["simulated"]
    assert summary["members"] == "60"
    assert summary["value"] is None


def test_figures_take_any_name_of_a_level_and_differences_of_nothing():
    actions = pd.DataFrame({"factor": ["gift"] * 2, "level": ["$5_$", "$10 or $20"], "policy": 0.5, "logged": 0.5})
    values = pd.DataFrame({"estimator": ["WIS"], "difference": [0.0]}).assign(**{"difference low": 0.0})
    drawn = evaluation_figures(actions, values.assign(**{"difference high": 0.0}), None, note="nobody real")
    assert "$5_$" in drawn["actions.svg"].decode()
    assert "$10 or $20" in drawn["actions.svg"].decode()


def test_a_table_under_other_names_is_evaluated_like_its_dataset(file, table, empty_store, tmp_path):
    renamed = {"member_id": "MBR", "total_paid": "paid", "action_goal": "TOPIC"}
    rows = pd.read_parquet(table).rename(columns=renamed).sample(frac=1, random_state=0)
    rows.to_csv(tmp_path / "own.csv", index=False)
    first = evaluate_policy(file, table, tmp_path / "one", value=False)
    again = evaluate_policy(
        file, tmp_path / "own.csv", tmp_path / "two", columns=ColumnMap(columns=renamed), value=False
    )
    assert not first.simulated
    pd.testing.assert_frame_equal(first.actions, again.actions)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name
    assert not list(empty_store.rglob("*.hdf5")), "the user's store is left alone"


@pytest.mark.long
def test_the_value_is_off_policy_with_its_diagnostics(trained, file, tiny_dataset, tmp_path):
    found = evaluate_policy(file, TINY, tmp_path / "out", seed=3)
    assert found.value is not None
    assert found.value.headline_estimator == "WDR clip 30"
    assert "SNM is not the headline: fewer than 50 people have an answered, or an unanswered" in found.value.sentence
    assert {"WDR", "FQE", "SNM"} <= set(found.value.results)
    assert found.to_dict()["sentence"] == found.value.sentence
    assert {"values.csv", "values.svg"} <= {path.name for path in (tmp_path / "out").iterdir()}
    values = pd.read_csv(tmp_path / "out" / "values.csv").set_index("estimator")
    assert values.loc["SNM", "value"] == pytest.approx(found.value.results["SNM"].estimate.value)
    once_more = evaluate_policy(file, TINY, tmp_path / "again", seed=3)
    assert once_more.to_dict() == found.to_dict()


def test_a_valued_policy_is_asked_two_times(file, tiny_dataset, tmp_path, monkeypatch):
    """As the members are on record, and as they would be under it; shares of actions come from the same answers."""
    asked, ask = [], LearnedPolicy.probabilities

    def counted(self, observations):
        asked.append(len(observations))
        return ask(self, observations)

    monkeypatch.setattr(LearnedPolicy, "probabilities", counted)
    valued = evaluate_policy(file, TINY, tmp_path / "valued", sensitivity=False)
    assert sum(asked) == 2 * valued.decisions
    alone = evaluate_policy(file, TINY, tmp_path / "alone", value=False)
    assert sum(asked) == 3 * valued.decisions
    for table in ("actions", "joint_actions"):
        pd.testing.assert_frame_equal(getattr(valued, table), getattr(alone, table))
    assert valued.entropy == pytest.approx(alone.entropy)


@pytest.mark.long
def test_what_the_value_hangs_on_is_one_table_and_one_figure(file, tmp_path, monkeypatch):
    assert evaluate_policy(file, TINY, tmp_path / "few").sensitivity is None, "60 members"
    monkeypatch.setattr("frl_algos.value_models.policy_sensitivity.FEWEST", 50)
    found = evaluate_policy(file, TINY, tmp_path / "out").sensitivity
    assert found is not None
    kinds = {"as evaluated", "hidden confounding", "propensities", "cut-off", "memory", "run-out", "reward"}
    assert set(found.table["what"]) == kinds
    assert {"sensitivity.csv", "sensitivity.svg"} <= {path.name for path in (tmp_path / "out").iterdir()}
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["sensitivity"]["sentence"] == found.sentence
    assert found.sentence.startswith("By WDR clip 30, ")


def test_no_number_of_few_real_people_is_written(file, table, tmp_path):
    rows = pd.read_parquet(table)
    met = {name: rows.loc[rows["action_modality"] == name, "member_id"].nunique() for name in rows["action_modality"]}
    assert any(0 < count < 11 for count in met.values()), "else nothing is tested"
    found = evaluate_policy(file, table, tmp_path / "out", value=False)
    modality = found.actions[found.actions["factor"] == "modality"].set_index("level")["logged"]
    for name, count in met.items():
        assert np.isnan(modality[name]) or count >= 11
    assert modality.isna().sum() >= 2, "one hidden share would follow from the others"
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["members"] == "60"
    assert [row["logged"] for row in summary["actions"] if row["level"] in modality[modality.isna()].index][:2] == [
        None
    ] * 2


def test_a_record_with_gaps_is_one_person(file, table, tmp_path):
    rows = pd.read_parquet(table)
    middle = rows["week"] == rows["week"].min() + 5
    rows[~middle].to_parquet(tmp_path / "gaps.parquet")
    options = ImportOptions(on_error="drop")
    with open_members(tmp_path / "gaps.parquet", options=options) as dataset:
        assert dataset.total_episodes > 100
        assert len(load_people(dataset)) == 60
    found = evaluate_policy(file, tmp_path / "gaps.parquet", tmp_path / "out", options=options, value=False)
    assert found.members == "60"
    audit = audit_fairness(
        file,
        tmp_path / "gaps.parquet",
        tmp_path / "audit",
        options=options,
        attributes=["gender"],
        minimum=11,
        value=False,
    )
    assert audit.members == 60
    assert sum(group.members for group in audit.of("gender")) == 60


def test_weeks_in_which_few_leave_are_not_told():
    assert coarse_steps(np.array([60, 58, 50, 49, 38, 12, 11, 3, 1])).tolist() == [60, 60, 60, 49, 38, 12, 12, 0, 0]
    assert coarse_steps(np.array([7, 3])).tolist() == [0, 0]
    assert hidden_cells({"a": 3, "b": 20, "c": 400}) == {"a", "b"}
    assert hidden_cells({"a": 0, "b": 20}) == set()


def test_the_map_is_of_the_trained_embeddings(trained):
    found = embedding_map(trained)
    assert found is not None
    tables = trained.impl.policy.action_encoder.tables[0].detach().numpy().astype(float)
    assert len(found.table) == len(tables) == 31
    assert found.table["level"].tolist()[:2] == ["NONE", "PHONE_CALL"]
    places = found.table[["x", "y"]].to_numpy()
    centred = tables - tables.mean(axis=0)
    values = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert (places**2).sum(axis=0) == pytest.approx(values[:2])
    assert found.explained == pytest.approx(tuple(values[:2] / values.sum()))
    assert embedding_map(object()) is None


def test_what_does_not_fit_is_said(file, table, tmp_path):
    broken = tmp_path / "broken.parquet"
    pd.read_parquet(table).drop(columns="total_paid").to_parquet(broken)
    out = tmp_path / "out"
    for policy, data, options, said in (
        (file, "tests/nowhere-v0", {}, "no Minari dataset or table 'tests/nowhere-v0'"),
        (file, tmp_path / "none.csv", {}, "there is no table"),
        (file, TINY, {"columns": ColumnMap()}, "is no table, so that no columns or options"),
        (file, table, {"options": ImportOptions(validation_share=0.5)}, "no validation share"),
        (tmp_path / "none.safetensors", table, {}, "there is no model file"),
        (tmp_path / "none.txt", table, {}, "is no trained policy"),
    ):
        with pytest.raises(UserError, match=said):
            evaluate_policy(policy, data, out, value=False, **options)
    with pytest.raises(TableError, match="total_paid: no such column"):
        evaluate_policy(file, broken, out, value=False)
    schema = tmp_path / "actions.json"
    schema.write_text('{"factors": [{"name": "action", "levels": ["NO", "YES"]}]}')
    (tmp_path / "blocked").write_text("a file")
    with pytest.raises(UserError, match="can't write to"):
        evaluate_policy(file, TINY, tmp_path / "blocked", value=False)
    assert not out.exists()


def test_files_of_an_earlier_evaluation_do_not_stand_beside_the_new(file, tmp_path):
    out = tmp_path / "out"
    found = evaluate_policy(file, TINY, out, value=False)
    (out / "values.csv").write_text("of another policy")
    (out / "notes.txt").write_text("mine")
    named = found.actions.assign(level="=1+1")
    write_evaluation(replace(found, embeddings=None, actions=named), out)
    wanted = {name for name in FILES if "embeddings" not in name}
    assert {each.name for each in out.iterdir()} == {*wanted, "notes.txt"}
    assert set(pd.read_csv(out / "actions.csv").level) == {"'=1+1"}  # a spreadsheet would compute it


def test_members_of_a_table_are_gone_afterwards(table, tmp_path):
    with open_members(table) as dataset:
        place = dataset.storage.data_path
        assert dataset.total_episodes == 60
        assert str(store_root()) not in str(place)
    assert not place.exists()


def test_a_report_of_real_members_ends_with_the_weeks_that_enough_are_followed(tiny_dataset):
    episodes = load_episodes(tiny_dataset)
    kept = [*range(14), *(i for i in range(60) if i >= 14 and episodes.lengths[i] == 12)]
    short = np.asarray(kept)
    rewards = episodes.rewards[short].copy()
    lengths = episodes.lengths[short].copy()
    lengths[8:] = np.minimum(lengths[8:], 5)  # from week 5 on at most 8 are followed
    part = LoggedEpisodes(
        rewards=np.where(np.arange(12) < lengths[:, None], rewards, 0.0),
        lengths=lengths,
        actions=episodes.actions[short],
        action_space=episodes.action_space,
        observations=episodes.observations[short],
        propensities=episodes.propensities[short],
    )
    uniform = MEDICAID_ACTIONS.valid / MEDICAID_ACTIONS.valid.sum()
    report = evaluate(part, lambda rows: np.tile(uniform, (len(rows), 1)), rng=np.random.default_rng(0), resamples=20)
    open_ = replace(report, diagnostics=replace(report.diagnostics, simulated=True))
    whole, real = open_.to_dict()["diagnostics"], report.to_dict()["diagnostics"]
    assert len(whole["followed"]) == 12
    assert len(real["followed"]) == len(real["mean_ratio_by_week"]) == 5
    for kind in real["weights"]:
        assert len(real["weights"][kind]["by_week"]) == 5
    assert min(real["followed"]) >= 11


def test_members_with_a_recipe_are_built_when_missing(empty_store):
    told = []
    with open_members("frl/medicaid-synthetic-small-v0", progress=lambda *each: told.append(each)) as dataset:
        assert len(dataset) == 500
    assert told
    assert dataset_place("frl/medicaid-synthetic-small-v0").exists()
