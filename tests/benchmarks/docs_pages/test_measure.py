"""`make figures`: what is missing or of other code is measured, and how long it took is noted."""

import re
import subprocess
from types import SimpleNamespace

import pytest

from benchmarks.docs_pages import measure
from benchmarks.result_records import figures
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import commands, read_figure
from frl_env.errors import UserError

FIGURE = {"columns": {"a": "{a}"}, "command": "c", "programs": ["benchmarks.docs_pages.measure"]}
COMMANDS = """
one = "one.py --seeds 2"
twins-first = "twins.py"
twins-second = "twins.py"
there = "there.py"
"""


@pytest.fixture
def ran(tmp_path, monkeypatch):
    """The programs that were run; each writes the figures of its name."""
    (tmp_path / "commands.toml").write_text(COMMANDS)
    monkeypatch.setattr(figures, "FOLDER", tmp_path)
    monkeypatch.setattr(measure, "FOLDER", tmp_path)
    figures.write_figure("there", [{"a": "x"}], folder=tmp_path, **FIGURE)
    programs = []

    def run(command, cwd, check):
        program = command[1].removesuffix(".py")
        programs.append(command[1:])
        for name in figures.commands():
            if name.startswith(program):
                figures.write_figure(name, [{"a": "x"}], folder=tmp_path, **FIGURE)
        return subprocess.CompletedProcess(command, 3 if program == "broken" else 0)

    monkeypatch.setattr(measure, "subprocess", SimpleNamespace(run=run))
    return programs


def test_what_is_missing_is_measured_once_and_noted(ran):
    measure.main([])
    assert ran == [["one.py", "--seeds", "2", "--figure"], ["twins.py", "--figure"]]
    rows = figures.read_figure(measure.LEDGER).rows
    assert [(row["figure"], row["program"]) for row in rows] == [("one", "one.py"), ("twins-first", "twins.py")]
    assert all(row["minutes"] >= 0 for row in rows)
    measure.main([])
    assert len(ran) == 2, "all is current"


def test_the_ledger_keeps_the_order_of_the_commands_and_the_last_time(ran):
    for name, minutes in (("twins-second", 7.0), ("one", 2.0), ("twins-first", 3.04)):
        measure.note(name, minutes)
    rows = figures.read_figure(measure.LEDGER).rows
    assert [(row["figure"], row["minutes"]) for row in rows] == [("one", 2.0), ("twins-first", 3.0)]
    with pytest.raises(UserError, match="unknown figure 'twin'"):
        measure.note("twin", 1.0)


def test_what_fails_is_said_and_not_noted(ran, tmp_path):
    (tmp_path / "commands.toml").write_text('broken = "broken.py"\n')
    with pytest.raises(UserError, match=r"broken was not measured \(status 3\); the same command goes on"):
        measure.main([])
    assert not (tmp_path / "ledger.json").exists()


def test_the_page_names_the_figures_whose_time_was_not_noted():
    known = commands()
    noted = {known[str(row["figure"])] for row in read_figure("ledger").rows}
    sentence = re.search(r"Of ([^:]*?) it was not noted:", (ROOT / "docs/reproducing.md").read_text())
    assert set(re.findall(r"`([\w-]+)`", sentence[1])) == {name for name in known if known[name] not in noted}
