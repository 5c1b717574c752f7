"""Ctrl-C while a program is still importing: one line there, too. To be imported before all that takes time."""

import os
import sys

# `signal` itself takes some milliseconds, in which Ctrl-C would show a traceback.
from _signal import SIGINT, signal  # pyright: ignore[reportMissingImports]

PROGRAMS = ("frl", "frl.exe")
"""Names of commands."""

SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "benchmarks")
"""Where scripts lie, in a checkout."""


def quiet_start() -> None:
    """Has Ctrl-C end the program in one line until its guard takes over, if the program is one of ours."""
    program = sys.argv[0] if sys.argv else ""
    as_module = program == "-m" and sys.orig_argv[-len(sys.argv)].startswith("benchmarks.")  # python -m benchmarks.run
    if as_module or os.path.basename(program) in PROGRAMS or (program.endswith(".py") and _is_script(program)):
        signal(SIGINT, stop)


def _is_script(program: str) -> bool:
    try:
        return os.path.realpath(program).startswith(os.path.realpath(SCRIPTS) + os.sep)
    except (OSError, ValueError):
        return False


def stop(*_: object) -> None:
    """Ends the process at once; before its guard stands there is nothing to clean up."""
    stream = sys.__stderr__ or sys.stderr  # while a noisy package is imported, `sys.stderr` is not the terminal
    if stream is not None:
        stream.write("error: stopped before any work\n")
        stream.flush()
    os._exit(130)


quiet_start()
