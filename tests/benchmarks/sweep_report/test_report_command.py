"""The command that writes the report: what it refuses, and what it leaves as it was."""

import json

import pytest
from report_files import alter, written

from benchmarks import report
from frl_env.cli import run_or_say
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


def _says(capsys, *arguments):
    with pytest.raises(SystemExit) as stop:
        run_or_say(lambda: report.main([str(argument) for argument in arguments]))
    assert stop.value.code == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_bad_input_ends_in_one_line(capsys, results, tmp_path):
    out = tmp_path / "page.html"
    assert "there is no folder" in _says(capsys, tmp_path / "nothing", "-o", out)
    (tmp_path / "empty").mkdir()
    assert "holds no scorecard.json" in _says(capsys, tmp_path / "empty", "-o", out)
    (tmp_path / "README.md").write_text("mine")
    assert "README.md exists already and was not written by this command; choose another name" in _says(
        capsys, results, "-o", tmp_path / "README.html"
    )
    assert (tmp_path / "README.md").read_text() == "mine"
    assert "is no .html file" in _says(capsys, results, "-o", tmp_path / "page.pdf")
    assert "make it first" in _says(capsys, results, "-o", tmp_path / "none" / "page.html")
    (tmp_path / "folder.html").mkdir()
    assert "is a folder" in _says(capsys, results, "-o", tmp_path / "folder.html")
    assert "frontier.json" in _says(capsys, results, "-o", out, "--fairness", tmp_path / "empty")
    assert "unrecognized arguments" in _says(capsys, results, "--outt", out)
    card = results / "scorecard.json"
    whole = card.read_text()
    for broken in (whole[: len(whole) // 2], "[]", '{"runs": 3}', '{"dataset": "x", "runs": [{}]}', "\x00"):
        card.write_text(broken)
        assert "damaged" in _says(capsys, results, "-o", out)
    card.write_text('{"dataset": "x", "runs": []}')
    assert "holds no trained policy" in _says(capsys, results, "-o", out)
    card.write_text(json.dumps({k: v for k, v in json.loads(whole).items() if k != "eval_members"}))
    assert "results of another form" in _says(capsys, results, "-o", out)
    card.write_text(whole)
    (results / "details.json").write_text('[{"algo"')
    assert "details.json is damaged" in _says(capsys, results, "-o", out)
    assert not out.exists()
    assert not out.with_suffix(".md").exists()
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_what_was_there_stays_when_writing_fails(results, tmp_path, monkeypatch):
    text, twin, folder = written(results)
    for name in ("notes.txt", "mine.csv"):
        stray = folder / name
        stray.write_text("mine")
        with pytest.raises(UserError, match=f"holds something else .{name}"):
            written(results)
        assert stray.read_text() == "mine"
        stray.unlink()
    (tmp_path / "other-data").write_text("mine")
    with pytest.raises(UserError, match=r"something else .other-data"):
        report.main([str(results), "-o", str(tmp_path / "other.html")])
    assert (tmp_path / "other-data").read_text() == "mine"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    alter(results / "scorecard.json", lambda card: card.update(commit="other"))
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(UserError, match="No space left"):
        written(results)
    monkeypatch.undo()
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    out = tmp_path / "report.html"
    assert (out.read_text(), out.with_suffix(".md").read_text()) == (text, twin)
    assert not [file.name for file in tmp_path.iterdir() if file.name.startswith(".")]


def test_open_asks_the_browser(results, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    written(results)
    assert opened == []
    written(results, "--open")
    assert len(opened) == 1
    assert opened[0].startswith("file://")
    assert opened[0].endswith("/report.html")
