"""Rows one after the other as a row an episode, for what runs along all episodes at once."""

import numpy as np
from jaxtyping import Bool


def to_grid(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, Bool[np.ndarray, "episode step"]]:
    """Flat rows as one row an episode, zero after its end, and the mask that flattens it back."""
    mask = np.arange(int(lengths.max())) < np.asarray(lengths)[:, None]
    grid = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    grid[mask] = values
    return grid, mask
