"""How far the value may lie from the estimate when the team saw more than the record: bounds under hidden confounding.

*Marginal sensitivity model* (Tan 2006): what the team saw but did not record may change the odds of the logged action
by a factor of at most Lambda, so that the true one-week ratio lies in

    rho in  [ pi (1 + (1 / p - 1) / Lambda),  pi (1 + Lambda (1 / p - 1)) ],     p the propensity given the record

while its mean given record and action is pi / p. Lambda = 1 is no confounding. The worst case is found backwards in
time, as in robust fitted Q evaluation (Bruns-Smith & Zhou 2023), around any values Q, V of the target:

    D_t(s) = worst mean of rho_t Z_t given s_t = s,    Z_t = e_t + g D_t+1(s_t+1),    bound = mean of V_0 + D_0

with e_t = r_t + g V_t+1 - Q_t. The worst ratio is large where Z lies on one side of a quantile and small on the other
(Dorn & Guo 2022): for any q, the smallest E[rho Z] is at least E[pi / p q + low (Z - q)+ - high (q - Z)+].
Here q is the best constant within strata of Q, so the bound is valid for any strata and sharp when the distribution of
Z given the action is that of its stratum. The mean given s is a ridge regression on features of the state; V_t + D_t
is kept between what the least and the greatest reward on record (0 for who has left) would give in every week that is
left. Errors of these regressions are for the worst case to exploit, so they widen the bounds: few features of the state
are better than many, and values that foresee the rewards narrow the bounds most.

What it covers: confounders that are drawn anew each week given the record (Bruns-Smith & Zhou call them memoryless).
What it does not: a trait that lasts, such as a need that no screening found, except as far as the record of the week
reflects it; and the assumption that the record is a Markov state. The bound is an answer to "how strong would fresh
confounding have to be", not a guarantee.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from frl_env.errors import check_number
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.estimators import ActionValues
from frl_env.evaluation.nuisances.ridge import Ridge

Grid = Float64[np.ndarray, "episode step"]

STRATA = 5
"""Strata of Q in which the quantile is a constant."""

_STRATUM = 50
"""Decisions of a stratum, at least."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Bounds:
    """Lowest and highest value under confounding of one strength.

    Attributes:
        strength: Lambda.
        low, high: With one linearised term a member, so that they have standard errors and intervals of their own.
    """

    strength: float
    low: Estimate
    high: Estimate


