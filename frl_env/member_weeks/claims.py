"""Claim lines to those in force: denied ones out, voids, replacements and reversals carried out.

A claim may be adjusted, and its adjustment again; all that go back to one claim are a family. The last to arrive
decides:

    A <- B replaces A                       B is in force
    A <- B voids A                          nothing is
    A <- B voids A <- C voids B             A is again
    A <- B replaces A <- C voids B          nothing is: the replacement was the claim

A reversal is a line of the same claim with a negative amount or the status "reversed"; it takes back one line of its
kind.

What a *state* may know is what had arrived by then. So the same is done twice: with all lines, for what really
happened, and with those that had arrived by the end of their week, for what was known of it.
"""

from dataclasses import dataclass
from datetime import date
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.member_weeks.coverage import Coverage, day_number, week_of
from frl_env.member_weeks.faults import EventTablesError, Fault
from frl_env.member_weeks.rules import EventsRules, Rules

ORIGINAL, REPLACEMENT, VOID = 0, 1, 2
PAID, DENIED, REVERSED = 0, 1, 2
"""Places in the crosswalks' targets."""

LONGEST_CHAIN = 25
"""Adjustments of adjustments, at most; more can only go in a circle."""


@dataclass(frozen=True, kw_only=True)
class ClaimFacts:
    """What a first pass over the claims has seen, so that work for which there is nothing to do is left out.

    Attributes:
        adjusting: Rows that replace or void another claim.
        reversed: Rows that reverse lines.
        received: Whether rows say when they arrived.
    """

    adjusting: int
    reversed: int
    received: bool


def claim_lines(claims: ir.Table, coverage: Coverage, has: frozenset[str], rules: Rules) -> ir.Table:
    """Lines of covered members that may count, each with what it is.

    Returns:
        `who`, `anchor`, `claim`, `start`, `end`, `received`, `action`, `adjusts`, `sign`, `ed`, `stay`, `observed`,
        `transfer`, `cents`.
    """
    if rules.claims.outside_coverage == "kept":
        whose = coverage.members.select("member", "who", "anchor")
        lines = claims.join(whose, "member")
    else:
        whose = coverage.spells.select("member", "who", "anchor", "first", "last")
        lines = claims.join(whose, "member")
        lines = lines.filter((lines["start"] >= lines["first"]) & (lines["start"] <= lines["last"]))
    lines = lines.filter(lines.status != DENIED)
    end = lines.end.fill_null(lines.start)
    received = lines.received.fill_null(end)
    if isinstance(rules.claims.as_of, date):
        lines = lines.filter(
            lines.received.fill_null(lines.end.fill_null(lines.start)) <= day_number(rules.claims.as_of)
        )
    negative = (lines.paid < 0).fill_null(False)
    action = ibis.literal(ORIGINAL, "int64")
    if "adjusts" in has:
        said = lines.frequency if "frequency" in has else ibis.ifelse(negative, VOID, REPLACEMENT)
        action = ibis.ifelse(lines.adjusts.isnull(), ORIGINAL, ibis.ifelse(said == VOID, VOID, REPLACEMENT)).cast(
            "int64"
        )
    sign = ibis.literal(1, "int64")
    if "paid" in has or "status" in has:
        sign = ibis.ifelse((action == ORIGINAL) & (negative | (lines.status == REVERSED)), -1, 1).cast("int64")
    return lines.select(
        "who", "anchor", "claim", "start", end=end, received=received, action=action, adjusts=lines.adjusts, sign=sign,
        **event_kinds(lines, has, rules.events), cents=lines.paid.fill_null(0),
    )  # fmt: skip


def event_kinds(lines: ir.Table, has: frozenset[str], rules: EventsRules) -> dict[str, Any]:
    """What each claim line is, by its codes: ED visit, stay, observation, transfer."""

    def any_of(*tests: tuple[str, Any]) -> Any:
        found = ibis.literal(False)
        for column, codes in tests:
            if column in has:
                found = found | lines[column].isin(list(codes)).fill_null(False)
        return found

    stay = ibis.literal(False)
    if "bill_type" in has:
        number = lines.bill_type
        first_two = ibis.ifelse(number.substr(0, 1) == "0", number.substr(1, 2), number.substr(0, 2))
        stay = first_two.isin(list(rules.stay_bill_types)).fill_null(False)
    return {
        "ed": any_of(("revenue", rules.ed_revenue), ("hcpcs", rules.ed_hcpcs), ("place", rules.ed_places)),
        "stay": stay,
        "observed": any_of(("revenue", rules.observation_revenue)),
        "transfer": any_of(("discharge", rules.transfer_codes)),
    }


