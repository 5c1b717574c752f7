"""A worklist as files: the list for people, and everybody's chances for the data to come. Whole or not at all.

worklist.parquet (or .csv, .html)     a row a listed member
worklist-chances.parquet              a row a member of the caseload: what was decided, and with what chance

A list in two formats has one name and one file of chances, so that both must decide the same.
"""

from collections.abc import Mapping, Sequence
from glob import escape
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from frl_env.datasets.table_import.schema.listed import CHANCES, finish_lists
from frl_env.errors import UserError, system_reason
from frl_env.files import atomic
from frl_env.files.output_paths import check_new
from frl_env.files.spreadsheets import plain_cells
from frl_env.worklist.listing import Worklist, column_of
from frl_env.worklist.summary import Use

ENDINGS = (".parquet", ".csv", ".html")

Words = Mapping[str, Mapping[str, str]]
"""By factor and level, what people call it."""

NO_WORDS: Words = {}


def chances_file(file: Path) -> Path:
    """The file of everybody's chances, beside the list."""
    return file.with_name(f"{file.stem}{CHANCES}")


def check_files(file: Path, *, force: bool) -> None:
    """Says before any work that the list can't be written; what a killed writer of a list began here is finished.

    Raises:
        UserError: If the ending is of no format or that of chances, the folder is not there, or a file exists and may
            not be replaced.
    """
    if file.suffix.lower() not in ENDINGS:
        raise UserError(f"can't write {file}: a worklist ends in {', '.join(ENDINGS)}")
    if file.name.lower().endswith(CHANCES):
        raise UserError(f"can't write {file}: what ends in {CHANCES} has the chances of a list; choose another name")
    finish_lists(file.parent)
    check_new(file, force=force)
    check_new(chances_file(file), force=force or bool(_in_other_formats(file)))


def _in_other_formats(file: Path) -> list[Path]:
    """Lists of the same name with another ending, whose chances are in the same file."""
    return [
        each
        for each in sorted(file.parent.glob(f"{escape(file.stem)}.*"))
        if each.stem == file.stem and each.suffix.lower() in ENDINGS and each.name != file.name
    ]


def _check_same_list(worklist: Worklist, file: Path) -> None:
    """Refuses to put the chances of one list in the place of another list's.

    Raises:
        UserError: If a list of the same name in another format decided otherwise.
    """
    others, chances = _in_other_formats(file), chances_file(file)
    if not others or not chances.exists():
        return
    try:
        same = pd.read_parquet(chances).equals(worklist.chances)
    except (OSError, ValueError):  # damaged, or no such file
        same = False
    if not same:
        raise UserError(
            f"{chances} has the chances of {others[0]}, and {file} is another list; choose another name, or delete "
            f"{others[0].name} first"
        )


def write_worklist(worklist: Worklist, file: Path, *, force: bool = False, words: Words = NO_WORDS) -> Path:
    """Writes the list and the chances, both or neither.

    Args:
        worklist: What was decided.
        file: Ends in .parquet, .csv or .html.
        force: Whether files of these names may be replaced.
        words: By factor and level, what the list calls it instead of the level's name. The file of chances is for
            `frl import` and keeps the names.

    Returns:
        The file of the chances.

    Raises:
        UserError: If one can't be written, or a list of the same name in another format decided otherwise.
    """
    check_files(file, force=force)
    _check_same_list(worklist, file)
    chances = chances_file(file)
    asides = {file: file.with_name(f".{file.name}.new"), chances: chances.with_name(f".{chances.name}.new")}
    try:
        worklist.chances.to_parquet(asides[chances], index=False)
        if file.suffix.lower() == ".parquet":
            _in_words(worklist.rows, words).to_parquet(asides[file], index=False)
        elif file.suffix.lower() == ".csv":
            plain_cells(_in_words(worklist.rows, words)).to_csv(asides[file], index=False)
        else:
            asides[file].write_text(page(worklist, words), encoding="utf-8")
        atomic.put_together(file.parent, {aside.name: place.name for place, aside in asides.items()}, file.name)
    except OSError as problem:
        why = system_reason(problem)
        raise UserError(f"can't write {file} ({why}); free space or choose another place") from None
    finally:
        for aside in asides.values():
            aside.unlink(missing_ok=True)
    return chances


