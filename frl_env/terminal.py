"""What every command line here shares: screen, progress bar, whole files, and errors in one line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from frl_env.errors import UserError

console = Console()
if not console.is_terminal:
    console.width = 120


def write_atomically(file: Path, text: str) -> None:
    """Writes a file whole or not at all.

    Raises:
        UserError: If the folder can't be written.
    """
    aside = file.with_name(f".{file.name}.writing")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as problem:
        raise UserError(f"can't write {file} ({problem.strerror})") from problem
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each kind of work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield report


def run_or_say(command: Callable[[], object]) -> None:
    """Runs a command; what a person can put right becomes one line on standard error and exit status 2."""
    try:
        command()
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, typer.Abort):
        print(
            "error: stopped; what was whole is kept (finished runs, parts of a large build or import), nothing "
            "half-written is; the same command goes on",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    except Exception as problem:
        # Errors of usage, from whichever copy of click typer brings along.
        message = getattr(problem, "format_message", None)
        if message is None:
            raise
        if message():  # empty after the help that a bare `frl` prints
            print(f"error: {message()} Try 'frl --help'.", file=sys.stderr)
        raise SystemExit(2) from None
