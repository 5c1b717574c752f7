"""Episodes over flat arrays, as d3rlpy sees them."""

from collections.abc import Sequence
from typing import overload

import numpy as np
from d3rlpy.dataset import Episode, EpisodeBase

from frl_algos.logged_data.memory_map import FlatArrays


class EpisodesView(Sequence[EpisodeBase]):
    """The episodes of a buffer as d3rlpy's own type, each made when it is looked at.

    A truncated episode of one step is left out: it has no transition in d3rlpy's eyes, and its evaluators fail on it.

    Args:
        arrays: Where the rows are.
    """

    def __init__(self, arrays: FlatArrays) -> None:
        """Finds the episodes that d3rlpy can use."""
        self.arrays = arrays
        self.starts = np.cumsum(arrays.lengths) - arrays.lengths
        self.numbers = np.flatnonzero(arrays.terminated | (arrays.lengths > 1))

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.numbers)

    @overload
    def __getitem__(self, index: int) -> EpisodeBase: ...
    @overload
    def __getitem__(self, index: slice) -> list[EpisodeBase]: ...
    def __getitem__(self, index: int | slice) -> EpisodeBase | list[EpisodeBase]:
        """One episode, or some."""
        if isinstance(index, slice):
            return [self.episode(number) for number in self.numbers[index]]
        return self.episode(self.numbers[index])

    def episode(self, number: int) -> EpisodeBase:
        """An episode by its number among all, those that are left out counted."""
        start = self.starts[number]
        rows = slice(start, start + self.arrays.lengths[number])
        return Episode(
            observations=self.arrays.observations[rows],
            actions=self.arrays.actions[rows, None],
            rewards=self.arrays.rewards[rows, None],
            terminated=bool(self.arrays.terminated[number]),
        )
