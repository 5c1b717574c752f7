"""What the benchmark commands share on the command line: complaints in one line, and a folder that can be written."""

import argparse
import tempfile
from pathlib import Path
from typing import NoReturn

from frl_env.errors import UserError


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are one line."""

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing the whole usage."""
        raise UserError(f"{message}; try --help")


def check_at_least(options: argparse.Namespace, **least: int) -> None:
    """Refuses whole numbers that are too small; None passes.

    Raises:
        UserError: Names the option and what it must be.
    """
    for name, smallest in least.items():
        value = getattr(options, name)
        if value is not None and value < smallest:
            raise UserError(f"--{name.replace('_', '-')} must be at least {smallest}, not {value}")


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
