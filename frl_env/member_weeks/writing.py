"""Rows to the Parquet file of member-weeks: names for codes, and all rules in its metadata.

Batches are cut to the same size whatever the engine, so that both write the same bytes.
"""

import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from frl_env.datasets.tabular.columns import LIMITS, MEMBER, REWARD, SCHEMA_KEY, TERMINATED, WEEK
from frl_env.datasets.tabular.provenance import WEEKS_KEY
from frl_env.information import DEMOGRAPHIC_KEYS
from frl_env.member_weeks.assemble import STATES, Weeks
from frl_env.member_weeks.coverage import Coverage
from frl_env.member_weeks.spec import Spec
from frl_env.parameters import MEASURES

pc: Any = pyarrow.compute

ROWS = 1 << 17
"""Rows of a group of the file."""

BANDS = ((17, "0-17"), (24, "18-24"), (34, "25-34"), (44, "35-44"), (54, "45-54"), (64, "55-64"), (200, "65+"))
"""Last age of each band."""

UNKNOWN_GROUP = "UNKNOWN"


def write_weeks(
    engine: Any, parts: Iterator[Weeks], coverage: Coverage, spec: Spec, summary: dict[str, Any], output: Path,
    folder: Path,
) -> None:  # fmt: skip
    """Writes the table aside and renames it; while one part is compressed, the next is put together.

    Args:
        engine: That has computed the members.
        parts: All member-weeks, in order.
        coverage: For the members' names.
        spec: For the levels.
        summary: For the metadata.
        output: The file; an older one stays until the new one is whole.
        folder: Where it lies until then.
    """
    aside = folder / "members.parquet"
    schema = table_schema(spec, summary)
    members = coverage.members.select("who", "member", "anchor", "gender", "race_ethnicity").order_by("who")
    people = pa.Table.from_batches(list(engine.batches(members))).combine_chunks()
    with pq.ParquetWriter(aside, schema, compression="zstd") as writer, ThreadPoolExecutor(1) as beside:
        written: Future[None] | None = None
        for table in _even((member_table(part, people, spec, schema) for part in parts), ROWS):
            if written is not None:
                written.result()
            written = beside.submit(writer.write_table, table, row_group_size=ROWS)
        if written is not None:
            written.result()
    aside.replace(output)


def table_schema(spec: Spec, summary: dict[str, Any]) -> pa.Schema:
    """Columns of the table, in the order of the contract, with the metadata that say what they are."""
    text, number = pa.string(), pa.float32()
    kinds: dict[str, pa.DataType] = {MEMBER: text, WEEK: pa.date32()}
    kinds |= dict.fromkeys(MEASURES, number)
    kinds |= {f"action_{factor.name}": text for factor in spec.actions}
    kinds |= {REWARD: number, TERMINATED: pa.bool_()}
    kinds |= dict.fromkeys(DEMOGRAPHIC_KEYS, text)
    kinds |= {f"next_{name}": number for name in MEASURES}
    columns = {
        "states": list(MEASURES),
        "demographics": list(DEMOGRAPHIC_KEYS),
        "action_schema": spec.actions.to_json(),
        "limits": {name: list(LIMITS[name]) for name in MEASURES},
        "effort": spec.facts()["effort"],
    }
    metadata = {SCHEMA_KEY: json.dumps(columns), WEEKS_KEY: json.dumps(summary, sort_keys=True)}
    return pa.schema(list(kinds.items()), metadata=metadata)


def member_table(weeks: Weeks, people: pa.Table, spec: Spec, schema: pa.Schema) -> pa.Table:
    """Member-weeks in the schema of the file.

    Args:
        weeks: Of some members.
        people: All members, in the order of their numbers.
        spec: For the levels.
        schema: Of the file.
    """
    weeks.add_payments()
    who = pa.array(weeks.who)
    columns: dict[str, Any] = {
        MEMBER: people["member"].take(who),
        WEEK: pa.array(weeks.start.astype(np.int32)).cast(pa.date32()),
    }
    for prefix, after in (("", False), ("next_", True)):
        for name, ours in zip(MEASURES, STATES, strict=True):
            values = weeks.state(ours, after=after)
            columns[f"{prefix}{name}"] = (values / 100.0 if ours == "paid" else values).astype(np.float32)
    every = spec.actions.unravel(np.arange(spec.actions.n_joint))
    joint = pa.array(weeks.joint)
    for factor, levels in zip(spec.actions, every.T, strict=True):
        names = pa.array(factor.levels, pa.string()).take(pa.array(levels))
        columns[f"action_{factor.name}"] = names.take(joint)
    columns[REWARD] = -(weeks.ed + weeks.ip).astype(np.float32) + np.float32(0)
    columns[TERMINATED] = weeks.terminated
    columns["age_band"] = _bands(weeks.age)
    for name in ("gender", "race_ethnicity"):
        columns[name] = pc.fill_null(people[name], UNKNOWN_GROUP).take(who)
    arrays = [
        (value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([pa.array(value)])).cast(field.type)
        for field, value in ((field, columns[field.name]) for field in schema)
    ]
    return pa.table(arrays, schema=schema)


def _bands(ages: np.ndarray) -> pa.Array:
    of_age = np.searchsorted([last for last, _ in BANDS], np.arange(256))
    places = of_age[np.clip(ages, 0, 255)]
    return pa.array([*(band for _, band in BANDS), UNKNOWN_GROUP], pa.string()).take(pa.array(places))


def _even(tables: Iterator[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of the same size."""
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
