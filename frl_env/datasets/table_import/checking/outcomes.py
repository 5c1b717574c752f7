"""Where rewards come from: a column of them, next week's counts, or, failing these, the 30 days after each decision.

Outcomes of 30 days overlap from week to week, so their sums over an episode count every event four or five times. The
week's own events can't be had from the windows alone: 30 days are not whole weeks, and the difference of two windows,

    F(t) - F(t+1) = events of week t  -  events of days 30 to 36 after the start of week t,

has two unknowns. But the state of the week after counts the events of "last week", which is week t: where a member's
rows follow each other, that is the reward, and the windows serve as a check, since they hold the next four weeks and
nothing beyond the fifth. After the end nothing is recorded, so a member's last window is the last week's events.

Where rows don't follow each other, or the counts contradict the windows, every row becomes a problem of one step (a
contextual bandit): its reward is minus the events of the 30 days, and no return is summed.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from frl_env.datasets.table_import.checking.weeks import Weeks
from frl_env.datasets.table_import.schema.columns import EVENTS, OUTCOMES, REWARD, TERMINATED, ColumnMap
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.privacy.suppression import people

COLUMN, COUNTS, ONE_STEP = "weekly reward column", "weekly events from the next state", "one step, 30-day outcomes"

REWARDS = ("auto", "weekly", "one-step")
"""What may be asked for."""

MOST_DISAGREEMENT = 0.01
"""Share of rows in which windows and counts may contradict each other before weekly events are not believed."""

FEWEST_FOLLOWED = 0.5
"""Share of rows that must have a next week before weekly episodes are worth making."""


@dataclass(kw_only=True)
class Evidence:
    """What speaks for and against weekly rewards, counted over a table.

    Attributes:
        rows: Good ones.
        followed: Those whose next week is known.
        checked: Those whose windows can be compared with the counts of the next four weeks.
        disagree: Those where they contradict each other.
    """

    rows: int = 0
    followed: int = 0
    checked: int = 0
    disagree: int = 0

    def add(self, weeks: Weeks, layout: Layout) -> None:
        """Counts some members."""
        self.rows += len(weeks)
        self.followed += int(known_next(weeks, layout).sum())
        if layout.has(*EVENTS, *OUTCOMES):
            for state, outcome in zip(EVENTS, OUTCOMES, strict=True):
                checked, disagree = _compare(weeks, weeks.columns[state], weeks.columns[outcome])
                self.checked += checked
                self.disagree += disagree

    def facts(self) -> dict[str, int]:
        """JSON-able."""
        return asdict(self)


def choose_rewards(asked: str, layout: Layout, evidence: Evidence) -> tuple[str, str]:
    """Where rewards are taken from, and why.

    Args:
        asked: One of `REWARDS`.
        layout: The columns.
        evidence: Of the whole table.

    Raises:
        UserError: If what was asked for can't be done.
    """
    if asked not in REWARDS:
        raise unknown_name("kind of rewards", asked, REWARDS)
    counted = set(EVENTS) <= set(layout.map.states)
    if asked == "one-step":
        if not layout.has(*OUTCOMES):
            raise UserError(f"one-step rewards need the columns {' and '.join(OUTCOMES)}; name them with --column")
        return ONE_STEP, "asked for"
    if layout.has(REWARD):
        return COLUMN, "the table has it"
    if asked == "weekly":
        if not counted:
            raise UserError(f"weekly rewards need a reward column, or the states {' and '.join(EVENTS)}")
        return COUNTS, "asked for"
    if not counted:
        return ONE_STEP, "no state counts last week's events"
    if evidence.followed < FEWEST_FOLLOWED * evidence.rows:
        followed = people(evidence.followed, simulated=False)  # who has as few rows as these may be alone
        return ONE_STEP, f"the next week is known in {followed} of {evidence.rows:,} rows only"
    disagree = people(evidence.disagree, simulated=False)
    if evidence.disagree > MOST_DISAGREEMENT * evidence.checked:
        share = f"{disagree} of {evidence.checked:,} windows"
        return ONE_STEP, f"30-day outcomes contradict the counts of the next weeks in {share}"
    return COUNTS, f"30-day outcomes contradict them in {disagree} of {evidence.checked:,} windows"


def known_next(weeks: Weeks, layout: Layout) -> np.ndarray:
    """Rows whose state a week later is known, from the next row or from columns of it."""
    known = np.ones(len(weeks), dtype=bool)
    known[weeks.ends] = False
    if layout.has(*layout.map.next_states):
        known |= ~np.isnan(weeks.stack(layout.map.next_states)).any(axis=1)
    return known


def next_states(weeks: Weeks, layout: Layout) -> np.ndarray:
    """State a week later of each row; zeros where it is not known."""
    states = weeks.stack(layout.map.states)
    following = np.zeros_like(states)
    following[:-1] = states[1:]
    following[weeks.ends] = 0
    if layout.has(*layout.map.next_states):
        given = weeks.stack(layout.map.next_states)
        known = ~np.isnan(given).any(axis=1)
        following[known] = given[known]
        inside = np.ones(len(weeks), dtype=bool)
        inside[weeks.ends] = False
        following[inside] = states[1:][inside[:-1]]  # the same up to rounding, and one observation serves both rows
    return following


def weekly_events(weeks: Weeks, layout: Layout) -> np.ndarray:
    """ED visits and hospital stays of the week after each decision, `(rows, 2)`; NaN where they are not known."""
    states = list(layout.map.states)
    events = next_states(weeks, layout)[:, [states.index(name) for name in EVENTS]].astype(np.float64)
    unknown = ~known_next(weeks, layout)
    events[unknown] = np.nan
    if layout.has(TERMINATED, *OUTCOMES):
        last = unknown & weeks.columns[TERMINATED]
        events[last] = weeks.stack(OUTCOMES)[last]
    return events


def steps_and_rewards(weeks: Weeks, layout: Layout, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Which rows are steps, and their rewards.

    The last row of a run is one only if what comes of it is known; else its state is the episode's last observation.

    Args:
        weeks: Of some members.
        layout: The columns.
        source: Where rewards are taken from.

    Returns:
        `(rows,)` each; rewards are 0 where the row is no step.
    """
    ended = weeks.columns[TERMINATED] if layout.has(TERMINATED) else np.zeros(len(weeks), dtype=bool)
    if source == ONE_STEP:
        rewards = -weeks.stack(OUTCOMES).sum(axis=1)
        steps = ~np.isnan(rewards)
    elif source == COLUMN:
        rewards = weeks.columns[REWARD]
        steps = known_next(weeks, layout) | ended
    else:
        rewards = -weekly_events(weeks, layout).sum(axis=1)
        steps = ~np.isnan(rewards)
    return steps, np.where(steps, rewards, 0).astype(np.float32) + np.float32(0)


