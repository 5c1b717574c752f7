"""What the benchmark commands share on the command line: complaints in one line, and a folder that can be written."""

import argparse
import tempfile
from pathlib import Path
from typing import NoReturn

from frl_env.errors import UserError, shorten

LARGEST = 2**31 - 1
"""Of any number of seeds, members, updates or processes."""


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the whole usage."""
        raise UserError(f"{message}; try --help")


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


def check_writable(folder: Path) -> None:
    """Makes the results folder and writes into it once, before any long work.

    Raises:
        UserError: If that fails.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder):
            pass
    except OSError as problem:
        raise UserError(f"can't write to {folder} ({problem.strerror}); choose another folder with --out") from problem
