"""How plainly the pages are written: length of sentences, width of lines, words used before they are explained.

    python benchmarks/docs_pages/wording.py            # a table, page by page
    python benchmarks/docs_pages/wording.py --check    # what breaks a rule alone, and fails where anything does

Sentences are those of paragraphs and lists; code, tables and headings have none. A word of the glossary
(docs/glossary.md) counts as explained on a page from its first *emphasised* use on, where the page says what it
means, or from a link to the glossary.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from markdown_it import MarkdownIt
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser
from benchmarks.result_records.code_key import ROOT
from frl_env.errors import UserError
from frl_env.terminal import run_or_say

LONG, WIDE, MOST_LONG = 25, 100, 0.03
"""Words of a long sentence, columns of a wide line, and the share of long sentences that a page may have."""

MARKERS = re.compile(r"<!--.*?-->")
GLOSSARY = "docs/glossary.md"
NOT_READ = ("CHANGELOG.md", GLOSSARY)
"""Pages that are no prose to be read from the start."""


@dataclass(frozen=True)
class Wording:
    """What was counted on one page.

    Attributes:
        page: Its path.
        sentences: How many.
        long: Sentences of more than `LONG` words, the longest first.
        wide: Numbers of lines of more than `WIDE` columns.
        unexplained: Words of the glossary that the page uses and does not explain first.
    """

    page: str
    sentences: int
    long: tuple[str, ...]
    wide: tuple[int, ...]
    unexplained: tuple[str, ...]

    @property
    def faults(self) -> tuple[str, ...]:
        """What breaks a rule, a line each: where, and what to do."""
        found = [f"{self.page}:{line}: over {WIDE} columns; break the line" for line in self.wide]
        found += [
            f"{self.page}: {word!r} stands before it is explained; say in its first sentence what it means, with the "
            f"word in *emphasis*, or link it to {GLOSSARY}"
            for word in self.unexplained
        ]
        if len(self.long) > MOST_LONG * max(self.sentences, 1):
            found.append(
                f"{self.page}: {len(self.long)} of {self.sentences} sentences have more than {LONG} words, and "
                f"{MOST_LONG:.0%} may; make some of these shorter:"
            )
            found += [f"  {len(sentence.split())} words: {sentence}" for sentence in self.long]
        return tuple(found)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table; with `--check` what breaks a rule, and ends with status 1 where anything does."""
    parser = Parser(description="How plainly the pages are written.")
    parser.add_argument("pages", nargs="*", help="paths from the top of the repository (default: all)")
    parser.add_argument(
        "--check", action="store_true", help="print what breaks a rule alone; end with status 1 where anything does"
    )
    parser.add_argument("--show", action="store_true", help="print the long sentences, too")
    options = parser.parse_args(arguments)
    for page in options.pages:
        if not (ROOT / page).is_file():
            raise UserError(f"there is no page {page}; name it from the top of the repository, as docs/tutorial.md")
    words = glossary((ROOT / GLOSSARY).read_text())
    found = [measure(page, (ROOT / page).read_text(), words) for page in options.pages or pages()]
    if options.check:
        faults = [fault for each in found for fault in each.faults]
        for fault in faults:
            print(fault)
        if faults:
            bad = sum(bool(each.faults) for each in found)
            sys.exit(f"error: {bad} page{'s break' if bad > 1 else ' breaks'} a rule; see above")
        return
    _show(found)
    for each in found if options.show else []:
        for sentence in each.long:
            print(f"{each.page}: {sentence}")


def _show(found: Sequence[Wording]) -> None:
    """Prints a table, a line a page."""
    table = Table("page", "sentences", f"over {LONG} words", "longest", f"lines over {WIDE}", "before it is explained")
    for each in found:
        table.add_row(
            each.page, str(each.sentences), f"{len(each.long) / max(each.sentences, 1):.1%}",
            str(len(each.long[0].split())) if each.long else f"<= {LONG}", str(len(each.wide)),
            ", ".join(each.unexplained),
        )  # fmt: skip
    Console(width=120).print(table)


def pages() -> list[str]:
    """Every page that is read from its start."""
    there = ["README.md", "CONTRIBUTING.md", "benchmarks/LEADERBOARD.md"]
    there += sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").glob("*.md"))
    return [page for page in there if page not in NOT_READ]


def glossary(text: str) -> tuple[str, ...]:
    """The words of this project that the glossary explains: the entries of its first section, in bold."""
    own = text.partition("## Words of the field")[0]
    return tuple(re.findall(r"^- \*\*([^*]+)\*\*", own, flags=re.MULTILINE))


def measure(page: str, text: str, words: Sequence[str]) -> Wording:
    """Counts on one page.

    Args:
        page: Its path.
        text: What stands on it.
        words: Of the glossary.
    """
    prose = [(MARKERS.sub("", plain), source) for plain, source in _prose(text)]  # nobody reads a marker
    sentences = [sentence for plain, _ in prose for sentence in _sentences(plain)]
    marked = " ".join(MARKERS.sub("", source) for _, source in prose)
    long = sorted((s for s in sentences if len(s.split()) > LONG), key=lambda s: -len(s.split()))
    return Wording(
        page=page,
        sentences=len(sentences),
        long=tuple(long),
        wide=tuple(_wide(text)),
        unexplained=tuple(word for word in words if not _explained(word, marked)),
    )


def _prose(text: str) -> Iterator[tuple[str, str]]:
    """Paragraphs as plain words, and as they stand."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    heading = table = False
    for token in tokens:
        if token.type in ("heading_open", "table_open"):
            heading, table = heading or token.type == "heading_open", table or token.type == "table_open"
        elif token.type in ("heading_close", "table_close"):
            heading, table = heading and token.type != "heading_close", table and token.type != "table_close"
        elif token.type == "inline" and not heading and not table:
            plain = "".join(
                "x" if child.type == "code_inline" else " " if child.type == "softbreak" else child.content
                for child in token.children or []
            )
            yield plain, token.content


def _sentences(plain: str) -> list[str]:
    return [part.strip() for part in re.split(r"(?<=[.!?])\s+", plain) if part.strip()]


def _wide(text: str) -> Iterator[int]:
    """Lines too wide, but for tables, code, pictures, and links that can't be broken; without markers of figures."""
    fenced = False
    for number, line in enumerate(MARKERS.sub("", text).splitlines(), start=1):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif (
            not fenced
            and len(line) > WIDE
            and not line.startswith(("|", "    ", "![", "<"))
            and " " in re.sub(r"`[^`]*`", "x" * WIDE, line.strip())[:WIDE]
        ):
            yield number


def _explained(word: str, marked: str) -> bool:
    """Whether a page does without a word, or explains it at its first use."""
    first = re.search(rf"\b{re.escape(word)}s?\b", marked, flags=re.IGNORECASE)
    if first is None:
        return True
    around = marked[max(first.start() - 3, 0) : first.end() + 3]
    linked = re.search(r"\]\([^)]*glossary\.md", marked[first.start() : first.end() + 60])
    return "*" in around or linked is not None


if __name__ == "__main__":
    run_or_say(main)
