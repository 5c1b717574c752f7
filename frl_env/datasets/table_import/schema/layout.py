"""Which of the known columns a table has, whether their types will do, and how they are kept while importing."""

import re
from dataclasses import dataclass, replace
from difflib import get_close_matches

import pyarrow as pa

from frl_env.datasets.table_import.cells.convert import hold_cells, is_bytes, is_date, is_number, is_text
from frl_env.datasets.table_import.cells.spelling import has_own_codes
from frl_env.datasets.table_import.schema.columns import (
    MEMBER,
    OUTCOMES,
    PROPENSITY,
    REWARD,
    TERMINATED,
    WEEK,
    ColumnMap,
)
from frl_env.datasets.table_import.schema.listed import LISTED, LISTED_ACTION, LISTED_PROPENSITY
from frl_env.datasets.table_import.schema.problems import Problem
from frl_env.datasets.table_import.table_files.source import Table

SEVERAL = ("most-minutes", "first", "last")
"""Rules for which of several contacts in one week is kept."""

LATER = re.compile(r"^(next|future)_|^(outcome|label|target|reward)s?$", re.IGNORECASE)
"""Names of what is not known before the decision."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The columns of one table that will be used.

    Args:
        map: What they mean.
        present: Those that the table has, by their names here.
        several: Which of several contacts in one week is kept, one of `SEVERAL`.
        with_lists: Whether worklists are joined; see `frl_env.datasets.table_import.schema.listed`.
    """

    map: ColumnMap
    present: frozenset[str]
    several: str = SEVERAL[0]
    with_lists: bool = False

    def has(self, *names: str) -> bool:
        """Whether the table has all of these columns."""
        return self.present.issuperset(names)

    def of(self, *names: str) -> tuple[str, ...]:
        """The given columns that the table has, in the given order."""
        return tuple(name for name in names if name in self.present)

    @property
    def columns(self) -> list[str]:
        """All columns to read, as the table names them."""
        return [self.map.in_table(name) for name in self.of(*self.map.names)]

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns of numbers, apart from weeks."""
        return self.of(*self.map.states, REWARD, *OUTCOMES, *self.map.chances, *self.map.next_states)

    @property
    def demographics(self) -> tuple[str, ...]:
        """Columns of groups."""
        return self.of(*self.map.demographics)

    @property
    def kept(self) -> pa.Schema:
        """How rows are kept while importing: identifiers as text, weeks as days, everything else as a number."""
        kinds = {MEMBER: pa.string(), "day": pa.int64(), "bad": pa.bool_()}
        kinds |= {name: pa.float64() if name in self.map.chances else pa.float32() for name in self.numbers}
        kinds |= dict.fromkeys((*self.map.action_columns, *self.demographics), pa.int16())
        kinds |= dict.fromkeys(self.of(TERMINATED), pa.bool_())
        if self.with_lists:
            kinds |= {PROPENSITY: pa.float64(), LISTED: pa.int8()}
            kinds |= {LISTED_ACTION: pa.int32(), LISTED_PROPENSITY: pa.float64()}
        return pa.schema(list(kinds.items()))

    def show(self, name: str) -> str:
        """A column's name for people, with the table's own if that is another."""
        own = self.map.in_table(name)
        return name if own == name else f"{name} (column {own!r})"

    def allowed(self, name: str) -> str:
        """What a column may hold."""
        if name == MEMBER:
            return "text or whole numbers"
        if name == WEEK:
            return "12, or 2024-01-31, or 2024-W05"
        if name == TERMINATED:
            return "true or false"
        if name in self.map.action_columns:
            factor = self.map.action_columns[name]
            codes = "the codes in the map" if has_own_codes(self.map.values.get(name, {})) else f"0..{len(factor) - 1}"
            return f"{', '.join(factor.levels)}, or {codes}"
        if name in self.map.chances:
            return "above 0, at most 1"
        if name in self.map.demographics:
            return "names of groups"
        low, high = self.map.limit(name)
        if low == float("-inf") and high == float("inf"):
            return "finite numbers"
        return f"{'whole numbers in ' if self.map.is_whole(name) else ''}{low:,.10g}..{high:,.10g}"


def lay_out(columns: ColumnMap, schema: pa.Schema) -> tuple[Layout, list[Problem]]:
    """Looks for the known columns among those of a table.

    Args:
        columns: What is looked for.
        schema: Names and types of the table's columns.

    Returns:
        What there is, and all that is wrong with it as far as names and types tell.
    """
    problems = []
    cells = hold_cells(schema.names)
    used: dict[str, str] = {}
    resolved: dict[str, str] = dict(columns.columns)
    for name in columns.names:
        if name in columns.ignore:
            continue
        own = columns.in_table(name)
        if own not in schema.names:
            alike = [each for each in schema.names if _letters(each) == _letters(own)]
            if len(alike) > 1:
                problems.append(Problem(column=own, kind="one name in several letters"))
                continue
            resolved[name] = own = alike[0] if alike else own
        if own in schema.names:
            if schema.names.count(own) > 1:
                problems.append(Problem(column=own, kind="column name twice"))
            if own in used:
                both = f"{used[own]} and {name}"
                later = name in (REWARD, *OUTCOMES, *columns.next_states) and used[own] in columns.states
                kind = "outcome among the states" if later else "one column, two meanings"
                problems.append(Problem(column=f"{own} as {both}", kind=kind))
            used[own] = name
        elif name in columns.required or name in columns.columns:
            # For a state never what comes after the decision: that would be leakage.
            others = [each for each in schema.names if name not in columns.states or not LATER.search(each)]
            letters = {_letters(each): each for each in others}
            near = [] if cells else get_close_matches(_letters(own), list(letters), n=1, cutoff=0.6)
            hint = f"{letters[near[0]]!r} is the nearest" if near else ""
            problems.append(Problem(column=own, kind="no such column", allowed=hint))
    if cells and any(problem.kind == "no such column" for problem in problems):
        problems.insert(0, Problem(column="names of columns", kind="cells for names", allowed="no numbers or dates"))
    found = {name: resolved[name] for name in used.values() if resolved.get(name, name) != name}
    columns = replace(columns, columns=found)
    layout = Layout(map=columns, present=frozenset(used.values()))
    problems += [
        Problem(column=layout.show(name), kind="wrong type", allowed=layout.allowed(name))
        for own, name in used.items()
        if not _will_do(name, schema.field(schema.names.index(own)).type, columns)
    ]
    problems += [
        Problem(column=layout.show(name), kind="outcome among the states")
        for name in columns.states
        if LATER.match(name) or (name in layout.present and LATER.match(columns.in_table(name)))
    ]
    if not layout.has(REWARD) and not layout.has(*OUTCOMES):
        problems.append(Problem(column=f"{REWARD}, {', '.join(OUTCOMES)}", kind="no reward and no outcomes"))
    partial = layout.of(*columns.next_states)
    if partial and len(partial) < len(columns.states):
        missing = [name for name in columns.next_states if name not in partial]
        problems += [Problem(column=columns.in_table(name), kind="no such column") for name in missing]
    chances = layout.of(*columns.factor_propensities)
    if chances and len(chances) < len(columns.factor_propensities):
        missing = [name for name in columns.factor_propensities if name not in chances]
        problems += [Problem(column=columns.in_table(name), kind="no such column") for name in missing]
    return layout, problems


def unlike_files(table: Table, layout: Layout) -> list[Problem]:
    """Columns that are of other types in some files, or that some files lack though their rows need a value.

    Groups that a file lacks are unknown there, and a next state that it lacks is not known, as in an empty cell.
    """
    changing = [Problem(column=name, kind="another type in some files") for name in table.changing(layout.columns)]
    needed = (*layout.map.required, REWARD, TERMINATED, *(() if layout.with_lists else layout.map.chances))
    lacking = {name: table.lacking(layout.map.in_table(name)) for name in layout.of(*needed)}
    return changing + [
        Problem(
            column=layout.show(name),
            kind="not in every file",
            allowed=f"in all {len(table.files):,} files; {files:,} lack it",
        )
        for name, files in lacking.items()
        if files
    ]


def _letters(name: str) -> str:
    """A column's name without regard to letters' case and to blanks around it."""
    return name.strip().casefold()


def _will_do(name: str, kind: pa.DataType, columns: ColumnMap) -> bool:
    """Whether values of a type may mean what a column is to hold."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    number = is_number(kind) and not pa.types.is_boolean(kind)
    if name == WEEK:
        return is_text(kind) or is_date(kind) or number
    if name == MEMBER:
        return is_text(kind) or number or is_bytes(kind)
    if name in columns.action_columns:
        return is_text(kind) or number
    return is_text(kind) or is_number(kind) or pa.types.is_null(kind)
