"""Measures what pages show and nobody measured yet, or with other code than today's.

    python benchmarks/docs_pages/measure.py                    make figures
    python benchmarks/docs_pages/measure.py icu_sepsis habits  these only, whatever there is

The commands are those of `benchmarks/figures/commands.toml`. Each keeps what is finished: stopped, the same command
goes on. It takes hours; `make pages` then puts the numbers into the pages. The figure `ledger` says how long each
command took when it last ran; what it had kept from before took no time.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import shlex
import subprocess
import time
from collections.abc import Sequence

from benchmarks.command_line import Parser
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import FOLDER, commands, read_figure, write_figure
from frl_env.errors import UserError, unknown_name
from frl_env.terminal import run_or_say

LEDGER = "ledger"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the commands, one after the other."""
    parser = Parser(description="Measure what pages show.")
    parser.add_argument("figures", nargs="*", help="which (default: those that are missing or of other code)")
    parser.add_argument("--list", action="store_true", help="only show what would be run")
    options = parser.parse_args(arguments)
    known = commands()
    for name in options.figures:
        if name not in known:
            raise unknown_name("figure", name, sorted(known))
    for name in options.figures or known:
        if not options.figures and _is_current(name):  # or has become so: one command may measure several figures
            continue
        print(f"{name}: python {known[name]} --figure", flush=True)
        if options.list:
            continue
        started = time.perf_counter()
        status = subprocess.run(
            [sys.executable, *shlex.split(known[name]), "--figure"], cwd=ROOT, check=False
        ).returncode
        if status:
            raise UserError(f"{name} was not measured (status {status}); the same command goes on where it was")
        minutes = (time.perf_counter() - started) / 60
        print(f"{name}: {minutes:.1f} minutes", flush=True)
        note(name, minutes)


def note(name: str, minutes: float) -> None:
    """Enters what a command took in the ledger; one that measures two figures has one row.

    Raises:
        UserError: If there is no such figure.
    """
    known = commands()
    if name not in known:
        raise unknown_name("figure", name, sorted(known))
    file = FOLDER / f"{LEDGER}.json"
    rows = {str(row["figure"]): dict(row) for row in read_figure(LEDGER).rows} if file.is_file() else {}
    of_one = [each for each in known if known[each] == known[name]]
    for each in of_one:
        rows.pop(each, None)
    rows[of_one[0]] = {"figure": of_one[0], "program": known[name].split()[0], "minutes": round(minutes, 1)}
    write_figure(
        LEDGER,
        [rows[each] for each in known if each in rows],
        columns={"figure": "{figure}", "program": "{program}", "minutes": "{minutes:.0f}"},
        command="python benchmarks/docs_pages/measure.py",
        programs=["benchmarks.docs_pages.measure"],
    )


def _is_current(name: str) -> bool:
    return (FOLDER / f"{name}.json").is_file() and read_figure(name).current


if __name__ == "__main__":
    run_or_say(main)
