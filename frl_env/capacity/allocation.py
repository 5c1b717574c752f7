"""One week's contacts for a whole caseload, within capacity.

Every member gets at most one contact. Given what each contact would gain each member, the allocation is the one that
gains most within the limits, as nearly as a sort can find it: within one contact of the linear program for one limit
(`knapsack`), by prices and rounding for several (`prices`). It is never above a limit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.capacity.asking import as_table
from frl_env.capacity.capacity import Capacity, Limits, as_capacity
from frl_env.capacity.effort import Effort, null_joint
from frl_env.capacity.knapsack import NOTHING, ROUNDING, Choice, knapsack
from frl_env.capacity.offers import Offers, make_offers
from frl_env.capacity.prices import allocate_at_prices
from frl_env.errors import UserError, nearest_names, shorten


@dataclass(frozen=True, kw_only=True, eq=False)
class Allocation:
    """Who gets which contact this week.

    Attributes:
        joints: Joint index of each member's action, doing nothing included.
        propensities: Chance of that action over the draws of the generator, at these prices: below 1 where contacts
            tied, and where a lottery keeps a promise to a group. Of a policy with probabilities it is the chance that
            the action is drawn and kept, or that nothing is drawn or what is drawn is dropped. Of a policy that only
            acts it is the chance of what became of its wishes; how likely the wishes were, only the policy knows.
        prices: By name of each limit: gain that one more minute (or contact) would bring.
        used: By name of each limit.
        minutes: Staff minutes of all contacts.
        gain: Sum of the gains.
        bound: Largest sum of gains of any allocation within the limits, by the linear program or its dual. A promise to
            a group costs gain, and the bound is of the week without it.
    """

    joints: Int64[np.ndarray, "member"]
    propensities: Float64[np.ndarray, "member"]
    prices: dict[str, float]
    used: dict[str, float]
    minutes: float
    gain: float
    bound: float


def allocate(
    gains: Float64[np.ndarray, "member action"],
    effort: Effort,
    capacity: Capacity | float,
    rng: np.random.Generator,
    *,
    joints: Int64[np.ndarray, "action"] | None = None,
    groups: Mapping[str, np.ndarray] | None = None,
) -> Allocation:
    """Chooses this week's contacts.

    Args:
        gains: What each action gains each enrolled member over doing nothing, in units of reward. Minus infinity means
            never. Single precision saves memory.
        effort: Minutes of each action.
        capacity: Of the week, or minutes alone; minutes a member-week are multiplied by the number of rows of `gains`.
        rng: For ties and lotteries.
        joints: Joint index of each column of `gains`, ascending; `ActionSpace.valid_joints` unless given.
        groups: Attribute to label of each member; needed where the capacity promises groups a least chance. Where a
            group may be empty this week, a pandas Categorical.

    Returns:
        The allocation. With one limit its gain is within one contact of the bound; with several and a large caseload,
        within about a hundredth.

    Raises:
        UserError: If shapes or names don't fit, gains are no numbers, or promises to groups need more than there is.

    Examples:
        >>> from frl_env.actions import ActionSpace, Factor
        >>> space = ActionSpace(factors=(Factor(name="contact", levels=("NONE", "CALL", "VISIT")),))
        >>> effort = Effort(space, {"contact": {"CALL": 15, "VISIT": 75}})
        >>> gains = np.array([[0, 0.010, 0.060], [0, 0.015, 0.030], [0, 0.005, 0.006]])
        >>> week = allocate(gains, effort, Capacity(minutes=30), np.random.default_rng(0))
        >>> week.joints.tolist(), week.minutes
        ([2, 1, 0], 90.0)
    """
    capacity, table = as_capacity(capacity), as_table("gains", gains)
    limits = capacity.limits(effort, len(table))
    offers = make_offers(table, effort.action_space, limits, rng, joints=joints)
    return allocate_offers(offers, effort, limits, rng, least=least_chances(capacity, groups, len(table)))


def allocate_offers(
    offers: Offers,
    effort: Effort,
    limits: Limits,
    rng: np.random.Generator,
    *,
    least: Float64[np.ndarray, "member"],
) -> Allocation:
    """Allocates the week's limits to contacts, from each member's best contact of every kind.

    Args:
        offers: What members can get.
        effort: Minutes of each action.
        limits: Of the week.
        rng: For ties and lotteries.
        least: Least chance of a contact that each member is promised.
    """
    choice = _choose(offers, limits, rng)
    kinds, chances = choice.kinds, choice.chances
    if least.any():
        kinds, chances = _with_promises(offers, limits, choice, least, rng)
    at = np.arange(len(offers))
    contacted = kinds != NOTHING
    joints = np.where(contacted, offers.joints[at, kinds], null_joint(effort.action_space))
    used = offers.use[:, kinds[contacted]].sum(axis=1)
    return Allocation(
        joints=joints,
        propensities=np.where(contacted, chances * offers.chances[at, kinds], chances),
        prices=dict(zip(limits.names, choice.prices.tolist(), strict=True)),
        used=dict(zip(limits.names, used.tolist(), strict=True)),
        minutes=float(effort.minutes[joints].sum()),
        gain=float(offers.gains[at, kinds][contacted].sum()),
        bound=choice.bound,
    )


def _choose(offers: Offers, limits: Limits, rng: np.random.Generator) -> Choice:
    """Allocates without promises to groups: one limit by the knapsack, several at prices, none to all who gain."""
    if len(limits.names) == 1:
        return knapsack(offers, float(limits.room[0]), rng)
    if len(limits.names):
        return allocate_at_prices(offers, limits.room, rng)
    best = offers.gains[:, 0]
    return Choice(
        kinds=np.where(best > 0, 0, NOTHING),
        chances=np.ones(len(offers)),
        prices=np.zeros(0),
        bound=float(np.maximum(best, 0).sum()),
    )


def _with_promises(
    offers: Offers,
    limits: Limits,
    choice: Choice,
    promised: Float64[np.ndarray, "member"],
    rng: np.random.Generator,
) -> tuple[Int64[np.ndarray, "member"], Float64[np.ndarray, "member"]]:
    """A lottery first: who wins gets the contact that is best for them at the week's prices; the rest is allocated.

    Each member of a group wins with the chance that the group is promised, so that nobody's chance of a contact is
    below it, whatever the gains say, in any week in which there is a contact to offer (the guarantee of ProbFair:
    Herlihy et al. 2023).
    """
    # What takes more than there is nobody can have.
    fits = (offers.use <= limits.room[:, None] * (1 + ROUNDING)).all(axis=0)
    reduced = np.where(fits, offers.gains, -np.inf) - choice.prices @ offers.use
    best = reduced.argmax(axis=1)
    # Whom no contact is offered this week, for instance because they rest, has none to win.
    promised = np.where(np.isfinite(reduced.max(axis=1)), promised, 0.0)
    winners = np.flatnonzero(rng.random(len(offers)) < promised)
    taken = offers.use[:, best[winners]].sum(axis=1)
    refuse_promises(taken, limits)
    others = np.setdiff1d(np.arange(len(offers)), winners)
    rest = Offers(
        gains=offers.gains[others], joints=offers.joints[others], chances=offers.chances[others], use=offers.use
    )
    room = Limits(names=limits.names, use=limits.use, room=limits.room - taken, allowed=limits.allowed)
    second = _choose(rest, room, rng)
    kinds = choice.kinds.copy()
    kinds[winners], kinds[others] = best[winners], second.kinds
    # A winner might have got the same contact without the lottery, as the week's first allocation says.
    chances = promised + (1 - promised) * (choice.kinds == best)
    chances[others] = (1 - promised[others]) * second.chances + promised[others] * (second.kinds == best[others])
    return kinds, chances


def refuse_promises(taken: Float64[np.ndarray, "limit"], limits: Limits) -> None:
    """Refuses promises to groups that take more than there is this week.

    Raises:
        UserError: If so.
    """
    short = taken > limits.room * (1 + ROUNDING)
    if short.any():
        first = int(short.argmax())
        raise UserError(
            f"least chances of groups need {taken[first]:g} of limit {limits.names[first]!r} this week, and there is "
            f"{limits.room[first]:g}; lower the chances or raise the limit"
        )


def least_chances(
    capacity: Capacity, groups: Mapping[str, np.ndarray] | None, members: int
) -> Float64[np.ndarray, "member"]:
    """The largest least chance that any of a member's groups is promised.

    Args:
        capacity: With the promises.
        groups: Attribute to label of each member. Of labels as they are, each group that is promised must have a
            member; a pandas Categorical names the groups there are, and any may be empty.
        members: How many.

    Raises:
        UserError: If an attribute or a group is missing, or labels are not one a member.
    """
    promised, said = np.zeros(members), capacity.source or "capacity"
    for attribute, table in capacity.least_chance.items():
        if groups is None or attribute not in groups:
            near = nearest_names(attribute, groups or {})
            hint = f"did you mean {near}?" if near else f"known: {', '.join(groups or {}) or 'none'}"
            raise UserError(f"{said} promises least chances by {attribute!r}, which is not known here; {hint}")
        labels = np.asarray(groups[attribute]).astype(str)
        if labels.shape != (members,):
            raise UserError(f"group {attribute!r} has shape {labels.shape}; one label for each of {members} members")
        # A pandas Categorical knows groups that nobody is in this week; of bare labels a name that none has is a slip.
        categories = getattr(getattr(groups[attribute], "dtype", None), "categories", None)
        known = set(labels if categories is None else np.asarray(categories).astype(str))
        for group, chance in table.items():
            if members and str(group) not in known:
                near = nearest_names(group, known)
                raise UserError(
                    f"{said} promises a least chance to group {shorten(str(group))!r} of {attribute!r}, and none of "
                    f"{members} members is in it; "
                    + (f"did you mean {near}? " if near else "")
                    + "Where a group may be empty, give labels as a pandas Categorical"
                )
            promised = np.where(labels == str(group), np.maximum(promised, chance), promised)
    return promised
