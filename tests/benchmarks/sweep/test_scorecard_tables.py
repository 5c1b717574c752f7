"""What a scorecard's tables say of sweeps in which a run failed."""

import io

from rich.console import Console

from benchmarks.sweep.scorecard_tables import _show_fairness


def test_a_policy_whose_first_seed_failed_is_in_the_table_of_groups_with_another():
    gap = {"measure": "high_touch", "attribute": "gender", "first": "F", "second": "M"}
    gap |= {"difference": 0.1, "low": 0.0, "high": 0.2}
    entries = [("whole", 0), ("whole", 1), ("failed_first", 2), ("failed_first", 1)]
    card = {"fairness": [{"algo": algo, "seed": seed, "mode": "greedy", "gaps": [gap]} for algo, seed in entries]}
    out = Console(file=io.StringIO(), width=150)
    _show_fairness(card, out)
    text = out.file.getvalue()
    assert text.count("whole greedy") == 1
    assert "whole greedy, seed" not in text
    assert text.count("failed_first greedy") == 1
    assert "failed_first greedy, seed 1" in text
