"""Small worlds as environments and datasets, and the one table over them."""

import json

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from benchmarks import elsewhere
from benchmarks.training.algorithms import ALGORITHMS
from benchmarks.worlds.dataset import ensure_world_dataset, world_dataset_id
from benchmarks.worlds.environment import make_environment
from benchmarks.worlds.episodes import References, flat, log_rows
from benchmarks.worlds.registry import SMALL, world_entry
from frl_algos import load_replay_buffer
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("world", [*SMALL, "maze-3"])
@pytest.mark.filterwarnings("ignore:.*(precision|Box).*:UserWarning")
def test_the_environments_keep_gymnasiums_contract(world):
    env = make_environment(world)
    check_env(env, skip_render_check=True)
    env.reset(seed=1)
    env.action_space.seed(1)
    steps = 0
    while True:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            break
    assert steps <= env.world.horizon
    with pytest.raises(UserError, match="out of range"):
        env.step(np.full(len(env.world.nvec), 9))


@pytest.mark.parametrize("world", ["rooms", "bandit-20k"])
def test_a_dataset_holds_the_rows_that_were_logged(world, empty_store):
    dataset = ensure_world_dataset(world, seed=3, rows=500)
    assert dataset.spec.dataset_id == world_dataset_id(world, seed=3, rows=500)
    assert dataset.recover_environment().unwrapped.world.nvec == world_entry(world).make().nvec
    buffer = load_replay_buffer(dataset)
    rows = flat(log_rows(world_entry(world).make(), rows=500, seed=3))
    for key in ("observations", "rewards", "next_observations", "lengths", "terminated"):
        np.testing.assert_array_equal(getattr(buffer, key), rows[key])
    np.testing.assert_array_equal(buffer.action_space.unravel(buffer.actions), rows["actions"])


def test_a_dataset_of_another_recipe_is_not_taken(empty_store, monkeypatch):
    ensure_world_dataset("rooms", rows=100)
    monkeypatch.setattr(
        "benchmarks.worlds.dataset.world_dataset_id", lambda *a, **k: world_dataset_id("rooms", seed=0, rows=100)
    )
    with pytest.raises(UserError, match="another recipe"):
        ensure_world_dataset("rooms", rows=200)


@pytest.mark.long
def test_the_table_is_made_once_and_the_same_again(tmp_path, capsys, monkeypatch):
    arguments = ["--quick", "--steps", "5", "--episodes", "50", "--worlds", "rooms,xor", "--seeds", "2"]
    arguments += ["--algo", "discrete_bc,factored_iql,decoupled_cql", "--out", str(tmp_path)]
    elsewhere.main(arguments)
    first = capsys.readouterr().out
    for expected in ("what was logged", "Factored IQL, drawn", "Factored IQL, greedy", "rooms", "xor"):
        assert expected in first
    assert "Decoupled CQL (sum of factors), drawn" not in first, "it has no policy to draw from"
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 12
    monkeypatch.setattr(elsewhere, "train", None)  # nothing is trained again
    elsewhere.main(arguments)
    assert capsys.readouterr().out == first
    kept[0].write_text(json.dumps({"run": {}, "sha256": "0"}))
    with pytest.raises(UserError, match="is damaged; delete it"):
        elsewhere.main(arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--worlds", "room"], "did you mean rooms"),
        (["--algo", "cqll"], "did you mean"),
        (["--quick", "--figure"], "measures nothing"),
        (["--seeds", "0"], "--seeds must be at least 1"),
        (["--algo", "factored_iql@beta"], "factored_iql@beta is not like factored_iql@beta=30"),
        (["--algo", "cql@alpha=much"], "cql@alpha=much is not like"),
        (["--algo", "cql@alpha=nan"], "cql@alpha=nan is not like"),
        (["--algo", "factored_iql@rate=1,cql"], "factored_iql has no setting"),
        (["--algo", "cql@beta=1"], "beta"),
        (["--algo", "frl_algos:FactoredIQLConfig@beta=1"], "settings of frl_algos:FactoredIQLConfig are its own"),
    ],
)
def test_mistakes_are_one_line(arguments, said, tmp_path):
    with pytest.raises(UserError, match=said):
        elsewhere.main([*arguments, "--out", str(tmp_path)])


def test_every_algorithm_of_the_table_exists():
    assert set(elsewhere.COMPARED) <= set(ALGORITHMS)
    assert {"discrete_bc", "cql", "bcq", "dqn", "iql", "awac"} <= set(elsewhere.COMPARED), "d3rlpy's own, each once"


def test_an_algorithm_with_another_setting_is_a_line_of_its_own(tmp_path, capsys):
    arguments = ["--quick", "--steps", "1", "--episodes", "5", "--worlds", "rooms", "--seeds", "1"]
    elsewhere.main([*arguments, "--algo", "factored_iql,factored_iql@beta=30", "--out", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "Factored IQL, drawn" in printed
    assert "Factored IQL, beta 30, drawn" in printed
    assert len(list(tmp_path.glob("*.json"))) == 2
    space = world_entry("rooms").make().space
    assert elsewhere._made("factored_iql@beta=30", 2, space).config.beta == 30
    assert elsewhere._made("factored_iql@learning_rate=1e-2", 2, space).config.learning_rate == 0.01
    assert elsewhere._made("factored_iql", 2, space).config.beta == 3
    assert elsewhere._figure(["rooms"], ["cql", "factored_iql@beta=30"]) == "elsewhere-settings"


def test_an_error_inside_an_algorithm_is_not_taken_for_an_unknown_setting(monkeypatch):
    def broken(*arguments):
        raise TypeError("inside")

    monkeypatch.setattr(elsewhere, "create", broken)
    with pytest.raises(TypeError, match="inside"):
        elsewhere._made("mine:Algorithm", 2, world_entry("rooms").make().space)


def test_a_row_has_its_mean_and_its_lowest_world():
    cells = elsewhere._cells(["rooms", "maze-3"], [[10.0, 20.0], [90.0, 100.0]])
    assert cells == {
        "rooms": "15 (10, 20)", "rooms_mean": 15.0, "maze_3": "95 (90, 100)", "maze_3_mean": 95.0, "mean": "55",
        "lowest": "15",
    }  # fmt: skip
    missing = elsewhere._cells(["rooms", "maze-3"], [[10.0], []])
    assert (missing["rooms"], missing["maze_3"], missing["maze_3_mean"]) == ("10", None, None)
    assert (missing["mean"], missing["lowest"]) == (None, None), "no mean without one of them"


def test_a_table_has_one_scale_whatever_episodes_are_asked_for(tmp_path, monkeypatch, capsys):
    asked = []

    def known(world, *, episodes):
        asked.append(episodes)
        return References(random=0.0, logged=1.0, best=2.0)

    monkeypatch.setattr(elsewhere, "references", known)
    arguments = ["--quick", "--steps", "1", "--episodes", "5", "--worlds", "rooms", "--algo", "discrete_bc"]
    elsewhere.main([*arguments, "--seeds", "1", "--out", str(tmp_path)])
    assert asked == [elsewhere.EPISODES], "once, and as many as of any table"
    line = next(line for line in capsys.readouterr().out.splitlines() if "what was logged" in line)
    assert " 50 " in line
