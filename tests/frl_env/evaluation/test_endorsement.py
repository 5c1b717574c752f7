"""A headline is withheld when second opinions differ from it, and when few people stand behind it."""

import numpy as np

from frl_env.actions import ActionSpace
from frl_env.evaluation import Estimate, LoggedEpisodes, evaluate


def coin(members: int, *, simulated: bool = True) -> LoggedEpisodes:
    """One decision a member, of two that are as frequent; the second earns 1 more."""
    rng = np.random.default_rng(0)
    actions = rng.integers(2, size=(members, 1))
    return LoggedEpisodes(
        rewards=actions + rng.normal(size=(members, 1)),
        lengths=np.ones(members, dtype=np.int64),
        actions=actions,
        action_space=ActionSpace.from_nvec((2,)),
        observations=rng.normal(size=(members, 1, 2)).astype(np.float32),
        propensities=np.full((members, 1), 0.5),
        simulated=simulated,
    )


def second(observations):
    return np.tile([0.2, 0.8], (len(observations), 1))


def told(members: int, error: float, spread: float, **settings):
    """An own model's headline: wrong by `error`, with terms that spread by so much."""
    episodes = coin(members, **settings)
    noise = np.random.default_rng(1).normal(size=members)
    own = Estimate(name="mine", plain=episodes.returns() + 0.3 + error + spread * (noise - noise.mean()))
    return evaluate(episodes, second, rng=np.random.default_rng(0), others=[own], headline="mine", resamples=100)


def test_a_model_that_usable_weights_bear_out_is_the_headline():
    assert told(1_000, 0.0, 3.0).headline is not None


def test_a_model_that_usable_weights_contradict_is_withheld():
    report = told(1_000, 0.5, 3.0)
    assert report.headline is None
    assert "mine and WIS disagree on the difference to behaviour by more than their errors" in report.sentence
    assert report.to_dict()["headline"] is None


def test_an_interval_narrower_than_the_spread_of_analyses_is_withheld():
    report = told(1_000, 0.04, 0.01)
    assert report.headline is None
    assert "narrower than the" in report.sentence


def test_weights_that_are_not_usable_are_no_second_opinion():
    episodes = coin(1_000)
    own = Estimate(name="mine", plain=episodes.returns() + 5.0)
    # Nobody gets what the target does: its weights are 0 for all but a few.
    few = np.where(np.arange(1_000) < 5, 1.0, 0.0)[:, None] * np.ones((1, 1))
    report = evaluate(episodes, few, rng=np.random.default_rng(0), others=[own], headline="mine", resamples=50)
    assert report.reasons == []


def test_a_model_needs_people_too():
    for simulated in (True, False):
        report = told(60, 0.0, 3.0, simulated=simulated)
        assert report.headline is None
        assert report.sentence == "No headline (mine): it rests on 60 members (at least 100)."
    few = told(7, 0.0, 3.0, simulated=False)
    assert few.headline is None
    assert not any("7 members" in reason for reason in few.reasons)
