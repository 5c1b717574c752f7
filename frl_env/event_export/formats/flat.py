"""Flat extracts: enrolment, members, claims and contacts, with all adjustments of claims."""

from pathlib import Path

import numpy as np
import pandas as pd

from frl_env.event_export.care import Care
from frl_env.event_export.formats.parts import dates, write_contacts, write_part
from frl_env.event_export.services import claims

ENROLMENT = {"member": "MEMBER_ID", "start": "START_DATE", "end": "END_DATE"}
MEMBERS = {
    "member": "MEMBER_ID", "birth": "BIRTH_DATE", "death": "DEATH_DATE", "left": "LEFT_DATE", "gender": "GENDER",
    "race_ethnicity": "RACE_ETHNICITY",
}  # fmt: skip
CLAIMS = {
    "member": "MEMBER_ID", "claim": "CLAIM_ID", "start": "FROM_DATE", "end": "THRU_DATE", "received": "RECEIVED_DATE",
    "adjusts": "ADJUSTS_CLAIM_ID", "frequency": "FREQUENCY_CODE", "status": "STATUS", "bill_type": "BILL_TYPE",
    "revenue": "REVENUE_CODE", "hcpcs": "HCPCS", "place": "PLACE_OF_SERVICE", "discharge": "DISCHARGE_STATUS",
    "paid": "PAID_AMOUNT",
}  # fmt: skip

TABLES = "\n".join(
    line
    for name, columns in (("enrolment", ENROLMENT), ("members", MEMBERS), ("claims", CLAIMS))
    for line in (
        f"[tables.{name}]",
        f'path = "{name}"',
        *(f'{ours} = "{theirs}"' for ours, theirs in columns.items()),
        "",
    )
)


def write(
    folder: Path, shard: int, care: Care, spans: pd.DataFrame, who: pd.DataFrame, services: pd.DataFrame,
    log: pd.DataFrame, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Adds one shard."""
    lines = claims(care, services, rng)
    for name, table, columns in (
        ("enrolment", spans, ENROLMENT),
        ("members", who, MEMBERS),
        ("claims", lines, CLAIMS),
    ):
        made = table[list(columns)].copy()
        for column in ("start", "end", "received", "birth", "death", "left"):
            if column in made:
                made[column] = dates(made[column])
        write_part(folder, name, shard, made.rename(columns=columns))
    write_contacts(folder, shard, log)
