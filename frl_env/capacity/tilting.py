"""A price on a policy's probabilities: the policy nearest to it that keeps within capacity on average.

    p'(a) = p(a) * exp(-price * minutes(a)) / sum over b of p(b) * exp(-price * minutes(b))

Of all policies that use no more than there is, this one has the smallest Kullback-Leibler divergence from the given
policy, summed over the members of the week; the price is the multiplier of the limit. A policy without probabilities
of doing nothing can't be tilted to less.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import brentq, minimize

from frl_env.actions import ActionSpace
from frl_env.capacity.capacity import Limits
from frl_env.capacity.effort import null_joint
from frl_env.capacity.knapsack import NOTHING
from frl_env.capacity.offers import Kinds
from frl_env.errors import UserError

LARGEST = 700.0
"""Largest exponent: its exponential is still a number."""

CHUNK = 256
"""Members summed up at a time: so few that their 1,080 probabilities stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Chances:
    """A policy's probabilities of every kind of contact, and which contact it would be.

    Attributes:
        nothing: Probability of doing nothing.
        kinds: Probability of a contact of each kind.
        joints: Joint index of the contact, drawn from the policy among those of its kind.
        shares: Chance of that contact among those of its kind.
        use: What a contact of each kind takes of each limit.
    """

    nothing: Float64[np.ndarray, "member"]
    kinds: Float64[np.ndarray, "member kind"]
    joints: Int64[np.ndarray, "member kind"]
    shares: Float64[np.ndarray, "member kind"]
    use: Float64[np.ndarray, "limit kind"]


def draw_chances(
    probabilities: Float64[np.ndarray, "member joint"],
    action_space: ActionSpace,
    limits: Limits,
    rng: np.random.Generator,
) -> Chances:
    """Sums a policy's probabilities by kind of contact, and draws which contact of each kind it would be.

    What is not allowed gets probability 0 and the rest is normalised again; a member who has nothing left gets no
    contact.

    Args:
        probabilities: Of all joint actions; rows sum to 1.
        action_space: The actions.
        limits: Of the week.
        rng: For the draws.

    Raises:
        UserError: If the shape is wrong or a row is negative, not finite or sums to nothing like 1.
    """
    table = np.asarray(probabilities)
    if table.ndim != 2 or table.shape[1] != action_space.n_joint or table.dtype.kind not in "fiub":
        raise UserError(
            f"probabilities are {table.dtype} of shape {table.shape}; numbers of shape (members, "
            f"{action_space.n_joint}) are needed"
        )
    kinds = Kinds.of(action_space, limits, action_space.valid_joints)
    # Contacts by kind, then everything that is no contact or may not be taken.
    contacts = len(kinds.joints)
    rest = np.setdiff1d(np.arange(action_space.n_joint), kinds.joints)
    order = np.concatenate([kinds.joints, rest])
    # Actions that are not valid are weeks without contact, as the environment has it.
    idle = ~action_space.valid[rest] | (rest == null_joint(action_space))
    n, k = len(table), len(kinds)
    nothing, mass, joints = np.empty(n), np.empty((n, k)), np.empty((n, k), dtype=np.int64)
    shares = np.zeros((n, k))
    uniform = rng.random(n)
    wrong = False
    for start in range(0, n, CHUNK):
        rows = slice(start, min(start + CHUNK, n))
        chunk = np.take(table[rows], order, axis=1)
        others = chunk[:, contacts:].astype(np.float64)
        # Summed up over all contacts once; a kind's mass is what is added between its ends.
        cumulative = np.cumsum(chunk[:, :contacts], axis=1, dtype=np.float64)
        total = cumulative[:, -1] + others.sum(axis=1)
        wrong |= bool((~(np.abs(total - 1) < 1e-3) | (chunk.min(axis=1) < 0)).any())
        nothing[rows] = others @ idle
        at, below = np.arange(len(chunk)), np.zeros(len(chunk))
        for kind, (first, end) in enumerate(zip(kinds.starts[:-1], kinds.starts[1:], strict=True)):
            above = cumulative[:, end - 1]
            mass[rows, kind] = above - below
            # Below the end even after rounding, so that the first sum above the level is of a contact with mass.
            level = np.minimum(below + uniform[rows] * mass[rows, kind], np.nextafter(above, -np.inf))
            before = (cumulative[:, first:end] <= level[:, None]).sum(axis=1)
            joints[rows, kind] = kinds.joints[first + before]
            start_of = np.where(before > 0, cumulative[at, first + before - 1], below)
            np.divide(
                cumulative[at, first + before] - start_of, above - below, out=shares[rows, kind], where=above > below
            )
            below = above
    if wrong:
        raise UserError(f"probabilities are negative, not finite or don't sum to 1 for some of {n} members")
    left = nothing + mass.sum(axis=1)
    lost = left <= 0
    nothing[lost], left[lost] = 1.0, 1.0
    return Chances(nothing=nothing / left, kinds=mass / left[:, None], joints=joints, shares=shares, use=kinds.use)


