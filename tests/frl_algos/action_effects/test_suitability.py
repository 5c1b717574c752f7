"""Whom an action suits: needs and skills made known beforehand, found again; nothing found where there are none."""

import dataclasses

import numpy as np
import pytest

from frl_algos import FactoredAWRConfig
from frl_algos.action_effects.estimate import Effects
from frl_algos.action_effects.suitability import Suitability, suitability
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError

NEEDS = np.array([0.5, 0.3, 0.2, 0.1])
"""Share of the members who need each topic."""

CARE = ActionSpace(
    factors=(
        Factor(name="who", levels=("NONE", "NURSE", "CLERK")),
        Factor(name="topic", levels=("NONE", "FOOD", "RENT", "PILLS", "SLEEP")),
    ),
    contact_factors=("who", "topic"),
)
TOPIC = CARE.joint_levels[CARE.valid_joints][:, 1]
WHO = CARE.joint_levels[CARE.valid_joints][:, 0]


def _decisions(*, members=4_000, most=12, insight=1.0, skill=0.0, lasting=True, share=NEEDS, seed=0):
    """Topics chosen out of habit or by need, at random who talks about them; valid positions and members.

    Args:
        insight: How much more often a topic is chosen while it is needed.
        skill: How much rather the nurse is sent about pills.
        lasting: Whether needs last; else they are drawn anew for each decision.
        share: Share of the members who need each topic.
        seed: Of the draw.
    """
    rng = np.random.default_rng(seed)
    episodes = np.repeat(np.arange(members), rng.integers(1, most, members))
    draws = rng.random((members, 4))[episodes] if lasting else rng.random((len(episodes), 4))
    chance = 1 + insight * (draws < share)
    chance /= chance.sum(axis=1, keepdims=True)
    topic = 1 + (rng.random(len(episodes))[:, None] > chance.cumsum(axis=1)).sum(axis=1).clip(0, 3)
    nurse = rng.random(len(episodes)) < 0.4 + skill * (topic == 3)
    joints = CARE.ravel(np.stack([np.where(nurse, 1, 2), topic], axis=1))
    return np.searchsorted(CARE.valid_joints, joints), episodes


def _suited(actions, episodes, *, need="topic", skill="who"):
    return suitability(CARE, actions, episodes, need=need, skill=skill)


def _by_level(found, column):
    return np.array([found[column == level].mean() for level in range(1, column.max() + 1)])


def test_a_need_counts_by_how_common_it_is():
    actions, episodes = _decisions(members=20_000, insight=3.0)
    found = _suited(actions, episodes)
    # Once in a team's plan a need crowds out others, so that shares and covariances are not those of one alone.
    expected = NEEDS * (1 - NEEDS) / np.array([2.6, 2.4, 2.2, 2.1])
    needs = _by_level(found.needs, TOPIC)
    assert (np.diff(needs) < 0).all()
    np.testing.assert_allclose(needs / needs.mean(), expected / expected.mean(), atol=0.35)


def test_what_effects_are_multiplied_by_is_one_on_average():
    actions, episodes = _decisions(insight=3.0, skill=0.4)
    found = _suited(actions, episodes)
    assert found.needs[actions].mean() == pytest.approx(1.0)
    assert found.skills[actions].mean() == pytest.approx(1.0)
    assert np.ptp(found.needs) > 0.5
    assert np.ptp(found.skills) > 0.2
    assert found.told == {"topic", "who"}


@pytest.mark.parametrize("case", [{"insight": 0.0}, {"insight": 3.0, "lasting": False}])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_found_where_choices_do_not_come_back_with_the_same_members(case, seed):
    found = _suited(*_decisions(seed=seed, **case))
    assert not found.told
    np.testing.assert_array_equal(found.needs, 1.0)
    np.testing.assert_array_equal(found.skills, 1.0)


def test_topics_that_equally_many_need_differ_by_chance_only():
    """Unshrunk, they lie 0.53 and 0.17 apart at 150 members."""
    found = [_suited(*_decisions(members=150, insight=3.0, share=0.3, seed=seed)) for seed in range(30)]
    assert np.mean([np.ptp(_by_level(each.needs, TOPIC)) for each in found]) < 0.2
    assert np.mean([np.ptp(each.skills[TOPIC > 0]) for each in found]) < 0.08


