"""What `make run` promises, in full. Slow: about five minutes on two cores."""

import json

import pytest

from benchmarks import run


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_factored_awr_beats_its_teachers_in_both_modes(tmp_path):
    run.main(["--algo", "factored_awr", "--out", str(tmp_path)])
    card = json.loads((tmp_path / "scorecard.json").read_text())
    assert {row["mode"] for row in card["runs"]} == {"stochastic", "greedy"}
    for row in card["runs"]:
        assert row["difference_to_behaviour"] > 3 * row["difference_se"], row
        assert row["contacts_per_week"] > 0.05, "collapsed to 'no contact'"