def known_in_time(lines: ir.Table) -> ir.Table:
    """Lines that had arrived before the week after their service started."""
    week_after = lines.anchor + 7 * (week_of(lines["start"], lines.anchor) + 1)
    return lines.filter(lines.received < week_after)


def in_force(engine: Any, lines: ir.Table, facts: ClaimFacts, rules: Rules, name: str) -> ir.Table:
    """Lines that count once every adjustment is carried out.

    Args:
        engine: Where stages are kept.
        lines: Of `claim_lines`.
        facts: What there is to do.
        rules: How is counted.
        name: For the stages.
    """
    if rules.claims.adjustments == "ignored":
        return lines
    if facts.adjusting:
        family = families(engine, lines, name).current
        joined = lines.left_join(family, [lines.who == family.of_whom, lines.claim == family.member_claim])
        lines = joined.filter(joined.member_claim.isnull() | (joined.content == joined.claim).fill_null(False))
        lines = lines.drop("of_whom", "member_claim", "content")
    return _net_of_reversals(lines) if facts.reversed else lines


def _net_of_reversals(lines: ir.Table) -> ir.Table:
    """Lines of claims with a reversal, added up by kind; those of which none is left are gone."""
    taken_back = lines.filter(lines.sign < 0).select(back="claim", whose="who").distinct()
    marked = lines.left_join(taken_back, [lines.who == taken_back.whose, lines.claim == taken_back.back])
    untouched = marked.filter(marked.back.isnull()).select(lines.columns)
    touched = marked.filter(marked.back.notnull()).select(lines.columns)
    keys = ["who", "anchor", "claim", "start", "ed", "stay", "observed"]
    net = touched.group_by(keys).aggregate(
        left=touched.sign.sum(), cents=touched.cents.sum(), end=touched.end.max(), received=touched.received.min(),
        action=touched.action.max(), adjusts=touched.adjusts.max(), transfer=touched.transfer.max(),
    )  # fmt: skip
    net = net.filter(net.left > 0).mutate(sign=ibis.literal(1, "int64"))
    return untouched.union(net.select(lines.columns))


@dataclass(frozen=True, kw_only=True)
class Families:
    """Claims that adjust each other.

    Attributes:
        current: `of_whom`, `member_claim`, `content`: of each claim of a family the one that is in force now, or null.
        versions: `of_whom`, `root`, `content`, `since`, `until`: what was in force from which day on.
    """

    current: ir.Table
    versions: ir.Table


