"""Tables in parts: a folder a table, a Parquet file a shard."""

from pathlib import Path

import pandas as pd
import pyarrow as pa

CONTACTS = {
    "contact": "CONTACT_ID", "member": "MEMBER_ID", "time": "CONTACT_TIME", "modality": "CHANNEL",
    "provider": "STAFF_ROLE", "goal": "TOPIC", "urgency": "PRIORITY", "outcome": "OUTCOME", "direction": "DIRECTION",
}  # fmt: skip


def write_part(folder: Path, name: str, shard: int, table: pd.DataFrame) -> None:
    """Adds a shard to a table."""
    (folder / name).mkdir(exist_ok=True)
    table.to_parquet(folder / name / f"part-{shard:04d}.parquet", index=False)


def write_contacts(folder: Path, shard: int, log: pd.DataFrame) -> None:
    """Adds a shard to the contact log, which every format has beside it."""
    write_part(folder, "contacts", shard, log.rename(columns=CONTACTS))


def dates(column: pd.Series) -> pd.Series:
    """Days as dates, empty where there is none."""
    days = pa.array(column.to_numpy().astype("datetime64[D]"))
    return pd.Series(days, index=column.index, dtype=pd.ArrowDtype(pa.date32()))
