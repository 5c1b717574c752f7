"""The frontier against its own rollouts, and the checks of the audit with known answers."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest

from benchmarks.result_records.figures import is_of_today, read_figure
from benchmarks.studies import fairness_checks
from benchmarks.studies import fairness_frontier as fairness
from benchmarks.studies import frontier_table as frontier
from benchmarks.studies.frontier_table import Setting
from frl_env.datasets import Recipe, build_dataset
from frl_env.errors import UserError
from frl_env.parameters import Parameters

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [
    "--dataset", "tests/crowd-v0", "--attribute", "gender", "--seeds", "2", "--steps", "20", "--weights", "1000",
    "--slacks", "0.01", "--eval-members", "150",
]  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    build_dataset(Recipe(dataset_id="tests/crowd-v0", description="for tests", members=120, seed=4, horizon=6))
    out = tmp_path_factory.mktemp("frontier")
    fairness.main([*SMALL, "--out", str(out)])
    return out, json.loads((out / "frontier.json").read_text())


def test_the_frontier_says_what_its_rollouts_say(results):
    out, found = results
    assert [point["setting"] for point in found["points"]] == ["weight 0", "weight 1000", "slack 0.01"]
    tables = [pd.read_parquet(file) for file in sorted(out.glob("*.parquet"))]
    assert len(tables) == 6
    assert found["members"] == 300
    kept = {round(table["value"].mean(), 9) for table in tables}
    for point in found["points"]:
        assert {round(seed["value"], 9) for seed in point["seeds"]} <= kept
        assert point["cost"] == pytest.approx(found["points"][0]["value"] - point["value"])
        means = [group["high_touch"] for group in point["groups"]]
        assert point["gap"]["value"] == pytest.approx(max(means) - min(means))
        assert sum(group["members"] for group in point["groups"]) == 300
    assert found["points"][0]["gap_factor"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert pd.read_csv(out / "frontier.csv")["setting"].tolist() == ["weight 0", "weight 1000", "slack 0.01"]
    assert (out / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_seeds_have_members_of_their_own_and_settings_share_them(results):
    out, _ = results
    labels = [tuple(pd.read_parquet(file)["race_ethnicity"]) for file in out.glob("*.parquet")]
    assert len(set(labels)) == 2
    assert all(labels.count(each) == 3 for each in set(labels))


def test_what_is_there_is_not_done_again(results, monkeypatch, capsys):
    out, found = results
    monkeypatch.setattr(fairness, "_trained", lambda *_: pytest.fail("trained again"))
    fairness.main([*SMALL, "--out", str(out)])
    assert json.loads((out / "frontier.json").read_text()) == found
    assert "--attribute gender" in found["command"]
    assert is_of_today(found["code"], found["programs"])
    assert str(out) not in found["command"]
    assert "weight 1000" in capsys.readouterr().out


def test_gaps_and_their_intervals():
    rng = np.random.default_rng(0)

    def table(gap, n=2_000):
        group = rng.choice(["A", "B"], n)
        share = 0.3 + gap * (group == "A") + 0.02 * rng.normal(size=n)
        return pd.DataFrame({"g": group, "high_touch": share, "value": -1.0 - gap, "open_needs": 1.0 + (group == "A")})

    before, after = frontier.measure({Setting(0.0): [table(0.04)], Setting(9.0): [table(0.01)]}, "g")
    assert before["gap"]["low"] < 0.04 < before["gap"]["high"]
    assert after["gap_factor"]["low"] < 4 < after["gap_factor"]["high"]
    assert after["cost"] == pytest.approx(-0.03)
    assert {group["name"]: group["need_ratio"] for group in before["groups"]} == pytest.approx(
        {"A": 0.34 / 0.32 * 1.5 / 2, "B": 0.30 / 0.32 * 1.5}, rel=0.02
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (["--attribute", "race"], "unknown attribute 'race'"),
        (["--weights", "1,two"], "--weights takes numbers by comma, not '1,two'"),
        (["--high-touch", "HOUSE_VISIT"], "unknown action level"),
        (["--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(wrong, said, tmp_path):
    with pytest.raises(UserError, match=said):
        fairness.main([*wrong, "--out", str(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


def test_a_world_without_disparity_knows_no_race():
    world = fairness_checks.without_disparity(Parameters())
    for part in dataclasses.fields(world):
        for name, value in dataclasses.asdict(getattr(world, part.name)).items():
            if name.startswith("race_") and name != "race_mix":
                assert len(set(map(str, value))) == 1, name


def test_the_checks_of_the_audit_run(tmp_path, capsys, monkeypatch, own_figures):
    few = ["--replicates", "2", "--members", "400", "--out", str(tmp_path), "--figure"]
    fairness_checks.main(["level", *few])
    rows = read_figure("fairness_checks-level").rows
    assert len(list(tmp_path.glob("level-*.json"))) == 2
    assert {row["groups"].split()[0] for row in rows} <= {"BLACK", "HISPANIC", "OTHER", "WHITE", "any"}
    assert 0 <= rows[-1]["found"] <= 100
    monkeypatch.setattr(fairness_checks, "_replicate", pytest.fail)  # nothing is done twice
    fairness_checks.main(["level", *few])
    assert read_figure("fairness_checks-level").rows == rows
    fairness_checks.main(["utilisation", "--members", "600", "--out", str(tmp_path), "--figure"])
    figure = read_figure("fairness_checks-utilisation")
    assert figure.command == "python benchmarks/studies/fairness_checks.py utilisation --members 600"
    assert len(figure.rows) == 12
    visited = sum(row["members"] * row["visits"] for row in figure.rows if row["rule"] == "by spending") / 600
    assert visited == pytest.approx(0.25, abs=0.03)
    assert "against open needs" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("check", ["level", "disparity"])
def test_the_audit_keeps_its_level_and_finds_what_is_there(check, tmp_path, own_figures):
    fairness_checks.main([check, "--out", str(tmp_path), "--figure"])
    *pairs, any_pair = read_figure(f"fairness_checks-{check}").rows
    if check == "level":
        assert any_pair["found"] <= 5 + 200 * np.sqrt(0.05 * 0.95 / 200)
    for pair in pairs:
        assert pair["covered"] >= 95 - 300 * np.sqrt(0.05 * 0.95 / 200)
        if check == "disparity" and pair["groups"] == "HISPANIC less WHITE":
            assert pair["found"] > 90
