"""Flat extracts, as analysts export them: one file a table, columns by whatever names the spec gives.

claims.csv: MBR, CLM, FROM_DT, PAID    +    [tables.claims] member = "MBR", claim = "CLM", start = "FROM_DT", ...
"""

from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.reading import column_named
from frl_env.events_to_weeks.event_tables.spec import Spec


def read_flat(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names.

    Raises:
        UserError: If a table or a column is missing.
    """
    if "enrolment" not in spec.tables:
        raise UserError("the spec names no enrolment: add [tables.enrolment] with path, member, start and end")
    if not {"claims", "encounters"} & set(spec.tables):
        raise UserError("the spec names neither claims nor encounters: without them there are no events to count")
    return {label: read_named(engine, spec, label) for label in spec.tables}


def read_named(engine: Any, spec: Spec, label: str) -> ir.Table:
    """One table with our column names for those that the spec names.

    Raises:
        UserError: If it or a column is missing.
    """
    table = spec.tables[label]
    raw = engine.open(label, table)
    columns = {ours: column_named(label, raw, theirs) for ours, theirs in table.columns.items()}
    columns |= {ours: ibis.literal(word) for ours, word in table.constants.items()}
    if not columns:
        raise UserError(f'[tables.{label}] names no column; write ours = "theirs" for each')
    return raw.select(**columns)
