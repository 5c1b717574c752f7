"""Effort of logged members, and a policy at a held price valued by them."""

import json

import numpy as np
import pytest

from frl_env import MEDICAID_ACTIONS, World
from frl_env.capacity import (
    Budgeted,
    Capacity,
    HeldPrice,
    held_policy,
    held_price,
    logged_effort,
    logged_memory,
    remembered,
    value_at_price,
)
from frl_env.care_effort import care_effort, dataset_logged_effort
from frl_env.datasets import collect
from frl_env.evaluation import LoggedEpisodes
from frl_env.rollout import rollout
from frl_env.search.record_rule import RecordRule

WORLD = World(exploration=1.0).parameters
EFFORT = care_effort(WORLD)


@pytest.fixture(scope="module")
def logged():
    made = collect(WORLD, members=2_000, seed=5, horizon=2)
    return LoggedEpisodes(
        rewards=made.rewards,
        lengths=made.lengths,
        actions=MEDICAID_ACTIONS.ravel(made.actions),
        action_space=MEDICAID_ACTIONS,
        observations=made.observations[:, :-1],
        propensities=made.information["propensity"][:, 1:, 0],
    )


class Mostly:
    """Uniform, but doing nothing half the time."""

    def probabilities(self, observations):
        valid = MEDICAID_ACTIONS.valid / 1360.0
        valid[0] = 680 / 1360
        return np.tile(valid, (len(observations), 1))


def effort_in(episodes, effort, *, simulated):
    rows = episodes.actions[episodes.mask]
    return logged_effort(rows, episodes.lengths, MEDICAID_ACTIONS, effort, simulated=simulated)


def test_logged_effort_is_what_was_logged_and_hides_small_cells(logged):
    found = effort_in(logged, EFFORT, simulated=True)
    minutes = EFFORT.minutes[logged.actions][logged.mask]
    assert found.minutes == pytest.approx(minutes.mean())
    assert sum(row["minutes_per_week"] for row in found.levels["modality"].values()) == pytest.approx(found.minutes)
    assert found.contacts == pytest.approx(680 / 681, abs=0.01)
    few = logged.subset(np.arange(15))
    hidden = effort_in(few, EFFORT, simulated=False)
    assert len(hidden.levels["goal"]) < len(effort_in(few, EFFORT, simulated=True).levels["goal"])
    assert effort_in(logged, None, simulated=True).minutes is None


def _logged_by(who, contact, *, people=None):
    """What 60 people of ten weeks are told to have got: each two texts, and some of them one home visit."""
    joints = np.zeros((60, 10), dtype=np.int64)
    joints[:, 1:3] = CALL
    joints[who, 5] = contact
    return logged_effort(
        joints.ravel(), np.full(60, 10), MEDICAID_ACTIONS, EFFORT, simulated=False,
        people=None if people is None else np.asarray(people),
    ).to_dict()  # fmt: skip


def test_minutes_and_contacts_tell_not_how_many_contacts_a_few_people_got():
    """Exact minutes with an exact number of contacts are two equations of the two numbers that are not told."""
    told = [_logged_by(np.arange(few), VISIT) for few in range(1, 11)]
    assert all("HOME_VISIT" not in each["by_level"]["modality"] for each in told)
    assert len({json.dumps(each) for each in told}) <= 3
    exact = [
        logged_effort(np.repeat([CALL, VISIT], [120, few]), [120 + few], MEDICAID_ACTIONS, EFFORT, simulated=True)
        for few in range(1, 11)
    ]
    assert len({each.minutes for each in exact}) == 10


