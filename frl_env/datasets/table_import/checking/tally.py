"""What a table holds once it is read, and who is lost with the rows that have problems.

Counted over members, file by file: people, spells (runs of consecutive weeks), contacts and events; and how many weeks
with a contact, weeks without, events and members' ends stand in rows that can't be used. Problems are seldom spread
evenly: a word of the care team that is no known level stands in contacts only, and who leaves those rows out leaves out
the treated. A week that may not be over yet is neither with a contact nor without: one whose decision is empty, or a
member's last one without a reward.
"""

from collections import Counter
from typing import Any

import numpy as np

from frl_env.datasets.table_import.cells.spelling import NO_LEVEL
from frl_env.datasets.table_import.checking.contact_response import ContactResponse
from frl_env.datasets.table_import.checking.outcomes import known_next
from frl_env.datasets.table_import.checking.rewards import Rewards
from frl_env.datasets.table_import.checking.weeks import Sorted, Weeks
from frl_env.datasets.table_import.schema.columns import EVENTS, OUTCOMES, PROPENSITY, REWARD, TERMINATED
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import LISTED, OUTCOMES_OF_LISTS


class Tally:
    """Counts over the members of a table.

    Args:
        layout: The columns.

    Attributes:
        counts: Weeks, members and the like, by name.
        events: ED visits and stays in rows that are kept, and in those left out.
        levels, met: Rows with each level of each factor, and members who met it.
        groups: Members of each group, by attribute and code.
        ranges, days: Smallest and largest number of each state; first and last day.
    """

    def __init__(self, layout: Layout) -> None:
        """Starts with nothing counted."""
        self.layout = layout
        self.counts: Counter[str] = Counter()
        self.events = {"kept": 0.0, "left out": 0.0}
        self.levels: dict[str, np.ndarray] = {
            name: np.zeros(len(factor), dtype=np.int64) for name, factor in layout.map.action_columns.items()
        }
        self.met = {name: np.zeros_like(counted) for name, counted in self.levels.items()}
        self.groups: dict[str, Counter[int]] = {name: Counter() for name in layout.demographics}
        self.ranges: dict[str, list[float]] = {}
        self.days: list[int] = []
        self.by_day: dict[int, list[int]] = {}
        self.inverse = {"weeks": 0, "nothing": 0, "sum": 0.0, "variance": 0.0}
        self.rewards = Rewards(layout)

    def look_at_rows(self, rows: Sorted) -> None:
        """Counts whose weeks are kept and whose are lost, over all rows of some members.

        A week with several rows is lost only if none of them is kept.
        """
        if not len(rows.member):
            return
        contact, undecided = contacts(rows.columns, self.layout), undecided_weeks(rows.columns, self.layout)
        without_reward = _open_weeks(rows, self.layout) & ~undecided
        events = events_of(rows.columns, self.layout)
        first = (np.diff(rows.member, prepend=-1) != 0) | (np.diff(rows.day, prepend=rows.day[0] - 1) != 0)
        kept = rows.keep
        if not first.all():
            starts = np.flatnonzero(first)
            lost = ~np.logical_or.reduceat(kept, starts)[np.cumsum(first) - 1]
            chosen = kept | lost  # a row that is kept speaks for the others of its week
            contact = np.logical_or.reduceat(contact & chosen, starts)
            undecided = np.logical_and.reduceat(undecided | ~chosen, starts)
            without_reward = np.logical_and.reduceat(without_reward | ~chosen, starts)
            events = np.maximum.reduceat(np.where(chosen, events, 0), starts)
            kept = np.logical_or.reduceat(kept, starts)
        unsaid = undecided | without_reward
        kinds = {"contact": contact & ~unsaid, "other": ~contact & ~unsaid}
        for name, some in (kinds | {"undecided": undecided, "open": without_reward}).items():
            self.counts[f"{name} weeks kept"] += int((some & kept).sum())
            self.counts[f"{name} weeks left out"] += int((some & ~kept).sum())
        self.events["kept"] += float(events[kept].sum())
        self.events["left out"] += float(events[~kept].sum())
        # Cuts: spells that begin only because rows before them are left out.
        rest = np.flatnonzero(rows.keep)
        same = rows.member[rest[1:]] == rows.member[rest[:-1]]
        self.counts["cuts"] += int((same & (np.diff(rest) > 1) & rows.heads[rest[1:]]).sum())
        self.counts["members lost"] += _members(rows.member) - _members(rows.member[rest])
        if self.layout.has(TERMINATED):
            ends = rows.columns[TERMINATED]
            self.counts["ends"] += _members(rows.member[ends])
            self.counts["ends kept"] += _members(rows.member[ends & rows.keep])

    def look_at_weeks(self, weeks: Weeks) -> None:
        """Counts what the rows that are kept say."""
        if not len(weeks):
            return
        self.rewards.look(weeks)
        new = np.diff(weeks.member, prepend=-1) != 0
        first, number = np.flatnonzero(new), np.cumsum(new) - 1
        self.counts["members"] += len(first)
        self.counts["spells"] += len(weeks.starts)
        self.days = [min([*self.days[:1], int(weeks.day.min())]), max([*self.days[1:], int(weeks.day.max())])]
        for name, counted in self.levels.items():
            counted += np.bincount(weeks.columns[name], minlength=len(counted))
            met = np.zeros((len(first), len(counted)), dtype=bool)
            met[number, weeks.columns[name]] = True
            self.met[name] += met.sum(axis=0)
        contact = contacts(weeks.columns, self.layout)
        self.counts["members contacted"] += _members(weeks.member[contact])
        for name, counted in self.groups.items():
            codes, members = np.unique(weeks.columns[name][first], return_counts=True)
            counted.update(dict(zip(codes.tolist(), members.tolist(), strict=True)))
        for name in self.layout.map.states:
            values = weeks.columns[name]
            low, high = self.ranges.get(name, [np.inf, -np.inf])
            self.ranges[name] = [min(low, float(values.min())), max(high, float(values.max()))]
        if self.layout.with_lists:
            met = np.bincount(weeks.columns[LISTED], minlength=len(OUTCOMES_OF_LISTS))
            self.counts.update(dict(zip(OUTCOMES_OF_LISTS, met.tolist(), strict=True)))
            people = {
                name: _members(weeks.member[weeks.columns[LISTED] == k]) for k, name in enumerate(OUTCOMES_OF_LISTS)
            }
            self.counts.update({f"members {name}": met for name, met in people.items()})
            self.counts["chances known"] += int(np.isfinite(weeks.columns[PROPENSITY]).sum())
        if self.layout.has(TERMINATED):
            self._look_at_ends(weeks)
        if self.layout.has(PROPENSITY) and not self.layout.with_lists:
            self._look_at_chances(weeks.columns[PROPENSITY], contact)
        if self.layout.has(*OUTCOMES):
            unknown = np.isnan(weeks.stack(OUTCOMES)).any(axis=1)
            self.counts["contact weeks without outcomes"] += int((contact & unknown).sum())
            self.counts["other weeks without outcomes"] += int((~contact & unknown).sum())
            if self.layout.has(TERMINATED):
                ends = weeks.columns[TERMINATED] & unknown & ~known_next(weeks, self.layout)
                self.counts["ends without outcomes"] += int(ends.sum())
        response = self.layout.map.meaning.response
        if response is not None:
            known = np.ones(len(weeks), dtype=bool)
            # Whether a contact was answered stands in the next row, which the last of a spell lacks.
            known[weeks.ends] = False
            answered = np.append(weeks.columns[response][1:] > 0, False)
            for name, chosen in (("attempts", contact & known), ("others", ~contact & known)):
                self.counts[name] += int(chosen.sum())
                self.counts[f"{name} answered"] += int((chosen & answered).sum())

    def _newest(self) -> list[int]:
        """Rows of the newest seven days, and members' ends in them."""
        some = [met for day, met in self.by_day.items() if day > self.days[1] - 7]
        return [sum(met[place] for met in some) for place in (0, 1)]

    def _look_at_ends(self, weeks: Weeks) -> None:
        """Counts rows and members' ends day by day."""
        days, which = np.unique(weeks.day, return_inverse=True)
        rows, ends = np.bincount(which), np.bincount(which, weights=weeks.columns[TERMINATED])
        for day, some, ended in zip(days.tolist(), rows.tolist(), ends.tolist(), strict=True):
            before = self.by_day.get(day, [0, 0])
            self.by_day[day] = [before[0] + some, before[1] + int(ended)]

    def _look_at_chances(self, chances: np.ndarray, contact: np.ndarray) -> None:
        """Sums 1 / chance over weeks in which nothing was done.

        If the chances are right this is, up to chance, the number of all weeks: each week adds
        chance * (1 / chance) = 1 on average, whatever was done.
        """
        known = np.isfinite(chances)
        inverse = 1 / chances[known & ~contact]
        self.inverse["weeks"] += int(known.sum())
        self.inverse["nothing"] += len(inverse)
        self.inverse["sum"] += float(inverse.sum())
        self.inverse["variance"] += float((inverse * (inverse - 1)).sum())

    def facts(self) -> dict[str, Any]:
        """All of it, JSON-able."""
        return {
            "counts": dict(self.counts),
            "events": self.events,
            "levels": {name: counted.tolist() for name, counted in self.levels.items()},
            "met": {name: counted.tolist() for name, counted in self.met.items()},
            "groups": {name: sorted(counted.items()) for name, counted in self.groups.items()},
            "ranges": self.ranges,
            "days": self.days,
            "newest": self._newest(),
            "inverse_chances": self.inverse,
            "rewards": self.rewards.facts(),
            "response": self.layout.map.meaning.response,
        }


