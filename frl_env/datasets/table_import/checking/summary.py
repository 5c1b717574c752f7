"""What a table was taken for, in a screenful: people, spells, contacts, events, and what looks odd.

Of real people no number from 1 to 10 is told, and a group is named only where at least 11 belong to it. Contacts,
events, spells and weeks are told to the nearest 20, so that no difference of two tells of few:

    spells less episodes                 members of a single week, of which nothing that came after is known
    spells, and weeks less steps         members who died or left for good, whose last week is a step
"""

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from frl_env.capacity.effort import Effort
from frl_env.datasets.table_import.checking.outcomes import COUNTS, ONE_STEP
from frl_env.datasets.table_import.checking.rewards import has_own_meaning, odd_rewards
from frl_env.datasets.table_import.checking.tally import response_of
from frl_env.datasets.table_import.provenance import FOR_LISTS, for_lists, states_know_less
from frl_env.datasets.table_import.schema.columns import OUTCOMES, PROPENSITY, REWARD, TERMINATED, UNDEFINED
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import AS_LISTED, NO_LIST, OUTCOMES_OF_LISTS
from frl_env.datasets.table_import.table_files.data_file import FORMATS
from frl_env.evaluation.privacy.suppression import (
    SECRET,
    SMALLEST,
    hidden_cells,
    hidden_counts,
    part,
    people,
    rough,
    roughly,
)
from frl_env.member_months import per_1000_member_months
from frl_env.parameters import MEASURES

NOTES = {
    "levels spelled otherwise": "{rows} rows spell levels in other letters; taken for the levels they are near",
    "groups that may mean missing": (
        "{rows} rows hold a word like NA or None; kept as a group, unless [values.{column}] in the map says otherwise"
    ),
    "time of day left out": "{rows} rows have a time of day; the date alone counts",
    "chances not known": "{rows} rows are empty: the chance of what was done there is not known",
    "chances of impossible actions": "not known in {rows} rows, whose action was made no contact",
    "empty means no": "{rows} rows are empty and were taken for no, because no row says no",
    "thousands": "commas were taken for thousands",
    "decimal comma": "commas were taken for the decimal point",
}
"""What was assumed on the way, in words."""

FEWEST = 20
"""Rows or ends below which nothing is called odd."""

FEWEST_CHANCES, MOST_KNOWN, FAR_OFF, ERRORS = 1_000, 0.99, 0.25, 5.0
"""Weeks with a chance, and the share of all that they must be, for a look at the chances; and how far off, as a share
and in standard errors, their sum must be."""

NO_MINUTES = "not said; without them there is no worklist: give [effort.FACTOR] in the map, or in the spec of frl weeks"


