"""Coverage, events and contacts to member-weeks: one grouping, one pass over each member's weeks in order.

Each fact is written twice: in its own week, where it is what came of the decision, and in the week after, where it is
part of the state. Payments are sums that enter and leave, so that one running sum gives the window of 13 weeks.

Small counts travel together in one whole number, as the digits of a long one, which adds up as well: grouping,
ordering and sorting take a third of the columns. `PACKED` says what lies where; `unpack` takes it apart, in an
expression or an array.
"""

from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.member_weeks.contacts import PLACES, LoggedContacts
from frl_env.member_weeks.coverage import Coverage, grid
from frl_env.member_weeks.events import Events, weekly
from frl_env.member_weeks.rules import Rules

DAYS, AGES, EVENTS, LOGGED = 1 << 17, 1 << 8, 1 << 15, 1 << 20
"""How large a part may be: days enrolled, ages, events of a week, contacts of a week."""

UNKNOWN_AGE = AGES - 1

PACKED: dict[str, tuple[str, int, int]] = {
    "enrolled": ("grid", 1, DAYS),
    "age": ("grid", DAYS, AGES),
    "terminated": ("grid", DAYS * AGES, 2),
    "is_row": ("grid", DAYS * AGES * 2, 2),
    "ed": ("events", 1, EVENTS),
    "ip": ("events", EVENTS, EVENTS),
    "ed_last": ("events", EVENTS**2, EVENTS),
    "ip_last": ("events", EVENTS**3, EVENTS),
    "encounters": ("log", 1, LOGGED),
    "calls": ("log", LOGGED, LOGGED),
    "texts": ("log", LOGGED**2, LOGGED),
    "joint": ("action", 1, PLACES),
}
"""Name to the number that it is part of, its unit there, and the value below which it stays."""

STATES = ("encounters", "ed_last", "ip_last", "calls", "texts", "enrolled", "paid")
"""Our states in the order of the contract's: encounters, ED visits, stays, calls, texts, enrolled days, total paid."""

_FACTS = ("grid", "events", "log", "cents", "action")


def unpack(rows: Any, name: str, prefix: str = "") -> Any:
    """A part of a packed number, of an Ibis table or of a mapping of NumPy arrays.

    Args:
        rows: With the packed numbers.
        name: Of the part, or "paid", which is not packed.
        prefix: "next_" for the week after.
    """
    if name == "paid":
        return rows[f"{prefix}paid"]
    number, unit, below = PACKED[name]
    shifted = rows[f"{prefix}{number}"] // unit
    return shifted - shifted // below * below


def member_weeks(
    coverage: Coverage, events: Events, known: Events, contacts: LoggedContacts, paid: ir.Table, rules: Rules, cut: int
) -> ir.Table:
    """All rows.

    Args:
        coverage: Who is observed when.
        events: What happened.
        known: Events that were known in time to be part of a state.
        contacts: What was done.
        paid: Of `claims.payments`.
        rules: How is counted.
        cut: Last complete day.

    Returns:
        `who`, `week`, the packed numbers `grid`, `events`, `log`, `action` (null: nothing was done), `paid` in cents,
        and `next_grid`, `next_events`, `next_log`, `next_paid` of the week after.
    """
    ed, stays = weekly(events)
    known_ed, known_stays = weekly(known)
    log = contacts.weeks
    unit = {name: ibis.literal(one, "int64") for name, (_, one, _) in PACKED.items()}
    weeks_ = grid(coverage, rules, cut)
    age = weeks_.age.fill_null(UNKNOWN_AGE)
    packed = (
        weeks_.enrolled + age * unit["age"] + weeks_.terminated * unit["terminated"] + weeks_.is_row * unit["is_row"]
    )
    facts = ibis.union(
        _facts(weeks_.select("who", "week", grid=packed)),
        _facts(ed.mutate(events=unit["ed"])),
        _facts(stays.mutate(events=unit["ip"])),
        _facts(known_ed.select("who", week=known_ed.week + 1, events=unit["ed_last"])),
        _facts(known_stays.select("who", week=known_stays.week + 1, events=unit["ip_last"])),
        _facts(log.select("who", "week", "action")),
        _facts(
            log.select(
                "who",
                week=log.week + 1,
                log=log.encounters + log.calls * unit["calls"] + log.texts * unit["texts"],
            )
        ),
        _facts(paid),
    )
    weeks = facts.group_by(["who", "week"]).aggregate(
        grid=facts.grid.max(),
        events=facts["events"].sum().fill_null(0).cast("int64"),
        log=facts.log.sum().fill_null(0).cast("int64"),
        cents=facts.cents.sum().fill_null(0).cast("int64"),
        action=facts.action.min(),
    )
    order = ibis.window(group_by="who", order_by="week")
    running = ibis.window(group_by="who", order_by="week", preceding=None, following=0)
    weeks = weeks.mutate(paid=ibis.greatest(weeks.cents.sum().over(running), 0).cast("int64")).drop("cents")
    weeks = weeks.mutate(
        **{f"next_{name}": weeks[name].lead(1).over(order) for name in ("grid", "events", "log", "paid")}
    )
    return weeks.filter(weeks.grid >= PACKED["is_row"][1])


def _facts(table: ir.Table) -> ir.Table:
    """A table with all the columns of facts, null where it says nothing."""
    none = ibis.literal(None, "int64")
    given: dict[str, Any] = {name: table[name].cast("int64") if name in table.columns else none for name in _FACTS}
    return table.select("who", "week", **given)
