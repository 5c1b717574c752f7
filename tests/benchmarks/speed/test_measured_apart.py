"""What is measured in a process of its own: no more than it says, on tables that are whole."""

import os
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.result_records.code_key import ROOT, code_files
from benchmarks.result_records.run_key import SHOWING
from benchmarks.speed import importing, jobs, timing, weeks
from frl_env.errors import UserError

LABELS = ("enrolment", "members", "claims", "contacts")
LINES = 3
"""Claim lines of the members that are simulated here."""


@pytest.mark.long
def test_what_learns_nothing_loads_no_deep_learning_library():
    """Or the memory of `frl build`, `frl import` and `frl weeks` on the pages would be that of torch."""
    lines = ["import os, sys"]
    measured = [("db", jobs.BUILD), ("fsd", importing.IMPORT), ("f", importing.PANDAS)]
    for arguments, (load, _) in (*measured, ("eo", weeks.CONVERT), ("eo", weeks.PLAINLY)):
        lines += [f"sys.argv[1:] = {list(arguments)}", load]
    lines += ["print(*{'torch', 'd3rlpy'} & {*sys.modules})"]
    theirs = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], env=theirs, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize(
    ("program", "file"),
    [
        ("importing", "frl_env/datasets/table_import/importing.py"),
        ("importing", "frl_algos/logged_data/minari_loading.py"),
        ("jobs", "frl_env/worklist/listing.py"),
        ("jobs", "frl_algos/policy_reports/policy_audit.py"),
        ("preparing", "frl_algos/factored_awr/algorithm.py"),
        ("valuing", "frl_algos/policy_reports/policy_evaluation.py"),
        ("weeks", "frl_env/events_to_weeks/conversion.py"),
    ],
)
def test_a_figure_depends_on_the_code_that_it_measures(program, file):
    """Lines of Python that are text are not read for imports."""
    assert ROOT / file in code_files(f"benchmarks.speed.{program}", without=SHOWING)


def test_seconds_begin_where_all_is_loaded(capsys):
    took = timing.alone("import time; time.sleep(0.5); said = sys.argv[1]", "print(said)", "done")
    assert 0 <= took.seconds < 0.5
    assert took.peak > 1
    assert took.processor >= 0
    assert capsys.readouterr().out == "done\n"
    with pytest.raises(UserError, match="what was to be timed failed"):
        timing.alone("", "raise SystemExit(3)")


def test_an_import_is_measured_by_the_same_lines_whatever_the_packages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(importing, "SIMULATED", 20)
    importing.write_rows(tmp_path / "t.parquet", 300, "week")
    asked = (str(tmp_path / "t.parquet"), str(tmp_path / "store"), importing.DATASET)
    took = timing.alone(*importing.IMPORT, *asked, packages=ROOT)
    assert took.seconds > 0
    assert "done after" in capsys.readouterr().out
    assert (tmp_path / "store" / importing.DATASET).is_dir()


@pytest.fixture
def simulated(monkeypatch):
    """Events of very few members, in place of simulated ones."""

    def export(recipe, place):
        for label in LABELS:
            (place / label).mkdir(parents=True)
            table = pa.table({"MEMBER_ID": ["a"] * LINES, "CLAIM_ID": ["c"] * LINES})
            pq.write_table(table, place / label / "000.parquet")
        (place / "spec.toml").write_text("")

    monkeypatch.setattr(weeks, "export_events", export)


@pytest.mark.usefixtures("simulated")
def test_tables_of_a_stopped_command_are_not_taken_for_whole(tmp_path, monkeypatch):
    written = []

    def write(table, place):
        if "base" not in str(place):
            written.append(place)
        if len(written) == 5:
            raise KeyboardInterrupt
        write_table(table, place)

    write_table = pq.write_table
    monkeypatch.setattr(weeks.pq, "write_table", write)
    with pytest.raises(KeyboardInterrupt):
        weeks.make_events(str(tmp_path / "events"), 2 * LINES)
    assert not (tmp_path / "events" / "spec.toml").exists()


@pytest.mark.usefixtures("simulated")
def test_another_number_of_lines_has_tables_of_its_own(tmp_path, monkeypatch, capsys):
    def alone(load, work, events, output):
        pq.write_table(pa.table({"week": [0]}), output)
        return timing.Run(1.0, 1.0, 1.0)

    monkeypatch.setattr(weeks, "alone", alone)
    monkeypatch.setattr(weeks, "apart", lambda work, *arguments: work(*arguments))
    for events in (2, 4 * LINES):
        weeks.main(["--events", str(events), "--only", "group-by", "--folder", str(tmp_path)])
    said = capsys.readouterr().out.splitlines()
    assert [line for line in said if line.endswith(" claim lines")] == ["3 claim lines", "12 claim lines"]
