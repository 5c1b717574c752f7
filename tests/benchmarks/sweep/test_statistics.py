"""What a scorecard says of many runs."""

import numpy as np
import pytest

from benchmarks.sweep.statistics import (
    bootstrap_means,
    interquartile_mean,
    interval,
    performance_profile,
    probability_of_improvement,
)


def test_statistics_by_hand():
    assert probability_of_improvement(np.array([1.0, 3.0]), np.array([2.0, 3.0])) == (0 + 0 + 1 + 0.5) / 4
    assert performance_profile(np.array([1.0, 5.0]), np.array([0.0, 1.0, 2.0])).tolist() == [1.0, 0.5, 0.5]
    assert interval(np.arange(101.0), level=0.9) == pytest.approx((5.0, 95.0))


def test_pairs_are_resampled_together():
    rng = np.random.default_rng(0)
    first = rng.normal(size=(5, 300))
    means = bootstrap_means([first, first + 1.0], rng, draws=50)
    assert means.shape == (2, 50, 5)
    np.testing.assert_allclose(means[1] - means[0], 1.0, atol=1e-5)
    spread = interquartile_mean(means[0]).std()
    assert spread > 0.01, "members and runs are resampled"
