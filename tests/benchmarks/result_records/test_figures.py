"""Figures are kept whole, checked before they are, and say when they are of earlier code."""

import json

import pytest

from benchmarks.result_records import figures
from benchmarks.result_records.figures import read_figure, write_figure
from frl_env.errors import UserError

ROWS = [{"team": "needs", "share": 94.04, "error": 1.25}, {"team": "habit", "share": -3.5, "error": None}]
COLUMNS = {"the team": "{team}", "share, %": "{share:.1f} ({error:.1f})"}


def write(folder, rows=ROWS, columns=COLUMNS):
    return write_figure(
        "teams",
        rows,
        columns=columns,
        command="python benchmarks/studies/habits.py",
        programs=["benchmarks.result_records.figures"],
        data={"frl/medicaid-synthetic-v0": "1f"},
        settings={"steps": 3},
        folder=folder,
    )


def test_everything_it_depends_on_is_kept(tmp_path):
    kept = json.loads(write(tmp_path).read_text())
    assert kept["rows"] == ROWS
    assert kept["data"] == {"frl/medicaid-synthetic-v0": "1f"}
    assert {"command", "commit", "programs", "code", "settings", "versions", "machine"} <= set(kept)


def test_what_says_nothing_is_left_out(tmp_path):
    """`make confirm` gives a figure to the code that measured it, which may know neither field."""
    assert not {"without", "confirmed"} & set(json.loads(write(tmp_path).read_text()))


def test_tables_and_numbers(tmp_path):
    write(tmp_path)
    figure = read_figure("teams", tmp_path)
    assert figure.table().splitlines() == [
        "| the team | share, % |", "|---|---:|", "| needs | 94.0 (1.2) |", "| habit | -3.5 (\N{EN DASH}) |",
    ]  # fmt: skip
    assert figure.written("needs", "{share:.0f} %") == "94 %"


def test_says_by_itself_that_code_has_changed_since(tmp_path, monkeypatch):
    write(tmp_path)
    assert "changed" not in read_figure("teams", tmp_path).measured()
    monkeypatch.setattr(figures, "code_key", lambda *programs, without: "another")
    assert read_figure("teams", tmp_path).measured().endswith("depend on has changed since.")


@pytest.mark.parametrize(
    ("rows", "columns", "message"),
    [
        ([*ROWS, {"team": "habit", "share": 1.0, "error": 1.0}], COLUMNS, "2 rows are named 'habit'"),
        ([{"team": "needs", "share": float("nan"), "error": 1.0}], COLUMNS, "share of 'needs' is nan"),
        (ROWS, {"team": "{tema}"}, "can't be written from the fields team, share, error"),
    ],
)
def test_refuses_and_leaves_what_was_there(tmp_path, rows, columns, message):
    before = write(tmp_path).read_bytes()
    with pytest.raises(UserError, match=message):
        write(tmp_path, rows, columns)
    assert (tmp_path / "teams.json").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


def test_unknown_names_say_what_there_is(tmp_path):
    write(tmp_path)
    with pytest.raises(UserError, match="teams"):
        read_figure("team", tmp_path)
    with pytest.raises(UserError, match="habit"):
        read_figure("teams", tmp_path).row("habits")
    (tmp_path / "teams.json").write_text("{")
    with pytest.raises(UserError, match=r"teams\.json is damaged"):
        read_figure("teams", tmp_path)
