"""What the benchmark commands share on the command line: complaints in one line, and a folder that can be written."""

import argparse
import math
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from frl_env.errors import UserError, shorten

LONGEST_COMPLAINT = 300
"""Characters that a complaint quotes of what was given."""

LARGEST = 2**31 - 1
"""Of any number of seeds, members, updates or processes."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line, and that takes options by their whole names.

    Else `--seed 3` were `--seeds 3`, three other seeds, and a command that is kept would mean something else once there
    is an option of that name.
    """

    def __init__(self, **settings: Any) -> None:
        """As argparse, without abbreviations."""
        super().__init__(**settings, allow_abbrev=False)

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:
        """Parses, after a look at values that are empty, as of a shell variable that nobody set.

        Raises:
            UserError: If a value is empty, or a lone `--`, which argparse takes for no value.
        """
        given = sys.argv[1:] if args is None else list(args)
        for argument in given:
            name, _, value = argument.partition("=")
            if not argument or (name.startswith("-") and name != argument and value in ("", "--")):
                why = "is empty, as of a shell variable that is not set; write a value, or leave it out"
                raise UserError(f"{name or 'an argument'} {why}")
        return super().parse_args(given, namespace)

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the whole usage."""
        raise UserError(f"{shorten(message, LONGEST_COMPLAINT)}; try --help")


NO_PART = ("help", "out", "folder", "kept", "figure", "report")
"""Options on which no number depends: where results lie, and how they are shown."""


def command_of(program: str, parser: argparse.ArgumentParser, options: argparse.Namespace) -> str:
    """The command line that gives these results, as a shell reads it, wherever they are written: what is no default.

    Args:
        program: The module that is run.
        parser: Its parser.
        options: What it was given.
    """
    parts = []
    for action in parser._actions:
        value = getattr(options, action.dest, None)
        if action.dest in NO_PART or value == parser.get_default(action.dest):
            continue
        option = [action.option_strings[-1]] if action.option_strings else []
        parts += option if value is True else [*option, shlex.quote(str(value))]
    return " ".join([f"python {program.replace('.', '/')}.py", *parts])


def check_at_least(options: argparse.Namespace, **least: int) -> None:
    """Refuses whole numbers that are too small, or so large that nothing could hold as many; None passes.

    Raises:
        UserError: Names the option and what it must be.
    """
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and not smallest <= value <= LARGEST:
            limit = f"at least {smallest}" if value < smallest else f"at most {LARGEST:,}"
            raise UserError(f"--{name.replace('_', '-')} must be {limit}, not {shorten(str(value))}")


def numbers(text: str, option: str) -> list[float]:
    """Numbers of at least 0 from a list by comma.

    Args:
        text: The list.
        option: Where it was given, for the message.

    Raises:
        UserError: If there is none, or one is no such number.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"{option} takes numbers by comma, not {shorten(text)!r}") from None
    if not all(math.isfinite(number) and number >= 0 for number in found):
        raise UserError(f"{option} takes numbers of 0 or more, not {shorten(text)!r}")
    return found


def check_writable(folder: Path) -> None:
    """Makes the results folder and writes into it once, before any long work.

    Raises:
        UserError: If that fails.
    """
    with _said_of(folder):
        _write_into(folder)


def check_folder_can_be_made(folder: Path) -> None:
    """Checks that a folder can be written, and leaves none behind; for use before other options are checked.

    Raises:
        UserError: If the folder can't be made or written.
    """
    whole = folder.absolute()
    there = next(place for place in (whole, *whole.parents) if os.path.lexists(place))
    # Not in its own place: another command that was given the same folder may be about to write into it.
    with _said_of(folder), tempfile.TemporaryDirectory(dir=there) as aside:
        _write_into(Path(aside) / whole.relative_to(there))


def _write_into(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


@contextmanager
def _said_of(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"can't write to {shorten(str(folder))} ({problem.strerror}); choose another folder"
        ) from problem
