"""A commit that does not hold the code which made a result says so."""

import subprocess

import pytest

from benchmarks.result_records.circumstances import commit


@pytest.fixture
def checkout(tmp_path):
    (tmp_path / ".gitignore").write_text("results/\n")
    (tmp_path / "program.py").write_text("")
    author = ["-c", "user.name=tests", "-c", "user.email=tests@example.org"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "code"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_commit_holds_the_code_beside_results_and_notes(checkout):
    (checkout / "results").mkdir()
    (checkout / "results" / "own.py").write_text("")
    (checkout / "notes.md").write_text("")
    assert len(commit(checkout)) == 40


@pytest.mark.parametrize("name", ["program.py", "other.py", "room/ours \u00fc.py"])
def test_a_changed_file_or_a_python_file_in_no_commit_shows(checkout, name):
    clean = commit(checkout)
    (checkout / name).parent.mkdir(exist_ok=True)
    (checkout / name).write_text("STEPS = 7\n")
    assert commit(checkout) == f"{clean}+"


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert commit(tmp_path) is None
