"""What an estimator returns: enough per-member numbers for its value, its standard error and its bootstrap.

Every estimator here is a mean over members plus a sum of ratios of such means,

    value = mean(plain) + sum over columns c of  mean(numerators[:, c]) / mean(denominators[:, c]),

    numerators = denominators * weighted,

where the columns are the steps of a self-normalised estimator, and the denominators its weights. Without columns it
*decomposes*: it is a mean of one term a member. With columns it does not: each member's weight depends on all others.
Then the terms are linearised,

    term_i = value + (plain_i - mean(plain))
             + sum over c of (numerators_ic - ratio_c * denominators_ic) / mean(denominators_c)

which have the value as their mean and whose variance is that of the estimate, to first order; the bootstrap needs no
such approximation, since resampled sums of the columns give the estimate of the resample.

The spread of these terms is too small an error where few members carry the weights: the ratios give way to heavy
members, and events are rare, so that the heavy ones often had none and show no spread. Two errors don't fall for it,
and the larger one of them is told:

    leaving out     the jackknife: what the estimate would be without each member, one after the other. Who carries
                    much weight of a column counts by more than the linearised term (as in HC3)
    pooled          what is weighted has the spread of all members, whatever their weight, 0 among them:
                    sqrt(sum over i of a_i' S a_i) / n, where a_i are the weights of member i over their means and S
                    is the covariance of what they weight
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
        weighted: What is weighted in the self-normalised part, None when there is none.
        denominators: Its weights.
        shared: Standard error of what is the same for all members and so does not show in their spread, for instance
            what a prior leaves open.
        outside: Share of the target's decisions that a model has to extrapolate to, as far as it knows.
    """

    name: str
    weights: str | None = None
    plain: Float64[np.ndarray, "member"]
    weighted: Float64[np.ndarray, "member column"] | None = None
    denominators: Float64[np.ndarray, "member column"] | None = None
    shared: float = 0.0
    outside: float = 0.0

    @property
    def decomposes(self) -> bool:
        """Whether the value is the mean of one term a member that depends on that member alone."""
        return self.weighted is None

    @cached_property
    def numerators(self) -> Float64[np.ndarray, "member column"] | None:
        """Weighted terms of the self-normalised part, None when there is none."""
        return None if self.weighted is None or self.denominators is None else self.denominators * self.weighted

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

    @cached_property
    def linear_error(self) -> float:
        """Standard error of the value from the spread of the linearised terms over members; NaN for one member."""
        n = len(self.terms)
        return float(np.std(self.terms, ddof=1) / np.sqrt(n)) if n > 1 else float("nan")

    @cached_property
    def sampling_error(self) -> float:
        """Standard error of the value, from what varies from member to member; NaN for one member.

        That of the terms for a mean; of a self-normalised estimate the larger of two that do not shrink where few
        members carry the weights.

        Source: Efron & Stein (1981); MacKinnon & White (1985).
        """
        if self.weighted is None or self.denominators is None or len(self.plain) < 2:
            return self.linear_error
        leaving_out = self._leaving_out(self.denominators * self.weighted, self.denominators)
        return max(leaving_out, self._pooled(self.weighted, self.denominators))

    def _leaving_out(self, above: np.ndarray, below: np.ndarray) -> float:
        """The jackknife error, in closed form; without the only member that has weight a ratio is 0."""
        n, left = len(self.plain), below.sum(axis=0) - below
        alone = left <= 1e-12 * np.abs(below)
        changes = np.divide(self.ratios * below - above, left, out=np.zeros_like(left), where=~alone)
        changes = np.where(alone, -self.ratios * (below > 0), changes).sum(axis=1)
        changes -= (self.plain - self.plain.mean()) / (n - 1)
        return float(np.sqrt((n - 1) / n * ((changes - changes.mean()) ** 2).sum()))

    def _pooled(self, weighted: np.ndarray, weights: np.ndarray) -> float:
        """The error if what is weighted varies alike for all members, in one column as the plain terms do."""
        n = len(self.plain)
        residuals = np.concatenate((self.plain[:, None], weighted), axis=1)
        residuals -= residuals.mean(axis=0)
        excess = _divide(weights, weights.mean(axis=0)) - 1  # over 1, so that equal ones leave no rounding
        together = residuals.sum(axis=1)
        squares = excess.T @ excess
        first, second = together @ residuals[:, 1:], residuals[:, 1:].T @ residuals[:, 1:]
        total = n * together @ together + 2 * excess.sum(axis=0) @ first + (squares * second).sum()
        return float(np.sqrt(max(total, 0.0) / (n - 1)) / n)

    @property
    def standard_error(self) -> float:
        """Of the value: `sampling_error` and the error that all members share; NaN for one member."""
        return float(np.hypot(self.sampling_error, self.shared))

    def minus(self, returns: Float64[np.ndarray, "member"]) -> "Estimate":
        """The difference to the returns that the same members had, paired by member.

        A user decides on this number, and it has far less noise than either value: luck that a member had is in both.
        """
        return replace(self, plain=self.plain - returns)

    def of(self, members: np.ndarray) -> "Estimate":
        """The estimate from some of the members only, by index or mask."""
        return replace(
            self,
            plain=self.plain[members],
            weighted=None if self.weighted is None else self.weighted[members],
            denominators=None if self.denominators is None else self.denominators[members],
        )


def _divide(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Quotient, 0 where the divisor is."""
    return np.divide(above, below, out=np.zeros(np.broadcast(above, below).shape), where=below > 0)
