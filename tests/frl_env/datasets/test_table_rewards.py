"""Where the rewards of a table come from: a column, weekly counts, or outcomes of 30 days."""

import numpy as np
import pyarrow as pa
import pytest
from own_tables import content_of, episodes_of, facts_of, imported

from frl_env.datasets.table_import import ColumnMap
from frl_env.datasets.table_import.checking.outcomes import COUNTS, ONE_STEP, Evidence, choose_rewards
from frl_env.datasets.table_import.schema.layout import lay_out
from frl_env.errors import UserError
from frl_env.parameters import MEASURES

pytestmark = pytest.mark.usefixtures("empty_store")


def test_weekly_rewards_come_back_from_outcomes_of_30_days(outcome_table, simulated, tmp_path):
    dataset = imported(outcome_table, tmp_path)
    facts = facts_of(dataset)
    assert facts["rewards"] == COUNTS
    assert facts["rewards_evidence"]["checked"] > 250
    assert facts["rewards_evidence"]["disagree"] == 0
    kept = [i for i, length in enumerate(simulated.lengths) if length > 1]
    for i, episode in zip(kept, episodes_of(dataset), strict=True):
        np.testing.assert_array_equal(episode.rewards, simulated.rewards[i, : len(episode)])
        np.testing.assert_array_equal(-episode.rewards, (episode.infos["ed_visits"] + episode.infos["ip_stays"])[1:, 0])
    assert sum(episode.rewards.sum() for episode in episodes_of(dataset)) < -3, "there are events"


def test_the_last_window_of_who_left_is_the_last_week(outcome_table, whole_table, simulated, tmp_path):
    """After the end nothing is recorded, so that the window holds the events of the last week alone."""
    outcome_table["terminated"] = whole_table["terminated"]
    assert simulated.terminated.any()
    for i, episode in enumerate(episodes_of(imported(outcome_table, tmp_path))):
        length = simulated.lengths[i] if simulated.terminated[i] else simulated.lengths[i] - 1
        np.testing.assert_array_equal(episode.rewards, simulated.rewards[i, :length])
        assert episode.terminations[-1] == simulated.terminated[i]
        if simulated.terminated[i]:
            assert not episode.observations[-1].any(), "the state after the end is not known"


def test_outcomes_that_contradict_the_counts_make_one_step_problems(outcome_table, tmp_path):
    outcome_table["future_ed_30d"] = outcome_table["future_ed_30d"].sample(frac=1, random_state=0).to_numpy()
    dataset = imported(outcome_table, tmp_path)
    facts = facts_of(dataset)
    assert facts["rewards"] == ONE_STEP
    assert "contradict" in facts["rewards_why"]
    assert dataset.total_steps == len(outcome_table)
    row = 0
    for episode in episodes_of(dataset):
        assert episode.terminations.all()
        assert not episode.truncations.any()
        table = outcome_table.iloc[row : row + len(episode)]
        np.testing.assert_array_equal(episode.rewards, -(table["future_ed_30d"] + table["future_ip_30d"]))
        np.testing.assert_array_equal(episode.observations[:-1], table[list(MEASURES)].to_numpy(np.float32))
        row += len(episode)


def test_what_rewards_are_made_of_can_be_asked_for(outcome_table, plain_table, tmp_path):
    assert facts_of(imported(outcome_table, tmp_path, rewards="one-step"))["rewards"] == ONE_STEP
    outcome_table["future_ed_30d"] += 50
    assert facts_of(imported(outcome_table, tmp_path, rewards="weekly"))["rewards"] == COUNTS
    with pytest.raises(UserError, match="one-step rewards need the columns future_ed_30d"):
        imported(plain_table, tmp_path, rewards="one-step")
    other = ColumnMap(states=("enrolled_days",))
    assert facts_of(imported(outcome_table, tmp_path, columns=other))["rewards"] == ONE_STEP
    with pytest.raises(UserError, match="weekly rewards need a reward column, or the states num_ed"):
        imported(outcome_table, tmp_path, columns=other, rewards="weekly")


def test_a_reward_that_is_not_used_need_not_be_whole(outcome_table, tmp_path):
    expected = content_of(imported(outcome_table, tmp_path, rewards="one-step"))
    table = outcome_table.assign(reward=np.nan)
    assert content_of(imported(table, tmp_path, rewards="one-step")) == expected
    with pytest.raises(UserError, match="reward: missing in"):
        imported(table, tmp_path)


def test_rows_far_apart_are_one_step_problems(outcome_table, tmp_path):
    dataset = imported(outcome_table[outcome_table["week"] % 3 == 0], tmp_path)
    assert facts_of(dataset)["rewards"] == ONE_STEP
    assert "next week is known in" in facts_of(dataset)["rewards_why"]


def test_a_missing_outcome_leaves_out_its_row_only_where_it_matters(outcome_table, tmp_path):
    outcome_table.loc[3, "future_ed_30d"] = np.nan
    assert facts_of(imported(outcome_table, tmp_path))["repairs"] == []
    with pytest.raises(UserError, match="future_ed_30d: missing in 1 row "):
        imported(outcome_table, tmp_path, rewards="one-step")
    dataset = imported(outcome_table, tmp_path, rewards="one-step", on_error="drop")
    assert dataset.total_steps == len(outcome_table) - 1
    first, second = episodes_of(dataset)[:2]
    assert len(first) == 3
    np.testing.assert_array_equal(first.observations[3], outcome_table.loc[3, list(MEASURES)].to_numpy(np.float32))
    np.testing.assert_array_equal(second.observations[0], outcome_table.loc[4, list(MEASURES)].to_numpy(np.float32))


def test_few_rows_are_not_told_as_a_reason(outcome_table):
    """Three rows with a next week may be three people's; so may three windows that contradict the counts."""
    layout = lay_out(ColumnMap(), pa.Schema.from_pandas(outcome_table, preserve_index=False))[0]
    few = choose_rewards("auto", layout, Evidence(rows=33, followed=3))
    assert few[1] == "the next week is known in fewer than 11 of 33 rows only"
    for checked in (20, 9_000):
        said = choose_rewards("auto", layout, Evidence(rows=9_000, followed=9_000, checked=checked, disagree=3))[1]
        assert f"in fewer than 11 of {checked:,} windows" in said
