"""Random thinning: what is left of given contacts when they don't all fit.

Members come in random order, and as soon as a contact does not fit, its kind is closed for all who come later. Nobody
is preferred, so this is what a policy is worth that does not know whom to prefer.
"""

import numpy as np
from jaxtyping import Int64

from frl_env.capacity.capacity import Limits
from frl_env.capacity.knapsack import ROUNDING
from frl_env.capacity.prices import fits_in_order


def thin(
    joints: Int64[np.ndarray, "member"], nothing: int, limits: Limits, rng: np.random.Generator
) -> Int64[np.ndarray, "member"]:
    """Keeps as many of the given actions as fit.

    Args:
        joints: Joint index of each member's action.
        nothing: Joint index of doing nothing.
        limits: Of the week. What they don't allow is dropped first.
        rng: For the order.

    Returns:
        The actions, with `nothing` in the place of those that were dropped.
    """
    kept = np.where(limits.allowed[joints], joints, nothing)
    if not len(limits.names):
        return kept
    waiting = rng.permutation(np.flatnonzero(kept != nothing))
    left = limits.room * (1 + ROUNDING)
    while len(waiting):
        use = limits.use[:, kept[waiting]]
        fits = (use <= left[:, None]).all(axis=0)
        kept[waiting[~fits]] = nothing
        waiting, use = waiting[fits], use[:, fits]
        done = fits_in_order(use, left)
        left = left - use[:, :done].sum(axis=1)
        waiting = waiting[done:]
    return kept
