"""Is the difference between two groups of members more than chance? Intervals, permutation tests, one correction.

Everything compared is a mean over members of one number a member, so that a member's weeks stay together and members
are the sample. For two groups a and b and a score of mean m, variance v and number of members n in each,

    difference = m_a - m_b          t = difference / sqrt(v_a / n_a + v_b / n_b)

Interval: percentiles of the difference over resamples of all members. p-value: share of the permutations of the members
over the groups with as large a |t|; t and not the difference, since it keeps the level where variances or sizes differ
(Chung and Romano, 2013). All p-values of an audit are one family, corrected by Holm (1979): where there is no
difference anywhere, an audit finds one with a probability of at most 1 - level, however many groups and scores it has.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Float64

from frl_env.evaluation.threads import one_ahead

REST = "everyone else"
"""What a joint group of two attributes is compared with; groups of one attribute are compared in pairs."""

LEAST_PERMUTATIONS = 10_000
"""Permutations, at least, unless a caller says otherwise."""

_CHUNK = 4_000_000
"""Numbers held at once."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One score in two groups.

    Attributes:
        attribute: What the groups are groups of.
        first, second: Their names.
        score: What is compared.
        difference: Mean of the first less mean of the second.
        low, high: Limits of its confidence interval, for this difference alone.
        p_value: Of the permutation test; None where it was not tested.
        adjusted: The same after the correction for all contrasts of the audit.
        found: Whether the audit says that there is a difference.
    """

    attribute: str
    first: str
    second: str
    score: str
    difference: float
    low: float
    high: float
    p_value: float | None
    adjusted: float | None = None
    found: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class Grouping:
    """Groups of one attribute, or joint groups of two.

    Attributes:
        attribute: Its name, or two names joined.
        labels: One a member.
        names: Groups to compare; members of other groups are only in "everyone else".
        joint: Whether these are joint groups, each compared with everyone else.
        parts: Of joint groups, the labels of each attribute.
    """

    attribute: str
    labels: np.ndarray
    names: tuple[str, ...]
    joint: bool = False
    parts: tuple[np.ndarray, ...] = ()

    @cached_property
    def members(self) -> list[np.ndarray]:
        """Positions of the members of each group."""
        return [np.flatnonzero(self.labels == name) for name in self.names]

    @property
    def pairs(self) -> list[tuple[int, int | None]]:
        """Positions of the groups to compare, None for everyone else."""
        n = len(self.names)
        return [(i, None) for i in range(n)] if self.joint else [(i, j) for i in range(n) for j in range(i + 1, n)]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """All contrasts of an audit.

    Attributes:
        contrasts: By grouping, pair and score.
        chance_gaps: By attribute and score, how far the largest and the smallest group mean lie apart on average when
            members are dealt out to the groups at random.
    """

    contrasts: tuple[Contrast, ...]
    chance_gaps: Mapping[tuple[str, str], float]


def compare_groups(
    scores: Mapping[str, Float64[np.ndarray, "member"]],
    groupings: Sequence[Grouping],
    *,
    rng: np.random.Generator,
    least: int,
    level: float = 0.95,
    resamples: int = 1_000,
    permutations: int = LEAST_PERMUTATIONS,
) -> Comparison:
    """Compares the groups of all groupings in all scores.

    Args:
        scores: One number a member; NaN for members whom the score does not speak of.
        groupings: Of the same members.
        rng: Source of resamples and permutations.
        least: Members with a score that both groups need.
        level: Of the intervals; 1 less that of the tests.
        resamples: Of the members, for the intervals.
        permutations: At least; more are made when the smallest p-value would not pass the correction. 0 for no tests.
    """
    units, moments = _standardised(np.stack(list(scores.values()), axis=1))
    observed = [_sides(grouping, group_sums(grouping, moments), moments.sum(axis=0)) for grouping in groupings]
    tested = [(np.minimum(a, b)[:, : len(scores)] >= least) for a, b in observed]
    number = int(sum(cells.sum() for cells in tested))
    if permutations:
        permutations = max(permutations, math.ceil(2 * number / (1 - level)))
    p_values, gaps = _permute(moments, groupings, observed, rng, permutations)
    limits = _limits(moments, groupings, rng, resamples, level)
    found = []
    for grouping, sides, cells, p, (low, high) in zip(groupings, observed, tested, p_values, limits, strict=True):
        difference = units * _difference(*sides)
        for row, (first, second) in enumerate(grouping.pairs):
            found += [
                Contrast(
                    attribute=grouping.attribute,
                    first=grouping.names[first],
                    second=REST if second is None else grouping.names[second],
                    score=score,
                    difference=float(difference[row, column]),
                    low=float(units[column] * low[row, column]),
                    high=float(units[column] * high[row, column]),
                    p_value=float(p[row, column]) if permutations else None,
                )
                for column, score in enumerate(scores)
                if cells[row, column]
            ]
    if not permutations:
        return Comparison(contrasts=tuple(found), chance_gaps={})
    adjusted = holm(np.asarray([contrast.p_value for contrast in found]))
    return Comparison(
        contrasts=tuple(
            replace(contrast, adjusted=float(p), found=bool(p <= 1 - level))
            for contrast, p in zip(found, adjusted, strict=True)
        ),
        chance_gaps={
            (grouping.attribute, score): float(units[column] * gap[column])
            for grouping, gap in zip(groupings, gaps, strict=True)
            for column, score in enumerate(scores)
        },
    )


def holm(p_values: Float64[np.ndarray, "test"]) -> Float64[np.ndarray, "test"]:
    """Adjusted p-values: rejecting those up to alpha rejects any true hypothesis with a probability of at most alpha.

    Source: Holm (1979).
    """
    order = np.argsort(p_values, kind="stable")
    stepped = np.maximum.accumulate(p_values[order] * np.arange(len(order), 0, -1))
    adjusted = np.empty(len(order))
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def resample_counts(
    members: int, rng: np.random.Generator, resamples: int
) -> Iterator[tuple[slice, Float64[np.ndarray, "resample member"]]]:
    """How often each member is drawn in each resample, some resamples at a time."""
    size = max(1, _CHUNK // members)
    for start in range(0, resamples, size):
        rows = slice(start, min(start + size, resamples))
        drawn = rng.integers(members, size=(rows.stop - start, members))
        yield rows, np.stack([np.bincount(draw, minlength=members) for draw in drawn]).astype(np.float64)


def _standardised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit of each score, and by member whether it is counted, the score in that unit from its mean, and its square."""
    counted = ~np.isnan(values)
    count = np.maximum(counted.sum(axis=0), 1)
    mean = np.nansum(values, axis=0) / count
    deviation = np.where(counted, values - mean, 0.0)
    units = np.sqrt((deviation**2).sum(axis=0) / count)
    units[units <= 1e-12 * np.abs(mean)] = 0.0  # rounding
    z = np.divide(deviation, units, out=np.zeros_like(deviation), where=units > 0)
    return units, np.concatenate([counted, z, z**2], axis=1)


