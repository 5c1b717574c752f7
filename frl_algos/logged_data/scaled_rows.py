"""Observations as the networks see them, scaled when they are asked for, so that no second copy of all rows is held."""

from collections.abc import Callable, Iterator

import numpy as np
from jaxtyping import Bool, Float, Float32, Int

from frl_algos.logged_data.memory_map import release
from frl_env.evaluation.privacy.suppression import SMALLEST

ROWS_AT_ONCE = 2**18
"""Rows that sums over all rows take at once."""

PART_OF_A_PASS = 4_096
"""So many rows at once are part of a pass over all: what was read of a memory map is not kept."""


class ScaledRows:
    """Behaves as the array of scaled observations does when rows are taken from it.

    Args:
        observations: `(rows, k)`, raw units; a memory map is left on the disk.
        scale: Scales some rows; None leaves them as they are.
    """

    dtype = np.dtype(np.float32)

    def __init__(
        self, observations: Float32[np.ndarray, "row k"], scale: Callable[[np.ndarray], np.ndarray] | None
    ) -> None:
        """Keeps both."""
        self._observations, self._scale = observations, scale

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows and observed numbers."""
        return self._observations.shape

    def __len__(self) -> int:
        """Number of rows."""
        return len(self._observations)

    def __getitem__(self, rows: slice | np.ndarray) -> Float32[np.ndarray, "some k"]:
        """Some rows, by a slice or by their numbers."""
        some = self._observations[rows]
        if self._scale is None:
            return some
        scaled = self._scale(some).astype(np.float32)
        if len(scaled) >= PART_OF_A_PASS:
            release(self._observations)
        return scaled

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        whole = np.empty(self.shape, dtype=np.float32)
        for rows in slices(len(self)):
            whole[rows] = self[rows]
        return whole if dtype is None else whole.astype(dtype, copy=False)


Rows = np.ndarray | ScaledRows
"""Rows of numbers, in memory or made when they are asked for; `(rows, k)` float32."""


def slices(rows: int, at_once: int | None = None) -> Iterator[slice]:
    """Consecutive slices that cover so many rows."""
    at_once = at_once or ROWS_AT_ONCE
    for start in range(0, rows, at_once):
        yield slice(start, min(start + at_once, rows))


def mean_and_spread(
    rows: int, part: Callable[[slice], np.ndarray], dtype: type | None = None
) -> tuple[Float[np.ndarray, "*column"], Float[np.ndarray, "*column"]]:
    """Mean and standard deviation of each column, in two passes over parts; parts are weighed in double precision.

    Args:
        rows: Number.
        part: Makes the rows of a slice.
        dtype: In which a part is summed; by default its own.
    """

    def mean(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        total, kind = np.float64(0), np.dtype(float)
        for some in slices(rows):
            own = of(part(some)).mean(axis=0, dtype=dtype)
            total, kind = total + own.astype(np.float64) * (some.stop - some.start), own.dtype
        return (total / rows).astype(kind)

    center = mean(lambda x: x)
    return center, np.sqrt(mean(lambda x: (x - center) ** 2))


def shared_range(
    rows: Rows, people: Int[np.ndarray, "row"], columns: Bool[np.ndarray, "k"]
) -> tuple[Float32[np.ndarray, "k"], Float32[np.ndarray, "k"]]:
    """Numbers that at least 11 people are at or below, and at or above: what may be kept of the range of a column.

    The smallest and the largest number may be a single person's. Where 11 people have each, these are it.

    Args:
        rows: Numbers.
        people: Whose each row is, numbered from 0; rows of a person that follow each other are looked at together.
        columns: Of which the range is wanted; the others, and all where there are fewer than 11 people, have 0 and 1.
    """
    low, high = np.zeros(len(columns), dtype=np.float32), np.ones(len(columns), dtype=np.float32)
    count = int(people.max(initial=-1)) + 1
    if count < SMALLEST or not columns.any():
        return low, high
    lowest = np.full((count, int(columns.sum())), np.inf, dtype=np.float32)
    highest = -lowest
    for some in slices(len(rows)):
        own, part = people[some], rows[some][:, columns]
        starts = np.flatnonzero(np.diff(own, prepend=-1))
        np.minimum.at(lowest, own[starts], np.minimum.reduceat(part, starts))
        np.maximum.at(highest, own[starts], np.maximum.reduceat(part, starts))
    low[columns] = np.partition(lowest, SMALLEST - 1, axis=0)[SMALLEST - 1]
    high[columns] = -np.partition(-highest, SMALLEST - 1, axis=0)[SMALLEST - 1]
    return low, high


def numbers_of(chosen: np.ndarray) -> Int[np.ndarray, "some"]:
    """Numbers of the rows that are chosen, in 4 bytes each where they fit."""
    kind = np.int32 if len(chosen) < 2**31 else np.int64
    found = np.empty(int(np.count_nonzero(chosen)), dtype=kind)
    at = 0
    for some in slices(len(chosen)):
        own = np.flatnonzero(chosen[some])
        found[at : at + len(own)] = own + some.start
        at += len(own)
    return found
