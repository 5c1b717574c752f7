"""What `make run` promises, in full. Slow: about five minutes on two cores."""

import json

import pytest

from benchmarks import run


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_factored_awr_beats_its_teachers_in_both_modes_and_within_their_minutes(tmp_path):
    run.main(["--algo", "factored_awr", "--out", str(tmp_path)])
    card = json.loads((tmp_path / "scorecard.json").read_text())
    rows = {(row["mode"], row["budget"]): row for row in card["runs"]}
    assert set(rows) == {("stochastic", "team"), ("stochastic", "none"), ("greedy", "none")}
    for row in rows.values():
        assert row["difference_to_behaviour"] > 3 * row["difference_se"], row
    within = rows["stochastic", "team"]
    team = card["references"]["behaviour"]
    assert within["effort_minutes_per_week"] <= 1.01 * team["effort_minutes_per_week"]
    assert within["contacts_per_week"] > 0.02, "few contacts, of many minutes each; not none"
    for mode in ("stochastic", "greedy"):
        assert rows[mode, "none"]["contacts_per_week"] > 0.05, "collapsed to 'no contact'"
