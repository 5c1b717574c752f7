"""Claims in force, or encounters, to events: ED visits and stays, each counted once.

claims          ED  | stay A --transfer-- stay B |   ED  ED (same day)
events              | one stay                   |   one ED visit
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.facts.cell_parsing import place_in
from frl_env.events_to_weeks.facts.coverage import week_of
from frl_env.events_to_weeks.rules import EventsRules

OTHER, ED, STAY, ED_STAY, OBSERVATION, IGNORED = range(6)
"""Places in the targets of the crosswalk `kind`."""

IS_ED, IS_STAY, IS_OBSERVED, IS_TRANSFER = (1 << place for place in range(4))
"""Bits of a line's marks."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """What happened.

    Attributes:
        ed: One row an ED visit: `who`, `anchor`, `day`.
        stays: One row a stay: `who`, `anchor`, `first`, `last`, `parts` (claims or encounters that are one stay).
        ed_before: ED visits before those that end in a stay were taken out.
    """

    ed: ir.Table
    stays: ir.Table
    ed_before: ir.Table


def event_kinds(lines: ir.Table, has: frozenset[str], rules: EventsRules) -> dict[int, Any]:
    """What each claim line is, by its codes: a mask for each bit."""

    def any_of(*tests: tuple[str, Sequence[str]]) -> Any:
        found = ibis.literal(False)
        for column, codes in tests:
            if column in has:
                found = found | (place_in(lines[column], spellings(column, codes)) >= 0)
        return found.fill_null(False)

    stay = ibis.literal(False)
    if "bill_type" in has:
        codes = rules.stay_bill_types
        # 0111 and 111 are the same type of bill.
        stay = place_in(lines.bill_type.substr(0, 3), [f"0{code}" for code in codes]) >= 0
        stay |= place_in(lines.bill_type.substr(0, 2), [code for code in codes if code[0] != "0"]) >= 0
    return {
        IS_ED: any_of(("revenue", rules.ed_revenue), ("hcpcs", rules.ed_hcpcs), ("place", rules.ed_places)),
        IS_STAY: stay.fill_null(False),
        IS_OBSERVED: any_of(("revenue", rules.observation_revenue)),
        IS_TRANSFER: any_of(("discharge", rules.transfer_codes)),
    }


_WIDTHS = {"revenue": 4, "place": 2, "discharge": 2}
"""Codes that lose a leading zero on their way through spreadsheets."""


def spellings(column: str, codes: Sequence[str]) -> list[str]:
    """Codes as they may stand in a column, in capitals: 0450 as 450, too.

    Args:
        column: `revenue`, `hcpcs`, `place` or `discharge`.
        codes: As they are defined.
    """
    codes = [code.strip().upper() for code in codes]
    found = list(codes)
    for code in codes:
        zeros = len(code) - len(code.lstrip("0")) if len(code) == _WIDTHS.get(column) else 0
        found += [code[lost:] for lost in range(1, zeros + 1) if lost < len(code)]
    return found


def encounter_kinds(encounters: ir.Table, has: frozenset[str], rules: EventsRules) -> dict[int, Any]:
    """What each encounter is, by its kind: a mask for each bit."""
    kind = encounters.kind
    codes = spellings("discharge", rules.transfer_codes)
    transfer = place_in(encounters.discharge, codes) >= 0 if "discharge" in has else ibis.literal(False)
    return {
        IS_ED: kind.isin((ED, ED_STAY)), IS_STAY: kind.isin((STAY, ED_STAY)), IS_OBSERVED: kind == OBSERVATION,
        IS_TRANSFER: transfer.fill_null(False),
    }  # fmt: skip


def make_events(engine: Any, lines: ir.Table, rules: EventsRules, name: str, *, hindsight: bool = True) -> Events:
    """Counts events of lines in force.

    Args:
        engine: Where stages are kept.
        lines: Of claims, encounters, or both.
        rules: How is counted.
        name: For the stages.
        hindsight: Whether an ED visit is part of a stay that starts in the week after it only.
    """
    stays_of = IS_STAY | IS_OBSERVED if rules.observation == "stay" else IS_STAY
    ed_of = IS_ED | IS_OBSERVED if rules.observation == "ed" else IS_ED
    some = lines.filter((lines.marks & (stays_of | ed_of)) != 0)
    events = engine.keep(
        f"events_{name}",
        some.select(
            "who", "anchor", "key", "start", "end", transfer=(some.marks & IS_TRANSFER) != 0,
            is_stay=((some.marks & stays_of) != 0).cast("int8"), is_ed=((some.marks & ed_of) != 0).cast("int8"),
        ),
    )  # fmt: skip
    stays = engine.keep(f"stays_{name}", _joined_stays(events.filter(events.is_stay == 1), rules))
    visits = events.filter(events.is_ed == 1).select("who", "anchor", "key", day="start")
    visits = visits.drop("key").distinct() if rules.ed_days == "one" else _each_claim(visits)
    if rules.ed_to_stay == "both":
        return Events(ed=engine.keep(f"ed_{name}", visits), stays=stays, ed_before=visits)
    alone = _without_stays(visits, stays, rules, hindsight=hindsight)
    return Events(ed=engine.keep(f"ed_{name}", alone), stays=stays, ed_before=visits)


def without_hindsight(engine: Any, events: Events, rules: EventsRules) -> Events:
    """Events as known when each week ends: an ED visit counts though a stay of the next week takes it in later.

    Args:
        engine: Where stages are kept.
        events: Of `make_events`.
        rules: How is counted.
    """
    if rules.ed_to_stay == "both":
        return events
    alone = _without_stays(events.ed_before, events.stays, rules, hindsight=False)
    return Events(ed=engine.keep("ed_known", alone), stays=events.stays, ed_before=events.ed_before)


def _without_stays(visits: ir.Table, stays: ir.Table, rules: EventsRules, *, hindsight: bool) -> ir.Table:
    """ED visits that are no part of a stay."""
    spans = stays.select(
        of_whom="who", opens=stays["first"] - rules.ed_to_stay_days, closes="last",
        week=week_of(stays["first"], stays.anchor),
    )  # fmt: skip
    during = [visits.who == spans.of_whom, visits.day >= spans.opens, visits.day <= spans.closes]
    if not hindsight:
        during.append(week_of(visits.day, visits.anchor) >= spans.week)
    return visits.anti_join(spans, during).select("who", "anchor", "day")


def _each_claim(visits: ir.Table) -> ir.Table:
    """Every claim once, however many of its lines say so; every encounter once."""
    claims = visits.filter(visits.key.notnull()).distinct().drop("key")
    return claims.union(visits.filter(visits.key.isnull()).drop("key"))


def _joined_stays(lines: ir.Table, rules: EventsRules) -> ir.Table:
    """Stays that touch, are close enough, or are a transfer, as one."""
    named = lines.filter(lines.key.notnull())
    claims = named.group_by(["who", "anchor", "key"]).aggregate(
        first=named["start"].min(), last=named.end.max(), transfer=named.transfer.max()
    )
    unnamed = lines.filter(lines.key.isnull())
    parts = claims.drop("key").union(unnamed.select("who", "anchor", first="start", last="end", transfer="transfer"))
    reach = parts["last"] + ibis.ifelse(
        parts.transfer, max(rules.transfer_days, rules.stay_gap_days), rules.stay_gap_days
    )
    # Parts that are alike are one row: the windows below may see such rows in different orders.
    parts = parts.mutate(reach=reach)
    parts = parts.group_by(["who", "anchor", "first", "last", "reach"]).aggregate(parts=parts.count())
    order = ["first", "last", "reach"]
    running = ibis.window(group_by="who", order_by=order, preceding=None, following=0)
    reached = parts.mutate(far=parts.reach.max().over(running))
    reached = reached.mutate(far=reached.far.lag(1).over(ibis.window(group_by="who", order_by=order)))
    # A new stay begins where a part starts after all that the parts before it reach.
    marked = reached.mutate(new=ibis.ifelse(reached.far.isnull() | (reached["first"] > reached.far), 1, 0))
    numbered = marked.mutate(stay=marked.new.sum().over(running))
    return (
        numbered.group_by(["who", "anchor", "stay"])
        .aggregate(first=numbered["first"].min(), last=numbered["last"].max(), parts=numbered.parts.sum().cast("int64"))
        .drop("stay")
    )


def weekly(events: Events) -> tuple[ir.Table, ir.Table]:
    """Week of each ED visit and of each stay's first day."""
    ed, stays = events.ed, events.stays
    return (
        ed.select("who", week=week_of(ed.day, ed.anchor)),
        stays.select("who", week=week_of(stays["first"], stays.anchor)),
    )
