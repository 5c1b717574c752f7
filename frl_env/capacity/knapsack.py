"""One limit: the multiple-choice knapsack, solved greedily on the members' upper convex hulls.

A member's contacts are points (minutes, gain). Only points on the upper convex hull from (0, 0) can be part of an
optimum of the linear program, and along the hull each further minute buys less. So the steps of all hulls are sorted
by gain a minute and taken until the minutes are used up. What the last step that no longer fits would have added is
all that separates this from the linear program's optimum, which bounds every allocation from above.

Source: Sinha & Zoltners (1979), The multiple-choice knapsack problem; Zemel (1980); for policies, Sverdrup, Wu, Athey
& Wager, Qini curves for multi-armed treatment rules (2024).
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64

from frl_env.capacity.offers import Offers

NOTHING = -1
"""Kind of a member who gets no contact."""

ROUNDING = 1e-9
"""Share of a limit by which sums may miss it for being computed in binary."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Choice:
    """Who gets a contact of which kind.

    Attributes:
        kinds: `NOTHING`, or a kind of `Offers`.
        chances: Chance of that choice under random tie-breaks between members. With several limits (`prices`) it is 1,
            also where a lot breaks a tie; gains that differ have no ties.
        prices: Of each limit: gain that one more unit of it would bring.
        bound: Largest total gain of any allocation, by the linear program or its dual.
    """

    kinds: Int64[np.ndarray, "member"]
    chances: Float64[np.ndarray, "member"]
    prices: Float64[np.ndarray, "limit"]
    bound: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Steps:
    """Steps along the members' hulls, in the order in which they are taken.

    Attributes:
        member: Whose.
        number: Of the step on that hull, from 0.
        kind: Where it leads.
        gain, use: What it adds.
        ratio: Gain a unit; falls along the order.
    """

    member: Int64[np.ndarray, "step"]
    number: Int64[np.ndarray, "step"]
    kind: Int64[np.ndarray, "step"]
    gain: Float64[np.ndarray, "step"]
    use: Float64[np.ndarray, "step"]
    ratio: Float64[np.ndarray, "step"]


def knapsack(offers: Offers, room: float, rng: np.random.Generator) -> Choice:
    """Allocates one limit.

    Args:
        offers: With one row of `use`.
        room: What there is of the limit.
        rng: For ties between members.
    """
    fits = offers.use[0] <= room * (1 + ROUNDING)
    if not fits.all():  # a contact that takes more than there is can't be part of any allocation
        offers = replace(offers, gains=np.where(fits, offers.gains, -np.inf))
    first, free_gain = _free(offers)
    steps = _steps(offers, first, free_gain, rng)
    everything = np.ones(len(steps.use), dtype=bool)
    kinds, accepted, taken = _take(steps, first, room, everything)
    base = float(free_gain.sum())
    bound, price = base + float(steps.gain[:taken].sum()), 0.0
    if taken < len(steps.use):
        price = float(steps.ratio[taken])
        bound += price * max(room - float(steps.use[:taken].sum()), 0.0)
        # In a small caseload the step that does not fit may be worth more than those that would have to give way.
        other, instead = _make_way(offers, steps, first, taken, room)
        if float(steps.gain[other].sum()) > float(steps.gain[accepted].sum()) + 1e-12:
            kinds, accepted = instead, other
    chances = _chances(steps, accepted, len(offers))
    return Choice(kinds=kinds, chances=chances, prices=np.asarray([price]), bound=bound)


def _chances(steps: Steps, accepted: Bool[np.ndarray, "step"], members: int) -> Float64[np.ndarray, "member"]:
    """Chance of each member's choice over the lots that decide between equal steps.

    Of steps that lead to the same kind at the same gain a unit, and that their members had come to, a lot decides which
    are taken. Each is taken with the share that was.
    """
    chances = np.ones(members)
    differs = np.diff(steps.ratio, prepend=np.inf) != 0
    if differs.all():
        return chances
    # Steps that their member had come to: those taken, and the first of the hull that was not.
    come = accepted | (steps.number == np.bincount(steps.member[accepted], minlength=members)[steps.member])
    kinds = int(steps.kind.max()) + 1
    # One lot for each gain a unit and kind.
    group = np.unique(np.cumsum(differs) * kinds + steps.kind, return_inverse=True)[1]
    share = np.bincount(group, weights=accepted) / np.maximum(np.bincount(group, weights=come), 1)
    at = np.flatnonzero(come & (share[group] > 0))
    np.multiply.at(chances, steps.member[at], np.where(accepted[at], share[group[at]], 1 - share[group[at]]))
    return chances


