"""Honest summaries of a few runs: interquartile mean, intervals, comparisons, profiles (Agarwal et al., 2021).

Values come as one number a run and evaluation member. Runs (training seed and data replicate) and members are both a
sample, so that intervals resample both. Members, and run k's data, are the same for every algorithm: differences
between two algorithms are resampled in pairs.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

DRAWS = 2_000
"""Bootstrap resamples."""

PROFILE = tuple(range(0, 101, 10))
"""Normalised scores at which the performance profile is read."""


def interquartile_mean(values: Float[np.ndarray, "*batch run"]) -> Float[np.ndarray, "*batch"]:
    """Mean of the middle half, over the last axis; runs at the edges count by the share that lies inside."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    return ordered @ (weights / weights.sum())


def bootstrap_means(
    values: Sequence[Float[np.ndarray, "run member"]], rng: np.random.Generator, *, draws: int = DRAWS
) -> Float[np.ndarray, "algorithm draw run"]:
    """Means over members of resampled runs; each draw takes the same members, and the same runs, of every algorithm.

    Args:
        values: One array an algorithm, of equal shape.
        rng: Source of the resamples.
        draws: How many.
    """
    stacked = np.stack([np.asarray(each, dtype=np.float32) for each in values])
    algorithms, runs, members = stacked.shape
    flat = stacked.reshape(algorithms * runs, members)
    means = np.empty((algorithms, draws, runs))
    for draw in range(draws):
        # Poisson(1) counts are the bootstrap for many members, and cheaper than indices.
        counts = rng.poisson(1.0, members).astype(np.float32)
        chosen = rng.integers(runs, size=runs)
        means[:, draw] = ((flat @ counts).reshape(algorithms, runs) / counts.sum())[:, chosen]
    return means


def interval(estimates: Float[np.ndarray, "draw"], level: float = 0.95) -> tuple[float, float]:
    """The middle of resampled estimates."""
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap_interval(
    values: Float[np.ndarray, "run member"], rng: np.random.Generator, *, draws: int = DRAWS, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the interquartile mean over runs of the mean over members: runs and members are both resampled.

    Args:
        values: One number a run and member.
        rng: Source of the resamples.
        draws: How many.
        level: Share of them inside the interval.
    """
    return interval(interquartile_mean(bootstrap_means([values], rng, draws=draws)[0]), level)


def probability_of_improvement(
    first: Float[np.ndarray, "*batch run"], second: Float[np.ndarray, "*batch other"]
) -> Float[np.ndarray, "*batch"]:
    """Chance that a run of the first beats a run of the second, both drawn at random; a tie counts half."""
    difference = np.asarray(first)[..., :, None] - np.asarray(second)[..., None, :]
    return ((difference > 0) + 0.5 * (difference == 0)).mean(axis=(-2, -1))


def performance_profile(
    scores: Float[np.ndarray, "run"], thresholds: Float[np.ndarray, "threshold"]
) -> Float[np.ndarray, "threshold"]:
    """Share of the runs that score above each threshold."""
    return (np.asarray(scores)[:, None] > np.asarray(thresholds)).mean(axis=0)
