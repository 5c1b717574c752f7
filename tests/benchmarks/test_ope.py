"""The table of worlds counts what it says, and its regression finds values that are known by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from benchmarks import ope
from benchmarks.ope import sharpe_ratio, table
from benchmarks.studies.known_policies.markov_q import CrossFitted, Regression
from benchmarks.studies.known_policies.q_forms import Form, Shape
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, interval

COLUMNS, CELLS = Shape(pairs=False, joint=True), Shape(pairs=False, joint=True, cells=True)
either_shape = pytest.mark.parametrize("shape", [COLUMNS, CELLS], ids=["columns", "cells"])


def chain(seed: int = 0) -> LoggedEpisodes:
    """Two steps: the first action decides whether the second pays 1 for action 1, or nothing."""
    rng = np.random.default_rng(seed)
    actions = rng.integers(2, size=(400, 2))
    observations = np.zeros((400, 2, 2), dtype=np.float32)
    observations[:, 0, 0] = 1
    observations[:, 1, 1] = actions[:, 0]
    rewards = np.stack([np.zeros(400), actions[:, 0] * actions[:, 1]], axis=1).astype(float)
    return LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(400, 2),
        actions=actions,
        action_space=ActionSpace.from_nvec([2]),
        observations=observations,
    )


def test_a_package_that_is_missing_is_said_before_any_world_is_drawn(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(ope.WORLDS, "care", lambda seed: pytest.fail("drawn"))
    with pytest.raises(UserError, match="the package icu-sepsis is not installed"):
        ope.main(["--worlds", "care,icu", "--out", str(tmp_path / "ope")])
    assert not (tmp_path / "ope").exists()


@either_shape
def test_fitted_q_evaluation_finds_what_is_known_by_hand(shape: Shape):
    values, chances, _ = CrossFitted(chain(), shape, 0.5).values(lambda x: np.tile([0.2, 0.8], (len(x), 1)))
    assert values.policy[:, 0].mean() == pytest.approx(0.5 * 0.8 * 0.8, abs=0.03)
    assert set(np.round(chances.ravel(), 6).tolist()) == {0.2, 0.8}


@either_shape
def test_the_error_of_the_regressions_is_in_the_interval(shape: Shape):
    """All start alike, so that the mean of V at the start varies over members not at all; its error is Q's alone."""
    covered, spread = 0, []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        episodes = chain(seed)
        noisy = replace(episodes, rewards=episodes.rewards + rng.normal(size=episodes.rewards.shape))
        values, _, estimate = CrossFitted(noisy, shape, 0.5).values(lambda x: np.tile([0.2, 0.8], (len(x), 1)))
        assert estimate.value == pytest.approx(values.policy[:, 0].mean())
        covered += 0.5 * 0.8 * 0.8 in interval(estimate, method="normal")
        spread.append((estimate.value, estimate.standard_error))
    value, error = np.transpose(spread)
    assert 88 <= covered <= 99
    assert error.mean() == pytest.approx(value.std(), rel=0.25)


@either_shape
def test_fitted_q_iteration_needs_two_iterations_to_see_the_first_action(shape: Shape):
    fit = Regression(chain(), shape, 1.0)
    found = fit.improved((1, 3))
    start = np.array([[1.0, 0.0]], dtype=np.float32)
    assert np.ptp(fit.q(found[1], start)) == pytest.approx(0, abs=1e-3)
    assert np.ptp(fit.q(found[3], start)) == pytest.approx(1, abs=0.05)


@either_shape
def test_a_reward_at_the_end_of_a_long_episode_counts(shape: Shape):
    steps = 30
    observations = np.tile(np.eye(steps, dtype=np.float32), (40, 1, 1))
    rewards = np.zeros((40, steps))
    rewards[:, -1] = 1
    episodes = LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(40, steps),
        actions=np.random.default_rng(0).integers(2, size=(40, steps)),
        action_space=ActionSpace.from_nvec([2]),
        observations=observations,
    )
    values, _, _ = CrossFitted(episodes, shape, 1.0).values(lambda x: np.full((len(x), 2), 0.5))
    assert values.policy[:, 0].mean() > 0.1  # shrunk a little by each of 30 regressions; 0 with 20


@either_shape
def test_an_action_that_nobody_took_is_worth_what_the_state_is(shape: Shape):
    rng = np.random.default_rng(0)
    episodes = LoggedEpisodes(
        rewards=np.ones((400, 1)),
        lengths=np.ones(400, dtype=np.int64),
        actions=rng.integers(2, size=(400, 1)),
        action_space=ActionSpace.from_nvec([3]),
        observations=np.ones((400, 1, 1), dtype=np.float32),
    )
    values, _, _ = CrossFitted(episodes, shape, 1.0).values(lambda x: np.tile([0.0, 0.0, 1.0], (len(x), 1)))
    assert 0.5 < values.policy.mean() <= 1.0


