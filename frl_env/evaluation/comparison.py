"""Value of a policy and its difference to behaviour, each with an interval, from the same resamples of members."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.estimating.intervals import Interval, check_members, interval, resample
from frl_env.member_months import per_1000_member_months


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One estimator's value and difference to behaviour.

    Attributes:
        estimate: Of the target's value.
        interval: Of it.
        difference: Of the target's value minus the observed returns, paired by member.
        difference_interval: Of it.
    """

    estimate: Estimate
    interval: Interval
    difference: Estimate
    difference_interval: Interval

    def to_dict(self, weeks: float | None = None) -> dict[str, Any]:
        """JSON-able.

        Args:
            weeks: Mean number of weeks that a member is followed; with it, rates per 1,000 member-months stand beside.
        """
        rates = {} if weeks is None else {"per_1000_member_months": self.rates(weeks)}
        return rates | {
            "estimator": self.estimate.name,
            "weights": self.estimate.weights,
            "value": self.estimate.value,
            "standard_error": self.estimate.standard_error,
            "interval": self.interval.to_dict(),
            "difference": self.difference.value,
            "difference_standard_error": self.difference.standard_error,
            "difference_interval": self.difference_interval.to_dict(),
            "decomposes": self.estimate.decomposes,
        }

    def rates(self, weeks: float) -> dict[str, float]:
        """Value, and difference with its interval, per 1,000 member-months.

        Args:
            weeks: Mean number of weeks that a member is followed.
        """
        change = self.difference_interval
        a_member = {
            "value": self.estimate.value,
            "difference": self.difference.value,
            "difference_low": change.low,
            "difference_high": change.high,
        }
        return {name: per_1000_member_months(value, weeks) for name, value in a_member.items()}


def compare(
    estimates: Sequence[Estimate],
    observed: Float64[np.ndarray, "member"],
    *,
    rng: np.random.Generator,
    resamples: int = 1_000,
    level: float = 0.95,
    method: str = "studentised",
) -> list[Result]:
    """Intervals of values and of differences to the observed returns, all from the same resamples of members.

    Args:
        estimates: Of the same members in the same order.
        observed: Return of each member as logged.
        rng: Source of the resamples.
        resamples: How many.
        level: Nominal coverage.
        method: "studentised", "percentile" or "normal".

    Raises:
        UserError: If there are fewer than 2 members, an estimate is of others, or a setting is wrong.
    """
    check_members(estimates, observed)
    drawn: list[Any] = [(None, None)] * len(estimates)
    if method != "normal":
        drawn = resample(estimates, observed, rng, resamples=resamples)
    found = []
    for estimate, (of_value, of_difference) in zip(estimates, drawn, strict=True):
        difference = estimate.minus(observed)
        found.append(
            Result(
                estimate=estimate,
                interval=interval(estimate, of_value, level=level, method=method),
                difference=difference,
                difference_interval=interval(difference, of_difference, level=level, method=method),
            )
        )
    return found
