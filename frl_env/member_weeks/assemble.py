"""Coverage, events and contacts to member-weeks: one grouping, one pass over each member's weeks in order.

Each fact is written twice: in its own week, where it is what came of the decision, and in the week after, where it is
part of the state. Payments are sums that enter and leave, so that one running sum gives the window of 13 weeks.
"""

from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.member_weeks.contacts import LoggedContacts, joint_of
from frl_env.member_weeks.coverage import Coverage, age_on, grid, week_of
from frl_env.member_weeks.events import Events, weekly
from frl_env.member_weeks.rules import Rules

STATES = ("encounters", "ed_last", "ip_last", "calls", "texts", "enrolled", "paid")
"""Our states in the order of the contract's: encounters, ED visits, stays, calls, texts, enrolled days, total paid."""

_FACTS = ("is_row", "enrolled", "ed", "ip", "ed_last", "ip_last", "encounters", "calls", "texts", "cents", "action")


def member_weeks(
    coverage: Coverage, events: Events, known: Events, contacts: LoggedContacts, paid: ir.Table, rules: Rules, cut: int
) -> ir.Table:
    """All rows, in order of member and week.

    Args:
        coverage: Who is observed when.
        events: What happened.
        known: Events that were known in time to be part of a state.
        contacts: What was done.
        paid: Of `claims.payments`.
        rules: How is counted.
        cut: Last complete day.

    Returns:
        `who`, `member`, `start` (day), the states, `next_` states, `joint` (null: nothing), `ed`, `ip`, `terminated`,
        `age` (null where unknown), `gender`, `race_ethnicity`.
    """
    ed, stays = weekly(events)
    known_ed, known_stays = weekly(known)
    one = ibis.literal(1, "int64")
    log = contacts.weeks
    facts = ibis.union(
        _facts(grid(coverage, rules, cut)),
        _facts(ed.mutate(ed=one)),
        _facts(stays.mutate(ip=one)),
        _facts(known_ed.select("who", week=known_ed.week + 1, ed_last=one)),
        _facts(known_stays.select("who", week=known_stays.week + 1, ip_last=one)),
        _facts(log.select("who", "week", "action")),
        _facts(log.select("who", "encounters", "calls", "texts", week=log.week + 1)),
        _facts(paid),
    )
    sums = ("ed", "ip", "ed_last", "ip_last", "encounters", "calls", "texts", "cents")
    weeks = facts.group_by(["who", "week"]).aggregate(
        **{name: facts[name].sum().fill_null(0).cast("int64") for name in sums},
        is_row=facts.is_row.max().fill_null(0),
        enrolled=facts.enrolled.max(),
        action=facts.action.min(),
    )
    order = ibis.window(group_by="who", order_by="week")
    running = ibis.window(group_by="who", order_by="week", preceding=None, following=0)
    weeks = weeks.mutate(paid=ibis.greatest(weeks.cents.sum().over(running), 0).cast("int64"))
    weeks = weeks.mutate(**{f"next_{name}": weeks[name].lead(1).over(order) for name in STATES})
    rows = weeks.filter(weeks.is_row == 1)
    rows = rows.join(
        coverage.members.select("who", "member", "anchor", "end_day", "birth", "gender", "race_ethnicity"), "who"
    )
    start = rows.anchor + 7 * rows.week
    return rows.select(
        "who", "member", *STATES, *(f"next_{name}" for name in STATES), "ed", "ip", "gender", "race_ethnicity",
        start=start,
        joint=joint_of(rows.action),
        terminated=(week_of(rows.end_day, rows.anchor) == rows.week).fill_null(False),
        age=age_on(start, rows.birth),
    ).order_by(["who", "start"])  # fmt: skip


def _facts(table: ir.Table) -> ir.Table:
    """A table with all the columns of facts, null where it says nothing."""
    none = ibis.literal(None, "int64")
    given: dict[str, Any] = {name: table[name].cast("int64") if name in table.columns else none for name in _FACTS}
    return table.select("who", "week", **given)
