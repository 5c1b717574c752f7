"""An attack on what is published: what can be worked out from every number of every file about 1 to 10 people.

It knows what a reader can know: which words are keys of counts, that shares add up, and how exact a printed number is.
It does not know the code that writes.
"""

import csv
import itertools
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

FEW = range(1, 11)

PEOPLE = re.compile(r"^(members|people|persons|followed|effective( members)?|effective_members|n|count)$")
"""Keys under which a number is one of people."""

DATA = re.compile(r"^(behaviour|care team|logged|contacts_per_week)$")
"""Keys under which a number is what was logged of people; a policy's own probabilities are not."""

ROWS = re.compile(r"^(decisions|steps|rows|members|episodes)$")

TEXT = (
    re.compile(r"(?<![\d.,])(\d+(?:\.\d+)?) of (?:the )?[\d,]+ (?:members|people)"),
    re.compile(r"(?<![\d.,+-])(\d+) (?:members|people|persons)\b"),
)
"""A number of people in a sentence."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it stands in a file: where, how large, and half a unit of its last digit."""

    file: str
    path: tuple[str, ...]
    value: float
    half: float

    @property
    def key(self) -> str:
        """Its name: the last part of the path that is no position."""
        return next((part for part in reversed(self.path) if not part.startswith("#")), "")


@dataclass(kw_only=True)
class Published:
    """All that was found in files."""

    numbers: list[Number] = field(default_factory=list)
    text: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, *places: Path, told: Mapping[str, str] | None = None) -> "Published":
        """Reads all files below some places, and what programs printed."""
        found = cls(text=dict(told or {}))
        for place in places:
            for file in sorted([place] if place.is_file() else place.rglob("*")):
                name = f"{file.parent.name}/{file.name}"
                if file.suffix == ".json":
                    content = json.loads(file.read_text(), parse_float=_Exact, parse_int=_Exact)
                    found.numbers += _walk(name, (), content)
                    found.text[name] = " ".join(_sentences(content))
                elif file.suffix == ".csv":
                    with file.open() as lines:
                        found.numbers += _table(name, (file.stem,), [*csv.DictReader(lines)])
                elif file.suffix == ".parquet":
                    rows = json.loads(str(pd.read_parquet(file).to_json(orient="records", double_precision=15)))
                    found.numbers += _table(name, (file.stem,), rows)
                elif file.suffix in (".md", ".html", ".txt"):
                    found.text[name] = re.sub(r"<[^>]+>", " ", file.read_text())
        return found

    def series(self, least: int = 3) -> dict[tuple[str, tuple[str, ...]], list[Number]]:
        """Numbers that follow each other, by where they stand: lists, and columns of a table with a week."""
        found: dict[tuple[str, tuple[str, ...]], list[Number]] = {}
        for number in self.numbers:
            places = [part for part in number.path if part.startswith("#")]
            if places:
                rest = tuple(part for part in number.path if part != places[-1])
                found.setdefault((number.file, rest), []).append(number)
        return {where: each for where, each in found.items() if len(each) >= least}


class _Exact(str):
    """A number as it was written."""


def _walk(file: str, path: tuple[str, ...], content: Any) -> Iterator[Number]:
    if isinstance(content, _Exact):
        yield _number(file, path, str(content))
    elif isinstance(content, dict):
        if {"columns", "rows"} <= set(content) and all(isinstance(each, str) for each in content["columns"]):
            rows = content["rows"] if isinstance(content["rows"], list) else []
            if all(isinstance(row, list) for row in rows):
                yield from _table(file, path, [dict(zip(content["columns"], row, strict=False)) for row in rows])
                return
        said = tuple(sorted(each for each in content.values() if type(each) is str and len(each) < 60))
        for key, each in content.items():
            yield from _walk(file, (*path, *said, key), each)
    elif isinstance(content, list):
        for place, each in enumerate(content):
            plain = isinstance(each, _Exact)
            yield from _walk(file, (*path, f"#{place:04d}") if plain else path, each)


