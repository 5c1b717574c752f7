"""Claim lines to those in force: denied ones out, voids, replacements and reversals carried out.

A claim may be adjusted, and its adjustment again; all that go back to one claim are a family. The last to arrive
decides:

    A <- B replaces A                       B is in force
    A <- B voids A                          nothing is
    A <- B voids A <- C voids B             A is again
    A <- B replaces A <- C voids B          nothing is: the replacement was the claim
    A <- B voids A, C replaces A            C is, if both arrive on one day
    A, B <- C replaces both                 C is

Where its frequency does not say so, a claim that adjusts another is a void if it is paid below zero.

A reversal is a line of the same claim with a negative amount or the status "reversed"; it takes back one line of its
kind. One of a smaller amount takes back that part of it: the event stands as long as something of its lines is left.

What a *state* may know is what had arrived by then. So the same is done twice: with all lines, for what really
happened, and with those that had arrived, and were in force, by the end of their week, for what was known of it.
"""

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.events_to_weeks.facts.coverage import week_of
from frl_env.events_to_weeks.facts.events import IS_ED, IS_OBSERVED, IS_STAY, IS_TRANSFER
from frl_env.events_to_weeks.facts.lines import ORIGINAL, VOID
from frl_env.events_to_weeks.faults import EventTablesError, Fault
from frl_env.events_to_weeks.rules import Rules

KIND = IS_ED | IS_STAY | IS_OBSERVED
"""Bits that say of which kind a line is."""

_IN_TURN = ("received", "depth", "stands", "claim")
"""By which adjustments of a claim follow each other; `stands` is 0 where one leaves nothing in force."""

LONGEST_CHAIN = 25
"""Adjustments of adjustments, at most; more can only go in a circle."""


@dataclass(frozen=True, kw_only=True)
class ClaimFacts:
    """What a first pass over the claims has seen, so that work for which there is nothing to do is left out.

    Attributes:
        adjusting: Rows that replace or void another claim.
        reversed: Rows that reverse lines.
        received: Whether rows say when they arrived, and that matters.
    """

    adjusting: int
    reversed: int
    received: bool


def known_in_time(engine: Any, lines: ir.Table, related: "Families | None", facts: ClaimFacts) -> ir.Table:
    """Lines that had arrived, and were in force, when the week after their service started.

    Args:
        engine: Where stages are kept.
        lines: Of `lines.counted_lines`.
        related: Claims that adjust each other, if any do.
        facts: What there is to do.
    """
    known = over_time(engine, lines, related)
    week_after = known.anchor + 7 * (week_of(known["start"], known.anchor) + 1)
    in_time = (known.received < week_after) & (known.since < week_after)
    known = known.filter(in_time & (known.until.isnull() | (known.until >= week_after))).drop("since", "until")
    return _net_of_reversals(known) if facts.reversed else known


def in_force(lines: ir.Table, related: "Families | None", facts: ClaimFacts) -> ir.Table:
    """Lines that count once every adjustment is carried out.

    Args:
        lines: Of `lines.counted_lines`.
        related: Claims that adjust each other, if any do.
        facts: What there is to do.
    """
    if related is not None:
        family = related.current
        gone = family.filter(family.content.isnull() | (family.content != family.member_claim))
        gone = gone.select("of_whom", gone="member_claim")
        lines = lines.anti_join(gone, [lines.who == gone.of_whom, lines.key == gone.gone])
    return _net_of_reversals(lines) if facts.reversed else lines


def _net_of_reversals(lines: ir.Table) -> ir.Table:
    """Lines of claims with a reversal, added up by kind; those of which none is left are gone."""
    untouched, touched = _by_reversal(lines)
    kinds = touched.mutate(marks=touched.marks & KIND, transfer=touched.marks & IS_TRANSFER)
    net = kinds.group_by(["who", "anchor", "key", "start", "marks"]).aggregate(
        left=kinds.sign.sum(), cents=kinds.cents.sum(), end=kinds.end.max(), received=kinds.received.min(),
        transfer=kinds.transfer.max(),
    )  # fmt: skip
    net = net.filter((net.left > 0) | (net.cents > 0))
    net = net.mutate(sign=ibis.literal(1, "int8"), marks=net.marks | net.transfer)
    # Sums are of wider types.
    return untouched.union(net.select(lines.columns).cast(dict(lines.schema())))


