"""What a worklist takes from the table: the week to decide, the weeks before, and who is left out."""

import numpy as np
import pandas as pd
import pytest
from worklist_members import VISITED, ByRisk, member_table, worklist_of

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity
from frl_env.datasets import ColumnMap
from frl_env.errors import UserError
from frl_env.worklist import read_caseload


def test_caseload_remembers_the_weeks_before(tmp_path):
    frame = member_table(3)
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
    whole = member_table(20).assign(reward=-1.0, terminated=False, propensity=0.5, future_ed_30d=0.0)
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
    frame = member_table(40)
    frame = frame[~((frame.member_id < "m012") & (frame.week == 17))]
    garbled = (frame.member_id > "m024") & (frame.week == 17)
    frame.loc[garbled, "num_ed_visits_last_week"] = np.nan
    frame.to_parquet(file)
    caseload = read_caseload(file, ByRisk())
    assert len(caseload) == 13
    assert [(each.members, each.why.split()[1]) for each in caseload.left_out] == [(15, "cell"), (12, "last")]
    assert "or two rows of it differ" in caseload.left_out[0].why
    frame.loc[frame.week == 17, "num_ed_visits_last_week"] = np.nan
    frame.to_parquet(file)
    with pytest.raises(UserError, match="no row after week 16 can be used"):  # and not the list of a week ago
        read_caseload(file, ByRisk())
    with pytest.raises(UserError, match="no row of week 17 can be used"):
        read_caseload(file, ByRisk(), week="17")
    assert read_caseload(file, ByRisk(), week="16").week == "16"


def test_members_rest_after_a_gap_too(tmp_path):
    file = tmp_path / "members.parquet"
    frame = member_table(12)
    frame.loc[frame.week == 15, [f"action_{factor.name}" for factor in SPACE]] = VISITED
    frame[frame.week != 16].to_parquet(file)
    caseload = read_caseload(file, ByRisk())
    assert caseload.weeks_known.tolist() == [0] * 12
    assert caseload.since_contact.tolist() == [2] * 12
    assert not len(worklist_of(file, Capacity(minutes=75.0), least_weeks=3).rows)
    reasons = worklist_of(file, Capacity(minutes=75.0), least_weeks=2).rows.reason
    assert reasons.str.endswith("the week before is not on record; last contact on record 2 weeks ago").all()


def test_a_half_written_table_is_one_line(table, tmp_path):
    half = tmp_path / "half.parquet"
    half.write_bytes(table.read_bytes()[:-200])
    with pytest.raises(UserError) as said:
        read_caseload(half, ByRisk())
    assert "\n" not in str(said.value)


def test_weeks_are_given_as_the_table_writes_them(tmp_path):
    frame = member_table(12)
    for written, week in (("%G-W%V", "2026-W07"), ("%Y-%m-%d", "2026-02-09"), ("%Y%m%d", "20260209")):
        days = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * (frame.week - 10), unit="D")
        frame.assign(week=days.dt.strftime(written)).to_parquet(tmp_path / "t.parquet")
        assert read_caseload(tmp_path / "t.parquet", ByRisk(), week=week).week == "2026-02-09"
        with pytest.raises(UserError, match="is no date"):
            read_caseload(tmp_path / "t.parquet", ByRisk(), week="soon")


def test_who_has_no_row_of_the_week_is_told_by_where_their_rows_are(tmp_path):
    """Who is seen again later did not leave, and neither did those whose weeks begin on another day."""
    frame = member_table(72)
    number, week = frame.member_id.str[1:].astype(int), frame.week
    days = pd.to_datetime("2026-01-05") + pd.to_timedelta(7 * (week - 10), unit="D")
    days += pd.to_timedelta(np.where(number.between(36, 47), 3, 0), unit="D")
    missing = ((number < 12) & (week >= 15)) | (number.between(12, 23) & (week == 15))
    missing |= number.between(24, 35) & (week <= 15)
    states = frame["num_ed_visits_last_week"].mask(number < 6)  # no row of these members can be used
    frame = frame.assign(week=days.dt.strftime("%Y-%m-%d"), num_ed_visits_last_week=states)
    frame[~missing].to_parquet(tmp_path / "members.parquet")
    caseload = read_caseload(tmp_path / "members.parquet", ByRisk(), week="2026-02-09")
    assert caseload.identifiers.tolist() == [f"m{n:03d}" for n in range(48, 72)]
    told = {each.why: each.members for each in caseload.left_out}
    beginnings = ("their last row is of an earlier week", "their first row is of a later week")
    beginnings += ("they have rows of earlier and of later weeks", "their row begins on another day")
    assert [next(n for why, n in told.items() if why.startswith(each)) for each in beginnings] == [12, 12, 12, 12]


def test_nobody_is_listed_of_whom_the_table_says_that_they_died_or_left(tmp_path):
    file = tmp_path / "members.parquet"
    frame = member_table(40).assign(terminated=False)
    frame.loc[(frame.member_id < "m012") & (frame.week == 17), "terminated"] = True
    frame.to_parquet(file)
    caseload = read_caseload(file, ByRisk())
    assert caseload.identifiers.tolist() == [f"m{n:03d}" for n in range(12, 40)]
    assert [(each.members, "died or left for good" in each.why) for each in caseload.left_out] == [(12, True)]
    made = worklist_of(file, Capacity(minutes=75.0))
    assert set(made.chances.member_id) == set(caseload.identifiers)
    assert len(read_caseload(file, ByRisk(), week="16")) == 40
    frame.loc[frame.week == 17, "terminated"] = True
    frame.to_parquet(file)
    with pytest.raises(UserError, match=r"of every member of week 17 that they died .* \(terminated\).*ignore = "):
        read_caseload(file, ByRisk())
    assert len(read_caseload(file, ByRisk(), columns=ColumnMap(ignore=("terminated",)))) == 40
