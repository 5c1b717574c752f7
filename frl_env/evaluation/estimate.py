"""What an estimator returns: enough per-member numbers for its value, its standard error and its bootstrap.

Every estimator here is a mean over members plus a sum of ratios of such means,

    value = mean(plain) + sum over columns c of  mean(numerators[:, c]) / mean(denominators[:, c])

where the columns are the steps of a self-normalised estimator. Without columns it *decomposes*: it is a mean of one
term a member. With columns it does not: each member's weight depends on all others. Then the terms are linearised,

    term_i = value + (plain_i - mean(plain))
             + sum over c of (numerators_ic - ratio_c * denominators_ic) / mean(denominators_c)

which have the value as their mean and whose variance is that of the estimate, to first order; the bootstrap needs no
such approximation, since resampled sums of the columns give the estimate of the resample.
"""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True, kw_only=True, eq=False)
class Estimate:
    """The value of a policy by one estimator.

    Attributes:
        name: Short name, for instance "WDR".
        weights: Kind of its weights, None when it has none.
        plain: Each member's own term.
        numerators: Weighted terms of the self-normalised part, None when there is none.
        denominators: Their weights.
        shared: Standard error of what is the same for all members and so does not show in their spread, for instance
            what a prior leaves open.
    """

    name: str
    weights: str | None = None
    plain: Float64[np.ndarray, "member"]
    numerators: Float64[np.ndarray, "member column"] | None = None
    denominators: Float64[np.ndarray, "member column"] | None = None
    shared: float = 0.0

    @property
    def decomposes(self) -> bool:
        """Whether the value is the mean of one term a member that depends on that member alone."""
        return self.numerators is None

    @cached_property
    def ratios(self) -> Float64[np.ndarray, "column"]:
        """Self-normalised part of the value, by column; 0 where no member has any weight."""
        if self.numerators is None or self.denominators is None:
            return np.zeros(0)
        return _divide(self.numerators.sum(axis=0), self.denominators.sum(axis=0))

    @cached_property
    def value(self) -> float:
        """The estimate."""
        return float(self.plain.mean() + self.ratios.sum())

    @cached_property
    def terms(self) -> Float64[np.ndarray, "member"]:
        """One number a member, the value on average; linearised where the estimate does not decompose."""
        if self.numerators is None or self.denominators is None:
            return self.plain
        scale = _divide(np.ones(len(self.ratios)), self.denominators.mean(axis=0))
        deviation = self.numerators @ scale - self.denominators @ (scale * self.ratios)
        return self.plain + self.ratios.sum() + deviation

    @property
    def sampling_error(self) -> float:
        """Of the value, from the spread of the terms over members; NaN for one member."""
        n = len(self.terms)
        return float(np.std(self.terms, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    @property
    def standard_error(self) -> float:
        """Of the value: what varies from member to member and what is shared; NaN for one member."""
        return float(np.hypot(self.sampling_error, self.shared))

    def minus(self, returns: Float64[np.ndarray, "member"]) -> "Estimate":
        """The difference to the returns that the same members had, paired by member.

        A user decides on this number, and it has far less noise than either value: luck that a member had is in both.
        """
        return replace(self, plain=self.plain - returns)

    def of(self, members: np.ndarray) -> "Estimate":
        """The same estimator on some of the members, by index or mask."""
        return replace(
            self,
            plain=self.plain[members],
            numerators=None if self.numerators is None else self.numerators[members],
            denominators=None if self.denominators is None else self.denominators[members],
        )


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient, 0 where the divisor is."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
