"""Ctrl-C while a program is still importing: one line there, too. To be imported before all that takes time."""

import os
import signal
import sys
from pathlib import Path

PROGRAMS = ("frl", "frl.exe")
"""Names of commands."""

SCRIPTS = Path(__file__).parent.parent / "benchmarks"
"""Where scripts lie, in a checkout."""


def quiet_start() -> None:
    """Has Ctrl-C end the program in one line until its guard takes over, if the program is one of ours."""
    program = Path(sys.argv[0] if sys.argv else "")
    if program.name in PROGRAMS or (program.suffix == ".py" and _lies_in(program, SCRIPTS)):
        signal.signal(signal.SIGINT, _stop)


def _lies_in(program: Path, folder: Path) -> bool:
    try:
        return program.resolve().is_relative_to(folder.resolve())
    except OSError:
        return False


def _stop(*_: object) -> None:
    sys.stderr.write("error: stopped before any work\n")
    sys.stderr.flush()
    os._exit(130)


quiet_start()