SPELLED = ("COPD",)
"""Longer than three letters, and spelled all the same."""

HEADINGS = {"modality": "How", "provider": "Who goes", "goal": "About", "race_ethnicity": "Race and ethnicity"}
"""What people call factors and groups; others by their names."""


def page(worklist: Worklist, words: Words = NO_WORDS) -> str:
    """The list as one HTML page, by who goes; no network, prints with a sheet of its own for each role."""
    rows = worklist.rows
    rest = [factor for factor in worklist.factors if factor != worklist.role]
    roles: list[dict[str, Any]] = [
        {
            "name": _said(worklist.role, name, words),
            "time": _time(float(part["minutes"].sum())),
            "rows": _cells(part, rest, words),
        }
        for name, part in rows.groupby(column_of(worklist.role), sort=True)
    ]
    template = resources.files("frl_env.worklist").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        summary=worklist.summary,
        listed=f"{len(rows):,}",
        never_made=[_never(each, words) for each in worklist.summary["never_made"]],
        drawn=int(rows["drawn"].sum()),
        use=[{"name": _limit(each, words), "used": each.used, "of": each.of} for each in worklist.use],
        groups={_heading(name): shares for name, shares in worklist.summary["groups"].items()},
        roles=roles,
        columns=[_heading(factor) for factor in rest],
        below=_cells(worklist.below, worklist.factors, words),
        everything=[_heading(factor) for factor in worklist.factors],
    )


def _in_words(rows: pd.DataFrame, words: Words) -> pd.DataFrame:
    """Rows with levels as people call them."""
    columns = {column_of(name): own for name, own in words.items()}
    return rows.assign(
        **{name: rows[name].map(lambda level, own=own: own.get(level, level)) for name, own in columns.items()}
    )


def _cells(rows: pd.DataFrame, factors: Sequence[str], words: Words) -> list[dict[str, Any]]:
    """Rows of a table of contacts, as the page shows them."""
    return [
        {
            "rank": int(row["rank"]) if "rank" in row else 0,
            "member": str(row["member_id"]),
            "what": [_said(factor, row[column_of(factor)], words) for factor in factors],
            "minutes": float(row["minutes"]),
            "reason": row["reason"],
        }
        for row in rows.to_dict("records")
    ]


def _heading(factor: str) -> str:
    return HEADINGS.get(factor, factor.replace("_", " ").capitalize())


def _time(minutes: float) -> str:
    return f"{minutes / 60:.1f} hours" if minutes >= 60 else f"{minutes:.0f} minutes"


def _limit(use: Use, words: Words) -> str:
    """A limit in words: "minutes of CHW" stays, "contacts of HOME_VISIT" is "contacts of home visit"."""
    kind, of, level = use.what.partition(" of ")
    if not of:
        return kind
    return f"{kind} of {_said(use.factor, level.removeprefix(f'{use.factor} '), words)}"


def _never(made: str, words: Words) -> str:
    """A factor and its level in words: "goal DENTAL" is "about: dental"."""
    factor, _, level = made.partition(" ")
    return f"{_heading(factor).lower()}: {_said(factor, level, words)}"


def _said(factor: str, level: str, words: Words) -> str:
    """What people call a level: the word that is given for it, else its name in words."""
    return words.get(factor, {}).get(level) or _words(level)


def _words(level: str) -> str:
    """A level's name in words: HOME_VISIT is "home visit", SMS_TEXT "SMS text"; RN_07 and other spellings stay."""
    text = str(level)
    if not text.isupper() or any(each.isdigit() for each in text):
        return text
    return " ".join(word if len(word) <= 3 or word in SPELLED else word.lower() for word in text.split("_"))
