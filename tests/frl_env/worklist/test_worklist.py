"""`frl worklist`: capacities are kept, chances are as stated, and every reason is true of its row."""

import itertools
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frl_env import cli
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity, Effort
from frl_env.errors import UserError
from frl_env.parameters import MEASURES
from frl_env.worklist import Caseload, choose, choosing, make_worklist, read_caseload, write_worklist
from frl_env.worklist.drawing import make_lots
from frl_env.worklist.listing import together
from frl_env.worklist.summary import _shares
from frl_env.worklist.writing import page

EFFORT = Effort.of_levels(SPACE, {"modality": {"PHONE_CALL": 15, "SMS_TEXT": 2, "HOME_VISIT": 75, "VIDEO_VISIT": 30}})
SHORT = tuple({"modality": each} for each in ("PHONE_CALL", "SMS_TEXT", "EHR_COMMUNICATION"))
VISITED = ("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")
VISIT = int(SPACE.ravel(SPACE.encode(VISITED)))
NOTHING = int(SPACE.ravel(SPACE.null_action))


class ByRisk:
    """Gains by last week's events; remembers how many weeks it saw, and rests nobody."""

    def start_memory(self, members: int) -> np.ndarray:
        return np.zeros((members, 1), dtype=np.float32)

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        assert len(memory) == len(observations) == len(joints)
        return memory + 1

    def gains(self, observations: np.ndarray, memory: np.ndarray) -> np.ndarray:
        base = 0.01 + 0.05 * observations[:, 1] + 0.1 * observations[:, 2]
        gains = np.zeros((len(observations), len(SPACE.valid_joints)), dtype=np.float32)
        gains[:, 1:] = base[:, None] * EFFORT.minutes[SPACE.valid_joints][None, 1:] / 75
        return gains


