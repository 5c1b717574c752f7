"""Stated chances of decisions within capacity are how often they are made."""

import numpy as np
import pytest

from frl_env import ActionSpace, Factor, UserError
from frl_env.capacity import Budgeted, Capacity, Effort, decide_within
from frl_env.capacity.deciding import draw, draw_within

SPACE = ActionSpace(
    factors=(
        Factor(name="contact", levels=("NONE", "TEXT", "CALL", "VISIT")),
        Factor(name="topic", levels=("NONE", "FOOD", "HOUSING")),
    ),
    contact_factors=("contact", "topic"),
)
EFFORT = Effort(SPACE, {"contact": {"TEXT": 2, "CALL": 15, "VISIT": 75}})
MEMBERS, WEEKS = 15, 2_500
OBSERVATIONS = np.arange(MEMBERS, dtype=np.float32)[:, None]


class Known:
    """Each member's own probabilities, by the first observation."""

    def __init__(self, seed=3):
        self.table = np.zeros((MEMBERS, SPACE.n_joint))
        self.table[:, SPACE.valid_joints] = np.random.default_rng(seed).dirichlet(np.full(7, 2.0), MEMBERS)

    def probabilities(self, observations):
        return self.table[observations[:, 0].astype(int)]


def stated_and_met(capacity, groups=None):
    """Chance of each action as stated, NaN where it was never stated, and how often it was met."""
    policy, rng = Known(), np.random.default_rng(1)
    at, met = np.arange(MEMBERS), np.zeros((MEMBERS, SPACE.n_joint))
    stated = np.full(met.shape, np.nan)

    def ask(rows):
        return policy.probabilities(OBSERVATIONS[rows])

    for _ in range(WEEKS):
        met[at, draw(ask, MEMBERS, EFFORT, capacity, rng, groups=groups).kept] += 1 / WEEKS
    for _ in range(12):
        week = draw_within(ask, MEMBERS, EFFORT, capacity, rng, groups=groups)
        stated[at, week.joints] = week.propensities
    return stated, met


@pytest.mark.long
@pytest.mark.parametrize(
    ("capacity", "promised"),
    [
        (Capacity(), False),
        (Capacity(minutes=8), False),
        (Capacity(minutes=12, weekly_contacts={"contact": {"VISIT": 1}}), False),
        (Capacity(minutes=25, forbidden=({"topic": "FOOD"},), least_chance={"site": {"B": 0.3}}), True),
    ],
)
def test_a_stated_chance_is_how_often_the_action_itself_is_taken(capacity, promised):
    groups = {"site": np.where(np.arange(MEMBERS) < 5, "B", "A")} if promised else None
    stated, met = stated_and_met(capacity, groups)
    said = np.isfinite(stated)
    assert said.sum() > 3 * MEMBERS
    error = np.abs(stated - met)[said] / (np.sqrt(stated * (1 - stated) / WEEKS)[said] + 2e-3)
    assert error.max() < 4
    if promised:
        assert (1 - met[:5, 0]).min() > 0.3 - 0.03


def test_a_promise_is_kept_where_contacts_are_dropped():
    class Always(Known):
        def probabilities(self, observations):
            return np.eye(SPACE.n_joint)[np.full(len(observations), SPACE.valid_joints[-1])]

    capacity = Capacity(minutes=30, least_chance={"site": {"B": 1.0}})
    groups = {"site": np.where(np.arange(MEMBERS) < 3, "B", "A")}
    week = decide_within(Always(), EFFORT, capacity, OBSERVATIONS, np.random.default_rng(0), groups=groups)
    assert (week.joints[:3] != 0).all()
    assert (week.joints != 0).sum() == 6
    assert np.allclose(week.propensities, np.where(np.arange(MEMBERS) < 3, 1.0, np.where(week.joints, 0.25, 0.75)))
    few = Capacity(minutes=10, least_chance={"site": {"B": 1.0}})
    with pytest.raises(
        UserError, match="least chances of groups need 225 of limit 'minutes' this week, and there is 1"
    ):
        decide_within(Always(), EFFORT, few, OBSERVATIONS, np.random.default_rng(0), groups=groups)


def test_only_contacts_of_what_is_scarce_may_be_dropped():
    visit, text = (int(SPACE.ravel(SPACE.encode((contact, "FOOD")))) for contact in ("VISIT", "TEXT"))
    wishes = np.asarray([visit, visit, visit, visit, text, text, 0, SPACE.n_joint - 1, 1])

    def acts(observations, rng):
        return SPACE.unravel(wishes)

    capacity = Capacity(weekly_contacts={"contact": {"VISIT": 1}}, forbidden=({"topic": "HOUSING"},))
    assert not SPACE.valid[wishes[-1]]
    week = decide_within(acts, EFFORT, capacity, np.zeros((9, 1)), np.random.default_rng(0))
    assert (week.joints[:4] != 0).sum() == 1
    assert week.joints[4:].tolist() == [text, text, 0, 0, 0]
    np.testing.assert_allclose(week.propensities[:4], np.where(week.joints[:4], 0.25, 0.75), atol=0.03)
    assert week.propensities[4:].tolist() == [1] * 5


def test_a_rollout_decides_as_a_week_does():
    assert Budgeted(Known(), EFFORT, Capacity(minutes=3)).kind == "probabilities"
    week = decide_within(Known(), EFFORT, Capacity(minutes=8), OBSERVATIONS, np.random.default_rng(5))
    ask = Known().table.__getitem__
    again = draw(ask, MEMBERS, EFFORT, Capacity(minutes=8), np.random.default_rng(5))
    assert np.array_equal(week.joints, again.kept)
