"""The sepsis simulator of Oberst and Sontag: its moves are those described, and its values those published."""

import numpy as np
import pytest

from benchmarks.worlds.dataset import ensure_world_dataset
from benchmarks.worlds.episodes import roll_out, true_returns
from benchmarks.worlds.exact import DecisionProcess
from benchmarks.worlds.sepsis_treatments import ACTION_LEVELS, GAMMA, PARTS, SepsisTreatments
from frl_env.errors import UserError

PUBLISHED_BEST = 0.6775418119368787
"""Of Tang et al. (2022), from a start in any undecided state, treatments given or not, diabetes in one of five."""


@pytest.fixture(scope="module")
def world():
    return SepsisTreatments(epsilon=0.1)


def test_the_best_value_is_the_published_one_to_the_last_digit(world):
    diabetes = world.observations[:, 1] == 1
    start = np.where(diabetes, 0.2 / diabetes.sum(), 0.8 / (~diabetes).sum())
    best = world.process.state_values(world.process.best_policy)
    assert GAMMA * start @ best == pytest.approx(PUBLISHED_BEST, abs=1e-12)
    assert len(best) == 606
    assert np.prod(list(PARTS.values())) == 1_440


def test_values_of_the_published_start_are_what_the_page_says(world):
    uniform = np.full((606, 8), 1 / 8)
    assert world.published_value(world.process.best_policy) == pytest.approx(0.7363, abs=1e-4)
    assert world.published_value(world.logging_policy) == pytest.approx(0.4969, abs=1e-4)
    assert world.published_value(uniform) == pytest.approx(-0.7591, abs=1e-4)


@pytest.mark.parametrize("epsilon", [0.1, 1.0])
def test_rolled_out_returns_agree_with_exact_ones(epsilon):
    world = SepsisTreatments(epsilon=epsilon)
    returns = roll_out(world, None, episodes=20_000, seed=3, noisy=False).rewards.sum(axis=1)
    exact = world.process.value(world.logging_policy, gamma=1.0, steps=world.horizon)
    assert abs(returns.mean() - exact) < 4 * returns.std() / len(returns) ** 0.5


def test_a_policy_of_what_is_seen_is_worth_what_its_table_is_worth(world):
    table = np.tile([0.05, 0.1, 0.15, 0.2, 0.05, 0.1, 0.15, 0.2], (606, 1))

    def policy(seen, rng):
        return ACTION_LEVELS[rng.choice(8, size=len(seen), p=table[0])]

    returns = true_returns(world, policy, episodes=20_000)
    assert abs(returns.mean() - world.process.value(table, gamma=1.0, steps=20)) < 4 * returns.std() / 20_000**0.5


def test_treatments_become_the_action_and_diabetes_stays(world):
    rng = np.random.default_rng(0)
    state = world.start(500, rng)
    levels = world.at_random(500, rng)
    before, after = world.observe(state), world.observe(world.step(state, levels, rng).state)
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    given = np.stack([after[:, 16], after[:, 20], after[:, 18]], axis=1)  # antibiotics, ventilation, vasopressors
    np.testing.assert_array_equal(given, levels)


def test_vasopressors_raise_blood_pressure_and_in_diabetes_glucose(world):
    """Low pressure, all else normal, nothing given: what vasopressors alone do, with diabetes and without."""
    sizes = tuple(PARTS.values())
    seen = {}
    for diabetes in (0, 1):
        state = np.full((40_000, 1), float(np.ravel_multi_index((diabetes, 1, 0, 1, 2, 0, 0, 0), sizes)))
        after = world.step(state, np.tile([0, 0, 1], (40_000, 1)), np.random.default_rng(1)).state[:, 0].astype(int)
        parts = np.stack(np.unravel_index(after, sizes), axis=1)
        seen[diabetes] = [np.bincount(parts[:, 2], minlength=3) / 40_000, (parts[:, 4] == 3).mean()]
    np.testing.assert_allclose(seen[0][0], [0.3, 0.7, 0.0], atol=0.01)
    np.testing.assert_allclose(seen[1][0], [0.1, 0.5, 0.4], atol=0.01)
    assert seen[0][1] == 0
    assert seen[1][1] == pytest.approx(0.5, abs=0.01)


def test_the_dataset_is_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    dataset = ensure_world_dataset("sepsis-uniform", rows=2_000)
    assert dataset.total_steps == 2_000
    environment = dataset.recover_environment()
    first, _ = environment.reset(seed=0)
    assert first.sum() == len(PARTS)
    for _ in range(20):
        _, reward, ended, cut, _ = environment.step(environment.action_space.sample())
        if ended or cut:
            break
    assert ended or cut
    assert reward in (-1.0, 0.0, 1.0)


def test_the_value_of_no_policy_is_refused():
    process = DecisionProcess(transitions=np.zeros((2, 2, 2)), rewards=np.ones((2, 2)), initial=np.array([0.5, 0.5]))
    assert process.value(np.full((2, 2), 0.5)) == 1.0
    with pytest.raises(UserError, match="shape"):
        process.value(np.ones((3, 2)))
    with pytest.raises(UserError, match="sum to 1"):
        process.value(np.ones((2, 2)))