def reward_limits(source: str, columns: ColumnMap) -> list[float] | None:
    """Smallest and largest reward that can be; None where a limit is infinite.

    Args:
        source: Where rewards are taken from.
        columns: With the limits of what they are made of.
    """
    if source == COLUMN:
        limits = columns.limit(REWARD)
    else:
        kinds = [OUTCOMES] if source == ONE_STEP else [EVENTS, OUTCOMES]  # a last week's events are those of its window
        sums = [np.sum([columns.limit(name) for name in kind], axis=0) for kind in kinds]
        limits = -float(np.max(sums)), -float(np.min(sums))
    return [float(limit) for limit in limits] if np.isfinite(limits).all() else None


def describe(source: str, reason: str, evidence: Evidence) -> dict[str, Any]:
    """What a dataset's metadata say of its rewards."""
    return {"rewards": source, "rewards_why": reason, "rewards_evidence": evidence.facts()}


def _compare(weeks: Weeks, counts: np.ndarray, windows: np.ndarray) -> tuple[int, int]:
    """Windows that four or five following counts can be held against, and those that contradict them.

    The count of row t + 1 is of week t, so the window of row t holds the counts of rows t + 1 to t + 4, and may hold
    some of row t + 5's.
    """
    total = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
    row = np.arange(len(weeks))
    end = np.repeat(weeks.ends, weeks.ends - weeks.starts + 1)
    known = ~np.isnan(windows)
    four = known & (row + 4 <= end)
    five = known & (row + 5 <= end)
    least = total[np.minimum(row + 5, len(weeks))] - total[np.minimum(row + 1, len(weeks))]
    most = total[np.minimum(row + 6, len(weeks))] - total[np.minimum(row + 1, len(weeks))]
    return int(four.sum()), int(((four & (windows < least)) | (five & (windows > most))).sum())