def _table(members: int = 60, weeks: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for member in range(members):
        for week in range(weeks):
            acts = rng.random() < 0.2
            action = (
                ("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE") if acts else ("NONE", "NONE", "NONE", "ROUTINE")
            )
            state = [0, int(rng.random() < 0.1), int(rng.random() < 0.05), 0, 0, 7 * week + 30, 100.0 * member]
            group = ("White", "Black", "Other")[0 if member < 35 else 1 if member < 57 else 2]
            rows.append([f"m{member:03d}", week + 10, *state, *action, group])
    names = ["member_id", "week", *MEASURES, *(f"action_{factor.name}" for factor in SPACE), "race_ethnicity"]
    return pd.DataFrame(rows, columns=names)


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "members.parquet"
    _table().to_parquet(file)
    return file


def _listed(table, capacity: Capacity, **options):
    return make_worklist(
        read_caseload(table, ByRisk()), ByRisk(), EFFORT, capacity, np.random.default_rng(1), **options
    )


def test_caseload_remembers_the_weeks_before(tmp_path):
    frame = _table(3)
    frame = frame[~((frame.member_id == "m001") & (frame.week == 13))]  # a gap
    frame = frame[~((frame.member_id == "m002") & (frame.week == 17))]  # not here in the last week
    file = tmp_path / "members.csv"
    frame.sample(frac=1, random_state=0).to_csv(file, index=False)
    caseload = read_caseload(file, ByRisk())
    assert caseload.week == "17"
    assert caseload.identifiers.tolist() == ["m000", "m001"]
    assert caseload.memory[:, 0].tolist() == [7, 3]
    assert caseload.weeks_known.tolist() == [7, 3]
    assert [(rule.members, "earlier week" in rule.why) for rule in caseload.left_out] == [(1, True)]
    for row, member in enumerate(["m000", "m001"]):
        own = frame[(frame.member_id == member) & (frame.week > (9 if row == 0 else 13))]
        assert caseload.sums[row, 1] == own["num_ed_visits_last_week"].sum()
        contacts = frame[(frame.member_id == member) & (frame.action_modality != "NONE") & (frame.week < 17)].week
        assert caseload.since_contact[row] == (17 - contacts.max() if len(contacts) else -1)
    earlier = read_caseload(file, ByRisk(), week="12")
    assert earlier.memory[:, 0].tolist() == [2, 2, 2]
    with pytest.raises(UserError, match="no row for week 99; its last week is 17"):
        read_caseload(file, ByRisk(), week="99")


def test_a_week_to_decide_needs_neither_action_nor_outcome(tmp_path):
    file = tmp_path / "members.parquet"
    whole = _table(20).assign(reward=-1.0, terminated=False, propensity=0.5, future_ed_30d=0.0)
    whole.to_parquet(file)
    decided = read_caseload(file, ByRisk())
    last = whole.week == 17
    actions = [f"action_{factor.name}" for factor in SPACE]
    for empty in (actions, ["reward"], ["terminated"], ["propensity", "future_ed_30d"], [*actions, "reward"]):
        frame = whole.astype({"terminated": object})
        frame.loc[last, empty] = None
        frame.to_parquet(file)
        caseload = read_caseload(file, ByRisk())
        assert caseload.week == "17", empty
        assert len(caseload) == 20
        np.testing.assert_array_equal(caseload.memory, decided.memory)
        np.testing.assert_array_equal(caseload.since_contact, decided.since_contact)
    frame = whole.copy()
    frame.loc[frame.week == 14, "action_goal"] = "JUGGLING"  # what was done then is not known: remembered from after it
    frame.to_parquet(file)
    assert read_caseload(file, ByRisk()).weeks_known.tolist() == [2] * 20


def test_whose_row_cannot_be_used_is_told_apart_from_who_left(tmp_path):
    file = tmp_path / "members.parquet"
    frame = _table(40)
    frame = frame[~((frame.member_id < "m012") & (frame.week == 17))]
    garbled = (frame.member_id > "m024") & (frame.week == 17)
    frame.loc[garbled, "num_ed_visits_last_week"] = np.nan
    frame.to_parquet(file)
    caseload = read_caseload(file, ByRisk())
    assert len(caseload) == 13
    assert [(each.members, each.why.split()[1]) for each in caseload.left_out] == [(15, "cell"), (12, "last")]
    frame.loc[frame.week == 17, "num_ed_visits_last_week"] = np.nan
    frame.to_parquet(file)
    with pytest.raises(UserError, match="no row after week 16 can be used"):  # and not the list of a week ago
        read_caseload(file, ByRisk())
    with pytest.raises(UserError, match="no row of week 17 can be used"):
        read_caseload(file, ByRisk(), week="17")
    assert read_caseload(file, ByRisk(), week="16").week == "16"


def test_members_rest_after_a_gap_too(tmp_path):
    file = tmp_path / "members.parquet"
    frame = _table(12)
    frame.loc[frame.week == 15, [f"action_{factor.name}" for factor in SPACE]] = VISITED
    frame[frame.week != 16].to_parquet(file)
    caseload = read_caseload(file, ByRisk())
    assert caseload.weeks_known.tolist() == [0] * 12
    assert caseload.since_contact.tolist() == [2] * 12
    assert not len(_listed(file, Capacity(minutes=75.0), least_weeks=3).rows)
    reasons = _listed(file, Capacity(minutes=75.0), least_weeks=2).rows.reason
    assert reasons.str.endswith("the week before is not on record; last contact on record 2 weeks ago").all()


def test_the_list_keeps_the_capacity_and_serves_who_gains_most(table):
    worklist = _listed(table, Capacity(minutes=10.0))
    assert worklist.rows["minutes"].sum() <= 10.0 * 60
    caseload = read_caseload(table, ByRisk())
    risk = dict(zip(caseload.identifiers, caseload.observations[:, 1] + 2 * caseload.observations[:, 2], strict=True))
    listed = set(worklist.rows.member_id)
    assert min(risk[each] for each in listed) >= 0
    assert {each for each, value in risk.items() if value > 0} <= listed
    assert worklist.rows["rank"].tolist() == list(range(1, len(listed) + 1))
    assert len(worklist.chances) == 60


def test_forbidden_rest_and_do_not_contact(table):
    capacity = Capacity(minutes=30.0, forbidden=({"modality": "HOME_VISIT"},))
    worklist = _listed(table, capacity, least_weeks=4, leave_alone=frozenset({"m000", "m001"}))
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
        _listed(table, capacity, leave_alone=frozenset(f"m{n:03d}" for n in range(60)))


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
        _listed(table, Capacity(), explore=0.1)
    with pytest.raises(UserError, match="less than one contact a week"):
        _listed(table, Capacity(minutes=1.0), explore=0.1)
    with pytest.raises(UserError, match="explore"):
        _listed(table, Capacity(minutes=1.0), explore=1.5)


def test_same_seed_same_list(table):
    first, second = (_listed(table, Capacity(minutes=20.0), explore=0.4) for _ in range(2))
    pd.testing.assert_frame_equal(first.rows, second.rows)
    pd.testing.assert_frame_equal(first.chances, second.chances)


def test_reasons_are_true_of_the_row(table):
    worklist = _listed(table, Capacity(minutes=75.0))
    caseload = read_caseload(table, ByRisk())
    place = {each: row for row, each in enumerate(caseload.identifiers)}
    assert len(worklist.rows) > 20
    for member, reason in zip(worklist.rows.member_id, worklist.rows.reason, strict=True):
        row = place[member]
        last = re.search(r"(\d+) ED visits? last week", reason)
        assert (int(last[1]) if last else 0) == caseload.observations[row, 1]
        since = re.search(r"last contact (?:on record )?(\d+) weeks? ago", reason)
        assert (int(since[1]) if since else -1) == caseload.since_contact[row]
        several = re.search(r"(\d+) ED visits? in (\d+) weeks", reason)
        if several:
            assert int(several[1]) == caseload.sums[row, 1] > caseload.observations[row, 1]


CLAUSES = (
    (r"drawn by lot, to learn from", lambda said, at: at["drawn"]),
    (r"(\d+) ED visits? last week", lambda said, at: int(said[1]) == at["last"][1] > 0),
    (r"(\d+) hospital stays? last week", lambda said, at: int(said[1]) == at["last"][2] > 0),
    (r"(\d+) ED visits? in (\d+) weeks", lambda said, at: (int(said[1]), int(said[2])) == (at["sums"][1], at["weeks"])),
    (
        r"(\d+) hospital stays? in (\d+) weeks",
        lambda said, at: (int(said[1]), int(said[2])) == (at["sums"][2], at["weeks"]),
    ),
    (r"the week before is not on record", lambda said, at: at["known"] == 0),
    (r"no contact in (\d+) weeks", lambda said, at: int(said[1]) == at["known"] > 1 and at["since"] == -1),
    (r"no contact in the one week on record", lambda said, at: at["known"] == 1 and at["since"] == -1),
    (r"last contact (\d+) weeks? ago", lambda said, at: at["known"] >= int(said[1]) == at["since"] > 0),
    (r"last contact on record (\d+) weeks? ago", lambda said, at: at["known"] < int(said[1]) == at["since"]),
)
"""Every clause that a reason may have here, and when it is true."""


def test_every_clause_of_every_reason_is_true_of_the_table(tmp_path):
    frame = _table(members=80, weeks=20)
    frame = frame[~((frame.member_id < "m020") & (frame.week == 24))]  # gaps
    frame = frame[(frame.member_id < "m070") | (frame.week == 29)]  # new members
    frame = frame[~frame.member_id.between("m060", "m069") | (frame.week >= 28)]  # of one week before
    frame = frame[~frame.member_id.between("m050", "m059") | (frame.week >= 26)]  # of three
    file = tmp_path / "members.parquet"
    frame.to_parquet(file)
    worklist = _listed(file, Capacity(minutes=75.0), explore=0.3)
    assert len(worklist.rows) > 40
    met = set()
    for member, reason, drawn in worklist.rows[["member_id", "reason", "drawn"]].itertuples(index=False):
        own = frame[frame.member_id == member].set_index("week").sort_index()
        first = max([week + 1 for week in range(10, 29) if week not in own.index], default=10)
        past = own.loc[first:28]
        window = own.loc[max(first, 29 - 12) : 29]
        contacts = own.index[(own.action_modality != "NONE") & (own.index < 29)]
        at = {
            "drawn": drawn,
            "last": own.loc[29, list(MEASURES)].tolist(),
            "sums": window[list(MEASURES)].sum().tolist(),
            "weeks": len(window),
            "known": len(past),
            "since": 29 - contacts.max() if len(contacts) else -1,
        }
        for clause in reason.split("; "):
            fits = [(number, re.fullmatch(pattern, clause)) for number, (pattern, _) in enumerate(CLAUSES)]
            number, said = next((number, said) for number, said in fits if said)
            assert CLAUSES[number][1](said, at), (clause, at)
            met.add(number)
    assert met == set(range(len(CLAUSES)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=5))
def test_no_small_number_follows_from_shares(cells):
    labels = np.repeat([f"g{i}" for i in range(len(cells))], [a + b for a, b in cells])
    if len(labels) < 11:
        return  # of so few nothing at all is told
    listed = np.flatnonzero(np.concatenate([np.arange(a + b) < a for a, b in cells]))
    shown = _shares(labels, listed, np.ones(len(labels)))
    sizes = [round(each["of_caseload"] * len(labels)) for each in shown]
    assert not any(0 < size < 11 for size in [*sizes, len(labels) - sum(sizes)])
    known = [
        (round(each["of_list"] * len(listed)), size)
        for each, size in zip(shown, sizes, strict=True)
        if each["of_list"] is not None
    ]
    assert not any(0 < part < 11 or 0 < size - part < 11 for part, size in known)
    if len(listed) >= 11:  # the whole is told: what is left of it is no small number either
        assert not 0 < len(listed) - sum(part for part, _ in known) < 11


def test_a_short_list_tells_no_count(table):
    capacity = Capacity(minutes=8.0, weekly_contacts={"modality": {"HOME_VISIT": 5}}, forbidden=SHORT)
    worklist = _listed(table, capacity)
    assert 0 < len(worklist.rows) < 11
    said = worklist.summary
    assert said["listed"] == "fewer than 11"
    assert [each["used"] for each in said["capacity"]] == [None, None]
    assert said["events_avoided"] is None
    assert all(each["of_list"] is None for each in said["groups"]["race_ethnicity"])
    assert f'<td class="number">{worklist.use[0].used:,.0f}</td>' in page(worklist)  # who holds the list may know


class Explained(ByRisk):
    """The same, which also says what its gains are made of."""

    def predict_gains(self, observations: np.ndarray, *, memory: np.ndarray) -> SimpleNamespace:
        gains = self.gains(observations, memory)
        return SimpleNamespace(
            gains=gains,
            standard_error=gains / 4,
            expected_events=1.0 + observations[:, 1],
            similar_contacts=np.arange(gains.shape[1]),
        )


def test_sections_are_by_who_goes(table):
    policy = ByRisk()
    policy.config = SimpleNamespace(skill_factor="goal")
    caseload = read_caseload(table, policy)
    made = [
        make_worklist(caseload, each, EFFORT, Capacity(minutes=20.0), np.random.default_rng(1))
        for each in (ByRisk(), policy)
    ]
    assert [each.role for each in made] == ["provider", "goal"]
    assert ">Who goes</" in page(made[1])


def test_events_avoided_with_interval_and_need_by_group(table):
    caseload = read_caseload(table, Explained())
    rng = np.random.default_rng(1)
    worklist = make_worklist(caseload, Explained(), EFFORT, Capacity(minutes=40.0), rng)
    total, low, high = worklist.summary["events_avoided"]
    gain = worklist.rows["gain_per_1000"].sum() / 1_000
    assert total == pytest.approx(gain, abs=0.005)
    assert (low, high) == pytest.approx((gain * (1 - 1.96 / 4), gain * (1 + 1.96 / 4)), abs=0.01)
    need = {each["group"]: each["of_need"] for each in worklist.summary["groups"]["race_ethnicity"]}
    expected = 1.0 + caseload.observations[:, 1]
    for group, share in need.items():
        own = expected[caseload.groups["race_ethnicity"] == group].sum() / expected.sum()
        assert share == pytest.approx(own, abs=0.005)
    assert together(np.ones(3), np.asarray([0.1, 0.1, np.nan])) is None
    assert f"{total:.1f} events" in re.sub(r"\s+", " ", page(worklist))


def test_who_is_just_below_the_line(table):
    """Nobody who is not listed would gain more by the minute than those who are named as next."""
    worklist = _listed(table, Capacity(minutes=8.0), explore=0.2, leave_alone=frozenset({"m000"}))
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


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), minutes=st.floats(2.0, 40.0), explore=st.sampled_from([0.0, 0.5]))
def test_no_small_number_follows_from_what_is_told_of_the_list(seed, minutes, explore):
    """Numbers of people in the summary, and what is left of their sums, are none of 1 to 10."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(11, 120))
    observations = rng.integers(0, 2, (n, len(MEASURES))).astype(np.float32)
    caseload = Caseload(
        week="1", identifiers=np.asarray([f"m{i}" for i in range(n)], dtype=object), states=tuple(MEASURES),
        observations=observations, sums=observations.astype(float), memory=np.zeros((n, 1), dtype=np.float32),
        weeks_known=np.ones(n, dtype=np.int64), since_contact=rng.integers(-1, 4, n), groups={}, left_out=(),
    )  # fmt: skip
    try:
        worklist = make_worklist(
            caseload, ByRisk(), EFFORT, Capacity(minutes=minutes), rng, explore=explore, least_weeks=2
        )
    except UserError:
        return  # the share is too small
    said = worklist.summary
    told = [said["below_the_line"], said["caseload"], *(each["members"] for each in said["left_out"])]
    assert all(re.fullmatch(r"about \d*[02468]0|0|fewer than 11", each) for each in told)
    listed = len(worklist.rows)
    assert (said["listed"] == str(listed)) == (listed not in range(1, 11) and n - listed not in range(1, 11))
    assert said["listed"] in (str(listed), "fewer than 11", "all but a few")


def test_a_small_part_of_a_long_list_is_not_told(table):
    capacity = Capacity(
        minutes=40.0, weekly_contacts={"modality": {"HOME_VISIT": 20, "VIDEO_VISIT": 4}}, forbidden=SHORT
    )
    worklist = _listed(table, capacity)
    met = worklist.rows.modality.value_counts()
    assert met["HOME_VISIT"] > 10 > met["VIDEO_VISIT"] > 0
    told = {each["what"]: each["used"] for each in worklist.summary["capacity"]}
    assert told["contacts of VIDEO_VISIT"] is None
    assert told["minutes"] is not None
    rest = len(worklist.rows) - met["HOME_VISIT"]
    assert (told["contacts of HOME_VISIT"] is None) == (0 < rest < 11)


def test_small_groups_and_small_counts_are_not_told(table):
    worklist = _listed(table, Capacity(minutes=60.0), leave_alone=frozenset({"m000"}))
    groups = {each["group"] for each in worklist.summary["groups"]["race_ethnicity"]}
    assert "Other" not in groups  # three people
    assert len(groups) != 2  # and they don't follow from the two others
    assert worklist.summary["left_out"][0]["members"] == "fewer than 11"


def test_files_are_whole_and_harmless(table, tmp_path):
    worklist = _listed(table, Capacity(minutes=20.0))
    rows = worklist.rows.assign(member_id=[f"=1+{n}" for n in range(len(worklist.rows))])
    write_worklist(replace(worklist, rows=rows), tmp_path / "formulas.csv")
    assert pd.read_csv(tmp_path / "formulas.csv").member_id.str.startswith("'=").all()
    for ending in (".parquet", ".csv", ".html"):
        file = tmp_path / f"list{ending}"
        chances = write_worklist(worklist, file, force=True)
        assert file.exists()
        assert len(pd.read_parquet(chances)) == 60
    assert pd.read_parquet(tmp_path / "list.parquet").equals(worklist.rows)
    assert not [each for each in tmp_path.iterdir() if each.name.startswith(".")]
    with pytest.raises(UserError, match="exists already"):
        write_worklist(worklist, tmp_path / "list.csv")
    with pytest.raises(UserError, match=r"ends in \.parquet"):
        write_worklist(worklist, tmp_path / "list.xlsx")


@pytest.mark.parametrize("problem", [OSError(28, "No space left on device"), OSError("short"), KeyboardInterrupt()])
def test_nothing_half_written_stays_and_nothing_is_lost(table, tmp_path, monkeypatch, problem):
    worklist = _listed(table, Capacity(minutes=20.0))
    file = tmp_path / "list.csv"
    write_worklist(worklist, file)
    before = {each.name: each.read_bytes() for each in tmp_path.iterdir()}

    def fail(self, place, **options):
        place.write_text("half a li")
        raise problem

    monkeypatch.setattr(pd.DataFrame, "to_csv", fail)
    with pytest.raises(KeyboardInterrupt if isinstance(problem, KeyboardInterrupt) else UserError) as said:
        write_worklist(worklist, file, force=True)
    assert "None" not in str(said.value)
    assert {each.name: each.read_bytes() for each in tmp_path.iterdir()} == before
    with pytest.raises((KeyboardInterrupt, UserError)):
        write_worklist(worklist, tmp_path / "new.csv")
    assert {each.name for each in tmp_path.iterdir()} == set(before)


def test_a_half_written_table_is_one_line(table, tmp_path):
    half = tmp_path / "half.parquet"
    half.write_bytes(table.read_bytes()[:-200])
    with pytest.raises(UserError) as said:
        read_caseload(half, ByRisk())
    assert "\n" not in str(said.value)


def test_weeks_are_given_as_the_table_writes_them(tmp_path):
    frame = _table(12)
    for written, week in (("%G-W%V", "2026-W07"), ("%Y-%m-%d", "2026-02-09"), ("%Y%m%d", "20260209")):
        days = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * (frame.week - 10), unit="D")
        frame.assign(week=days.dt.strftime(written)).to_parquet(tmp_path / "t.parquet")
        assert read_caseload(tmp_path / "t.parquet", ByRisk(), week=week).week == "2026-02-09"
        with pytest.raises(UserError, match="is no date"):
            read_caseload(tmp_path / "t.parquet", ByRisk(), week="soon")


def test_the_page_says_first_what_it_is_not(table):
    text = page(_listed(table, Capacity(minutes=20.0)))
    assert text.index("Not to guide care") < text.index("<table")
    assert "http" not in text.replace("http-equiv", "")
    assert text.count("<h2") == len(re.findall("<section", text))
    assert "@media (max-width" not in text  # a sheet of paper is narrow, too, and prints tables all the same


def _frl(*arguments: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def test_command_from_a_trained_model(tmp_path, capsys):
    import d3rlpy

    from frl_algos import FactoredAWRConfig, load_replay_buffer, save_model
    from frl_env.datasets import ensure_dataset, export_table

    dataset = ensure_dataset("frl/medicaid-synthetic-small-v0")
    members, model = tmp_path / "members.parquet", tmp_path / "policy.safetensors"
    export_table(dataset, members)
    algorithm = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider").create()
    algorithm.fit(
        load_replay_buffer(dataset), n_steps=2, show_progress=False, logger_adapter=d3rlpy.logging.NoopAdapterFactory()
    )
    save_model(algorithm, model)
    out = tmp_path / "worklist.parquet"
    arguments = ["worklist", "--model", model, "--members", members, "--capacity", "2.9", "-o", out, "--explore", "0.2"]
    assert _frl(*arguments) == 0
    rows = pd.read_parquet(out)
    assert 0 < rows["minutes"].sum() <= 2.9 * len(pd.read_parquet(tmp_path / "worklist-chances.parquet"))
    assert (rows["gain_low"] <= rows["gain_per_1000"]).all()
    assert rows["reason"].str.contains("times as many events as the average member here").all()
    said = capsys.readouterr().out
    assert re.search(r"expected to avoid \d+\.\d events \(-?\d+\.\d to \d+\.\d\)", said)
    similar = rows["reason"].str.extract(r"(?:rests on (.*) answered|(no) answered contact)")
    similar = similar[0].fillna(similar[1])
    assert similar.str.fullmatch(r"fewer than 11|no|[1-9][1-9]|[2-9]0|\d[\d,]{2,}").all()
    algorithm.save(str(tmp_path / "policy.d3"))  # what `make run` leaves
    arguments[2] = tmp_path / "policy.d3"
    assert _frl(*arguments, "--force") == 0
    pd.testing.assert_frame_equal(pd.read_parquet(out), rows)
    (tmp_path / "alone.txt").write_text("nobody-of-these\n")
    assert _frl(*arguments, "--force", "--leave-alone", tmp_path / "alone.txt") == 0
    assert "nobody on the caseload is in" in capsys.readouterr().out
    stock = d3rlpy.algos.DiscreteBCConfig().create()
    stock.create_impl((7,), 1080)
    stock.save(str(tmp_path / "stock.d3"))
    assert _frl("worklist", "--model", tmp_path / "stock.d3", *arguments[3:], "--force") == 2
    assert "knows no gains by member" in capsys.readouterr().err
    assert _frl(*arguments) == 2
    assert "exists already" in capsys.readouterr().err
    assert (
        _frl("worklist", "--model", members, "--members", members, "--capacity", "2.9", "-o", tmp_path / "b.csv") == 2
    )
    assert _frl("worklist", "--model", model, "--members", members, "--capacity", "x", "-o", tmp_path / "b.csv") == 2
    assert "no number of minutes" in capsys.readouterr().err


def test_two_weeks_summaries_do_not_tell_how_few_left(tmp_path):
    """All members stay but three: nothing in the two summaries differs by a number of 1 to 10 people."""
    frame = _table(130, 4)
    gone = frame.member_id.isin(["m003", "m040", "m101"]) & (frame.week == 13)
    file = tmp_path / "members.parquet"
    frame[~gone].to_parquet(file)
    told = []
    for week in ("12", "13"):
        caseload = read_caseload(file, ByRisk(), week=week)
        made = make_worklist(caseload, ByRisk(), EFFORT, Capacity(minutes=10.0), np.random.default_rng(1))
        told.append(made.summary)
    before, after = told
    assert before["caseload"] == after["caseload"] == "about 120"
    assert [each["of"] for each in before["capacity"]] == [each["of"] for each in after["capacity"]]
    groups = zip(before["groups"]["race_ethnicity"], after["groups"]["race_ethnicity"], strict=True)
    for one, other in groups:
        assert 120 * abs(one["of_caseload"] - other["of_caseload"]) < 3
        assert one["of_caseload"] == round(one["of_caseload"], 2)


class _Page(HTMLParser):
    """What a reader with a screen reader or a keyboard needs of the page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio of two colours #rrggbb or #rgb."""

    def light(colour: str) -> float:
        digits = colour if len(colour) == 6 else "".join(2 * each for each in colour)
        parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    lights = sorted((light(one), light(other)))
    return (lights[1] + 0.05) / (lights[0] + 0.05)


