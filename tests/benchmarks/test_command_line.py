"""What is typed is what is meant, and what is kept of it can be typed again."""

import shlex

import pytest

from benchmarks import command_line
from benchmarks.command_line import Parser, check_folder_can_be_made, command_of
from frl_env.errors import UserError


def _parser():
    parser = Parser(description="")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--levels", default="all")
    parser.add_argument("--out", default="here")
    return parser


def test_an_option_has_its_whole_name():
    """`--seed 3` would train seeds 0 to 2; `--ou FOLDER` would stay in the command that a scorecard keeps."""
    for short in (["--seed", "3"], ["--ou", "folder"]):
        with pytest.raises(UserError, match="unrecognized arguments"):
            _parser().parse_args(short)
    assert _parser().parse_args(["--seeds", "3"]).seeds == 3


@pytest.mark.parametrize("levels", ["Home visit,In person", "a;b", "", "it's"])
def test_a_command_that_is_kept_can_be_typed_again(levels):
    given = ["--levels", levels, "--seeds", "2", "--out", "elsewhere"]
    options = _parser().parse_args(given) if levels else _parser().parse_args(given[2:])
    options.levels = levels
    command = command_of("benchmarks.studies.habits", _parser(), options)
    assert shlex.split(command) == ["python", "benchmarks/studies/habits.py", "--seeds", "2", "--levels", levels]


def test_a_folder_is_tried_in_another_place(tmp_path, monkeypatch):
    """A folder that were made and removed would be missed by another command that is about to write into it."""
    made = []
    monkeypatch.setattr(command_line, "_write_into", made.append)
    check_folder_can_be_made(tmp_path / "new" / "out")
    assert [place.parts[-2:] for place in made] == [("new", "out")]
    assert made[0] != tmp_path / "new" / "out"


@pytest.mark.parametrize("blocked", ["file", "file/out", "x" * 300])
def test_a_folder_that_cannot_be_made_is_said(tmp_path, blocked):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match=r"can't write to .+; choose another"):
        check_folder_can_be_made(tmp_path / blocked)
    assert [place.name for place in tmp_path.iterdir()] == ["file"]
