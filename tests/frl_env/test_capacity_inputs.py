"""What does not fit a budget is said in one line, before anything is decided."""

import numpy as np
import pytest

from frl_env import MEDICAID_ACTIONS, ActionSpace, Factor, UserError, World
from frl_env.capacity import Budgeted, Capacity, Effort, HeldPrice, allocate, decide_within, parse_budget
from frl_env.care_effort import care_effort
from frl_env.parameters import RACES
from frl_env.references import Heuristic, NoProgram, ObservationPolicy
from frl_env.rollout import rollout
from frl_env.search.record_rule import RecordRule
from frl_env.simulator.dynamics import enter
from frl_env.simulator.population import draw_members

WORLD = World().parameters
EFFORT = care_effort(WORLD)
VALID = len(MEDICAID_ACTIONS.valid_joints)
SEEN = np.zeros((10, 7), np.float32)
RULE = RecordRule()


class Says:
    """Answers every question with what it was given."""

    def __init__(self, **answers):
        self.answers = answers

    def __getattr__(self, name):
        if name not in self.__dict__["answers"]:
            raise AttributeError(name)
        return lambda *_: self.answers[name]


def rng():
    return np.random.default_rng(0)


def within(policy, observations=SEEN, **options):
    return decide_within(policy, EFFORT, 3.0, observations, rng(), **options)


def refused(words, ask):
    with pytest.raises(UserError, match=words) as problem:
        ask()
    assert "\n" not in str(problem.value)


def test_a_bare_number_is_minutes_and_nothing_else_is():
    gains = np.random.default_rng(1).random((40, VALID))
    for number in (3, 3.0, np.float32(3), np.int64(3)):
        found = allocate(gains, EFFORT, number, rng())
        assert np.array_equal(found.joints, allocate(gains, EFFORT, Capacity(minutes=3), rng()).joints)
    assert Budgeted(RULE, EFFORT, 2.5).capacity == Capacity(minutes=2.5)
    for other in ("team", None, True, {"minutes": 3}):
        for ask in (
            lambda other=other: allocate(gains, EFFORT, other, rng()),
            lambda other=other: decide_within(Says(gains=gains[:10]), EFFORT, other, SEEN, rng()),
            lambda other=other: Budgeted(RULE, EFFORT, other),
        ):
            refused("capacity must be a number of staff minutes", ask)
    refused("capacity: minutes must be a number", lambda: allocate(gains, EFFORT, -1, rng()))
    refused("must be text", lambda: parse_budget(None))
    refused(r"effort must be an Effort", lambda: allocate(gains, {"modality": {}}, 3, rng()))
    refused("effort must be a table", lambda: Effort(MEDICAID_ACTIONS, [3]))


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (Says(gains=np.ones((1, VALID))), "gains have shape .* where 10 members were asked"),
        (Says(gains=[[1.0], [1.0, 2.0]]), "rows differ in length"),
        (Says(gains=None), "gains must be an array"),
        (Says(probabilities=np.eye(1080)[[0]]), "probabilities have shape .* where 10 members"),
        (Says(probabilities=np.full((10, 1080), "x")), "numbers of shape"),
        (Says(probabilities=np.eye(3)[[0] * 10]), "numbers of shape"),
        (Says(probabilities=np.eye(1080)[[0] * 10] / 2), "or don't sum to 1 for some of 10 members"),
        (lambda observations, rng: np.zeros((3, 4), int), "actions have shape .* where 10 members"),
        (lambda observations, rng: None, "actions must be an array"),
    ],
)
def test_a_policy_answers_for_everybody_it_is_asked_about(policy, words):
    refused(words, lambda: within(policy))


def test_columns_of_gains_are_named_in_ascending_order():
    gains = np.ones((3, 2))
    for joints, words in (
        ([400, 0], "must ascend"),
        ([0, 5_000], "must ascend within 0..1079"),
        ([0.0, 2.5], "indices"),
    ):
        refused(words, lambda joints=joints: allocate(gains, EFFORT, 3, rng(), joints=np.asarray(joints)))
    policy = Says(gains=np.ones((10, 2)))
    policy.joints = np.asarray([400, 0])
    refused("must ascend", lambda: within(policy))
    refused("must ascend", lambda: HeldPrice(policy, EFFORT, 0.0).probabilities(SEEN))


def test_a_memory_is_of_these_members_and_of_this_policy():
    for memory in (RULE.start_memory(4), np.zeros((10, 3)), np.zeros(10), "a"):
        refused("^memories ", lambda memory=memory: within(RULE, memory=memory))
    refused("members must be a whole number", lambda: RULE.start_memory(-1))
    refused("members must be a whole number", lambda: Budgeted(RULE, EFFORT, 3).start(1.5))
    assert len(RULE.start_memory(np.int64(3))) == 3


