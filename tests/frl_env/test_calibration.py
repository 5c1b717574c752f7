import json

import pytest

from frl_env.calibration import ANCHORS, NOT_TESTED, judge, markdown, measure
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
    for published, _, key in NOT_TESTED:
        assert published in page
        assert key in measured


def test_the_command_prints_and_writes(tmp_path, capsys):
    report = tmp_path / "calibration.md"
    code = app(["calibrate", "--members", "2000", "--report", str(report)], standalone_mode=False)
    assert code in (None, 0, 1), "with few members an anchor may be missed by chance"
    assert "anchors met" in capsys.readouterr().out
    assert report.read_text().startswith("# Calibration of the simulator")


def test_a_miss_ends_with_status_one(monkeypatch, measured, capsys):
    from frl_env import cli

    monkeypatch.setattr(cli, "measure", lambda **_: dict(measured) | {"rct_ip": 0.5})
    monkeypatch.setattr("sys.argv", ["frl", "calibrate"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 1
    assert "MISSED" in capsys.readouterr().out
    assert json.dumps(measured)
