"""What the summary of a worklist tells, and that no small number follows from it."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worklist_members import EFFORT, SHORT, VISITED, ByRisk, Explained, member_table, worklist_of

from frl_env.actions import ActionSpace, Factor
from frl_env.capacity import Capacity, Effort
from frl_env.errors import UserError
from frl_env.parameters import MEASURES
from frl_env.worklist import Caseload, make_worklist, read_caseload
from frl_env.worklist.listing import together
from frl_env.worklist.summary import Kinds, _shares, _solvable, uses
from frl_env.worklist.writing import page


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
    worklist = worklist_of(table, capacity)
    assert 0 < len(worklist.rows) < 11
    said = worklist.summary
    assert said["listed"] == "fewer than 11"
    assert [each["used"] for each in said["capacity"]] == [None, None]
    assert said["events_avoided"] is None
    assert all(each["of_list"] is None for each in said["groups"]["race_ethnicity"])
    assert f'<td class="number">{worklist.use[0].used:,.0f}</td>' in page(worklist)  # who holds the list may know


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
    assert together(np.zeros(0), np.zeros(0)) is None  # nobody is listed: no range of which 0 could be said
    assert f"{total:.1f} events" in re.sub(r"\s+", " ", page(worklist))


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
        made=np.zeros(0, dtype=np.int64),
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
    worklist = worklist_of(table, capacity)
    met = worklist.rows.modality.value_counts()
    assert met["HOME_VISIT"] > 10 > met["VIDEO_VISIT"] > 0
    told = {each["what"]: each["used"] for each in worklist.summary["capacity"]}
    assert told["contacts of VIDEO_VISIT"] is None
    # 75 H + 30 V minutes and H + V contacts would tell both numbers
    assert told["minutes"] is None
    rest = len(worklist.rows) - met["HOME_VISIT"]
    assert (told["contacts of HOME_VISIT"] is None) == (0 < rest < 11)


@pytest.mark.parametrize(
    ("counts", "limits", "hidden"),
    [
        ((40, 0, 5), ["minutes"], {"minutes"}),  # calls and visits only
        ((40, 30, 5), ["minutes"], set()),  # three kinds, and two equations
        ((40, 30, 5), ["minutes", "contacts of TEXT"], {"minutes"}),
        ((40, 30, 25), ["minutes", "contacts of TEXT"], set()),  # nothing to hide
        ((40, 30, 5), ["contacts of TEXT"], set()),
        ((4, 36, 0), ["minutes"], {"minutes"}),  # 52 minutes above 40 texts are 4 calls, or fewer contacts with a visit
        ((36, 4, 0), ["minutes"], set()),  # 52 below 40 calls may be texts and visits of any number
    ],
)
def test_small_numbers_are_no_solution_of_what_is_told(counts, limits, hidden):
    own = ActionSpace(factors=(Factor(name="way", levels=("NONE", "CALL", "TEXT", "VISIT")),), contact_factors=("way",))
    effort = Effort.of_levels(own, {"way": {"CALL": 15, "TEXT": 2, "VISIT": 75}})
    joints = np.repeat([1, 2, 3], counts)
    capacity = Capacity(
        minutes=50.0 if "minutes" in limits else None,
        weekly_contacts={"way": {"TEXT": 100}} if "contacts of TEXT" in limits else {},
        forbidden=() if counts[1] else ({"way": "TEXT"},),
    )
    use = uses(effort, capacity, joints, 500)
    assert _solvable(use, Kinds.of(effort, capacity, joints, 500), set()) == hidden


def test_small_groups_and_small_counts_are_not_told(table):
    worklist = worklist_of(table, Capacity(minutes=60.0), leave_alone=frozenset({"m000"}))
    groups = {each["group"] for each in worklist.summary["groups"]["race_ethnicity"]}
    assert "Other" not in groups  # three people
    assert len(groups) != 2  # and they don't follow from the two others
    assert worklist.summary["left_out"][0]["members"] == "fewer than 11"


def test_two_weeks_summaries_do_not_tell_how_few_left(tmp_path):
    """All members stay but three: nothing in the two summaries differs by a number of 1 to 10 people."""
    frame = member_table(130, 4)
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


def test_levels_that_no_contact_on_record_has_are_named(table):
    said = worklist_of(table, Capacity(minutes=20.0)).summary["never_made"]
    assert "provider PHARMACIST" in said
    assert "modality SMS_TEXT" in said
    assert not [each for each in said if each.split()[1] in (*VISITED, "NONE")]
    only = tuple({"provider": each} for each in ("CARE_COORDINATOR", "PHARMACIST", "THERAPIST"))
    left = worklist_of(table, Capacity(minutes=20.0, forbidden=only)).summary["never_made"]
    assert not [each for each in left if each.startswith("provider")]
    frame = pd.read_parquet(table)
    frame[frame.week == frame.week.max()].to_parquet(table)
    assert worklist_of(table, Capacity(minutes=20.0)).summary["never_made"] == []
