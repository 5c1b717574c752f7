"""Intervals: resamples that are what they say, and coverage."""

import numpy as np
import pytest

from frl_env.errors import UserError
from frl_env.evaluation import Estimate, compare, interval, resample
from frl_env.evaluation.intervals import _replicate


def ratio_estimate(rng: np.random.Generator, n: int = 50) -> Estimate:
    weights = rng.exponential(size=(n, 3))
    return Estimate(
        name="ratio",
        plain=rng.normal(size=n),
        numerators=weights * rng.normal(1, 1, (n, 3)),
        denominators=weights,
    )


@pytest.mark.parametrize("plain", [True, False])
def test_a_replicate_is_the_estimate_on_the_members_drawn(plain):
    rng = np.random.default_rng(0)
    estimate = Estimate(name="mean", plain=rng.normal(size=50)) if plain else ratio_estimate(rng)
    observed = rng.normal(size=50)
    drawn = rng.integers(50, size=(4, 50))
    counts = np.stack([np.bincount(draw, minlength=50) for draw in drawn]).astype(float)
    found = _replicate(estimate, observed, counts)
    for i, draw in enumerate(drawn):
        again = estimate.of(draw)
        difference = again.minus(observed[draw])
        wanted = [again.value, again.standard_error, difference.value, difference.standard_error]
        assert found[:, i] == pytest.approx(wanted, abs=1e-10)


def test_the_same_generator_gives_the_same_interval():
    estimate, observed = ratio_estimate(np.random.default_rng(0)), np.zeros(50)
    first, second, other = (
        compare([estimate], observed, rng=np.random.default_rng(seed), resamples=50)[0] for seed in (1, 1, 2)
    )
    assert first.to_dict() == second.to_dict()
    assert first.interval != other.interval


def test_many_resamples_in_several_chunks(monkeypatch):
    estimate, observed = ratio_estimate(np.random.default_rng(0)), np.zeros(50)
    whole = resample([estimate], observed, np.random.default_rng(1), resamples=40)[0][0].value
    monkeypatch.setattr("frl_env.evaluation.intervals._CHUNK", 50 * 7)
    parts = resample([estimate], observed, np.random.default_rng(1), resamples=40)[0][0].value
    assert np.allclose(whole, parts)


@pytest.mark.parametrize("method", ["studentised", "percentile", "normal"])
def test_coverage_where_the_truth_is_known(method):
    """A self-normalised mean of skewed rewards; nominally 0.95."""
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(200):
        weights = rng.exponential(size=(80, 1))
        rewards = rng.exponential(size=(80, 1))  # independent of the weights: the truth is 1
        estimate = Estimate(name="x", plain=np.zeros(80), numerators=weights * rewards, denominators=weights)
        replicates = resample([estimate], np.zeros(80), rng, resamples=200)[0][0]
        covered += 1.0 in interval(estimate, replicates, method=method)
    assert 0.89 <= covered / 200 <= 0.98


def test_a_studentised_interval_reaches_far_on_the_side_of_the_tail():
    """Few large values make the mean too low and its spread too small at once: the truth is likely far above."""
    rng = np.random.default_rng(0)
    estimate = Estimate(name="skewed", plain=rng.exponential(size=40) ** 2)
    replicates = resample([estimate], np.zeros(40), rng, resamples=2_000)[0][0]
    found = interval(estimate, replicates, method="studentised")
    assert found.high - estimate.value > 1.5 * (estimate.value - found.low)


@pytest.mark.parametrize("method", ["studentised", "percentile", "normal"])
def test_the_interval_of_a_difference_is_that_of_the_paired_terms(method):
    rng = np.random.default_rng(0)
    estimate, observed = ratio_estimate(rng), 5 * rng.normal(size=50)
    paired = compare([estimate], observed, rng=np.random.default_rng(1), resamples=80, method=method)[0]
    alone = compare(
        [estimate.minus(observed)], np.zeros(50), rng=np.random.default_rng(1), resamples=80, method=method
    )[0]
    limits = [paired.difference_interval.low, paired.difference_interval.high]
    assert limits == pytest.approx([alone.interval.low, alone.interval.high])
    assert limits != pytest.approx([paired.interval.low - observed.mean(), paired.interval.high - observed.mean()])


@pytest.mark.parametrize("method", ["studentised", "percentile", "normal"])
def test_an_error_that_all_members_share_is_in_every_interval(method):
    """Members x_i + b with one b for all, which resampling can't see: nominally 0.95, and hardly any without it."""
    rng = np.random.default_rng(5)
    covered, blind = 0, 0
    for _ in range(200):
        plain = rng.normal(size=60) + 0.5 * rng.normal()
        estimate = Estimate(name="x", plain=plain, shared=0.5)
        replicates = resample([estimate], np.zeros(60), rng, resamples=100)[0][0]
        covered += 0.0 in interval(estimate, replicates, method=method)
        blind += 0.0 in interval(Estimate(name="x", plain=plain), replicates, method=method)
    assert 0.91 <= covered / 200 <= 0.985
    assert blind / 200 < 0.6
    assert estimate.standard_error == pytest.approx(np.hypot(0.5, estimate.sampling_error))
    assert estimate.minus(np.ones(60)).of(np.arange(30)).shared == 0.5


def test_nothing_varies_where_nothing_differs():
    estimate = ratio_estimate(np.random.default_rng(0))
    same = Estimate(name="same", plain=estimate.terms)
    result = compare([same], estimate.terms, rng=np.random.default_rng(0), resamples=20)[0]
    assert (result.difference_interval.low, result.difference_interval.high) == (0.0, 0.0)


def test_errors():
    estimate = ratio_estimate(np.random.default_rng(0))
    with pytest.raises(UserError, match="unknown interval method 'hoeffding'"):
        interval(estimate, method="hoeffding")
    with pytest.raises(UserError, match="level must be a number between 0 and 1"):
        interval(estimate, method="normal", level=95)
    with pytest.raises(UserError, match="needs resamples"):
        interval(estimate, method="percentile")
    with pytest.raises(UserError, match="at least 2 members"):
        resample([estimate.of(np.array([3]))], np.zeros(1), np.random.default_rng(0))
    with pytest.raises(UserError, match=r"not \[49, 50\]"):
        resample([estimate], np.zeros(49), np.random.default_rng(0))
