"""Rows that are dropped, clipped or missing: what is left, and what is counted."""

import numpy as np
import pandas as pd
import pytest
from own_tables import episodes_of, facts_of, imported

from frl_env.datasets.table_import import export_table, import_table

pytestmark = pytest.mark.usefixtures("empty_store")


def test_dropped_rows_are_counted_and_end_episodes(plain_table, tmp_path):
    plain_table.loc[3, "num_ed_visits_last_week"] = 379
    plain_table.loc[5, "total_paid"] = -1
    dataset = imported(plain_table, tmp_path, on_error="drop")
    facts = facts_of(dataset)
    assert facts["repairs"] == [
        {"column": "num_ed_visits_last_week", "kind": "out of range", "rows": 1, "done": "dropped"},
        {"column": "total_paid", "kind": "out of range", "rows": 1, "done": "dropped"},
    ]
    assert facts["rows_left_out"] == 2
    episodes = episodes_of(dataset)
    assert [len(e) for e in episodes[:2]] == [2, 5], "rows 0-2, one alone, 6-11"
    assert [int(e.infos["member"][0, 0]) for e in episodes[:3]] == [0, 0, 1]
    assert episodes[1].infos["week"][0, 0] == 6


def test_clipped_numbers_stay_and_are_counted(plain_table, tmp_path):
    plain_table.loc[3, "num_ed_visits_last_week"] = 379
    plain_table.loc[4, "action_modality"] = "NONE"
    plain_table.loc[4, "action_goal"] = "DENTAL"
    plain_table.loc[9, "num_ip_visits_last_week"] = np.nan
    dataset = imported(plain_table, tmp_path, on_error="clip")
    first = episodes_of(dataset)[0]
    assert first.observations[3, 1] == 21
    assert (first.actions[4] == 0).all()
    assert len(first) == 8
    facts = facts_of(dataset)
    assert facts["rows_clipped"] == 2
    assert {(r["kind"], r["done"]) for r in facts["repairs"]} == {
        ("out of range", "clipped"), ("impossible action", "clipped"), ("missing", "dropped"),
    }  # fmt: skip


@pytest.mark.parametrize("on_error", ["drop", "clip"])
def test_what_is_no_chance_is_left_out(on_error, table, tmp_path):
    table.loc[3, "propensity"] = 0.0
    table.loc[7, "propensity_goal"] = 1.5
    table.loc[9, "propensity_goal"] = np.nan  # not known
    facts = facts_of(imported(table, tmp_path, on_error=on_error))
    assert facts["repairs"] == [
        {"column": "propensity", "kind": "not a chance", "rows": 1, "done": "dropped"},
        {"column": "propensity_goal", "kind": "not a chance", "rows": 1, "done": "dropped"},
    ]
    assert (facts["rows_left_out"], facts["rows_clipped"]) == (2, 0)
    assert facts["odd"] == ["propensity_goal: 1 rows are empty: the chance of what was done there is not known"]


def test_the_chance_of_an_impossible_action_is_not_that_of_no_contact(table, tmp_path):
    table.loc[4, ["action_modality", "action_provider"]] = ["PHONE_CALL", "NONE"]
    dataset = imported(table, tmp_path, on_error="clip")
    first = episodes_of(dataset)[0]
    assert (first.actions[4] == 0).all()
    for key in ("propensity", "factor_propensities"):
        unknown = np.isnan(first.infos[key]).any(axis=1)
        assert np.flatnonzero(unknown).tolist() == [5], "the row after the action"
    assert facts_of(dataset)["odd"][0] == "propensity: not known in 1 rows, whose action was made no contact"
    export_table(dataset, tmp_path / "again.parquet")
    again = import_table(tmp_path / "again.parquet", "tests/again-v0").load()
    np.testing.assert_array_equal(episodes_of(again)[0].infos["propensity"], first.infos["propensity"])


def test_gaps_duplicates_and_disputes(plain_table, tmp_path):
    rows = plain_table[plain_table["member_id"] == 1000].copy()
    assert len(rows) == 12
    twice, disputed = rows.iloc[[1]], rows.iloc[[3]].assign(num_calls_last_week=9.0)
    other = plain_table[plain_table["member_id"] != 1000]
    broken = pd.concat([rows.drop(index=[6, 7]), twice, disputed, other])
    dataset = imported(broken, tmp_path, on_error="drop")
    repairs = {r["kind"]: (r["rows"], r["done"]) for r in facts_of(dataset)["repairs"]}
    assert repairs == {"same row twice": (1, "dropped"), "two rows for one week": (2, "dropped"), "gap": (2, "split")}
    own = [e for e in episodes_of(dataset) if e.infos["member"][0, 0] == 0]
    assert [e.infos["week"][:, 0].tolist() for e in own] == [[0, 1, 2], [4, 5], [8, 9, 10, 11]]


def test_a_row_within_a_week_costs_none_of_the_others(plain_table, tmp_path):
    start = pd.Timestamp("2024-01-01")
    table = plain_table.assign(week=start + pd.to_timedelta(7 * plain_table["week"], unit="D"))
    stray = table[table["week"] == start + pd.Timedelta(days=28)]
    daily = [stray.assign(week=stray["week"] + pd.Timedelta(days=days)) for days in (1, 3, 6)]
    facts = facts_of(imported(pd.concat([table, *daily]), tmp_path, on_error="drop"))
    assert facts["repairs"] == [
        {"column": "week", "kind": "overlapping weeks", "rows": 3 * len(stray), "done": "dropped"}
    ]
    assert facts["rows_left_out"] == 3 * len(stray)
    assert facts["episodes"] == facts["members"] == plain_table["member_id"].nunique()
    later = table["member_id"].eq(1000) & (table["week"] >= stray["week"].iloc[0])
    moved = table.assign(week=table["week"].mask(later, table["week"] - pd.Timedelta(days=1)))
    repairs = facts_of(imported(moved, tmp_path, on_error="drop"))["repairs"]
    assert {each["kind"]: each["rows"] for each in repairs} == {"overlapping weeks": 1, "gap": 1}
