import os
import subprocess
import sys
from pathlib import Path

import minari
import numpy as np
import pytest

from benchmarks.result_records.figures import read_figure
from benchmarks.sepsis import study as icu_sepsis
from benchmarks.sepsis.dataset import collect_sepsis, ensure_sepsis_dataset
from benchmarks.sepsis.environment import SEPSIS_ACTIONS, SepsisTables, make_environment, one_hot
from frl_algos import load_replay_buffer
from frl_env.cli import run_or_say
from frl_env.errors import UserError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tables():
    return SepsisTables.load()


@pytest.fixture(scope="module")
def dataset(tables):
    return ensure_sepsis_dataset(tables, episodes=200)


def test_published_values_are_reproduced(tables):
    assert {name: round(value, 3) for name, value in tables.references.items()} == {
        "random": 0.780, "expert": 0.782, "optimal": 0.875
    }  # fmt: skip


def test_a_policy_that_leaves_inadmissible_actions_out_gets_their_mean_instead(tables):
    """The environment gives an inadmissible action the mean outcome of the admissible ones."""
    share = tables.admissible / tables.admissible.sum(axis=1, keepdims=True).clip(1)
    state = 5
    inadmissible = np.flatnonzero(~tables.admissible[state])
    for action in inadmissible[:3]:
        np.testing.assert_allclose(tables.transitions[state, action], share[state] @ tables.transitions[state])
    always, mixed = tables.expert.copy(), tables.expert.copy()
    always[state] = one_hot(inadmissible[0], 25)
    mixed[state] = share[state]
    assert tables.value(always) == pytest.approx(tables.value(mixed))


def test_exact_value_agrees_with_the_share_of_survivors(tables):
    policy = 0.5 * tables.best_policy() + 0.5 * tables.expert
    states, _, lengths = tables.roll_out(policy, episodes=5_000, seed=1)
    survived = (states[np.arange(5_000), lengths] == tables.survival).mean()
    assert survived == pytest.approx(tables.value(policy), abs=4 * 0.4 / 5_000**0.5)
    assert tables.value(policy) > tables.references["expert"] + 0.02


@pytest.mark.parametrize("spoil", [lambda p: p[:, :5], lambda p: p * 0.9, lambda p: -p, lambda p: p * np.nan])
def test_what_is_no_policy_is_refused(tables, spoil):
    with pytest.raises(UserError, match="a policy needs"):
        tables.value(spoil(tables.expert))


def test_dataset_follows_the_tables(tables, dataset):
    assert dataset.total_episodes == 200
    assert isinstance(dataset.action_space, type(SEPSIS_ACTIONS.gym_space()))
    for index in (0, 7, 199):  # not only the first: misalignment shows later
        episode = dataset[index]
        states = episode.infos["state"][:, 0]
        np.testing.assert_array_equal(episode.observations, tables.observations[states])
        joints = SEPSIS_ACTIONS.ravel(episode.actions)
        assert (tables.transitions[states[:-1], joints, states[1:]] > 0).all()
        np.testing.assert_allclose(episode.infos["propensity"][1:, 0], tables.expert[states[:-1], joints], rtol=1e-6)
        assert (states[:-1] < tables.living).all()
        assert states[-1] >= tables.living
        assert episode.terminations.tolist() == [False] * (len(joints) - 1) + [True]
        assert episode.rewards.tolist() == [0.0] * (len(joints) - 1) + [float(states[-1] == tables.survival)]