def _that_take_back(lines: ir.Table) -> ir.Table:
    """Lines without the reversals that find none of their kind, and no part of one, left to take back."""
    untouched, touched = _by_reversal(lines)
    kind = ["who", "key", "start", "kind"]
    touched = touched.mutate(kind=touched.marks & KIND)
    every = ibis.window(group_by=kind)
    turns = {"group_by": [*kind, "sign"], "order_by": ["received", "cents"]}
    so_far = ibis.window(**turns, preceding=None, following=0)
    counted = touched.mutate(
        paid=ibis.ifelse(touched.sign > 0, 1, 0).sum().over(every), turn=ibis.row_number().over(ibis.window(**turns)),
        amount=ibis.ifelse(touched.sign > 0, touched.cents, 0).sum().over(every),
        taken=touched.cents.sum().over(so_far),
    )  # fmt: skip
    # A reversal counts while there is a payment left to take back, by number or by amount.
    left = (counted.turn < counted.paid) | (counted.amount + counted.taken >= 0)
    counted = counted.filter((counted.sign > 0) | left)
    return untouched.union(counted.select(lines.columns))


def _by_reversal(lines: ir.Table) -> tuple[ir.Table, ir.Table]:
    """Lines of claims without a reversal, and of those with one."""
    taken_back = lines.filter(lines.sign < 0).select(back="key", whose="who").distinct()
    same = [lines.who == taken_back.whose, lines.key == taken_back.back]
    return lines.anti_join(taken_back, same), lines.semi_join(taken_back, same)


@dataclass(frozen=True, kw_only=True)
class Families:
    """Claims that adjust each other.

    Attributes:
        current: `of_whom`, `member_claim`, `content`: of each claim of a family the one that is in force now, or null;
            claims by their keys.
        steps: `who`, `root`, `claim`, `received`, `depth`, `content`: of each adjustment, what it leaves in force.
        adjusting: `who`, `adjusts`: of each adjustment the claim that it names.
    """

    current: ir.Table
    steps: ir.Table
    adjusting: ir.Table


