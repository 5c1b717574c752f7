"""Raw tables to canonical ones: every column parsed, every cell that makes no sense counted, words turned into codes.

A reader hands over raw tables whose columns have our names already; here they get our types. All faults of a table are
counted in one pass over it, before anything else is done.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.actions import ActionSpace
from frl_env.datasets.table_import.cells.convert import hold_cells
from frl_env.errors import UserError, shorten, unknown_name
from frl_env.events_to_weeks.event_tables.contract import CODE, DAY, FLAG, ID, MOMENT, MONEY, TABLES, WORD, Field
from frl_env.events_to_weeks.event_tables.crosswalk import ANY, GROUPS, IGNORE, Crosswalk
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.event_tables.spellings import Spellings, spellings_of, with_meanings
from frl_env.events_to_weeks.facts import cell_parsing
from frl_env.events_to_weeks.faults import Fault

UNKNOWN = -1
"""Code of a word without a target."""

_SAID = "said: "


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A canonical table and what was seen in it.

    Attributes:
        table: Its rows; words are places in the targets of their crosswalk.
        has: Columns that the source has.
        faults: (column, kind) to a mask.
        allowed: (column, kind) to what would be allowed.
    """

    table: ir.Table
    has: frozenset[str]
    faults: dict[tuple[str, str], Any] = field(default_factory=dict)
    allowed: dict[tuple[str, str], str] = field(default_factory=dict)


def fields_of(label: str, actions: ActionSpace) -> tuple[Field, ...]:
    """Columns of a canonical table."""
    factors = tuple(Field(name=factor.name, kind=WORD, means="level, by crosswalk") for factor in actions)
    return TABLES[label] + (factors if label == "contacts" else ())


def column_named(label: str, raw: ir.Table, name: str) -> Any:
    """A column of a raw table.

    Raises:
        UserError: If there is none of that name; says the nearest.
    """
    if name not in raw.columns:
        for near in raw.columns:
            if near.lower() == name.lower():
                raise UserError(
                    f"table {label} has no column {name!r}, but {near!r}; capitals matter, correct the spec"
                )
        if hold_cells(raw.columns):
            raise UserError(
                f"table {label} has no column {shorten(name)!r}, and numbers or dates for names of columns: the file "
                "may lack its first line, the names; write it"
            )
        raise unknown_name(f"column of table {label} (the file has none of that name):", name, raw.columns)
    kind = raw[name].type()
    if kind.is_null() or 'kind="NULL"' in str(kind):  # a column that is empty throughout, as DuckDB and Arrow type it
        return ibis.literal(None, "string")
    return raw[name]


def columns_as_named(engine: Any, spec: Spec, label: str, *names: str) -> ir.Table:
    """Some columns of a table whose format says how they are called.

    Raises:
        UserError: If the spec lacks the table, or the table a column.
    """
    if label not in spec.tables:
        raise UserError(f"source {spec.source} needs the table {label}: add [tables.{label}] with its path")
    raw = engine.open(label, spec.tables[label])
    return raw.select(**{name: column_named(label, raw, name) for name in names})


def parse(label: str, raw: ir.Table, spec: Spec, carry: Iterable[str] = ()) -> Reading:
    """A raw table whose columns have our names, as a canonical one.

    Args:
        label: Which.
        raw: As it is read.
        spec: How cells are read.
        carry: Columns of the raw table that stay as they are.

    Raises:
        UserError: If a column is missing, or of a type that makes no sense.
    """
    columns: dict[str, Any] = {}
    faults: dict[tuple[str, str], Any] = {}
    allowed: dict[tuple[str, str], str] = {}
    has = set()
    for item in fields_of(label, spec.actions):
        if item.name not in raw.columns:
            if item.required:
                raise UserError(f"table {label} needs {item.name} ({item.means}); name its column in the spec")
            columns[item.name] = _absent(item, spec)
            continue
        has.add(item.name)
        found = _parsed(label, item, raw[item.name], spec)
        if label == "contacts" and item.kind == WORD:  # its own words are only told where they have no level
            columns[said(item.name)] = ibis.ifelse(found.value == UNKNOWN, cell_parsing.text(raw[item.name]), None)
        columns[item.name] = found.value
        faults |= {(item.name, kind): mask for kind, mask in found.faults.items()}
        if not item.empty:
            faults[item.name, "missing"] = _empty(raw[item.name])
        if "unknown word" in found.faults and item.name not in GROUPS:
            targets = spec.crosswalk[item.name].targets
            allowed[item.name, "unknown word"] = ", ".join(targets)
        if item.kind in (DAY, MOMENT):
            allowed[item.name, "not a date"] = cell_parsing.SPELLINGS[spec.date_format_of(label)]
        if item.kind == MONEY:
            allowed[item.name, "not a number"] = cell_parsing.AMOUNTS
    table = raw.select(*carry, **columns, **_named(faults))
    if {"start", "end"} <= has and label != "enrolment":
        faults["end", "ends before it starts"] = None
        table = table.mutate(**{_name(("end", "ends before it starts")): (table.end < table.start).fill_null(False)})
    if label == "enrolment":
        faults["end", "ends before it starts"] = None
        table = table.mutate(**{_name(("end", "ends before it starts")): (table.end < table.start).fill_null(False)})
    if {"birth", "death"} <= has:
        faults["death", "death before birth"] = None
        table = table.mutate(**{_name(("death", "death before birth")): (table.death < table.birth).fill_null(False)})
    return Reading(table=table, has=frozenset(has), faults=dict.fromkeys(faults), allowed=allowed)


