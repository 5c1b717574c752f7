"""Puts the numbers of studies into the pages, or checks that they are there.

    python benchmarks/docs_pages/fill.py             make pages
    python benchmarks/docs_pages/fill.py --check     what `make lint` does: says where text and figures differ

Pages hold markers, and between them what stands in `benchmarks/figures`; CONTRIBUTING.md shows them. Text between
markers is not to be typed: it is overwritten. Where nothing was measured yet, the page says by which command it is.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import Parser
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import FOLDER, MISSING, commands, read_figure
from frl_env.errors import UserError
from frl_env.terminal import run_or_say, write_atomically

MARKER = re.compile(r"(?<!`)<!-- (figure|measured): ([^>]*?) -->(.*?)<!-- end -->", flags=re.DOTALL)
OPENING = re.compile(r"(?<!`)<!-- (?:figure|measured):")
"""Between backticks a marker is an example."""


WIDTH = 85
"""Characters of a command that has room on a line of a page."""
LINE = 100
"""Columns of a line of a page."""
CODE = re.compile(r"`[^`]*`")
NO_BREAK = "\u00a0"
"""A command stays on one line, so that it can be copied."""


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may hold markers: all Markdown of the checkout that people read."""
    return [page for folder in (root, root / "docs", root / "benchmarks") for page in sorted(folder.glob("*.md"))]


def filled(text: str, folder: Path = FOLDER) -> str:
    """A page with the numbers of today's figures.

    Raises:
        UserError: If a marker is not understood, or names a figure, row or field that does not exist.
    """
    if len(OPENING.findall(text)) != len(MARKER.findall(text)):
        raise UserError("a marker of a figure is not closed, or stands within another; end it with <!-- end -->")

    tables = {found[2] for found in MARKER.finditer(text) if found[1] == "figure"}

    def fill(found: re.Match[str]) -> str:
        kind, asked, _ = found.groups()
        study, *rest = (part.strip() for part in asked.replace("\\|", "|").split("|"))
        alone = not text[: found.start()].rpartition("\n")[2].strip(" >-")
        if alone and len(rest) == 2:
            raise UserError(
                f"the number of {study} | {rest[0]} begins a line, which ends the paragraph before it; wrap the lines "
                "so that a word comes first"
            )
        command = commands(folder).get(study)
        if command and not (folder / f"{study}.json").is_file() and len(rest) in (0, 2):
            said = _not_measured(command) if kind == "figure" else "" if study in tables else "Not measured yet."
            return f"<!-- {kind}: {asked} -->{MISSING if rest else _of_its_own(said, alone)}<!-- end -->"
        figure = read_figure(study, folder)
        if kind == "measured" and not rest:
            inside = _of_its_own(figure.measured(), alone)
        elif kind == "figure" and not rest:
            inside = f"\n\n{figure.table()}\n\n"
        elif kind == "figure" and len(rest) == 2:
            inside = figure.written(*rest)
        else:
            raise UserError(
                f"a marker must be 'figure: STUDY', 'figure: STUDY | ROW | TEMPLATE' or 'measured: STUDY', "
                f"not '{kind}: {asked}'"
            )
        return f"<!-- {kind}: {asked} -->{inside}<!-- end -->"

    return MARKER.sub(fill, text)


def _of_its_own(said: str, alone: bool) -> str:
    """A sentence; where its marker begins a line, a paragraph: what follows a comment on its line is no Markdown."""
    if not alone or not said or said.startswith("\n"):
        return said
    whole = CODE.sub(lambda code: code[0].replace(" ", NO_BREAK), said)
    wrapped = textwrap.fill(whole, LINE, break_long_words=False, break_on_hyphens=False)
    return f"\n\n{wrapped.replace(NO_BREAK, ' ')}\n\n"


def _not_measured(command: str) -> str:
    """What stands in place of a table where a command is known and nobody has run it."""
    by = (
        f"`python {command}`"
        if len(command) < WIDTH
        else "the command of that name in `benchmarks/figures/commands.toml`"
    )
    return f"\n\nNot measured yet. `make figures` does, by\n{by}.\n\n"


def main(arguments: Sequence[str] | None = None) -> None:
    """Fills or checks."""
    parser = Parser(description="Put the numbers of studies into the pages.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where text and figures differ")
    options = parser.parse_args(arguments)
    other = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        place = page.relative_to(ROOT)
        try:
            full = filled(text)
        except UserError as problem:
            raise UserError(f"{place}: {problem}") from None
        if full != text:
            other.append(f"{place}, line {_first_difference(text, full)}")
            if not options.check:
                write_atomically(page, full)
    if other and options.check:
        raise UserError(f"text and figures differ in {'; '.join(other)}: run 'make pages'")
    print(f"{len(other)} pages filled" if other else "pages and figures agree")


def _first_difference(text: str, full: str) -> int:
    ours, theirs = text.splitlines(), full.splitlines()
    pairs = zip(ours, theirs, strict=False)
    return next((number for number, (a, b) in enumerate(pairs, 1) if a != b), min(len(ours), len(theirs)))


if __name__ == "__main__":
    run_or_say(main)
