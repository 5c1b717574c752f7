"""Runs docs/tutorial.md as it stands, and puts the figures that it draws beside it.

python benchmarks/docs_pages/tutorial.py            a few minutes; builds two datasets when they are missing
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import Parser, check_writable
from frl_env.terminal import run_or_say

PAGE = Path(__file__).resolve().parents[2] / "docs" / "tutorial.md"
FIGURES = PAGE.parent / "figures" / "tutorial"

BLOCK = re.compile(r"```python\n(.*?)```", flags=re.DOTALL)
QUICK = re.compile(r"<!-- quick: (.*?) -> (.*?) -->")
"""What the tests put in place of what, so that the page runs in seconds."""


def blocks(page: str, *, quick: bool = False) -> list[str]:
    """The Python blocks of a page, in order.

    Args:
        page: Its text.
        quick: Whether to make the replacements that the page names in comments.

    Raises:
        ValueError: If a replacement fits no block.
    """
    found = BLOCK.findall(page)
    for old, new in QUICK.findall(page) if quick else ():
        if not any(old in block for block in found):
            raise ValueError(f"the page's quick replacement of {old!r} fits nothing")
        found = [block.replace(old, new) for block in found]
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the page in an empty folder and copies its figures."""
    parser = Parser(description="Runs docs/tutorial.md and writes its figures.")
    parser.add_argument("--out", default=str(FIGURES), help="folder of the figures (default: the page's)")
    out = Path(parser.parse_args(arguments).out).resolve()
    check_writable(out)
    page = PAGE.read_text()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        exec("\n".join(blocks(page)), {"__name__": "__main__"})
        for name in re.findall(r"\]\(figures/tutorial/(\S+?)\)", page):
            # evaluation-values.svg is values.svg of the folder evaluation
            folder_name, dash, file = name.partition("-")
            source = Path(folder_name) / file if dash else Path(name)
            shutil.copy(source, out / name)
            print(f"wrote {os.path.relpath(out / name, PAGE.parent.parent)}")


if __name__ == "__main__":
    run_or_say(main)
