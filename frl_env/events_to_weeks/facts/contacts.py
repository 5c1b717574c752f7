"""The contact log to one decision a week, and to counts of what was tried and what came of it.

    log       Mon call, no answer   Mon call, no answer   Thu text   Fri she called us
    week      decision: the call    1 call, 1 text        1 encounter (her call)

Every attempt is a decision, whether or not it reached the member: a log of reached contacts only makes contact look
like its own success.
"""

from dataclasses import dataclass
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.crosswalk import IGNORE, TARGETS
from frl_env.events_to_weeks.event_tables.reading import UNKNOWN, is_ignored, said
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.event_tables.unmapped_words import common_words
from frl_env.events_to_weeks.facts.cell_parsing import FIRST_DAY
from frl_env.events_to_weeks.facts.coverage import Coverage, week_of
from frl_env.events_to_weeks.faults import Fault

ATTEMPTED, REACHED, PLANNED = (TARGETS["outcome"].index(word) for word in ("attempted", "reached", "planned"))
INBOUND = TARGETS["direction"].index("inbound")
PLACES = 1 << 20
"""Room for joint actions, and for seconds of a week, in one whole number."""

LEVELS = 1 << 12
"""Room for levels of a factor."""

UNDECIDED = -1
"""In place of an action, where a week has contacts but no decision."""


@dataclass(frozen=True, kw_only=True)
class LoggedContacts:
    """The log, cleaned.

    Attributes:
        rows: `who`, `week`, `day`, `second` (of the week), `joint`, `modality` (first factor), `inbound`, `planned`,
            `reached`, `rank` (the least of a week is its decision).
        log: `who`, `week`, `action` (packed: the joint action below `PLACES`, its rank above, the least of a week is
            its decision; or `UNDECIDED`), and whether each is one of the `encounters`, `calls`, `texts`.
    """

    rows: ir.Table
    log: ir.Table


def used_contacts(contacts: ir.Table, spec: Spec) -> tuple[ir.Table, dict[str, Any]]:
    """Contacts that are not ignored, with masks for words without a level.

    Returns:
        The table with `unmapped` and `halfway`; masks by column.
    """
    actions = spec.actions
    ignored = is_ignored(contacts.outcome, spec.crosswalk["outcome"]) | is_ignored(
        contacts.direction, spec.crosswalk["direction"]
    )
    for factor in actions:
        ignored |= is_ignored(contacts[factor.name], spec.crosswalk[factor.name])
    used = contacts.filter(~ignored)
    masks = {factor.name: (used[factor.name] == UNKNOWN) & (used.direction != INBOUND) for factor in actions}
    masks |= {
        "outcome": (used.outcome == UNKNOWN) & (used.direction != INBOUND),
        "direction": used.direction == UNKNOWN,
    }
    unmapped, halfway = ibis.literal(False), ibis.literal(False)
    for mask in masks.values():
        unmapped |= mask
    nulls = [used[name] == actions[name].null_level for name in actions.contact_factors]
    if nulls:
        some, every = ibis.literal(False), ibis.literal(True)
        for null in nulls:
            some, every = some | null, every & null
        halfway = some & ~every & (used.direction != INBOUND)
        nothing = every & (used.direction != INBOUND)
        return used.mutate(unmapped=unmapped, halfway=halfway & ~unmapped, nothing=nothing), masks
    return used.mutate(unmapped=unmapped, halfway=halfway, nothing=ibis.literal(False)), masks


def contact_faults(
    engine: Any, contacts: ir.Table, read: ir.Table, spec: Spec
) -> tuple[list[Fault], list[tuple[str, str, int]], tuple[int, int]]:
    """Words without a level, by column, and contacts of which only a part has one.

    Args:
        engine: Where.
        contacts: The log in numbers.
        read: The log with members' identifiers and its own words.
        spec: For the levels.

    Returns:
        Faults; common words without a level, with their column and number of contacts; the number of contacts that the
        rule `unmapped` leaves out, and of members who have any.
    """
    used, masks = used_contacts(contacts, spec)
    sums = {f"column_{i}": mask.cast("int64").sum().fill_null(0) for i, mask in enumerate(masks.values())}
    found = engine.row(
        used.aggregate(
            unmapped=used.unmapped.cast("int64").sum().fill_null(0),
            people=ibis.ifelse(used.unmapped, used.who, None).nunique(),
            halfway=(used.halfway & ~used.nothing).cast("int64").sum().fill_null(0),
            **sums,
        )
    )
    faults = []
    if found["halfway"]:
        names = " and ".join(spec.actions.contact_factors)
        faults.append(
            Fault(table="contacts", column=names, kind="a contact without a level", rows=int(found["halfway"]))
        )
    if spec.rules.contacts.unmapped == "fail":
        for i, column in enumerate(masks):
            if found[f"column_{i}"]:
                targets = ", ".join(spec.crosswalk[column].targets)
                faults.append(
                    Fault(
                        table="contacts",
                        column=column,
                        kind="unknown word",
                        rows=int(found[f"column_{i}"]),
                        allowed=targets,
                    )
                )
    words = []
    spoken, masks = used_contacts(read, spec)
    for i, (column, mask) in enumerate(masks.items()):
        if found[f"column_{i}"] and said(column) in spoken.columns:
            unknown = spoken.filter(mask).select(word=said(column), member="member")
            words += [(column, word, number) for word, number in common_words(engine, unknown)]
    return faults, words, (int(found["unmapped"]), int(found["people"]))


