"""Tuva's core tables: `eligibility`, `encounter`, `medical_claim`, from its DuckDB file or exported.

    core.encounter: emergency department, 2024-01-03   ->   encounters: ed, 2024-01-03
    core.medical_claim: 2024-01-03, paid 310.20        ->   encounters: other, 2024-01-03, paid 310.20

Tuva has grouped claim lines into encounters already, so no codes are looked at here; what was paid comes from the
lines. The contact log lies beside, as [tables.contacts].
"""

from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.event_tables.reading import columns_as_named
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.facts import cell_parsing

DUAL = tuple(f"{zero}{code}" for zero in ("0", "") for code in (1, 2, 3, 4, 5, 6, 8))
"""Codes of those whom Medicare and Medicaid cover both."""


def read_tuva(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names.

    Raises:
        UserError: If a table or a column is missing.
    """
    opened = partial(columns_as_named, engine, spec)
    spans = opened(
        "eligibility", "person_id", "enrollment_start_date", "enrollment_end_date", "birth_date", "death_date",
        "gender", "race", "dual_status_code",
    )  # fmt: skip
    visit = opened("encounter", "person_id", "encounter_type", "encounter_start_date", "encounter_end_date", "ed_flag",
                   "discharge_disposition_code")  # fmt: skip
    claim = opened("medical_claim", "person_id", "claim_start_date", "claim_end_date", "paid_amount")
    kind = visit.encounter_type.cast("string").strip()
    from_ed = _plain(visit.ed_flag).isin(("1", "TRUE")).fill_null(False) & (kind.lower() == "acute inpatient")
    visits = visit.select(
        member="person_id", start="encounter_start_date", end="encounter_end_date",
        kind=ibis.ifelse(from_ed, ibis.literal("acute inpatient ed"), kind),
        discharge=visit.discharge_disposition_code.cast("string"), paid=ibis.null(claim.paid_amount.type()),
    )  # fmt: skip
    lines = claim.select(
        member="person_id", start="claim_start_date", end="claim_end_date", kind=ibis.literal("paid line"),
        discharge=ibis.literal(None, "string"), paid="paid_amount",
    )  # fmt: skip
    people = spans.group_by(member=spans.person_id).aggregate(
        birth=spans.birth_date.min(), death=spans.death_date.min(), gender=spans.gender.min(),
        race_ethnicity=spans.race.min(),
    )  # fmt: skip
    return {
        "enrolment": spans.select(
            member="person_id", start="enrollment_start_date", end="enrollment_end_date",
            dual=_plain(spans.dual_status_code).isin(DUAL).fill_null(False),
        ),
        "members": people,
        "encounters": visits.union(lines),
    }  # fmt: skip


def _plain(column: Any) -> Any:
    """A code as text in capitals, however it is written: 2, 2.0 and "2.0" are one."""
    return cell_parsing.without_fraction(cell_parsing.capitals(column))
