"""One week's decisions of any policy for a whole caseload, within capacity or at a held price."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.actions import DECISIONS_AT_ONCE
from frl_env.capacity.allocation import Allocation, allocate_offers, least_chances, refuse_promises
from frl_env.capacity.asking import (
    GAINS,
    PROBABILITIES,
    as_table,
    check_memory,
    check_observes,
    check_rows,
    gains_of,
    has_memory,
    joints_of,
    says,
)
from frl_env.capacity.capacity import Capacity, Limits, as_capacity
from frl_env.capacity.effort import Effort, check_effort, null_joint
from frl_env.capacity.knapsack import NOTHING
from frl_env.capacity.offers import Offers, columns_of, join_offers, make_offers
from frl_env.capacity.thinning import SIMULATED, Wishes, shares_kept, thin
from frl_env.capacity.tilting import Chances, draw_chances, draw_kinds, tilt_prices, tilted
from frl_env.capacity.tilting import joints_of as drawn_joints
from frl_env.errors import UserError

Ask = Callable[[slice], np.ndarray]
"""Gains or probabilities of some of the members, by their rows."""


def decide_within(
    policy: Any,
    effort: Effort,
    capacity: Capacity | float,
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
        capacity: Of the week, or staff minutes a member-week.
        observations: Of the enrolled members, raw units.
        rng: For draws, ties and lotteries.
        memory: Of a policy that has one.
        groups: Attribute to label of each member, where the capacity promises groups a least chance.
        by: "gains", "probabilities" or "actions"; the most that the policy offers unless given.

    Raises:
        UserError: If the policy offers nothing, needs a memory, or what it says does not fit.
    """
    kind, capacity = says(policy, by), as_capacity(capacity)
    check_observes(policy, kind)
    check_effort(effort)
    observations = as_table("observations", observations)
    space, n = effort.action_space, len(observations)
    if kind != GAINS or not has_memory(policy):
        memory = None
    elif memory is None:
        raise UserError(f"{type(policy).__name__} has a memory; start it with start_memory(members) and pass it")
    else:
        memory = check_memory(policy, memory, n)

    def ask(rows: slice) -> np.ndarray:
        if kind == GAINS:
            return gains_of(policy, observations[rows], None if memory is None else memory[rows])
        return policy.probabilities(observations[rows])

    if kind == GAINS:
        return allocate_asked(ask, n, effort, capacity, rng, joints=joints_of(policy), groups=groups)
    if kind == PROBABILITIES:
        return draw_within(ask, n, effort, capacity, rng, groups=groups)
    return thin_within(space.ravel(check_rows("actions", policy(observations, rng), n)), effort, capacity, rng)


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
    for start in range(0, members, DECISIONS_AT_ONCE):
        rows = slice(start, min(start + DECISIONS_AT_ONCE, members))
        table = check_rows("gains", ask(rows), rows.stop - start)
        parts.append(make_offers(table, effort.action_space, limits, rng, joints=joints))
    if not parts:  # nobody to ask about
        none = np.zeros((0, len(columns_of(joints, effort.action_space))))
        parts.append(make_offers(none, effort.action_space, limits, rng, joints=joints))
    return join_offers(parts)


def ask_chances(ask: Ask, members: int, effort: Effort, limits: Limits, rng: np.random.Generator) -> Chances:
    """Probabilities by kind of contact, asked in chunks."""
    parts = []
    for start in range(0, members, DECISIONS_AT_ONCE):
        rows = slice(start, min(start + DECISIONS_AT_ONCE, members))
        table = check_rows("probabilities", ask(rows), rows.stop - start)
        parts.append(draw_chances(table, effort.action_space, limits, rng))
    if not parts:  # nobody to ask about
        parts.append(draw_chances(np.zeros((0, effort.action_space.n_joint)), effort.action_space, limits, rng))
    names = ("nothing", "kinds", "joints", "shares")
    return replace(parts[0], **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names})


@dataclass(frozen=True, kw_only=True, eq=False)
class Draw:
    """What a policy with probabilities would have everybody get this week, and what is left of it.

    Attributes:
        limits: Of the week.
        prices: Of each limit.
        chances: Of every kind of contact, at these prices and with what is promised.
        promise: Chance that a contact, once drawn, is one that is promised.
        kinds: Kind of contact drawn, or `NOTHING`.
        joints: The same as a joint index.
        kept: What is left where not all of them fit.
    """

    limits: Limits
    prices: Float64[np.ndarray, "limit"]
    chances: Chances
    promise: Float64[np.ndarray, "member"]
    kinds: Int64[np.ndarray, "member"]
    joints: Int64[np.ndarray, "member"]
    kept: Int64[np.ndarray, "member"]