def _table(file: str, path: tuple[str, ...], rows: list[dict[str, Any]]) -> Iterator[Number]:
    for row in rows:
        cells = {key: each for key, each in row.items() if each not in (None, "")}
        numbers = {k: str(v) for k, v in cells.items() if re.fullmatch(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?", str(v))}
        week = [f"#{int(numbers['week']):04d}"] if "week" in numbers else []
        said = tuple(str(each) for key, each in cells.items() if key not in numbers)
        for key, each in numbers.items():
            if key not in ("week", "seed"):
                yield _number(file, (*path, *said, key, *week), each)


def _number(file: str, path: tuple[str, ...], written: str) -> Number:
    plain = written.replace(",", "")
    mantissa, _, exponent = plain.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    half = 0.0 if "." not in mantissa else 0.5 * 10.0 ** (int(exponent or 0) - decimals)
    return Number(file=file, path=path, value=float(plain), half=half)


def _sentences(content: Any) -> Iterator[str]:
    if isinstance(content, _Exact):
        return
    if isinstance(content, str):
        yield content
    elif isinstance(content, dict | list):
        for each in content.values() if isinstance(content, dict) else content:
            yield from _sentences(each)


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What the attacker must not learn, known from the data.

    Attributes:
        factors: By factor and level, the persons who got it.
        rows: By factor and level, how many decisions.
        decisions: Logged decisions, of which shares are shares.
        members: Persons in all; 0 where no mean is one over them.
    """

    factors: Mapping[str, Mapping[str, frozenset[int]]]
    rows: Mapping[str, Mapping[str, int]]
    decisions: int
    members: int = 0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of a table, of all of it or of a part, to see what the difference of two numbers tells.

    Attributes:
        name: Of this part.
        persons: By level of the actions, and under "contacts" for all of them, whose each row is, by row.
        rows: Rows in all.
    """

    name: str
    persons: Mapping[str, Mapping[int, int]]
    rows: int


def attack(
    published: Published, *truths: Truth, groups: Collection[str] = (), parts: Collection[Rows] = ()
) -> list[str]:
    """Every way found to a number of 1 to 10 people, in words.

    Args:
        published: What was written and printed.
        truths: To know whether what is missing of a sum is of few people.
        groups: Names that people's groups may have.
        parts: A table and its parts, each of whose numbers may be told.
    """
    return [
        *_direct(published),
        *_in_text(published),
        *_groups_that_follow(published, groups),
        *_overlaps(published, groups),
        *_weeks(published),
        *(leak for truth in truths for leak in _levels(published, truth)),
        *(leak for truth in truths for leak in _means(published, truth)),
        *_differences(published, parts),
    ]


def _said(number: Number) -> str:
    return f"{number.file}: {' > '.join(number.path)} = {number.value:g}"


def _direct(published: Published) -> Iterator[str]:
    """A number of people, or of effective ones, below 11."""
    shares = {where for where, each in published.series(1).items() if max(n.value for n in each) <= 1}
    for number in published.numbers:
        where = (number.file, tuple(part for part in number.path if not part.startswith("#")))
        counted = PEOPLE.match(number.key) or "by_group" in number.path[-3:-1] or number.path[-3:-2] == ("groups",)
        counted = counted or (number.key == "by_week" and where not in shares)
        if number.key == "limits" or "limits" in number.path or "settings" in number.path:
            continue
        if counted and 0 < number.value < 11 and not (where in shares and number.key != "followed"):
            yield f"direct: {_said(number)}"


def _in_text(published: Published) -> Iterator[str]:
    for name, text in published.text.items():
        for pattern in TEXT:
            for found in pattern.finditer(text):
                if 0 < float(found.group(1)) < 11 and "that few" not in found.group(0):
                    before = text[max(0, found.start() - 30) : found.end()]
                    if not re.search(r"(fewer than|at least|fewer|1 to|of 1 to) $", text[: found.start()]):
                        yield f"text: {name}: ...{before}"


def _by_group(published: Published, groups: Collection[str]) -> Iterator[tuple[Number, str]]:
    """Numbers of people of a group, and which."""
    for number in published.numbers:
        label = next((part for part in number.path if part in groups), None)
        counted = PEOPLE.match(number.key) or (number.key == label and "groups" in number.path)
        if label is not None and counted and number.half == 0 and number.value > 10:
            yield number, label


def _groups_that_follow(published: Published, groups: Collection[str]) -> Iterator[str]:
    """Numbers of people by group, and of all: what is missing of these."""
    families: dict[tuple[str, tuple[str, ...]], dict[str, float]] = {}
    for number, label in _by_group(published, groups):
        rest = tuple(part for part in number.path if part != label)
        families.setdefault((number.file, rest), {})[label] = number.value
    for (file, path), family in families.items():
        beside = [n for n in published.numbers if n.file.split("/")[0] == file.split("/")[0] and n.key == "members"]
        totals = {n.value for n in beside if not {*n.path} & {*groups, "limits"}}
        for total in totals:
            if total - sum(family.values()) in FEW:
                yield f"groups: {file}: {' > '.join(path)} leave {total - sum(family.values()):g} of {total:g}"


def _overlaps(published: Published, groups: Collection[str]) -> Iterator[str]:
    """The same group in two places, once of a part of the members: what the part lacks."""
    by_label: dict[str, list[Number]] = {}
    for number, label in _by_group(published, groups):
        by_label.setdefault(label, []).append(number)
    for each in by_label.values():
        for one, other in itertools.combinations(each, 2):
            if abs(one.value - other.value) in FEW:
                yield f"overlap: {_said(one)} and {_said(other)}"


def _weeks(published: Published) -> Iterator[str]:
    """Numbers followed week by week: as they stand, or as quotient of two series."""
    series = [each for each in published.series().values() if _by_week(each)]
    for each in series:
        if each[0].key == "followed" and _falls_by_few([n.value for n in each]):
            yield f"weeks: {_said(each[0])} and the following"
    for one, other in itertools.permutations(series, 2):
        if len(one) != len(other) or max(n.value for n in one) <= 1 or min(n.value for n in other) <= 0:
            continue
        quotients = [a.value / b.value for a, b in zip(one, other, strict=True)]
        # A series is as exact as its most exact number: 0.5 beside 0.33333 is 0.50000.
        first, second = (min(n.half for n in each) for each in (one, other))
        widths = [(first + q * second) / b.value for q, b in zip(quotients, other, strict=True)]
        exact = all(abs(q - round(q)) < 1e-3 * max(q, 1) + w < 0.5 for q, w in zip(quotients, widths, strict=True))
        if exact and _falls_by_few([round(q) for q in quotients]):
            yield f"quotient: {_said(one[0])} over {_said(other[0])}"


def _by_week(each: list[Number]) -> bool:
    return any(re.search("week|followed", part) for part in each[0].path) or each[0].key in ("followed", "by_week")


def _falls_by_few(counts: list[float]) -> bool:
    return any(0 < before - after < 11 for before, after in itertools.pairwise(counts))


def _levels(published: Published, truth: Truth) -> Iterator[str]:
    """Shares of levels: of few people as they stand, and what is missing from their sum."""
    for factor, people in truth.factors.items():
        tables: dict[tuple[str, tuple[str, ...], str], dict[str, Number]] = {}
        for number in published.numbers:
            level = next((part for part in number.path if part in people), None)
            if level is None or not DATA.match(number.key) or factor not in number.path:
                continue
            rest = tuple(part for part in number.path[:-1] if part != level)
            tables.setdefault((number.file, rest, number.key), {})[level] = number
        for (file, rest, key), table in tables.items():
            yield from _in_table(f"{file}: {' > '.join((*rest, key))}", table, people, truth.rows[factor], truth)


def _in_table(
    where: str, table: Mapping[str, Number], people: Mapping[str, frozenset[int]], rows: Mapping[str, int], truth: Truth
) -> Iterator[str]:
    def fits(number: Number, level: str) -> bool:
        """Whether the share is that of these decisions, and not of other ones."""
        return abs(number.value * truth.decisions - rows[level]) <= truth.decisions * (number.half + 1e-4) + 1e-6

    if not table or not all(fits(number, level) for level, number in table.items()):
        return
    for level, number in table.items():
        if len(people[level]) in FEW and number.value > 0:
            share = f"{number.value:g} of {truth.decisions} decisions"
            yield f"share: {where} > {level} = {share} is of {len(people[level])}"
    missing = frozenset[int]().union(*(people[level] for level in people if level not in table))
    rest = sum(rows.values()) / truth.decisions - sum(number.value for number in table.values())
    if len(missing) in FEW and rest * truth.decisions > 0.5:
        yield f"rest: {where} leaves {rest:.5f} of {truth.decisions} decisions, of {len(missing)}"


NO_MEAN = re.compile(r"^(low|high|level|standard_error|p_value|adjusted|by_chance|time_.*|.*_s|.*_mb|half)$")
"""Keys under which a number is no mean over people or decisions."""


def _means(published: Published, truth: Truth) -> Iterator[str]:
    """An exact mean over people, or share of decisions, that is a whole number from 1 to 10 of them."""
    for number in published.numbers:
        exact = 0 < number.half < 1e-9
        if not exact or NO_MEAN.match(number.key) or {"settings", "limits"} & {*number.path}:
            continue
        for of, what in ((truth.members, "people"), (truth.decisions, "decisions")):
            times = abs(number.value) * of
            if of and round(times) % 20 == 0:
                continue  # told to the nearest 20, as the rest then is
            near = abs(times - round(times)) < 1e-10 * of
            rest = of - round(times) if number.value < 1 else 0
            if near and of and (round(times) in FEW or rest in FEW):
                yield f"mean: {_said(number)} = {round(times)} of {of} {what}"


def _differences(published: Published, parts: Collection[Rows]) -> Iterator[str]:
    """What is told of all rows, less what is told of parts, is of 1 to 10 people."""
    for level in sorted({level for part in parts for level in part.persons}):
        told = [part for part in parts if _told(published, level, len(part.persons.get(level, {})), part.rows)]
        for size in range(2, len(told) + 1):
            for chosen in itertools.permutations(told, size):
                whole, rest = chosen[0], dict(chosen[0].persons[level])
                if list(chosen[1:]) != sorted(chosen[1:], key=lambda part: part.name):
                    continue  # the same parts in another order
                if not all(part.persons[level].keys() <= rest.keys() for part in chosen[1:]):
                    continue
                for part in chosen[1:]:
                    rest = {row: who for row, who in rest.items() if row not in part.persons[level]}
                if len({*rest.values()}) in FEW:
                    less = " and ".join(part.name for part in chosen[1:])
                    yield f"difference: {level}, {whole.name} less {less}: {len({*rest.values()})} people"


def _told(published: Published, level: str, count: int, rows: int) -> bool:
    """Whether the exact number of a level's rows stands in a sentence, or follows from a share."""
    if not count:
        return False
    if any(re.search(rf"\b{level}:? {count:,}(?!\d|[,.]\d)", text) for text in published.text.values()):
        return True
    for number in published.numbers:
        named = level in number.path or (level == "contacts" and number.key == "contacts_per_week")
        if named and DATA.match(number.key) and number.half * rows < 0.25 and abs(number.value * rows - count) < 0.25:
            return True
    return False
