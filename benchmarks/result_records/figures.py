"""Results of studies as data: one small, committed JSON file a study, from which pages take every number.

    write_figure(
        "habits",
        [{"team": "habit only", "share": 44.8, "error": 1.1}],
        columns={"the team's goals": "{team}", "share of the gap, %": "{share:.0f} ({error:.1f})"},
        command="python benchmarks/studies/habits.py",
        programs=["benchmarks.studies.habits"],
        data={"frl/medicaid-synthetic-v0": "9f0c..."},
    )

`benchmarks/docs_pages/fill.py` puts the numbers into the pages; CONTRIBUTING.md has the markers. A row is a flat
mapping of numbers and words; the first of its fields is its name. Columns are headings and how the cell is written, as
`str.format` takes it, from the fields of the row.
"""

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.result_records.circumstances import commit, machine, versions
from benchmarks.result_records.code_key import ROOT, code_key
from benchmarks.result_records.run_key import SHOWING
from frl_env.errors import UserError, unknown_name
from frl_env.terminal import write_atomically

FOLDER = ROOT / "benchmarks" / "figures"
MISSING = "\N{EN DASH}"
"""Written for a field that is None."""

Field = str | int | float | bool | None


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a study found.

    Attributes:
        study: Its name.
        command: What makes it anew.
        commit: Of the checkout that measured it, "+" if it did not hold the code; None outside one.
        programs: Modules whose code made it.
        code: `code_key` of these, without what only shows results, when it was measured.
        data: Checksum of each dataset, by its id.
        settings: What else it depends on.
        versions: Of Python and packages.
        machine: In words.
        columns: Headings and how their cells are written.
        rows: What was found; the first field names the row.
        without: Modules that these programs import and the numbers do not depend on, beside those that only show.
        confirmed: Of later code that was found to give the same numbers in a shorter run
            (`benchmarks.docs_pages.confirm`): its `commit`, `code`, `programs` and `without`, the `command` that was
            run on both, and how many `values` were compared; None where none was.
    """

    study: str
    command: str
    commit: str | None
    programs: Sequence[str]
    code: str
    data: Mapping[str, str]
    settings: Mapping[str, Any]
    versions: Mapping[str, str]
    machine: str
    columns: Mapping[str, str]
    rows: Sequence[Mapping[str, Field]]
    without: Sequence[str] = ()
    confirmed: Mapping[str, Any] | None = None

    @property
    def measured_today(self) -> bool:
        """Whether the code that made it is the code of today."""
        return is_of_today(self.code, self.programs, self.without)

    @property
    def current(self) -> bool:
        """Whether the code that made it is the code of today, or today's was confirmed to give the same numbers."""
        later = self.confirmed
        return self.measured_today or (
            later is not None and is_of_today(later["code"], later["programs"], later["without"])
        )

    def row(self, name: str) -> Mapping[str, Field]:
        """The row of a name.

        Raises:
            UserError: If there is none.
        """
        names = [str(next(iter(row.values()))) for row in self.rows]
        if name not in names:
            raise unknown_name(f"row of {self.study}", name, names)
        return self.rows[names.index(name)]

    def written(self, name: str, how: str) -> str:
        """Fields of a row as a template writes them, `"{share:.0f} %"`."""
        return written(self.row(name), how, self.study)

    def table(self) -> str:
        """All rows as a Markdown table: words to the left, numbers to the right."""
        cells = [[written(row, how, self.study) for how in self.columns.values()] for row in self.rows]
        numeric = [all(is_number(line[i]) for line in cells) for i in range(len(self.columns))]
        rule = "|".join("---:" if right else "---" for right in numeric)
        lines = [f"| {' | '.join(self.columns)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in cells)]
        return "\n".join(lines)

    def measured(self) -> str:
        """A sentence on what measured it; where the code is another one today, it says so."""
        where = f" at commit `{self.commit[:7]}`" if self.commit else ""
        if self.measured_today:
            return f"Measured by `{self.command}`."
        if self.current and self.confirmed:
            return (
                f"Measured{where} by `{self.command}`. Code has changed since; a shorter run finds the same "
                f"{self.confirmed['values']:,} values with today's (`make confirm`)."
            )
        return f"Measured{where} by `{self.command}`; code that these numbers depend on has changed since."


def write_figure(study: str, rows: Sequence[Mapping[str, Field]], *, folder: Path | None = None, **facts: Any) -> Path:
    """Keeps what a study found, whole or not at all.

    Args:
        study: Its name, and that of the file.
        rows: What was found; the first field of each names it, and no two have the same name.
        folder: Where; `FOLDER` when None.
        facts: As in `figure_text`.

    Raises:
        UserError: If two rows have the same name, a number is not finite, a cell can't be written, or the file can't.
    """
    text = figure_text(study, rows, **facts)
    folder = folder or FOLDER
    file = folder / f"{study}.json"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UserError(f"can't write {file} ({problem.strerror})") from problem
    write_atomically(file, text)
    return file


def figure_text(
    study: str,
    rows: Sequence[Mapping[str, Field]],
    *,
    columns: Mapping[str, str],
    command: str,
    programs: Sequence[str],
    data: Mapping[str, str] | None = None,
    settings: Mapping[str, Any] | None = None,
    without: Sequence[str] = (),
    code: str | None = None,
    measured_at: str | None = None,
    confirmed: Mapping[str, Any] | None = None,
) -> str:
    """What a study found, as its file has it.

    Args:
        study: Its name.
        rows: What was found; the first field of each names it, and no two have the same name.
        columns: Headings of the table, and how their cells are written from the fields of a row.
        command: What makes it anew, without places of this machine.
        programs: Modules whose code, with all that they import, made it.
        data: Checksum of each dataset, by its id.
        settings: What else it depends on.
        without: As in `Figure`.
        code: `Figure.code` of the oldest row, where rows are of an earlier file or of earlier code (default: of today).
        measured_at: `Figure.commit` of that row (default: today's).
        confirmed: `Figure.confirmed` of that file.

    Raises:
        UserError: If two rows have the same name, a number is not finite, or a cell can't be written.
    """
    names = [str(next(iter(row.values()))) for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"figure {study}: {names.count(name)} rows are named {name!r}; give each a name of its own")
    for name, row in zip(names, rows, strict=True):
        for field, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise UserError(f"figure {study}: {field} of {name!r} is {value}; put None where there is no number")
    figure = Figure(
        study=study,
        command=command,
        commit=commit() if measured_at is None else measured_at,
        programs=list(programs),
        code=code_of(programs, without) if code is None else code,
        data=dict(data or {}),
        settings=dict(settings or {}),
        versions=versions(),
        machine=machine(),
        columns=dict(columns),
        rows=[dict(row) for row in rows],
        without=list(without),
        confirmed=confirmed,
    )
    figure.table()
    return as_json(figure)


def as_json(figure: Figure) -> str:
    """A figure as its file has it; what says nothing is left out, so that earlier code that lacks it reads the rest."""
    fields = {name: each for name, each in vars(figure).items() if each or name not in ("without", "confirmed")}
    return json.dumps(fields, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_figure(study: str, folder: Path | None = None) -> Figure:
    """What a study found.

    Args:
        study: Its name.
        folder: Where; `FOLDER` when None.

    Raises:
        UserError: If it was not kept, or the file is damaged.
    """
    folder = folder or FOLDER
    file = folder / f"{study}.json"
    if not file.is_file():
        raise unknown_name("figure", study, sorted(path.stem for path in folder.glob("*.json")))
    try:
        return Figure(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as problem:
        raise UserError(f"{file.name} is damaged ({type(problem).__name__}); run its study again") from problem


def commands(folder: Path | None = None) -> dict[str, str]:
    """The program and options that measure a figure, by its name: of every figure that a page shows.

    A figure may be in it that nobody has measured yet.
    """
    file = (folder or FOLDER) / "commands.toml"
    return tomllib.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}


def code_of(programs: Sequence[str], without: Sequence[str] = ()) -> str:
    """The code key of what programs found: without the modules that only show results."""
    return code_key(*programs, without=(*SHOWING, *without))


def is_of_today(code: str, programs: Sequence[str], without: Sequence[str] = ()) -> bool:
    """Whether what programs found is of the code of today.

    Args:
        code: What `code_of` said when it was found.
        programs: Modules that made it.
        without: As in `Figure`.
    """
    try:
        return code_of(programs, without) == code
    except ValueError:  # a module of another name today
        return False


class _Missing:
    """Takes any format."""

    def __format__(self, how: str) -> str:
        return MISSING


def written(row: Mapping[str, Field], how: str, study: str) -> str:
    """Fields of a row as a template writes them.

    Args:
        row: Fields by name; None is written as `MISSING`.
        how: The template, as `str.format` takes it.
        study: Whose row it is, for the message.

    Raises:
        UserError: If it has other fields.
    """
    fields = {name: _Missing() if value is None else value for name, value in row.items()}
    try:
        return how.format(**fields)
    except (KeyError, ValueError, IndexError, AttributeError, TypeError) as problem:
        raise UserError(
            f"figure {study}: {how!r} can't be written from the fields {', '.join(row)} "
            f"({type(problem).__name__}: {problem})"
        ) from None


def is_number(cell: str) -> bool:
    """Whether a cell holds a number, or says that there is none."""
    return cell == MISSING or cell[:1].isdigit() or (cell[:1] in "+-" and cell[1:2].isdigit())
