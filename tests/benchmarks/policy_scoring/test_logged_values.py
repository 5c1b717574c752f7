"""One's own members in the benchmark: trained, valued off-policy, and said plainly that there is no true value."""

import dataclasses
import json

import minari
import numpy as np
import pandas as pd
import pytest

from benchmarks import run
from benchmarks.policy_scoring import audits, validation_members
from frl_env.datasets import ColumnMap, ImportOptions, build_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.evaluation.dataset_reading.member_records import MemberRecords
from frl_env.parameters import MEASURES

pytestmark = pytest.mark.usefixtures("one_thread")

RENAMED = {"member_id": "MBR", "week": "WK", "total_paid": "paid 90d", "action_goal": "TOPIC", "reward": "minus_events"}
FEW = ["--steps", "20", "--jobs", "1"]


@pytest.fixture(scope="module")
def own(tiny_recipe, tmp_path_factory):
    """A table that was once simulated; its columns have other names and its rows no order."""
    folder = tmp_path_factory.mktemp("own")
    made = dataclasses.replace(tiny_recipe, dataset_id="tests/was-simulated-v0", members=400, seed=12, horizon=20)
    export_table(build_dataset(made), folder / "out.parquet")
    table = pd.read_parquet(folder / "out.parquet").rename(columns=RENAMED).sample(frac=1, random_state=0)
    table.to_parquet(folder / "own.parquet", index=False)
    import_table(
        folder / "own.parquet",
        "tests/care-v0",
        columns=ColumnMap(columns=RENAMED),
        options=ImportOptions(validation_share=0.5),
    )
    return "tests/care-v0"


@pytest.mark.long
def test_own_members_are_valued_without_a_simulator(own, tmp_path, capsys):
    run.main(["--dataset", own, "--algo", "factored_awr,cql", *FEW, "--out", str(tmp_path)])
    shown = capsys.readouterr().out
    assert "there is no true value" in shown
    card = json.loads((tmp_path / "scorecard.json").read_text())
    assert card["references"] == {}
    assert card["environment"] is None
    assert [(row["algo"], row["mode"]) for row in card["runs"]] == [
        ("factored_awr", "stochastic"), ("factored_awr", "greedy"), ("cql", "greedy")
    ]  # fmt: skip
    assert not any("value" in row or "normalized_score" in row for row in card["runs"])
    assert len(card["ope"]) == 3
    for entry in card["ope"]:
        assert entry["dataset"] == "tests/care-validation-v0"
        assert {"DM", "WDR", "SNM", "FQE"} <= set(entry["results"])
        moved = entry["sensitivity"]["rows"]
        assert {"hidden confounding", "propensities", "run-out"} <= {row["what"] for row in moved}
        assert not any("members" in row for row in moved)
        assert (entry["headline"] is None) == bool(entry["reasons"])
        assert entry["sentence"] in " ".join(shown.split()) or entry["headline"] is not None
    assert (tmp_path / "factored_awr-seed0.d3").exists()
    assert [(entry["algo"], entry["mode"]) for entry in card["fairness"]] == [
        ("factored_awr", "stochastic"), ("factored_awr", "greedy"), ("cql", "greedy")
    ]  # fmt: skip
    for entry in card["fairness"]:
        assert not entry["simulated"]
        assert "suppressed" in entry["privacy"]
        assert {"race_ethnicity", "gender"} <= {row["attribute"] for row in entry["groups"]}
        assert all(row["members"] is None or row["members"] > 10 for row in entry["groups"])
        assert all(
            row["low"] <= row["value"] <= row["high"] for row in entry["groups"] if row["measure"] == "high_touch"
        )
    assert "high-touch contact by group" in shown


