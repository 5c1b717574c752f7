"""Factored actions for continuous algorithms: one number a level, and back.

    levels (1, 1, 7, 0) of nvec (6, 5, 18, 2)    ->    31 numbers, +1 at the four levels taken and -1 elsewhere

An action that an algorithm proposes, any 31 numbers, is read back as the *valid* joint action whose corner of the cube
is nearest. All corners are equally far from the origin, so that is the one with the largest scalar product, and where
the largest number of each factor makes a valid action, it is that action.
"""

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from typing import Any, BinaryIO

import numpy as np
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.dataset import Episode, EpisodeBase, InfiniteBuffer, ReplayBuffer, Signature, Transition
from jaxtyping import Float32

from frl_algos.logged_data.replay import FactoredReplayBuffer, IndexedMiniBatch
from frl_env.actions import ActionSpace


def relax(action_space: ActionSpace) -> Float32[np.ndarray, "joint level"]:
    """The relaxation of every joint action: +1 at the levels it takes, -1 elsewhere; columns factor by factor."""
    levels = action_space.joint_levels  # refuses too many before the corners take memory
    first = np.concatenate([[0], np.cumsum(action_space.nvec)[:-1]])
    corners = np.full((action_space.n_joint, sum(action_space.nvec)), -1.0, dtype=np.float32)
    np.put_along_axis(corners, levels + first, 1.0, axis=1)
    return corners


class RelaxedReplayBuffer(ReplayBuffer):
    """A view of a factored buffer for continuous algorithms: rows and sampling are the same, actions are relaxed.

    Args:
        factored: The buffer to look at; its arrays are shared, and sampling from either moves the same generator.
    """

    def __init__(self, factored: FactoredReplayBuffer) -> None:
        """Keeps the buffer and relaxes each joint action once."""
        self.factored = factored
        self.action_space = factored.action_space
        self.corners = relax(factored.action_space)
        size = self.corners.shape[1]
        super().__init__(
            InfiniteBuffer(),
            observation_signature=Signature(dtype=[np.dtype(np.float32)], shape=[factored.observations.shape[1:]]),
            action_signature=Signature(dtype=[np.dtype(np.float32)], shape=[(size,)]),
            reward_signature=Signature(dtype=[np.dtype(np.float32)], shape=[(1,)]),
            action_space=ActionKind.CONTINUOUS,
            action_size=size,
        )

    @cached_property
    def episodes(self) -> Sequence[EpisodeBase]:  # type: ignore[override] - only read
        """All episodes with relaxed actions, made when first asked for: 124 bytes a row for 31 levels."""
        return [
            Episode(
                observations=episode.observations,
                actions=self.corners[np.asarray(episode.actions)[:, 0]],
                rewards=episode.rewards,
                terminated=episode.terminated,
            )
            for episode in self.factored.episodes
        ]

    @property
    def transition_count(self) -> int:
        """Number of rows."""
        return self.factored.transition_count

    def size(self) -> int:
        """Number of episodes."""
        return self.factored.size()

    def sample_transition(self) -> Transition:
        """One random transition, as d3rlpy's own type."""
        one = self.factored.sample_transition()
        following = self.corners[int(one.next_action[0])]
        return dataclasses.replace(one, action=self.corners[int(one.action[0])], next_action=following)

    def sample_transition_batch(self, batch_size: int) -> IndexedMiniBatch:
        """A random mini-batch, rows drawn with replacement."""
        batch = self.factored.sample_transition_batch(batch_size)
        return dataclasses.replace(
            batch,
            actions=self.corners[self.factored.actions[batch.indices]],
            next_actions=self.corners[self.factored.next_actions[batch.indices]],
        )

    def append(self, *args: Any, **kwargs: Any) -> None:
        """Refuses: the buffer is fixed."""
        self.factored.append(*args, **kwargs)

    append_episode = append
    clip_episode = append

    def dump(self, f: BinaryIO) -> None:
        """Refuses: the data has its home in Minari."""
        self.factored.dump(f)
