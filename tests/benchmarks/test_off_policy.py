"""One's own members in the benchmark: trained, valued off-policy, and said plainly that there is no true value."""

import dataclasses
import json

import pandas as pd
import pytest

from benchmarks import run
from frl_env.datasets import ColumnMap, ImportOptions, build_dataset, export_table, import_table
from frl_env.errors import UserError

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
        assert (entry["headline"] is None) == bool(entry["reasons"])
        assert entry["sentence"] in " ".join(shown.split()) or entry["headline"] is not None
    assert (tmp_path / "factored_awr-seed0.d3").exists()


def test_the_truth_stands_beside_the_estimate_where_there_is_one(tiny_dataset, own, tmp_path, capsys):
    run.main([
        "--dataset", "tests/was-simulated-v0", "--validation", "tests/tiny-v0", "--eval-members", "50", *FEW,
        "--algo", "seed_awr", "--out", str(tmp_path),
    ])  # fmt: skip
    card = json.loads((tmp_path / "scorecard.json").read_text())
    true = {row["mode"]: f"{row['difference_to_behaviour']:+.4f}" for row in card["runs"]}
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