@pytest.mark.long
def test_groups_that_the_import_named_are_audited(tiny_recipe, tmp_path):
    made = dataclasses.replace(tiny_recipe, dataset_id="tests/spoken-v0", members=200, seed=12, horizon=20)
    export_table(build_dataset(made), tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet").rename(columns={"gender": "speaks", "age_band": "county"})
    table["county"] = "county " + (table["member_id"].astype("category").cat.codes % 50).astype(str)
    table.to_parquet(tmp_path / "own.parquet", index=False)
    import_table(
        tmp_path / "own.parquet", "tests/speaks-v0",
        columns=ColumnMap(demographics=("speaks", "race_ethnicity", "county")),
    )  # fmt: skip
    data = minari.load_dataset("tests/speaks-v0")
    assert validation_members.attributes_of(data) == ["race_ethnicity", "speaks"], "50 counties are too many"
    records, _ = audits._records("tests/speaks-v0")
    assert set(records.labels["speaks"]) == {"FEMALE", "MALE"}


def _audit(monkeypatch, labels):
    """The scorecard's audit of a policy that always does the same, on members with these labels."""
    episodes = load_episodes(minari.load_dataset("tests/care-validation-v0"))
    n = len(episodes)
    records = MemberRecords(labels=labels(n), needs={}, simulated=False)
    monkeypatch.setattr(audits, "_records", lambda dataset_id: (records, list(MEASURES)))
    always = np.zeros(1080, dtype=np.float32)
    always[-1] = 1.0
    return audits.of_logged(lambda rows: np.tile(always, (len(rows), 1)), episodes, "", np.zeros(n), np.zeros(n))


def test_few_people_are_not_to_be_found_in_the_scorecard(own, monkeypatch):
    def labels(n):
        return {"race_ethnicity": np.repeat(["A", "B", "C", "D"], [n - 117, 60, 50, 7]).astype(object)}

    told = _audit(monkeypatch, labels)
    assert all(row["members"] > 10 for row in told["groups"])
    hidden = {row["group"] for row in told["withheld"]}
    assert "D" in hidden
    assert len(hidden) > 1  # or the size of D would follow from the others
    assert not hidden & {row["group"] for row in told["groups"]}
    assert not hidden & {name for pair in told["gaps"] for name in (pair["first"], pair["second"])}


def test_members_of_whom_nothing_is_known_are_not_audited(own, monkeypatch):
    told = _audit(monkeypatch, lambda n: {})
    assert told["sentence"].startswith("Not audited: an audit needs at least one attribute")


@pytest.mark.long
def test_the_truth_stands_beside_the_estimate_where_there_is_one(tiny_dataset, own, tmp_path, capsys):
    run.main([
        "--dataset", "tests/was-simulated-v0", "--validation", "tests/tiny-v0", "--eval-members", "50", *FEW,
        "--algo", "seed_awr", "--out", str(tmp_path),
    ])  # fmt: skip
    card = json.loads((tmp_path / "scorecard.json").read_text())
    true = {row["mode"]: f"{row['difference_to_behaviour']:+.4f}" for row in card["runs"] if row["budget"] == "none"}
    shown = capsys.readouterr().out
    table = shown[shown.index("estimated from other members") :]
    for mode, value in true.items():
        assert any(f"seed_awr {mode}" in line and value in line for line in table.splitlines())


def test_members_to_value_policies_on_are_asked_for(tiny_dataset, tmp_path):
    with pytest.raises(UserError, match=r"'tests/tiny-validation-v0' does not exist.*--validation-share"):
        run.main(["--dataset", "tests/tiny-v0", "--ope", *FEW, "--out", str(tmp_path)])
    with pytest.raises(UserError, match="not trained on"):
        run.main(["--dataset", "tests/tiny-v0", "--validation", "tests/tiny-v0", *FEW, "--out", str(tmp_path)])
    with pytest.raises(UserError, match="unknown dataset 'no/such-v0'"):
        run.main(["--dataset", "tests/tiny-v0", "--validation", "no/such-v0", *FEW, "--out", str(tmp_path)])


@pytest.mark.long
def test_another_import_under_the_same_name_is_read_anew(own, tmp_path, tiny_recipe):
    """In one process: what a worker keeps of a dataset is gone when another dataset has its name."""
    name = "tests/replaced-v0"
    seen = []
    for seed in (1, 2):
        made = dataclasses.replace(tiny_recipe, dataset_id="tests/replacing-v0", members=40 * seed, seed=seed)
        export_table(build_dataset(made, force=True), tmp_path / "t.parquet", force=True)
        import_table(tmp_path / "t.parquet", name, force=True)
        seen.append(len(validation_members.episodes_of(name)))
        assert len(audits._records(name)[0].labels["gender"]) == seen[-1]
        assert len(validation_members.episodes_of(name)) == seen[-1]
    assert seen == [40, 80]