class Confounding:
    """Bounds of one target's value; what does not depend on the strength of confounding is computed once.

    Args:
        rewards: Zero after the end.
        target: pi(a_t | s_t) of the logged actions.
        propensities: p, of the logged actions given the record.
        features: Of the state, for instance from `state_features` without products.
        mask: Which steps belong to the episode.
        values: Of the target; zero without.
        discount: In [0, 1].
    """

    def __init__(
        self,
        rewards: Grid,
        target: Grid,
        propensities: Grid,
        features: Float64[np.ndarray, "episode step feature"],
        mask: Bool[np.ndarray, "episode step"],
        *,
        values: ActionValues | None = None,
        discount: float = 1.0,
    ) -> None:
        """Prepares, for each week, its members, a regression on their states, and limits of the values."""
        nothing = np.zeros_like(rewards)
        values = values or ActionValues(logged=nothing, policy=nothing)
        following = np.concatenate([values.policy[:, 1:], np.zeros((len(rewards), 1))], axis=1)
        unforeseen = rewards + discount * following - values.logged
        self._start, self._discount = values.policy[:, 0], discount
        least, most = float(rewards.min()), float(rewards.max())  # with the 0 of those who have left
        self._weeks = []
        steps = int(mask.any(axis=0).sum())  # some of the members may all have left before the others
        for step in range(steps):
            here = np.flatnonzero(mask[:, step])
            left = float((discount ** np.arange(steps - step)).sum())
            now = values.policy[here, step]
            rows = features[here, step]
            self._weeks.append(
                _Week(
                    members=here,
                    features=rows,
                    ridge=Ridge.of(rows),
                    unforeseen=unforeseen[here, step],
                    strata=_strata(values.logged[here, step]),
                    target=target[here, step],
                    rest=1 / propensities[here, step] - 1,
                    least=left * least - now,
                    most=left * most - now,
                )
            )

    def bounds(self, strength: float) -> Bounds:
        """Bounds under confounding of this strength.

        All that a weaker confounding may do, a stronger one may do too. But regressions keep no order: where the worst
        means fall at every decision, their predictions may rise at some states. So an estimated bound may come out a
        little inside that of a weaker one. Without features it never does.

        Raises:
            UserError: If the strength is not a number from 1 on.
        """
        check_number("strength of confounding", float(strength), low=1, high=1e6)
        return Bounds(
            strength=float(strength),
            low=Estimate(name="low", plain=self._terms(strength, 1.0)),
            high=Estimate(name="high", plain=self._terms(strength, -1.0)),
        )

    def tipping_strength(
        self,
        observed: Float64[np.ndarray, "member"],
        *,
        strengths: Sequence[float] = (),
        largest: float = 20.0,
        tolerance: float = 0.02,
    ) -> float:
        """The weakest confounding under which the difference to the observed returns may be zero.

        Args:
            observed: Return of each member as logged.
            strengths: That are tried first, the weakest first, so that the answer agrees with their bounds.
            largest: Strength at which the search ends.
            tolerance: Of the answer.

        Returns:
            A strength; infinity when it lies beyond `largest`.
        """
        level = float(observed.mean())

        def undecided(strength: float) -> bool:
            found = self.bounds(strength)
            return found.low.value <= level <= found.high.value

        steps = 1 + tolerance * 2.0 ** np.arange(np.log2((largest - 1) / tolerance))
        tried = [*sorted(strengths), *steps[steps > max(strengths, default=1.0)], largest]
        first = next((number for number, strength in enumerate(tried) if undecided(strength)), None)
        if first is None:
            return float("inf")
        low, high = ([1.0, *tried][first], tried[first])
        while high - low > tolerance:
            middle = (low + high) / 2
            low, high = (low, middle) if undecided(middle) else (middle, high)
        return high

    def _terms(self, strength: float, sign: float) -> Float64[np.ndarray, "member"]:
        """Linearised term of each member for the lower (1) or the upper (-1) bound; their mean is the bound."""
        members = len(self._start)
        later = np.zeros(members)  # D of the week after, times the sign
        solved = []
        for week in reversed(self._weeks):
            z = sign * week.unforeseen + self._discount * later[week.members]
            worst, slope = week.worst(z, strength)
            penalty = week.ridge.penalty(week.features, worst)
            fitted = week.ridge.smooth(week.features, worst, penalty)
            expected = sign * np.clip(sign * fitted, week.least, week.most)
            solved.append((worst, slope, penalty, expected, fitted == expected))
            later = np.zeros(members)
            later[week.members] = expected
        # Forwards, the weight of each decision in the bound: the worst-case ratio of the densities of its state. What
        # its regression left unexplained, so weighted, is the member's share of the bound's error.
        error = np.zeros(members)
        weights = np.full(members, 1 / members)
        for week, (worst, slope, penalty, expected, inside) in zip(self._weeks, reversed(solved), strict=True):
            reached = week.ridge.smooth(week.features, weights[week.members] * inside, penalty)
            error[week.members] += members * reached * (worst - expected)
            weights = np.zeros(members)
            weights[week.members] = self._discount * slope * reached
        return self._start + sign * (later + error - error.mean())


@dataclass(frozen=True, kw_only=True, eq=False)
class _Week:
    """Decisions of one week.

    Attributes:
        members: Who is still followed.
        features: Of their states.
        ridge: Regression on these.
        unforeseen: e_t.
        strata: Of Q, for the quantile.
        target: pi of the logged action.
        rest: 1 / p - 1.
        least, most: Limits of D.
    """

    members: np.ndarray
    features: np.ndarray
    ridge: Ridge
    unforeseen: np.ndarray
    strata: np.ndarray
    target: np.ndarray
    rest: np.ndarray
    least: np.ndarray
    most: np.ndarray

    def worst(self, z: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
        """Smallest mean product of ratio and z that the odds allow, and its slope in z.

        A ratio may lie between `low` and `high` while the mean is kept, so it is high up to a quantile of z and low
        above.
        """
        middle = self.target * (1 + self.rest)
        low, high = self.target * (1 + self.rest / strength), self.target * (1 + self.rest * strength)
        quantile, share = np.empty_like(z), np.empty_like(z)
        for stratum in np.unique(self.strata):
            own = np.flatnonzero(self.strata == stratum)
            order = own[np.argsort(z[own], kind="stable")]
            # High ratios for the smallest z, until the mean ratio is what it has to be.
            room = (high - low)[order]
            wanted = (middle - low)[order].sum()
            last = np.searchsorted(np.cumsum(room), wanted)
            at = z[order[min(last, len(order) - 1)]]
            tied = room[z[order] == at].sum()
            quantile[own] = at
            share[own] = (wanted - room[z[order] < at].sum()) / tied if tied > 0 else 0.0
        share = np.where(z < quantile, 1.0, np.where(z > quantile, 0.0, np.clip(share, 0, 1)))
        slope = low + share * (high - low)
        return middle * quantile + slope * (z - quantile), slope


def _strata(values: np.ndarray) -> np.ndarray:
    """Equal shares of the decisions by their value; one stratum where the values or the decisions are few."""
    count = int(min(STRATA, len(values) // _STRATUM))
    if count < 2 or values.min() == values.max():
        return np.zeros(len(values), dtype=np.int64)
    return np.searchsorted(np.quantile(values, np.arange(1, count) / count), values)
