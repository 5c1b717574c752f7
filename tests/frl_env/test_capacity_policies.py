"""Effort and capacity as data, and policies that keep within them in rollouts."""

import copy
import pickle

import numpy as np
import pytest

from frl_env import MEDICAID_ACTIONS, UserError, World
from frl_env.capacity import Budgeted, Capacity, Effort, HeldPrice, decide_within, parse_budget, parse_budgets
from frl_env.care_effort import care_effort, dataset_effort
from frl_env.parameters import RACES
from frl_env.references import Heuristic, UniformRandom
from frl_env.rollout import rollout
from frl_env.simulator.behaviour import BehaviourPolicy

WORLD = World().parameters
EFFORT = care_effort(WORLD)
HOME = int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE"))))
CALL = int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE"))))


class Rester:
    """Gains for two contacts; remembers when it last contacted a member, and lets them rest for four weeks."""

    joints = np.asarray([CALL, HOME])

    def start_memory(self, members):
        return np.full((members, 1), 99.0)

    def remember(self, memory, observations, joints):
        assert len(observations) == len(joints) == len(memory)
        return np.where(joints[:, None] > 0, 1.0, memory + 1.0)

    def gains(self, observations, memory):
        rested = memory[:, 0] > 4
        return np.where(rested[:, None], np.log1p(observations[:, 6:7]) * [0.1, 1.0], -np.inf)


class Even:
    """Probabilities: a contact of any kind half the time."""

    def probabilities(self, observations):
        valid = MEDICAID_ACTIONS.valid.astype(float)
        valid[0] = valid.sum() - 1
        return np.tile(valid / valid.sum(), (len(observations), 1))


def weekly(policy, members=600, horizon=6, seed=1):
    """Minutes and enrolled members of each week, and the decisions."""
    rows, levels_by_week = [], []

    def record(week, who, before, levels, after, outcome):
        enrolled = before.active & ~before.gap
        rows.append(
            (EFFORT.minutes[MEDICAID_ACTIONS.ravel(levels)].sum(), enrolled.sum(), (levels[~enrolled, 0] > 0).sum())
        )
        levels_by_week.append(levels)

    rollout(policy, WORLD, members=members, seed=seed, horizon=horizon, record=record)
    return np.asarray(rows), levels_by_week


@pytest.mark.parametrize("policy", [Rester(), Even(), Heuristic(), UniformRandom(), BehaviourPolicy(WORLD)])
@pytest.mark.parametrize("minutes", [0.0, 1.0, 2.9])
def test_no_week_exceeds_the_capacity(policy, minutes):
    rows, _ = weekly(Budgeted(policy, EFFORT, Capacity(minutes=minutes)))
    assert (rows[:, 0] <= minutes * rows[:, 1] + 1e-6).all()
    assert (rows[:, 2] == 0).all()  # nobody in a gap is contacted
    if minutes == 1.0:
        assert rows[:, 0].sum() > 0.8 * minutes * rows[:, 1].sum()  # and what there is gets used


@pytest.mark.parametrize("policy", [Heuristic(), UniformRandom(), BehaviourPolicy(WORLD)])
def test_without_a_budget_the_policy_is_itself_to_the_last_digit(policy):
    plain = rollout(policy, WORLD, members=300, seed=4)
    budgeted = rollout(Budgeted(policy, EFFORT, Capacity()), WORLD, members=300, seed=4)
    for name in ("value", "minutes", "contacts", "cost"):
        assert np.array_equal(getattr(plain, name), getattr(budgeted, name))


def test_memory_is_kept_by_member_and_starts_anew_with_each_rollout():
    policy = Budgeted(Rester(), EFFORT, Capacity(minutes=20.0))
    first_rows, weeks = weekly(policy, members=200, horizon=5)
    contacted = np.asarray([levels[:, 0] > 0 for levels in weeks])
    assert contacted.sum(axis=0).max() == 1  # nobody twice within four weeks
    again, _ = weekly(policy, members=200, horizon=5)
    assert np.array_equal(first_rows, again)
    assert policy.memory is None  # the policy that was passed in knows of no rollout
    with pytest.raises(UserError, match="call start"):
        policy.act(range(3), _state(3), np.random.default_rng(0))


def _state(members):
    from frl_env.simulator.dynamics import enter
    from frl_env.simulator.population import draw_members

    return enter(draw_members(np.random.default_rng(0), members, WORLD), np.random.default_rng(1), WORLD)


def test_probabilities_meet_the_capacity_by_the_nearest_policy():
    observations = np.zeros((20_000, 7), dtype=np.float32)
    rng = np.random.default_rng(0)
    found = decide_within(Even(), EFFORT, Capacity(minutes=3.0), observations, rng)
    assert 0.97 * 60_000 < found.minutes <= 60_000
    price = found.prices["minutes"]
    weight = Even().probabilities(observations[:1])[0] * np.exp(-price * EFFORT.minutes)
    assert np.isclose(weight @ EFFORT.minutes / weight.sum(), 3.0, rtol=1e-3)
    taken = MEDICAID_ACTIONS.unravel(found.joints)[:, 0]
    expected = [weight[MEDICAID_ACTIONS.joint_levels[:, 0] == m].sum() / weight.sum() for m in range(6)]
    assert np.allclose(np.bincount(taken, minlength=6) / len(taken), expected, atol=0.012)


def test_a_policy_that_never_does_nothing_is_thinned_at_random():
    class Always:
        def probabilities(self, observations):
            return np.eye(1080)[[HOME] * len(observations)]

    found = decide_within(
        Always(), EFFORT, Capacity(minutes=7.5), np.zeros((1_000, 7), np.float32), np.random.default_rng(0)
    )
    assert (found.joints == HOME).sum() == 100
    assert np.allclose(found.propensities, np.where(found.joints == HOME, 0.1, 0.9))


