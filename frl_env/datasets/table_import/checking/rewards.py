"""Does a column of rewards count events? Two misreadings turn a policy round, or make its value mean nothing.

A reward is minus the number of ED visits and hospital stays of a week: two events are -2. A column of +2 would have a
policy seek events, and one of dollars, or of events per 1,000 members, would be told as events. Both show:

    sign    most values that are not 0 are above it, or of outcomes below
    unit    most are beyond what a week can hold; or they are no whole numbers; or their sum is far from that of the
            visits and stays that the states count

What `[limits]` allow and `[definitions]` define is as somebody meant it.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from frl_env.datasets.table_import.checking.weeks import Weeks
from frl_env.datasets.table_import.schema.columns import EVENTS, LIMITS, OUTCOMES, REWARD
from frl_env.datasets.table_import.schema.definitions import DEFINITIONS
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.evaluation.privacy.suppression import roughly

FEWEST = 20
"""Rows with another sign or unit below which they are single mistakes."""

FEWEST_EVENTS = 100
"""Events by the one or the other count below which their sums are not compared."""

FAR = 3.0
"""Sums that differ by more than this are of other things."""

SIGN, UNIT = "the other sign", "another unit"
"""Kinds of problems."""


class Signs:
    """Counts, over a whole table, of values that are not zero, of the wrong sign, and beyond what can be.

    Args:
        layout: The columns.
    """

    def __init__(self, layout: Layout) -> None:
        """Starts with nothing seen."""
        self.layout = layout
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in layout.of(REWARD, *OUTCOMES)}

    def look(self, name: str, values: np.ndarray) -> None:
        """Counts one column of one batch, before anything is clipped."""
        if name not in self.counts:
            return
        low, high = self.layout.map.limit(name)
        if name == REWARD:
            other = values > max(high, 0) if high <= 0 else np.zeros(len(values), dtype=bool)
        else:
            other = values < min(low, 0)
        beyond = ((values < low) | (values > high)) & ~other
        not_zero = (values != 0) & ~np.isnan(values)
        self.counts[name].update({SIGN: int(other.sum()), UNIT: int(beyond.sum()), "not zero": int(not_zero.sum())})

    def facts(self) -> dict[str, dict[str, int]]:
        """JSON-able."""
        return {name: dict(counts) for name, counts in self.counts.items()}


def misread(signs: Mapping[str, Mapping[str, int]], column: str) -> str:
    """What values of a column that are out of range are: a column of another sign or unit, or single mistakes.

    Args:
        signs: Of `Signs.facts`.
        column: Its name here.
    """
    counts = Counter(signs.get(column, {}))
    for kind in (SIGN, UNIT):
        if counts[kind] >= FEWEST and 2 * counts[kind] > counts["not zero"]:
            return kind
    return "out of range"


class Rewards:
    """What the rewards of the rows that are kept look like.

    Args:
        layout: The columns.
    """

    def __init__(self, layout: Layout) -> None:
        """Starts with nothing seen."""
        self.layout = layout
        self.counts: Counter[str] = Counter()
        self.sum = self.counted = 0.0

    def look(self, weeks: Weeks) -> None:
        """Counts some members."""
        if not self.layout.has(REWARD):
            return
        rewards = weeks.columns[REWARD]
        self.counts["above 0"] += int((rewards > 0).sum())
        self.counts["below 0"] += int((rewards < 0).sum())
        self.counts["broken"] += int((rewards != np.floor(rewards)).sum())
        self.counts["beyond"] += int((rewards < LIMITS[REWARD][0]).sum())
        self.sum -= float(rewards.sum(dtype=np.float64))
        if self.layout.has(*EVENTS):
            self.counted += float(weeks.stack(EVENTS).sum(dtype=np.float64))

    def facts(self) -> dict[str, Any]:
        """JSON-able."""
        return {"counts": dict(self.counts), "sum": self.sum, "counted": self.counted}


def has_own_meaning(layout: Layout) -> bool:
    """Whether the map says that rewards are something else than minus a number of events."""
    return layout.map.definition(REWARD) != DEFINITIONS[REWARD]


def odd_rewards(layout: Layout, facts: Mapping[str, Any], *, late: bool) -> list[str]:
    """What looks odd about a column of rewards, a sentence each.

    Args:
        layout: The columns.
        facts: Of `Rewards.facts`.
        late: Whether states count only the claims that had arrived, so that they hold fewer events than rewards.
    """
    counts, name = Counter(facts["counts"]), layout.show(REWARD)
    said = []
    if counts["above 0"] >= FEWEST and counts["above 0"] > counts["below 0"]:
        said.append(
            f"{name}: most values that are not 0 are above it. A policy makes rewards large, so events must lower "
            "them: two events are -2. Change the sign, unless more is better for the member"
        )
    if has_own_meaning(layout) or not layout.has(REWARD):
        return said
    define = f"say what it holds, unit and window, in the map: [definitions] {REWARD}"
    if counts["broken"] >= FEWEST:
        said.append(
            f"{name}: in {roughly(counts['broken'])} rows no whole number, though it is taken for minus a number of "
            f"events; if it is dollars or a rate, its values are no events: {define}"
        )
    elif counts["beyond"] >= FEWEST:
        said.append(
            f"{name}: in {roughly(counts['beyond'])} rows more events than a week can hold; if it is dollars or a "
            f"rate (events per 1,000), its values are no events: {define}"
        )
    elif layout.has(*EVENTS) and facts["sum"] > 0:
        few, many = sorted((facts["sum"], facts["counted"]))
        meant = late and facts["sum"] > facts["counted"]
        if many >= FEWEST_EVENTS and many > FAR * few and not meant:
            said.append(
                f"{name}: its sum is {roughly(facts['sum'])} events, and the states of the same rows count "
                f"{roughly(facts['counted'])} visits and stays. One of them has another unit or window, or counts "
                f"something else; {define}"
            )
    return said
