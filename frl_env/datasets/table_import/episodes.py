"""Runs of weeks to episodes, in the two forms that are kept: arrays an episode for Minari, flat arrays for training.

    row of a run        r0   r1   r2   r3           r3 is a step only if what comes of it is known
    observation         o0   o1   o2   o3
    action, reward      a0   a1   a2
    information         i0   i1   i2   i3           of the observation: week, demographics
                        -    a0   a1   a2           of the action that led there: propensity, events, outcomes

Where rewards are outcomes of 30 days every step is an episode of its own to a learner: all are terminations. They stay
together in one Minari episode a run, because a million of those would take hours to write.
"""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from frl_env.datasets.hdf5_copies import EpisodeColumns
from frl_env.datasets.table_import.checking.outcomes import (
    COUNTS,
    ONE_STEP,
    next_states,
    steps_and_rewards,
    weekly_events,
)
from frl_env.datasets.table_import.checking.weeks import Weeks
from frl_env.datasets.table_import.schema.columns import EVENTS, OUTCOMES, PROPENSITY, TERMINATED
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import LISTED, LISTED_ACTION, LISTED_PROPENSITY

EVENT_KEYS = ("ed_visits", "ip_stays")
"""Information keys of the events of a week, in the order of the states that count them."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """Episodes of some members.

    Attributes:
        rows: Of the table; those that are no steps stand for a last observation, or for nothing.
        observations: `(steps, k)`.
        next_observations: The same, a week later.
        levels: `(steps, factors)`.
        rewards: `(steps,)`.
        terminals: Whether each step was the last for good.
        lengths: Steps of each Minari episode.
        members: Number of the member of each Minari episode.
        identifiers: Of the members, in the order of their numbers.
        of_observation: Information that comes with an observation, a row a step and, apart, a row an episode's end.
        of_action: Information that comes with an action, a row a step.
        one_step: Whether every step is a problem of its own.
    """

    rows: int
    observations: np.ndarray
    next_observations: np.ndarray
    levels: np.ndarray
    rewards: np.ndarray
    terminals: np.ndarray
    lengths: np.ndarray
    members: np.ndarray
    identifiers: pa.Array
    of_observation: dict[str, tuple[np.ndarray, np.ndarray]]
    of_action: dict[str, np.ndarray]
    one_step: bool

    def flat(self, nvec: tuple[int, ...]) -> dict[str, np.ndarray]:
        """Arrays for training, by the names of `flat.KINDS`."""
        actions = np.asarray(np.ravel_multi_index(tuple(self.levels.T), nvec), dtype=np.int64)
        lengths: np.ndarray = self.lengths
        members: np.ndarray = self.members
        if self.one_step:
            members = np.repeat(members, lengths)
            lengths = np.ones(len(actions), dtype=np.int64)
        last = np.cumsum(lengths) - 1
        following = np.roll(actions, -1)
        following[last] = 0
        return {
            "observations": self.observations,
            "next_observations": self.next_observations,
            "actions": actions,
            "next_actions": following,
            "rewards": self.rewards,
            "terminals": self.terminals.astype(np.float32),
            "lengths": lengths,
            "terminated": self.terminals[last],
            "members": members,
        }

    def minari(self) -> EpisodeColumns:
        """Arrays by the names of Minari's HDF5 layout."""
        ends = np.cumsum(self.lengths)
        last = np.zeros(len(self.rewards), dtype=bool)
        last[ends - 1] = True
        infos = {f"infos/{key}": self._closed(*rows) for key, rows in self.of_observation.items()}
        # No action led to the first observation, which has probability 1 and did nothing.
        infos |= {f"infos/{key}": self._opened(rows, "propensit" in key) for key, rows in self.of_action.items()}
        return EpisodeColumns(
            lengths=self.lengths,
            arrays={
                "observations": self._closed(self.observations, self.next_observations[ends - 1]),
                "actions": self.levels,
                "rewards": self.rewards,
                "terminations": self.terminals,
                "truncations": last & ~self.terminals,
            }
            | infos,
        )

    def _closed(self, rows: np.ndarray, ends: np.ndarray) -> np.ndarray:
        """Rows of the steps with each episode's end after its last."""
        whole = np.empty((len(rows) + len(ends), *rows.shape[1:]), dtype=rows.dtype)
        end = np.zeros(len(whole), dtype=bool)
        end[np.cumsum(self.lengths + 1) - 1] = True
        whole[~end], whole[end] = rows, ends
        return whole

    def _opened(self, rows: np.ndarray, before: float) -> np.ndarray:
        """Rows of the steps with one for each episode's start before its first."""
        whole = np.empty((len(rows) + len(self.lengths), *rows.shape[1:]), dtype=rows.dtype)
        start = np.zeros(len(whole), dtype=bool)
        start[np.cumsum(self.lengths + 1) - self.lengths - 1] = True
        whole[~start], whole[start] = rows, before
        return whole


