"""Where commands print their tables of faults: standard error."""

from rich.console import Console

WIDTH = 160
"""Columns where standard error is no terminal."""


def error_screen() -> Console:
    """Standard error, wide enough for a table of faults wherever it leads."""
    screen = Console(stderr=True)
    if not screen.is_terminal:
        screen.width = WIDTH
    return screen
