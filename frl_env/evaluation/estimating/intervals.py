"""Confidence intervals by resampling members, for all estimates at once.

A resample draws as many members as there are, with replacement, and a member brings all its weeks. Every estimate is
made of per-member sums (see `estimate`), so a resample is a matrix product with the counts of each member: the
self-normalised ones are computed anew in each resample, not approximated. The same resamples serve all estimates.

Where few members carry the weights, a tail that none of them has shown is in no resample either. So the quantiles of
the resamples, in their own linearised errors, are multiplied by `Estimate.sampling_error`, which reckons with it; a
studentised interval of a self-normalised estimate reaches, on either side, at least as far as the normal one.

Nuisances (values, propensities, density ratios) are held as they are: they are cross-fitted, and their own error is in
the interval only as far as it differs from member to member. An error that an estimate says is shared by all members
is added to its interval as errors of independent sources are, by squares. The coverage that was measured is in
`docs/evaluation_measured.md`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from numbers import Real

import numpy as np
from jaxtyping import Float64
from scipy.special import ndtri

from frl_env.errors import UserError, check_whole, shorten, unknown_name
from frl_env.evaluation.estimating.estimate import Estimate
from frl_env.evaluation.threads import side_by_side

METHODS = ("studentised", "percentile", "normal")

_CHUNK = 1_000_000
"""Numbers of a matrix of counts: resamples are drawn a few at a time."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Limits of a confidence interval.

    Attributes:
        low, high: Limits.
        level: Nominal coverage.
        method: "studentised" (bootstrap t), "percentile", or "normal" (no resampling).
    """

    low: float
    high: float
    level: float
    method: str

    def to_dict(self) -> dict[str, float | str]:
        """JSON-able."""
        return asdict(self)

    def __contains__(self, value: float) -> bool:
        """Whether the interval covers a value."""
        return self.low <= value <= self.high


@dataclass(frozen=True, kw_only=True, eq=False)
class Resamples:
    """Bootstrap replicates of one number.

    Attributes:
        value: By resample.
        standard_error: By resample, from its own members.
    """

    value: Float64[np.ndarray, "resample"]
    standard_error: Float64[np.ndarray, "resample"]


def resample(
    estimates: Sequence[Estimate],
    observed: Float64[np.ndarray, "member"],
    rng: np.random.Generator,
    *,
    resamples: int = 1_000,
) -> list[tuple[Resamples, Resamples]]:
    """Each estimate, and its difference to the observed returns, in resamples of the members.

    Args:
        estimates: Of the same members in the same order.
        observed: Return of each member as logged.
        rng: Source of the resamples.
        resamples: How many.

    Raises:
        UserError: If the estimates have different members, or fewer than 2, or there are no resamples.
    """
    check_members(estimates, observed)
    check_whole("resamples", resamples, low=1, high=10**7)
    n = len(observed)
    found = np.empty((len(estimates), 4, resamples))
    size = max(1, _CHUNK // n)
    for start in range(0, resamples, size):
        rows = slice(start, min(start + size, resamples))
        drawn = rng.integers(n, size=(rows.stop - start, n))
        counts = np.stack([np.bincount(draw, minlength=n) for draw in drawn]).astype(np.float64)
        for i, own in enumerate(side_by_side(partial(_replicate, observed=observed, counts=counts), estimates)):
            found[i, :, rows] = own
    return [(Resamples(value=v, standard_error=e), Resamples(value=d, standard_error=f)) for v, e, d, f in found]


def check_members(estimates: Sequence[Estimate], observed: Float64[np.ndarray, "member"]) -> None:
    """Says that estimates are not of the same members, or of one only.

    Raises:
        UserError: If so.
    """
    for estimate in estimates:
        if len(estimate.plain) != len(observed):
            raise UserError(
                f"estimate {estimate.name!r} is of other members than the returns; give it one term a member"
            )
    if len(observed) < 2:
        raise UserError("an interval needs at least 2 members; take more of them")


def check_level(level: object) -> None:
    """Says so when a nominal coverage is not a number between 0 and 1.

    Raises:
        UserError: If so.
    """
    if not isinstance(level, Real) or not 0 < level < 1:
        raise UserError(f"level must be a number between 0 and 1, not {shorten(repr(level))}")


def interval(
    estimate: Estimate, replicates: Resamples | None = None, *, level: float = 0.95, method: str = "studentised"
) -> Interval:
    """Confidence interval of an estimate.

    Args:
        estimate: As computed on all members.
        replicates: From `resample`; "normal" needs none.
        level: Nominal coverage.
        method: One of `METHODS`.

    Raises:
        UserError: If the method is unknown, the level is not in (0, 1), or replicates are missing.
    """
    if method not in METHODS:
        raise unknown_name("interval method", method, METHODS)
    check_level(level)
    tails = np.asarray([(1 - level) / 2, (1 + level) / 2])
    value, error = estimate.value, estimate.sampling_error
    if method == "normal":
        low, high = value + ndtri(tails) * error
    elif replicates is None:
        raise UserError(f"a {method} interval needs resamples of the members")
    elif method == "percentile":
        low, high = np.quantile(replicates.value, tails)
    else:
        spread = replicates.standard_error
        # A resample whose members are all alike says nothing about the spread.
        t = np.divide(replicates.value - value, spread, out=np.zeros_like(spread), where=spread > 0)
        high, low = value - np.quantile(t, tails) * error
        if not estimate.decomposes:
            # A tail that no member has shown is in no resample: never nearer than the error that reckons with it.
            least, most = value + ndtri(tails) * error
            low, high = min(low, least), max(high, most)
    if estimate.shared:
        # Of two independent sources: the distances to the limits add up as standard errors do.
        low, high = value + np.asarray([-1, 1]) * np.hypot([low - value, high - value], ndtri(tails) * estimate.shared)
    return Interval(low=float(low), high=float(high), level=level, method=method)


def _replicate(estimate: Estimate, observed: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Value, its standard error, difference, its standard error in each resample; `counts` are `(resample, member)`."""
    n = counts.shape[1]
    if estimate.numerators is None or estimate.denominators is None:
        value = counts @ estimate.plain / n
        terms = estimate.plain - value[:, None]
    else:
        above, below = counts @ estimate.numerators / n, counts @ estimate.denominators / n
        scale = np.divide(1.0, below, out=np.zeros_like(below), where=below > 0)
        ratios = above * scale
        value = counts @ estimate.plain / n
        # Linearised deviation of each member in each resample: (resample, member).
        terms = scale @ estimate.numerators.T
        terms -= (scale * ratios) @ estimate.denominators.T
        terms += estimate.plain
        terms -= value[:, None]
        value = value + ratios.sum(axis=1)
    returns = counts @ observed / n
    spread = _spread(counts, terms)
    terms -= observed
    terms += returns[:, None]
    return np.stack([value, spread, value - returns, _spread(counts, terms)])


def _spread(counts: np.ndarray, terms: np.ndarray) -> np.ndarray:
    """Standard error of the mean of terms, in each resample."""
    n = counts.shape[1]
    return np.sqrt(np.einsum("bn,bn,bn->b", counts, terms, terms) / n / (n - 1))
