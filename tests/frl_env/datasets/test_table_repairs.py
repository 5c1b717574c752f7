"""Rows that are dropped, clipped or missing: what is left, and what is counted."""

import numpy as np
import pandas as pd
import pytest
from own_tables import episodes_of, facts_of, imported

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
