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

from frl_env.member_weeks.facts.coverage import Coverage, day_number, week_of
from frl_env.member_weeks.facts.events import event_kinds
from frl_env.member_weeks.faults import EventTablesError, Fault
from frl_env.member_weeks.rules import Rules

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
        denied: Rows that are denied.
        received: Whether rows say when they arrived.
    """

    adjusting: int
    reversed: int
    denied: int
    received: bool


def claim_lines(
    claims: ir.Table, coverage: Coverage, has: frozenset[str], facts: "ClaimFacts", rules: Rules
) -> ir.Table:
    """Lines of covered members that may count, each with what it is; nothing is computed yet.

    Returns:
        `who`, `anchor`, `claim`, `start`, `end`, `received`, `action`, `adjusts`, `sign`, `ed`, `stay`, `observed`,
        `transfer`, `cents`.
    """
    kinds = event_kinds(claims, has, rules.events)  # before the join: see `values.capitals`
    # Denied lines are nobody's. As a filter the same would be worked out before anything else, and text again after it.
    member = ibis.ifelse(claims.status == DENIED, None, claims.member) if facts.denied else claims.member
    claims = claims.mutate(member=member, **kinds)
    if rules.claims.outside_coverage == "kept":
        whose = coverage.members.select("member", "who", "anchor")
        lines = claims.join(whose, "member")
    else:
        whose = coverage.spells.select("member", "who", "anchor", "first", "last")
        lines = claims.join(whose, "member")
        lines = lines.filter((lines["start"] >= lines["first"]) & (lines["start"] <= lines["last"]))
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
    if facts.reversed:
        sign = ibis.ifelse((action == ORIGINAL) & (negative | (lines.status == REVERSED)), -1, 1).cast("int64")
    return lines.select(
        "who", "anchor", "claim",
        "ed", "stay", "observed", "transfer", start=lines["start"].cast("int32"), end=end.cast("int32"),
        received=received.cast("int32"), action=action.cast("int8"), adjusts=lines.adjusts, sign=sign.cast("int8"),
        cents=lines.paid.fill_null(0),
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Lines:
    """Claim lines and encounters, ready to be counted.

    Attributes:
        every: `who`, `anchor`, `claim`, `start`, `end`, `received`, `sign`, `ed`, `stay`, `observed`, `transfer`,
            `cents`. `claim` is empty where nobody asks for it: identifiers are long, and there are many.
        adjusting: Those that replace or void a claim, with `action` and `adjusts`; None if there are none.
    """

    every: ir.Table
    adjusting: ir.Table | None


def keep_lines(engine: Any, claims: ir.Table | None, encounters: ir.Table | None, facts: ClaimFacts) -> Lines:
    """Computes lines once.

    Args:
        engine: Where they are kept.
        claims: Of `claim_lines`, if there are claims.
        encounters: Of `events.encounter_lines`, if there are encounters.
        facts: What there is to do.
    """
    parts, adjusting, noted = [], None, []
    if claims is not None and facts.adjusting:
        wanted = claims.filter(claims.adjusts.notnull())
        adjusting = engine.keep(
            "adjusting", wanted.select("who", "anchor", "claim", "start", "received", "action", "adjusts")
        )
        noted += [adjusting.select("who", "claim"), adjusting.select("who", claim="adjusts")]
    if claims is not None and facts.reversed:
        noted.append(claims.filter(claims.sign < 0).select("who", "claim"))
    if claims is not None:
        event = claims.ed | claims.stay | claims.observed
        named = ibis.ifelse(event, claims.claim, None)
        if noted:
            both = ibis.union(*noted, distinct=True) if len(noted) > 1 else noted[0].distinct()
            both = engine.keep("noted_claims", both.select(of_whom="who", noted="claim"))
            claims = claims.left_join(both, [claims.who == both.of_whom, claims.claim == both.noted])
            named = ibis.ifelse(claims.ed | claims.stay | claims.observed, claims.claim, claims.noted)
        parts.append(claims.mutate(claim=named).select(*_OF_LINES))
    if encounters is not None:
        parts.append(encounters.select(*_OF_LINES))
    return Lines(every=engine.keep("lines", ibis.union(*parts) if len(parts) > 1 else parts[0]), adjusting=adjusting)


_OF_LINES = (
    "who", "anchor", "claim", "start", "end", "received", "sign", "ed", "stay", "observed", "transfer", "cents",
)  # fmt: skip


def known_in_time(lines: ir.Table) -> ir.Table:
    """Lines of `Lines`, or the adjusting ones, that had arrived before the week after their service started."""
    week_after = lines.anchor + 7 * (week_of(lines["start"], lines.anchor) + 1)
    return lines.filter(lines.received < week_after)


def in_force(lines: ir.Table, related: "Families | None", facts: ClaimFacts) -> ir.Table:
    """Lines that count once every adjustment is carried out.

    Args:
        lines: Of `keep_lines`.
        related: Claims that adjust each other, if any do.
        facts: What there is to do.
    """
    if related is not None:
        family = related.current
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
        left=touched.sign.sum(), cents=touched.cents.sum().cast("int64"), end=touched.end.max(),
        received=touched.received.min(), transfer=touched.transfer.max(),
    )  # fmt: skip
    net = net.filter(net.left > 0).mutate(sign=ibis.literal(1, "int8"))
    # Beside encounters, whose sign is a bare 1, DuckDB keeps all signs in a wider type.
    return untouched.union(net.select(lines.columns).cast(dict(lines.schema())))


@dataclass(frozen=True, kw_only=True)
class Families:
    """Claims that adjust each other.

    Attributes:
        current: `of_whom`, `member_claim`, `content`: of each claim of a family the one that is in force now, or null.
        steps: `who`, `root`, `claim`, `received`, `depth`, `content`: of each adjustment, what it leaves in force.
    """

    current: ir.Table
    steps: ir.Table


def families(engine: Any, adjusting: ir.Table | None, name: str) -> Families | None:
    """Follows every adjustment back to the claim that it goes back to.

    Args:
        engine: Where stages are kept.
        adjusting: Of `Lines`.
        name: For the stages.

    Returns:
        None if nothing is adjusted.

    Raises:
        EventTablesError: If adjustments go in a circle.
    """
    if adjusting is None:
        return None
    nodes = adjusting.group_by(["who", "claim"]).aggregate(
        action=adjusting.action.max(), adjusts=adjusting.adjusts.max(), received=adjusting.received.max()
    )
    nodes = engine.keep(f"adjustments_{name}", nodes)
    chain = nodes.select(
        "who", "claim", "action", "received", root=nodes.adjusts, depth=ibis.literal(1, "int64"), point=nodes.adjusts,
        voids=ibis.ifelse(nodes.action == VOID, 1, 0).cast("int64"), moved=ibis.literal(1, "int64"),
    )  # fmt: skip
    above = nodes.select(above_who="who", above="claim", above_action="action", above_adjusts="adjusts")
    voids = nodes.filter(nodes.action == VOID).select(voids_who="who", voided="claim", voids_adjusts="adjusts")
    arrived = []
    for step in range(LONGEST_CHAIN + 1):
        joined = chain.left_join(above, [chain.who == above.above_who, chain.root == above.above])
        joined = joined.left_join(voids, [joined.who == voids.voids_who, joined.point == voids.voided])
        further = (joined.action == VOID) & joined.voided.notnull()
        chain = joined.select(
            "who", "claim", "action", "received",
            root=ibis.coalesce(joined.above_adjusts, joined.root),
            depth=joined.depth + ibis.ifelse(joined.above.isnull(), 0, 1),
            point=ibis.ifelse(further, joined.voids_adjusts, joined.point),
            voids=joined.voids + ibis.ifelse(further, 1, 0),
            moved=ibis.ifelse(joined.above.isnull(), 0, 1).cast("int64"),
        )  # fmt: skip
        chain = engine.keep(f"chain_{name}_{step}", chain)
        arrived.append(chain.filter(chain.moved == 0))
        moving = int(engine.row(chain.aggregate(moving=chain.moved.sum().fill_null(0)))["moving"])
        if not moving:
            break
        chain = chain.filter(chain.moved == 1)
    else:
        raise EventTablesError([Fault(table="claims", column="adjusts", kind="adjustments in a circle", rows=moving)])
    chain = ibis.union(*arrived) if len(arrived) > 1 else arrived[0]
    restored = ibis.ifelse(chain.voids // 2 * 2 == chain.voids, chain.point, None)
    after = chain.mutate(content=ibis.ifelse(chain.action == VOID, restored, chain.claim))
    newest = ibis.window(
        group_by=["who", "root"], order_by=[ibis.desc("received"), ibis.desc("depth"), ibis.desc("claim")]
    )
    ranked = after.mutate(rank=ibis.row_number().over(newest))
    last = ranked.filter(ranked["rank"] == 0).select(last_who="who", last_root="root", last_content="content")
    adjusted = after.join(last, [after.who == last.last_who, after.root == last.last_root])
    # A root adjusts nothing itself: no claim is here twice.
    current = adjusted.select(of_whom="who", member_claim="claim", content="last_content").union(
        last.select(of_whom="last_who", member_claim="last_root", content="last_content")
    )
    return Families(current=engine.keep(f"families_{name}", current), steps=after)


def versions(engine: Any, found: Families) -> ir.Table:
    """What was in force from which day on: `of_whom`, `root`, `content`, `since`, `until`, `number`."""
    after = found.steps
    oldest = ibis.window(group_by=["who", "root"], order_by=["received", "depth", "claim"])
    numbered = after.mutate(until=after.received.lead(1).over(oldest), number=ibis.row_number().over(oldest))
    return engine.keep(
        "versions", numbered.select("root", "content", "until", "number", of_whom="who", since="received")
    )


def payments(engine: Any, lines: ir.Table, related: Families | None, facts: ClaimFacts, rules: Rules) -> ir.Table:
    """Sums with the week in which they enter the state and the one in which they leave it.

    Added up from a member's first week to any other, they give what was paid for services of the weeks before it,
    as far as it was known.

    Args:
        engine: Where stages are kept.
        lines: Of `keep_lines`.
        related: Claims that adjust each other, if any do.
        facts: What there is to do.
        rules: How is counted.

    Returns:
        `who`, `enters`, `leaves`, `cents`.
    """
    if rules.claims.known == "at_service" or not facts.received:
        return _enter_and_leave(in_force(lines, related, facts), since=None, until=None, rules=rules)
    if related is None:
        return _enter_and_leave(lines, since=lines.received, until=None, rules=rules)
    joined = lines.left_join(
        related.current, [lines.who == related.current.of_whom, lines.claim == related.current.member_claim]
    )
    alone = joined.filter(joined.member_claim.isnull()).select(lines.columns)
    over_time = versions(engine, related)
    first = over_time.filter(over_time.number == 0).select("of_whom", root="root", first_since="since")
    roots = lines.join(first, [lines.who == first.of_whom, lines.claim == first.root])
    holding = over_time.filter(over_time.content.notnull())
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
    rows = lines.select("who", enters=enters.cast("int32"), leaves=leaves.cast("int32"), cents="cents")
    return rows.filter((rows.enters < rows.leaves) & (rows.cents != 0))
