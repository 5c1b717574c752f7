"""Readers: one format each, from the tables of a spec to raw tables with our column names."""

from typing import Any

import ibis.expr.types as ir

from frl_env.errors import UserError, unknown_name
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.readers.flat import read_flat, read_named
from frl_env.events_to_weeks.readers.meds import PATTERNS, read_meds
from frl_env.events_to_weeks.readers.omop import read_omop
from frl_env.events_to_weeks.readers.synthea import read_synthea
from frl_env.events_to_weeks.readers.tuva import read_tuva

READERS = {"flat": read_flat, "omop": read_omop, "synthea": read_synthea, "meds": read_meds, "tuva": read_tuva}

OWN = {
    "flat": ("enrolment", "members", "claims", "encounters", "contacts"),
    "omop": ("person", "observation_period", "visit_occurrence", "cost", "death", "contacts"),
    "synthea": ("patients", "payer_transitions", "encounters", "contacts"),
    "meds": ("events", "contacts"),
    "tuva": ("eligibility", "encounter", "medical_claim", "contacts"),
}
"""Tables that each reader knows."""

OPTIONS = {"synthea": ("payers",), "meds": tuple(PATTERNS)}
"""Entries of [options] that a reader knows."""


def read_source(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names, by the reader of the spec.

    Raises:
        UserError: If a table or a column is missing.
    """
    for label in spec.tables:
        if label not in OWN[spec.source]:
            raise unknown_name(f"table of source {spec.source}:", label, OWN[spec.source])
        table = spec.tables[label]
        if spec.source != "flat" and label != "contacts" and (table.columns or table.constants):
            raise UserError(
                f"[tables.{label}]: columns have the names that {spec.source} gives them; leave all out but "
                "path and table"
            )
    known = OPTIONS.get(spec.source, ())
    for name in spec.options:
        if not known:
            raise UserError(f"source {spec.source} has no [options]; leave them out")
        if name not in known:
            raise unknown_name("entry in [options]:", name, known)
    tables = READERS[spec.source](engine, spec)
    if "contacts" not in tables:
        if "contacts" not in spec.tables:
            raise UserError(
                "the spec names no contacts: without the program's contact log there are no decisions to learn from"
            )
        tables["contacts"] = read_named(engine, spec, "contacts")
    return tables