def test_with_few_decisions_less_is_said():
    many = _suited(*_decisions(members=20_000, insight=3.0)).needs
    few = [_suited(*_decisions(members=30, insight=3.0, seed=seed)).needs for seed in range(40)]
    assert np.mean([np.ptp(needs) for needs in few]) < 0.3 * np.ptp(many)
    # Even so it is nearer to what many decisions say than saying nothing would be.
    assert np.mean([(needs - many) ** 2 for needs in few]) < ((many - 1) ** 2).mean()


def test_skill_is_who_a_topic_is_left_to():
    found = _suited(*_decisions(skill=0.5))
    nurse, clerk = (found.skills[(who == WHO) & (TOPIC == 3)].item() for who in (1, 2))
    # 0.9 and 0.1 of the talks about pills, against 0.5 and 0.5 or so of all.
    assert clerk / nurse == pytest.approx(0.1 / 0.9, abs=0.12)
    others = found.skills[(TOPIC != 3) & (TOPIC > 0)]
    assert others.min() > 0.6 * others.max()


def test_a_topic_that_is_all_but_never_raised_says_nothing_about_the_rest():
    actions, episodes = _decisions(insight=3.0)
    common = TOPIC[actions] != 4
    rare = np.flatnonzero(~common)[:3]
    keep = np.sort(np.r_[np.flatnonzero(common), rare])
    without = _by_level(_suited(actions[common], episodes[common]).needs, TOPIC)[:3]
    together = _by_level(_suited(actions[keep], episodes[keep]).needs, TOPIC)[:3]
    np.testing.assert_allclose(together / together[0], without / without[0], atol=0.1)


@pytest.mark.parametrize(
    ("actions", "episodes"),
    [([], []), ([1], [0]), ([1, 1, 1], [0, 0, 1]), ([1, 2, 3, 4], [0, 1, 2, 3]), ([1, 2], [0, 0])],
    ids=["none", "one", "one level", "one a member", "one member"],
)
def test_too_little_to_say_anything(actions, episodes):
    found = _suited(np.array(actions, int), np.array(episodes, int))
    assert "topic" not in found.told
    np.testing.assert_array_equal(found.needs, 1.0)
    assert np.isfinite(found.skills).all()


def test_without_a_factor_nothing_changes():
    actions, episodes = _decisions(insight=3.0, skill=0.4)
    found = _suited(actions, episodes, need=None, skill=None)
    assert (found.needs == 1).all()
    assert (found.skills == 1).all()
    assert not found.told
    found = _suited(actions, episodes, skill=None)
    assert found.told == {"topic"}
    assert np.ptp(found.needs) > 0.5
    assert (found.skills == 1).all()


def test_a_factor_that_does_not_exist():
    with pytest.raises(UserError, match="topics"):
        _suited(*_decisions(members=5), need="topics")
    with pytest.raises(UserError, match="whom"):
        _suited(*_decisions(members=5), skill="whom")


@pytest.mark.parametrize("skill", ["who", "topic"])
def test_skill_goes_with_another_factor_that_answers_to_needs(skill):
    with pytest.raises(UserError, match="need_factor"):
        FactoredAWRConfig(need_factor="topic" if skill == "topic" else None, skill_factor=skill)


def test_an_indication_shows_the_need_itself():
    ones = np.ones((1 + 2 + 2, CARE.valid_joints.size), np.float32)
    effects = Effects(
        weights=ones, halves=(ones, 2 * ones), response=ones, amount=None, unit=1.0,
        center=np.zeros(2), spread=np.ones(2), low=np.zeros(2), high=np.ones(2),
    )  # fmt: skip
    found = Suitability(needs=np.arange(CARE.valid_joints.size), skills=np.full(CARE.valid_joints.size, 3.0))
    suited = effects.suited(found)
    np.testing.assert_array_equal(suited.weights[:3], np.tile(3 * found.needs, (3, 1)))
    np.testing.assert_array_equal(suited.weights[3:], 3.0)
    np.testing.assert_array_equal(suited.halves[1], 2 * suited.weights)
    assert suited.weights.dtype == np.float32
    unchanged = [field.name for field in dataclasses.fields(Effects) if field.name not in ("weights", "halves")]
    assert all(getattr(suited, name) is getattr(effects, name) for name in unchanged)