def test_nobody_to_decide_about_is_an_empty_week():
    for policy in (Says(gains=None), Says(probabilities=None), lambda observations, rng: np.zeros((0, 4), int)):
        week = within(policy, SEEN[:0])
        assert len(week.joints) == len(week.propensities) == week.minutes == 0


def test_a_held_price_refuses_what_an_allocation_refuses():
    nan, never = np.ones((10, VALID)), np.full((10, VALID), -np.inf)
    nan[3, 5] = np.nan
    for answers, words in (
        ({"gains": nan}, "no numbers in 1 of 10"),
        ({"gains": never}, "no numbers in 10 of 10"),
        ({"gains": np.ones((10, 3))}, "numbers of shape"),
        ({"gains": np.ones((3, VALID))}, "where 10 members"),
        ({"probabilities": np.eye(3)[[0] * 10]}, "numbers of shape"),
        ({"probabilities": np.eye(1080)[[0] * 10] / 2}, "don't sum to 1 in 10 of 10"),
    ):
        refused(words, lambda answers=answers: HeldPrice(Says(**answers), EFFORT, 0.1).probabilities(SEEN))


def test_a_capacity_file_is_named_whatever_is_wrong_in_it(tmp_path):
    file = tmp_path / "capacity.toml"
    for text, words in (
        ("[weekly_contacts.modality]\nHOME = 3", "unknown level of factor 'modality': 'HOME'; did you mean HOME_VISIT"),
        ("[weekly_minutes.mode]\nHOME_VISIT = 3", "unknown factor 'mode'"),
        ('[[forbidden]]\nmodality = "HOME"', "unknown level of factor 'modality'"),
        ("[weekly_contacts.modality]\nNONE = 3", "no contact has modality NONE, so that it can be neither limited"),
        ("[weekly_minutes.provider]\nNONE = 3", "no contact has provider NONE"),
        ('[[forbidden]]\nmodality = "NONE"', "no contact has modality NONE"),
        (
            "\n".join(f'[[forbidden]]\nmodality = "{level}"' for level in MEDICAID_ACTIONS["modality"].levels[1:]),
            "every",
        ),
        ("caseload = 100", "sets no limit"),
        ("[least_chance.shoe_size]\nLARGE = 0.1", "promises least chances by 'shoe_size'"),
        ("[least_chance.race_ethnicity]\nBLAK = 0.1", "unknown group of 'race_ethnicity'.* did you mean BLACK"),
    ):
        file.write_text(text)

        def ask():
            Budgeted(RULE, EFFORT, parse_budget(str(file)), vocabularies={"race_ethnicity": RACES})

        with pytest.raises(UserError, match=words) as problem:
            ask()
        assert str(file) in str(problem.value)
    for wrong in ({"forbidden": {"modality": "SMS_TEXT"}}, {"forbidden": ("SMS_TEXT",)}, {"weekly_minutes": [3]}):
        refused("capacity: .* must be", lambda wrong=wrong: Capacity(**wrong))
    limits = Capacity(weekly_contacts={"urgency": {"ROUTINE": 3}}).limits(EFFORT, 10)
    assert limits.use.sum() > 0  # contacts that are not urgent can be limited


def test_labels_of_groups_need_not_be_text():
    gains = np.zeros((200, VALID))
    gains[:100, 1] = 1.0
    gains[100:, 1] = 0.5
    capacity = Capacity(minutes=1.0, least_chance={"site": {"2": 0.5}})
    effort = Effort(MEDICAID_ACTIONS, {"modality": dict.fromkeys(MEDICAID_ACTIONS["modality"].levels[1:], 2.0)})
    week = allocate(gains, effort, capacity, rng(), groups={"site": np.repeat([1, 2], 100)})
    assert 35 < (week.joints[100:] != 0).sum() < 65


@pytest.mark.parametrize(
    ("decide", "words"),
    [
        (lambda o, r: np.zeros(len(o), int), "needs 4 levels"),
        (lambda o, r: np.zeros((3, 4), int), r"levels of shape \(3, 4\) for 20 members"),
        (lambda o, r: np.zeros((len(o), 3), int), "needs 4 levels"),
        (lambda o, r: np.full((len(o), 4), -1), "20 actions out of range"),
        (lambda o, r: np.full((len(o), 4), 99), "20 actions out of range"),
        (lambda o, r: None, "needs 4 levels"),
        (lambda o, r: np.full((len(o), 4), 1) * (np.arange(4) > 0), r"20 actions that are not valid, for 20 members"),
    ],
)
def test_a_rollout_refuses_levels_that_are_none(decide, words):
    for policy in (ObservationPolicy(decide), Budgeted(ObservationPolicy(decide), EFFORT, Capacity())):
        refused(words, lambda policy=policy: rollout(policy, WORLD, members=20, seed=0, horizon=2))


