"""Synthea's CSV folder: `patients`, `payer_transitions`, `encounters`.

    encounters.csv: emergency, 2024-01-03T10:00:00Z, PAYER_COVERAGE 310.2   ->   encounters: ed, 2024-01-03, paid 310.2

Spans are payer transitions; `options.payers` keeps those of some payers only, and those without insurance are left
out. What the payer covers is what was paid. Synthea has no care program, so the contact log lies beside, as
[tables.contacts].
"""

from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.reading import columns_as_named
from frl_env.events_to_weeks.event_tables.spec import Spec

NO_INSURANCE = "b1c428d6-4f07-31e0-90f0-68ffa6ff8c76"
"""Synthea's identifier of having no payer."""


def read_synthea(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names.

    Raises:
        UserError: If a table or a column is missing.
    """
    opened = partial(columns_as_named, engine, spec)
    spans = opened("payer_transitions", "PATIENT", "START_DATE", "END_DATE", "PAYER")
    spans = spans.filter(spans.PAYER.cast("string").fill_null(NO_INSURANCE) != NO_INSURANCE)
    payers = spec.options.get("payers", [])
    if payers:
        if not (isinstance(payers, list) and all(isinstance(payer, str) for payer in payers)):
            raise UserError("options.payers must be a list of identifiers of payers, in quotes")
        spans = spans.filter(spans.PAYER.isin(payers))
    people = opened("patients", "Id", "BIRTHDATE", "DEATHDATE", "GENDER", "RACE", "ETHNICITY")
    hispanic = (people.ETHNICITY.cast("string").lower() == "hispanic").fill_null(False)
    visits = opened("encounters", "PATIENT", "START", "STOP", "ENCOUNTERCLASS", "PAYER_COVERAGE")
    return {
        "enrolment": spans.select(member="PATIENT", start="START_DATE", end="END_DATE"),
        "members": people.select(
            member="Id", birth="BIRTHDATE", death="DEATHDATE", gender="GENDER",
            race_ethnicity=ibis.ifelse(hispanic, ibis.literal("hispanic"), people.RACE.cast("string")),
        ),
        "encounters": visits.select(
            member="PATIENT", start="START", end="STOP", kind="ENCOUNTERCLASS", paid="PAYER_COVERAGE"
        ),
    }  # fmt: skip
