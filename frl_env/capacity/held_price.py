"""A policy at a held price: members are independent again, so that logged members can value it.

Within capacity, what one member gets depends on who else is there. With the price of a minute held at the value that a
caseload of this kind found, each member's decision depends on that member alone, and every estimator of off-policy
evaluation applies. The minutes that it uses are then an outcome like any other, to be estimated beside the value.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from frl_env.capacity.asking import ACTIONS, GAINS, check_observes, check_rows, gains_of, has_memory, joints_of, says
from frl_env.capacity.effort import Effort, check_effort, null_joint
from frl_env.capacity.offers import columns_of
from frl_env.errors import UserError, check_number

_MOST = 1e12
"""A larger price of a minute is a mistake."""

TIE = 1e-9
"""Share of a gain and of its price by which their differences may differ for being computed in binary."""


@dataclass(frozen=True, eq=False)
class HeldPrice:
    """A policy on the observations at a fixed price of a staff minute.

    A policy with gains takes the action whose gain less its price is largest. Where several are equal, a price alone
    does not divide them: without a lot each is equally likely, and doing nothing wins a tie, so that a policy whose
    gains are much alike spends anything but its budget. With a lot, the longest of them is taken with that chance, else
    the shortest (`frl_env.capacity.held_policy` finds price and lot). A contact that gains nothing is never taken.

    A policy with probabilities is tilted: p(a) exp(-price minutes(a)), normalised.

    Args:
        policy: See `frl_env.capacity.asking`; a policy that only acts has no probabilities and can't be held.
        effort: Minutes of each action.
        price: Gain that a minute has to bring (for probabilities: log odds that it costs); 0 or more.
        by: "gains" or "probabilities"; the most that the policy offers unless given.
        lot: Chance of the longest of actions that are equal at this price; None for no lot.

    Raises:
        UserError: If the policy only acts, or a number is out of range.
    """

    policy: Any
    effort: Effort
    price: float
    by: str | None = None
    lot: float | None = None

    def __post_init__(self) -> None:
        """Checks policy and price."""
        check_effort(self.effort)
        check_price(self.price, self.lot)
        if self.kind == ACTIONS:
            raise UserError(f"{type(self.policy).__name__} only acts: it has no probabilities to be valued by")
        check_observes(self.policy, self.kind)

    @property
    def kind(self) -> str:
        """What the policy is asked for."""
        return says(self.policy, self.by)

    @property
    def has_memory(self) -> bool:
        """Whether it needs what it keeps in mind."""
        return self.kind == GAINS and has_memory(self.policy)

    def probabilities(
        self, observations: Float64[np.ndarray, "n k"], memory: Float64[np.ndarray, "n m"] | None = None
    ) -> Float64[np.ndarray, "n joint"]:
        """Exact probabilities of all joint actions; rows sum to 1.

        Raises:
            UserError: If the policy has a memory and none is passed, or what it says does not fit.
        """
        space = self.effort.action_space
        if self.kind != GAINS:
            table = self._answer("probabilities", self.policy.probabilities(observations), observations, space.n_joint)
            wrong = ~(np.abs(table.sum(axis=1) - 1) < 1e-3) | (table.min(axis=1, initial=0.0) < 0)
            if wrong.any():
                raise UserError(
                    f"probabilities are negative, not finite or don't sum to 1 in {int(wrong.sum())} of {len(wrong)} "
                    "decisions"
                )
            weight = table * np.exp(-np.minimum(self.price * self.effort.minutes, 700.0))
            total = weight.sum(axis=1, keepdims=True)
            lost = total[:, 0] <= 0  # a policy that never does nothing, at a price beyond all numbers
            weight[lost], total[lost] = table[lost], table[lost].sum(axis=1, keepdims=True)
            return weight / total
        if self.has_memory and memory is None:
            raise UserError(f"{type(self.policy).__name__} has a memory; pass it, or value it with `remembered`")
        joints = columns_of(joints_of(self.policy), space)
        gains = self._answer("gains", gains_of(self.policy, observations, memory), observations, len(joints))
        nothing = null_joint(space)
        at = np.flatnonzero(joints == nothing)
        zero = gains[:, at[0]] if len(at) else np.zeros(len(gains))
        wrong = np.isnan(gains).any(axis=1) | np.isposinf(gains).any(axis=1) | ~np.isfinite(zero)
        if wrong.any():
            raise UserError(f"gains are no numbers in {int(wrong.sum())} of {len(wrong)} decisions")
        minutes = self.effort.minutes[joints]
        if self.lot is not None:
            gains = gains - zero[:, None]
            gains[:, (joints == nothing) | ~space.valid[joints]] = -np.inf
            shortest, longest = shortest_and_longest(gains, minutes, self.price)
            chances = (1 - self.lot) * even(shortest) + self.lot * even(longest)
            probabilities = np.zeros((len(gains), space.n_joint))
            probabilities[:, joints] = chances[:, 1:]
            probabilities[:, nothing] = chances[:, 0]
            return probabilities
        reduced = gains - zero[:, None] - self.price * minutes
        reduced[:, (joints == nothing) | ~space.valid[joints]] = -np.inf
        top = reduced.max(axis=1, keepdims=True)
        chosen = (reduced == top) & (top > 0)
        probabilities = np.zeros((len(gains), space.n_joint))
        probabilities[:, joints] = chosen / np.maximum(chosen.sum(axis=1, keepdims=True), 1)
        probabilities[:, nothing] = ~chosen.any(axis=1)
        return probabilities

    def _answer(self, what: str, answer: Any, observations: Any, columns: int) -> Float64[np.ndarray, "n column"]:
        table = check_rows(what, answer, len(observations))
        if table.ndim != 2 or table.shape[1] != columns or table.dtype.kind not in "fiub":
            raise UserError(
                f"{what} are {table.dtype} of shape {table.shape}; numbers of shape {(len(table), columns)} are needed"
            )
        return np.asarray(table, dtype=np.float64)


def check_price(price: float, lot: float | None) -> None:
    """Says so when a price is not a number from 0, or a lot none in 0 to 1.

    Raises:
        UserError: If so.
    """
    check_number("price of a minute", price, low=0, high=_MOST)
    if lot is not None:
        check_number("lot", lot, low=0, high=1)


def shortest_and_longest(
    gains: Float64[np.ndarray, "n action"], minutes: Float64[np.ndarray, "action"], price: float
) -> tuple[Bool[np.ndarray, "n action+1"], Bool[np.ndarray, "n action+1"]]:
    """Among the actions that are equally best at a price: which take the fewest minutes, which the most.

    Column 0 is doing nothing, the others are the actions.

    Args:
        gains: Over doing nothing; minus infinity for what may not be taken.
        minutes: Of each action.
        price: Of a minute.
    """
    worth = np.where(gains > 0, gains - price * minutes, -np.inf)
    worth = np.concatenate((np.zeros((len(gains), 1)), worth), axis=1)
    # Equal up to rounding, which grows with the numbers that were subtracted.
    size = np.concatenate((np.zeros((len(gains), 1)), np.where(gains > 0, gains, 0.0) + price * minutes), axis=1)
    at, best = np.arange(len(worth)), worth.argmax(axis=1)
    equal = worth[at, best][:, None] - worth <= TIE * np.maximum(size, size[at, best][:, None])
    taken = np.concatenate(([0.0], minutes))
    least = np.where(equal, taken, np.inf).min(axis=1)
    most = np.where(equal, taken, -np.inf).max(axis=1)
    return equal & (taken == least[:, None]), equal & (taken == most[:, None])


def even(among: Bool[np.ndarray, "n action"]) -> Float64[np.ndarray, "n action"]:
    """Equal chances of those that are marked."""
    return among / among.sum(axis=1, keepdims=True)
