"""Who is chosen, and with what chance: most of the capacity is picked by gain, a stated share of it is drawn.

With a share e to explore:

1. **Set aside.** Lots of every kind of contact, up to e of every limit (`frl_env.worklist.lottery`).
2. **Pick.** The allocation within what is left of every limit (`frl_env.capacity.allocate`), for all members.
3. **Draw.** Lots are drawn. Whoever gets one gets its contact instead of what step 2 says.

Steps 1 and 3 look at nothing that step 2 said, so that chances are exact. With D_i(c) the chance of a lot with contact
c for member i, and D_i the sum of them:

    P(what step 2 picks for i, c or nothing)    (1 - D_i) + D_i(c)
    P(anything else c)                          D_i(c)

Where gains tie, a lot of its own decides in step 2 who and what is picked. The chances are those that are left once it
has fallen. It says nothing of what becomes of a member, so that values weighted by these chances are as exact.

No limit is ever exceeded. What drawn members would have used in step 2 stays unused, a share of about D of it: the
price of known chances.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.capacity.allocation import Allocation, allocate_offers
from frl_env.capacity.capacity import Capacity, Limits, as_capacity
from frl_env.capacity.effort import Effort, null_joint
from frl_env.capacity.knapsack import ROUNDING
from frl_env.capacity.offers import Offers, make_offers
from frl_env.errors import UserError, check_number
from frl_env.worklist.lottery import Lots, make_lots


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """This week's contacts.

    Attributes:
        joints: Joint index of each member's action, doing nothing included.
        propensities: Chance of that action, ties broken as they were.
        drawn: Who was drawn to explore, to be left alone included.
        lots: What was set aside to be drawn; None when nothing was.
        allocation: What was picked within the rest of the capacity.
        offers: Each member's best contact of every kind.
    """

    joints: Int64[np.ndarray, "member"]
    propensities: Float64[np.ndarray, "member"]
    drawn: Bool[np.ndarray, "member"]
    lots: Lots | None
    allocation: Allocation
    offers: Offers


def choose(
    gains: Float[np.ndarray, "member valid"],
    effort: Effort,
    capacity: Capacity | float,
    rng: np.random.Generator,
    *,
    explore: float = 0.0,
) -> Choice:
    """Picks and draws.

    Args:
        gains: Of the valid actions over doing nothing; minus infinity for what is not open to a member.
        effort: Minutes of each action.
        capacity: Of the week, or staff minutes a member-week.
        rng: For draws and ties.
        explore: Share of every limit that is drawn, in 0 to 1.

    Raises:
        UserError: If the share is out of range, needs a limit that there is none of, or is too small for some kind of
            contact; or if the capacity promises chances to groups.
    """
    check_number("explore", explore, low=0, high=1)
    capacity = as_capacity(capacity)
    if capacity.least_chance:
        raise UserError(
            "a worklist can't promise groups a least chance: the chances of its contacts would not be exact; leave "
            "[least_chance] out of the capacity, and look at the shares by group that the list tells"
        )
    space, n = effort.action_space, len(gains)
    limits = capacity.limits(effort, n)
    if explore > 0 and n:
        limits = _possible(limits, effort)
    offers = make_offers(gains, space, limits, rng)
    open_to = np.isfinite(offers.gains)
    able = open_to.any(axis=1)
    lots = make_lots(space, limits, explore, int(able.sum())) if explore > 0 and able.any() else None
    left = limits if lots is None else replace(limits, room=np.maximum(limits.room - lots.reserve, 0.0))
    allocation = allocate_offers(offers, effort, left, rng, least=np.zeros(n))
    joints, propensities = allocation.joints.copy(), np.ones(n)
    drawn = np.zeros(n, dtype=bool)
    if lots is not None:
        contacted = joints != null_joint(space)
        propensities -= np.column_stack((open_to, able)) @ lots.rate
        propensities[~contacted & able] += lots.rate[-1]
        picked = np.flatnonzero(contacted)
        propensities[picked] += _by_lot(lots, gains, picked, np.searchsorted(space.valid_joints, joints[picked]))
        rows, columns = lots.draw(gains, able, rng)
        other = space.valid_joints[columns] != joints[rows]
        joints[rows] = space.valid_joints[columns]
        propensities[rows[other]] = _by_lot(lots, gains, rows[other], columns[other])
        drawn[rows] = True
    return Choice(
        joints=joints, propensities=propensities, drawn=drawn, lots=lots, allocation=allocation, offers=offers
    )


def _by_lot(
    lots: Lots, gains: Float[np.ndarray, "member valid"], rows: Int64[np.ndarray, "row"], columns: np.ndarray
) -> Float64[np.ndarray, "row"]:
    """Chance of one valid action each of some members, by lot; a chunk at a time."""
    parts = [np.zeros(0)]
    for start in range(0, len(rows), DECISIONS_AT_ONCE):
        some = slice(start, start + DECISIONS_AT_ONCE)
        chances = lots.chances(gains[rows[some]])
        parts.append(chances[np.arange(len(chances)), columns[some]])
    return np.concatenate(parts)


def _possible(limits: Limits, effort: Effort) -> Limits:
    """The limits, without contacts that take more than the whole of one: nobody can have them this week.

    Raises:
        UserError: If there is no limit, or no contact fits.
    """
    if not len(limits.names):
        raise UserError("to explore a share of the capacity there must be one; give minutes, or leave --explore out")
    allowed = limits.allowed & (limits.use <= limits.room[:, None] * (1 + ROUNDING)).all(axis=0)
    contacts = allowed.copy()
    contacts[null_joint(effort.action_space)] = False
    if not contacts.any():
        raise UserError("no contact fits into the capacity, so there is nothing to draw; give more, or no --explore")
    return replace(limits, allowed=allowed)