def families(engine: Any, lines: ir.Table, name: str) -> Families:
    """Follows every adjustment back to the claim that it goes back to.

    Raises:
        EventTablesError: If adjustments go in a circle.
    """
    adjusting = lines.filter(lines.action != ORIGINAL)
    nodes = adjusting.group_by(["who", "claim"]).aggregate(
        action=adjusting.action.max(), adjusts=adjusting.adjusts.max(), received=adjusting.received.max()
    )
    nodes = engine.keep(f"adjustments_{name}", nodes)
    chain = nodes.select(
        "who", "claim", "action", "received", root=nodes.adjusts, depth=ibis.literal(1, "int64"), point=nodes.adjusts,
        voids=ibis.ifelse(nodes.action == VOID, 1, 0).cast("int64"), moved=ibis.literal(1, "int64"),
    )  # fmt: skip
    above = nodes.select(above_who="who", above="claim", above_action="action", above_adjusts="adjusts")
    pointed = above.rename(
        pointed_who="above_who", pointed="above", pointed_action="above_action", pointed_adjusts="above_adjusts"
    )
    for step in range(LONGEST_CHAIN + 1):
        joined = chain.left_join(above, [chain.who == above.above_who, chain.root == above.above])
        joined = joined.left_join(pointed, [joined.who == pointed.pointed_who, joined.point == pointed.pointed])
        further = (joined.action == VOID) & (joined.pointed_action == VOID).fill_null(False)
        chain = joined.select(
            "who", "claim", "action", "received",
            root=ibis.coalesce(joined.above_adjusts, joined.root),
            depth=joined.depth + ibis.ifelse(joined.above.isnull(), 0, 1),
            point=ibis.ifelse(further, joined.pointed_adjusts, joined.point),
            voids=joined.voids + ibis.ifelse(further, 1, 0),
            moved=ibis.ifelse(joined.above.isnull(), 0, 1).cast("int64"),
        )  # fmt: skip
        chain = engine.keep(f"chain_{name}_{step}", chain)
        moving = int(engine.row(chain.aggregate(moving=chain.moved.sum().fill_null(0)))["moving"])
        if not moving:
            break
    else:
        raise EventTablesError([Fault(table="claims", column="adjusts", kind="adjustments in a circle", rows=moving)])
    restored = ibis.ifelse(chain.voids // 2 * 2 == chain.voids, chain.point, None)
    after = chain.mutate(content=ibis.ifelse(chain.action == VOID, restored, chain.claim))
    newest = ibis.window(
        group_by=["who", "root"], order_by=[ibis.desc("received"), ibis.desc("depth"), ibis.desc("claim")]
    )
    ranked = after.mutate(rank=ibis.row_number().over(newest))
    last = ranked.filter(ranked["rank"] == 0).select(last_who="who", last_root="root", last_content="content")
    everyone = after.select(of_whom="who", root="root", member_claim="claim").union(
        after.select(of_whom="who", root="root", member_claim="root").distinct()
    )
    current = everyone.join(last, [everyone.of_whom == last.last_who, everyone.root == last.last_root]).select(
        "of_whom", "member_claim", content="last_content"
    )
    oldest = ibis.window(group_by=["who", "root"], order_by=["received", "depth", "claim"])
    versions = after.mutate(until=after.received.lead(1).over(oldest), number=ibis.row_number().over(oldest))
    return Families(
        current=engine.keep(f"families_{name}", current.distinct()),
        versions=engine.keep(
            f"versions_{name}",
            versions.select("root", "content", "until", "number", of_whom="who", since="received"),
        ),
    )


def payments(engine: Any, lines: ir.Table, facts: ClaimFacts, rules: Rules) -> ir.Table:
    """When a sum enters the state and when it leaves: `who`, `week`, `cents`.

    Added up from a member's first week to any other, they give what was paid for services of the weeks before it,
    as far as it was known.
    """
    if rules.claims.known == "at_service" or not facts.received:
        counted = in_force(engine, lines, facts, rules, "final")
        return _enter_and_leave(counted, since=None, until=None, rules=rules)
    if rules.claims.adjustments == "ignored" or not facts.adjusting:
        return _enter_and_leave(lines, since=lines.received, until=None, rules=rules)
    found = families(engine, lines, "final")
    joined = lines.left_join(
        found.current, [lines.who == found.current.of_whom, lines.claim == found.current.member_claim]
    )
    alone = joined.filter(joined.member_claim.isnull()).select(lines.columns)
    first = found.versions.filter(found.versions.number == 0).select("of_whom", root="root", first_since="since")
    roots = lines.join(first, [lines.who == first.of_whom, lines.claim == first.root])
    holding = found.versions.filter(found.versions.content.notnull())
    later = lines.join(holding, [lines.who == holding.of_whom, lines.claim == holding.content])
    return (
        _enter_and_leave(alone, since=alone.received, until=None, rules=rules)
        .union(_enter_and_leave(roots, since=roots.received, until=roots.first_since, rules=rules))
        .union(_enter_and_leave(later, since=later.since, until=later.until, rules=rules))
    )


def _enter_and_leave(lines: ir.Table, *, since: Any, until: Any, rules: Rules) -> ir.Table:
    served = week_of(lines["start"], lines.anchor)
    enters, leaves = served + 1, served + 1 + rules.state.paid_weeks
    if since is not None:
        enters = ibis.greatest(enters, week_of(since, lines.anchor) + 1)
    if until is not None:
        leaves = ibis.least(leaves, ibis.coalesce(week_of(until, lines.anchor) + 1, leaves))
    rows = lines.select("who", "cents", enters=enters, leaves=leaves)
    rows = rows.filter((rows.enters < rows.leaves) & (rows.cents != 0))
    return rows.select("who", "cents", week="enters").union(rows.select("who", cents=-rows.cents, week="leaves"))
