import pytest

from benchmarks.result_records.code_key import ROOT
from benchmarks.speed import preparing
from frl_env import UserError


def _run(seconds, peak):
    return {"seconds": seconds, "processor": seconds / 2, "start": 400.0, "peak": peak}


def test_shares_are_of_the_medians_and_of_each_pair():
    found = {"abc": [_run(100.0, 5_400.0), _run(200.0, 5_400.0)], "today": [_run(60.0, 1_400.0), _run(80.0, 1_400.0)]}
    before, today = preparing.summed_up(found, rows=2_000_000, mapped=200.0)
    assert (before["packages"], before["seconds"], before["above"]) == ("abc", 150.0, 5_000.0)
    assert today["time_share"] == today["processor_share"] == pytest.approx(70 / 150)
    assert (today["time_least"], today["time_most"], today["pairs"]) == (0.4, 0.6, 2)
    assert today["peak_share"] == pytest.approx(1_400 / 5_400)
    assert today["above_share"] == pytest.approx(0.2)
    assert today["bytes"] == pytest.approx(400), "800 MB beyond the map, of two million rows"


def test_one_build_has_no_shares():
    (row,) = preparing.summed_up({"today": [_run(60.0, 500.0)]}, rows=1_000, mapped=200.0)
    assert row["bytes"] == 0, "all that it takes is the map"
    assert "time_share" not in row


@pytest.mark.long
def test_preparing_is_measured_in_a_process_that_has_loaded_what_it_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(preparing, "SIMULATED", 20)
    preparing.write_rows(tmp_path, 100)
    took = preparing.prepare(ROOT, tmp_path)
    assert {*took} == {*_run(1.0, 1.0)}
    assert took["seconds"] > 0
    assert 0 < took["start"] < took["peak"]


def test_the_page_needs_an_earlier_build(tmp_path):
    with pytest.raises(UserError, match="name its commit with --before"):
        preparing.main(["--figure", "--rows", "100", "--out", str(tmp_path / "rows")])
    assert not (tmp_path / "rows").exists()


def test_a_stopped_command_goes_on_with_the_next_repetition(tmp_path, monkeypatch, capsys):
    prepared = []

    def prepare(packages, folder):
        assert (folder / "observations.npy").is_file()
        prepared.append(packages.name)
        if len(prepared) == 4:
            raise KeyboardInterrupt
        return _run(10.0 if packages.name == "before" else 5.0, 500.0)

    monkeypatch.setattr(preparing, "SIMULATED", 20)
    monkeypatch.setattr(preparing, "prepare", prepare)
    monkeypatch.setattr(preparing, "checked_out", lambda commit, folder: folder / "before")
    command = ["--rows", "500", "--before", "abc", "--repetitions", "2", "--out", str(tmp_path)]
    with pytest.raises(KeyboardInterrupt):
        preparing.main(command)
    assert not (tmp_path / "flat").exists(), "rows are no result"
    preparing.main(command)
    assert [name == "before" for name in prepared] == [True, False] * 3, "the first pair is not measured again"
    assert "0.50 of the time (0.50 to 0.50 in 2 pairs)" in capsys.readouterr().out
