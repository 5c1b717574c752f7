"""MEDS 0.4 (Medical Event Data Standard): one table of events in shards."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from frl_env.event_export.care import Care
from frl_env.event_export.formats.parts import write_contacts

TABLES = '[tables.events]\npath = "data"'

SCHEMA = pa.schema(
    [
        ("subject_id", pa.int64()),
        ("time", pa.timestamp("us")),
        ("code", pa.string()),
        ("numeric_value", pa.float32()),
    ]
)


def write(
    folder: Path, shard: int, care: Care, spans: pd.DataFrame, who: pd.DataFrame, services: pd.DataFrame,
    log: pd.DataFrame, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Adds one shard, sorted by subject and time; facts without a time come first, as MEDS asks."""
    del care, rng
    at = pd.Timedelta(hours=10)
    stays = services[services["kind"].isin(("stay", "ed_stay"))]
    visits = services[services["kind"].isin(("ed", "ed_stay"))]
    paid = services[services["paid"] != 0]
    dead = who[who["death"].notna()]
    covered = _joined(spans)
    open_ended = covered[covered["end"].notna()]
    parts = [
        _events(who["member"], pd.NaT, "GENDER//" + who["gender"].str[0]),
        _events(who["member"], pd.NaT, "RACE//" + who["race_ethnicity"]),
        _events(who["member"], who["birth"], "MEDS_BIRTH"),
        _events(covered["member"], covered["start"], "COVERAGE_START"),
        _events(open_ended["member"], open_ended["end"] + pd.Timedelta(hours=23), "COVERAGE_END"),
        _events(visits["member"], visits["start"] + at, "ED_REGISTRATION//WALK_IN"),
        _events(stays["member"], stays["start"] + 1.5 * at, "HOSPITAL_ADMISSION//ADULT"),
        _events(stays["member"], stays["end"] + at, "HOSPITAL_DISCHARGE//HOME"),
        _events(paid["member"], paid["start"] + 2 * at, "PAID//USD", paid["paid"]),
        _events(dead["member"], dead["death"] + pd.Timedelta(hours=23, minutes=30), "MEDS_DEATH"),
    ]
    table = pd.concat(parts, ignore_index=True)
    table = table.sort_values(["subject_id", "time", "code"], na_position="first", ignore_index=True)
    place = folder / "data" / "train"
    place.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, schema=SCHEMA, preserve_index=False), place / f"{shard}.parquet")
    write_contacts(folder, shard, log.assign(member=log["member"].str[1:].astype("int64")))


def _joined(spans: pd.DataFrame) -> pd.DataFrame:
    """Spans whose pieces are put together, for a format that opens and closes coverage."""
    ordered = spans.sort_values(["member", "start"])
    new = ordered["member"] != ordered["member"].shift()
    new |= ordered["start"] > ordered["end"].shift() + pd.Timedelta(days=1)
    grouped = ordered.groupby(new.cumsum())
    joined = grouped.agg(member=("member", "first"), start=("start", "min"))
    joined["end"] = grouped["end"].apply(lambda ends: ends.max() if ends.notna().all() else pd.NaT)
    return joined


def _events(member: pd.Series, time: object, code: object, value: object = None) -> pd.DataFrame:
    """One row an event, in the columns of the standard; our identifiers are "M" and a number."""
    table = pd.DataFrame(
        {"subject_id": member.str[1:].astype("int64"), "time": time, "code": code, "numeric_value": value}
    )
    return table.astype({"time": "datetime64[us]", "numeric_value": "float32"})