def test_the_page_can_be_read_by_everybody(table):
    text = page(_listed(table, Capacity(minutes=8.0), explore=0.2))
    seen = _Page(text)
    by_tag = {tag: [attributes for each, attributes in seen.tags if each == tag] for tag, _ in seen.tags}
    assert by_tag["html"][0]["lang"] == "en"
    assert "<title>Worklist, week 17</title>" in text
    assert seen.headings[0] == "h1"
    assert seen.headings.count("h1") == 1
    assert "h3" not in seen.headings
    assert all(each.get("scope") in ("col", "row") for each in by_tag["th"])
    assert len(by_tag["main"]) == len(by_tag["header"]) == 1
    known = {attributes["id"] for _, attributes in seen.tags if attributes.get("id")}
    assert all(each["aria-labelledby"] in known for each in by_tag["section"])
    assert all(each.get("type") == "button" for each in by_tag["button"])
    assert "aria-sort" in text
    assert "a" not in by_tag
    for block in re.findall(r":root \{([^}]*)\}", text):
        colours = dict(re.findall(r"--(\w+): #(\w+)", block))
        for ink, paper in itertools.product(("ink", "quiet"), ("paper", "note")):
            if {ink, paper} <= set(colours):
                assert _contrast(colours[ink], colours[paper]) >= 4.5, (ink, paper)
        if "focus" in colours:
            assert _contrast(colours["focus"], colours["paper"]) >= 3
