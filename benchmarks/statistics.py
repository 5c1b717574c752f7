"""Honest summaries of a few runs: interquartile mean, and intervals by bootstrap (Agarwal et al., 2021)."""

import numpy as np
from jaxtyping import Float


def interquartile_mean(values: Float[np.ndarray, "*batch run"]) -> Float[np.ndarray, "*batch"]:
    """Mean of the middle half, over the last axis; runs at the edges count by the share that lies inside."""
    ordered = np.sort(np.asarray(values, dtype=np.float64), axis=-1)
    n = ordered.shape[-1]
    edges = np.arange(n + 1) / n
    weights = np.clip(np.minimum(edges[1:], 0.75) - np.maximum(edges[:-1], 0.25), 0, None)
    return ordered @ (weights / weights.sum())


def bootstrap_interval(
    values: Float[np.ndarray, "run member"], rng: np.random.Generator, *, draws: int = 2_000, level: float = 0.95
) -> tuple[float, float]:
    """Interval of the interquartile mean over runs of the mean over members: runs and members are both resampled.

    Members are the same in every run, and so are their resamples; runs are resampled within a draw.

    Args:
        values: One number a run and member.
        rng: Source of the resamples.
        draws: How many.
        level: Share of them inside the interval.
    """
    runs, members = values.shape
    estimates = np.empty(draws)
    for draw in range(draws):
        # Poisson(1) counts are the bootstrap for many members, and cheaper than indices.
        counts = rng.poisson(1.0, members)
        means = values[rng.integers(runs, size=runs)] @ counts / counts.sum()
        estimates[draw] = interquartile_mean(means)
    tail = 100 * (1 - level) / 2
    low, high = np.percentile(estimates, [tail, 100 - tail])
    return float(low), float(high)
