"""From event tables (spans, claims or encounters, a contact log) to the member-weeks that `frl import` takes.

    reader -> canonical tables -> coverage, claims in force, events, contacts -> member-weeks -> Parquet

The expressions are Ibis, run by DuckDB or Spark; both are installed with `pip install 'frl-medicaid[weeks]'` only, and
nothing here is imported before they are needed. The rules and what each is for: `docs/event_tables.md`.
"""

from frl_env.events_to_weeks.conversion import MemberWeeks, weeks
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.faults import EventTablesError, Fault
from frl_env.events_to_weeks.rules import Rules

__all__ = ["EventTablesError", "Fault", "MemberWeeks", "Rules", "Spec", "weeks"]
