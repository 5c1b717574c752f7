import os
import signal
import subprocess
import sys
import time

import pytest

from frl_env.calibration import ANCHORS, NOT_TESTED, judge, markdown, measure
from frl_env.calibration.sensitivity import CHANGES, sweep, sweep_markdown
from frl_env.cli import app
from frl_env.parameters import VERSION


@pytest.fixture(scope="module")
def measured():
    return measure(members=20_000, seed=3)


def test_every_anchor_is_met_on_other_members_than_those_of_the_report(measured):
    missed = {v.anchor.key: v.simulated for v in judge(measured) if not v.met}
    assert not missed


def test_a_broken_world_is_caught(measured):
    wrong = dict(measured) | {"rct_ed": 0.85, "ed_per_1000_months": float("nan")}
    assert {v.anchor.key for v in judge(wrong) if not v.met} == {"rct_ed", "ed_per_1000_months"}
    page = markdown(judge(wrong), wrong, command="frl calibrate")
    assert page.count("**missed**") == 2


def test_the_report_names_every_anchor_and_its_command(measured):
    page = markdown(judge(measured), measured, command="frl calibrate --members 20000")
    assert "frl calibrate --members 20000" in page
    assert f"Parameters {VERSION}" in page
    for group in ANCHORS.values():
        for anchor in group:
            assert anchor.low <= anchor.target <= anchor.high, anchor.key
            assert anchor.what in page
            assert anchor.certainty in "HMDA"
            assert anchor.note, "every range has a reason"
    for published, _, key in NOT_TESTED:
        assert published in page
        assert key is None or key in measured


def test_the_command_prints_and_writes(tmp_path, capsys):
    report = tmp_path / "calibration.md"
    code = app(["calibrate", "--members", "2000", "--report", str(report)], standalone_mode=False)
    said = capsys.readouterr().out
    assert "anchors met" in said
    assert (code == 1) == ("MISSED" in said), "with few members an anchor may be missed by chance"
    assert report.read_text().startswith("# Calibration of the simulator")


def test_a_miss_ends_with_status_one(monkeypatch, measured, capsys):
    from frl_env import cli

    monkeypatch.setattr(cli, "measure", lambda **_: dict(measured) | {"rct_ip": 0.5})
    monkeypatch.setattr("sys.argv", ["frl", "calibrate"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "MISSED" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_is_said_before_the_work(monkeypatch, capsys, tmp_path):
    from frl_env import cli

    monkeypatch.setattr(cli, "measure", lambda **_: pytest.fail("simulated first"))
    for target in (tmp_path / "nowhere" / "x.md", tmp_path):
        monkeypatch.setattr("sys.argv", ["frl", "calibrate", "--report", str(target)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 2
        assert "can't write" in capsys.readouterr().err


@pytest.mark.long
def test_ctrl_c_is_said_in_one_line(tmp_path):
    script = (
        # A shell starts what it puts in the background with Ctrl-C ignored; tests may run there.
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); sys.argv = ['frl', 'calibrate'];"
        "from frl_env.cli import main; print('up', flush=True); main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout.readline() == "up\n"
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "error: stopped" in err
    assert "Traceback" not in err


@pytest.mark.long
def test_assumptions_are_swept():
    rows = sweep(members=1_500)
    assert [row.what for row in rows] == list(CHANGES)
    by_name = {row.what: row for row in rows}
    assert by_name["home reach 0.15 higher"].heuristic[0] > by_name["home reach 0.15 lower"].heuristic[0]
    assert by_name["resolution double"].ed < by_name["resolution half"].ed
    page = sweep_markdown(rows, members=1_500, report="x.md")
    assert all(f"| {name} |" in page for name in CHANGES)
