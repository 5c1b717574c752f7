"""Logged episodes as flat rows, each with what was known of the member so far.

The target policy sees one observation; the models that value it may look at everything before. A row's history holds
smooth features of the observation, their mean and fading sum over the episode so far, and the time. Whether an action
got a response shows in the next observation, so a row without one (the last, and those before missing weeks) is never
learned from.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float32, Int64

from frl_algos.effects.targets import history_features, value_features
from frl_algos.effects.terms import null_position
from frl_algos.logged.replay import FactoredReplayBuffer
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.people import People


@dataclass(frozen=True, kw_only=True, eq=False)
class Histories:
    """One row a logged decision, members one after the other.

    Attributes:
        episodes: Where they come from.
        observations: Raw units.
        history: Features of the history, standardised, the first a one.
        actions: Position of the logged action among the valid ones.
        attempted: Whether it does anything.
        member: Member of each row.
        step: Step of each row.
    """

    episodes: LoggedEpisodes
    observations: Float32[np.ndarray, "row k"]
    history: Float[np.ndarray, "row feature"]
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
        position = np.full(space.n_joint, -1, dtype=np.int64)
        position[space.valid_joints] = np.arange(len(space.valid_joints))
        actions = position[episodes.actions[episodes.mask]]
        if (actions < 0).any():
            raise UserError(f"{int((actions < 0).sum())} logged actions are not valid in {space}; drop or recode them")
        spread = observations.std(axis=0, dtype=np.float64)
        scaled = (observations - observations.mean(axis=0, dtype=np.float64)) / np.where(spread < 1e-6, 1.0, spread)
        starts = np.concatenate([[0], np.cumsum(episodes.lengths)[:-1]])
        scaled = scaled.astype(np.float32)
        history = np.concatenate(
            [value_features(scaled)[:, 1:], history_features(scaled, starts, episodes.lengths)], axis=1
        )
        spread = history.std(axis=0)
        history = (history - history.mean(axis=0)) / np.where(spread < 1e-6, 1.0, spread)
        null = null_position(space)
        return cls(
            episodes=episodes,
            observations=observations,
            history=np.concatenate([np.ones((len(history), 1)), history], axis=1),
            actions=actions,
            attempted=np.ones(len(actions), dtype=bool) if null is None else actions != null,
            member=np.repeat(np.arange(len(episodes)), episodes.lengths),
            step=np.nonzero(episodes.mask)[1],
        )

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
        return np.concatenate([[-1], np.tile(np.arange(k), (self.history.shape[1] - 2) // k), [-1]])

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


def as_episodes(data: LoggedEpisodes | FactoredReplayBuffer) -> LoggedEpisodes:
    """Logged episodes as they are, or those of a replay buffer, which knows no propensities."""
    if isinstance(data, LoggedEpisodes):
        return data
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
