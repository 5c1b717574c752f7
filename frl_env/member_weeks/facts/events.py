"""Claims in force, or encounters, to events: ED visits and stays, each counted once.

claims          ED  | stay A --transfer-- stay B |   ED  ED (same day)
events              | one stay                   |   one ED visit
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.member_weeks.facts.coverage import Coverage, week_of
from frl_env.member_weeks.facts.values import place_in
from frl_env.member_weeks.rules import EventsRules, Rules

OTHER, ED, STAY, ED_STAY, OBSERVATION, IGNORED = range(6)
"""Places in the targets of the crosswalk `kind`."""


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


def event_kinds(lines: ir.Table, has: frozenset[str], rules: EventsRules) -> dict[str, Any]:
    """What each claim line is, by its codes: ED visit, stay, observation, transfer."""

    def any_of(*tests: tuple[str, Sequence[str]]) -> Any:
        found = ibis.literal(False)
        for column, codes in tests:
            if column in has:
                found = found | (place_in(lines[column], spellings(column, codes)) >= 0)
        return found.fill_null(False)

    stay = ibis.literal(False)
    if "bill_type" in has:
        codes = [code for code in rules.stay_bill_types if len(code) == 2]
        # 0111 and 111 are the same type of bill.
        stay = place_in(lines.bill_type.substr(0, 3), [f"0{code}" for code in codes]) >= 0
        stay |= place_in(lines.bill_type.substr(0, 2), [code for code in codes if code[0] != "0"]) >= 0
    return {
        "ed": any_of(("revenue", rules.ed_revenue), ("hcpcs", rules.ed_hcpcs), ("place", rules.ed_places)),
        "stay": stay.fill_null(False),
        "observed": any_of(("revenue", rules.observation_revenue)),
        "transfer": any_of(("discharge", rules.transfer_codes)),
    }


_WIDTHS = {"revenue": 4, "place": 2, "discharge": 2}
"""Codes that lose a leading zero on their way through spreadsheets."""


def spellings(column: str, codes: Sequence[str]) -> list[str]:
    """Codes as they may stand in a column: 0450 as 450, too.

    Args:
        column: `revenue`, `hcpcs`, `place` or `discharge`.
        codes: As they are defined.
    """
    found = list(codes)
    for code in codes:
        zeros = len(code) - len(code.lstrip("0")) if len(code) == _WIDTHS.get(column) else 0
        found += [code[lost:] for lost in range(1, zeros + 1) if lost < len(code)]
    return found


def encounter_lines(encounters: ir.Table, coverage: Coverage, rules: Rules) -> ir.Table:
    """Encounters in the form of claim lines, each a claim of its own."""
    kept = encounters.filter(encounters.kind != IGNORED)
    whose = coverage.spells.select("member", "who", "anchor", "first", "last")
    if rules.claims.outside_coverage == "kept":
        lines = kept.join(coverage.members.select("member", "who", "anchor"), "member")
    else:
        lines = kept.join(whose, "member")
        lines = lines.filter((lines["start"] >= lines["first"]) & (lines["start"] <= lines["last"]))
    end = lines.end.fill_null(lines.start)
    transfer = (place_in(lines.discharge, spellings("discharge", rules.events.transfer_codes)) >= 0).fill_null(False)
    return lines.select(
        "who", "anchor", claim=ibis.literal(None, "string"), start=lines["start"].cast("int32"), end=end.cast("int32"),
        received=lines.received.fill_null(end).cast("int32"), sign=ibis.literal(1, "int8"),
        ed=lines.kind.isin((ED, ED_STAY)), stay=lines.kind.isin((STAY, ED_STAY)),
        observed=lines.kind == OBSERVATION, transfer=transfer, cents=lines.paid.fill_null(0),
    )  # fmt: skip


def make_events(engine: Any, lines: ir.Table, rules: EventsRules, name: str) -> Events:
    """Counts events of lines in force.

    Args:
        engine: Where stages are kept.
        lines: Of claims, encounters, or both.
        rules: How is counted.
        name: For the stages.
    """
    stay = lines.stay | lines.observed if rules.observation == "stay" else lines.stay
    ed = lines.ed | lines.observed if rules.observation == "ed" else lines.ed
    events = engine.keep(
        f"events_{name}",
        lines.filter(stay | ed).select(
            "who", "anchor", "claim", "start", "end", "transfer", is_stay=stay.cast("int8"), is_ed=ed.cast("int8")
        ),
    )
    stays = engine.keep(f"stays_{name}", _joined_stays(events.filter(events.is_stay == 1), rules))
    visits = events.filter(events.is_ed == 1).select("who", "anchor", "claim", day="start")
    visits = visits.drop("claim").distinct() if rules.ed_days == "one" else _each_claim(visits)
    if rules.ed_to_stay == "both":
        return Events(ed=engine.keep(f"ed_{name}", visits), stays=stays, ed_before=visits)
    spans = stays.select(of_whom="who", opens=stays["first"] - rules.ed_to_stay_days, closes="last")
    within = (
        visits.join(spans, [visits.who == spans.of_whom, visits.day >= spans.opens, visits.day <= spans.closes])
        .select(of_whom="who", that_day="day")
        .distinct()
    )
    alone = visits.left_join(within, [visits.who == within.of_whom, visits.day == within.that_day])
    alone = alone.filter(alone.that_day.isnull()).select("who", "anchor", "day")
    return Events(ed=engine.keep(f"ed_{name}", alone), stays=stays, ed_before=visits)


def _each_claim(visits: ir.Table) -> ir.Table:
    """Every claim once, however many of its lines say so; every encounter once."""
    claims = visits.filter(visits.claim.notnull()).distinct().drop("claim")
    return claims.union(visits.filter(visits.claim.isnull()).drop("claim"))


def _joined_stays(lines: ir.Table, rules: EventsRules) -> ir.Table:
    """Stays that touch, are close enough, or are a transfer, as one."""
    named = lines.filter(lines.claim.notnull())
    claims = named.group_by(["who", "anchor", "claim"]).aggregate(
        first=named["start"].min(), last=named.end.max(), transfer=named.transfer.max()
    )
    unnamed = lines.filter(lines.claim.isnull())
    parts = claims.drop("claim").union(unnamed.select("who", "anchor", first="start", last="end", transfer="transfer"))
    reach = parts["last"] + ibis.ifelse(
        parts.transfer, max(rules.transfer_days, rules.stay_gap_days), rules.stay_gap_days
    )
    parts = parts.mutate(reach=reach)
    order = ["first", "last", "reach"]
    running = ibis.window(group_by="who", order_by=order, preceding=None, following=0)
    reached = parts.mutate(far=parts.reach.max().over(running))
    reached = reached.mutate(far=reached.far.lag(1).over(ibis.window(group_by="who", order_by=order)))
    marked = reached.mutate(new=ibis.ifelse(reached.far.isnull() | (reached["first"] > reached.far), 1, 0))
    numbered = marked.mutate(stay=marked.new.sum().over(running))
    return (
        numbered.group_by(["who", "anchor", "stay"])
        .aggregate(first=numbered["first"].min(), last=numbered["last"].max(), parts=numbered.count())
        .drop("stay")
    )


def weekly(events: Events) -> tuple[ir.Table, ir.Table]:
    """Week of each ED visit and of each stay's first day."""
    ed, stays = events.ed, events.stays
    return (
        ed.select("who", week=week_of(ed.day, ed.anchor)),
        stays.select("who", week=week_of(stays["first"], stays.anchor)),
    )
