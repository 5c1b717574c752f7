"""Whatever a program is told that it can't use: one line, status 2, nothing written, and before any work."""

import dataclasses
import importlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import typer
from bad_values import Program, make_places, options_of, some
from documented import ROOT

from benchmarks.command_line import Parser
from frl_env import cli
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.files import atomic
from frl_env.parameters import MEASURES
from frl_env.terminal import run_or_say

LIMIT = 3.0
"""Seconds of a processor within which a value is refused."""

LONGEST = 1_000
"""Letters of a line that says so."""

FEW, MANY = 5, 40
"""Bad values a program: of the quick tests, and at the least of the slow ones."""

Run = Callable[[list[str]], None]

KINDS = {
    "--algo": "algorithm", "--older": "algorithm", "--dataset": "dataset", "--validation": "dataset",
    "--train": "dataset", "--test": "dataset", "--budget": "budgets", "--budgets": "budgets", "--out": "new folder",
    "--folder": "new folder", "--datasets": "algorithm", "--attribute": "choice", "--high-touch": "choice",
    "--weights": "numbers", "--slacks": "numbers", "--scheduler": "choice", "--write": "new file",
    "--fairness": "new folder", "--figures": "new folder",
}  # fmt: skip
"""What options ask for whose type does not say it."""

OF_COLUMNS = {"--response": "state", "--indications": "indications", "--need-factor": "factor",
              "--skill-factor": "factor", "--high-touch": "levels"}  # fmt: skip
"""Names of columns and levels, which the dataset or its recipe knows."""

SCRIPTS = sorted(
    file.relative_to(ROOT).as_posix()
    for file in (ROOT / "benchmarks").rglob("*.py")
    if "\n    run_or_say(main)\n" in file.read_text()
)

BASES = {"report": ("{folder}",), "docs_pages/leaderboard": ("{folder}",), "speed/throughput": ("learn",),
         "speed/weeks": ("--folder={new}",)}  # fmt: skip


class _Capture(BaseException):
    pass


class _TooLate(BaseException):
    """Not caught by anything that catches exceptions."""


def _script(path: str) -> Program:
    name = path.removeprefix("benchmarks/").removesuffix(".py")
    module = importlib.import_module(path.removesuffix(".py").replace("/", "."))
    seen = []

    def capture(self, *_):
        seen.append(self)
        raise _Capture

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "parse_args", capture)
        with pytest.raises(_Capture):
            module.main([])
    told = any(action.dest == "response" for action in seen[0]._actions)
    options, flags = options_of(seen[0], KINDS | OF_COLUMNS if told else KINDS)
    return Program(name, BASES.get(name, ()), options, {}, {}, flags)


