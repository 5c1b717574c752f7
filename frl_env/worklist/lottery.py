"""The lots: how many contacts of each kind are drawn, and with what chance a member gets exactly which.

Contacts that use the same of every limit are of one *kind* (`frl_env.capacity.offers`); with the simulator's minutes a
kind is a modality. To get nothing is a kind of its own: a policy that would leave somebody alone who is picked today
can only be valued where some of these were left alone. Three draws, none of which looks at what was picked:

1. **How many of each kind.** Kinds stand in a circle. Beginning with one of them by lot, one contact of each kind after
   the other is set aside, round after round, as long as it fits into the share e of every limit. The circle has as many
   beginnings as kinds, so the mean number of lots of a kind, M_k, is exact.
2. **Who.** Each lot goes to another member, all N who have a contact open equally likely.
3. **Which contact of the kind.** The member's contacts of the kind are ranked by gain, and rank q has a chance that is
   proportional to 1 / q: those that a policy might want next are met often, and none never.

    P(member i is drawn, and gets contact c of kind k)  =  M_k / N  x  (1 / rank of c) / (1 + 1/2 + ... + 1 / open)

What is set aside is at most e of every limit and, but for less than a contact, all of it, whoever is drawn.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int64

from frl_env.actions import ActionSpace
from frl_env.capacity.capacity import Limits
from frl_env.capacity.effort import null_joint
from frl_env.capacity.knapsack import ROUNDING
from frl_env.capacity.offers import Kinds
from frl_env.errors import UserError

FREE = 1e-12
"""Use of a limit below which a contact takes nothing of it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Lots:
    """A week's lots.

    Attributes:
        kinds: The contacts by kind, and nothing as the last one.
        columns: Position of each of these among the valid actions.
        counts: Lots of each kind, by the kind that the circle begins with.
        rate: Chance of a member to get a lot of each kind, M_k / N.
        reserve: Most of each limit that the lots use, whatever is drawn.
    """

    kinds: Kinds
    columns: Int64[np.ndarray, "contact"]
    counts: Int64[np.ndarray, "start kind"]
    rate: Float64[np.ndarray, "kind"]
    reserve: Float64[np.ndarray, "limit"]

    @property
    def share(self) -> float:
        """Share of the members that is drawn, on average over where the circle begins."""
        return float(self.rate.sum())

    def chances(self, gains: Float[np.ndarray, "row valid"]) -> Float64[np.ndarray, "row valid"]:
        """Chance of each valid action to be got by lot; what is missing of 1 is the chance of no lot.

        Args:
            gains: Of the valid actions; minus infinity for what is not open.
        """
        made = np.zeros(gains.shape)
        for kind, (first, end) in enumerate(zip(self.kinds.starts[:-1], self.kinds.starts[1:], strict=True)):
            columns = self.columns[first:end]
            made[:, columns] = self.rate[kind] * by_rank(gains[:, columns])
        return made

    def draw(
        self, gains: Float[np.ndarray, "member valid"], open_to: Bool[np.ndarray, "member"], rng: np.random.Generator
    ) -> tuple[Int64[np.ndarray, "lot"], Int64[np.ndarray, "lot"]]:
        """Who gets a lot, and which contact.

        Args:
            gains: Of the valid actions.
            open_to: Members who have a contact open: the N that `make_lots` was told.
            rng: For all three draws.

        Returns:
            Rows of the members, and positions of what they got among the valid actions. A member to whom no contact
            of the kind drawn is open got no lot.
        """
        counts = self.counts[rng.integers(len(self.counts))]
        rows = rng.permutation(np.flatnonzero(open_to))[: counts.sum()]
        kinds = np.repeat(np.arange(len(counts)), counts)
        got = np.full(len(rows), -1)
        for kind, (first, end) in enumerate(zip(self.kinds.starts[:-1], self.kinds.starts[1:], strict=True)):
            own = np.flatnonzero(kinds == kind)
            columns = self.columns[first:end]
            # Drawn by inverting the cumulative chances: the first step of the ladder above a uniform mark.
            ladder = np.cumsum(by_rank(gains[np.ix_(rows[own], columns)]), axis=1)
            able = np.flatnonzero(ladder[:, -1] > 0)
            mark = rng.random(len(own))[able, None] * ladder[able, -1:]
            got[own[able]] = columns[(ladder[able] <= mark).sum(axis=1)]
        return rows[got >= 0], got[got >= 0]


