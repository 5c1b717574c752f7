"""Logged episodes as flat rows, each with what was known of the member so far.

The target policy sees one observation; the models that value it may look at everything before. A row's history holds
smooth features of the observation, their mean and fading sum over the episode so far, and the time. Whether an action
got a response shows in the next observation, so a row without one (the last, and those before missing weeks) is never
learned from.

Features of the history are many numbers a row. They are made anew, some members at a time, whenever they are asked for,
so that memory does not grow with the data beyond a few numbers a row.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from frl_algos.action_effects.targets import history_features, value_features
from frl_algos.action_effects.terms import null_position
from frl_algos.logged_data.member_parts import parts
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.valid_positions import valid_positions
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.dataset_reading.people import People
from frl_env.evaluation.privacy.suppression import people as number_of_people
from frl_env.evaluation.threads import one_ahead
from frl_env.kinds import shown


@dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """One row a logged decision, members one after the other.

    Attributes:
        episodes: Where they come from.
        observations: Raw units.
        centre, scale: Of the observations, in double precision.
        mean, spread: Of the features of the history, by which they are standardised.
        actions: Position of the logged action among the valid ones.
        attempted: Whether it does anything.
        member: Member of each row.
        step: Step of each row.
    """

    episodes: LoggedEpisodes
    observations: Float32[np.ndarray, "row k"]
    centre: Float[np.ndarray, "k"]
    scale: Float[np.ndarray, "k"]
    mean: Float[np.ndarray, "feature"]
    spread: Float[np.ndarray, "feature"]
    actions: Int64[np.ndarray, "row"]
    attempted: Bool[np.ndarray, "row"]
    member: Int64[np.ndarray, "row"]
    step: Int64[np.ndarray, "row"]

    @classmethod
    def of(cls, episodes: LoggedEpisodes) -> "Histories":
        """Flattens episodes.

        Raises:
            UserError: If they hold no observations, or a logged action is not valid.
        """
        space = episodes.action_space
        observations = episodes.observation_rows
        actions = valid_positions(space)[episodes.actions[episodes.mask]]
        if (actions < 0).any():
            number = number_of_people(int((actions < 0).sum()), simulated=episodes.simulated)
            raise UserError(f"{number} logged actions are not valid in {space}; drop or recode them")
        spread = observations.std(axis=0, dtype=np.float64)
        centre, scale = observations.mean(axis=0, dtype=np.float64), np.where(spread < 1e-6, 1.0, spread)
        size = 4 * observations.shape[1] + 1
        total, squares = np.zeros(size), np.zeros(size)
        for rows, lengths in parts(episodes.lengths, 2 * size):
            features = _features(observations[rows], lengths, centre, scale, int(episodes.lengths.max()))
            total += features.sum(axis=0, dtype=np.float64)
            squares += np.einsum("rf,rf->f", features, features, dtype=np.float64)
        mean = total / len(observations)
        spread = np.sqrt(np.maximum(squares / len(observations) - mean**2, 0.0))
        null = null_position(space)
        return cls(
            episodes=episodes,
            observations=observations,
            centre=centre,
            scale=scale,
            mean=mean,
            spread=np.where(spread < 1e-6, 1.0, spread),
            actions=actions,
            attempted=np.ones(len(actions), dtype=bool) if null is None else actions != null,
            member=np.repeat(np.arange(len(episodes)), episodes.lengths),
            step=np.nonzero(episodes.mask)[1],
        )

    @property
    def features(self) -> int:
        """Number of features of the history, with the constant 1."""
        return 1 + len(self.mean)

    def parts(self, columns: int = 0) -> Iterator[tuple[slice, Float[np.ndarray, "some_rows feature"]]]:
        """Rows of some whole members at a time, and their history: standardised features, the first a one.

        Args:
            columns: How many numbers a row the caller makes of it besides.
        """
        return one_ahead(self._parts(columns))

    def _parts(self, columns: int) -> Iterator[tuple[slice, Float[np.ndarray, "some_rows feature"]]]:
        longest = int(self.episodes.lengths.max())
        for rows, lengths in parts(self.episodes.lengths, 3 * self.features + columns):
            features = _features(self.observations[rows], lengths, self.centre, self.scale, longest)
            history = np.ones((len(features), self.features))
            np.divide(features - self.mean, self.spread, out=history[:, 1:])
            yield rows, history

    @cached_property
    def last(self) -> Bool[np.ndarray, "row"]:
        """Which rows are the last of their member."""
        return self.step == self.episodes.lengths[self.member] - 1

    @cached_property
    def unfollowed(self) -> Bool[np.ndarray, "row"]:
        """Rows of which no next observation shows what came: the last ones, and those before missing weeks."""
        if self.episodes.resumed is None:
            return self.last
        return self.last | np.append(self.episodes.resumed[self.episodes.mask][1:], False)

    @cached_property
    def observation_of(self) -> Int64[np.ndarray, "feature"]:
        """The observation that each feature of the history is made of; -1 for the constant and the time."""
        k = self.observations.shape[1]
        return np.concatenate([[-1], np.tile(np.arange(k), (self.features - 2) // k), [-1]])

    @cached_property
    def rows(self) -> Int64[np.ndarray, "episode step"]:
        """Row of each step; -1 after the end."""
        grid = np.full(self.episodes.mask.shape, -1, dtype=np.int64)
        grid[self.episodes.mask] = np.arange(len(self.actions))
        return grid

    def next_values(self, observation: int) -> Float32[np.ndarray, "row"]:
        """An observation as it is one step later; 0 where that is not known.

        Raises:
            UserError: If there is no such observation.
        """
        if not 0 <= observation < self.observations.shape[1]:
            raise UserError(f"observation {observation} does not exist; there are {self.observations.shape[1]}")
        return np.where(self.unfollowed, 0.0, np.roll(self.observations[:, observation], -1)).astype(np.float32)


def _features(
    observations: Float32[np.ndarray, "row k"],
    lengths: Int64[np.ndarray, "episode"],
    centre: Float[np.ndarray, "k"],
    scale: Float[np.ndarray, "k"],
    longest: int,
) -> Float32[np.ndarray, "row feature"]:
    """Features of whole members' rows, before they are standardised."""
    scaled = ((observations - centre) / scale).astype(np.float32)
    summaries = history_features(scaled, np.cumsum(lengths) - lengths, lengths, longest=longest)
    return np.concatenate([value_features(scaled)[:, 1:], summaries], axis=1)


def as_episodes(data: LoggedEpisodes | FactoredReplayBuffer) -> LoggedEpisodes:
    """Logged episodes as they are, or those of a replay buffer, which knows no propensities."""
    if isinstance(data, LoggedEpisodes):
        return data
    if not isinstance(data, FactoredReplayBuffer):
        raise UserError(
            f"logged members must be LoggedEpisodes or a FactoredReplayBuffer, not {shown(data)}; "
            "load_replay_buffer(dataset) reads them"
        )
    ends = np.cumsum(data.lengths)
    people = People.of(
        data.people,
        starts=data.since,
        first_states=data.observations[data.starts],
        last_states=data.next_observations[ends - 1],
    )
    return LoggedEpisodes.from_rows(
        rewards=data.rewards,
        actions=data.actions,
        lengths=data.lengths,
        action_space=data.action_space,
        observations=data.observations,
        people=people,
        simulated=data.simulated,
    )
