"""The command of a figure gives the same numbers to anybody: it names no folder of the machine it was measured on."""

import pytest

from benchmarks.command_line import Parser, command_of
from benchmarks.result_records.figures import FOLDER, read_figure


def test_where_results_lie_is_no_part_of_a_command():
    parser = Parser()
    parser.add_argument("--rows", type=int, default=5)
    for place in ("--out", "--folder"):
        parser.add_argument(place, default="results")
    given = ["--rows", "6", "--out", "elsewhere", "--folder", "/somewhere"]
    assert command_of("benchmarks.run", parser, parser.parse_args(given)) == "python benchmarks/run.py --rows 6"


@pytest.mark.parametrize("name", sorted(file.stem for file in FOLDER.glob("*.json")))
def test_no_command_names_a_place_on_a_machine(name):
    assert not [word for word in read_figure(name).command.split() if word.startswith(("/", "~"))]
