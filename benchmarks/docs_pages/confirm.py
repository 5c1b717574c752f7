"""Confirms figures after a change of code that should move no number: a shorter run on both codes, digit by digit.

    python benchmarks/docs_pages/confirm.py                   make confirm: all figures that are of other code
    python benchmarks/docs_pages/confirm.py habits whom       these only
    python benchmarks/docs_pages/confirm.py --against COMMIT  on the code of that commit, where it is the measured one

To measure all figures takes hours. Most repairs, and all that only makes code faster or clearer, should leave them as
they are. `benchmarks/figures/confirm.toml` has for each figure a shorter run of the program that measured it: fewer
seeds, members or updates. It runs on the code that the figure was measured with (its hash is checked) and on the code
of the last commit, side by side, each with datasets of its own making. All that both have found, figures and kept
results, is compared. Where every number is the same to the last digit, the figure counts as one of today's code, and
its page says how that is known. Where one differs, the figure stays of earlier code, and `make figures` measures it.
Times and memory are not compared. Stopped, the same command goes on with the figures that are left.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import dataclasses
import json
import os
import re
import shlex
import shutil
import subprocess
import time
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.command_line import Parser, check_folder_can_be_made
from benchmarks.result_records.checkout import checked_out
from benchmarks.result_records.circumstances import commit
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import FOLDER, Figure, as_json, read_figure
from benchmarks.result_records.run_key import checksum
from frl_env.errors import UserError, unknown_name
from frl_env.terminal import run_or_say, write_atomically

KEPT = re.compile(r"(.+)-[0-9a-f]{24}\.(json|npy|parquet)")
"""Files of `benchmarks.result_records.kept_results`; the key is another one on other code."""

TIMES = frozenset({"seconds", "megabytes"})
"""Fields of any result that are times or memory."""

FIGURES = "benchmarks/result_records/figures.py"
"""What reads figures."""

IS_CURRENT = (
    "import sys, importlib; sys.exit(not importlib.import_module(sys.argv[1]).read_figure(sys.argv[2]).current)"
)


@dataclasses.dataclass(frozen=True)
class Shorter:
    """A shorter run that makes figures.

    Attributes:
        run: Programs with their options, one after the other; the last one writes the figures.
        figures: Which.
        aside: Fields, rows and kept results that hold times or memory.
    """

    run: tuple[str, ...]
    figures: tuple[str, ...]
    aside: frozenset[str]

    @property
    def said(self) -> str:
        """The commands as one line of shell, for a page."""
        return " && ".join(f"python {each}" for each in self.run)


def shorter_runs(folder: Path | None = None) -> list[Shorter]:
    """The runs in `confirm.toml`, each with all figures that it makes."""
    found: dict[tuple[str, ...], Shorter] = {}
    for name, entry in tomllib.loads(((folder or FOLDER) / "confirm.toml").read_text(encoding="utf-8")).items():
        run = (entry["run"],) if isinstance(entry["run"], str) else tuple(entry["run"])
        before = found.get(run, Shorter(run, (), frozenset()))
        found[run] = Shorter(run, (*before.figures, name), before.aside | set(entry.get("aside", ())))
    return list(found.values())


def compared(tree: Path, figures: Sequence[str], aside: frozenset[str]) -> dict[str, str]:
    """All that a run has found, figures and kept results, by what it is.

    Args:
        tree: The folder in which it ran.
        figures: That it has written.
        aside: Fields, rows and kept results that hold times or memory, besides `TIMES`; they are left out.
    """
    found = {}
    for name in figures:
        figure = _made(tree, name)
        found |= _leaves(f"{name}, data", dict(figure.data), aside)
        for row in figure.rows:
            label, *_ = row.values()
            found |= {} if label in aside else _leaves(f"{name}, {label}", dict(row), aside)
    kept: dict[str, list[dict[str, str]]] = {}
    for file in sorted(tree.glob("results*/**/*")):
        match = KEPT.fullmatch(file.name)
        if match and match[1] not in aside:
            kept.setdefault(match[1], []).append(_leaves(match[1], _kept(file), aside))
    for label, results in kept.items():  # of the same label they are told apart by what they hold: keys differ by code
        for number, leaves in enumerate(sorted(results, key=lambda each: sorted(each.items()))):
            found |= {f"{name} ({number + 1} of {len(results)} {label})": each for name, each in leaves.items()}
    return found


def _kept(file: Path) -> Any:
    """A kept result; arrays and columns as their checksums."""
    if file.suffix == ".json":
        return json.loads(file.read_text(encoding="utf-8"))["run"]
    if file.suffix == ".npy":
        return checksum(np.load(file))
    table = pd.read_parquet(file)
    return {str(name): checksum(pd.util.hash_pandas_object(table[name]).to_numpy()) for name in table}


def _leaves(place: str, result: Any, aside: frozenset[str]) -> dict[str, str]:
    """Numbers and words of a nested result."""
    if isinstance(result, dict):
        parts = {str(name): part for name, part in result.items() if name not in aside and name not in TIMES}
    elif isinstance(result, list):
        parts = {str(number): part for number, part in enumerate(result)}
    else:
        return {place: repr(result)}
    return {
        leaf: each for name, part in parts.items() for leaf, each in _leaves(f"{place}, {name}", part, aside).items()
    }


def difference(earlier: Mapping[str, str], today: Mapping[str, str]) -> str | None:
    """The first result that differs between two runs, in words; None where all are the same."""
    for what in dict.fromkeys((*earlier, *today)):
        if earlier.get(what) != today.get(what):
            return f"{what}: {earlier.get(what, 'nothing')} before, {today.get(what, 'nothing')} today"
    return None


def main(arguments: Sequence[str] | None = None) -> None:
    """Confirms, one run after the other."""
    parser = Parser(description="Confirm figures after a change of code that should move no number.")
    parser.add_argument("figures", nargs="*", help="which (default: all that are of other code)")
    parser.add_argument("--against", metavar="COMMIT", help="whose code measured them (default: each figure's)")
    parser.add_argument("--list", action="store_true", help="only show what would be run")
    parser.add_argument(
        "--out", type=Path, default=Path("results/confirm"), help="scratch folder (default %(default)s)"
    )
    options = parser.parse_args(arguments)
    check_folder_can_be_made(options.out)
    runs = shorter_runs()
    known = sorted(name for run in runs for name in run.figures)
    for name in options.figures:
        if name not in known:
            raise unknown_name("figure with a shorter run", name, known)
    head = "" if options.list else _committed()
    failed = []
    for run in runs:
        due = [
            name for name in run.figures
            if (name in options.figures if options.figures else not read_figure(name).current)
        ]  # fmt: skip
        if not due:
            continue
        print(f"{', '.join(due)}: {run.said}", flush=True)
        if not options.list:
            failed += confirmed(run, due, head, options.against, options.out)
    if failed:
        raise UserError(f"not confirmed: {', '.join(failed)}; make figures measures anew")


def confirmed(run: Shorter, figures: Sequence[str], head: str, against: str | None, out: Path) -> list[str]:
    """Runs it on both codes and enters in each figure that it is confirmed; returns the names of those that are not.

    Raises:
        UserError: If the code of a commit is not the measured one, or a run fails.
    """
    before = against or (read_figure(figures[0]).commit or "").rstrip("+")
    if not before:
        raise UserError(f"nobody knows which commit measured {figures[0]}; name it with --against")
    place = out / run.figures[0]
    trees = {"earlier": checked_out(before, place / "earlier"), "today": checked_out(head, place / "today")}
    for name in figures:
        kept = dataclasses.replace(read_figure(name), confirmed=None)
        file = trees["earlier"] / "benchmarks" / "figures" / f"{name}.json"
        file.write_text(as_json(kept), encoding="utf-8")
        figures_module = lies_at(trees["earlier"], FIGURES).removesuffix(".py").replace("/", ".")
        if _python(trees["earlier"], ["-c", IS_CURRENT, figures_module, name], place / "earlier.log").wait():
            raise UserError(
                f"{name} was measured with other code than that of {before}; name its commit with --against"
            )
    started = time.perf_counter()
    _run(run, trees, place)
    earlier, today = (compared(tree, figures, run.aside) for tree in trees.values())
    found = difference(earlier, today)
    if found or not today:
        print(f"not the same, {found}" if found else "the shorter run has found nothing", flush=True)
        return list(figures)
    for name in figures:
        made = _made(trees["today"], name)
        later = {
            "commit": head, "code": made.code, "programs": list(made.programs), "without": list(made.without),
            "command": run.said, "values": len(today),
        }  # fmt: skip
        write_atomically(FOLDER / f"{name}.json", as_json(dataclasses.replace(read_figure(name), confirmed=later)))
    print(f"the same {len(today):,} values as at {before[:7]} ({time.perf_counter() - started:.0f} s)", flush=True)
    shutil.rmtree(place)
    return []


def _run(run: Shorter, trees: Mapping[str, Path], place: Path) -> None:
    """The programs in both folders at a time; the figures that were there are taken away first."""
    for tree in trees.values():
        for name in run.figures:
            (tree / "benchmarks" / "figures" / f"{name}.json").unlink(missing_ok=True)
    for program in run.run:
        path, *rest = shlex.split(program)
        running = {
            side: _python(tree, [lies_at(tree, path), *rest], place / f"{side}.log") for side, tree in trees.items()
        }
        try:
            status = {side: each.wait() for side, each in running.items()}
        finally:
            for each in running.values():
                if each.poll() is None:
                    each.terminate()
                    each.wait()
        for side, code in status.items():
            if code:
                raise UserError(f"{program} failed on the code of {side} (status {code}); see {place / f'{side}.log'}")


def lies_at(tree: Path, program: str) -> str:
    """Where a file of `benchmarks` lies in another commit's tree: folders get other names, files keep theirs.

    Raises:
        UserError: If it is not there, and no file or several have its name.
    """
    if (tree / program).is_file():
        return program
    found = sorted((tree / "benchmarks").rglob(Path(program).name))
    if len(found) != 1:
        raise UserError(
            f"on the earlier code {program} is not there, and {len(found)} files have its name; name another commit "
            "with --against"
        )
    return found[0].relative_to(tree).as_posix()


def _python(tree: Path, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    """A program of a tree, which sees no other one's packages or datasets."""
    theirs = os.environ | {
        "PYTHONPATH": str(tree.resolve()), "MINARI_DATASETS_PATH": str((tree / "datasets").resolve()),
    }  # fmt: skip
    with log.open("ab") as said:
        return subprocess.Popen([sys.executable, *command], cwd=tree, env=theirs, stdout=said, stderr=said)


def _made(tree: Path, name: str) -> Figure:
    """The figure that a run has written in a tree."""
    return read_figure(name, tree / "benchmarks" / "figures")


def _committed() -> str:
    """The commit of this checkout.

    Raises:
        UserError: If this is none, or code was changed since.
    """
    command = ["git", "status", "--porcelain", "--", "*.py", "*.toml"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    head = commit()
    if head is None or found.returncode:
        raise UserError("figures are confirmed in a git checkout alone: the measured code is taken from its history")
    if found.stdout.strip():
        raise UserError(f"files of code that are not committed: {len(found.stdout.splitlines())}; commit them first")
    return head.rstrip("+")


if __name__ == "__main__":
    run_or_say(main)
