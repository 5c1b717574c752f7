"""Claims that no episode can pay: a world in which unseen deciders, good and bad ones, are behind what was logged."""

import d3rlpy
import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_model, save_model
from frl_algos.factored_awr.critic_selection.chosen_critic import Choice
from frl_algos.factored_awr.critic_selection.held_out import Worth
from frl_algos.factored_awr.critic_selection.plausibility import pays_at_once, plausible, room
from frl_env.actions import ActionSpace

LONGEST = 60


def _right(places):
    """Joint index of the only action that leads on: one at both ends of the way, another in between."""
    return np.where(np.abs(places - 0.5) < 1 / 6, 2, 1)


def _walk(choose, episodes, rng):
    """Rows by step, of all that are still on the way: episode, place, action, reward, next place, whether arrived."""
    places, going = rng.uniform(0, 0.05, size=episodes), np.arange(episodes)
    rows = []
    for _ in range(LONGEST):
        actions = choose(places[going], going)
        moved = places[going] + np.where(actions == _right(places[going]), rng.uniform(0.03, 0.05, size=len(going)), 0)
        arrived = moved >= 1
        rows.append((going, places[going], actions, 1.0 * arrived, moved, arrived))
        places[going] = moved
        going = going[~arrived]
        if not len(going):
            break
    return [np.concatenate(each) for each in zip(*rows, strict=True)]


def _logged(episodes=300, seed=0):
    """Three deciders in five do what is right nine times in ten, the others hardly ever; nothing tells them apart."""
    rng = np.random.default_rng(seed)
    errs = np.where(rng.random(episodes) < 0.6, 0.1, 0.9)

    def choose(places, who):
        return np.where(rng.random(len(who)) < errs[who], rng.integers(4, size=len(who)), _right(places))

    episode, *rows = _walk(choose, episodes, rng)
    order = np.argsort(episode, kind="stable")
    before, actions, rewards, after, arrived = (each[order] for each in rows)
    lengths = np.bincount(episode)
    space = ActionSpace.from_nvec((2, 2))
    return FactoredReplayBuffer(
        observations=before[:, None].astype(np.float32), actions=space.unravel(actions),
        rewards=rewards.astype(np.float32), next_observations=after[:, None].astype(np.float32), lengths=lengths,
        terminated=arrived[np.cumsum(lengths) - 1], action_space=space, seed=seed,
    )  # fmt: skip


def _value(decide):
    """Share of walkers who arrive."""
    rewards = _walk(lambda places, _: decide(places[:, None].astype(np.float32)), 500, np.random.default_rng(9))[3]
    return rewards.sum() / 500


def _right_share(decide):
    """Share of the way along which a decision is right: where it never is, a greedy walker stays for ever."""
    places = np.linspace(0.01, 0.99, 99, dtype=np.float32)
    return (decide(places[:, None]) == _right(places)).mean()


