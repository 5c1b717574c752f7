"""CSV files as Synthea, a simulator of patients, writes them: patients, payer_transitions, encounters."""

from pathlib import Path

import numpy as np
import pandas as pd

from frl_env.event_export.care import Care
from frl_env.event_export.formats.parts import write_contacts

TABLES = "\n".join(f'[tables.{name}]\npath = "{name}.csv"' for name in ("patients", "payer_transitions", "encounters"))

CLASSES = {"stay": "inpatient", "ed_stay": "inpatient", "ed": "emergency", "other": "ambulatory"}
PAYER = "7caa7254-5050-3b5e-9eae-bd5ea30e809c"
RACE_WORDS = {"WHITE": "white", "BLACK": "black", "OTHER": "asian", "HISPANIC": "white"}


def write(
    folder: Path, shard: int, care: Care, spans: pd.DataFrame, who: pd.DataFrame, services: pd.DataFrame,
    log: pd.DataFrame, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Adds one shard."""
    del care, rng
    patients = pd.DataFrame({
        "Id": who["member"],
        "BIRTHDATE": who["birth"],
        "DEATHDATE": who["death"],
        "GENDER": who["gender"].str[0],
        "RACE": who["race_ethnicity"].map(RACE_WORDS),
        "ETHNICITY": np.where(who["race_ethnicity"] == "HISPANIC", "hispanic", "nonhispanic"),
    })  # fmt: skip
    transitions = pd.DataFrame({
        "PATIENT": spans["member"],
        "START_DATE": spans["start"].dt.strftime("%Y-%m-%dT00:00:00Z"),
        "END_DATE": spans["end"].dt.strftime("%Y-%m-%dT00:00:00Z"),
        "PAYER": PAYER,
    })  # fmt: skip
    encounters = pd.DataFrame({
        "Id": [f"{member}-{number}" for number, member in enumerate(services["member"])],
        "START": services["start"].dt.strftime("%Y-%m-%dT10:00:00Z"),
        "STOP": services["end"].dt.strftime("%Y-%m-%dT18:00:00Z"),
        "PATIENT": services["member"],
        "ENCOUNTERCLASS": services["kind"].map(CLASSES),
        "PAYER_COVERAGE": services["paid"].map("{:.2f}".format),
    })  # fmt: skip
    # Admissions through the ED are an ED encounter and a stay in Synthea.
    through = services["kind"] == "ed_stay"
    first = encounters[through].assign(ENCOUNTERCLASS="emergency", PAYER_COVERAGE="0.00")
    first = first.assign(Id=first["Id"] + "-ed", STOP=first["START"])
    for name, table in (
        ("patients", patients),
        ("payer_transitions", transitions),
        ("encounters", pd.concat([encounters, first], ignore_index=True)),
    ):
        table.to_csv(folder / f"{name}.csv", mode="a", header=shard == 0, index=False)
    write_contacts(folder, shard, log)