def test_a_recipe_gives_the_same_episodes_and_seeds_differ(tables):
    first, again, other = (collect_sepsis(tables, episodes=50, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.observations, again.observations)
    np.testing.assert_array_equal(first.actions, again.actions)
    assert first.observations.shape != other.observations.shape or (first.observations != other.observations).any()


def test_buffer_loads_complete(dataset):
    buffer = load_replay_buffer(dataset)
    assert buffer.transition_count == dataset.total_steps
    assert buffer.terminals.sum() == 200
    assert buffer.action_space.to_json() == SEPSIS_ACTIONS.to_json()


@pytest.mark.long
def test_environment_shows_measurements_and_takes_both_levels(tables, dataset):
    for environment in (make_environment(), dataset.recover_environment()):
        observation, _ = environment.reset(seed=3)
        assert environment.observation_space.contains(observation)
        assert environment.action_space == SEPSIS_ACTIONS.gym_space()
        assert any((observation == row).all() for row in tables.observations)
        observation, reward, *_ = environment.step(np.array([1, 4]))
        assert environment.observation_space.contains(observation)
        assert reward in (0.0, 1.0)


def test_a_broken_or_foreign_dataset_is_one_line(tables, empty_store):
    ensure_sepsis_dataset(tables, episodes=3)
    (empty_store / "icu-sepsis/expert-3-v0/data/metadata.json").write_text("{}")
    with pytest.raises(UserError, match="frl delete icu-sepsis/expert-3-v0"):
        ensure_sepsis_dataset(tables, episodes=3)


def test_a_changed_byte_is_found(tables, empty_store):
    ensure_sepsis_dataset(tables, episodes=3)
    file = empty_store / "icu-sepsis/expert-3-v0/data/main_data.hdf5"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"is damaged: main_data.hdf5 was changed since it was written"):
        ensure_sepsis_dataset(tables, episodes=3)


def test_a_failed_build_leaves_nothing(tables, empty_store, monkeypatch):
    def fail(*_, **__):
        raise OSError("no space")

    monkeypatch.setattr("benchmarks.worlds.built_dataset.join_shards", fail)
    with pytest.raises(UserError, match="no space"):
        ensure_sepsis_dataset(tables, episodes=3)
    assert [file.name for file in (empty_store / "icu-sepsis").iterdir()] == [".expert-3-v0.lock"]
    assert minari.list_local_datasets() == {}


@pytest.mark.long
def test_the_whole_benchmark_gives_exact_values_and_the_same_again(tables, dataset, tmp_path, capsys, own_figures):
    arguments = ["--seeds", "1", "--episodes", "200", "--steps", "5", "--figure", "--out", str(tmp_path / "kept")]
    icu_sepsis.main(arguments)
    shown = capsys.readouterr().out
    assert "0.8751" in shown
    assert "200 episodes" in shown
    assert f"{dataset.total_steps:,} steps" in shown
    figure = read_figure("icu_sepsis")
    buffer = load_replay_buffer(dataset)
    assert {run.name.split("-")[0] for run in (tmp_path / "kept").iterdir()} == set(icu_sepsis.ALGORITHMS)
    planner = figure.row("tabular planner, shrunk by 20 rows")["survival"]
    assert planner == icu_sepsis.planner_value(buffer, tables)
    assert 0.7 < planner < 0.8752
    for name in icu_sepsis.ALGORITHMS:
        row = figure.row(f"{name}, greedy")
        assert 0.7 < row["survival"] < 0.8752
        assert icu_sepsis.train(name, 0, 5, buffer, tables)["greedy"] == row["survival"]


@pytest.mark.long
def test_the_planner_plans_with_rows_enough(tables, empty_store):
    buffer = load_replay_buffer(ensure_sepsis_dataset(tables, episodes=2_000))
    assert icu_sepsis.planner_value(buffer, tables) > tables.references["expert"] + 0.005


@pytest.mark.parametrize("arguments", [["--seeds", "0"], ["--steps", "x"], ["--what"]])
def test_mistakes_are_one_line(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        run_or_say(lambda: icu_sepsis.main(arguments))
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1


@pytest.mark.long
def test_runs_as_a_script():
    script = ROOT / "benchmarks/sepsis/study.py"
    result = subprocess.run(
        [sys.executable, str(script), "--seeds", "0"], capture_output=True, text=True, env=os.environ, check=False
    )
    assert (result.returncode, result.stderr) == (2, "error: --seeds must be at least 1, not 0\n")
