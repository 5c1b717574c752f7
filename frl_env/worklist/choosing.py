"""Who is chosen, and with what chance: most of the capacity is picked by gain, a stated share of it is drawn.

With a share e to explore and N members:

1. **Pick.** The allocation within 1 - e of every limit (`frl_env.capacity.allocate`), for all members.
2. **Draw.** m of the N members are drawn, each as likely as any other. Whoever is drawn gets, instead of what step 1
   says, one of the contacts that are open to them, each as likely. m is the largest number that can't overrun e of any
   limit, whatever is drawn.

Step 2 looks at nothing that step 1 said, so that chances are exact: with r = m / N and S_i the contacts open to i,

    P(pick of step 1)        (1 - r) + r / |S_i|        if it is a contact of S_i, and no tie was broken
    P(any other of S_i)      r / |S_i|
    P(nothing)               1 - r                      where step 1 gives nothing

No limit is ever exceeded. What drawn members would have used in step 1 stays unused: the price of known chances.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from frl_env.capacity.allocation import Allocation, allocate
from frl_env.capacity.capacity import Capacity
from frl_env.capacity.effort import Effort
from frl_env.errors import UserError, check_number


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """This week's contacts.

    Attributes:
        joints: Joint index of each member's action, doing nothing included.
        propensities: Chance of that action.
        drawn: Who was drawn to explore.
        drawn_share: Share of the members that is drawn, r.
        allocation: What was picked within the rest of the capacity.
    """

    joints: Int64[np.ndarray, "member"]
    propensities: Float64[np.ndarray, "member"]
    drawn: Bool[np.ndarray, "member"]
    drawn_share: float
    allocation: Allocation


def choose(
    gains: Float[np.ndarray, "member valid"],
    effort: Effort,
    capacity: Capacity,
    rng: np.random.Generator,
    *,
    explore: float = 0.0,
) -> Choice:
    """Picks and draws.

    Args:
        gains: Of the valid actions over doing nothing; minus infinity for what is not open to a member.
        effort: Minutes of each action.
        capacity: Of the week.
        rng: For draws and ties.
        explore: Share of every limit that is drawn, in 0 to 1.

    Raises:
        UserError: If the share is out of range, needs a limit that there is none of, or is too small to draw anybody.
    """
    check_number("explore", explore, low=0, high=1)
    space = effort.action_space
    allocation = allocate(gains, effort, _part(capacity, 1 - explore), rng)
    n = len(gains)
    nothing = int(space.ravel(space.null_action))
    joints, propensities = allocation.joints.copy(), allocation.propensities.astype(np.float64)
    drawn = np.zeros(n, dtype=bool)
    if explore == 0 or n == 0:
        return Choice(joints=joints, propensities=propensities, drawn=drawn, drawn_share=0.0, allocation=allocation)
    limits = capacity.limits(effort, n)
    if not len(limits.names):
        raise UserError("to explore a share of the capacity there must be one; give minutes, or leave --explore out")
    valid = space.valid_joints
    open_to = np.isfinite(gains) & limits.allowed[valid][None] & (valid != nothing)[None]
    most = limits.use[:, valid[open_to.any(axis=0)]].max(axis=1, initial=0.0)
    bound = [room * explore // use for room, use in zip(limits.room, most, strict=True) if use > 0]
    m = int(min([n, *bound]))
    if m == 0:
        shares = np.divide(most, limits.room, out=np.full(len(most), np.inf), where=limits.room > 0)
        tightest = int(np.where(most > 0, shares, 0.0).argmax())
        least = np.ceil(1000 * shares[tightest]) / 1000 if shares[tightest] <= 1 else np.inf
        way_out = f"explore a larger share, at least {least:g}" if least <= 1 else "explore a larger share of more"
        raise UserError(
            f"{explore:g} of the capacity is less than one contact a week for {n:,} members: the longest takes "
            f"{most[tightest]:g} of limit {limits.names[tightest]!r}, which has {limits.room[tightest]:.0f}; {way_out}"
        )
    r = m / n
    choices = open_to.sum(axis=1)
    position = np.searchsorted(valid, joints)
    own = open_to[np.arange(n), position]
    # What step 1 says happens when a member is not drawn, or is drawn and gets the same by chance.
    # Who has no contact open can't be drawn.
    propensities = np.where(
        choices > 0, propensities * (1 - r) + np.where(own, r / np.maximum(choices, 1), 0.0), propensities
    )
    drawn[rng.choice(n, size=m, replace=False)] = True
    drawn &= choices > 0
    rows = np.flatnonzero(drawn)
    rank = (rng.random(len(rows)) * choices[rows]).astype(np.int64)
    hit = (np.cumsum(open_to[rows], axis=1) > rank[:, None]).argmax(axis=1)
    same = valid[hit] == joints[rows]
    joints[rows] = valid[hit]
    propensities[rows] = np.where(same, propensities[rows], r / choices[rows])
    return Choice(joints=joints, propensities=propensities, drawn=drawn, drawn_share=r, allocation=allocation)


def _part(capacity: Capacity, share: float) -> Capacity:
    """So much of every limit."""
    if share == 1:
        return capacity

    def scaled(table):  # type: ignore[no-untyped-def]
        return {name: {level: amount * share for level, amount in levels.items()} for name, levels in table.items()}

    return replace(
        capacity,
        minutes=None if capacity.minutes is None else capacity.minutes * share,
        weekly_minutes=scaled(capacity.weekly_minutes),
        weekly_contacts=scaled(capacity.weekly_contacts),
    )
