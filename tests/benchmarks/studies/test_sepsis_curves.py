"""Learning curves beside published ones: exact values of what is learned from few episodes."""

import pytest

from benchmarks.result_records.figures import read_figure
from benchmarks.studies import sepsis_curves
from benchmarks.worlds.sepsis_treatments import SepsisTreatments

FEW = sepsis_curves.Size(0.1, 40, 0.1, 0.2)


def test_a_row_has_medians_and_the_span():
    found = [{"factored_awr_told_nothing_drawn": value} for value in (0.5, 0.1, 0.2)]
    row = sepsis_curves.row(FEW, found)
    assert row["factored_awr_told_nothing_drawn"] == 0.2
    assert (row["factored_awr_told_nothing_drawn_low"], row["factored_awr_told_nothing_drawn_high"]) == (0.1, 0.5)
    assert row["logged"] == pytest.approx(0.4969, abs=1e-4)


@pytest.mark.long
def test_the_command_values_what_is_learned_and_goes_on(tmp_path, monkeypatch, capsys, own_figures):
    monkeypatch.setattr(sepsis_curves, "SIZES", (FEW,))
    command = ["--seeds", "2", "--steps", "30", "--out", str(tmp_path), "--figure"]
    sepsis_curves.main(command)
    (row,) = read_figure("sepsis_curves").rows
    world = SepsisTreatments(epsilon=1.0)
    worst, best = -1.0, world.published_value(world.process.best_policy)
    values = [row[f"{name}_{word}"] for name in sepsis_curves.ALGORITHMS for word in sepsis_curves.MODES.values()]
    assert all(worst <= value <= best + 1e-9 for value in values)
    assert len(set(values)) == len(values)  # each algorithm and mode is another policy
    monkeypatch.setattr(sepsis_curves, "trained", pytest.fail)  # nothing is done twice
    sepsis_curves.main(command)
    assert read_figure("sepsis_curves").rows == [row]