def response_of(facts: dict[str, Any]) -> ContactResponse:
    """How often the week after a decision shows an answer.

    Args:
        facts: Of a tally.
    """
    counts = Counter(facts["counts"])
    return ContactResponse(
        attempts=counts["attempts"], answered=counts["attempts answered"],
        others=counts["others"], encounters=counts["others answered"], response=facts["response"] or "",
    )  # fmt: skip


def contacts(columns: dict[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Rows in which something was done; a level that is not known is something."""
    done = []
    for name in _deciding(layout):
        levels = columns[f"action_{name}"]
        done.append((levels != layout.map.actions[name].null_level) & (levels != NO_LEVEL))
    return np.logical_or.reduce(done)


def undecided_weeks(columns: dict[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Rows that don't say whether something was done, because a cell of the decision is empty and no other says so."""
    empty = [columns[f"action_{name}"] == NO_LEVEL for name in _deciding(layout)]
    return np.logical_or.reduce(empty) & ~contacts(columns, layout)


def _open_weeks(rows: Sorted, layout: Layout) -> np.ndarray:
    """Rows of each member's last week of which nobody knows yet what came of it: they lack the reward."""
    if not layout.has(REWARD):
        return np.zeros(len(rows.member), dtype=bool)
    last = np.flatnonzero(np.diff(rows.member, append=-1))
    newest = np.repeat(rows.day[last], np.diff(last, prepend=-1))
    known = rows.columns[TERMINATED].copy() if layout.has(TERMINATED) else np.zeros(len(rows.member), dtype=bool)
    if layout.has(*layout.map.next_states):
        known |= ~np.isnan([rows.columns[name] for name in layout.map.next_states]).any(axis=0)
    return (rows.day == newest) & np.isnan(rows.columns[REWARD]) & ~known


def _deciding(layout: Layout) -> tuple[str, ...]:
    """Factors that tell a week with a contact from one without."""
    space = layout.map.actions
    return space.contact_factors or tuple(factor.name for factor in space)


def _members(sorted_members: np.ndarray) -> int:
    return int(np.count_nonzero(np.diff(sorted_members, prepend=-1)))


def events_of(columns: dict[str, np.ndarray], layout: Layout) -> np.ndarray:
    """Events that each row speaks of: those of its reward, else of its 30 days, else of the week before.

    Where the sign is wrong they are events all the same; but above 0 only if no reward may be.
    """
    if layout.has(REWARD):
        events = -columns[REWARD] if layout.map.limit(REWARD)[1] > 0 else np.abs(columns[REWARD])
        return np.nan_to_num(np.maximum(events, 0))
    names = layout.of(*OUTCOMES) or layout.of(*EVENTS)
    if not names:
        return np.zeros(len(columns[next(iter(layout.map.action_columns))]))
    return np.sum([np.nan_to_num(np.abs(columns[name])) for name in names], axis=0)
