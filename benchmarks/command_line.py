"""What the benchmark commands share on the command line: complaints in one line, and a folder that can be written."""

import argparse
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
