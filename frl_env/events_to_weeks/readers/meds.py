"""MEDS 0.4: shards of events, each a `subject_id`, a `time`, a `code` and perhaps a `numeric_value`.

    9, 2024-01-03 22:10, HOSPITAL_ADMISSION//EMERGENCY   }
    9, 2024-01-06 11:00, HOSPITAL_DISCHARGE//HOME        }   ->   encounters: 9, stay, 2024-01-03 to 2024-01-06

What a code means is told by patterns (regular expressions) under [options]; those of a stay's end and of coverage's
end close what the same subject opened last; coverage that is opened again goes on. Without codes of coverage a
subject is covered from its first event to its last.
"""

from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.reading import column_named
from frl_env.events_to_weeks.event_tables.spec import Spec

PATTERNS = {
    "birth": "^MEDS_BIRTH",
    "death": "^MEDS_DEATH",
    "gender": "^GENDER//",
    "race_ethnicity": "^RACE//",
    "ed": "^ED_REGISTRATION|^VISIT//ED",
    "stay_start": "^HOSPITAL_ADMISSION",
    "stay_end": "^HOSPITAL_DISCHARGE",
    "covered_from": "^COVERAGE_START",
    "covered_to": "^COVERAGE_END",
    "paid": "^PAID",
}
"""What codes mean unless [options] says otherwise."""


def read_meds(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names.

    Raises:
        UserError: If the events, a column or a pattern is missing.
    """
    if "events" not in spec.tables:
        raise UserError("source meds needs the table events: add [tables.events] with the path of the folder of shards")
    for name, pattern in spec.options.items():
        if not isinstance(pattern, str):
            raise UserError(f"options.{name} must be a pattern, in quotes")
    patterns = PATTERNS | dict(spec.options)
    raw = engine.open("events", spec.tables["events"])
    none = ibis.null("float64")
    columns = {name: column_named("events", raw, name) for name in ("subject_id", "time", "code")}
    events = raw.select(
        **columns, value=raw["numeric_value"].cast("float64") if "numeric_value" in raw.columns else none
    )
    if not events.time.type().is_timestamp():
        raise UserError("table events: time must be points in time, as MEDS has them; convert the column")

    def of(name: str) -> ir.Table:
        return events.filter(events.code.re_search(patterns[name]).fill_null(False))

    ed = of("ed").select(
        member="subject_id", start="time", end="time", kind=ibis.literal("ed"), paid=ibis.null("float64")
    )
    stays = _opened_and_closed(of("stay_start"), of("stay_end"))
    stays = stays.select("member", "start", "end", kind=ibis.literal("stay"), paid=ibis.null("float64"))
    paid = of("paid").select(member="subject_id", start="time", end="time", kind=ibis.literal("other"), paid="value")
    spans = _opened_and_closed(of("covered_from"), of("covered_to"))
    # Who is covered and opens coverage again goes on being covered.
    spans = spans.select("member", "start", end=ibis.coalesce(spans.end, spans.follows))
    if not engine.row(spans.aggregate(rows=spans.count()))["rows"]:
        seen = events.filter(events.time.notnull() & ~events.code.re_search(patterns["birth"]))
        spans = seen.group_by(member="subject_id").aggregate(start=seen.time.min(), end=seen.time.max())
    return {"enrolment": spans, "members": _people(of), "encounters": ibis.union(ed, stays, paid)}


def _opened_and_closed(starts: ir.Table, ends: ir.Table) -> ir.Table:
    """What a subject opens, up to what closes it next; null while it is open. `follows`: when something is next."""
    both = starts.select(member="subject_id", time="time", opens=ibis.literal(1, "int64")).union(
        ends.select(member="subject_id", time="time", opens=ibis.literal(0, "int64"))
    )
    order = ibis.window(group_by="member", order_by=["time", "opens"])
    follows = both.mutate(
        next_time=both.time.lead(1).over(order), next_opens=both.opens.lead(1).over(order),
        last_time=both.time.lag(1).over(order), last_opens=both.opens.lag(1).over(order),
        before=both.opens.lag(2).over(order).fill_null(0),
    )  # fmt: skip
    opened = follows.filter(follows.opens == 1)
    # What closes at the same moment closes what was open before; where nothing was, what opens then.
    at_once = (opened.last_opens == 0) & (opened.last_time == opened.time) & (opened.before == 0)
    end = ibis.cases((at_once, opened.time), (opened.next_opens == 0, opened.next_time))
    return opened.select("member", start="time", end=end, follows="next_time")


def _people(of: Any) -> ir.Table:
    """One row a subject: the smallest time or code of its events of each kind, so that the order doesn't matter."""

    def one(name: str, value: Any) -> ir.Table:
        events = of(name)
        return events.group_by(subject="subject_id").aggregate(value(events).min().name(name))

    people = one("birth", lambda events: events.time)
    for name, value in (
        ("death", lambda events: events.time),
        ("gender", lambda events: events.code.split("//")[1]),
        ("race_ethnicity", lambda events: events.code.split("//")[1]),
    ):
        found = one(name, value).rename(whose="subject")
        joined = people.outer_join(found, people.subject == found.whose)
        people = joined.mutate(subject=ibis.coalesce(joined.subject, joined.whose)).drop("whose")
    return people.rename(member="subject")
