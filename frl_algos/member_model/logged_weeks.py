"""Logged weeks of members as rows, one a week: what was known then, what was done, and what came of it.

Rows are made part by part, by walking through the weeks of some members at once, so that memory does not grow with the
data.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from frl_algos.logged_data.memory_map import release
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.signed_logarithm import squash
from frl_algos.logged_data.valid_positions import valid_positions
from frl_algos.member_model.memory import FADINGS, MemoryLayout

WRITTEN = 0.05
"""Observations of whose next value contacts explain at least this share are written by contacts."""


@dataclass(frozen=True, kw_only=True)
class LoggedWeeks:
    """Logged weeks of some members, one row a week.

    Attributes:
        features: Of the forecast.
        contacts: Of the answers; see `MemoryLayout.contacts`.
        events: Credit-weighted events ahead, not negative.
        weeks: Credit-weighted weeks ahead in which they could happen.
        actions: Position of the logged action among the valid ones.
        attempted: Whether it does anything.
        answered: Whether the next observation shows an answer.
        signs: Raw observations.
        members: Person of each row; several spells of one person are one person's.
    """

    features: Float[np.ndarray, "row feature"]
    contacts: Float[np.ndarray, "row 6"]
    events: Float[np.ndarray, "row"]
    weeks: Float[np.ndarray, "row"]
    actions: Int[np.ndarray, "row"]
    attempted: np.ndarray
    answered: np.ndarray
    signs: np.ndarray
    members: Int[np.ndarray, "row"]


class WeekSource:
    """Rows of a buffer, made part by part by walking through the weeks of some members at once."""

    def __init__(self, layout: MemoryLayout, buffer: FactoredReplayBuffer, decay: float) -> None:
        """Finds what contacts write themselves, by the first rows."""
        self.layout, self.buffer, self.decay = layout, buffer, decay
        self.people = np.unique(buffer.people, return_inverse=True)[1]
        """Person of each episode, numbered from 0: halves are of even and of odd numbers."""
        space = buffer.action_space
        self.position = valid_positions(space)
        self.null = int(space.ravel(space.null_action))
        self.sign = -1.0 if float(buffer.rewards.sum()) < 0 else 1.0
        some = np.arange(min(len(buffer.actions), 500_000))
        following = squash(buffer.next_observations[some])
        levels = np.unique(space.unravel(buffer.actions[some])[:, 0], return_inverse=True)[1]
        # Observations that the contact itself writes (a count of calls) say nothing of how ill a member is.
        self.chosen = _explained(following, levels) < WRITTEN
        if not self.chosen.any():
            self.chosen[:] = True
        lowest = buffer.observations.min(axis=0)
        mean = squash(buffer.observations[some]).mean(axis=0, dtype=np.float64)
        self.usual = np.where((lowest >= 0) & (mean > 1e-6), mean, 0.0)
        self.release()

    def release(self) -> None:
        """Keeps no pages of memory-mapped data."""
        buffer = self.buffer
        release(buffer.observations, buffer.next_observations, buffer.actions, buffer.rewards)

    def rows(self, episodes: Int[np.ndarray, "episode"]) -> LoggedWeeks:
        """All weeks of some members."""
        buffer, lengths = self.buffer, self.buffer.lengths[episodes]
        steps = np.arange(int(lengths.max()))
        mask = steps[None] < lengths[:, None]
        at = np.where(mask, buffer.starts[episodes][:, None] + steps[None], 0)
        observations = buffer.observations[at]
        attempted = (buffer.actions[at] != self.null) & mask
        memory = self.layout.start(len(episodes))
        width = self.layout.features(memory[:1], observations[:1, 0], self.usual, self.chosen).shape[1]
        features = np.empty((int(lengths.sum()), width), dtype=np.float32)
        contacts = np.empty((len(features), len(FADINGS) + 3), dtype=np.float32)
        first = np.cumsum(lengths) - lengths
        for t in steps:
            here = mask[:, t]
            row = first[here] + t
            features[row] = self.layout.features(memory, observations[:, t], self.usual, self.chosen)[here]
            contacts[row] = self.layout.contacts(memory, observations[:, t])[here]
            # Which need a contact was about makes no feature.
            memory = self.layout.remember(memory, observations[:, t], attempted[:, t].astype(np.int64) - 1)
        # Members drawn from all touch the map's pages everywhere: not those of all arrays at once.
        self.release()
        amounts = np.where(mask, self.sign * buffer.rewards[at], 0.0).astype(np.float64)
        events, weeks = np.zeros(amounts.shape), np.zeros(amounts.shape)
        ahead, left = np.zeros(len(episodes)), np.zeros(len(episodes))
        for t in steps[::-1]:
            ahead = amounts[:, t] + self.decay * ahead
            left = mask[:, t] + self.decay * left
            events[:, t], weeks[:, t] = ahead, left
        rows = at[mask]
        answered = buffer.next_observations[rows, self.layout.response] > 0
        self.release()
        found = LoggedWeeks(
            features=features,
            contacts=contacts,
            events=events[mask],
            weeks=weeks[mask],
            actions=self.position[buffer.actions[rows]],
            attempted=attempted[mask],
            answered=answered,
            signs=buffer.observations[rows],
            members=np.repeat(self.people[episodes], lengths),
        )
        self.release()
        return found


def _explained(following: np.ndarray, levels: Int[np.ndarray, "row"]) -> Float[np.ndarray, "k"]:
    """Share of the variance of each observation's next value between the levels of the leading factor."""
    count = np.bincount(levels).astype(np.float64)
    total = following.var(axis=0, dtype=np.float64)
    means = np.stack([np.bincount(levels, weights=column) / count for column in following.T.astype(np.float64)])
    between = (count * (means - following.mean(axis=0, dtype=np.float64)[:, None]) ** 2).sum(axis=1) / len(levels)
    return np.where(total > 1e-12, between / np.where(total > 1e-12, total, 1.0), 0.0)