def tilted(chances: Chances, prices: Float64[np.ndarray, "limit"]) -> Chances:
    """The policy at these prices."""
    kinds = chances.kinds * np.exp(-np.minimum(prices @ chances.use, LARGEST))
    total = chances.nothing + kinds.sum(axis=1)
    return replace(chances, nothing=chances.nothing / total, kinds=kinds / total[:, None])


def tilt_prices(chances: Chances, room: Float64[np.ndarray, "limit"]) -> Float64[np.ndarray, "limit"] | None:
    """Prices at which the expected use is within `room`; zeros where it is already, None where no prices do it.

    No price moves a policy that never does nothing: what it uses at least is then above what there is.
    """
    total = chances.kinds.sum(axis=0)
    if (chances.use @ total <= room).all():
        return np.zeros(len(room))
    never = chances.nothing <= 1e-12
    least = np.where(chances.kinds[never, None, :] > 0, chances.use[None], np.inf).min(axis=2).sum(axis=0)
    if (least > room * (1 - 1e-9)).any():
        return None
    # With no room at all no finite price does it; a member in a million of what there would be is as good as none.
    wanted = np.maximum(room, 1e-6 * (chances.use @ total))
    with np.errstate(divide="ignore"):
        log_odds = np.log(chances.kinds) - np.log(np.maximum(chances.nothing, 1e-300))[:, None]
    # Each limit in units of its largest use, so that prices are of one size for the solver.
    unit = np.maximum(chances.use.max(axis=1), 1e-300)
    use, scaled_room = chances.use / unit[:, None], wanted / unit / len(chances.nothing)
    if len(room) == 1:
        high = 100.0 / use[use > 0].min()

        def excess(price: float) -> float:
            return float(_used(np.asarray([price]), log_odds, use)[0] - scaled_room[0])

        if excess(high) > 0:
            return None
        found = np.asarray([brentq(excess, 0.0, high)])
    else:
        found = minimize(
            _log_partition, np.zeros(len(room)), args=(log_odds, use, scaled_room), jac=True, method="L-BFGS-B",
            bounds=[(0, None)] * len(room), options={"maxiter": 500, "ftol": 1e-13, "gtol": 1e-8},
        ).x  # fmt: skip
    return found / unit


def draw_kinds(chances: Chances, rng: np.random.Generator) -> Int64[np.ndarray, "member"]:
    """Draws a kind of contact, or none, for every member."""
    cumulative = np.cumsum(np.concatenate((chances.nothing[:, None], chances.kinds), axis=1), axis=1)
    below = (rng.random(len(cumulative)) * cumulative[:, -1])[:, None] >= cumulative
    return np.minimum(below.sum(axis=1), cumulative.shape[1] - 1) - 1


def joints_of(
    chances: Chances, kinds: Int64[np.ndarray, "member"], action_space: ActionSpace
) -> Int64[np.ndarray, "member"]:
    """Joint actions of drawn kinds."""
    drawn = chances.joints[np.arange(len(kinds)), kinds]
    return np.where(kinds == NOTHING, null_joint(action_space), drawn)


def _weights(prices: np.ndarray, log_odds: np.ndarray, use: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of the kinds at these prices, and the log of what they are divided by."""
    reduced = log_odds - prices @ use
    top = np.maximum(reduced.max(axis=1, keepdims=True), 0.0)
    weight = np.exp(reduced - top)
    total = weight.sum(axis=1) + np.exp(-top[:, 0])
    return weight / total[:, None], top[:, 0] + np.log(total)


def _used(prices: np.ndarray, log_odds: np.ndarray, use: np.ndarray) -> np.ndarray:
    """Mean use of each limit by a member at these prices."""
    weight, _ = _weights(prices, log_odds, use)
    return use @ weight.mean(axis=0)


def _log_partition(
    prices: np.ndarray, log_odds: np.ndarray, use: np.ndarray, room: np.ndarray
) -> tuple[float, np.ndarray]:
    """The dual of the divergence, and its gradient."""
    weight, log_total = _weights(prices, log_odds, use)
    return float(prices @ room + log_total.mean()), room - use @ weight.mean(axis=0)
