"""Contrasts against formulas, other software and their nominal level."""

import numpy as np
import pytest
from scipy import stats

from frl_env.evaluation.fairness import contrasts
from frl_env.evaluation.fairness.contrasts import REST, Grouping, compare_groups, holm


def grouping(labels, names=None, **options):
    labels = np.asarray(labels)
    return Grouping(attribute="g", labels=labels, names=tuple(names or np.unique(labels)), **options)


def compare(scores, labels, seed=0, **options):
    settings = {"least": 5, "resamples": 200, "permutations": 500} | options
    groups = labels if isinstance(labels, list) else [grouping(labels)]
    return compare_groups(scores, groups, rng=np.random.default_rng(seed), **settings)


def test_holm_by_hand():
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])


def test_a_contrast_is_the_difference_of_means_and_agrees_with_welch():
    rng = np.random.default_rng(1)
    labels = np.repeat(["a", "b", "c"], [80, 120, 60])
    x = rng.normal(size=260) * np.where(labels == "a", 3.0, 1.0) + 0.45 * (labels == "a") + 100.0
    found = {(c.first, c.second): c for c in compare({"x": x}, labels, permutations=4_000).contrasts}
    assert set(found) == {("a", "b"), ("a", "c"), ("b", "c")}
    for (a, b), contrast in found.items():
        welch = stats.ttest_ind(x[labels == a], x[labels == b], equal_var=False)
        assert contrast.difference == pytest.approx(x[labels == a].mean() - x[labels == b].mean(), abs=1e-9)
        assert contrast.p_value == pytest.approx(welch.pvalue, abs=0.04)
        low, high = welch.confidence_interval()
        assert (contrast.low, contrast.high) == pytest.approx((low, high), abs=0.25 * (high - low))
        assert contrast.low < contrast.difference < contrast.high


def test_joint_groups_are_compared_with_everyone_else():
    labels = np.repeat(["a", "b", "c", "tiny"], [50, 50, 50, 3])
    x = np.random.default_rng(2).normal(size=153)
    found = compare({"x": x}, [grouping(labels, ["a", "b", "c"], joint=True)]).contrasts
    assert [(c.first, c.second) for c in found] == [("a", REST), ("b", REST), ("c", REST)]
    assert found[0].difference == pytest.approx(x[:50].mean() - x[50:].mean())


def test_members_whom_a_score_does_not_speak_of_do_not_count():
    labels = np.repeat(["a", "b"], 60)
    x = np.random.default_rng(3).normal(size=120)
    x[::2] = np.nan
    (contrast,) = compare({"x": x}, labels).contrasts
    assert contrast.difference == pytest.approx(np.nanmean(x[:60]) - np.nanmean(x[60:]))
    assert not compare({"x": x}, labels, least=31).contrasts


def test_a_large_difference_is_found_in_a_large_family_and_a_constant_is_not_one():
    rng = np.random.default_rng(4)
    labels = np.repeat(list("abcdefgh"), 40)
    shifted = rng.normal(size=320) + 3.0 * (labels == "a")
    scores = {"shifted": shifted, "constant": np.full(320, 0.3), "noise": rng.normal(size=320)}
    found = [c for c in compare(scores, labels, permutations=10).contrasts if c.found]
    # 84 tests: ten permutations alone could never pass the correction.
    assert {(c.first, c.score) for c in found} == {("a", "shifted")}
    assert len(found) == 7


def test_groups_that_differ_without_any_spread_are_found():
    labels = np.repeat(["a", "b"], 40)
    (contrast,) = compare({"x": (labels == "a").astype(float)}, labels).contrasts
    assert contrast.found
    assert (contrast.low, contrast.high) == pytest.approx((1, 1))


def test_what_chance_makes_of_a_gap():
    rng = np.random.default_rng(5)
    labels = np.repeat(["a", "b", "c", "d"], 250)
    gap = compare({"x": rng.normal(size=1000)}, labels, permutations=2_000).chance_gaps["g", "x"]
    assert gap == pytest.approx(2.059 / np.sqrt(250), rel=0.05)  # expected range of 4 standard normals


def test_the_same_seed_gives_the_same_numbers():
    labels, x = np.repeat(["a", "b"], 50), np.random.default_rng(6).normal(size=100)
    assert compare({"x": x}, labels, seed=7) == compare({"x": x}, labels, seed=7)
    assert compare({"x": x}, labels, seed=7) != compare({"x": x}, labels, seed=8)


def test_permutations_taken_some_at_a_time_are_those_taken_one_by_one(monkeypatch):
    labels = np.repeat(["a", "b", "c"], [30, 50, 20])
    x = np.random.default_rng(8).normal(size=100) + 0.3 * (labels == "a")
    rng, own, beyond = np.random.default_rng(0), [], np.zeros(3)
    sides = [(labels == first, labels == second) for first, second in ("ab", "ac", "bc")]
    for number in range(601):
        dealt = x if number == 0 else x[rng.permuted(np.arange(100))]
        t = np.array([abs(stats.ttest_ind(dealt[a], dealt[b], equal_var=False).statistic) for a, b in sides])
        own = t if number == 0 else own
        beyond += t >= own * (1 - 1e-9)
    for numbers in (4_000_000, 30_000, 1):
        monkeypatch.setattr(contrasts, "_CHUNK", numbers)
        found = compare({"x": x}, labels, permutations=600).contrasts
        assert [contrast.p_value for contrast in found] == (beyond / 601).tolist()


def test_the_level_holds_with_unequal_variances_and_sizes():
    """The larger variance in the smaller group: a permutation test of the plain difference rejects 20 % here."""
    rejected = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        labels = np.repeat(["a", "b"], [15, 85])
        x = rng.normal(size=100) * np.where(labels == "a", 3.0, 1.0)
        (contrast,) = compare({"x": x}, labels, seed=seed, resamples=10, permutations=200).contrasts
        rejected += contrast.p_value <= 0.05
    assert rejected <= 20