def draw(
    ask: Ask,
    members: int,
    effort: Effort,
    capacity: Capacity,
    rng: np.random.Generator,
    *,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Draw:
    """Draws from probabilities at this week's prices, and thins the draws where they are still too many.

    Raises:
        UserError: If what is promised to groups takes more than there is.
    """
    limits = capacity.limits(effort, members)
    given = ask_chances(ask, members, effort, limits, rng)
    prices = tilt_prices(given, limits.room)
    if prices is None:
        prices = np.zeros(len(limits.room))
    least = least_chances(capacity, groups, members)
    chances = _raised(tilted(given, prices), least)
    promise = least / np.maximum(chances.kinds.sum(axis=1), 1e-300)
    kinds = draw_kinds(chances, rng)
    joints = drawn_joints(chances, kinds, effort.action_space)
    promised = None
    if least.any():
        promised = _promised(promise, kinds, rng)
        refuse_promises(limits.use[:, joints[promised]].sum(axis=1), limits)
    kept = thin(joints, null_joint(effort.action_space), limits, rng, promised=promised)
    return Draw(limits=limits, prices=prices, chances=chances, promise=promise, kinds=kinds, joints=joints, kept=kept)


def draw_within(
    ask: Ask,
    members: int,
    effort: Effort,
    capacity: Capacity,
    rng: np.random.Generator,
    *,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Draws every member's action within capacity, as `draw`, and finds the chance that it was this one."""
    drawn = draw(ask, members, effort, capacity, rng, groups=groups)
    chances, promise, limits, space = drawn.chances, drawn.promise, drawn.limits, effort.action_space
    # Chance that a drawn contact is kept; it is sure where all draws fit whatever the lots.
    stays = np.ones(chances.kinds.shape)
    most = (chances.use[:, None, :] * (chances.kinds > 0)).max(axis=2, initial=0.0).sum(axis=1)
    if (most > limits.room).any():

        def wish(own: np.random.Generator) -> Wishes:
            kinds = draw_kinds(chances, own)
            return drawn_joints(chances, kinds, space), kinds, _promised(promise, kinds, own)

        shares = shares_kept(wish, members, chances.kinds.shape[1], null_joint(space), limits)
        stays = promise[:, None] + (1 - promise[:, None]) * shares
    at = np.arange(members)
    idle = chances.nothing + (chances.kinds * (1 - stays)).sum(axis=1)
    idle = np.where(drawn.kept == drawn.joints, idle, np.maximum(idle, 1 / SIMULATED))  # it happened: not 0
    contact = (chances.kinds * stays * chances.shares)[at, drawn.kinds]
    propensities = np.where(drawn.kept == null_joint(space), idle, contact)
    return _report(drawn.kept, propensities, drawn.prices, effort, limits)


def thin_within(
    joints: Int64[np.ndarray, "member"], effort: Effort, capacity: Capacity, rng: np.random.Generator
) -> Allocation:
    """Drops given contacts at random until the rest fits; chances are of what becomes of the wishes as they are."""
    nothing = null_joint(effort.action_space)
    limits = capacity.limits(effort, len(joints))
    kept = thin_given(joints, effort, capacity, rng)
    wanted = (joints != nothing) & limits.allowed[joints]
    propensities = np.ones(len(joints))
    if (limits.use[:, joints[wanted]].sum(axis=1) > limits.room).any():
        _, kinds = np.unique(limits.use[:, joints], axis=1, return_inverse=True)
        kinds = kinds.ravel()
        nobody = np.zeros(len(joints), dtype=bool)
        wishes = np.where(wanted, joints, nothing)
        shares = shares_kept(
            lambda _: (wishes, kinds, nobody), len(joints), int(kinds.max(initial=0)) + 1, nothing, limits
        )[kinds]
        dropped = np.maximum(1 - shares, 1 / SIMULATED)
        propensities[wanted] = np.where(kept == nothing, dropped, shares)[wanted]
    return _report(kept, propensities, np.zeros(len(limits.room)), effort, limits)


def thin_given(
    joints: Int64[np.ndarray, "member"], effort: Effort, capacity: Capacity, rng: np.random.Generator
) -> Int64[np.ndarray, "member"]:
    """Joint actions that are left of given ones.

    Raises:
        UserError: If groups are promised contacts.
    """
    if capacity.least_chance:
        raise UserError("least chances by group need a policy with gains or probabilities; this one only acts")
    return thin(joints, null_joint(effort.action_space), capacity.limits(effort, len(joints)), rng)


def _promised(
    promise: Float64[np.ndarray, "member"], kinds: Int64[np.ndarray, "member"], rng: np.random.Generator
) -> Bool[np.ndarray, "member"]:
    """Members whose drawn contact may not be dropped: it is what their group was promised (`least_chance`)."""
    if not promise.any():
        return np.zeros(len(kinds), dtype=bool)
    return (kinds != NOTHING) & (rng.random(len(kinds)) < promise)


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
    return replace(chances, nothing=1 - kinds.sum(axis=1), kinds=kinds)


def _report(
    joints: Int64[np.ndarray, "member"],
    propensities: Float64[np.ndarray, "member"],
    prices: Float64[np.ndarray, "limit"],
    effort: Effort,
    limits: Limits,
) -> Allocation:
    """What was allocated as an `Allocation`; gain and bound are not known of policies without gains."""
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
