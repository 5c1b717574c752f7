"""Rows of a dataset some whole episodes at a time, so that memory does not grow with the number of rows."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

VALUES = 4_000_000
"""Numbers that are held at once."""


def parts(
    lengths: Int64[np.ndarray, "episode"], columns: int
) -> Iterator[tuple[slice, Int64[np.ndarray, "some_episodes"]]]:
    """Rows, and lengths of their episodes, of consecutive whole episodes; about `VALUES` numbers of so many columns."""
    ends = np.cumsum(lengths)
    first, start = 0, 0
    while first < len(lengths):
        last = max(int(np.searchsorted(ends, start + VALUES // columns, side="right")), first + 1)
        end = int(ends[last - 1])
        yield slice(start, end), lengths[first:last]
        first, start = last, end
