"""OMOP 5.4, a common data model of health records: person, observation_period, visit_occurrence, cost, death."""

from pathlib import Path

import numpy as np
import pandas as pd

from frl_env.event_export.care import Care
from frl_env.event_export.formats.parts import dates, write_contacts, write_part

TABLES = "\n".join(
    f'[tables.{name}]\npath = "{name}"'
    for name in ("person", "observation_period", "visit_occurrence", "cost", "death")
)

CONCEPTS = {"stay": 9201, "ed": 9203, "ed_stay": 262, "other": 9202}
RACE_CONCEPTS = {"WHITE": 8527, "BLACK": 8516, "HISPANIC": 0, "OTHER": 8515}


def write(
    folder: Path, shard: int, care: Care, spans: pd.DataFrame, who: pd.DataFrame, services: pd.DataFrame,
    log: pd.DataFrame, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Adds one shard; identifiers are whole numbers, as in OMOP."""
    del rng
    birth = pd.to_datetime(who["birth"])
    hispanic = who["race_ethnicity"] == "HISPANIC"
    # Numbers of gender and ethnicity are OMOP's own concepts.
    person = pd.DataFrame({
        "person_id": _number(who["member"]),
        "gender_concept_id": np.where(who["gender"] == "MALE", 8507, 8532),
        "year_of_birth": birth.dt.year,
        "month_of_birth": birth.dt.month,
        "day_of_birth": birth.dt.day,
        "race_concept_id": who["race_ethnicity"].map(RACE_CONCEPTS),
        "ethnicity_concept_id": np.where(hispanic, 38003563, 38003564),
    })  # fmt: skip
    # OMOP has no open end: whoever is still covered is so up to the day of the extract.
    last = pd.Timestamp("2025-12-31")
    period = pd.DataFrame({
        "observation_period_id": care.first_member * 10 + np.arange(len(spans)),
        "person_id": _number(spans["member"]),
        "observation_period_start_date": dates(spans["start"]),
        "observation_period_end_date": dates(spans["end"].fillna(last)),
    })  # fmt: skip
    numbers = care.first_member * 1000 + np.arange(len(services))
    visit = pd.DataFrame({
        "visit_occurrence_id": numbers,
        "person_id": _number(services["member"]),
        "visit_concept_id": services["kind"].map(CONCEPTS),
        "visit_start_date": dates(services["start"]),
        "visit_end_date": dates(services["end"]),
    })  # fmt: skip
    cost = pd.DataFrame({
        "cost_id": numbers,
        "cost_event_id": numbers,
        "cost_domain_id": "Visit",
        "total_paid": services["paid"],
    })  # fmt: skip
    dead = who[who["death"].notna()]
    death = pd.DataFrame({"person_id": _number(dead["member"]), "death_date": dates(dead["death"])})
    for name, table in (
        ("person", person),
        ("observation_period", period),
        ("visit_occurrence", visit),
        ("cost", cost),
        ("death", death.astype({"person_id": "int64"})),
    ):
        write_part(folder, name, shard, table)
    write_contacts(folder, shard, log.assign(member=_number(log["member"])))


def _number(members: pd.Series) -> pd.Series:
    """Members as numbers; identifiers are a letter and a number."""
    return members.str[1:].astype("int64")
