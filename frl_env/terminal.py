"""What every command line here shares: screen, progress bar, and one guard around every program.

| What ends a program | What is said | Exit status |
|---|---|---|
| done | what it printed | 0, or 1 where a check of its own failed |
| a mistake that a person can put right (`UserError`, an error of usage) | one line | 2 |
| a disk that is full or can't be read or written, or too little memory | one line | 2 |
| Ctrl-C | one line | 130 |
| SIGTERM | one line | 143 |
| whoever read its output went away (`frl list`, piped to `head`) | nothing | 141 |
| a fault of the program | its traceback | 1 |
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from frl_env import starting
from frl_env.errors import UserError, shorten, system_reason
from frl_env.files import atomic

STOPPED = (
    "stopped; what was whole is kept (finished runs, parts of a large build or import), nothing half-written is; the "
    "same command goes on"
)

console = Console()
if not console.is_terminal:
    console.width = 120


class Terminated(KeyboardInterrupt):
    """SIGTERM: what Ctrl-C would clean up is cleaned up, too."""


def write_atomically(file: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        UserError: If the folder can't be written.
    """
    try:
        atomic.write_text(file, text)
    except OSError as problem:
        raise UserError(f"can't write {file} ({problem.strerror})") from problem


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each kind of work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # a total may be a guess at first

        yield report


def run_or_say(command: Callable[[], object]) -> None:
    """Runs a program under the guard.

    Args:
        command: The program; what it returns is ignored.

    Raises:
        SystemExit: With the status of the table above.
    """
    _survive_poor_terminals()
    before: dict[int, Any] = {}
    try:
        before = _listen()
        command()
        sys.stdout.flush()
    except Terminated:
        _leave(STOPPED, 143)
    except (KeyboardInterrupt, typer.Abort):
        _leave(STOPPED, 130)
    except UserError as problem:
        _leave(str(problem), 2)
    except BrokenPipeError:
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        raise SystemExit(141) from None
    except MemoryError:
        _leave("there is not enough memory for this; give fewer members or rows, or use a larger machine", 2)
    except OSError as problem:
        place = f": {problem.filename}" if problem.filename else ""
        _leave(
            f"{system_reason(problem, str(problem))}{place}; free space, check permissions, or choose another place", 2
        )
    except Exception as problem:
        # Errors of usage, from whichever copy of click typer brings along.
        message = getattr(problem, "format_message", None)
        if message is None:
            raise
        if message():  # empty after the help that a bare `frl` prints
            told = shorten(" ".join(message().split()), 300).removesuffix(".")
            command = getattr(getattr(problem, "ctx", None), "command_path", "frl")
            _leave(f"{told}; try '{command} --help'", 2)
        raise SystemExit(2) from None
    finally:
        for number, handler in before.items():
            # What a program wrote stays whole if Ctrl-C comes while Python ends.
            signal.signal(number, signal.SIG_IGN if handler is starting.stop else handler)


def _leave(what: str, status: int) -> None:
    """Says in one line why, and leaves.

    Raises:
        SystemExit: Always.
    """
    _listen(signal.SIG_IGN, signal.SIG_IGN)  # who is impatient presses twice
    with suppress(OSError):
        line = "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in what)
        print(f"error: {line}", file=sys.stderr)
    raise SystemExit(status) from None


def _stop(*_: object) -> None:
    raise Terminated


def _listen(terminated: Any = _stop, interrupted: Any = signal.default_int_handler) -> dict[int, Any]:
    """Has Ctrl-C and SIGTERM raise exceptions; returns what they did before, nothing where it can't be changed."""
    try:
        return {
            signal.SIGTERM: signal.signal(signal.SIGTERM, terminated),
            signal.SIGINT: signal.signal(signal.SIGINT, interrupted),
        }
    except ValueError:  # not in the main thread
        return {}


def _survive_poor_terminals() -> None:
    """Has letters that a terminal does not know written in another way, instead of ending the program."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None and "utf" not in (getattr(stream, "encoding", None) or "utf").lower():
            reconfigure(errors="backslashreplace")