def families(engine: Any, adjusting: ir.Table | None) -> Families | None:
    """Follows every adjustment back to the claim that it goes back to.

    Args:
        engine: Where stages are kept.
        adjusting: Of `lines.adjusting_lines`.

    Returns:
        None if nothing is adjusted.

    Raises:
        EventTablesError: If adjustments go in a circle.
    """
    if adjusting is None:
        return None
    keyed = adjusting.mutate(key=engine.key(adjusting.claim))
    nodes = keyed.group_by(["who", "key", "adjusts"]).aggregate(
        claim=keyed.claim.max(), action=keyed.action.max(), received=keyed.received.max(), cents=keyed.cents.sum()
    )
    # A claim may adjust several, on lines of its own each; what it is, and when it arrived, all its lines say.
    whole = ibis.window(group_by=["who", "key"])
    nodes = nodes.mutate(
        action=nodes.action.max().over(whole), received=nodes.received.max().over(whole),
        cents=nodes.cents.sum().over(whole),
    )  # fmt: skip
    voiding = (nodes.action == VOID) | ((nodes.action == ORIGINAL) & (nodes.cents < 0))
    nodes = nodes.mutate(adjusts=engine.key(nodes.adjusts), voiding=voiding)
    nodes = engine.keep("adjustments", nodes, lasting=False)
    chain = nodes.select(
        "who", "key", "claim", "received", root=nodes.adjusts, depth=ibis.literal(1, "int64"), point=nodes.adjusts,
        voids=ibis.ifelse(nodes.voiding, 1, 0).cast("int64"), voiding="voiding",
        moved=ibis.literal(1, "int64"),
    )  # fmt: skip
    above = nodes.select(above_who="who", above="key", above_adjusts="adjusts", above_voids="voiding")
    arrived = []
    for step in range(LONGEST_CHAIN + 1):
        joined = chain.left_join(above, [chain.who == above.above_who, chain.root == above.above])
        # Voids of voids lead to a point further up; up to the first claim that is no void it is the root so far.
        further = joined.voiding & joined.above_voids.fill_null(False)
        chain = joined.select(
            "who", "key", "claim", "received",
            root=ibis.coalesce(joined.above_adjusts, joined.root),
            depth=joined.depth + ibis.ifelse(joined.above.isnull(), 0, 1),
            point=ibis.ifelse(further, joined.above_adjusts, joined.point),
            voids=joined.voids + ibis.ifelse(further, 1, 0), voiding=further,
            moved=ibis.ifelse(joined.above.isnull(), 0, 1).cast("int64"),
        )  # fmt: skip
        chain = engine.keep(f"chain_{step}", chain, lasting=False)
        arrived.append(chain.filter(chain.moved == 0))
        moving = int(engine.row(chain.aggregate(moving=chain.moved.sum().fill_null(0)))["moving"])
        if not moving:
            break
        chain = chain.filter(chain.moved == 1)
    else:
        raise EventTablesError([Fault(table="claims", column="adjusts", kind="adjustments in a circle", rows=moving)])
    chain = ibis.union(*arrived) if len(arrived) > 1 else arrived[0]
    # Two ways to one root, as by a replacement that names a claim and its last replacement: the longer counts.
    ways = ibis.window(group_by=["who", "root", "key"], order_by=[ibis.desc("depth"), "voids", "point"])
    chain = chain.mutate(way=ibis.row_number().over(ways))
    chain = chain.filter(chain.way == 0).drop("way")
    # A void of a void restores: with an even number of them the claim at the end is in force again.
    restored = ibis.ifelse(chain.voids // 2 * 2 == chain.voids, chain.point, None)
    after = chain.mutate(content=ibis.ifelse(chain.voids > 0, restored, chain.key))
    after = after.mutate(stands=ibis.ifelse(after.content.isnull(), 0, 1))
    newest = ibis.window(group_by=["who", "root"], order_by=[ibis.desc(name) for name in _IN_TURN])
    ranked = after.mutate(rank=ibis.row_number().over(newest))
    last = ranked.filter(ranked["rank"] == 0).select(last_who="who", last_root="root", last_content="content")
    adjusted = after.join(last, [after.who == last.last_who, after.root == last.last_root])
    # A root adjusts nothing itself: no claim is here twice, but one that adjusts several.
    current = adjusted.select(of_whom="who", member_claim="key", content="last_content").union(
        last.select(of_whom="last_who", member_claim="last_root", content="last_content")
    )
    adjusted_claims = nodes.select("who", "adjusts")
    return Families(current=engine.keep("families", current), steps=after, adjusting=adjusted_claims)


def over_time(engine: Any, lines: ir.Table, related: Families | None) -> ir.Table:
    """Lines with the day `since` when they were in force, and `until` when, null for ever; one may be so twice."""
    if related is None:
        return lines.mutate(since=lines.received, until=ibis.null("int32"))
    family = related.current
    alone = lines.anti_join(family, [lines.who == family.of_whom, lines.key == family.member_claim])
    versions = _versions(engine, related)
    first = versions.filter(versions.number == 0).select("of_whom", root="root", first_since="since")
    roots = lines.join(first, [lines.who == first.of_whom, lines.key == first.root])
    lasting = versions.until.isnull() | (versions.until > versions.since)
    holding = versions.filter(versions.content.notnull() & lasting)
    # One that adjusts several claims holds in the place of each, and counts once.
    holding = holding.group_by(["of_whom", "content", "since"]).aggregate(until=holding.until.min())
    later = lines.join(holding, [lines.who == holding.of_whom, lines.key == holding.content])
    return ibis.union(
        alone.mutate(since=alone.received, until=ibis.null("int32")),
        roots.select(*lines.columns, since="received", until="first_since"),
        later.select(*lines.columns, "since", "until"),
    )


def _versions(engine: Any, found: Families) -> ir.Table:
    """What was in force from which day on: `of_whom`, `root`, `content`, `since`, `until`, `number`."""
    after = found.steps
    oldest = ibis.window(group_by=["who", "root"], order_by=list(_IN_TURN))
    numbered = after.mutate(until=after.received.lead(1).over(oldest), number=ibis.row_number().over(oldest))
    return engine.keep(
        "versions", numbered.select("root", "content", "until", "number", of_whom="who", since="received")
    )


def payments(
    engine: Any, lines: ir.Table, current: ir.Table, related: Families | None, facts: ClaimFacts, rules: Rules
) -> ir.Table:
    """Sums with the week in which they enter the state and the one in which they leave it.

    Added up from a member's first week to any other, they give what was paid for services of the weeks before it,
    as far as it was known.

    Args:
        engine: Where stages are kept.
        lines: Of `lines.counted_lines`.
        current: Those in force.
        related: Claims that adjust each other, if any do.
        facts: What there is to do.
        rules: How is counted.

    Returns:
        `who`, `enters`, `leaves`, `cents`.
    """
    known = over_time(engine, _that_take_back(lines) if facts.reversed else lines, related) if facts.received else None
    lines = current if known is None else known
    served = week_of(lines["start"], lines.anchor)
    enters, leaves = served + 1, served + 1 + rules.state.paid_weeks
    if known is not None:
        enters = ibis.greatest(enters, week_of(known.since, known.anchor) + 1)
        leaves = ibis.least(leaves, ibis.coalesce(week_of(known.until, known.anchor) + 1, leaves))
    rows = lines.select("who", enters=enters.cast("int32"), leaves=leaves.cast("int32"), cents="cents")
    return rows.filter((rows.enters < rows.leaves) & (rows.cents != 0))
