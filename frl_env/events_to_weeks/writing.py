"""Rows to the Parquet file of member-weeks: names for codes, and all rules in its metadata.

Batches are cut to the same size whatever the engine, so that both write the same bytes.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from frl_env.datasets.table_import.provenance import WEEKS_KEY
from frl_env.datasets.table_import.schema.columns import LIMITS, MEMBER, REWARD, SCHEMA_KEY, TERMINATED, WEEK
from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.facts.assemble import STATES, Weeks
from frl_env.events_to_weeks.facts.cells import CELLS
from frl_env.events_to_weeks.facts.coverage import Coverage
from frl_env.parameters import MEASURES
from frl_env.simulator.information import DEMOGRAPHIC_KEYS

pc: Any = pyarrow.compute

Result = TypeVar("Result")

ROWS = 1 << 17
"""Rows of a group of the file."""

AHEAD = 1
"""Parts that wait to be put together, and to be written, while facts of the next are looked up."""

BANDS = ((17, "0-17"), (24, "18-24"), (34, "25-34"), (44, "35-44"), (54, "45-54"), (64, "55-64"), (200, "65+"))
"""Last age of each band."""

UNKNOWN_GROUP = "UNKNOWN"


def write_weeks(
    engine: Any, parts: Iterator[Weeks], coverage: Coverage, spec: Spec, summary: Callable[[], dict[str, Any]],
    output: Path, folder: Path,
) -> dict[str, Any]:  # fmt: skip
    """Writes the table aside and renames it.

    While one part is compressed, the next is put together, and facts of the one after that are looked up.

    Args:
        engine: That has computed the members.
        parts: All member-weeks, in order.
        coverage: For the members' names.
        spec: For the levels.
        summary: Called after the last part; for the metadata.
        output: The file; an older one stays until the new one is whole.
        folder: Where it lies until then.

    Returns:
        The summary.
    """
    aside = folder / "members.parquet"
    members = coverage.members.select("who", "member", "anchor", "gender", "race_ethnicity").order_by("who")
    people = pa.Table.from_batches(list(engine.batches(members))).combine_chunks()
    groups = {name: _group(people[name]) for name in ("gender", "race_ethnicity")}
    names = people["member"].combine_chunks()
    schema = table_schema(spec)
    # Without Arrow's own schema, columns that are written by place in a list of words are read as plain text. Numbers
    # are written as they are: to look each up in a list of its own takes longer, and the file is hardly smaller.
    listed = [field.name for field in schema if not pa.types.is_floating(field.type)]
    with (
        pq.ParquetWriter(
            aside,
            schema,
            compression="zstd",
            store_schema=False,
            write_statistics=[MEMBER, WEEK],
            use_dictionary=listed,
        ) as writer,  # fmt: skip
        ThreadPoolExecutor(1) as putting,
        ThreadPoolExecutor(1) as writing,
    ):

        def tables() -> Iterator[Future[pa.Table]]:
            for part in parts:
                part.add_payments()  # the engine answers one thread at a time
                yield putting.submit(member_table, part, groups, spec, schema)

        def write(table: pa.Table) -> None:
            writer.write_table(_named(table, names, schema), row_group_size=ROWS)

        of_groups = _even(_results(tables(), AHEAD), ROWS)
        # A deque of length 0 runs through the results and keeps none.
        deque(_results((writing.submit(write, table) for table in of_groups), AHEAD * (CELLS // ROWS)), maxlen=0)
        said = summary()
        writer.add_key_value_metadata(
            {SCHEMA_KEY: json.dumps(columns_said(spec)), WEEKS_KEY: json.dumps(said, sort_keys=True)}
        )
    with aside.open("rb+") as whole:
        os.fsync(whole.fileno())  # or a power cut leaves the name and no rows
    aside.replace(output)
    return said


def _results(begun: Iterable[Future[Result]], ahead: int) -> Iterator[Result]:
    """Results in order, of which so many are on their way while the next one is begun."""
    waiting: deque[Future[Result]] = deque()
    for each in begun:
        waiting.append(each)
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    yield from (each.result() for each in waiting)


def table_schema(spec: Spec) -> pa.Schema:
    """Columns of the table, in the order of the contract; text as places in lists of words."""
    word, number = pa.dictionary(pa.int8(), pa.string()), pa.float32()
    kinds: dict[str, pa.DataType] = {MEMBER: pa.dictionary(pa.int32(), pa.string()), WEEK: pa.date32()}
    kinds |= dict.fromkeys(MEASURES, number)
    kinds |= {f"action_{factor.name}": pa.dictionary(pa.int16(), pa.string()) for factor in spec.actions}
    kinds |= {REWARD: number, TERMINATED: pa.bool_()}
    kinds |= {"age_band": word} | dict.fromkeys(DEMOGRAPHIC_KEYS, pa.dictionary(pa.int16(), pa.string()))
    kinds |= {f"next_{name}": number for name in MEASURES}
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in kinds.items()])


def columns_said(spec: Spec) -> dict[str, Any]:
    """What the columns are, for the metadata."""
    return {
        "states": list(MEASURES),
        "demographics": list(DEMOGRAPHIC_KEYS),
        "action_schema": spec.actions.to_json(),
        "limits": {name: list(LIMITS[name]) for name in MEASURES},
        "effort": spec.facts()["effort"],
    }


def member_table(weeks: Weeks, groups: Mapping[str, pa.DictionaryArray], spec: Spec, schema: pa.Schema) -> pa.Table:
    """Member-weeks in the schema of the file, with members' numbers in place of their names.

    Args:
        weeks: Of some members, with their payments.
        groups: Groups of all members, in the order of their numbers.
        spec: For the levels.
        schema: Of the file.
    """
    who = weeks.who
    columns: dict[str, Any] = {
        MEMBER: pa.array(who, pa.int32()),
        WEEK: pa.array(weeks.start.astype(np.int32)).cast(pa.date32()),
    }
    for prefix, after in (("", False), ("next_", True)):
        for name, ours in zip(MEASURES, STATES, strict=True):
            values = weeks.state(ours, after=after)
            columns[f"{prefix}{name}"] = (values / 100.0 if ours == "paid" else values).astype(np.float32)
    every = spec.actions.unravel(np.arange(spec.actions.n_joint)).astype(np.int16)
    for factor, levels in zip(spec.actions, every.T, strict=True):
        columns[f"action_{factor.name}"] = _words(np.ascontiguousarray(levels)[weeks.joint], factor.levels)
    columns[REWARD] = -(weeks.ed + weeks.ip).astype(np.float32) + np.float32(0)
    columns[TERMINATED] = weeks.terminated
    columns["age_band"] = _bands(weeks.age)
    for name, group in groups.items():
        columns[name] = _words(group.indices.to_numpy()[who], group.dictionary)
    return pa.table({name: columns[name] for name in schema.names})


def _words(places: np.ndarray, words: Any) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(places), pa.array(words, pa.string()))


def _group(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """A group of all members, as places in a list of words."""
    found = pc.fill_null(column, UNKNOWN_GROUP).cast(pa.string()).combine_chunks().dictionary_encode()
    if len(found.dictionary) > np.iinfo(np.int16).max:
        raise UserError(f"members have {len(found.dictionary):,} groups of one kind; join them by a crosswalk")
    return pa.DictionaryArray.from_arrays(found.indices.cast(pa.int16()), found.dictionary)


def _named(table: pa.Table, names: pa.Array, schema: pa.Schema) -> pa.Table:
    """Members' names for their numbers."""
    who = table[MEMBER].to_numpy()
    low, high = int(who[0]), int(who[-1])
    of_these = pa.DictionaryArray.from_arrays(pa.array(who - low), names.slice(low, high - low + 1).cast(pa.string()))
    return table.set_column(0, MEMBER, of_these).cast(schema)


def _bands(ages: np.ndarray) -> pa.DictionaryArray:
    of_age = np.searchsorted([last for last, _ in BANDS], np.arange(256)).astype(np.int8)
    return _words(of_age[np.clip(ages, 0, 255)], [*(band for _, band in BANDS), UNKNOWN_GROUP])


def _even(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """Rows regrouped into tables of `rows` rows each; the last has what is left."""
    waiting: list[pa.Table] = []
    held = 0
    for table in tables:
        waiting.append(table)
        held += len(table)
        if held < rows:
            continue
        joined = pa.concat_tables(waiting)
        for start in range(0, held - rows + 1, rows):
            yield joined.slice(start, rows).combine_chunks()
        waiting, held = [joined.slice(held // rows * rows)], held % rows
    if held:
        yield pa.concat_tables(waiting).combine_chunks()
