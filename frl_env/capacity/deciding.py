"""One week's decisions of any policy for a whole caseload, within capacity or at a held price."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.capacity.allocation import Allocation, allocate_offers, least_chances
from frl_env.capacity.asking import GAINS, PROBABILITIES, gains_of, has_memory, joints_of, says
from frl_env.capacity.capacity import Capacity, Limits
from frl_env.capacity.effort import Effort, null_joint
from frl_env.capacity.knapsack import NOTHING
from frl_env.capacity.offers import CHUNK, Offers, join_offers, make_offers
from frl_env.capacity.thinning import thin
from frl_env.capacity.tilting import Chances, draw_chances, draw_kinds, tilt_prices, tilted
from frl_env.capacity.tilting import joints_of as drawn_joints
from frl_env.errors import UserError

Ask = Callable[[slice], np.ndarray]
"""Gains or probabilities of some of the members, by their rows."""


def decide_within(
    policy: Any,
    effort: Effort,
    capacity: Capacity,
    observations: Float64[np.ndarray, "member k"],
    rng: np.random.Generator,
    *,
    memory: Float64[np.ndarray, "member m"] | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
    by: str | None = None,
) -> Allocation:
    """This week's contacts of a caseload, as any policy on the observations would have them within capacity.

    Args:
        policy: See `frl_env.capacity.asking` for what it may offer.
        effort: Minutes of each action.
        capacity: Of the week.
        observations: Of the enrolled members, raw units.
        rng: For draws, ties and lotteries.
        memory: Of a policy that has one.
        groups: Attribute to label of each member, where the capacity promises groups a least chance.
        by: "gains", "probabilities" or "actions"; the most that the policy offers unless given.

    Raises:
        UserError: If the policy offers nothing, needs a memory, or what it says does not fit.
    """
    kind = says(policy, by)
    if kind == GAINS and has_memory(policy) and memory is None:
        raise UserError(f"{type(policy).__name__} has a memory; start it with start_memory(members) and pass it")
    space, n = effort.action_space, len(observations)

    def ask(rows: slice) -> np.ndarray:
        if kind == GAINS:
            return gains_of(policy, observations[rows], None if memory is None else memory[rows])
        return policy.probabilities(observations[rows])

    if kind == GAINS:
        return allocate_asked(ask, n, effort, capacity, rng, joints=joints_of(policy), groups=groups)
    if kind == PROBABILITIES:
        return draw_within(ask, n, effort, capacity, rng, groups=groups)
    return thin_within(space.ravel(policy(observations, rng)), effort, capacity, rng)


def allocate_asked(
    ask: Ask,
    members: int,
    effort: Effort,
    capacity: Capacity,
    rng: np.random.Generator,
    *,
    joints: Int64[np.ndarray, "action"] | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Allocates by gains that are asked for a chunk of members at a time."""
    limits = capacity.limits(effort, members)
    offers = ask_offers(ask, members, effort, limits, rng, joints)
    return allocate_offers(offers, effort, limits, rng, least=least_chances(capacity, groups, members))


def ask_offers(
    ask: Ask,
    members: int,
    effort: Effort,
    limits: Limits,
    rng: np.random.Generator,
    joints: Int64[np.ndarray, "action"] | None,
) -> Offers:
    """Each member's best contact of every kind, from gains asked in chunks."""
    parts = []
    for start in range(0, members, CHUNK):
        rows = slice(start, min(start + CHUNK, members))
        parts.append(make_offers(ask(rows), effort.action_space, limits, rng, joints=joints))
    return join_offers(parts)


def ask_chances(ask: Ask, members: int, effort: Effort, limits: Limits, rng: np.random.Generator) -> Chances:
    """Probabilities by kind of contact, asked in chunks."""
    parts = []
    for start in range(0, members, CHUNK):
        rows = slice(start, min(start + CHUNK, members))
        parts.append(draw_chances(ask(rows), effort.action_space, limits, rng))
    return Chances(
        nothing=np.concatenate([part.nothing for part in parts]),
        kinds=np.concatenate([part.kinds for part in parts]),
        joints=np.concatenate([part.joints for part in parts]),
        use=parts[0].use,
    )


def draw_within(
    ask: Ask,
    members: int,
    effort: Effort,
    capacity: Capacity,
    rng: np.random.Generator,
    *,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Draws from probabilities at this week's prices, and thins the draws where they are still too many."""
    limits = capacity.limits(effort, members)
    chances = ask_chances(ask, members, effort, limits, rng)
    prices = tilt_prices(chances, limits.room)
    if prices is None:
        prices = np.zeros(len(limits.room))
    at_price = _raised(tilted(chances, prices), least_chances(capacity, groups, members))
    kinds = draw_kinds(at_price, rng)
    joints = drawn_joints(at_price, kinds, effort.action_space)
    kept = thin(joints, null_joint(effort.action_space), limits, rng)
    # The chance of the kind drawn, and of being kept; the contact within its kind is the policy's own draw.
    drawn = np.where(kinds == NOTHING, at_price.nothing, at_price.kinds[np.arange(members), kinds])
    dropped = kept != joints
    wanted = max(int((kinds != NOTHING).sum()), 1)
    stays = 1 - dropped.sum() / wanted
    propensities = np.where(kinds == NOTHING, drawn, drawn * stays)
    propensities = np.where(dropped, at_price.nothing + (1 - at_price.nothing) * (1 - stays), propensities)
    return _report(kept, propensities, prices, effort, limits)


def thin_within(
    joints: Int64[np.ndarray, "member"], effort: Effort, capacity: Capacity, rng: np.random.Generator
) -> Allocation:
    """Drops given contacts at random until the rest fits."""
    if capacity.least_chance:
        raise UserError("least chances by group need a policy with gains or probabilities; this one only acts")
    nothing = null_joint(effort.action_space)
    limits = capacity.limits(effort, len(joints))
    kept = thin(joints, nothing, limits, rng)
    wanted = max(int((joints != nothing).sum()), 1)
    share = float((kept != nothing).sum()) / wanted
    propensities = np.where(joints == nothing, 1.0, np.where(kept == nothing, 1 - share, share))
    return _report(kept, propensities, np.zeros(len(limits.room)), effort, limits)


def _raised(chances: Chances, least: Float64[np.ndarray, "member"]) -> Chances:
    """Contacts made likelier for members who are promised more than the policy gives them at this price.

    Raises:
        UserError: If the policy never contacts one of them.
    """
    contact = chances.kinds.sum(axis=1)
    short = contact < least
    if not short.any():
        return chances
    if (contact[short] <= 0).any():
        raise UserError("a group is promised contacts, but the policy never contacts some of its members")
    factor = np.where(short, least / np.where(contact > 0, contact, 1.0), 1.0)
    kinds = chances.kinds * factor[:, None]
    return Chances(nothing=1 - kinds.sum(axis=1), kinds=kinds, joints=chances.joints, use=chances.use)


def _report(
    joints: Int64[np.ndarray, "member"],
    propensities: Float64[np.ndarray, "member"],
    prices: Float64[np.ndarray, "limit"],
    effort: Effort,
    limits: Limits,
) -> Allocation:
    used = limits.use[:, joints].sum(axis=1)
    return Allocation(
        joints=joints,
        propensities=propensities,
        prices=dict(zip(limits.names, prices.tolist(), strict=True)),
        used=dict(zip(limits.names, used.tolist(), strict=True)),
        minutes=float(effort.minutes[joints].sum()),
        gain=float("nan"),
        bound=float("nan"),
    )
