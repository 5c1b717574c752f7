"""Core tables of Tuva, an open data model of claims: eligibility, encounter, medical_claim."""

from pathlib import Path

import numpy as np
import pandas as pd

from frl_env.event_export.care import Care
from frl_env.event_export.formats.parts import dates, write_contacts, write_part

TABLES = "\n".join(f'[tables.{name}]\npath = "core/{name}"' for name in ("eligibility", "encounter", "medical_claim"))

TYPES = {"stay": "acute inpatient", "ed_stay": "acute inpatient", "ed": "emergency department", "other": "office visit"}


def write(
    folder: Path, shard: int, care: Care, spans: pd.DataFrame, who: pd.DataFrame, services: pd.DataFrame,
    log: pd.DataFrame, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Adds one shard."""
    del rng
    (folder / "core").mkdir(exist_ok=True)
    known = who.set_index("member").loc[spans["member"]].reset_index()
    eligibility = pd.DataFrame({
        "person_id": spans["member"],
        "enrollment_start_date": dates(spans["start"]),
        "enrollment_end_date": dates(spans["end"]),
        "birth_date": dates(known["birth"]),
        "death_date": dates(known["death"]),
        "gender": known["gender"].str.lower(),
        "race": known["race_ethnicity"].str.lower(),
        "dual_status_code": "00",
    })  # fmt: skip
    grouped = services[services["kind"] != "other"]
    encounter = pd.DataFrame({
        "encounter_id": [f"{care.first_member}-{number}" for number in grouped.index],
        "person_id": grouped["member"],
        "encounter_type": grouped["kind"].map(TYPES),
        "encounter_start_date": dates(grouped["start"]),
        "encounter_end_date": dates(grouped["end"]),
        "ed_flag": (grouped["kind"] != "stay").astype("int64"),
        "discharge_disposition_code": np.where(grouped["transfer"], "02", "01"),
    })  # fmt: skip
    medical_claim = pd.DataFrame({
        "claim_id": [f"{care.first_member}-{number}" for number in services.index],
        "claim_line_number": 1,
        "person_id": services["member"],
        "claim_start_date": dates(services["start"]),
        "claim_end_date": dates(services["end"]),
        "paid_amount": services["paid"],
    })  # fmt: skip
    for name, table in (("eligibility", eligibility), ("encounter", encounter), ("medical_claim", medical_claim)):
        write_part(folder / "core", name, shard, table)
    write_contacts(folder, shard, log)
