"""What a report is made of, whatever it is written as: sections of sentences, figures, and tables.

Sentences are plain text; only `code` between backticks is marked up. A figure is drawn for a width, so that a narrow
screen gets a drawing of its own and not a small one; every number in it stands in its table.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

NO_VALUE = "\N{EN DASH}"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its heading.
        how: Format of its numbers, as `format` takes it; empty for text.
    """

    name: str
    how: str = ""

    def show(self, value: Any) -> str:
        """A cell as people read it."""
        if value is None:
            return NO_VALUE
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "yes" if value else "no"
        return typeset(format(value, self.how)).replace("-", "\N{MINUS SIGN}") if self.how else str(value)


def columns_of(text: str) -> tuple[Column, ...]:
    """Columns written as "policy | seed:d | difference:+.4f": names, and formats after a colon."""
    return tuple(Column(*part.strip().partition(":")[::2]) for part in text.split("|"))


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of numbers and words.

    Attributes:
        name: File name of its CSV, without suffix; unique in the report.
        caption: What it shows.
        columns: Of each row.
        rows: As many cells as columns.
        shown: Whether it is on the page, and not in the files only.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]
    shown: bool = True


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A drawing and the numbers in it.

    Attributes:
        title: What is shown.
        description: What a person who does not see it should know.
        draw: From a width to the inner SVG and its height.
        table: Every number in it.
        notes: How to read it.
        more: Tables that go with it, in the files only.
    """

    title: str
    description: str
    draw: Callable[[int], tuple[str, float]]
    table: Table
    notes: tuple[str, ...] = ()
    more: tuple[Table, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of the report.

    Attributes:
        anchor: Its address in the page.
        title: Its heading.
        text: Sentences before anything else, a paragraph each.
        points: Sentences of a list, each with a short heading.
        parts: Figures and tables.
        missing: Why it shows nothing, and what would make it do so; empty when it does.
    """

    anchor: str
    title: str
    text: tuple[str, ...] = ()
    points: tuple[tuple[str, str], ...] = ()
    parts: tuple[Figure | Table, ...] = ()
    missing: str = ""

    @property
    def tables(self) -> list[Table]:
        """All tables, those of figures, too."""
        found = []
        for part in self.parts:
            found += [part.table, *part.more] if isinstance(part, Figure) else [part]
        return found


@dataclass(frozen=True, kw_only=True)
class Report:
    """All of it.

    Attributes:
        title: Of the page.
        subtitle: What it is about, in a line.
        warning: What must be read with it.
        sections: In order.
        facts: Short facts under the title: name and value.
    """

    title: str
    subtitle: str
    warning: str
    sections: tuple[Section, ...]
    facts: tuple[tuple[str, str], ...] = field(default=())


def typeset(text: str) -> str:
    """Percent signs set off by a space that no line breaks at."""
    return re.sub(r"(?<=\d) ?%", "\N{NO-BREAK SPACE}%", text)


ACRONYMS = {"SMS", "EHR", "CHW", "PCP", "COPD", "ED", "IP"}


def attribute_name(name: str) -> str:
    """What an attribute is called in a sentence."""
    return {"race_ethnicity": "race or ethnicity"}.get(name, name.replace("_", " "))


def readable(name: str) -> str:
    """A level or group as people write it: SMS_TEXT is "SMS text"; a name of other form stays."""
    if not name.replace("_", "").isalnum() or name != name.upper() or not any(c.isalpha() for c in name):
        return name
    words = [word if word in ACRONYMS else word.lower() for word in name.split("_")]
    joined = " ".join(words)
    return joined[:1].upper() + joined[1:]