def make_contacts(engine: Any, contacts: ir.Table, coverage: Coverage, spec: Spec) -> LoggedContacts:
    """Decisions and counts by week.

    Raises:
        UserError: If there are more joint actions than fit.
    """
    actions, rules = spec.actions, spec.rules.contacts
    if actions.n_joint > PLACES or len(actions.factors[0]) >= LEVELS - 2:
        raise UserError(f"{actions.n_joint:,} joint actions are more than {PLACES:,}; group levels")
    used, _ = used_contacts(contacts, spec)
    used = used.filter(~used.unmapped & ~used.nothing)
    rows = used.join(coverage.members.select("who", "anchor"), "who")
    day = rows.time // 86_400
    week = week_of(day, rows.anchor)
    inbound = rows.direction == INBOUND
    joint = ibis.literal(0, "int64")
    for factor in actions:
        joint = joint * len(factor) + ibis.ifelse(inbound, factor.null_level, rows[factor.name])
    first = rows[actions.factors[0].name]
    rows = rows.select(
        "who", "contact", week=week, day=day, second=rows.time - (rows.anchor + 7 * week) * 86_400, joint=joint,
        modality=first,
        inbound=inbound.cast("int64"), planned=(~inbound & (rows.outcome == PLANNED)).cast("int64"),
        reached=(inbound | (rows.outcome == REACHED)).cast("int64"),
    )  # fmt: skip
    rows = rows.mutate(rank=_rank(rows, spec))
    rows = _one_a_contact(rows) if spec.tables["contacts"].columns.get("contact") else rows.drop("contact")
    if rules.repeats == "one_a_day":
        rows = _one_a_day(rows)
    rows = engine.keep("contact_rows", rows, lasting=False)
    return LoggedContacts(rows=rows, log=_log(rows, spec))


def _one_a_contact(rows: ir.Table) -> ir.Table:
    """Rows of one contact as one, whatever topics it was logged with; the rule of a week chooses among them."""
    named = rows.filter(rows.contact.notnull())
    named = named.mutate(packed=_packed(named))
    # One of another day or channel is another contact, whatever its identifier.
    once = named.group_by(["who", "contact", "week", "day", "modality", "inbound"]).aggregate(
        packed=named.packed.min(), second=named.second.min(), reached=named.reached.max(), planned=named.planned.min(),
        rank=named["rank"].min(),
    )  # fmt: skip
    once = once.mutate(joint=once.packed & (PLACES - 1))
    columns = [name for name in rows.columns if name != "contact"]
    return once.select(columns).union(rows.filter(rows.contact.isnull()).select(columns))


def _one_a_day(rows: ir.Table) -> ir.Table:
    """Attempts of the same kind on one day as one; among others it has the rank of the one to be chosen of them."""
    # One number in place of five columns: grouping takes a third of the time.
    day = rows.day - FIRST_DAY
    kind = ((day * 2 + rows.inbound) * 2 + rows.planned) * LEVELS + (rows.modality - UNKNOWN)
    packed = rows.mutate(kind=(kind * PLACES + rows.joint).cast("int64"))
    once = packed.group_by(["who", "kind"]).aggregate(
        week=packed.week.min(), second=packed.second.min(), reached=packed.reached.max(), rank=packed["rank"].min()
    )  # fmt: skip
    above = once.kind // PLACES
    flags = above // LEVELS
    return once.select(
        "who", "week", "second", "reached", "rank", day=flags // 4 + FIRST_DAY, joint=once.kind & (PLACES - 1),
        modality=(above & (LEVELS - 1)) + UNKNOWN, inbound=(flags // 2) & 1, planned=flags & 1,
    )  # fmt: skip


def _packed(rows: ir.Table) -> Any:
    """Joint actions, below `PLACES`, and above it their ranks."""
    return rows["rank"] * PLACES + rows.joint


def _rank(rows: ir.Table, spec: Spec) -> Any:
    """A number for each contact: the least of a week is the one that the rule `several` chooses."""
    rules, levels = spec.rules.contacts, spec.actions.factors[0].levels
    key = rows.second
    if rules.several == "last":
        key = 7 * 86_400 - 1 - rows.second
    elif rules.several == "most_intensive":
        order = [levels.index(level) for level in rules.intensity if level in levels]
        rank = ibis.cases(*((rows.modality == level, i) for i, level in enumerate(order)), else_=len(order))
        key = rank.cast("int64") * PLACES + rows.second
    elif rules.several == "reached_first":
        key = (1 - rows.reached) * PLACES + rows.second
    return key


def _log(rows: ir.Table, spec: Spec) -> ir.Table:
    """Each contact with its week: the packed decision, whether it was completed, and whether a call or a text."""
    rules, levels = spec.rules.contacts, spec.actions.factors[0].levels
    attempt = (rows.inbound == 0) & (rows.planned == 0)

    def one_of(names: Any) -> Any:
        wanted = [levels.index(level) for level in names if level in levels]
        return (attempt & rows.modality.isin(wanted or [UNKNOWN - 1])).fill_null(False).cast("int8")

    return rows.select(
        "who", week=rows.week.cast("int32"),
        action=ibis.ifelse(rows.inbound == 0, _packed(rows), UNDECIDED).cast("int64"),
        encounters=rows.reached.cast("int8"), calls=one_of(rules.calls), texts=one_of(rules.texts),
    )  # fmt: skip


def joint_index(actions: ActionSpace) -> int:
    """Joint index of "nothing"."""
    return int(actions.ravel(actions.null_action))


__all__ = ["IGNORE", "LoggedContacts", "contact_faults", "joint_index", "make_contacts", "used_contacts"]
