import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import minari
import numpy as np
import pandas as pd
import pytest

from benchmarks import run
from benchmarks.policy_scoring.true_values import Evaluation, paired_difference
from benchmarks.sweep import scorecard_tables
from benchmarks.sweep.scorecard import normalized_score
from benchmarks.training.algorithms import REFERENCES
from frl_env.cli import app, run_or_say
from frl_env.datasets import RECIPES
from frl_env.errors import UserError

ROOT = Path(__file__).resolve().parents[2]
TINY = ["--dataset", "tests/tiny-v0", "--steps", "30", "--eval-members", "80", "--jobs", "1"]


@pytest.fixture(scope="module")
def card(tiny_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    run.main([*TINY, "--seeds", "2", "--out", str(out)])
    return json.loads((out / "scorecard.json").read_text()), out


def test_scorecard_has_what_was_promised(card):
    data, out = card
    assert data["dataset"] == "tests/tiny-v0"
    unlimited = {"no_program", "random", "behaviour", "heuristic", "best_observation_only", "oracle"}
    assert set(data["references"]) == unlimited | {
        f"{name} @ team" for name in (*unlimited, "best_record_and_contacts")
    }
    for name, row in data["references"].items():
        assert row["budget"] == ("team" if "@" in name else "none")
        assert name.startswith(row["policy"])
        assert (row["effort_minutes_per_week"] > 0) == (row["policy"] != "no_program"), name
    for key in ("environment", "versions", "commit", "eval_members", "parameters_version", "dataset_sha256"):
        assert key in data
    assert [(r["algo"], r["seed"], r["mode"], r["budget"]) for r in data["runs"]] == [
        ("factored_awr", seed, *scored)
        for seed in (0, 1)
        for scored in (("stochastic", "none"), ("greedy", "none"), ("stochastic", "team"))
    ]
    for row in data["runs"]:
        for key in ("steps", "value", "se", "normalized_score", "wall_s", "updates_per_s", "samples_per_s",
                    "peak_rss_mb", "difference_to_behaviour", "difference_se"):  # fmt: skip
            assert isinstance(row[key], int | float), key
        assert row["steps"] == 30
        assert row["value"] < 0
    assert sorted(f.name for f in out.iterdir()) == [
        ".lock", "checksums.json", "details.json", "factored_awr-seed0.d3",
        "factored_awr-seed0.d3.sha256", "factored_awr-seed1.d3", "factored_awr-seed1.d3.sha256", "runs",
        "runs.parquet", "scorecard.json",
    ]  # fmt: skip
    assert {f.suffix for f in (out / "runs").iterdir()} == {".json", ".npz"}


def test_the_tidy_table_says_what_the_scorecard_says(card):
    data, out = card
    table = pd.read_parquet(out / "runs.parquet")
    assert table["value"].tolist() == [row["value"] for row in data["runs"]]
    assert table[["algo", "mode", "seed", "budget"]].drop_duplicates().shape == (6, 4)


def test_the_summary_is_that_of_the_runs(card):
    data, _ = card
    assert len(data["summary"]) == 2
    for entry in data["summary"]:
        runs = [row for row in data["runs"] if (row["mode"], row["budget"]) == (entry["mode"], "none")]
        gains = [row["difference_to_behaviour"] for row in runs]
        assert entry["seeds"] == len(gains) == 2
        assert entry["difference_to_behaviour"] == pytest.approx(np.mean(gains), abs=1e-6)
        assert entry["interval"][0] <= entry["difference_to_behaviour"] <= entry["interval"][1]
        assert entry["scores"] == pytest.approx([row["normalized_score"] for row in runs], abs=1e-3)
        assert entry["profile"] == sorted(entry["profile"], reverse=True)
    first, second = data["summary"]
    assert first["lead_of_first"] == 0
    assert first["lead_interval"] == [0, 0]
    assert first["probability_that_first_is_better"] == 0.5
    assert second["lead_of_first"] == pytest.approx(
        first["difference_to_behaviour"] - second["difference_to_behaviour"]
    )


def test_fairness_in_the_terminal_says_that_it_is_of_one_seed(card, capsys):
    data, _ = card
    scorecard_tables.show(data)
    assert "high-touch contact by group, of seed 0: " in " ".join(capsys.readouterr().out.split())


def test_numbers_agree_with_each_other(card):
    data, _ = card
    low, high = (data["references"][name]["value"] for name in ("no_program", "best_observation_only"))
    for row in [*data["runs"], *data["references"].values()]:
        assert row["normalized_score"] == pytest.approx(100 * (row["value"] - low) / (high - low))
    behaviour = data["references"]["behaviour"]["value"]
    for row in data["runs"]:
        assert row["difference_to_behaviour"] == pytest.approx(row["value"] - behaviour)
    assert data["references"]["no_program"]["normalized_score"] == 0
    assert data["references"]["best_observation_only"]["normalized_score"] == 100


def test_groups_add_up_to_the_values_of_the_runs(card):
    data, _ = card
    sections = {(entry["algo"], entry["seed"], entry["mode"]): entry for entry in data["fairness"]}
    runs = {(row["algo"], row["seed"], row["mode"]): row for row in data["runs"] if row["budget"] == "none"}
    references = {(name, 0, "reference"): row for name, row in data["references"].items() if row["budget"] == "none"}
    assert set(sections) == set(runs | references)
    for key, row in (runs | references).items():
        section = sections[key]
        assert (section["members"], section["simulated"], section["need"]) == (80, True, "open_needs")
        for measure, expected in (("value", row["value"]), ("value_change", row["difference_to_behaviour"])):
            groups = [g for g in section["groups"] if (g["attribute"], g["measure"]) == ("gender", measure)]
            assert sum(g["members"] * g["value"] for g in groups) / 80 == pytest.approx(expected, abs=1e-5)
        (pair,) = [g for g in section["gaps"] if (g["attribute"], g["measure"]) == ("gender", "high_touch")]
        means = {g["group"]: g["value"] for g in section["groups"] if g["measure"] == "high_touch"}
        assert pair["difference"] == pytest.approx(means[pair["first"]] - means[pair["second"]])
        assert pair["low"] <= pair["difference"] <= pair["high"]
        assert row is not data["references"]["no_program"] or set(means.values()) == {0.0}
        # Groups of fewer than 30 of the 80 members: named, not measured.
        assert {entry["attribute"] for entry in section["withheld"]} == {"race_ethnicity", "age_band"}


@pytest.mark.long
def test_a_second_run_gives_the_same_values(card, tmp_path):
    data, _ = card
    run.main([*TINY, "--out", str(tmp_path)])
    again = json.loads((tmp_path / "scorecard.json").read_text())
    assert [r["value"] for r in again["runs"]] == [r["value"] for r in data["runs"][:3]]
    assert again["references"] == data["references"]


def test_common_random_numbers_pay(tiny_dataset):
    evaluation = Evaluation.of_dataset(tiny_dataset, members=2_000)
    references = evaluation.references(lambda *_: None)
    difference, error = paired_difference(references["behaviour"], references["no_program"])
    alone = np.hypot(references["behaviour"].summary()["se"], references["no_program"].summary()["se"])
    assert error < 0.5 * alone
    assert difference > -2 * error
    oracle = references["oracle"].value
    assert normalized_score(0.0, {"no_program": oracle, "oracle": oracle}) is None


def test_of_combined_members_no_parameters_are_known(tiny_dataset):
    both = minari.combine_datasets([tiny_dataset], "tests/tiny-combined-v0")
    with pytest.raises(UserError, match=r"recorded or combined, .* benchmark one that a recipe makes"):
        Evaluation.of_dataset(both, members=20)


def _says(capsys, arguments, command=run.main):
    with pytest.raises(SystemExit) as stop:
        run_or_say(lambda: command(arguments))
    captured = capsys.readouterr().err.strip().splitlines()
    assert stop.value.code == 2
    lines = [line for line in captured if line.startswith("error: ")]
    assert len(lines) == 1, captured
    return lines[0]


def test_bad_arguments_end_in_one_line(capsys, tmp_path, tiny_dataset):
    assert "unknown algorithm 'factored_arw'; did you mean factored_awr" in _says(capsys, ["--algo", "factored_arw"])
    assert "unknown dataset 'frl/medicaid-v0'" in _says(
        capsys, ["--dataset", "frl/medicaid-v0", "--out", str(tmp_path / "a")]
    )
    assert not (tmp_path / "a").exists()
    assert "--seeds must be at least 1" in _says(capsys, ["--seeds", "0"])
    assert "--eval-members must be at least 2" in _says(capsys, ["--eval-members", "1"])
    assert "invalid int value: 'x'" in _says(capsys, ["--seeds", "x"])
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    assert "can't write to" in _says(capsys, [*TINY, "--out", str(blocked)])
    assert blocked.read_text() == "in the way"


def _build(arguments):
    app(arguments, standalone_mode=False)


def test_a_store_that_cannot_be_used_is_said(capsys, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(blocked))
    assert "Minari's store can't be used" in _says(capsys, ["--quick", "--out", str(tmp_path / "out")])
    for arguments in (["list"], ["show", "frl/medicaid-synthetic-v0"], ["delete", "frl/medicaid-synthetic-v0"]):
        assert "Minari's store can't be used" in _says(capsys, arguments, _build)


@pytest.mark.long
def test_a_model_that_cannot_be_saved_is_said(capsys, tmp_path, tiny_dataset):
    (tmp_path / "factored_awr-seed0.d3").mkdir()
    assert "can't write" in _says(capsys, [*TINY, "--out", str(tmp_path)])
    assert sorted(f.name for f in tmp_path.iterdir()) == [".lock", "factored_awr-seed0.d3", "runs"]
    assert "factored_awr" not in "".join(f.read_text() for f in (tmp_path / "runs").glob("*.json"))


def test_the_command_of_a_scorecard_can_be_typed_again():
    given = ["--dataset", "me/care-v0", "--high-touch", "In person,Home", "--out", "my results"]
    assert shlex.split(run._command(given)) == ["python", "benchmarks/run.py", *given[:4]]


def test_frl_command(capsys, empty_store, monkeypatch, tiny_recipe):
    monkeypatch.setitem(RECIPES, "tests/tiny-v0", tiny_recipe)
    assert "unknown dataset 'frl/nope'" in _says(capsys, ["build", "frl/nope"], _build)
    _build(["build", "tests/tiny-v0"])
    assert "exists already; add --force" in _says(capsys, ["build", "tests/tiny-v0"], _build)
    _build(["list"])
    _build(["show", "tests/tiny-v0"])
    assert "SHA-256" in capsys.readouterr().out
    _build(["delete", "tests/tiny-v0", "--yes"])
    assert "is not in the local store" in _says(capsys, ["delete", "tests/tiny-v0", "--yes"], _build)


@pytest.mark.long
def test_bad_usage_of_frl_is_one_line_and_status_two():
    for arguments in (["buidl"], ["build"], ["build", "--what"]):
        done = subprocess.run(
            [sys.executable, "-c", "from frl_env.cli import main; main()", *arguments], capture_output=True, text=True
        )
        assert done.returncode == 2, done
        assert "Traceback" not in done.stderr


@pytest.mark.long
def test_ctrl_c_in_training_ends_in_one_line_and_leaves_no_half_file(tmp_path, tiny_dataset):
    with subprocess.Popen(
        [sys.executable, "benchmarks/run.py", "--dataset", "tests/tiny-v0", "--steps", "1000000", "--eval-members",
         "50", "--out", str(tmp_path)],
        cwd=ROOT, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            deadline = time.monotonic() + 240
            while len(list(tmp_path.glob("runs/*.json"))) < len(REFERENCES):  # they come first, then only training
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.2)
            time.sleep(2)
            os.killpg(process.pid, signal.SIGINT)
            _, err = process.communicate(timeout=60)
        finally:
            if process.poll() is None:  # else it would train on, beside all other tests
                os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 130, err
    assert "error: stopped" in err
    assert "Traceback" not in err
    assert sorted(f.name for f in tmp_path.iterdir()) == [".lock", "runs"]
    assert "factored_awr" not in "".join(f.read_text() for f in (tmp_path / "runs").glob("*.json"))
