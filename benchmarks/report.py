"""One page that shows what a sweep found and why not to trust it.

    python benchmarks/report.py results -o report.html

Writes the page, its twin in Markdown, and a folder with every number of every figure as CSV and JSON:

    report.html      one file: no script, no network; light, dark and print
    report.md        the same in Markdown
    report-data/     a CSV a table, and report.json with all of them

It measures nothing: every number was kept by `benchmarks/run.py`, or is a rate or a share of such numbers.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import json
import os
import webbrowser
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from benchmarks.command_line import Parser
from benchmarks.sweep_report.contents import data_files, report_of
from benchmarks.sweep_report.markdown import markdown
from benchmarks.sweep_report.page import page
from benchmarks.sweep_report.sweep_results import read_results
from frl_env.errors import UserError
from frl_env.files import atomic
from frl_env.files.output_paths import check_new
from frl_env.terminal import run_or_say

MARK = "<!-- written by benchmarks/report.py -->"
"""Last line of both pages, by which a report knows one that it may replace."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Reads the results and writes the report."""
    parser = Parser(description="Write the report of a finished sweep.")
    parser.add_argument("results", type=Path, help="results folder of benchmarks/run.py")
    parser.add_argument("-o", "--out", type=Path, default=Path("report.html"), help="the page (default report.html)")
    parser.add_argument(
        "--fairness", type=Path, help="folder of benchmarks/studies/fairness_frontier.py (default RESULTS/fairness)"
    )
    parser.add_argument("--force", action="store_true", help="replace files of these names that no report wrote")
    parser.add_argument("--open", action="store_true", help="open the page in the browser")
    options = parser.parse_args(arguments)
    if options.out.suffix.lower() not in (".html", ".htm"):
        raise UserError(f"-o {options.out} is no .html file; the Markdown and the numbers are written beside the page")
    twin_file = options.out.with_suffix(".md")
    _check_writable(options.out)
    for file in (options.out, twin_file):  # nobody named the second
        check_new(file, force=options.force, mark=MARK)
    results = read_results(options.results, options.fairness)
    folder = options.out.with_name(f"{options.out.stem}-data")
    try:
        report = report_of(results, command=_command(options.out))
        text, twin, files = page(report, files=folder.name), markdown(report, files=folder.name), data_files(report)
    except (TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as problem:
        raise UserError(
            f"{options.results} holds results of another form ({type(problem).__name__}: {problem}); "
            f"run benchmarks/run.py --out {options.results} again"
        ) from problem
    write_set(folder, files, {twin_file: f"{twin.rstrip()}\n\n{MARK}\n", options.out: f"{text.rstrip()}\n{MARK}\n"})
    print(f"report: {options.out} ({len(text.encode()) / 1e6:.1f} MB), {twin_file}, {folder}")
    if options.open:
        webbrowser.open(options.out.resolve().as_uri())


def write_set(folder: Path, files: Mapping[str, str], pages: Mapping[Path, str]) -> None:
    """Writes a folder and the pages beside it, all or none; what a report wrote before is replaced.

    Args:
        folder: To make.
        files: Its files by name.
        pages: By place, in the same folder as `folder`.

    Raises:
        UserError: If something can't be written, or the folder is not a report's own.
    """
    strange = _not_ours(folder)
    if strange:
        raise UserError(f"{folder} holds something else ({strange[0]}); choose another name with -o")
    parent = folder.parent
    aside = {place: parent / f".{place.name}.new" for place in (folder, *pages)}
    try:
        for journal in atomic.journals(parent):
            if journal.name.startswith(f".{folder.name}."):
                atomic.settle(journal)
        for place in aside.values():
            atomic.remove(place)
        aside[folder].mkdir()
        for name, text in files.items():
            (aside[folder] / name).write_text(text, encoding="utf-8")
        for place, text in pages.items():
            aside[place].write_text(text, encoding="utf-8")
        atomic.put_together(parent, {new.name: place.name for place, new in aside.items()}, folder.name)
    except OSError as problem:
        raise UserError(f"can't write {folder} and the page ({problem.strerror})") from problem
    finally:
        if not any(journal.name.startswith(f".{folder.name}.") for journal in atomic.journals(parent)):
            for place in aside.values():
                with suppress(OSError):
                    atomic.remove(place)


def _not_ours(folder: Path) -> list[str]:
    """What is in a folder, or is it, that no report wrote."""
    if not folder.exists():
        return []
    if not folder.is_dir():
        return [folder.name]
    try:
        tables = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        tables = {}
    ours = {"report.json", *(f"{name}.csv" for name in tables)} if tables else set()
    return sorted(file.name for file in folder.iterdir() if file.name not in ours)


def _check_writable(file: Path) -> None:
    """Says before anything is written that the page can't be.

    Raises:
        UserError: If so.
    """
    if file.is_dir():
        raise UserError(f"-o {file} is a folder; name the page, for instance {file / 'report.html'}")
    if not file.parent.is_dir():
        raise UserError(f"there is no folder {file.parent} to write {file.name} to; make it first")
    if not os.access(file.parent, os.W_OK):
        raise UserError(f"can't write to {file.parent} (no permission); choose another place with -o")


def _command(out: Path) -> str:
    """The command without places, which differ from machine to machine."""
    return f"python benchmarks/report.py RESULTS -o {out.name}"


if __name__ == "__main__":
    run_or_say(main)