def signs(kinds: int, rule: Callable[[np.ndarray], np.ndarray], seed: int = 0) -> LoggedEpisodes:
    """One step, in one of `2**kinds` states, that pays what the rule says of the state for action 1."""
    rng = np.random.default_rng(seed)
    state, actions = rng.integers(2, size=(4_000, kinds)), rng.integers(2, size=(4_000, 1))
    return LoggedEpisodes(
        rewards=actions * rule(state)[:, None] + 0.3 * rng.normal(size=(4_000, 1)),
        lengths=np.ones(4_000, dtype=np.int64),
        actions=actions,
        action_space=ActionSpace.from_nvec([2]),
        observations=state[:, None, :].astype(np.float32),
    )


def worth(kinds: int, rule: Callable[[np.ndarray], np.ndarray], shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """What an action gains in each state by a regression, and by the rule."""
    episodes = signs(kinds, rule)
    fit = Regression(episodes, shape, 1.0)
    states = np.unique(episodes.observation_rows, axis=0)
    return np.diff(fit.q(fit.improved((1,))[1], states), axis=1)[:, 0], rule(states)


def odd(state: np.ndarray) -> np.ndarray:
    return state.sum(axis=1) % 2


def test_cells_say_what_no_column_does():
    """Whether a sum is odd no column tells; 250 steps in each cell do."""
    found, known = worth(3, odd, CELLS)
    assert found == pytest.approx(known, abs=0.1)
    assert np.abs(worth(3, odd, COLUMNS)[0] - known).min() > 0.3


@either_shape
def test_what_is_gathered_is_what_q_is_made_of(shape: Shape):
    """<q(w), g> = <w, gathered(g)>, in states that were seen and in one that was not."""
    rng = np.random.default_rng(0)
    states = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [5.0, 5.0]], dtype=np.float32)
    form = form_of(shape, states[:2])
    there, grid = form.at(states), rng.normal(size=(4, 2))
    weights = rng.normal(size=there.gathered(grid).shape)
    assert (there.q(weights) * grid).sum() == pytest.approx((weights * there.gathered(grid)).sum(), rel=1e-5)


def form_of(shape: Shape, seen: np.ndarray) -> Form:
    return Form(shape, ActionSpace.from_nvec([2]), seen, np.array([[3.0, 1.0], [4.0, 0.0]]))


def test_least_squares_is_that_of_an_indicator_for_each_state_and_action():
    """Solved state by state, or at once with a matrix of everything."""
    seen = np.array([[1.0, 0.0], [0.0, 1.0]], dtype=np.float32)
    form, by_columns = form_of(CELLS, seen), form_of(COLUMNS, seen)
    columns = np.stack([by_columns.at(seen).q(each).ravel() for each in np.eye(len(form.inverse))], axis=1)
    everything = np.concatenate([columns, np.kron(np.eye(2), np.ones((2, 1))), np.eye(4)], axis=1)
    wanted, counts = np.array([[3.0, 0.5], [-1.0, 0.0]]), form.counts.ravel()
    squares = everything.T @ (counts[:, None] * everything) + np.eye(everything.shape[1])
    at_once = everything @ np.linalg.solve(squares, everything.T @ wanted.ravel())
    there = form.at(seen)
    assert there.q(form.solved(there.gathered(wanted))).ravel() == pytest.approx(at_once, rel=1e-5)


def draw(chosen: str) -> dict:
    good = {name: {"value": value, "low": 0.0, "high": 1.0} for name, value in (("a", 1.0), ("b", 2.0), ("c", 3.0))}
    bad = {name: {"value": -each["value"], "low": 5.0, "high": 6.0} for name, each in good.items()}
    return {
        "truth": {"a": 1.0, "b": 2.0, "c": 3.0},
        "behaviour": 2.0,
        "estimates": {name: {"good": good[name], "bad": bad[name]} for name in good},
        "chosen": chosen,
    }


def test_rows_are_ranked_and_the_rule_takes_what_was_chosen():
    first, second, rule = table("any", [draw("bad")])
    assert (first["estimator"], second["estimator"], rule["estimator"]) == ("good", "bad", "by rule (bad)")
    assert first["spearman"] == pytest.approx(1)
    assert (first["regret1"], second["regret1"], second["regret5"]) == (0.0, 2.0, 0.0)
    assert first["covers"] == pytest.approx(2 / 3)
    assert rule["spearman"] == second["spearman"] == pytest.approx(-1)
    assert first["error"] == 0.0


def test_sharpe_ratio_is_gain_over_spread():
    estimates, truth = np.array([3.0, 2.0, 1.0]), np.array([1.0, 3.0, 9.0])
    assert sharpe_ratio(estimates, truth, 2.0, 2) == pytest.approx(1.0)
    assert sharpe_ratio(estimates, np.ones(3), 2.0, 2) == -np.inf
