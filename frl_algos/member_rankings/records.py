"""What a list is made of: a member's record up to a week, and the events of the weeks after it."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.signed_logarithm import squash
from frl_env.errors import UserError

FADINGS = (0.7, 0.9, 0.97)
"""What is kept of a fading mean from one week to the next: half-lives of 2, 7 and 23 weeks."""

WEEKS = 4
"""Weeks ahead whose events are forecast."""

MOST_ROWS = 200_000
"""Logged weeks on which a model is fitted, at most; more are drawn from."""


@dataclass(frozen=True)
class Record:
    """Columns about a member: this week's observations, and fading means of some of them.

    Args:
        history: Indices of the observations whose past counts; none for the week alone.
    """

    history: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """Numbers a member that have to be remembered."""
        return len(FADINGS) * (len(self.history) + 1) if self.history else 0

    def start(self, members: int) -> Float64[np.ndarray, "member m"]:
        """Memories of members of whom nothing is known."""
        return np.zeros((members, self.width))

    def remember(self, memory: Float64[np.ndarray, "member m"], observations: np.ndarray) -> np.ndarray:
        """Fading sums and their weights with one more week in them."""
        if not self.history:
            return memory
        seen = squash(observations[:, list(self.history)].astype(np.float64))
        x = np.column_stack([seen, np.ones(len(observations))])
        fading = np.repeat(FADINGS, x.shape[1])
        return np.asarray(memory) * fading + np.tile(x, len(FADINGS))

    def columns(
        self, memory: Float64[np.ndarray, "member m"], observations: Float32[np.ndarray, "member k"]
    ) -> Float64[np.ndarray, "member column"]:
        """Columns of a model; the memory is that before the week."""
        now = np.asarray(observations, dtype=np.float64)
        if not self.history:
            return now
        seen = self.remember(memory, observations).reshape(len(now), len(FADINGS), len(self.history) + 1)
        means = seen[:, :, :-1] / seen[:, :, -1:]
        return np.concatenate([now, means.reshape(len(now), -1)], axis=1)


@dataclass(frozen=True, kw_only=True)
class LoggedRecords:
    """Logged weeks whose next `WEEKS` weeks are known.

    Attributes:
        columns: Of `Record`.
        events: Amount of reward lost in those weeks, not negative.
        rows: Row of each in the buffer.
        episodes: Episode of each.
    """

    columns: Float64[np.ndarray, "row column"]
    events: Float64[np.ndarray, "row"]
    rows: Int64[np.ndarray, "row"]
    episodes: Int64[np.ndarray, "row"]


def logged_records(
    buffer: FactoredReplayBuffer,
    record: Record,
    rng: np.random.Generator,
    chosen: Bool[np.ndarray, "row"] | None = None,
) -> LoggedRecords:
    """Logged weeks as columns and what followed.

    Args:
        buffer: The data.
        record: Which columns.
        rng: Draws rows where there are more than `MOST_ROWS`.
        chosen: Rows that may be taken; all unless given.

    Raises:
        UserError: If nothing followed any of them.
    """
    lengths, starts = buffer.lengths, buffer.starts
    episodes = np.repeat(np.arange(len(lengths)), lengths)
    left = np.repeat(starts + lengths, lengths) - np.arange(buffer.transition_count)
    lost = np.concatenate([[0.0], np.cumsum(-buffer.rewards.astype(np.float64))])
    at = np.arange(buffer.transition_count)
    events = lost[at + np.minimum(left, WEEKS)] - lost[at]
    # Whoever leaves for good has no events afterwards; whoever is no longer followed may have some.
    known = (left >= WEEKS) | np.repeat(buffer.terminated, lengths)
    rows = np.flatnonzero(known if chosen is None else known & chosen)
    if len(rows) > MOST_ROWS:
        rows = np.sort(rng.choice(rows, MOST_ROWS, replace=False))
    if not (events[rows] > 0).any():
        raise UserError("there is no event in the data (no negative reward), so that there is nothing to rank by")
    memory = _memories(buffer, record, rows)
    return LoggedRecords(
        columns=record.columns(memory, buffer.observations[rows]),
        events=np.maximum(events[rows], 0.0),
        rows=rows,
        episodes=episodes[rows],
    )


def _memories(buffer: FactoredReplayBuffer, record: Record, rows: Int64[np.ndarray, "row"]) -> np.ndarray:
    """Memories before the given weeks, made week by week for all episodes at once."""
    wanted = np.zeros((len(rows), record.width))
    if not record.history:
        return wanted
    place = np.full(buffer.transition_count, -1)
    place[rows] = np.arange(len(rows))
    memory = record.start(len(buffer.lengths))
    for week in range(int(buffer.lengths.max())):
        there = np.flatnonzero(buffer.lengths > week)
        at = buffer.starts[there] + week
        asked = place[at] >= 0
        wanted[place[at[asked]]] = memory[there[asked]]
        memory[there] = record.remember(memory[there], buffer.observations[at])
    return wanted
