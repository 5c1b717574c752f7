"""Who is on the worklist: capacities are kept, and chances are as stated."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worklist_members import EFFORT, NOTHING, VISIT, ByRisk, worklist_of

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity, Effort
from frl_env.errors import UserError
from frl_env.worklist import choose, choosing, read_caseload
from frl_env.worklist.lottery import make_lots
from frl_env.worklist.writing import page


def test_the_list_keeps_the_capacity_and_serves_who_gains_most(table):
    worklist = worklist_of(table, Capacity(minutes=10.0))
    assert worklist.rows["minutes"].sum() <= 10.0 * 60
    caseload = read_caseload(table, ByRisk())
    risk = dict(zip(caseload.identifiers, caseload.observations[:, 1] + 2 * caseload.observations[:, 2], strict=True))
    listed = set(worklist.rows.member_id)
    assert {each for each, value in risk.items() if value > 0} <= listed
    assert min(risk[each] for each in listed) >= max(risk[each] for each in risk.keys() - listed)
    assert worklist.rows["rank"].tolist() == list(range(1, len(listed) + 1))
    assert len(worklist.chances) == 60


def test_forbidden_rest_and_do_not_contact(table):
    capacity = Capacity(minutes=30.0, forbidden=({"modality": "HOME_VISIT"},))
    worklist = worklist_of(table, capacity, least_weeks=4, leave_alone=frozenset({"m000", "m001"}))
    assert "HOME_VISIT" not in set(worklist.rows.modality)
    assert not {"m000", "m001"} & set(worklist.rows.member_id)
    alone = worklist.chances[worklist.chances.member_id.isin(["m000", "m001"])]
    assert alone.action_modality.tolist() == ["NONE", "NONE"]  # for certain
    assert alone.propensity.tolist() == [1.0, 1.0]
    caseload = read_caseload(table, ByRisk())
    recent = (caseload.since_contact >= 0) & (caseload.since_contact < 4)
    assert recent.any()
    assert not set(caseload.identifiers[recent]) & set(worklist.rows.member_id)
    assert any("too recent" in rule["why"] for rule in worklist.summary["left_out"])
    with pytest.raises(UserError, match="nobody is left"):
        worklist_of(table, capacity, leave_alone=frozenset(f"m{n:03d}" for n in range(60)))


@settings(max_examples=30, deadline=None)
@given(
    minutes=st.floats(1.0, 60.0),
    visits=st.integers(0, 20),
    explore=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    seed=st.integers(0, 10),
)
def test_no_limit_is_ever_exceeded(minutes, visits, explore, seed):
    rng = np.random.default_rng(seed)
    gains = rng.random((80, len(SPACE.valid_joints))).astype(np.float32)
    gains[:, 0] = 0
    gains[rng.random(80) < 0.2, 1:] = -np.inf
    capacity = Capacity(minutes=minutes, weekly_contacts={"modality": {"HOME_VISIT": visits}})
    limits = capacity.limits(EFFORT, 80)
    taken = limits.use[:, SPACE.valid_joints[1:]]
    fits = taken[:, (taken <= limits.room[:, None]).all(axis=0)]
    if explore and (fits > explore * limits.room[:, None] * (1 + 1e-9)).any():
        with pytest.raises(UserError, match="explore a larger share"):
            choose(gains, EFFORT, capacity, rng, explore=explore)
        return
    choice = choose(gains, EFFORT, capacity, rng, explore=explore)
    assert (limits.use[:, choice.joints].sum(axis=1) <= limits.room + 1e-9).all()
    assert ((choice.propensities > 0) & (choice.propensities <= 1)).all()
    resting = np.isneginf(gains[:, 1])
    assert (choice.joints[resting] == NOTHING).all()


SCARCE = Capacity(minutes=40.0, weekly_contacts={"modality": {"HOME_VISIT": 6}})
BY_ROLE = Capacity(
    weekly_minutes={"provider": {"CHW": 240, "PHARMACIST": 90, "THERAPIST": 40}},
    forbidden=({"provider": "CARE_COORDINATOR"},),
)


@pytest.mark.long
@pytest.mark.parametrize("draws", [300, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("capacity", "explore"), [(Capacity(minutes=40.0), 0.5), (SCARCE, 0.3), (SCARCE, 1.0), (BY_ROLE, 0.9)]
)
def test_stated_chances_match_the_draws(capacity, explore, draws, monkeypatch):
    """Of every action of every member, those that are never drawn included."""
    members, valid = 12, SPACE.valid_joints
    rng = np.random.default_rng(3)
    gains = rng.random((members, len(valid))).astype(np.float32)
    gains[:, 0] = 0.0
    gains[0, 1:] = -np.inf  # rests
    gains[1, valid != VISIT] = -np.inf  # one contact open
    gains[2, rng.random(len(valid)) < 0.5] = -np.inf
    gains[:, 0] = 0.0
    # What is picked is the same every time; found once, ten thousand draws take seconds.
    picks = [choose(gains, EFFORT, capacity, rng, explore=explore).allocation for _ in range(2)]
    np.testing.assert_array_equal(picks[0].joints, picks[1].joints)
    monkeypatch.setattr(choosing, "allocate_offers", lambda *_, **__: picks[0])
    seen = np.zeros((members, SPACE.n_joint))
    stated = np.full((members, SPACE.n_joint), np.nan)
    for _ in range(draws):
        choice = choose(gains, EFFORT, capacity, rng, explore=explore)
        seen[np.arange(members), choice.joints] += 1
        before = stated[np.arange(members), choice.joints]
        new = np.isnan(before)
        np.testing.assert_allclose(before[~new], choice.propensities[~new])
        stated[np.arange(members), choice.joints] = choice.propensities
    met = ~np.isnan(stated)
    expected = _all_chances(gains, choice)
    np.testing.assert_allclose(stated[met], expected[met])
    np.testing.assert_allclose(expected.sum(axis=1), 1.0)
    counts = expected * draws
    assert (np.abs(seen - counts) <= 5.5 * np.sqrt(counts * (1 - expected)) + 5).all()
    often = counts >= 10
    misfit = ((seen - counts) ** 2 / (counts * (1 - expected) + 1e-300))[often & (expected < 1)]
    assert misfit.mean() == pytest.approx(1.0, abs=5 * np.sqrt(2 / misfit.size))
    rare = ~often & (expected > 0)
    if rare.any():
        assert seen[rare].sum() == pytest.approx(counts[rare].sum(), abs=5 * np.sqrt(counts[rare].sum()))
    assert (seen[expected == 0] == 0).all()
    assert expected[0, NOTHING] == 1.0
    # Nothing that is open, allowed, and fits into the week is without a chance.
    limits = capacity.limits(EFFORT, members)
    possible = limits.allowed & (limits.use <= limits.room[:, None]).all(axis=0)
    assert (expected[:, valid][np.isfinite(gains) & possible[valid]] > 0).all()


FEW = ActionSpace(factors=(Factor(name="modality", levels=("NONE", "CALL", "TEXT", "VISIT")),))
FEW_MINUTES = Effort(FEW, {"modality": {"CALL": 15, "TEXT": 15, "VISIT": 75}})


@pytest.mark.parametrize("limits", [{}, {"weekly_contacts": {"modality": {"VISIT": 2}}}])
def test_stated_chances_are_those_of_the_lots_where_gains_tie(limits):
    gains = np.repeat(np.asarray([[0.0, 0.01, 0.01, 0.05]]), 8, axis=0)
    for seed in range(20):
        capacity = Capacity(minutes=20.0, **limits)
        choice = choose(gains, FEW_MINUTES, capacity, np.random.default_rng(seed), explore=0.7)
        by_lot = choice.lots.chances(gains)
        expected = np.where(choice.joints == choice.allocation.joints, 1 - by_lot.sum(axis=1), 0.0)
        expected += by_lot[np.arange(8), choice.joints]
        np.testing.assert_allclose(choice.propensities, expected)


@pytest.mark.long
def test_weighted_by_its_chance_every_action_counts_once_where_gains_tie():
    gains = np.repeat(np.asarray([[0.0, 0.01, 0.01, 0.05]]), 8, axis=0)
    weighted, draws, rng = np.zeros((8, 4)), 2_000, np.random.default_rng(0)
    for _ in range(draws):
        choice = choose(gains, FEW_MINUTES, Capacity(minutes=20.0), rng, explore=0.7)
        weighted[np.arange(8), choice.joints] += 1 / choice.propensities
    np.testing.assert_allclose(weighted.mean(axis=0) / draws, 1.0, atol=0.05)


def _all_chances(gains: np.ndarray, choice) -> np.ndarray:
    """Chance of every action: what is picked when nothing is drawn, and what is drawn."""
    picked = choice.allocation.joints
    by_lot = choice.lots.chances(gains)
    made = np.zeros((len(gains), SPACE.n_joint))
    made[:, SPACE.valid_joints] = by_lot
    made[np.arange(len(gains)), picked] += 1 - by_lot.sum(axis=1)
    return made


def test_most_draws_are_of_what_gains_most_of_its_kind():
    gains = np.random.default_rng(0).random((500, len(SPACE.valid_joints))).astype(np.float32)
    lots = make_lots(SPACE, Capacity(minutes=2.9).limits(EFFORT, 500), 0.2, 500)
    chances = lots.chances(gains)
    home = SPACE.joint_levels[SPACE.valid_joints, 0] == SPACE["modality"].levels.index("HOME_VISIT")
    best = np.sort(chances[:, home], axis=1)[:, ::-1]
    np.testing.assert_allclose(best[:, 0] / best[:, 3], 4.0)
    assert (best[:, :10].sum(axis=1) > 0.5 * best.sum(axis=1)).all()
    np.testing.assert_array_equal(gains[:, home].argmax(axis=1), chances[:, home].argmax(axis=1))
    np.testing.assert_allclose(chances.sum(axis=1), lots.share)


@pytest.mark.parametrize("explore", [0.1, 0.2, 0.5])
def test_what_is_set_aside_is_used(explore):
    """Draws take their share of the minutes but for less than a contact, and picks all the rest that they can use."""
    gains = np.random.default_rng(0).random((2_000, len(SPACE.valid_joints))).astype(np.float32)
    gains[:, 0] = 0
    capacity = Capacity(minutes=2.9)
    room = 2.9 * 2_000
    choice = choose(gains, EFFORT, capacity, np.random.default_rng(1), explore=explore)
    assert explore * room - 75 < EFFORT.minutes[choice.joints[choice.drawn]].sum() <= explore * room
    picked = EFFORT.minutes[choice.allocation.joints].sum()
    assert picked > (1 - explore) * room - 75
    used = EFFORT.minutes[choice.joints].sum()
    assert used <= room
    # What was picked for members who were then drawn is all that stays unused.
    assert used > room - 150 - 2 * choice.lots.share * picked


def test_minutes_that_draws_cannot_use_are_picked():
    gains = np.random.default_rng(0).random((400, len(SPACE.valid_joints))).astype(np.float32)
    gains[:, 0] = 0
    visits = tuple({"modality": each} for each in SPACE["modality"].levels[1:] if each != "HOME_VISIT")
    capacity = Capacity(minutes=10.0, weekly_contacts={"modality": {"HOME_VISIT": 20}}, forbidden=visits)
    choice = choose(gains, EFFORT, capacity, np.random.default_rng(1), explore=0.5)
    assert (choice.drawn & (choice.joints != NOTHING)).sum() == 10
    assert (choice.joints != NOTHING).sum() >= 18


def test_exploring_needs_a_limit_and_enough_of_it(table):
    with pytest.raises(UserError, match="there must be one"):
        worklist_of(table, Capacity(), explore=0.1)
    with pytest.raises(UserError, match="less than one contact a week"):
        worklist_of(table, Capacity(minutes=1.0), explore=0.1)
    with pytest.raises(UserError, match="explore"):
        worklist_of(table, Capacity(minutes=1.0), explore=1.5)


@pytest.mark.parametrize(("minutes", "explore"), [(75.0, 0.01999999), (75.0, 1e-9), (1.51, 0.9933), (1.5, 0.0001)])
def test_the_share_that_is_said_to_be_enough_is_and_is_not_the_one_that_was_given(minutes, explore):
    gains = np.random.default_rng(0).random((50, len(SPACE.valid_joints))).astype(np.float32)
    with pytest.raises(UserError, match="explore a larger share, at least") as problem:
        choose(gains, EFFORT, minutes, np.random.default_rng(0), explore=explore)
    given, enough = str(problem.value).split()[0], str(problem.value).split()[-1]
    assert given != enough
    assert float(given) == explore
    choose(gains, EFFORT, minutes, np.random.default_rng(0), explore=float(enough))


def test_same_seed_same_list(table):
    first, second = (worklist_of(table, Capacity(minutes=20.0), explore=0.4) for _ in range(2))
    pd.testing.assert_frame_equal(first.rows, second.rows)
    pd.testing.assert_frame_equal(first.chances, second.chances)


@pytest.mark.parametrize(
    "capacity",
    [
        Capacity(minutes=0.0),
        Capacity(minutes=0.02),  # not even a text
        Capacity(weekly_contacts={"modality": dict.fromkeys(SPACE.factors[0].levels[1:], 0)}),
        Capacity(minutes=0.0, weekly_minutes={"provider": {"CHW": 0.0}}),
    ],
)
def test_without_staff_everybody_who_would_gain_is_below_the_line(table, capacity):
    capacity = replace(capacity, forbidden=({"modality": "EHR_COMMUNICATION"},))  # which takes no minutes here
    worklist = worklist_of(table, capacity)
    assert not len(worklist.rows)
    assert worklist.summary["below_the_line"] == "about 60"
    assert len(worklist.below) == 10
    caseload = read_caseload(table, ByRisk())
    risk = pd.Series(ByRisk().gains(caseload.observations, caseload.memory).max(axis=1), index=caseload.identifiers)
    assert risk[worklist.below.member_id].min() >= risk.nlargest(10).min()
    text = page(worklist)
    assert "Nobody of about 60 members is listed" in text
    assert "Rank 1" not in text
    assert "Of the list" not in text  # which has no shares


def test_who_is_just_below_the_line(table):
    """Nobody who is not listed would gain more by the minute than those who are named as next."""
    worklist = worklist_of(table, Capacity(minutes=8.0), explore=0.2, leave_alone=frozenset({"m000"}))
    caseload = read_caseload(table, ByRisk())
    below, chances = worklist.below, worklist.chances.set_index("member_id")
    assert len(below) == 10
    assert not set(below.member_id) & (set(worklist.rows.member_id) | {"m000"})
    gains = ByRisk().gains(caseload.observations, caseload.memory)[:, 1:]
    ratio = (gains / np.maximum(EFFORT.minutes[SPACE.valid_joints[1:]], 1)).max(axis=1)
    by_minute = pd.Series(ratio, index=caseload.identifiers)
    picked = by_minute[worklist.rows.loc[~worklist.rows.drawn, "member_id"]]
    assert by_minute[below.member_id].max() <= picked.max()
    assert by_minute[below.member_id].is_monotonic_decreasing
    unlisted = chances.index[(chances.action_modality == "NONE") & ~chances.index.isin([*below.member_id, "m000"])]
    above = by_minute[unlisted] > by_minute[below.member_id].min() + 1e-9
    assert above.sum() <= 2  # who were drawn to be left alone
    assert "Just below the line" in page(worklist)
    assert below.member_id.iloc[0] in page(worklist)