def test_harm_is_no_smaller_where_fewer_need_it():
    """Rows: without an indication, two of the state, and what two indications add; the halves go by the whole."""
    size = CARE.valid_joints.size
    odd = np.arange(size) % 2 == 1
    weights = np.stack([
        np.where(odd, -1.0, 1.0), np.full(size, 0.1), np.full(size, -0.1), np.full(size, 0.2), np.full(size, -0.2)
    ])  # fmt: skip
    effects = Effects(
        weights=weights, halves=(weights, -weights), response=None, amount=None, unit=1.0,
        center=np.zeros(2), spread=np.ones(2), low=np.zeros(2), high=np.ones(2),
    )  # fmt: skip
    suited = effects.suited(Suitability(needs=np.full(size, 0.5), skills=np.full(size, 0.4)))
    factors = np.ones_like(weights)
    factors[:3, ~odd] = 0.5 * 0.4
    factors[3] = 0.4
    np.testing.assert_allclose(suited.weights, weights * factors, rtol=1e-6)
    np.testing.assert_allclose(suited.halves[1], -weights * factors, rtol=1e-6)


def _buffer(actions, episodes, *, prevented=0.5, seed=0):
    rng = np.random.default_rng(seed)
    answered = rng.random(len(actions)) < 0.5
    events = rng.poisson(0.5 * np.where(answered, 1 - prevented, 1.0))
    # Whether a decision was answered shows in the next observation.
    observed = np.stack([np.roll(answered, 1), rng.normal(size=len(actions))], axis=1).astype(np.float32)
    return FactoredReplayBuffer(
        observations=observed,
        actions=CARE.joint_levels[CARE.valid_joints][actions],
        rewards=-events.astype(np.float32),
        next_observations=np.roll(observed, -1, axis=0),
        lengths=np.bincount(episodes),
        terminated=np.zeros(episodes.max() + 1, bool),
        action_space=CARE,
    )


def _average_effects(buffer, **settings):
    algorithm = FactoredAWRConfig(response=0, td_lambda=0.0, **settings).create()
    algorithm.build_with_dataset(buffer)
    assert algorithm.impl is not None
    return _by_level(algorithm.impl.modules.critic.weights[0].numpy(), TOPIC)


@pytest.mark.long
def test_the_learner_prefers_what_many_need():
    """What is talked about makes no difference to those talked to: among all others, what more of them need does."""
    actions, episodes = _decisions(insight=3.0)
    buffer = _buffer(actions, episodes)
    plain, suited = _average_effects(buffer), _average_effects(buffer, need_factor="topic")
    assert plain.min() > 0.6, "an answer prevents half of the events, 0.67 of their mean"
    np.testing.assert_allclose(suited / plain, _by_level(_suited(actions, episodes).needs, TOPIC), rtol=0.03)


@pytest.mark.long
def test_noise_in_outcomes_does_not_drown_what_the_choices_say():
    """An answer prevents a tenth, whatever it is about: 1,000 members can't tell topics apart by that."""
    plain, suited = 0.0, 0.0
    for seed in range(8):
        actions, episodes = _decisions(members=1_000, insight=3.0, seed=seed)
        buffer = _buffer(actions, episodes, prevented=0.1, seed=seed)
        needs = _by_level(_suited(actions, episodes, skill=None).needs, TOPIC)
        plain += np.ptp(_average_effects(buffer))
        suited += np.ptp(_average_effects(buffer, need_factor="topic") / needs)
    assert suited < 0.3 * plain


@pytest.mark.long
def test_outcomes_of_many_members_overrule_what_the_choices_say():
    """What most need is no use here, the rest is, and 40,000 members are enough to show it."""
    actions, episodes = _decisions(members=40_000, insight=3.0)
    useless = TOPIC[actions] == 1
    buffer = _buffer(actions, episodes, prevented=np.where(useless, 0.0, 0.5))
    found = _average_effects(buffer, need_factor="topic")
    assert found.argmax() != 0


@pytest.mark.long
def test_where_choices_tell_nothing_outcomes_are_read_as_ever():
    """By chance alone topics come up here: what outcomes say of them is shrunk no harder than without a need factor."""
    actions, episodes = _decisions(members=4_000, insight=0.0)
    buffer = _buffer(actions, episodes)
    told = _average_effects(buffer, need_factor="topic", skill_factor="who")
    np.testing.assert_array_equal(_average_effects(buffer), told)