def make_lots(space: ActionSpace, limits: Limits, explore: float, members: int) -> Lots:
    """Sets lots aside.

    Args:
        space: The actions.
        limits: Of the week; what it does not allow gets no lot.
        explore: Share of every limit, above 0.
        members: Who have a contact open, N.

    Raises:
        UserError: If a kind of contact does not fit into the share.
    """
    contacts = Kinds.of(space, limits, space.valid_joints)
    kinds = Kinds(
        joints=np.append(contacts.joints, null_joint(space)),
        starts=np.append(contacts.starts, contacts.starts[-1] + 1),
        use=np.pad(contacts.use, ((0, 0), (0, 1))),
    )
    room = limits.room * explore
    _check_room(kinds, limits, room, explore)
    counts = np.stack([_counts(kinds.use, room, start, members) for start in range(len(kinds))])
    return Lots(
        kinds=kinds,
        columns=np.searchsorted(space.valid_joints, kinds.joints),
        counts=counts,
        rate=counts.mean(axis=0) / max(members, 1),
        reserve=(counts @ kinds.use.T).max(axis=0, initial=0.0),
    )


def by_rank(gains: Float[np.ndarray, "row contact"]) -> Float64[np.ndarray, "row contact"]:
    """Chances proportional to one over the rank by gain, the largest first; 0 for what is not open.

    Rows sum to 1, or to 0 where nothing is open. Equal gains rank in the order of the actions.
    """
    order = np.argsort(-gains, axis=1, kind="stable")
    weight = np.empty(gains.shape)
    np.put_along_axis(weight, order, np.broadcast_to(1 / np.arange(1, gains.shape[1] + 1), gains.shape), axis=1)
    weight[~np.isfinite(gains)] = 0.0
    total = weight.sum(axis=1, keepdims=True)
    return np.divide(weight, total, out=weight, where=total > 0)


def _counts(
    use: Float64[np.ndarray, "limit kind"], room: Float64[np.ndarray, "limit"], start: int, members: int
) -> Int64[np.ndarray, "kind"]:
    """Lots of each kind when the circle begins at one of them."""
    k = use.shape[1]
    counts = np.zeros(k, dtype=np.int64)
    left = room * (1 + ROUNDING)
    limited = (use > FREE).any(axis=0)
    circle = np.roll(np.arange(k), -start)
    while True:
        fits = (use <= left[:, None]).all(axis=0)
        turn = circle[fits[circle]]
        if not limited[turn].any() or counts.sum() >= members:
            return counts
        # As many whole rounds at once as fit for sure, then one kind after the other.
        round_use = use[:, turn].sum(axis=1)
        taken = round_use > FREE
        rounds = int(min([(members - counts.sum()) // len(turn), *np.floor(left[taken] / round_use[taken])]))
        if rounds > 0:
            counts[turn] += rounds
            left = left - rounds * round_use
            continue
        for kind in turn:
            if (use[:, kind] <= left).all() and counts.sum() < members:
                counts[kind] += 1
                left = left - use[:, kind]


def _check_room(kinds: Kinds, limits: Limits, room: Float64[np.ndarray, "limit"], explore: float) -> None:
    """Refuses a share into which some kind of contact does not fit: nobody could ever get it by lot.

    Raises:
        UserError: If so; names the limit and the least share.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(kinds.use > FREE, kinds.use / limits.room[:, None], 0.0)
    limit, kind = np.unravel_index(int(shares.argmax()), shares.shape)
    if shares[limit, kind] <= explore * (1 + ROUNDING):
        return
    raise UserError(
        f"{float(explore)!r} of the capacity is less than one contact a week: the longest takes "
        f"{kinds.use[limit, kind]:g} of limit {limits.names[limit]!r}, which has {limits.room[limit]:g}; explore a "
        f"larger share, at least {min(np.ceil(1000 * shares[limit, kind]) / 1000, 1.0):g}"
    )
