"""What every study does: options, units that are made once and kept, and one table for the screen and for the pages.

    STUDY = Study(
        RESULTS,
        "What it costs FactoredAWR to take a habit for a need.",
        {"members": (5_000, 2, "members of a dataset"), "seeds": (1, 1, "training seeds 0..N-1")},
    )

    def main(arguments=None):
        options = STUDY.options(arguments)
        units = [Unit(f"seed{seed}", partial(train_and_value, seed), {"seed": seed}) for seed in range(options.seeds)]
        rows = [summed_up(found) for found in STUDY.each(units, options, "trained")]
        STUDY.tell(rows, COLUMNS, options)

A *unit* is the smallest piece of work that is kept. A stopped study goes on at the unit where it was. Rows and columns
are those of `benchmarks.result_records.figures`: what the screen shows is what pages say.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_folder_can_be_made, check_writable, command_of
from benchmarks.result_records.figures import Field, is_number, write_figure, written
from benchmarks.result_records.kept_results import Kept
from frl_env.errors import UserError
from frl_env.terminal import progress_bar

WIDTH = 150
"""Columns of a table that goes to a file."""

Tell = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True)
class Unit:
    """A piece of work.

    Attributes:
        label: How the name of its file begins.
        make: Does it.
        facts: All that its result depends on besides code, JSON-able.
    """

    label: str
    make: Callable[[], Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Study:
    """A question that one command answers.

    Attributes:
        results: What it keeps.
        about: The question, for `--help`.
        numbers: Options that are whole numbers, by name: default, least, and what it is.
        more: Adds its other options.
        name: Of its figure, and of its folder in "results"; as its module is called when empty.
    """

    results: Kept
    about: str
    numbers: Mapping[str, tuple[int, int, str]] = field(default_factory=dict)
    more: Callable[[argparse.ArgumentParser], object] = lambda parser: None
    name: str = ""

    @property
    def called(self) -> str:
        """Its name."""
        return self.name or self.results.program.split(".")[-1]

    def parser(self) -> Parser:
        """Its command line."""
        parser = Parser(description=self.about)
        self.more(parser)
        for name, (default, _, what) in self.numbers.items():
            parser.add_argument(
                f"--{name.replace('_', '-')}", type=int, default=default, help=f"{what} (default {default})"
            )
        parser.add_argument("--figure", action="store_true", help="also write the table for pages, benchmarks/figures")
        parser.add_argument(
            "--out", type=Path, default=Path(f"results/{self.called}"),
            help="folder of what is finished (default %(default)s)",
        )  # fmt: skip
        return parser

    def options(self, arguments: Sequence[str] | None) -> argparse.Namespace:
        """What was given, checked.

        Raises:
            UserError: If a number is too small or large, or results can't be kept.
        """
        options = self.parser().parse_args(arguments)
        check_at_least(options, **{name: least for name, (_, least, _) in self.numbers.items()})
        check_folder_can_be_made(options.out)
        return options

    def each(
        self, units: Sequence[Unit], options: argparse.Namespace, what: str, *, tell: Tell | None = None,
        kind: str = "json",
    ) -> list[Any]:  # fmt: skip
        """What comes of each unit, made where it is not kept.

        Args:
            units: In this order.
            options: `out` is where they are kept; with `report`, nothing is made, and what is missing is None.
            what: Is being done.
            tell: Progress; by default a bar of its own.
            kind: `json`, `array` or `table`; see `benchmarks.result_records.kept_results`.

        Raises:
            UserError: If something can't be kept, or is damaged; or if pages are to have it and not all is there.
        """
        if tell is None:
            with progress_bar() as bar:
                return self.each(units, options, what, tell=bar, kind=kind)
        check_writable(options.out)
        keep = getattr(self.results, kind)
        found = []
        for done, unit in enumerate(units):
            tell(what, done, len(units))
            if getattr(options, "report", False):
                found.append(self.results.known(options.out, unit.label, **unit.facts))
            else:
                found.append(keep(options.out, unit.label, unit.make, **unit.facts))
        tell(what, len(units), len(units))
        missing = sum(each is None for each in found)
        if missing and getattr(options, "figure", False):  # its command would say more than was measured
            raise UserError(
                f"--figure is for a study that is finished, and {missing} of {len(units)} ({what}) are missing; run "
                "without --report"
            )
        return found

    def tell(
        self,
        rows: Sequence[Mapping[str, Field]],
        columns: Mapping[str, str],
        options: argparse.Namespace,
        *,
        part: str = "",
        title: str = "",
        caption: str = "",
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Shows the table, and with `--figure` keeps it for pages.

        Args:
            rows: What was found; the first field of each names it.
            columns: Headings, and how their cells are written from the fields of a row.
            options: What was given.
            part: Which of its figures, where a study has several.
            title: Above the table.
            caption: Below it.
            data: Checksum of each dataset, by its id.

        Raises:
            UserError: If the figure can't be written.
        """
        show(rows, columns, title=title, caption=caption)
        if options.figure:
            settings = {name: each for name, each in vars(options).items() if name not in ("out", "figure", "report")}
            write_figure(
                f"{self.called}-{part}" if part else self.called, rows, columns=columns,
                command=command_of(self.results.program, self.parser(), options), programs=[self.results.program],
                data=data, settings=settings,
            )  # fmt: skip


def show(
    rows: Sequence[Mapping[str, Field]], columns: Mapping[str, str], *, title: str = "", caption: str = ""
) -> None:
    """Prints rows as a table: words to the left, numbers to the right."""
    cells = [[written(row, how, "table") for how in columns.values()] for row in rows]
    table = Table(title=title or None, caption=caption or None, title_justify="left", caption_justify="left")
    for place, heading in enumerate(columns):
        right = all(is_number(line[place]) for line in cells)
        table.add_column(heading, justify="right" if right else "left", no_wrap=place == 0)
    for line in cells:
        table.add_row(*line)
    console = Console()
    if not console.is_terminal:
        console.width = WIDTH
    console.print(table)