def describe_table(layout: Layout, read: dict[str, Any], checked: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Lines that say what was understood.

    Args:
        layout: The columns.
        read: Facts of the read stage.
        checked: Facts of the check stage.
        facts: What the metadata say of the import.
    """
    tally = checked["tally"]
    return [*_people(layout, tally, facts), *_columns(layout, facts)]


def became_of_lists(tally: dict[str, Any], decision: str) -> dict[str, Any]:
    """Member-weeks by what became of the list, and those with a known chance; small ones and what tells them left out.

    Args:
        tally: Facts of a tally.
        decision: Whose chance is kept, that of what was "done" or of what was "listed".
    """
    counts = Counter(tally["counts"])
    became = {name: counts[name] for name in OUTCOMES_OF_LISTS}
    # It is people that are counted: many weeks of few of them are few, too.
    hidden = hidden_cells({name: min(count, counts[f"members {name}"]) for name, count in became.items()})
    said: dict[str, Any] = {
        "decision": decision,
        "weeks": {name: None if name in hidden else count for name, count in became.items()},
    }
    known, no_list = counts["chances known"], became[OUTCOMES_OF_LISTS[NO_LIST]]
    by_list = became[OUTCOMES_OF_LISTS[AS_LISTED]] if decision == "done" else sum(became.values()) - no_list
    parts = {"by list": by_list, "by table": known - by_list, "no list, not known": no_list - known + by_list}
    # What is known is told where neither a part of it nor a cell that is left out follows.
    if not hidden & {OUTCOMES_OF_LISTS[NO_LIST], OUTCOMES_OF_LISTS[AS_LISTED]} and not hidden_cells(parts):
        said["known"] = known
    return said


def lists_in_words(said: dict[str, Any]) -> str:
    """What became of worklists, in a line."""
    parts = [
        f"{name} {'not told' if count is None else f'{count:,}'}" for name, count in said["weeks"].items() if count != 0
    ]
    return f"worklists, member-weeks: {', '.join(parts)}; recorded is what was {said['decision']}"


def odd(
    layout: Layout,
    read: dict[str, Any],
    checked: dict[str, Any],
    made: Mapping[str, Any],
    *,
    source: str,
    unread: int,
) -> list[str]:
    """What looks odd, a sentence each.

    Args:
        layout: The columns.
        read: Facts of the read stage.
        checked: Facts of the check stage.
        made: What a table of `frl weeks` says of itself, else empty.
        source: Where rewards are taken from.
        unread: Files of the table's folder that are not read.
    """
    said = _odd(layout, read, checked["tally"], late=states_know_less(made))
    if unread:
        said.append(f"{unread:,} files of the folder are not read; known endings: {', '.join(FORMATS)}")
    said += _ends_with_the_table(layout, checked["tally"]["newest"])
    said += _not_of_what_was_done(layout, checked["tally"])
    if source == COUNTS:
        said += _ends_not_known(layout, Counter(checked["tally"]["counts"]))
    return [*said, *_without_minutes(layout), *([FOR_LISTS] if for_lists(made) else [])]


def _ends_with_the_table(layout: Layout, newest: Sequence[int]) -> list[str]:
    """Members are seldom all lost in the newest week; the table is that ends there."""
    rows, ends = newest
    if ends < FEWEST or 2 * ends <= rows:
        return []
    return [
        f"{layout.show(TERMINATED)}: {ends / rows:.0%} of the members with a row of the newest week end in it; it is "
        "for those who died or left for good, and not for where the table ends: nothing counts for them afterwards"
    ]


def _not_of_what_was_done(layout: Layout, tally: Mapping[str, Any]) -> list[str]:
    """Chances that can't be those of the logged actions: over weeks without a contact, their inverses don't add up."""
    found = tally["inverse_chances"]
    weeks = found["weeks"]
    rows = sum(tally["counts"].get(f"{kind} weeks kept", 0) for kind in ("contact", "other"))
    if weeks < FEWEST_CHANCES or weeks < MOST_KNOWN * rows or found["nothing"] < FEWEST:
        return []
    ratio, error = found["sum"] / weeks, np.sqrt(found["variance"]) / weeks
    if abs(ratio - 1) < max(FAR_OFF, ERRORS * error):
        return []
    return [
        f"{layout.show(PROPENSITY)}: chances and what was done don't fit: over weeks without a contact 1 / chance adds "
        f"up to {ratio:.1f} times the number of all weeks, and should to once. A chance is that of what was done, also "
        "where nothing was; not that of a contact"
    ]


def _ends_not_known(layout: Layout, counts: Counter[str]) -> list[str]:
    """Members who died or left in a week of which no column says what came of it, so that the week is no step."""
    unknown, ends = counts["ends without outcomes"], counts["ends kept"]
    if not unknown:
        return []
    return [
        f"{layout.show(TERMINATED)}: {part(unknown, ends)} of {people(ends, simulated=False)} members who died or left "
        "for good have no outcomes in that week, so that this is lost, as if the table only ended there; fill in "
        f"{' and '.join(map(layout.show, OUTCOMES))} (events up to the end), or give a column of rewards"
    ]


def _without_minutes(layout: Layout) -> list[str]:
    """A contact without minutes costs a list nothing, so that no limit holds it."""
    columns = layout.map
    levels = () if columns.effort is None else Effort(columns.actions, columns.effort).unsaid
    if not levels:
        return []
    return [
        f"staff minutes: none are said for {', '.join(levels)}, so that such contacts take 0 minutes and no budget "
        "holds them; give each its minutes under [effort.FACTOR], 0 if it takes none"
    ]


def _people(layout: Layout, tally: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Lines on people, weeks and contacts; small numbers of people are not told."""
    counts = Counter(tally["counts"])
    rows = counts["contact weeks kept"] + counts["other weeks kept"]
    spells = spells_in_words(counts["spells"], counts["members"], "spells")
    lines = [
        f"people: {people(counts['members'], simulated=False)} members in {spells} (a spell is a run of "
        f"weeks without a gap), {roughly(rows)} member-weeks{_span(tally['days'], facts['week'])}"
    ]
    contact = counts["contact weeks kept"]
    share = f" ({rough(contact, simulated=False) / rows:.0%} of member-weeks)" if rows and contact >= SMALLEST else ""
    first = next(iter(layout.map.action_columns.items()))
    done = dict(zip(first[1].levels, tally["levels"][first[0]], strict=True))
    met = np.asarray(tally["met"][first[0]])
    if first[1].null_level is not None:
        done.pop(first[1].levels[first[1].null_level])
        met = np.delete(met, first[1].null_level)
    hidden = hidden_counts(met)  # by people; a small count must not follow from the others and their sum
    levels = [
        f"{level} {'not told' if secret else roughly(count)}"
        for (level, count), secret in zip(done.items(), hidden.tolist(), strict=True)
        if count
    ]
    few = 0 < counts["members contacted"] < SMALLEST
    told = f"with {SECRET} members" if few else f"{roughly(contact)}{share}"
    lines.append(f"contacts: {told}{': ' if levels else ''}{', '.join(levels)}")
    events = tally["events"]["kept"]
    if facts["rewards"] == ONE_STEP or not layout.has(REWARD):
        window = ", each in four or five windows of 30 days" if layout.has(*OUTCOMES) else ""
        told = f"{roughly(events)} counted in all rows{window}"
    else:
        whole = rough(events, simulated=False)
        rate = f", {per_1000_member_months(whole, rows):,.0f} per 1,000 member-months" if events >= SMALLEST else ""
        told = f"{roughly(events)} (sum of minus the reward){rate}"
        if has_own_meaning(layout):  # which may be no count
            told = f"not told; minus the reward sums to {'0' if not whole else f'about {whole:,}'}"
    return [*lines, f"events: {told}; rewards: {facts['rewards']} ({facts['rewards_why']})"]


def _columns(layout: Layout, facts: dict[str, Any]) -> list[str]:
    """Lines on which columns were found, and what they were taken for."""
    columns = layout.map
    lines = [f"states, {kind}" for kind in _by_kind(layout, columns.states)]
    later = _by_kind(layout, layout.of(REWARD, *OUTCOMES, TERMINATED))
    lines.append(f"what came of it, {', and '.join(later) or 'by the states of the week after'}")
    actions = ", ".join(
        f"{layout.show(name)} ({len(factor)} levels)" for name, factor in columns.action_columns.items()
    )
    lines.append(f"decision: {actions}")
    chances = "known" if layout.of(*columns.chances) else "not known"
    if said := facts.get("worklists"):
        lines.append(lists_in_words(said))
        chances = f"known in {people(said['known'], simulated=False)} weeks" if "known" in said else "not told"
    groups = ", ".join(layout.demographics) or "none"
    lines.append(f"weeks: {_weeks(facts['week_written'])}; groups: {groups}; chances of the logged actions: {chances}")
    minutes = "as the map or the table says" if columns.effort is not None else NO_MINUTES
    lines.append(f"taken for: {columns.meaning}; staff minutes: {minutes}")
    return lines


def _by_kind(layout: Layout, names: Sequence[str]) -> list[str]:
    """Columns with what they hold, those of one unit and window together."""
    kinds: dict[str, list[str]] = {}
    for name in names:
        definition = layout.map.definition(name)
        if definition == UNDEFINED:
            kinds.setdefault(UNDEFINED, []).append(layout.show(name))
            continue
        what, *kind = (part.strip() for part in definition.split(";"))
        assumed = name not in (*layout.map.definitions, *layout.map.states) and layout.map.states != MEASURES
        said = f"{layout.show(name)} = {what}{', as nothing else is said' if assumed else ''}"
        kinds.setdefault("; ".join(kind) or "no unit and window said", []).append(said)
    return [f"{kind}: {' | '.join(columns)}" for kind, columns in kinds.items()]


def _odd(layout: Layout, read: dict[str, Any], tally: dict[str, Any], *, late: bool) -> list[str]:
    """Sentences on what is allowed but looks odd."""
    said = [
        f"{layout.show(column)}: {NOTES[note].format(rows=f'{rows:,}', column=column)}"
        for column, note, rows in read["notes"]
    ]
    said += response_of(tally).warnings()
    for name, groups in read["groups"].items():
        sizes = {groups[code]: count for code, count in tally["groups"][name]}
        said += _in_case_only(layout.show(name), name, sizes)
    counts = Counter(tally["counts"])
    rows = counts["contact weeks kept"] + counts["other weeks kept"]
    constant = [name for name, (low, high) in tally["ranges"].items() if low == high]
    if constant and rows > 1:
        said.append(f"{', '.join(constant)}: the same in every row, so that nothing can be learnt from it")
    if rows and not counts["contact weeks kept"]:
        said.append("no row has a contact, so that nothing can be learnt about contacts")
    elif rows and not counts["other weeks kept"]:
        said.append("every row has a contact: weeks without one are missing, or the action columns hold something else")
    said += odd_rewards(layout, tally["rewards"], late=late)
    if rows and not tally["events"]["kept"] and not tally["rewards"]["sum"]:
        said.append("there is no event in any row, so that every policy has the same value")
    return said + _of_lists(Counter(tally["counts"])) * layout.with_lists


def _of_lists(counts: Counter[str]) -> list[str]:
    """What looks odd about worklists."""
    on_lists = sum(counts[name] for name in OUTCOMES_OF_LISTS[1:])
    if not on_lists:
        return ["no member and week of the table is on a worklist: other members, or other weeks"]
    otherwise = on_lists - counts["as listed"]
    if otherwise < SMALLEST:
        return []
    return [
        f"in {otherwise / on_lists:.1%} of the member-weeks on a list something else was done than it said: a chance "
        "is that of the list, and staff decided too; with --decision listed every chance is exact, and the value is "
        "that of lists, carried out as yours were"
    ]


def _in_case_only(shown: str, name: str, sizes: dict[str, int]) -> list[str]:
    """A sentence for each set of groups that differ in letters' case only."""
    alike: dict[str, list[str]] = {}
    for group in sizes:
        alike.setdefault(group.casefold(), []).append(group)
    sentences = []
    for groups in (sorted(each) for each in alike.values() if len(each) > 1):
        large = [f"{group!r}" for group in groups if sizes[group] >= SMALLEST]
        names = " and ".join(large) if len(large) == len(groups) else f"{len(groups)} groups"
        sentences.append(
            f"{shown}: {names} differ in capital letters only and count as different groups; make them one with "
            f"[values.{name}] in the map"
        )
    return sentences


def spells_in_words(spells: int, members: int, called: str) -> str:
    """Number of spells; where it would tell that 1 to 10 members had a gap, only that there are more than members.

    Args:
        spells: How many there are.
        members: Whose they are.
        called: What a spell is called there, as "episodes".
    """
    if 0 < spells - members < SMALLEST <= members:
        return f"a few more {called} than members"
    return f"{people(spells, simulated=False) if spells == members else roughly(spells)} {called}"


def size_in_words(facts: Mapping[str, Any]) -> str:
    """Members, steps and spells of an imported dataset, as far as they may be told.

    Args:
        facts: What its metadata say of the import.
    """
    members = facts["members"]
    if isinstance(members, str):  # where a part of the people is few, weeks and spells tell how many
        return f"{members} members"
    spells = spells_in_words(facts["episodes"], members, "episodes")
    return f"{people(members, simulated=False)} members, {roughly(facts['steps'])} steps in {spells}"


def _span(days: list[int], week: str) -> str:
    if not days:
        return ""
    if week == "number":
        return f", weeks {days[0] // 7:,} to {days[1] // 7:,}"
    first, last = (datetime.date(1970, 1, 1) + datetime.timedelta(days=day) for day in days)
    return f", weeks of {first} to {last}"


def _weeks(kind: str) -> str:
    return {
        "number": "by number",
        "date": "by date",
        "compact date": "by date (20240131)",
        "year-week": "by year and week of ISO 8601 (202405), which begin on Mondays",
    }[kind]