def _take(
    steps: Steps, first: Int64[np.ndarray, "member"], room: float, which: Bool[np.ndarray, "step"]
) -> tuple[Int64[np.ndarray, "member"], Bool[np.ndarray, "step"], int]:
    """Takes steps in order until one does not fit, then those that still do.

    Returns:
        Kinds by member, accepted steps, and how many came before the first that did not fit.
    """
    left = room * (1 + ROUNDING)
    spent = np.cumsum(steps.use * which)
    taken = int(np.searchsorted(spent, left, side="right"))
    accepted = which.copy()
    accepted[taken:] = False
    kinds, number = first.copy(), np.zeros(len(first), dtype=np.int64)
    mine = np.flatnonzero(accepted)
    kinds[steps.member[mine]] = steps.kind[mine]  # later steps of a member come later and win
    np.add.at(number, steps.member[mine], 1)
    _fill(steps, taken, left - (float(spent[taken - 1]) if taken else 0.0), which, kinds, number, accepted)
    return kinds, accepted, taken


def _make_way(
    offers: Offers, steps: Steps, first: Int64[np.ndarray, "member"], step: int, room: float
) -> tuple[Bool[np.ndarray, "step"], Int64[np.ndarray, "member"]]:
    """The allocation in which the member of one step gets the contact it leads to, and the others what is left."""
    member, kind = steps.member[step], steps.kind[step]
    left = room - float(offers.use[0, kind])
    own = steps.member == member
    kinds, accepted, _ = _take(steps, first, max(left, 0.0), ~own)
    kinds[member] = kind
    accepted |= own & (steps.number <= steps.number[step])
    return accepted, kinds


def _free(offers: Offers) -> tuple[Int64[np.ndarray, "member"], Float64[np.ndarray, "member"]]:
    """Kind and gain where each hull starts: doing nothing, or the best contact that uses nothing of the limit."""
    free = np.flatnonzero(offers.use[0] == 0)
    n = len(offers)
    if not len(free):
        return np.full(n, NOTHING), np.zeros(n)
    best = offers.gains[:, free].argmax(axis=1)
    gain = offers.gains[np.arange(n), free[best]]
    return np.where(gain > 0, free[best], NOTHING), np.maximum(gain, 0.0)


def _steps(
    offers: Offers,
    first: Int64[np.ndarray, "member"],
    free_gain: Float64[np.ndarray, "member"],
    rng: np.random.Generator,
) -> Steps:
    """All hulls at once, by gift wrapping: from each point to the one with the steepest rise, the farthest of ties."""
    cost, gains = offers.use[0], offers.gains
    order = np.argsort(-cost, kind="stable")  # the farthest first, so that it wins a tie
    order = order[cost[order] > 0]
    cost, gains = cost[order], gains[:, order]
    at_cost, at_gain = np.zeros(len(offers)), free_gain.copy()
    rows = np.arange(len(offers))
    last_ratio = np.full(len(offers), np.inf)
    found: list[tuple[np.ndarray, ...]] = []
    number = 0
    while len(rows) and len(cost):
        run = cost[None, :] - at_cost[rows, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = np.where(run > 0, (gains[rows] - at_gain[rows, None]) / run, -np.inf)
        to = slope.argmax(axis=1)
        steepest = slope[np.arange(len(rows)), to]
        rises = steepest > 0
        rows, to, steepest = rows[rises], to[rises], steepest[rises]
        # Rounding must not let a later step of a hull look steeper than the one before it.
        steepest = np.minimum(steepest, last_ratio[rows])
        last_ratio[rows] = steepest
        found.append((rows, np.full(len(rows), number), order[to], gains[rows, to] - at_gain[rows],
                      cost[to] - at_cost[rows], steepest))  # fmt: skip
        at_cost[rows], at_gain[rows] = cost[to], gains[rows, to]
        number += 1
    if not found:
        none = np.zeros(0, dtype=np.int64)
        return Steps(member=none, number=none, kind=none, gain=np.zeros(0), use=np.zeros(0), ratio=np.zeros(0))
    member, numbers, kind, gain, use, ratio = (np.concatenate(part) for part in zip(*found, strict=True))
    lot = rng.random(len(offers))
    by = np.lexsort((numbers, lot[member], -ratio))
    return Steps(member=member[by], number=numbers[by], kind=kind[by], gain=gain[by], use=use[by], ratio=ratio[by])


def _fill(
    steps: Steps,
    start: int,
    left: float,
    which: Bool[np.ndarray, "step"],
    kinds: Int64[np.ndarray, "member"],
    number: Int64[np.ndarray, "member"],
    accepted: Bool[np.ndarray, "step"],
) -> None:
    """Uses what is left after the first step that does not fit, for steps that do, best first."""
    at = start + np.flatnonzero((steps.use[start:] <= left) & which[start:])
    while len(at):
        fits = at[(steps.use[at] <= left) & (steps.number[at] == number[steps.member[at]])]
        if not len(fits):
            return
        step = fits[0]
        member = steps.member[step]
        kinds[member] = steps.kind[step]
        number[member] += 1
        accepted[step] = True
        left -= steps.use[step]
        at = at[at > step]