def test_spells_of_a_person_are_one_person_who_got_a_contact():
    told = [
        _logged_by(np.arange(12), VISIT, people=people)["by_level"]["modality"].keys()
        for people in (None, np.arange(60) // 3)
    ]
    assert ["HOME_VISIT" in each for each in told] == [True, False]


def test_a_dataset_tells_what_its_team_spent(tiny_dataset):
    found = dataset_logged_effort(tiny_dataset, MEDICAID_ACTIONS)
    told = np.concatenate([episode.infos["effort_minutes"][1:, 0] for episode in tiny_dataset.iterate_episodes()])
    assert found.minutes == pytest.approx(told.mean(), rel=0.1)  # attempts in a gap in coverage take no minutes there


def test_a_held_price_spends_the_budget_and_the_estimate_agrees_with_a_rollout(logged):
    price = held_price(Mostly(), EFFORT, 5.0, logged)
    held = HeldPrice(Mostly(), EFFORT, price)
    assert held.probabilities(np.zeros((1, 7)))[0] @ EFFORT.minutes == pytest.approx(5.0, rel=1e-3)
    found = value_at_price(held, logged, resamples=50)
    estimate = found.minutes.results["PDIS"]
    truth = rollout(
        Budgeted(Mostly(), EFFORT, Capacity(minutes=5.0), price=price), WORLD, members=4_000, seed=9, horizon=2
    )
    assert estimate.estimate.plain.mean() == pytest.approx(truth.minutes.mean(), rel=0.35)
    assert set(found.to_dict()) == {"price", "weeks", "value", "minutes", "contacts"}


def test_a_memory_is_what_the_policy_would_have_kept_in_the_logged_weeks(logged):
    rule = RecordRule()
    memory = logged_memory(rule, logged)
    by_hand = rule.start_memory(len(logged))
    for step in range(2):
        assert np.array_equal(memory[:, step], by_hand)
        by_hand = rule.remember(by_hand, logged.observations[:, step], logged.actions[:, step])
    price = held_price(rule, EFFORT, 2.0, logged)
    target, wider = remembered(HeldPrice(rule, EFFORT, price), logged)
    probabilities = target(wider.observation_rows)
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities @ EFFORT.minutes).mean() == pytest.approx(2.0, rel=0.05)


class Alike:
    """The same gains for everybody."""

    def __init__(self, *gains):
        self.joints = np.sort(np.asarray([CALL, VISIT]))
        self.worth = np.asarray(gains)

    def gains(self, observations):
        return np.tile(self.worth, (len(observations), 1))


CALL, VISIT = (
    int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode((modality, "CHW", "FOOD_INSECURITY", "ROUTINE"))))
    for modality in ("PHONE_CALL", "HOME_VISIT")
)


@pytest.mark.parametrize(
    ("gains", "minutes", "taken"),
    [
        ((-1.0, 0.1), 5.0, {VISIT: 5 / 75}),  # a rule that knows one gain
        ((0.012, 0.040), 4.0, {CALL: 4 / 15}),  # calls to a share of all
        ((0.012, 0.040), 27.0, {CALL: 0.8, VISIT: 0.2}),  # calls to all, visits instead to a share of them
        ((0.012, 0.040), 200.0, {VISIT: 1.0}),  # more than can be spent
        ((0.040, 0.040), 200.0, {CALL: 1.0}),  # nor is a minute that gains nothing
        ((0.0, 0.0), 5.0, {}),  # what gains nothing is not spent
    ],
)
def test_contacts_that_gain_the_same_a_minute_are_made_by_lot(logged, gains, minutes, taken):
    held = held_policy(Alike(*gains), EFFORT, minutes, logged)
    chances = held.probabilities(logged.observation_rows[:3])
    expected = np.zeros(MEDICAID_ACTIONS.n_joint)
    expected[list(taken)] = list(taken.values())
    expected[0] = 1 - expected.sum()
    np.testing.assert_allclose(chances, np.tile(expected, (3, 1)), atol=1e-9)
    rolled = Budgeted(held.policy, EFFORT, Capacity(minutes=minutes), price=held.price, lot=held.lot)
    returns = rollout(rolled, WORLD, members=2_000, seed=3, horizon=1)
    assert (returns.contacts > 0).mean() == pytest.approx(1 - expected[0], abs=0.04)


def test_a_lot_divides_ties_alone(logged):
    rule = RecordRule()
    held, price = held_policy(rule, EFFORT, 2.0, logged), held_price(rule, EFFORT, 2.0, logged)
    assert held.price == price
    memory = logged_memory(rule, logged)[logged.mask]
    mine, plain = (
        each.probabilities(logged.observation_rows, memory) for each in (held, HeldPrice(rule, EFFORT, price))
    )
    assert (mine @ EFFORT.minutes).mean() == pytest.approx(2.0, rel=1e-6)
    assert (np.abs(mine - plain).max(axis=1) > 1e-12).mean() < 0.01
    assert held_policy(Mostly(), EFFORT, 5.0, logged).lot is None


def test_models_of_the_rewards_do_not_value_minutes(logged):
    held = HeldPrice(Mostly(), EFFORT, 0.01)
    options = {"resamples": 50, "q_values": lambda rows: np.full((len(rows), MEDICAID_ACTIONS.n_joint), -7.0)}
    told, plain = value_at_price(held, logged, **options, headline="DR"), value_at_price(held, logged, resamples=50)
    assert "DR" in told.value.results
    assert set(told.minutes.results) == set(plain.minutes.results)
    assert told.minutes.headline_estimator == plain.minutes.headline_estimator
