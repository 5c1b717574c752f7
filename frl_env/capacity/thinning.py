"""Random thinning: what is left of given contacts when they don't all fit.

Members come in random order, and as soon as a contact does not fit, its kind is closed for all who come later. Nobody
is preferred, so this is what a policy is worth that does not know whom to prefer. Only contacts that are promised come
before all others.
"""

from collections.abc import Callable

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.capacity.capacity import Limits
from frl_env.capacity.knapsack import ROUNDING
from frl_env.capacity.prices import fits_in_order

Wishes = tuple[Int64[np.ndarray, "member"], Int64[np.ndarray, "member"], Bool[np.ndarray, "member"]]
"""Joint index and kind of what each member would get, and whether it is promised."""

SIMULATED = 1_000_000
"""Decisions that are simulated to know what share of contacts is kept."""

FEWEST, MOST = 50, 2_000
"""Weeks that are simulated for it, of large and small caseloads."""


def thin(
    joints: Int64[np.ndarray, "member"],
    nothing: int,
    limits: Limits,
    rng: np.random.Generator,
    *,
    promised: Bool[np.ndarray, "member"] | None = None,
) -> Int64[np.ndarray, "member"]:
    """Keeps as many of the given actions as fit.

    Args:
        joints: Joint index of each member's action.
        nothing: Joint index of doing nothing.
        limits: Of the week. What they don't allow is dropped first.
        rng: For the order.
        promised: Whose contacts come before all others; nobody's unless given.

    Returns:
        The actions, with `nothing` in the place of those that were dropped.
    """
    kept = np.where(limits.allowed[joints], joints, nothing)
    if not len(limits.names):
        return kept
    waiting = rng.permutation(np.flatnonzero(kept != nothing))
    if promised is not None:
        waiting = waiting[np.argsort(~promised[waiting], kind="stable")]
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


def shares_kept(
    wish: Callable[[np.random.Generator], Wishes], members: int, kinds: int, nothing: int, limits: Limits
) -> Float64[np.ndarray, "kind"]:
    """Share of the contacts of each kind that is kept, on average over many such weeks.

    Whether a contact is kept depends on what all others get and on the order in which they come, so that no formula
    tells its chance. Weeks are simulated with a generator of their own: the same wishes have the same shares. Where
    members are alike in what they may get, the share is each one's chance; where they are not, it is off by about one
    over their number. Contacts that are promised are kept, and not counted.

    Args:
        wish: Draws what everybody would get in a week.
        members: Number of members.
        kinds: Number of kinds.
        nothing: Joint index of doing nothing.
        limits: Of the week.
    """
    rng = np.random.default_rng(0)
    wished, kept = np.zeros(kinds), np.zeros(kinds)
    for _ in range(int(np.clip(SIMULATED // max(members, 1), FEWEST, MOST))):
        joints, kind, promised = wish(rng)
        stays = thin(joints, nothing, limits, rng, promised=promised) == joints
        counted = (joints != nothing) & ~promised
        wished += np.bincount(kind[counted], minlength=kinds)
        kept += np.bincount(kind[counted & stays], minlength=kinds)
    overall = kept.sum() / max(wished.sum(), 1)
    shares = np.divide(kept, wished, out=np.full(kinds, overall), where=wished > 0)
    return np.maximum(shares, 1 / SIMULATED)  # what never stayed in these weeks may stay in another