def count_faults(engine: Any, label: str, reading: Reading, **more: Any) -> tuple[list[Fault], dict[str, Any]]:
    """Counts all faults of a table in one pass.

    Args:
        engine: Where.
        label: Of the table.
        reading: The table.
        more: Other figures to compute on the way.

    Returns:
        What is wrong; the figures, with the number of rows as `rows`.
    """
    table = reading.table
    sums = {f"fault_{i}": table[_name(key)].cast("int64").sum().fill_null(0) for i, key in enumerate(reading.faults)}
    found = engine.row(table.aggregate(rows=table.count(), **sums, **more))
    faults = [
        Fault(
            table=label,
            column=column,
            kind=kind,
            rows=int(found[f"fault_{i}"]),
            allowed=reading.allowed.get((column, kind), ""),
        )
        for i, (column, kind) in enumerate(reading.faults)
        if found[f"fault_{i}"]
    ]
    return faults, {name: value for name, value in found.items() if not name.startswith("fault_")}


def said(column: str) -> str:
    """Column of a contact's own word, beside the code that it has become."""
    return _SAID + column


def is_faulty(reading: Reading, apart: Iterable[str] = ()) -> Any:
    """Whether a row has any fault, but for those of some columns."""
    found = ibis.literal(False)
    for column, kind in reading.faults:
        if column not in apart:
            found |= reading.table[_name((column, kind))]
    return found


def clean(reading: Reading) -> ir.Table:
    """The table without its masks."""
    return reading.table.drop(*(_name(key) for key in reading.faults)) if reading.faults else reading.table


def numbered(engine: Any, label: str, raw: ir.Table, numbers: ir.Table, spec: Spec) -> Spellings:
    """Numbers of the members of a table, by the spellings of their identifiers.

    Args:
        engine: Where they are kept.
        label: Of the table.
        raw: As it is read.
        numbers: `member` and `who`.
        spec: How cells are read.

    Returns:
        With the column `who`, null for who was never enrolled; the meaning is 1 where a cell makes no sense.
    """

    def meaning(spelled: ir.Table) -> ir.Table:
        found = cell(label, "member", spelled.spelling, spec)
        wrong = _empty(spelled.spelling)
        for mask in found.faults.values():
            wrong |= mask
        table = spelled.select("spelling", meaning=wrong.cast("int16"), known=found.value)
        whose = numbers.select("who", of_whom="member")
        return table.left_join(whose, table.known == whose.of_whom).select("spelling", "meaning", "who")

    return spellings_of(engine, label, raw, "member", meaning)


def in_numbers(engine: Any, raw: ir.Table, numbers: ir.Table, spec: Spec) -> Reading:
    """The contact log without text: members by numbers, words by codes, contacts by keys; null for strangers.

    Args:
        engine: Where spellings are kept.
        raw: The log as it is read.
        numbers: `member` and `who`.
        spec: For the crosswalks.
    """
    found = {"wrong": numbered(engine, "contacts", raw, numbers, spec)}
    fields = fields_of("contacts", spec.actions)
    words = [item.name for item in fields if item.kind == WORD and item.name in raw.columns]
    for name in words:

        def meaning(spelled: ir.Table, name: str = name) -> ir.Table:
            code = cell("contacts", name, spelled.spelling, spec).value
            return spelled.select("spelling", meaning=code.cast("int16"))

        found[f"code: {name}"] = spellings_of(engine, "contacts", raw, name, meaning)
    log = with_meanings(raw, found, {"wrong": "who"})
    reading = parse("contacts", log, spec, carry=("who", *(name for name in found if name != "wrong")))
    kept = [name for name in reading.table.columns if not name.startswith(_SAID)]
    contact = reading.table.contact
    table = reading.table.mutate(contact=ibis.ifelse(contact.isnull(), None, engine.key(contact)))
    table = table.select(*(name for name in kept if name not in ("member", *words)))
    return replace(reading, table=table.rename({name: f"code: {name}" for name in words}))


