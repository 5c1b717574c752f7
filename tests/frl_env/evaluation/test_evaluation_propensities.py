"""Estimated propensities: right where the truth is known, calibrated, cross-fitted, never zero."""

from dataclasses import replace

import numpy as np
import pytest

from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, estimate_propensities, evaluate, load_episodes, split_members

SPACE = ActionSpace(
    factors=(
        Factor(name="channel", levels=("NONE", "PHONE", "HOME", "PIGEON")),
        Factor(name="topic", levels=("NONE", "FOOD", "PILLS")),
        Factor(name="urgent", levels=("NO", "YES")),
    ),
    contact_factors=("channel", "topic"),
)


def simulate(members=1_200, weeks=8, seed=0, rare=0.0):
    """Contacts follow the first measure, channels the second, topics the channel, urgency the first measure."""
    rng = np.random.default_rng(seed)
    observations = rng.normal(size=(members, weeks, 2))
    x, y = observations[..., 0], observations[..., 1]

    def chance(logits):
        return 1 / (1 + np.exp(-logits))

    act = chance(-1 + 2 * (x > 0.5))
    home = chance(0.8 * y) * (1 - rare)
    draws = rng.random((5, members, weeks))
    acts, at_home, pigeon = draws[0] < act, draws[1] < home, draws[1] > 1 - rare
    channel = np.where(pigeon, 3, np.where(at_home, 2, 1))
    food = np.array([0, 0.3, 0.8, 0.5])[channel]
    topic = np.where(draws[2] < food, 1, 2)
    urgent = chance(x - 1)
    is_urgent = draws[3] < urgent
    levels = np.stack([channel, topic, is_urgent], axis=-1) * acts[..., None]
    share = np.where(channel == 3, rare, np.where(channel == 2, home, 1 - home - rare))
    share = share * np.where(topic == 1, food, 1 - food) * np.where(is_urgent, urgent, 1 - urgent)
    return LoggedEpisodes(
        rewards=rng.normal(size=(members, weeks)),
        lengths=rng.integers(3, weeks + 1, size=members),
        actions=SPACE.ravel(levels),
        action_space=SPACE,
        observations=observations.astype(np.float32),
        propensities=np.where(acts, act * share, 1 - act),
    )


@pytest.fixture(scope="module")
def episodes():
    return simulate()


@pytest.fixture(scope="module")
def estimated(episodes):
    return estimate_propensities(episodes, rng=np.random.default_rng(0))


def test_they_are_near_the_truth(episodes, estimated):
    error = (np.log(estimated.logged) - np.log(episodes.propensities))[episodes.mask]
    assert abs(error.mean()) < 0.02
    assert error.std() < 0.13
    assert (estimated.logged[~episodes.mask] == 1).all()


def test_factors_multiply_to_the_whole(episodes, estimated):
    assert list(estimated.factors) == ["act", "channel", "topic", "urgent"]
    assert np.allclose(np.prod(list(estimated.factors.values()), axis=0), estimated.logged)
    nothing = episodes.mask & (episodes.actions == 0)
    for name in ("channel", "topic", "urgent"):
        assert (estimated.factors[name][nothing] == 1).all()


def test_they_are_calibrated_by_factor(estimated):
    summary = estimated.summary()
    assert (summary["calibration error"] < 0.04).all()
    assert (summary["log probability"] > summary["by frequency"]).all()
    assert summary.stretch.between(0.8, 1.25).all()
    for _, table in estimated.reliability.groupby("factor"):
        assert table.weight.sum() == pytest.approx(1)
        assert table.predicted.is_monotonic_increasing


def test_calibration_corrects_models_that_are_too_sure(episodes, monkeypatch):
    from frl_env.evaluation.nuisances import propensities

    plain = propensities._predict

    def too_sure(*arguments):
        powers = plain(*arguments) ** 2
        return powers / powers.sum(axis=1, keepdims=True)

    monkeypatch.setattr(propensities, "_predict", too_sure)
    raw, calibrated = (
        estimate_propensities(episodes, rng=np.random.default_rng(0), calibrate=on).summary() for on in (False, True)
    )
    assert (calibrated.stretch.between(0.4, 0.6)).all()
    assert (calibrated["calibration error"] < 0.04).all()
    assert (raw["calibration error"] > 2 * calibrated["calibration error"]).all()
    assert (calibrated["log probability"] > raw["log probability"]).all()


def test_a_member_is_not_in_its_own_model(episodes):
    """Other decisions of the first fold's members move the models of the other fold, and not their own."""
    first, second = split_members(len(episodes), 2, np.random.default_rng(0))
    actions = episodes.actions.copy()
    actions[first[:100]] = 0
    changed = replace(episodes, actions=actions)
    before, after = (
        estimate_propensities(one, rng=np.random.default_rng(0), calibrate=False, folds=2).factors["act"]
        for one in (episodes, changed)
    )
    assert np.array_equal(before[first[100:]], after[first[100:]])
    assert not np.allclose(before[second], after[second])


