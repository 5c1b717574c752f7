"""Tasks of DM Control in bins do what the package itself does, whatever episode is asked for in between."""

import sys

import minari
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from benchmarks import elsewhere
from benchmarks.studies import controller_search
from benchmarks.worlds.dataset import ensure_world_dataset
from benchmarks.worlds.dm_control_tasks.controllers import Controller, in_bins, known_controller
from benchmarks.worlds.dm_control_tasks.task import TASKS, ControlTask
from benchmarks.worlds.environment import make_environment
from benchmarks.worlds.episodes import flat, log_rows, roll_out
from benchmarks.worlds.registry import CONTROL, world_entry
from benchmarks.worlds.world import Step, World
from frl_env.errors import UserError

NVEC = {"cheetah-run": (3,) * 6, "finger-spin": (3,) * 2}

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def needs_packages(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    pytest.importorskip("dm_control", reason="optional: make test-control")


def returns_of(world, choose, episodes=3):
    rolled = roll_out(world, None, episodes=episodes, seed=1, noisy=False, choose=choose)
    return rolled.rewards.sum(axis=1)


@pytest.mark.parametrize("name", TASKS)
def test_two_episodes_in_turn_are_those_of_the_package(name, needs_packages):
    """Bit for bit, though between two steps of one episode comes one of the other: a state holds all."""
    from dm_control import suite

    world, rng = ControlTask(name), np.random.default_rng(0)
    levels = rng.integers(0, 3, size=(2, 120, len(world.nvec)))
    state = world.start(2, np.random.default_rng(5))
    seeds = np.random.default_rng(5)
    seeds.choice(3, size=2, p=[0.5, 0.3, 0.2])
    shown, rewards = [world.observe(state)], []
    for t in range(120):
        done = world.step(state, levels[:, t], rng)
        state = done.state
        shown.append(world.observe(state))
        rewards.append(done.rewards)
        assert not done.ended.any()
    for i, seed in enumerate(seeds.integers(2**32, size=2)):
        own = suite.load(*TASKS[name], task_kwargs={"random": int(seed)})
        at = own.reset()
        for t in range(120):
            np.testing.assert_array_equal(flattened(at), shown[t][i])
            at = own.step(world.controls[levels[i, t], np.arange(len(world.nvec))])
            assert at.reward == rewards[t][i]
        np.testing.assert_array_equal(flattened(at), shown[-1][i])


def flattened(at):
    return np.concatenate([np.ravel(part) for part in at.observation.values()]).astype(np.float32)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_is_what_the_page_says(name, needs_packages):
    world = ControlTask(name)
    assert world.nvec == NVEC[name]
    assert world.horizon == 1_000
    np.testing.assert_array_equal(world.controls, np.repeat([[-1.0], [0.0], [1.0]], len(world.nvec), axis=1))
    assert set(CONTROL) == set(TASKS)
    world.horizon = 300
    best = returns_of(world, lambda state, rng: world.best(state))
    anything = returns_of(world, lambda state, rng: world.at_random(len(state), rng))
    assert best.mean() > 2 * anything.mean()
    assert best.max() <= 300


def test_what_is_logged_is_a_mixture_and_the_same_again(needs_packages, monkeypatch):
    monkeypatch.setattr(ControlTask, "horizon", 30)
    first, again, other = (log_rows(world_entry("finger-spin").make(), rows=900, seed=seed) for seed in (0, 0, 1))
    for key, values in flat(first).items():
        np.testing.assert_array_equal(values, flat(again)[key])
    assert not np.array_equal(first.rewards, other.rewards)
    asked = known_controller("finger-spin").levels(first.observations[:, :-1].reshape(900, -1))
    as_it_says = (asked == first.actions.reshape(900, -1)).all(axis=1).reshape(30, 30).mean(axis=1)
    # Of the good, the middling and the random: all but a tenth, all but a half, and one of nine joint actions.
    assert (as_it_says > 0.75).sum() >= 8
    assert (as_it_says < 0.4).sum() >= 2
    assert ((as_it_says > 0.4) & (as_it_says < 0.75)).sum() >= 3


@pytest.mark.filterwarnings("ignore:.*(precision|Box).*:UserWarning")
def test_a_task_keeps_gymnasiums_contract(needs_packages):
    check_env(make_environment("finger-spin"), skip_render_check=True)


def test_a_dataset_names_the_packages_that_made_it(needs_packages, empty_store, monkeypatch):
    monkeypatch.setattr(ControlTask, "horizon", 25)
    dataset = ensure_world_dataset("cheetah-run", seed=2, rows=100)
    assert dataset.total_steps == 100
    metadata = minari.load_dataset(dataset.spec.dataset_id).storage.metadata
    assert metadata["requirements"] == ["dm_control", "mujoco"]
    assert set(metadata["frl_recipe"]) == {"world", "rows", "seed", "version", "dm_control", "mujoco"}
    assert dataset.recover_environment().unwrapped.world.nvec == NVEC["cheetah-run"]


@pytest.mark.long
def test_the_table_of_these_tasks(needs_packages, empty_store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(ControlTask, "horizon", 25)
    written = {}
    monkeypatch.setattr(elsewhere, "write_figure", lambda name, rows, **facts: written.update({name: facts}))
    arguments = ["--worlds", "finger-spin", "--algo", "discrete_bc", "--seeds", "1", "--steps", "5", "--figure"]
    elsewhere.main([*arguments, "--out", str(tmp_path)])
    assert "finger-spin" in capsys.readouterr().out
    assert list(written) == ["elsewhere-control"]
    assert written["elsewhere-control"]["settings"]["episodes of finger-spin"] == 50


def test_without_the_packages_it_is_one_line(monkeypatch, tmp_path, empty_store):
    monkeypatch.setitem(sys.modules, "dm_control", None)
    for asked in (
        lambda: elsewhere.main(["--worlds", "rooms,cheetah-run", "--out", str(tmp_path / "out")]),
        lambda: ensure_world_dataset("cheetah-run", rows=10),
        lambda: controller_search.main(["cheetah-run"]),
    ):
        with pytest.raises(UserError, match="install them with: make control"):
            asked()
    assert not (tmp_path / "out").exists()


def test_levels_of_numbers():
    np.testing.assert_array_equal(in_bins(np.array([[-0.6, -0.4], [0.0, 0.7]])), [[0, 1], [1, 2]])
    controller = Controller(weights=np.array([[1.0, 0.0], [0.0, -1.0]]), bias=np.array([0.0, 1.0]))
    np.testing.assert_array_equal(controller.levels(np.array([[-2.0, 3.0], [0.1, 0.0]])), [[0, 0], [1, 2]])


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_controller(name):
    found = known_controller(name)
    assert found.weights.shape[1] == len(found.bias) == len(NVEC[name])
    with pytest.raises(UserError, match="did you mean"):
        known_controller(name[:-1])


WANTED = np.array([0.4, -1.0])


class Follow(World):
    """What is wanted at a step is linear in what is shown, but for the bins: a linear controller can do all of it."""

    nvec = (3, 3)
    observation_size = 3
    horizon = 20

    def start(self, episodes, rng):
        return rng.normal([5.0, 0.0, 0.0], [0.0, 3.0, 1.0], size=(episodes, 3))

    def observe(self, state):
        return state.astype(np.float32)

    def step(self, state, levels, rng):
        right = (levels == self.best(state)).mean(axis=1)
        return Step(self.start(len(state), rng), right, np.zeros(len(state), dtype=bool))

    def best(self, state):
        return in_bins(state[:, 1:] * WANTED)

    def log(self, state, rng):
        return self.at_random(len(state), rng)


def test_the_search_finds_a_controller_and_the_same_again():
    phases = ((20, 5), (45, 20))
    found, mean = controller_search.search(Follow(), phases=phases, seed=3)
    assert mean > 0.8 * 20, "a third of it comes by chance"
    value = roll_out(Follow(), lambda shown, rng: found.levels(shown), episodes=200, seed=9, noisy=False)
    assert value.rewards.sum(axis=1).mean() > 0.75 * 20, "on other episodes, from what is shown as it is"
    again, same = controller_search.search(Follow(), phases=phases, seed=3)
    assert same == mean
    np.testing.assert_array_equal(again.weights, found.weights)