def _fitted(buffer, **settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(batch_size=128, hidden_size=32, learning_rate=3e-3, **settings).create()
    algorithm.fit(buffer, n_steps=400, show_progress=False, logger_adapter=NoopAdapterFactory())
    return algorithm


@pytest.mark.long
def test_with_unseen_deciders_no_claim_is_more_than_an_episode_pays_and_the_policy_is_no_worse_than_the_clone(tmp_path):
    buffer = _logged()
    ours, clone = _fitted(buffer), _fitted(buffer, critic="none")
    assert ours.choice.gain <= 1 - buffer.rewards.sum() / len(buffer.lengths)
    assert ours.choice.mild
    assert "no episode pays" in str(ours.choice)
    assert _value(ours.sample_action) >= max(_value(clone.sample_action), 0.95)
    assert _right_share(ours.predict) >= max(_right_share(clone.predict) - 0.03, 0.9)
    save_model(ours, tmp_path / "m.safetensors")
    x = np.linspace(0, 1, 50, dtype=np.float32)[:, None]
    assert (load_model(tmp_path / "m.safetensors").predict(x) == ours.predict(x)).all()


def test_room_is_what_the_episodes_of_a_person_fall_short_of_the_best():
    rewards, lengths = np.array([1.0, 2.0, 0.0, 5.0]), np.array([2, 1, 1])  # returns 3, 0, 5
    every = np.ones(4, bool)
    assert room(rewards, lengths, np.array([0, 1, 2]), every) == pytest.approx(7 / 3)
    assert room(rewards, lengths, np.array([4, 4, 2]), every) == pytest.approx(7 / 2)


def test_room_is_of_people_who_were_acted_on_as_no_others_judge():
    rewards, lengths = np.array([1.0, 2.0, 0.0, 5.0]), np.array([2, 1, 1])  # returns 3, 0, 5
    attempted = np.array([False, True, False, False])
    assert room(rewards, lengths, np.array([0, 1, 2]), attempted) == pytest.approx(2)
    assert room(rewards, lengths, np.array([0, 0, 2]), attempted) == pytest.approx(7), "all episodes of a person count"


def test_only_what_comes_after_a_step_must_be_less_than_there_is():
    rng = np.random.default_rng(0)
    whole, later = rng.normal(10, 1, size=100), rng.normal(1, 1, size=100)
    assert plausible([Worth(own=whole, whole=whole, later=later, nearby=whole, temperature=0.1)], 2.0, ends=False)
    assert not plausible([Worth(own=whole, whole=whole, later=whole, nearby=whole, temperature=0.1)], 2.0, ends=False)
    assert not plausible([Worth(own=whole, whole=whole, later=later, nearby=whole, temperature=0.1)], 2.0, ends=True), (
        "who arrives can't arrive again"
    )


def test_a_choice_of_an_older_file_is_not_a_mild_one():
    old = '{"critic": "none", "td_lambda": 0.9, "states": "none", "temperature": null, "label": "x"}'
    assert not Choice.from_json(old).mild


def test_if_claims_are_too_large_at_any_temperature_the_policy_is_the_clone_and_says_why(monkeypatch):
    monkeypatch.setattr(
        "frl_algos.factored_awr.critic_selection.select_critic.plausible", lambda worths, most, ends: False
    )
    algorithm = FactoredAWRConfig(batch_size=128, hidden_size=32).create()
    algorithm.build_with_dataset(_logged(episodes=100))
    assert algorithm.choice.critic == "none"
    assert str(algorithm.choice).endswith("the others claim more than an episode can pay")


def test_a_temperature_that_is_set_is_kept():
    algorithm = FactoredAWRConfig(batch_size=128, hidden_size=32, temperature=0.3).create()
    algorithm.build_with_dataset(_logged(episodes=100))
    assert not algorithm.choice.mild


def test_half_of_what_there_is_must_be_paid_at_once_and_nothing_lost_afterwards():
    rng = np.random.default_rng(0)
    now, none = rng.normal(6, 1, size=100), np.zeros(100)
    for later, paid in ((none, True), (now, True), (-now, False)):
        assert pays_at_once(Worth(own=now, whole=now + later, later=later, nearby=now, temperature=0.1), 10.0) == paid
    assert not pays_at_once(Worth(own=now, whole=now, later=none, nearby=now, temperature=0.1), 14.0)


@pytest.mark.parametrize("ends", [False, True])
def test_with_unseen_deciders_steps_that_pay_at_once_are_followed_all_the_way_unless_they_end_episodes(ends):
    """Good deciders take what pays in each step, the others anything; nothing lasts, but an episode may end by it."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(15, 26, size=300) if ends else np.full(300, 20)
    rows = int(lengths.sum())
    x, good = rng.normal(size=(rows, 1)).astype(np.float32), np.repeat(rng.random(300) < 0.5, lengths)
    best = np.where(x[:, 0] > 0, 1, 2)
    actions = np.where(good & (rng.random(rows) < 0.9), best, rng.integers(4, size=rows))
    space = ActionSpace.from_nvec((2, 2))
    buffer = FactoredReplayBuffer(
        observations=x, actions=space.unravel(actions), rewards=(actions == best).astype(np.float32),
        next_observations=np.roll(x, -1, axis=0), lengths=lengths, terminated=np.ones(300, bool),
        action_space=space, seed=0,
    )  # fmt: skip
    algorithm = FactoredAWRConfig(batch_size=128, hidden_size=32).create()
    algorithm.build_with_dataset(buffer)
    assert algorithm.choice.mild == ends
    if not ends:
        assert (algorithm.choice.critic, algorithm.choice.td_lambda) == ("effects", 0.0)
        assert (algorithm.predict(x[:500]) == best[:500]).mean() > 0.9