def make_episodes(
    weeks: Weeks,
    layout: Layout,
    *,
    source: str,
    groups: dict[str, np.ndarray],
    dates: bool,
    first_member: int,
) -> Recorded:
    """Episodes of some members.

    Args:
        weeks: Their rows.
        layout: The columns.
        source: Where rewards are taken from; see `outcomes`.
        groups: Demographic column to the code in the dataset of each code in the rows.
        dates: Whether weeks are kept as days since 1970-01-01, not as numbers.
        first_member: Number of the first of these members; those without a step have none.
    """
    is_step, rewards = steps_and_rewards(weeks, layout, source)
    rows = np.flatnonzero(is_step)
    heads = np.zeros(len(weeks), dtype=bool)
    heads[weeks.starts] = True
    heads[1:] |= ~is_step[:-1]
    starts = np.flatnonzero(heads[rows])
    lengths = np.diff(starts, append=len(rows))
    last = rows[starts + lengths - 1] if len(rows) else rows
    # The row of the last observation is the next one where the run has it, and stands for itself where not.
    end = last + ~np.isin(last, weeks.ends)
    taking_part = np.bincount(weeks.member[rows], minlength=len(weeks.identifiers)) > 0
    numbers = np.cumsum(taking_part) - 1 + first_member
    one_step = source == ONE_STEP
    ended = weeks.columns[TERMINATED] if layout.has(TERMINATED) else np.zeros(len(weeks), dtype=bool)
    unit = 1 if dates else 7
    member = numbers[weeks.member]
    of_observation = {
        "member": (member[rows], member[end]),
        "week": (weeks.day[rows] // unit, weeks.day[last] // unit + 7 // unit),
    } | {name: (codes[weeks.columns[name][rows]], codes[weeks.columns[name][end]]) for name, codes in groups.items()}
    return Recorded(
        rows=len(weeks),
        observations=weeks.stack(layout.map.states)[rows],
        next_observations=next_states(weeks, layout)[rows],
        levels=weeks.stack(tuple(layout.map.action_columns))[rows].astype(np.int64),
        rewards=rewards[rows],
        terminals=np.ones(len(rows), dtype=bool) if one_step else ended[rows],
        lengths=lengths,
        members=member[rows[starts]],
        identifiers=weeks.identifiers.filter(pa.array(taking_part)),
        of_observation={key: (one[:, None], two[:, None]) for key, (one, two) in of_observation.items()},
        of_action={key: values[rows] for key, values in _of_actions(weeks, layout, source).items()},
        one_step=one_step,
    )


def _of_actions(weeks: Weeks, layout: Layout, source: str) -> dict[str, np.ndarray]:
    """Information on each row's action, `(rows, k)` each."""
    known: dict[str, np.ndarray] = {}
    if layout.has(PROPENSITY) or layout.with_lists:
        known["propensity"] = weeks.columns[PROPENSITY][:, None]
    if layout.has(*layout.map.factor_propensities):
        known["factor_propensities"] = weeks.stack(layout.map.factor_propensities)
    if layout.with_lists:
        known |= {name: weeks.columns[name][:, None] for name in (LISTED, LISTED_ACTION, LISTED_PROPENSITY)}
    if source == COUNTS:
        events = np.nan_to_num(weekly_events(weeks, layout)).astype(np.int16)
        known |= {key: events[:, [i]] for i, key in enumerate(EVENT_KEYS[: len(EVENTS)])}
    for name in layout.of(*OUTCOMES):
        known[name] = weeks.columns[name][:, None]
    return known
