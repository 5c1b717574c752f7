"""Allocation against brute force and against its own bound."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from benchmarks.speed.large_inputs import care_gains
from frl_env import MEDICAID_ACTIONS, ActionSpace, Factor, UserError
from frl_env.capacity import Capacity, Effort, allocate

SPACE = ActionSpace(
    factors=(
        Factor(name="contact", levels=("NONE", "TEXT", "CALL", "VISIT")),
        Factor(name="staff", levels=("NONE", "NURSE", "PHARMACIST")),
    ),
    contact_factors=("contact", "staff"),
)
EFFORT = Effort(SPACE, {"contact": {"TEXT": 2, "CALL": 15, "VISIT": 75}, "staff": {"PHARMACIST": 5}})
SEVERAL = Capacity(minutes=20, weekly_minutes={"staff": {"PHARMACIST": 60}}, weekly_contacts={"contact": {"VISIT": 1}})


def brute_force(gains: np.ndarray, capacity: Capacity) -> float:
    limits = capacity.limits(EFFORT, len(gains))
    valid = SPACE.valid_joints
    gains = gains - gains[:, :1]
    best = 0.0
    for choice in itertools.product(range(len(valid)), repeat=len(gains)):
        joints = valid[list(choice)]
        fits = (limits.use[:, joints].sum(axis=1) <= limits.room + 1e-9).all() and limits.allowed[joints].all()
        if fits:
            best = max(best, float(gains[np.arange(len(gains)), list(choice)].sum()))
    return best


tables = st.integers(1, 4).flatmap(
    lambda n: st.lists(
        st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0, 2.0, 3.5]), min_size=7, max_size=7), min_size=n, max_size=n
    )
)


@settings(max_examples=40, deadline=None)
@given(table=tables, minutes=st.sampled_from([0.0, 1.0, 10.0, 20.0, 40.0, 100.0]))
def test_one_limit_is_within_one_contact_of_the_best(table, minutes):
    gains, capacity = np.asarray(table), Capacity(minutes=minutes)
    found = allocate(gains, EFFORT, capacity, np.random.default_rng(0))
    best = brute_force(gains, capacity)
    assert found.minutes <= minutes * len(gains) + 1e-6
    assert found.gain <= best + 1e-9
    assert found.gain >= best / 2 - 1e-9
    assert best <= found.bound + 1e-9
    assert found.bound - found.gain <= (gains - gains[:, :1]).max() + 1e-9
    assert ((found.propensities > 0) & (found.propensities <= 1)).all()


@settings(max_examples=25, deadline=None)
@given(table=tables)
def test_several_limits_are_never_exceeded_and_the_bound_is_one(table):
    gains = np.asarray(table)
    found = allocate(gains, EFFORT, SEVERAL, np.random.default_rng(0))
    room = dict(zip(*(lambda x: (x.names, x.room))(SEVERAL.limits(EFFORT, len(gains))), strict=True))
    assert all(found.used[name] <= room[name] + 1e-6 for name in room)
    assert found.gain <= brute_force(gains, SEVERAL) + 1e-9 <= found.bound + 2e-9


@pytest.mark.long
def test_a_caseload_is_allocated_to_within_the_promise():
    gains, effort = care_gains(20_000)
    one = allocate(gains, effort, Capacity(minutes=2.9), np.random.default_rng(1))
    assert one.bound - one.gain <= gains.max()
    assert 2.9 * 20_000 - 75 <= one.minutes <= 2.9 * 20_000 + 1e-3
    several = Capacity(
        minutes=2.9,
        caseload=1000,
        weekly_minutes={"provider": {"PHARMACIST": 300, "CHW": 600}},
        weekly_contacts={"modality": {"HOME_VISIT": 3}},
    )
    found = allocate(gains[:8_000], effort, several, np.random.default_rng(1))
    assert found.gain >= 0.99 * found.bound
    limits = several.limits(effort, 8_000)
    assert all(found.used[name] <= room + 1e-6 for name, room in zip(limits.names, limits.room, strict=True))
    assert found.prices["contacts of HOME_VISIT"] > 0


def test_ties_are_broken_by_the_generator_and_their_propensity_is_the_share():
    gains = np.zeros((100, 7))
    gains[:, SPACE.valid_joints == SPACE.ravel(SPACE.encode(("VISIT", "NURSE")))] = 1.0
    draws = [allocate(gains, EFFORT, Capacity(minutes=15), np.random.default_rng(seed)) for seed in range(60)]
    got = np.asarray([draw.joints != 0 for draw in draws])
    assert (got.sum(axis=1) == 20).all()
    assert 0.02 < got.mean(axis=0).min() < got.mean(axis=0).max() < 0.5
    assert np.allclose(draws[0].propensities, np.where(got[0], 0.2, 0.8))
    again = allocate(gains, EFFORT, Capacity(minutes=15), np.random.default_rng(3))
    assert np.array_equal(again.joints, draws[3].joints)


@pytest.mark.parametrize(
    ("visits", "minutes"),
    [(3, 100), (2, 200), (0, 50)],
    ids=["one visit fits, then a call", "all visits, then calls", "calls alone"],
)
def test_where_a_larger_step_does_not_fit_ties_of_smaller_ones_have_their_share(visits, minutes):
    """Members who gain from visits, ten who gain half as much a minute from calls; a lot decides in either group."""
    gains = np.zeros((10 + visits, 7))
    of = {name: SPACE.valid_joints == SPACE.ravel(SPACE.encode((name, "NURSE"))) for name in ("VISIT", "CALL")}
    gains[:visits, of["VISIT"]] = 7.5
    gains[visits:, of["CALL"]] = 0.75
    draws = [
        allocate(gains, EFFORT, Capacity(minutes=minutes / len(gains)), np.random.default_rng(seed))
        for seed in range(400)
    ]
    acted = np.asarray([draw.joints != 0 for draw in draws])
    stated = np.asarray([draw.propensities for draw in draws])
    for own in range(len(gains)):
        for did in (True, False):
            here = acted[:, own] == did
            if here.any():
                expected, error = here.mean(), np.sqrt(here.mean() * (1 - here.mean()) / len(draws))
                assert stated[here, own].mean() == pytest.approx(expected, abs=4 * error + 1e-9)


@pytest.mark.parametrize(
    ("gains", "minutes", "stated"),
    [
        # The visit makes one of two calls give way, and time is left for the other: .062 events, not .024.
        ([[0, 0.012, 0, 0], [0, 0, 0, 0.05], [0, 0.012, 0, 0]], 90, [0.5, 1.0, 0.5]),
        # A video visit and three calls are .075, less than four calls. A visit, which is .033 alone, is not at stake.
        ([[0, 0, 0.015, 0.033], *[[0, 0.02, 0, 0]] * 4], 80, [1.0] * 5),
    ],
    ids=["gives way", "stays"],
)
def test_calls_give_way_to_a_contact_that_does_not_fit_where_it_is_worth_more(gains, minutes, stated):
    space = ActionSpace(factors=(Factor(name="contact", levels=("NONE", "CALL", "VIDEO", "VISIT")),))
    effort = Effort(space, {"contact": {"CALL": 15, "VIDEO": 30, "VISIT": 75}})
    table = np.asarray(gains, dtype=float)
    seen = set()
    for seed in range(20):
        found = allocate(table, effort, Capacity(minutes=minutes / len(table)), np.random.default_rng(seed))
        assert found.gain == pytest.approx(0.062 if minutes == 90 else 0.08)
        assert found.minutes == (90 if minutes == 90 else 60)
        assert found.propensities.tolist() == stated
        seen.add(tuple(found.joints))
    assert seen == ({(1, 3, 0), (0, 3, 1)} if minutes == 90 else {(0, 1, 1, 1, 1)})


def test_what_a_long_contact_leaves_is_filled_up_where_there_is_a_second_limit():
    """Calls are below the hulls. After one visit there is time for two of them, and none for another visit."""
    space = ActionSpace(factors=(Factor(name="contact", levels=("NONE", "CALL", "VISIT")),))
    effort = Effort(space, {"contact": {"CALL": 15, "VISIT": 75}})
    gains = np.asarray([[0, 0.004, 0.060], [0, 0.004, 0.059], [0, 0.004, 0.058]])
    for second, minutes in (({}, 75.0), ({"contact": {"VISIT": 1000}}, 105.0)):
        capacity = Capacity(minutes=140 / 3, weekly_contacts=second)
        assert allocate(gains, effort, capacity, np.random.default_rng(0)).minutes == minutes


def test_equal_contacts_of_one_kind_are_drawn_evenly():
    space = MEDICAID_ACTIONS
    effort = Effort(space, {"modality": {"HOME_VISIT": 75}})
    gains = np.where(space.joint_levels[space.valid_joints, 0] == 4, 1.0, 0.0)[None].repeat(2_000, axis=0)
    found = allocate(gains, effort, Capacity(minutes=1000), np.random.default_rng(0))
    goals = np.bincount(space.unravel(found.joints)[:, 2], minlength=18)[1:]
    assert goals.min() > 70  # 118 expected of each
    assert np.allclose(found.propensities, 1 / 136)


def test_forbidden_actions_are_never_taken_and_zero_minutes_are_free():
    gains = np.tile(np.arange(7, dtype=float), (5, 1))
    capacity = Capacity(minutes=1000, forbidden=({"contact": "VISIT"},))
    found = allocate(gains, EFFORT, capacity, np.random.default_rng(0))
    assert set(SPACE.unravel(found.joints)[:, 0]) == {2}
    free = Effort(SPACE, {"contact": {"VISIT": 75}})
    found = allocate(gains, free, Capacity(minutes=0), np.random.default_rng(0))
    assert set(SPACE.unravel(found.joints)[:, 0]) == {2}
    assert found.minutes == 0


def test_a_promise_is_kept_for_each_group_within_capacity():
    rng = np.random.default_rng(0)
    group = np.where(np.arange(4_000) < 2_000, "A", "B")
    gains = rng.random((4_000, 7)) + 10.0 * (group == "A")[:, None]
    gains[:, 0] = 0
    capacity = Capacity(minutes=1, least_chance={"site": {"B": 0.05}})
    without = allocate(gains, EFFORT, Capacity(minutes=1), np.random.default_rng(1))
    found = allocate(gains, EFFORT, capacity, np.random.default_rng(1), groups={"site": group})
    assert (without.joints[group == "B"] != 0).mean() == 0
    assert 0.03 < (found.joints[group == "B"] != 0).mean() < 0.07
    assert found.minutes <= 4_000
    assert (found.propensities[(group == "B") & (found.joints != 0)] >= 0.049).all()
    with pytest.raises(UserError, match="'site', which is not known"):
        allocate(gains, EFFORT, capacity, rng)
    with pytest.raises(UserError, match="least chances of groups need"):
        allocate(gains, EFFORT, Capacity(minutes=0.01, least_chance={"site": {"B": 1.0}}), rng, groups={"site": group})


def test_a_promise_changes_the_stated_chances_of_those_alone_whom_it_can_help():
    """Eight gain much from a visit, and have one anyway. Four would lose by any contact, and have what a lot gives."""
    gains = np.full((12, 7), -0.01)
    gains[:, 0] = 0
    gains[:8, SPACE.valid_joints == SPACE.ravel(SPACE.encode(("VISIT", "NURSE")))] = 10.0
    group = np.where(np.arange(12) < 4, "A", "B")
    capacity = Capacity(minutes=75, least_chance={"site": {"B": 0.3}})
    draws = [
        allocate(gains, EFFORT, capacity, np.random.default_rng(seed), groups={"site": group}) for seed in range(400)
    ]
    acted = np.asarray([draw.joints != 0 for draw in draws])
    stated = np.asarray([draw.propensities for draw in draws])
    assert acted[:, :8].all()
    assert np.allclose(stated[:, :8], 1.0)
    assert acted[:, 8:].mean() == pytest.approx(0.3, abs=4 * np.sqrt(0.3 * 0.7 / acted[:, 8:].size))
    contacts_alike = 0.3 / stated[:, 8:][acted[:, 8:]]  # of contacts that are as good, one is drawn
    assert np.allclose(contacts_alike, contacts_alike.round())
    assert np.allclose(stated[:, 8:][~acted[:, 8:]], 0.7)


def test_a_promise_to_nobody_is_refused_with_the_nearest_name():
    rng, site = np.random.default_rng(0), np.repeat(["NORTH", "SOUTH"], 20)
    gains = np.zeros((40, 7))

    def decide(promised, sites=site, attribute="site"):
        capacity = Capacity(minutes=5, least_chance={attribute: promised})
        return allocate(gains, EFFORT, capacity, rng, groups={"site": sites})

    with pytest.raises(UserError, match=r"group 'NROTH' of 'site', and none of 40 members .*did you mean NORTH"):
        decide({"NROTH": 0.1})
    with pytest.raises(UserError, match="Where a group may be empty, give labels as a pandas Categorical"):
        decide({"WEST": 0.1})
    with pytest.raises(UserError, match=r"by 'sites', which is not known here; did you mean site\?"):
        decide({"NORTH": 0.1}, attribute="sites")
    decide({"WEST": 0.1}, pd.Categorical(site, categories=["NORTH", "SOUTH", "WEST"]))
    decide({"WEST": 0.1}, pd.Series(pd.Categorical(site, categories=["NORTH", "SOUTH", "WEST"])))
    with pytest.raises(UserError, match="did you mean WEST"):
        decide({"WETS": 0.1}, pd.Categorical(site, categories=["NORTH", "SOUTH", "WEST"]))


def test_gains_that_are_no_numbers_are_refused_in_one_line():
    gains = np.zeros((3, 7))
    gains[1, 2] = np.nan
    with pytest.raises(UserError, match="no numbers for some of 3 members; only minus infinity means never"):
        allocate(gains, EFFORT, Capacity(minutes=1), np.random.default_rng(0))
    with pytest.raises(UserError, match=r"shape \(members, 7 actions\)"):
        allocate(np.zeros((3, 5)), EFFORT, Capacity(minutes=1), np.random.default_rng(0))
    never = np.full((3, 7), -np.inf)
    never[:, 0] = 0
    assert (allocate(never, EFFORT, SEVERAL, np.random.default_rng(0)).joints == 0).all()


def test_the_bound_of_one_limit_is_the_optimum_of_the_linear_program():
    """Shares of contacts, at most one a member: what no allocation of whole contacts can beat, and no more."""
    rng, effort, partly = np.random.default_rng(0), EFFORT.minutes[SPACE.valid_joints], 0
    contacts = effort > 0
    for _ in range(20):
        members = int(rng.integers(1, 5))
        gains = rng.normal(size=(members, SPACE.n_valid))
        minutes = float(rng.uniform(0, 120))
        week = allocate(gains, EFFORT, Capacity(minutes=minutes / members), rng)
        better = (gains - gains[:, :1])[:, contacts]
        use = effort[contacts]
        rows = np.vstack([np.tile(use, members), np.kron(np.eye(members), np.ones(len(use)))])
        best = linprog(
            -better.ravel(),
            A_ub=rows,
            b_ub=[minutes, *np.ones(members)],
            bounds=[(0, float(each <= minutes)) for each in np.tile(use, members)],
        )
        assert week.bound == pytest.approx(-best.fun, abs=1e-9)
        partly += week.bound > week.gain + 1e-6
    assert partly > 5