def test_a_held_price_makes_members_independent_with_exact_probabilities():
    held = HeldPrice(Even(), EFFORT, 0.05)
    probabilities = held.probabilities(np.zeros((2, 7), np.float32))
    assert np.allclose(probabilities.sum(axis=1), 1)
    ratio = probabilities[0, HOME] / probabilities[0, CALL]
    assert np.isclose(ratio, np.exp(-0.05 * 60))
    memory = np.full((2, 1), 99.0)
    observations = np.zeros((2, 7), np.float32)
    observations[1, 6] = 1e4
    gains = HeldPrice(Rester(), EFFORT, 0.1).probabilities(observations, memory)
    assert gains[0, 0] == 1
    assert gains[1, HOME] == 1
    with pytest.raises(UserError, match="only acts"):
        HeldPrice(Heuristic(), EFFORT, 0.1)
    policy = Budgeted(Even(), EFFORT, Capacity(minutes=3.0), price=0.05)
    rows, _ = weekly(policy, members=4_000, horizon=2)
    assert np.allclose(rows[:, 0] / rows[:, 1], probabilities[0] @ EFFORT.minutes, rtol=0.06)


def test_promises_by_race_are_kept_in_rollouts():
    capacity = Capacity(minutes=2.0, least_chance={"race_ethnicity": {"BLACK": 0.02}})
    policy = Budgeted(Rester(), EFFORT, capacity, vocabularies={"race_ethnicity": RACES})
    rows, _ = weekly(policy)
    assert (rows[:, 0] <= 2.0 * rows[:, 1] + 1e-6).all()
    with pytest.raises(UserError, match="least chances by 'race_ethnicity'"):
        Budgeted(Rester(), EFFORT, capacity)


def test_effort_adds_minutes_of_levels_and_round_trips(tiny_dataset):
    effort = Effort(MEDICAID_ACTIONS, {"modality": {"PHONE_CALL": 15}, "provider": {"CHW": 5}})
    assert effort.minutes[CALL] == 20
    assert effort.minutes[0] == 0
    assert (effort.minutes[~MEDICAID_ACTIONS.valid] == 0).all()
    assert Effort.from_json(effort.to_json(), MEDICAID_ACTIONS) == effort
    assert copy.deepcopy(effort) == pickle.loads(pickle.dumps(effort)) == effort
    assert pickle.loads(pickle.dumps(effort)).levels == effort.levels
    assert dataset_effort(tiny_dataset, MEDICAID_ACTIONS) == EFFORT
    assert tiny_dataset.storage.metadata["frl_effort"]["modality"]["HOME_VISIT"] == 75
    for levels, words in (
        ({"modality": {"FAX": 3}}, "unknown level of factor 'modality': 'FAX'"),
        ({"mode": {}}, "unknown factor"),
        ({"modality": {"PHONE_CALL": -1}}, r"minutes of PHONE_CALL must be a number in 0..10080"),
        ({"modality": {"NONE": 3}}, "takes no minutes"),
        ({"modality": 3}, "must be a table"),
    ):
        with pytest.raises(UserError, match=words):
            Effort(MEDICAID_ACTIONS, levels)


def test_budgets_are_parsed_and_bad_ones_said_in_one_line(tmp_path):
    budgets = parse_budgets("1.0,team, 7.0,none", team=2.9)
    assert [item.minutes for item in budgets.values()] == [1.0, 2.9, 7.0, None]
    file = tmp_path / "capacity.toml"
    file.write_text(
        "minutes = 2.5\ncaseload = 500\n[weekly_minutes.provider]\nPHARMACIST = 1200\n"
        '[weekly_contacts.modality]\nHOME_VISIT = 40\n[[forbidden]]\nmodality = "SMS_TEXT"\n'
    )
    capacity = parse_budget(str(file))
    limits = capacity.limits(EFFORT, 1_000)
    assert dict(zip(limits.names, limits.room, strict=True)) == {
        "minutes": 2_500, "minutes of PHARMACIST": 2_400, "contacts of HOME_VISIT": 80
    }  # fmt: skip
    assert Capacity(**{**capacity.to_json(), "forbidden": tuple(capacity.to_json()["forbidden"])}) == capacity
    for text, words in (
        ("minutes = -1", "minutes must be a number"),
        ("minute = 1", "did you mean"),
        ("[weekly_minutes]\nprovider = 3", r"\[weekly_minutes.provider\] must be a table"),
        ("forbidden = 3", "must be tables"),
        ("minutes =", "is not TOML"),
        ("caseload = 0", "caseload must be a whole number"),
    ):
        file.write_text(text)
        with pytest.raises(UserError, match=words) as problem:
            parse_budget(str(file))
        assert str(file) in str(problem.value)
        assert "\n" not in str(problem.value)
    file.write_text("[weekly_contacts.modality]\nHOME = 3")
    with pytest.raises(UserError, match="did you mean HOME_VISIT"):
        parse_budget(str(file)).limits(EFFORT, 10)
    for text, words in (("fast", "no number of minutes"), ("team", "own minutes"), ("none.toml", "can't read")):
        with pytest.raises(UserError, match=words):
            parse_budget(text)
    for team, offered in ((None, "give one, 'none' or"), (2.9, "give one, 'team', 'none' or")):
        with pytest.raises(UserError, match=offered):
            parse_budget("fast", team=team)
    with pytest.raises(UserError, match="twice"):
        parse_budgets("1,1")