@contextmanager
def _within(seconds: float) -> Iterator[None]:
    def late(*_):
        raise _TooLate

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 10 * seconds)}
    before = {number: signal.signal(number, late) for number in clocks}
    for clock, most in clocks.values():
        signal.setitimer(clock, most)
    try:
        yield
    finally:
        for clock, _ in clocks.values():
            signal.setitimer(clock, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def _tree(folder: Path) -> dict[str, int]:
    """Everything that is there, with the time of its last change; locks of the store may come and go."""
    return {
        file.relative_to(folder).as_posix(): file.lstat().st_mtime_ns if file.is_file() else 0
        for file in folder.rglob("*")
        if not (file.name.endswith(".lock") and file.is_relative_to(folder / "store"))
    }


def _faults(program: Program, lines: Iterable[list[str]], run: Run, folder: Path, capsys: Any) -> str:
    """Runs a program with each line, and says which was not refused as it should be."""
    places = make_places(folder) | {"new": str(folder / "new")}
    before = _tree(folder)
    found = []
    for line in lines:
        for word, place in places.items():
            line = [argument.replace(f"{{{word}}}", place) for argument in line]
        odd = _odd(run, line, capsys)
        after = _tree(folder)
        if after != before:
            odd += f" wrote {sorted(set(after) ^ set(before))[:5]}"
            for name in sorted(after.keys() - before.keys(), reverse=True):
                atomic.remove(folder / name)
            before = _tree(folder)
        if odd:
            found.append(f"{program.name} {[argument[-60:] for argument in line]}: {odd}")
    return "\n".join(found)


def _odd(run: Run, line: list[str], capsys: Any) -> str:
    """What is wrong about how a program ended; nothing if it refused its line."""
    capsys.readouterr()
    status: Any = 0
    try:
        with _within(LIMIT):
            run(line)
    except SystemExit as ended:
        status = ended.code
    except _TooLate:
        return f"at work after {LIMIT} seconds"
    except BaseException as problem:
        return f"{type(problem).__name__}: {problem}"[:200]
    said = [part for part in capsys.readouterr().err.splitlines() if part.strip()]
    if os.environ.get("FRL_SHOW"):
        with Path(os.environ["FRL_SHOW"]).open("a") as target:
            target.write(f"{[argument[-60:] for argument in line]}: {said[-1][:200] if said else ''}\n")
    if status != 2:
        return f"status {status}"
    if len(said) != 1 or not said[0].startswith("error: ") or len(said[0]) > LONGEST:
        return f"{len(said)} lines: {said[-1:]}"[:400]
    return ""


def _run_script(name: str) -> Run:
    main = importlib.import_module(f"benchmarks.{name.replace('/', '.')}").main
    return lambda line: run_or_say(lambda: main(line))


def _run_frl(name: str) -> Run:
    def run(line: list[str]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["frl", name, *line])
            cli.main()

    return run


SUBCOMMANDS = {
    "build": ({"<0>": "dataset"}, ("frl/medicaid-synthetic-small-v0",)),
    "list": ({}, ()),
    "load": ({"<0>": "dataset"}, ("frl/medicaid-synthetic-small-v0",)),
    "show": ({"<0>": "dataset"}, ("frl/medicaid-synthetic-small-v0",)),
    "delete": ({"<0>": "dataset"}, ("frl/nothing-v0", "--yes")),
    "import": (
        {"<0>": "file", "--id": "new dataset", "--map": "file", "--column": "word", "--action-schema": "file",
         "--ignore": "word", "--worklist": "file", "--decision": "choice",
         "--on-error": "choice", "--several": "choice", "--rewards": "choice",
         "--validation-share": "number"},
        ("{table}", "--id=own/care-v0"),
    ),
    "export": (
        {"<0>": "dataset", "<1>": "new file", "--as": "choice", "--format": "choice"},
        ("frl/medicaid-synthetic-small-v0", "out.parquet"),
    ),
    "capacity": ({"--budgets": "budgets", "--members": "number", "--report": "new file"}, ()),
    "weeks": (
        {"<0>": "file", "--output": "new file", "--init": "choice", "--report": "new file", "--engine": "choice",
         "--memory": "amount"},
        ("{spec}", "--output=weeks.parquet"),
    ),
    "worklist": (
        {"--model": "file", "--members": "file", "--capacity": "budgets", "--out": "new file", "--map": "file",
         "--explore": "number", "--least-weeks": "number", "--leave-alone": "file", "--only": "word",
         "--seed": "number"},
        ("--model={text}", "--members={table}", "--capacity=1.0", "--out=list.csv"),
    ),
    "calibrate": ({"--members": "number", "--report": "new file"}, ()),
    "references": ({"--members": "number", "--report": "new file"}, ()),
    "sensitivity": ({"--members": "number", "--report": "new file"}, ()),
}  # fmt: skip
"""What each asks for, and a line that would do."""

FINE = {"worklist": {"--leave-alone": ("{empty}", "{text}", "{deep_toml}", "{deep_json}", "{digits}"),
                     "--seed": ("99999999999",), "--capacity": (",",)},
        "import": {"--column": ("=",), "--map": ("{empty}",)}}  # fmt: skip
ENDS = {
    "export": {"<1>": ".parquet"},
    "weeks": {"--output": ".parquet", "--report": ".html"},
    "worklist": {"--out": ".csv"},
}


def _subcommand(name: str) -> Program:
    options, base = SUBCOMMANDS[name]
    return Program(name, base, options, FINE.get(name, {}), ENDS.get(name, {}))


@pytest.fixture
def place(tmp_path, empty_store, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    empty_store.mkdir()
    return tmp_path


@pytest.fixture
def table_and_spec(place):
    """A table that can be imported, and a spec without its tables."""
    columns = {name: [0.0] * 4 for name in MEASURES}
    columns |= {f"action_{factor.name}": ["NONE"] * 4 for factor in MEDICAID_ACTIONS}
    columns["action_urgency"] = ["ROUTINE"] * 4
    pd.DataFrame(
        {"member_id": [1, 1, 2, 2], "week": [0, 1, 0, 1], **columns, "reward": [0.0, -1.0, 0.0, 0.0]}
    ).to_parquet(place / "table.parquet")
    (place / "spec.toml").write_text((ROOT / "frl_env/events_to_weeks/specs/flat.toml").read_text())


def _filled(program: Program, place: Path) -> Program:
    words = {"{table}": str(place / "table.parquet"), "{spec}": str(place / "spec.toml")}
    base = []
    for argument in program.base:
        for word, there in words.items():
            argument = argument.replace(word, there)
        base.append(argument)
    return dataclasses.replace(program, base=tuple(base))


@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_refuse_a_few(path, place, capsys):
    program = _script(path)
    # Places that can't be written are what programs are likeliest to find out late.
    out = [line for line in program.lines() if line[-1] == "--out={file}/below"]
    lines = [*out, *some([*program.lines()], FEW, 1)]
    assert _faults(program, lines, _run_script(program.name), place, capsys) == ""


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_subcommands_refuse_a_few(name, place, table_and_spec, capsys):
    program = _filled(_subcommand(name), place)
    assert _faults(program, some([*program.lines()], FEW, 1), _run_frl(name), place, capsys) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("path", SCRIPTS)
def test_scripts_refuse_all(path, place, capsys):
    program = _script(path)
    lines = [*program.lines()]
    assert len(lines) >= MANY
    assert _faults(program, lines, _run_script(program.name), place, capsys) == ""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_subcommands_refuse_all(name, place, table_and_spec, capsys):
    program = _filled(_subcommand(name), place)
    lines = [*program.lines()]
    assert len(lines) >= MANY
    assert _faults(program, lines, _run_frl(name), place, capsys) == ""


def test_a_wrong_option_names_the_command_whose_options_there_are(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["frl", "weeks", "--reprot", "x.html"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    assert capsys.readouterr().err.strip().endswith("frl weeks --help'")


def test_every_subcommand_is_asked():
    commands = typer.main.get_command(cli.app).commands
    assert set(commands) == set(SUBCOMMANDS)
    untold = {"description", "master", "week"}  # any text will do
    for name, command in commands.items():
        for option in command.params:
            known = any(spelt in SUBCOMMANDS[name][0] for spelt in option.opts)
            assert (
                known
                or option.param_type_name == "argument"
                or getattr(option, "is_flag", False)
                or option.name in untold
            )


@pytest.mark.long
@pytest.mark.parametrize("language", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_a_terminal_of_few_letters(language, place):
    """In a process of its own, as only there its streams are what they are."""
    for words in (["list"], ["delete", "--yes", "caf\u00e9-v0"]):
        done = subprocess.run(
            [sys.executable, "-c", "from frl_env.cli import main; main()", *words],
            capture_output=True, text=True, env=os.environ | language | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert "Traceback" not in done.stderr
        assert done.returncode == (0 if words == ["list"] else 2), done.stderr