def cell(label: str, name: str, column: Any, spec: Spec) -> cell_parsing.Parsed:
    """A cell of a table in our type."""
    (item,) = (item for item in fields_of(label, spec.actions) if item.name == name)
    return _parsed(label, item, column, spec)


def word_code(cell: Any, walk: Crosswalk) -> Any:
    """Places of words in the targets of a crosswalk; `UNKNOWN` for words without one."""
    by_code: dict[int, list[str]] = {by_code_of("", walk): [""]}
    for word, place in sorted(walk.codes().items()):
        if word not in ("", ANY):
            by_code.setdefault(place, []).append(word)
    place = cell_parsing.place_in(cell, [word for words in by_code.values() for word in words])
    branches = [(place.isnull(), by_code_of("", walk)), (place < 0, by_code_of(ANY, walk))]
    reached = 0
    for code, words in by_code.items():
        reached += len(words)
        branches.append((place < reached, code))
    return ibis.cases(*((test, ibis.literal(code, "int16")) for test, code in branches))


def by_code_of(word: str, walk: Crosswalk) -> int:
    """Place of a word's target, or `UNKNOWN`."""
    return walk.codes().get(word, UNKNOWN)


def _parsed(label: str, item: Field, column: Any, spec: Spec) -> cell_parsing.Parsed:
    """A cell parsed by the kind of its column."""
    if item.kind == WORD:
        return _word(label, item, column, spec)
    dates = spec.date_format_of(label)
    found = {
        ID: lambda: cell_parsing.identifier(column),
        DAY: lambda: cell_parsing.day(column, dates),
        MOMENT: lambda: cell_parsing.moment(column, dates, spec.rules.contacts.time_zone),
        MONEY: lambda: cell_parsing.amount(column),
        FLAG: lambda: cell_parsing.flag(column),
        CODE: lambda: cell_parsing.code(column),
    }[item.kind]()
    if found is None:
        raise UserError(
            f"table {label}: {item.name} must be {_A[item.kind]}, not a column of type {column.type()}; convert it"
        )
    if item.kind == DAY and item.name == "end" and label == "enrolment":
        # 9999-12-31 stands for "still covered".
        return cell_parsing.Parsed(
            value=found.value, faults={k: m for k, m in found.faults.items() if k != "out of range"}
        )
    return found


_A = {
    ID: "text or whole numbers", DAY: "dates", MOMENT: "dates or points in time", MONEY: "numbers",
    FLAG: "true or false", CODE: "text or whole numbers",
}  # fmt: skip


def _word(label: str, item: Field, column: Any, spec: Spec) -> cell_parsing.Parsed:
    """A cell of words as the target of its crosswalk; what has none is a fault, but for contacts."""
    cell = cell_parsing.capitals(column) if not column.type().is_floating() else cell_parsing.identifier(column).value
    walk = spec.crosswalk[item.name]
    if item.name in GROUPS:
        cell = cell.nullif("")
        empty, other = (ibis.literal(walk.words[word]) if word in walk.words else cell for word in ("", ANY))
        words = {word: target for word, target in walk.words.items() if word not in ("", ANY)}
        named = [(cell == word, ibis.literal(target)) for word, target in sorted(words.items())]
        return cell_parsing.Parsed(value=ibis.cases((cell.isnull(), empty), *named, else_=other))
    value = word_code(cell, walk)
    faults = {"unknown word": value == UNKNOWN}
    if label == "contacts":  # whether it matters depends on the other words of the contact
        faults = {}
    return cell_parsing.Parsed(value=value, faults=faults)


def _absent(item: Field, spec: Spec) -> Any:
    """What stands in for a column that the source doesn't have."""
    if item.kind == WORD and item.name not in GROUPS:
        return ibis.literal(by_code_of("", spec.crosswalk[item.name]), "int16")
    return ibis.literal(None, {DAY: "int64", MOMENT: "int64", MONEY: "int64", FLAG: "boolean"}.get(item.kind, "string"))


def _empty(column: Any) -> Any:
    kind = column.type()
    return cell_parsing.blank(column) if kind.is_string() or kind.is_floating() else column.isnull()


def _name(key: tuple[str, str]) -> str:
    return "fault: " + ": ".join(key)


def _named(faults: Mapping[tuple[str, str], Any]) -> dict[str, Any]:
    return {_name(key): mask for key, mask in faults.items()}


def is_ignored(code: Any, walk: Crosswalk) -> Any:
    """Whether a word stands for a row that is to be ignored."""
    return code == walk.targets.index(IGNORE)