def _permute(
    moments: np.ndarray,
    groupings: Sequence[Grouping],
    observed: Sequence[tuple[np.ndarray, np.ndarray]],
    rng: np.random.Generator,
    permutations: int,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """p-values `(pair, score)` and mean gaps `(score,)` of each grouping; all of them share the permutations.

    The members in a random order, the first n_1 of them are the first group, the next n_2 the second, and so on.
    """
    members, width = moments.shape
    own = [np.abs(_t(*sides)) for sides in observed]
    ends = [np.cumsum([0, *(len(own) for own in g.members)]) for g in groupings]
    # Only sums between two ends of any grouping are needed, and of columns that differ.
    cuts = np.unique(np.concatenate(ends))
    starts = cuts[cuts < members]
    places = [np.searchsorted(cuts, each) for each in ends]
    distinct, whose = np.unique(moments, axis=1, return_inverse=True)
    distinct = np.ascontiguousarray(distinct)
    total = moments.sum(axis=0)
    beyond = [np.zeros_like(t) for t in own]
    gaps = [np.zeros(width // 3) for _ in groupings]
    size = max(1, _CHUNK // (members * width))

    def dealt() -> Iterator[np.ndarray]:
        """Members in random orders, some permutations at a time."""
        for start in range(0, permutations, size):
            order = rng.permuted(np.tile(np.arange(members), (min(size, permutations - start), 1)), axis=1)
            yield distinct.take(order, axis=0, mode="clip")  # a third of the time of distinct[order]

    def compare(sums_between: Sequence[np.ndarray]) -> None:
        """Counts what lies beyond; tests of many permutations take hardly longer than those of one."""
        between = np.concatenate(sums_between)[:, :, whose]
        running = np.zeros((len(between), len(starts) + 1, width))
        np.cumsum(between, axis=1, out=running[:, 1:])
        for at, grouping in enumerate(groupings):
            sums = np.diff(running[:, places[at]], axis=1)
            t = np.abs(_t(*_sides(grouping, sums, total)))
            beyond[at] += (t >= own[at] * (1 - 1e-9)).sum(axis=0)
            if len(grouping.names):
                apart = np.ptp(_mean(sums), axis=1)
                for first in range(0, len(apart), size):
                    gaps[at] += apart[first : first + size].sum(axis=0) / permutations

    waiting: list[np.ndarray] = []
    for rows in one_ahead(dealt()):
        waiting.append(np.add.reduceat(rows, starts, axis=1))
        if len(waiting) * size * len(starts) * width >= _CHUNK // 10:
            compare(waiting)
            waiting = []
    if waiting:
        compare(waiting)
    return [(1 + count) / (1 + permutations) for count in beyond], gaps


def _limits(
    moments: np.ndarray, groupings: Sequence[Grouping], rng: np.random.Generator, resamples: int, level: float
) -> list[np.ndarray]:
    """Lower and upper limit of the differences of each grouping, `(2, pair, score)`."""
    drawn = [np.empty((resamples, len(g.pairs), moments.shape[1] // 3)) for g in groupings]
    for rows, counts in resample_counts(len(moments), rng, resamples):
        total = counts @ moments
        for at, grouping in enumerate(groupings):
            drawn[at][rows] = _difference(*_sides(grouping, group_sums(grouping, moments, counts), total))
    tails = [(1 - level) / 2, (1 + level) / 2]
    return [np.quantile(each, tails, axis=0) for each in drawn]


def group_sums(grouping: Grouping, moments: np.ndarray, counts: np.ndarray | None = None) -> np.ndarray:
    """Sums of the moments in each group, `(group, moment)`, or by resample `(resample, group, moment)`."""
    where = grouping.members
    if counts is None:
        return np.asarray([moments[rows].sum(axis=0) for rows in where]).reshape(len(where), moments.shape[1])
    sums = np.empty((len(counts), len(where), moments.shape[1]))
    for group, rows in enumerate(where):
        sums[:, group] = counts[:, rows] @ moments[rows]
    return sums


def _sides(grouping: Grouping, sums: np.ndarray, total: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moments of both groups of each pair, `(..., pair, moment)`."""
    first = [pair[0] for pair in grouping.pairs]
    a = sums[..., first, :]
    if grouping.joint:
        return a, total[..., None, :] - a
    return a, sums[..., [second for _, second in grouping.pairs if second is not None], :]


def _mean(sums: np.ndarray) -> np.ndarray:
    """From sums of (counted, x, x^2); 0 where nobody is counted."""
    count, x, _ = np.split(sums, 3, axis=-1)
    return x / np.maximum(count, 1e-300)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return _mean(a) - _mean(b)


def _t(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Difference over its standard error; infinite where nobody differs from anybody but the groups do."""
    variance = np.zeros(1)
    for sums in (a, b):
        count, x, squares = np.split(sums, 3, axis=-1)
        spread = np.maximum(squares - x**2 / np.maximum(count, 1), 0) / np.maximum(count - 1, 1e-300)
        variance = variance + np.where(count > 1, spread / np.maximum(count, 1), np.inf)
    difference = _difference(a, b)
    alike = variance <= 1e-18  # rounding
    t = np.divide(difference, np.sqrt(variance), out=np.zeros_like(difference), where=~alike)
    return np.where(alike & (np.abs(difference) > 1e-6), np.inf, t)
