"""Intervals: resamples that are what they say, and coverage."""

import numpy as np
import pytest

from frl_env.errors import UserError
from frl_env.evaluation import Estimate, compare, interval, resample
from frl_env.evaluation.estimating.intervals import _replicate


def ratio_estimate(rng: np.random.Generator, n: int = 50) -> Estimate:
    weights = rng.exponential(size=(n, 3))
    return Estimate(
        name="ratio",
        plain=rng.normal(size=n),
        weighted=rng.normal(1, 1, (n, 3)),
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
        wanted = [again.value, again.linear_error, difference.value, difference.linear_error]
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
    monkeypatch.setattr("frl_env.evaluation.estimating.intervals._CHUNK", 50 * 7)
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
        estimate = Estimate(name="x", plain=np.zeros(80), weighted=rewards, denominators=weights)
        replicates = resample([estimate], np.zeros(80), rng, resamples=200)[0][0]
        covered += 1.0 in interval(estimate, replicates, method=method)
    assert 0.89 <= covered / 200 <= 0.98


def few_carry(rng: np.random.Generator, n: int = 300, steps: int = 13) -> tuple[Estimate, np.ndarray]:
    """Rare events of members who differ much, and a target that wants what was drawn for one in fifty a week.

    The target changes nothing, so that its value is that of behaviour, -0.286. In the last week 40 members carry the
    weight.
    """
    chance = 0.022 * rng.gamma(1.0, 1.0, n)
    rewards = -(rng.random((n, steps)) < chance[:, None]).astype(float)
    drawn = rng.random((n, steps))
    ratios = np.select([drawn < 0.02, drawn < 0.1], [8.0, 0.5], (1 - 0.02 * 8 - 0.08 * 0.5) / 0.9)
    weights = np.minimum(np.cumprod(ratios, axis=1), 30.0)
    return Estimate(name="few", plain=np.zeros(n), weighted=rewards, denominators=weights), rewards.sum(1)


@pytest.mark.parametrize("method", ["studentised", "normal"])
def test_coverage_where_few_members_carry_rare_events(method):
    """Heavy members mostly had no event, and then the linearised spread is far too small: nominally 0.95."""
    rng = np.random.default_rng(5)
    covered, blind, count = 0, 0, 200
    for _ in range(count):
        estimate, observed = few_carry(rng)
        replicates = resample([estimate], observed, rng, resamples=200)[0][0]
        covered += -0.286 in interval(estimate, replicates, method=method)
        blind += abs(estimate.value + 0.286) <= 1.96 * estimate.linear_error
    assert covered / count >= 0.94
    assert blind / count < 0.9


def nothing_left_to_chance(rng: np.random.Generator, n: int = 400, steps: int = 8) -> Estimate:
    """Rare events, and a target with one action a week, which is the logged one in six weeks of ten; value -0.4.

    In the last week seven members of 400 have a weight, and all others none.
    """
    rewards = -(rng.random((n, steps)) < 0.05).astype(float)
    weights = np.cumprod(rng.random((n, steps)) < 0.6, axis=1).astype(float)
    return Estimate(name="greedy", plain=np.zeros(n), weighted=rewards, denominators=weights)


def test_coverage_where_a_target_leaves_nothing_to_chance():
    """Members without weight had events, too: the error knows how much the weighted ones may have had."""
    rng = np.random.default_rng(7)
    estimates = [nothing_left_to_chance(rng) for _ in range(200)]
    covered = [-0.4 in interval(estimate, method="normal") for estimate in estimates]
    blind = [abs(estimate.value + 0.4) <= 1.96 * estimate.linear_error for estimate in estimates]
    assert np.mean(covered) >= 0.94
    assert np.mean(blind) < 0.9


def test_errors_of_a_ratio_by_hand():
    """The jackknife by leaving out, and the pooled error by its definition; both are that of a mean without weights."""
    rng = np.random.default_rng(2)
    estimate = ratio_estimate(rng, n=12)
    assert estimate.weighted is not None
    assert estimate.denominators is not None
    without = np.asarray([estimate.of(np.arange(12) != i).value for i in range(12)])
    left_out = np.sqrt(11 / 12 * ((without - without.mean()) ** 2).sum())
    weights = np.concatenate((np.ones((12, 1)), estimate.denominators / estimate.denominators.mean(axis=0)), axis=1)
    alike = np.concatenate((estimate.plain[:, None], estimate.weighted), axis=1)
    spread = np.cov(alike, rowvar=False)
    pooled = np.sqrt(sum(each @ spread @ each for each in weights)) / 12
    assert estimate.sampling_error == pytest.approx(max(left_out, pooled))
    rewards = rng.normal(size=(12, 3))
    same = Estimate(name="mean", plain=np.zeros(12), weighted=rewards, denominators=np.full((12, 3), 2.0))
    assert same.sampling_error == pytest.approx(rewards.sum(axis=1).std(ddof=1) / np.sqrt(12))
    alone = Estimate(name="one", plain=np.zeros(3), weighted=np.ones((3, 1)), denominators=np.eye(3)[:, :1])
    assert np.isfinite(alone.sampling_error)


def test_a_studentised_interval_of_few_members_is_nowhere_nearer_than_the_normal_one():
    """And reaches further on the side of the tail: few events so far, more to be expected."""
    estimate, observed = few_carry(np.random.default_rng(0))
    replicates = resample([estimate], observed, np.random.default_rng(0), resamples=2_000)[0][0]
    found, normal = interval(estimate, replicates), interval(estimate, method="normal")
    assert estimate.sampling_error > 1.1 * estimate.linear_error
    assert found.high >= normal.high
    assert found.low < normal.low - 0.2 * (estimate.value - normal.low)


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
    with pytest.raises(UserError, match="estimate 'ratio' is of other members"):
        resample([estimate], np.zeros(49), np.random.default_rng(0))
