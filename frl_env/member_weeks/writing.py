"""Rows to the Parquet file of member-weeks: names for codes, and all rules in its metadata.

Batches are cut to the same size whatever the engine, so that both write the same bytes.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from frl_env.datasets.tabular.columns import LIMITS, MEMBER, REWARD, SCHEMA_KEY, TERMINATED, WEEK
from frl_env.datasets.tabular.provenance import WEEKS_KEY
from frl_env.information import DEMOGRAPHIC_KEYS
from frl_env.member_weeks.assemble import STATES, unpack
from frl_env.member_weeks.contacts import joint_index
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
    engine: Any, rows: Any, coverage: Coverage, spec: Spec, summary: dict[str, Any], output: Path, folder: Path
) -> int:
    """Writes the table aside and renames it.

    Returns:
        Number of rows.
    """
    aside = folder / "members.parquet"
    schema = table_schema(spec, summary)
    members = coverage.members.select("who", "member", "anchor", "gender", "race_ethnicity").order_by("who")
    people = pa.Table.from_batches(list(engine.batches(members))).combine_chunks()
    written = 0
    with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
        for table in _even(engine.batches(rows.order_by(["who", "week"])), ROWS):
            made = member_table(table, people, spec, schema)
            writer.write_table(made, row_group_size=ROWS)
            written += len(made)
    aside.replace(output)
    return written


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
    }
    metadata = {SCHEMA_KEY: json.dumps(columns), WEEKS_KEY: json.dumps(summary, sort_keys=True)}
    return pa.schema(list(kinds.items()), metadata=metadata)


def member_table(rows: pa.Table, people: pa.Table, spec: Spec, schema: pa.Schema) -> pa.Table:
    """Rows of `assemble.member_weeks` in the schema of the file.

    Args:
        rows: Some of them.
        people: All members, in the order of their numbers.
        spec: For the levels.
        schema: Of the file.
    """
    who = rows["who"]
    names = ("grid", "events", "log", "paid")
    numbers = {name: _numbers(rows[name]) for name in ("week", *names, *(f"next_{name}" for name in names))}
    anchor = _numbers(people["anchor"].take(who))
    columns: dict[str, Any] = {
        MEMBER: people["member"].take(who),
        WEEK: pa.array((anchor + 7 * numbers["week"]).astype(np.int32)).cast(pa.date32()),
    }
    for prefix in ("", "next_"):
        for name, ours in zip(MEASURES, STATES, strict=True):
            values = unpack(numbers, ours, prefix).astype(np.float64)
            columns[f"{prefix}{name}"] = (values / 100.0 if ours == "paid" else values).astype(np.float32)
    action = {"action": _numbers(pc.fill_null(rows["action"], joint_index(spec.actions)))}
    levels = spec.actions.unravel(unpack(action, "joint"))
    for i, factor in enumerate(spec.actions):
        columns[f"action_{factor.name}"] = pa.array(factor.levels, pa.string()).take(pa.array(levels[:, i]))
    columns[REWARD] = -(unpack(numbers, "ed") + unpack(numbers, "ip")).astype(np.float32) + np.float32(0)
    columns[TERMINATED] = unpack(numbers, "terminated") == 1
    columns["age_band"] = _bands(unpack(numbers, "age"))
    for name in ("gender", "race_ethnicity"):
        columns[name] = pc.fill_null(people[name], UNKNOWN_GROUP).take(who)
    arrays = [
        (value if isinstance(value, pa.ChunkedArray) else pa.chunked_array([pa.array(value)])).cast(field.type)
        for field, value in ((field, columns[field.name]) for field in schema)
    ]
    return pa.table(arrays, schema=schema)


def _bands(ages: np.ndarray) -> pa.Array:
    places = np.searchsorted([last for last, _ in BANDS], ages)
    return pa.array([*(band for _, band in BANDS), UNKNOWN_GROUP], pa.string()).take(pa.array(places))


def _numbers(column: Any) -> np.ndarray:
    return np.asarray(column.to_numpy(), dtype=np.int64)


def _even(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of the same size."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        waiting.append(batch)
        held += len(batch)
        while held >= rows:
            table = pa.Table.from_batches(waiting)
            yield table.slice(0, rows).combine_chunks()
            waiting, held = table.slice(rows).to_batches(), held - rows
    if held:
        yield pa.Table.from_batches(waiting).combine_chunks()