def test_rare_levels_are_possible_but_rare():
    episodes = simulate(rare=0.01)
    estimated = estimate_propensities(episodes, rng=np.random.default_rng(0))
    levels = SPACE.unravel(episodes.actions)
    pigeons = episodes.mask & (levels[..., 0] == 3)
    assert 5 < pigeons.sum() < 50
    assert estimated.logged.min() > 0
    share = pigeons.sum() / (episodes.mask & (levels[..., 0] > 0)).sum()
    assert estimated.factors["channel"][pigeons].mean() == pytest.approx(share, rel=0.5)


def test_the_same_generator_gives_the_same_propensities(episodes, estimated):
    again = estimate_propensities(episodes, rng=np.random.default_rng(0))
    assert np.array_equal(again.logged, estimated.logged)


def test_without_contact_factors_there_is_no_gate():
    rng = np.random.default_rng(0)
    actions = rng.choice(6, p=[0.3, 0.1, 0.1, 0.2, 0.2, 0.1], size=(500, 3))
    episodes = LoggedEpisodes(
        rewards=np.zeros((500, 3)),
        lengths=np.full(500, 3),
        actions=actions,
        action_space=ActionSpace.from_nvec([2, 3]),
        observations=rng.normal(size=(500, 3, 1)).astype(np.float32),
    )
    estimated = estimate_propensities(episodes, rng=rng)
    assert list(estimated.factors) == ["factor_0", "factor_1"]
    true = np.array([0.3, 0.1, 0.1, 0.2, 0.2, 0.1])[actions]
    assert np.abs(np.log(estimated.logged / true)).mean() < 0.1


def test_an_evaluation_with_estimated_propensities(episodes):
    logged = np.where(episodes.mask, episodes.propensities, 1)
    settings = {"resamples": 2, "clips": ()}
    right = evaluate(episodes, logged, rng=np.random.default_rng(0), **settings)
    near = evaluate(episodes, logged, rng=np.random.default_rng(0), propensities="estimated", **settings)
    assert near.diagnostics.mean_ratio == pytest.approx(1, abs=0.03)
    gap = near.results["WIS"].estimate.value - right.results["WIS"].estimate.value
    assert abs(gap) < 0.2
    assert near.diagnostics.weights["cumulative"].members > 0.7 * len(episodes)


def test_tiny_data_and_errors(tiny_dataset):
    episodes = load_episodes(tiny_dataset, propensity=None)
    estimated = estimate_propensities(episodes, rng=np.random.default_rng(0))
    assert (estimated.logged > 0).all()
    assert (estimated.logged <= 1).all()
    with pytest.raises(UserError, match=r"^61 folds need as many members at least; take more members$"):
        estimate_propensities(episodes, rng=np.random.default_rng(0), folds=61)
    with pytest.raises(UserError, match=r"^3 folds need as many members at least; take more members$"):
        estimate_propensities(episodes.subset(np.arange(2)), rng=np.random.default_rng(0))
    bare = LoggedEpisodes(
        rewards=episodes.rewards, lengths=episodes.lengths, actions=episodes.actions, action_space=episodes.action_space
    )
    with pytest.raises(UserError, match="can't be estimated without observations"):
        estimate_propensities(bare, rng=np.random.default_rng(0))


def test_a_factor_that_depends_on_another_and_on_the_state_at_once():
    """Neither the first factor nor the state alone says anything of the second factor."""
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(500, 10, 3)).astype(np.float32)
    first = rng.integers(2, size=(500, 10))
    chance = np.where((first == 1) == (observations[..., 0] > 0), 0.6, 0.4)
    second = (rng.random(chance.shape) < chance).astype(np.int64)
    space = ActionSpace.from_nvec([2, 2])
    episodes = LoggedEpisodes(
        rewards=np.zeros((500, 10)),
        lengths=np.full(500, 10),
        actions=space.ravel(np.stack([first, second], axis=-1)),
        action_space=space,
        observations=observations,
    )
    estimated = estimate_propensities(episodes, rng=np.random.default_rng(0)).factors["factor_1"]
    likely = (chance == 0.6) == (second == 1)
    assert estimated[likely].mean() == pytest.approx(0.6, abs=0.02)
    assert estimated[~likely].mean() == pytest.approx(0.4, abs=0.02)


def test_intervals_reckon_with_the_error_of_estimated_propensities():
    """A coin that paid is followed by propensities fitted to it: the luck is in the returns, not in the estimate."""
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(400, 1))
    episodes = LoggedEpisodes(
        rewards=actions.astype(float),
        lengths=np.ones(400, dtype=np.int64),
        actions=actions,
        action_space=ActionSpace.from_nvec([2]),
        observations=rng.normal(size=(400, 1, 1)).astype(np.float32),
    )
    report = evaluate(episodes, np.full((400, 1), 0.5), rng=np.random.default_rng(0), propensities="estimated")
    luck = 0.5 / np.sqrt(400)
    assert report.results["WIS"].difference.standard_error == pytest.approx(luck, rel=0.1)
    assert report.results["WIS"].estimate.value == pytest.approx(0.5, abs=0.01)
