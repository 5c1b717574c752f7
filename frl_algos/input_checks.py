"""What algorithms are given, checked in the same words by all of them."""

from typing import Any

import numpy as np
from jaxtyping import Float32

from frl_env.errors import UserError, check_whole

MOST_UPDATES = 2**31


def checked_observations(observations: Any, size: int) -> Float32[np.ndarray, "n k"]:
    """Observations as numbers of single precision, so many of each state.

    Raises:
        UserError: If the shape is wrong or a number is not finite.
    """
    try:
        array = np.asarray(observations, dtype=np.float32)
    except (TypeError, ValueError):  # rows of different lengths, or no numbers
        raise UserError(f"observations must be numbers of shape (n, {size})") from None
    if array.ndim != 2 or array.shape[1] != size:
        raise UserError(f"observations must have shape (n, {size}), not {array.shape}")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise UserError(
            f"{int(bad.sum())} of {len(array)} observations hold NaN or infinite numbers; fill or drop them"
        )
    return array


def check_updates(n_steps: object, n_steps_per_epoch: object) -> None:
    """Says so where updates, in all or an epoch, are no whole number from 1.

    Raises:
        UserError: If so.
    """
    check_whole("n_steps", n_steps, low=1, high=MOST_UPDATES)
    check_whole("n_steps_per_epoch", n_steps_per_epoch, low=1, high=MOST_UPDATES)
