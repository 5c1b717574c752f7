"""Confidence intervals by resampling members, for all estimates at once.

A resample draws as many members as there are, with replacement, and a member brings all its weeks. Every estimate is
made of per-member sums (see `estimate`), so a resample is a matrix product with the counts of each member: the
self-normalised ones are computed anew in each resample, not approximated. The same resamples serve all estimates.

Nuisances (values, propensities, density ratios) are held as they are: they are cross-fitted, and their own error is in
the interval only as far as it differs from member to member. `docs/evaluation.md` has the coverage that was measured.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm

from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.estimate import Estimate

METHODS = ("studentised", "percentile", "normal")

_CHUNK = 4_000_000
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
    """Bootstrap replicates of one estimate.

    Attributes:
        value: By resample.
        standard_error: By resample, from its own members.
    """

    value: Float64[np.ndarray, "resample"]
    standard_error: Float64[np.ndarray, "resample"]


def resample(estimates: Sequence[Estimate], rng: np.random.Generator, *, resamples: int = 1_000) -> list[Resamples]:
    """Value and standard error of each estimate in resamples of the members.

    Args:
        estimates: Of the same members in the same order.
        rng: Source of the resamples.
        resamples: How many.

    Raises:
        UserError: If the estimates have different members, or fewer than 2.
    """
    members = {len(estimate.plain) for estimate in estimates}
    if len(members) != 1 or members == {1}:
        raise UserError(f"a bootstrap needs at least 2 members, the same for each estimate, not {sorted(members)}")
    n = members.pop()
    results = [Resamples(value=np.empty(resamples), standard_error=np.empty(resamples)) for _ in estimates]
    size = max(1, _CHUNK // n)
    for start in range(0, resamples, size):
        rows = slice(start, min(start + size, resamples))
        drawn = rng.integers(n, size=(rows.stop - start, n))
        counts = np.stack([np.bincount(draw, minlength=n) for draw in drawn]).astype(np.float64)
        for estimate, result in zip(estimates, results, strict=True):
            result.value[rows], result.standard_error[rows] = _replicate(estimate, counts)
    return results


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
    if not 0 < level < 1:
        raise UserError(f"level must be a number between 0 and 1, not {level}")
    tails = np.asarray([(1 - level) / 2, (1 + level) / 2])
    value, error = estimate.value, estimate.standard_error
    if method == "normal":
        low, high = value + norm.ppf(tails) * error
    elif replicates is None:
        raise UserError(f"a {method} interval needs resamples of the members")
    elif method == "percentile":
        low, high = np.quantile(replicates.value, tails)
    else:
        spread = replicates.standard_error
        # A resample whose members are all alike says nothing about the spread.
        t = np.divide(replicates.value - value, spread, out=np.zeros_like(spread), where=spread > 0)
        high, low = value - np.quantile(t, tails) * error
    return Interval(low=float(low), high=float(high), level=level, method=method)


def _replicate(estimate: Estimate, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Value and standard error in each resample, by its counts `(resample, member)`."""
    n = counts.shape[1]
    plain = estimate.plain
    mean = counts @ plain / n
    if estimate.numerators is None or estimate.denominators is None:
        variance = np.maximum(counts @ plain**2 / n - mean**2, 0)
        return mean, np.sqrt(variance / (n - 1))
    above, below = counts @ estimate.numerators / n, counts @ estimate.denominators / n
    scale = np.divide(1.0, below, out=np.zeros_like(below), where=below > 0)
    ratios = above * scale
    # Linearised deviation of each member in each resample: (resample, member).
    terms = scale @ estimate.numerators.T
    terms -= (scale * ratios) @ estimate.denominators.T
    terms += plain
    terms -= mean[:, None]
    variance = np.einsum("bn,bn,bn->b", counts, terms, terms) / n
    return mean + ratios.sum(axis=1), np.sqrt(variance / (n - 1))
