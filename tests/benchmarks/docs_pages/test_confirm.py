"""`make confirm`: a figure counts as one of today's code where a shorter run finds the same on both, and not else."""

import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.docs_pages import confirm
from benchmarks.result_records import figures as record
from benchmarks.result_records.code_key import PACKAGES, ROOT, code_key
from benchmarks.result_records.figures import FOLDER, commands, read_figure
from benchmarks.result_records.run_key import SHOWING
from frl_env.errors import UserError

STUDY = """
import sys
sys.path.insert(0, __file__.rpartition("benchmarks")[0])
import time
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from frl_env.tiny import value

STUDY = Study(Kept("benchmarks.studies.tiny"), "?", {"draws": (9, 1, "draws")})

def main():
    options = STUDY.options(None)
    units = [
        Unit(f"draw{n}", lambda n=n: {"exact": value(n), "seconds": time.perf_counter()}, {"n": n})
        for n in range(options.draws)
    ]
    found = STUDY.each(units, options, "drawn")
    rows = [{"name": f"draw {n}", "rounded": round(each["exact"])} for n, each in enumerate(found)]
    STUDY.tell(rows, {"name": "{name}", "rounded": "{rounded}"}, options)

main()
"""
BEFORE, FASTER, OTHER = "return n + .1", "total = n\n    return total + .1", "return n + .2"
RUN = "benchmarks/studies/tiny.py --draws 2 --figure"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A checkout with one more study, and a figure of its first commit."""
    root = tmp_path_factory.mktemp("checkout")
    without = shutil.ignore_patterns("__pycache__", "*.npz", "*.json", "*.md")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, root / package, ignore=without)
    (root / "benchmarks/studies/tiny.py").write_text(STUDY)
    (root / "benchmarks/figures/confirm.toml").write_text(f'tiny = {{ run = "{RUN}" }}\n')
    git(root, "init", "-q")
    commit(root, BEFORE)
    python(root, "benchmarks/studies/tiny.py", "--figure")
    git(root, "tag", "measured")
    return root


def git(root, *arguments):
    command = ["git", "-c", "user.name=nobody", "-c", "user.email=nobody@example.org", *arguments]
    subprocess.run(command, cwd=root, check=True, capture_output=True)


def commit(root, body):
    """Another commit, with the code on which the study depends."""
    (root / "frl_env/tiny.py").write_text(f"def value(n):\n    {body}\n")
    git(root, "add", "-A", ".")
    git(root, "commit", "-q", "--allow-empty", "-m", "code")


def python(root, *arguments):
    ran = subprocess.run([sys.executable, *arguments], cwd=root, capture_output=True, text=True, check=False)
    return ran.returncode, " ".join((ran.stdout + ran.stderr).split())


def figure(root):
    return json.loads((root / "benchmarks/figures/tiny.json").read_text())


@pytest.mark.slow
def test_the_same_numbers_confirm_and_one_that_differs_by_a_digit_does_not(checkout):
    before = figure(checkout)
    commit(checkout, OTHER)
    status, said = python(checkout, "benchmarks/docs_pages/confirm.py")
    assert status == 2
    assert "not the same, draw0, exact (1 of 1 draw0): 0.1 before, 0.2 today" in said, "rounded they are the same"
    assert "not confirmed: tiny; make figures measures anew" in said
    assert figure(checkout) == before

    commit(checkout, FASTER)
    status, said = python(checkout, "benchmarks/docs_pages/confirm.py")
    assert (status, "the same 6 values as at" in said) == (0, True), said
    after = figure(checkout)
    assert {name: each for name, each in after.items() if name != "confirmed"} == before
    assert after["confirmed"]["code"] != after["code"]
    assert after["confirmed"]["command"] == f"python {RUN}"
    assert not list((checkout / "results/confirm").glob("*"))
    assert python(checkout, "benchmarks/docs_pages/confirm.py", "--list") == (0, "")

    commit(checkout, OTHER)
    listed = python(checkout, "benchmarks/docs_pages/confirm.py", "--list")
    assert listed == (0, f"tiny: python {RUN}"), "what was confirmed for other code is not for this"
    status, said = python(checkout, "benchmarks/docs_pages/confirm.py", "--against", "HEAD")
    assert (status, "tiny was measured with other code than that of HEAD" in said) == (2, True), said


@pytest.fixture
def figures(tmp_path, monkeypatch):
    """A folder with one figure of another code, and what its shorter run finds: before, and today."""
    for module in (confirm, record):
        monkeypatch.setattr(module, "FOLDER", tmp_path)
    (tmp_path / "confirm.toml").write_text(f'tiny = {{ run = "{RUN}" }}\n')
    facts = {"columns": {"a": "{a}"}, "command": "c", "programs": ["benchmarks.docs_pages.confirm"]}
    record.write_figure("tiny", [{"name": "x", "a": 1.0}], folder=tmp_path, code="0" * 16, **facts)
    found = {"earlier": {"name": "x", "a": 2.0, "seconds": 3.0}, "today": {"name": "x", "a": 2.0, "seconds": 1.0}}

    def checked_out(commit, place):
        """In the earlier tree the rooms have other names."""
        (place / "benchmarks" / "figures").mkdir(parents=True)
        for path in (confirm.FIGURES, RUN.split()[0]):
            file = place / path if place.name == "today" else place / "benchmarks" / "room" / Path(path).name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        return place

    def python(tree, command, log):
        if command[0] == "-c":
            assert command[2] == "benchmarks.room.figures"
        else:
            program, *rest = RUN.split()
            where = program if tree.name == "today" else f"benchmarks/room/{Path(program).name}"
            assert command == [where, *rest]
            assert not (tree / "benchmarks/figures/tiny.json").exists(), "or the figure of before would be read"
            record.write_figure("tiny", [found[tree.name]], folder=tree / "benchmarks/figures", **facts)
        return SimpleNamespace(wait=lambda: 0, poll=lambda: 0)

    monkeypatch.setattr(confirm, "checked_out", checked_out)
    monkeypatch.setattr(confirm, "_python", python)
    monkeypatch.setattr(confirm, "_committed", lambda: "f" * 40)
    return found


def test_a_figure_is_confirmed_where_all_is_the_same_but_times(figures, tmp_path, capsys):
    before = json.loads((tmp_path / "tiny.json").read_text())
    confirm.main(["--against", "e" * 40, "--out", str(tmp_path / "out")])
    assert "the same 2 values as at eeeeeee" in capsys.readouterr().out
    after = json.loads((tmp_path / "tiny.json").read_text())
    assert after.pop("confirmed") | {"code": ""} == {
        "commit": "f" * 40, "code": "", "programs": ["benchmarks.docs_pages.confirm"], "without": [],
        "command": f"python {RUN}", "values": 2,
    }  # fmt: skip
    assert after == before
    figure = record.read_figure("tiny")
    assert (figure.current, figure.measured_today) == (True, False)
    confirm.main([])
    assert capsys.readouterr().out == "", "nothing is left to confirm"


def test_a_figure_whose_run_differs_stays_of_earlier_code(figures, tmp_path, capsys):
    before = (tmp_path / "tiny.json").read_bytes()
    figures["today"]["a"] = 2.0000000000000004
    with pytest.raises(UserError, match="not confirmed: tiny; make figures measures anew"):
        confirm.main(["--against", "e" * 40, "--out", str(tmp_path / "out")])
    assert "not the same, tiny, x, a: 2.0 before, 2.0000000000000004 today" in capsys.readouterr().out
    assert (tmp_path / "tiny.json").read_bytes() == before


def test_a_program_that_is_nowhere_in_the_earlier_tree_is_said(tmp_path):
    (tmp_path / "benchmarks").mkdir()
    with pytest.raises(UserError, match=r"benchmarks/a/b.py is not there, and 0 files have its name"):
        confirm.lies_at(tmp_path, "benchmarks/a/b.py")


def test_a_page_says_how_it_is_known(tmp_path):
    kept = json.loads((FOLDER / "habits.json").read_text())
    later = {
        "code": run_code("benchmarks.studies.whom"), "programs": ["benchmarks.studies.whom"], "without": [],
        "command": "python short.py", "values": 1_234,
    }  # fmt: skip
    file = tmp_path / "habits.json"
    file.write_text(json.dumps(kept | {"code": "0" * 16, "confirmed": later}))
    said = read_figure("habits", tmp_path).measured()
    assert said.endswith("a shorter run finds the same 1,234 values with today's (`make confirm`).")
    file.write_text(json.dumps(kept | {"code": "0" * 16, "confirmed": later | {"code": "1" * 16}}))
    assert read_figure("habits", tmp_path).measured().endswith("depend on has changed since.")


def run_code(program):
    return code_key(program, without=SHOWING)


def test_every_figure_that_is_not_of_time_has_a_shorter_run_of_its_own_program():
    shorter = {name: run for run in confirm.shorter_runs() for name in run.figures}
    timed = {name for name in commands() if name.startswith("speed-")}
    assert set(shorter) == set(commands()) - timed
    for name, run in shorter.items():
        if name != "leaderboard":
            assert run.run[-1].split()[0] == commands()[name].split()[0]
            assert run.run[-1].endswith(" --figure")
    assert tomllib.loads((FOLDER / "confirm.toml").read_text())["leaderboard"]["run"][0].startswith("benchmarks/run.py")


def test_times_are_left_out_and_arrays_and_tables_compared(tmp_path, monkeypatch):
    folder = tmp_path / "results" / "study"
    folder.mkdir(parents=True)
    unit = {"a": [1.5, {"seconds": 3.0, "b": "x"}], "megabytes": 9}
    (folder / f"unit-{'0' * 24}.json").write_text(json.dumps({"run": unit}))
    np.save(folder / f"array-{'1' * 24}.npy", np.arange(3))
    (folder / "notes.json").write_text("{}")
    found = confirm.compared(tmp_path, [], frozenset())
    of_unit = {name: each for name, each in found.items() if name.startswith("unit")}
    assert of_unit == {"unit, a, 0 (1 of 1 unit)": "1.5", "unit, a, 1, b (1 of 1 unit)": "'x'"}
    np.save(folder / f"array-{'2' * 24}.npy", np.arange(3) + 1)
    assert not any(name.startswith("array") for name in confirm.compared(tmp_path, [], frozenset({"array"})))
    two = confirm.compared(tmp_path, [], frozenset())
    assert len(two) == len(found) + 1
    for old, new in (("1", "8"), ("2", "7")):  # of other code the same results have other keys, in another order
        (folder / f"array-{old * 24}.npy").rename(folder / f"array-{new * 24}.npy")
    assert confirm.difference(two, confirm.compared(tmp_path, [], frozenset())) is None
    (folder / f"array-{'8' * 24}.npy").unlink()
    assert confirm.difference(found, confirm.compared(tmp_path, [], frozenset())).startswith("array (1 of 1 array): ")
