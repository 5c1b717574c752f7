"""The small worlds are what their pages say: values, logging policies, published returns; same seed, same rows."""

import re

import numpy as np
import pytest

from benchmarks.result_records.code_key import ROOT
from benchmarks.worlds.episodes import flat, log_rows, references, roll_out, true_returns
from benchmarks.worlds.linear_bandit import LinearBandit
from benchmarks.worlds.maze import GOAL, PUBLISHED_RANDOM, WALLS, Maze
from benchmarks.worlds.registry import SMALL, WORLDS, world_entry
from benchmarks.worlds.rooms import FALL, Rooms
from benchmarks.worlds.xor import Xor
from frl_env.errors import UserError

PAGE = ROOT / "docs" / "elsewhere.md"
SAID = {
    name: (float(logged), float(best))
    for name, logged, best in re.findall(
        r"^\| `([\w-]+)`.* \| (-?[\d.]+) \| (-?[\d.]+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
}
"""Returns of the table of worlds, logged and best."""

WALKED = "maze-3"
"""Whose returns vary too much for a quick test; other tests are of them."""


def test_the_table_of_worlds_has_a_row_of_each_kind():
    assert {*SAID} == {"bandit-50k", "rooms", "xor-state", "xor", "sepsis-epsilon", "sepsis-uniform", WALKED}


@pytest.mark.parametrize("name", [name for name in SAID if name != WALKED])
def test_logged_and_best_returns_are_what_the_page_says(name):
    sepsis = name.startswith("sepsis")
    found = references(world_entry(name).make(), episodes=4_000 if sepsis else 10_000)
    logged, best = SAID[name]
    assert found.logged == pytest.approx(logged, abs=0.05 if sepsis else 0.15)
    assert found.best == pytest.approx(best, abs=0.05)
    assert found.score(found.best) == pytest.approx(100)
    assert found.score(found.random) == 0


@pytest.mark.parametrize("actuators", [3, 5, 10])
def test_random_walkers_return_what_is_published(actuators):
    world = Maze(actuators)
    walk = roll_out(
        world, None, episodes=8_000, seed=5, noisy=False, choose=lambda state, rng: world.at_random(len(state), rng)
    )
    returns = walk.rewards.sum(axis=1, dtype=np.float64)
    assert returns.mean() == pytest.approx(PUBLISHED_RANDOM[actuators], abs=0.3 + 2 * returns.std() / 8_000**0.5)


@pytest.mark.parametrize("actuators", [3, 12])
def test_the_guide_of_the_maze_is_at_least_as_good_as_published_experts(actuators):
    world = Maze(actuators)
    walk = roll_out(world, None, episodes=300, seed=1, noisy=False, choose=lambda state, rng: world.best(state))
    assert walk.rewards.sum(axis=1).mean() > 99.1
    assert walk.terminated.all()


def test_no_walker_stands_in_a_wall():
    walked = log_rows(Maze(5), rows=20_000, seed=0)
    x, y = walked.observations[:, :-1][walked.mask].T
    for left, lower, right, upper in WALLS:
        assert not ((x > left) & (x < right) & (y > lower) & (y < upper)).any()
    last = walked.observations[np.arange(len(walked)), walked.lengths][walked.terminated]
    assert ((last >= GOAL[:2]) & (last <= GOAL[2:])).all()
    np.testing.assert_allclose(walked.rewards.sum(), 100 * walked.terminated.sum() - 0.05 * 20_000, rtol=1e-4)


def test_what_is_logged_most_in_a_room_is_wrong_in_every_factor():
    world = Rooms()
    assert (world.favourite != world.right).all()
    rows = flat(log_rows(world, rows=20_000, seed=0))
    joints = np.ravel_multi_index(tuple(rows["actions"].T), world.nvec)
    for room in range(10):
        most = np.bincount(joints[rows["observations"][:, room] == 1]).argmax()
        assert most == np.ravel_multi_index(tuple(world.favourite[room]), world.nvec)


def test_a_policy_that_is_always_wrong_passes_a_room_as_often_as_it_says():
    world = Rooms()
    wrong = true_returns(world, lambda seen, rng: world.favourite[seen.argmax(axis=1)], episodes=40_000)
    assert wrong.mean() == pytest.approx(10 * (1 - FALL) ** 10, abs=0.1)


@pytest.mark.parametrize("by_state", [True, False])
def test_no_level_of_the_xor_has_an_effect_of_its_own(by_state):
    world, rng = Xor(by_state=by_state), np.random.default_rng(0)
    state = world.start(40_000, rng)
    levels = world.at_random(len(state), rng)
    rewards = world.step(state, levels, rng).rewards
    for factor, size in enumerate(world.nvec):
        for level in range(size):
            assert rewards[levels[:, factor] == level].mean() == pytest.approx(0.5, abs=0.02)


def test_the_bandit_adds_up():
    """Changing one factor changes the reward by the same amount whatever the others are."""
    world, rng = LinearBandit(), np.random.default_rng(0)
    state = world.start(50, rng)
    one, other = world.at_random(50, rng), world.at_random(50, rng)
    changed, both = one.copy(), other.copy()
    changed[:, 0] = both[:, 0] = 2
    one[:, 0] = other[:, 0] = 0
    gain = [world.step(state, after, rng).rewards - world.step(state, before, rng).rewards
            for before, after in ((one, changed), (other, both))]  # fmt: skip
    np.testing.assert_allclose(*gain)
    assert np.abs(gain).max() > 0.1


@pytest.mark.parametrize("name", [*SMALL, "maze-5"])
def test_the_same_seed_gives_the_same_rows_and_as_many_as_asked(name):
    world = world_entry(name).make()
    first, again, other = (flat(log_rows(world_entry(name).make(), rows=1_234, seed=s)) for s in (0, 0, 1))
    for key, values in first.items():
        np.testing.assert_array_equal(values, again[key])
    assert not np.array_equal(first["rewards"], other["rewards"])
    assert len(first["actions"]) == first["lengths"].sum() == 1_234
    assert first["observations"].shape == (1_234, world.observation_size)
    assert first["observations"].dtype == first["rewards"].dtype == np.float32
    assert (first["actions"] < world.nvec).all()
    assert first["lengths"].max() <= world.horizon


def test_next_observations_follow():
    """Within an episode what is seen next is what is seen a row later."""
    rows = flat(log_rows(world_entry("maze-3").make(), rows=2_000, seed=0))
    last = rows["lengths"].cumsum() - 1
    inside = np.setdiff1d(np.arange(1_999), last)
    np.testing.assert_array_equal(rows["next_observations"][inside], rows["observations"][inside + 1])


def test_noise_is_in_the_log_and_not_in_true_values():
    world = Xor(by_state=False)
    assert set(np.unique(true_returns(world, lambda seen, rng: np.zeros((len(seen), 3), dtype=int)))) == {0.0}
    assert flat(log_rows(world, rows=1_000, seed=0))["rewards"].std() > 0.8


def test_an_unknown_world_is_one_line():
    with pytest.raises(UserError, match="rooms"):
        world_entry("room")
    assert len(WORLDS) == 15