def test_a_rollout_refuses_numbers_that_make_no_sense():
    for wrong in (
        {"members": -1},
        {"members": 1.5},
        {"horizon": -1},
        {"horizon": 1.5},
        {"seed": -1},
        {"seed": (1, "a")},
    ):
        refused(
            "must be a whole number",
            lambda wrong=wrong: rollout(NoProgram(), WORLD, **{"members": 5, "seed": 0} | wrong),
        )
    refused("ObservationPolicy", lambda: rollout(RULE, WORLD, members=5, seed=0))


def test_what_decides_by_observations_starts_anew_with_every_rollout():
    class Counts:
        weeks = 0

        def start(self, members):
            return Counts()

        def __call__(self, observations, rng):
            self.weeks += 1
            levels = np.zeros((len(observations), 4), int)
            levels[:] = MEDICAID_ACTIONS.encode(("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE")) * (self.weeks == 1)
            return levels

    policy = ObservationPolicy(Counts())
    contacts = [rollout(policy, WORLD, members=30, seed=1, horizon=3).contacts.sum() for _ in range(2)]
    assert contacts[0] == contacts[1] > 0


def test_what_sees_the_simulator_can_not_be_asked_by_observations():
    for policy in (Heuristic(), ObservationPolicy(lambda o, r: o)):
        refused("is asked with simulated members and their state", lambda policy=policy: within(policy))
    for policy in (Says(gains_at=None), Says(joint_probabilities=None)):
        refused(r"(gains|probabilities)\(observations\) is needed", lambda policy=policy: within(policy))
        refused("is needed", lambda policy=policy: HeldPrice(policy, EFFORT, 0.1))


def test_limits_of_levels_that_share_a_name_are_told_apart():
    space = ActionSpace(
        factors=(
            Factor(name="who", levels=("NONE", "NURSE", "OTHER")),
            Factor(name="what", levels=("NONE", "FOOD", "OTHER")),
        ),
        contact_factors=("who", "what"),
    )
    effort = Effort(space, {"who": {"NURSE": 10, "OTHER": 20}})
    capacity = Capacity(weekly_contacts={"who": {"OTHER": 2, "NURSE": 9}, "what": {"OTHER": 5}})
    gains = np.tile(np.arange(5.0), (30, 1))
    week = allocate(gains, effort, capacity, rng())
    assert set(week.used) == {"contacts of who OTHER", "contacts of NURSE", "contacts of what OTHER"}
    assert week.used["contacts of who OTHER"] <= 2
    assert week.used["contacts of what OTHER"] <= 5


def test_a_promise_is_kept_by_contacts_that_fit():
    gains = np.zeros((10, VALID))
    levels = MEDICAID_ACTIONS.joint_levels[MEDICAID_ACTIONS.valid_joints, 0]
    gains[:, levels == MEDICAID_ACTIONS["modality"].levels.index("HOME_VISIT")] = 9.0  # 75 minutes, and there are 40
    gains[:, levels == MEDICAID_ACTIONS["modality"].levels.index("SMS_TEXT")] = 0.1
    capacity = Capacity(minutes=4.0, least_chance={"site": {"A": 1.0}})
    week = allocate(gains, EFFORT, capacity, rng(), groups={"site": np.repeat("A", 10)})
    assert (week.joints != 0).all()


def test_prices_and_lots_are_checked_whatever_the_policy_sees():
    oracle = Says(gains_at=None)
    for options, words in (
        ({"price": -1.0}, "price of a minute must be"),
        ({"price": float("nan")}, "price of a minute must be"),
        ({"price": 1.0, "lot": 2.0}, "lot must be"),
        ({"lot": 0.5}, "give the price, too"),
    ):
        for policy in (oracle, RULE):
            refused(words, lambda policy=policy, options=options: Budgeted(policy, EFFORT, 3.0, **options))


def test_a_started_policy_is_for_as_many_members():
    policy = Budgeted(RULE, EFFORT, 3.0).start(4)
    members = draw_members(rng(), 3, WORLD)
    refused(
        "3 members are to be decided about, and 4", lambda: policy.act(members, enter(members, rng(), WORLD), rng())
    )
