"""Density ratios of the state by regression, and the ridge regression under them."""

import tracemalloc

import numpy as np
import pytest

from frl_env.actions import ActionSpace
from frl_env.evaluation import LoggedEpisodes, evaluate, split_members, state_density_ratios, state_features
from frl_env.evaluation.nuisances.ridge import Ridge


def two_states(members: int, rng: np.random.Generator):
    """Action 1 leads from state 0 to state 1, where one stays; the target takes it more often than behaviour does."""
    steps, behaviour, target = 4, 0.2, 0.4
    states = np.zeros((members, steps), dtype=int)
    actions = (rng.random((members, steps)) < behaviour).astype(int)
    for step in range(1, steps):
        states[:, step] = np.maximum(states[:, step - 1], actions[:, step - 1])
    log_ratios = np.log(np.where(actions == 1, target / behaviour, (1 - target) / (1 - behaviour)))
    stay = np.array([0.6 / 0.8]) ** np.arange(steps)
    leave = (1 - 0.6 ** np.arange(steps)) / np.maximum(1 - 0.8 ** np.arange(steps), 1e-9)
    true = np.where(states == 0, stay, leave)
    return states, log_ratios, true


def test_ratios_of_two_states_by_hand():
    rng = np.random.default_rng(0)
    states, log_ratios, true = two_states(20_000, rng)
    mask = np.ones(states.shape, dtype=bool)
    found = state_density_ratios(states[..., None].astype(float), log_ratios, mask, folds=split_members(20_000, 3, rng))
    assert np.abs(found - true).max() < 0.08
    assert (found[:, 0] == 1).all()


def test_they_are_one_where_target_and_behaviour_agree():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(300, 5, 3))
    mask = np.arange(5) < rng.integers(1, 6, size=300)[:, None]
    found = state_density_ratios(features, np.zeros((300, 5)), mask, folds=split_members(300, 2, rng))
    assert np.allclose(found, 1)


def test_a_members_own_weeks_are_not_in_its_own_ratio():
    rng = np.random.default_rng(0)
    states, log_ratios, _ = two_states(200, rng)
    features = states[..., None] + rng.normal(size=(200, 4, 1))
    mask = np.ones((200, 4), dtype=bool)
    folds = split_members(200, 4, rng)
    before = state_density_ratios(features, log_ratios, mask, folds=folds)
    member = folds[1][0]
    changed = log_ratios.copy()
    changed[member] += 3
    after = state_density_ratios(features, changed, mask, folds=folds)
    assert np.array_equal(before[folds[1]], after[folds[1]])
    assert not np.allclose(before[folds[0]], after[folds[0]])


def test_nothing_is_negative():
    rng = np.random.default_rng(1)
    features = rng.normal(size=(400, 3, 2))
    log_ratios = 3 * features[..., 0] - 2
    mask = np.ones((400, 3), dtype=bool)
    found = state_density_ratios(features, log_ratios, mask, folds=split_members(400, 2, rng))
    assert found.min() >= 0
    assert np.isfinite(found).all()


def test_ridge_agrees_with_the_normal_equations():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(100, 4)) @ rng.normal(size=(4, 4)) + 2
    responses = features @ np.array([1.0, 0, -1, 0.5]) + rng.normal(size=100) + 7
    ridge = Ridge.of(features)
    intercept, slopes = ridge.coefficients(features, responses, 0.1)
    centred = features - features.mean(axis=0)
    direct = np.linalg.solve(centred.T @ centred + 0.1 * 100 * np.eye(4), centred.T @ (responses - responses.mean()))
    assert slopes == pytest.approx(direct, abs=1e-9)
    assert (intercept + features @ slopes).mean() == pytest.approx(responses.mean())


def test_the_penalty_follows_the_signal():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 10))
    ridge = Ridge.of(features)
    strong = features @ rng.normal(size=10) + 0.1 * rng.normal(size=500)
    assert ridge.penalty(features, strong) < 0.01
    assert ridge.penalty(features, rng.normal(size=500)) > 1


def test_smoothing_is_symmetric():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(30, 3))
    ridge = Ridge.of(features)
    matrix = np.stack([ridge.smooth(features, unit, 0.2) for unit in np.eye(30)])
    assert np.allclose(matrix, matrix.T)


def test_features_are_standardised_with_products_and_without_constants():
    rng = np.random.default_rng(0)
    mask = np.arange(4) < rng.integers(1, 5, size=200)[:, None]
    observations = np.exp(rng.normal(size=(200, 4, 3)) * 2)
    observations[..., 1] = 5.0
    plain = state_features(observations, mask, products=False)
    full = state_features(observations, mask)
    assert plain.shape == (200, 4, 2)
    assert full.shape == (200, 4, 2 + 3)
    assert np.abs(plain[mask].mean(axis=0)).max() < 0.05
    assert np.allclose(full[..., 3], full[..., 0] * full[..., 1])
    assert (full[~mask] == 0).all()
    assert np.abs(plain).max() <= 4


def test_weights_beyond_any_sense_are_numbers_still():
    """A target that is sure of what the team hardly ever did: products over weeks, and their squares, are finite."""
    rng = np.random.default_rng(0)
    members, weeks = 30, 40
    log_ratios = rng.normal(30, 5, (members, weeks))
    features = rng.random((members, weeks, 2))
    folds = np.array_split(np.arange(members), 3)
    ratios = state_density_ratios(features, log_ratios, np.ones((members, weeks), dtype=bool), folds=folds)
    assert np.isfinite(ratios).all()
    assert np.isfinite((ratios**2).sum())
    episodes = LoggedEpisodes(
        observations=rng.random((members, weeks, 1)).astype(np.float32),
        actions=np.ones((members, weeks), dtype=np.int64),
        rewards=-rng.random((members, weeks)),
        lengths=np.full(members, weeks),
        action_space=ActionSpace.from_nvec([2]),
        propensities=np.exp(-rng.uniform(20, 35, (members, weeks))),
    )
    found = evaluate(episodes, np.full((members, weeks), 0.9), rng=rng, resamples=20)
    assert found.reasons
    assert np.isfinite(found.results["MIS"].estimate.value)


def test_features_are_not_held_two_times():
    """They are most of the memory of an evaluation of many members."""
    observations = np.random.default_rng(0).poisson(1.0, (4_000, 12, 7)).astype(np.float32)
    mask = np.ones(observations.shape[:2], dtype=bool)
    state_features(observations[:10], mask[:10])
    tracemalloc.start()
    try:
        features = state_features(observations, mask)
        assert tracemalloc.get_traced_memory()[1] < 2 * features.nbytes
    finally:
        tracemalloc.stop()
    np.testing.assert_allclose(features[-1], state_features(observations, mask)[-1])
    np.testing.assert_allclose(features[..., 7], features[..., 0] ** 2)
