"""Every command that writes a file that a person names leaves one that is there alone, unless told `--force`."""

import importlib
import sys

import pytest

from frl_env import cli
from frl_env.errors import UserError
from frl_env.files.output_paths import LOOKED_AT, check_apart, check_new
from frl_env.terminal import run_or_say

WRITE = {
    "frl calibrate": ("--report", "page.md"),
    "frl references": ("--report", "page.md"),
    "frl sensitivity": ("--report", "page.md"),
    "frl capacity": ("--report", "page.md"),
    "frl export frl/medicaid-synthetic-small-v0": ("", "table.csv"),
    "frl weeks spec.toml --check": ("--report", "page.html"),
    "frl weeks --init flat": ("", "spec.toml"),
    "frl worklist --model m.d3 --members members.csv --capacity 2": ("--out", "list.csv"),
    "benchmarks.report results": ("--out", "page.html"),
    "benchmarks.docs_pages.leaderboard results": ("--out", "page.md"),
}
"""Commands, and what names a file that they write; `frl weeks -o` is tried with its tables."""


def _refused(command, monkeypatch, capsys) -> str:
    """What a command says that ends with status 2."""
    program, *line = command.split()
    if program == "frl":
        monkeypatch.setattr(sys, "argv", ["frl", *line])
    run = cli.main if program == "frl" else lambda: run_or_say(lambda: importlib.import_module(program).main(line))
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize("command", WRITE)
def test_a_file_that_is_there_stays_and_the_way_out_is_force(command, tmp_path, empty_store, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    option, name = WRITE[command]
    file = tmp_path / name
    file.write_text("mine")
    said = _refused(f"{command} {option} {name}", monkeypatch, capsys)
    assert f"{name} exists already" in said
    assert "choose another name, or add --force to replace it" in said
    assert file.read_text() == "mine"
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == [name]


@pytest.mark.parametrize(
    "command",
    [
        "frl weeks spec.toml -o x.parquet --report x.parquet",
        "frl weeks spec.toml -o x.parquet --report ./x.parquet --force",
        "benchmarks.tune --write x --out x",
        "benchmarks.tune --write x --out x/y",
    ],
)
def test_two_outputs_have_two_places(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.toml").write_text("")
    said = _refused(command, monkeypatch, capsys)
    assert "can't both be written; name another place for one of them" in said
    assert [each.name for each in tmp_path.iterdir()] == ["spec.toml"]


def test_settings_may_lie_in_the_folder_of_runs(tmp_path):
    check_apart(write=tmp_path / "tuning" / "tuned.json", out=tmp_path / "tuning" / "runs")


@pytest.mark.parametrize("text", ["{mark}{rest}", "{rest}{mark}"])
def test_a_file_is_known_by_its_mark_at_either_end(text, tmp_path):
    file = tmp_path / "page.md"
    file.write_text(text.format(mark="ours", rest="x" * 3 * LOOKED_AT))
    check_new(file, mark="ours")
    with pytest.raises(UserError, match="was not written by this command"):
        check_new(file, mark="theirs")
