"""Writes the table of rooms in docs/architecture.md from the code: what each is for, and what it imports.

python benchmarks/docs_pages/rooms.py            part of make pages
python benchmarks/docs_pages/rooms.py --check    part of make lint
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import Parser
from benchmarks.result_records.code_key import ROOT
from frl_env.errors import UserError
from frl_env.terminal import run_or_say, write_atomically

PAGE = ROOT / "docs" / "architecture.md"
BETWEEN = re.compile(r"(<!-- rooms -->).*?(<!-- end of rooms -->)", flags=re.DOTALL)
PACKAGES = ("frl_env", "frl_algos", "benchmarks")


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the table, or with `--check` says whether it is today's."""
    parser = Parser(description="The table of rooms in docs/architecture.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; an error where the table is another")
    options = parser.parse_args(arguments)
    before = PAGE.read_text()
    if not BETWEEN.search(before):
        raise UserError("docs/architecture.md has no place for the rooms: <!-- rooms --> ... <!-- end of rooms -->")
    table = "\n\n".join(_table(package) for package in PACKAGES)
    after = BETWEEN.sub(lambda found: f"{found[1]}\n\n{table}\n\n{found[2]}", before)
    if not options.check:
        write_atomically(PAGE, after)
    elif after != before:
        raise UserError("docs/architecture.md shows other rooms than the code has; make pages writes them anew")


def _table(package: str) -> str:
    """The rooms of one package."""
    rooms = sorted(path.parent for path in (ROOT / package).glob("*/__init__.py"))
    lines = [f"| Room of `{package}` | For | Imports, of this package |", "|---|---|---|"]
    for room in rooms:
        used = sorted({name for file in room.rglob("*.py") for name in _imported(file, package)} - {room.name})
        lines.append(f"| `{room.name}` | {purpose(room)} | {', '.join(f'`{name}`' for name in used) or 'nothing'} |")
    return "\n".join(lines)


def purpose(room: Path) -> str:
    """The first sentence of what a room says of itself.

    Raises:
        UserError: If it says nothing.
    """
    text = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    if not text:
        raise UserError(f"{room.relative_to(ROOT)} does not say what it is for; its __init__.py needs a docstring")
    return re.split(r"(?<=\.)\s", " ".join(text.split("\n\n")[0].split()))[0].rstrip(".").replace("|", "/")


def _imported(file: Path, package: str) -> set[str]:
    """Rooms and modules of the package that a file imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            whole = [f"{node.module}.{alias.name}" for alias in node.names] if node.module == package else [node.module]
        elif isinstance(node, ast.Import):
            whole = [alias.name for alias in node.names]
        else:
            continue
        names |= {name.split(".")[1] for name in whole if name.startswith(f"{package}.")}
    return {name for name in names if (ROOT / package / name / "__init__.py").exists()}


if __name__ == "__main__":
    run_or_say(main)
