"""Diagnostics of weights, and the refusals that follow from them."""

from dataclasses import replace

import numpy as np
import pytest

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, Thresholds, Weights, diagnose, effective_members, tail_index


@pytest.fixture
def episodes() -> LoggedEpisodes:
    """400 members of two groups; a quarter of them leaves after 2 of 4 weeks."""
    n = 400
    return LoggedEpisodes(
        rewards=np.zeros((n, 4)),
        lengths=np.where(np.arange(n) % 4 == 0, 2, 4),
        actions=np.zeros((n, 4), dtype=int),
        action_space=ActionSpace.from_nvec([2]),
        groups={"age": np.where(np.arange(n) < 100, "young", "old")},
        simulated=True,
    )


def test_effective_members_by_hand():
    assert effective_members(np.ones(7)) == pytest.approx(7)
    assert effective_members(np.array([3.0, 0, 0])) == pytest.approx(1)
    assert effective_members(np.array([1.0, 1, 2])) == pytest.approx(16 / 6)
    assert effective_members(np.zeros(3)) == 0
    assert effective_members(np.array([1e200, 1e200])) == pytest.approx(2)
    assert effective_members(np.array([[1.0, 1], [1, 0]])).tolist() == [2, 1]


def test_the_tail_index_is_that_of_a_pareto_tail():
    rng = np.random.default_rng(0)
    for exponent in (1.0, 4.0):
        assert tail_index(1 + rng.pareto(exponent, 50_000)) == pytest.approx(1 / exponent, rel=0.1)
    assert tail_index(np.ones(100)) == 0
    assert tail_index(np.array([1.0, 2, 3, 0, 0, 0])) == np.inf


def test_equal_weights_count_everybody(episodes):
    found = diagnose(episodes, np.zeros((400, 4)), {"cumulative": Weights(grid=np.ones((400, 4)))})
    weights = found.weights["cumulative"]
    assert weights.members == pytest.approx(400)
    assert weights.by_week == pytest.approx([400, 400, 300, 300])
    assert weights.worst_week == pytest.approx(1)
    assert weights.by_group == {"age": {"old": pytest.approx(300), "young": pytest.approx(100)}}
    assert weights.max_share == pytest.approx(1 / 400)
    assert weights.tail == 0
    assert found.mean_ratio == 1
    assert found.mean_ratio_error == 0
    assert found.groups == {"age": {"old": 300, "young": 100}}
    assert found.reasons("cumulative", Thresholds()) == []


def test_after_the_end_nothing_counts(episodes):
    grid = np.where(episodes.mask, 1.0, 1e9)
    found = diagnose(episodes, np.zeros((400, 4)), {"cumulative": Weights(grid=grid)})
    assert found.weights["cumulative"].members == pytest.approx(400)


def test_weeks_that_hardly_anybody_reaches_are_not_the_worst(episodes):
    few = replace(episodes, lengths=np.where(np.arange(400) < 39, 4, 3))
    grid = np.ones((400, 4))
    grid[1:39, 3] = 0  # the last week rests on one of 39, or two of 40
    found = diagnose(few, np.zeros((400, 4)), {"x": Weights(grid=grid)}).weights["x"]
    assert found.by_week[3] == pytest.approx(1)
    assert found.worst_week == pytest.approx(1)
    enough = replace(episodes, lengths=np.where(np.arange(400) < 40, 4, 3))
    found = diagnose(enough, np.zeros((400, 4)), {"x": Weights(grid=grid)}).weights["x"]
    assert found.worst_week == pytest.approx(2 / 40)


def test_a_cut_off_says_what_it_takes(episodes):
    grid = np.ones((400, 4))
    grid[1] = 101.0
    found = diagnose(episodes, np.zeros((400, 4)), {"x": Weights(grid=grid, clip=1.0)}).weights["x"]
    assert found.clipped == pytest.approx(400 / (episodes.mask.sum() + 400))
    assert found.members == pytest.approx(400)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda grid: np.where(np.arange(400)[:, None] < 80, grid, 0), "80.0 of 400 members carry the weight"),
        (lambda grid: grid * np.where(np.arange(400)[:, None] == 3, 25, 1), "one member has 5.9% of all weight"),
        (
            lambda grid: np.where((np.arange(4) == 3) & (np.arange(400)[:, None] > 13), 0, grid),
            "3.3% of the members still followed carry the weight of the worst week",
        ),
        (
            lambda grid: grid * 1.3 ** np.minimum(np.arange(400)[:, None] % 20, 12),
            None,
        ),
    ],
)
def test_uneven_weights_are_refused_in_words(episodes, spoil, reason):
    found = diagnose(episodes, np.zeros((400, 4)), {"x": Weights(grid=spoil(np.ones((400, 4))))})
    reasons = "; ".join(found.reasons("x", Thresholds(week_share=0.2)))
    assert reason in reasons if reason else not reasons


def test_heavy_tails_lost_support_and_wrong_propensities_are_refused(episodes):
    rng = np.random.default_rng(0)
    heavy = np.repeat(1 + rng.pareto(1.2, 400)[:, None], 4, axis=1)
    grids = {
        "heavy": Weights(grid=heavy),
        "cut": Weights(grid=heavy, clip=1.5),
        "even": Weights(grid=np.ones((400, 4))),
    }
    log_ratios = np.where(episodes.mask, np.log(1.2), 0)
    unsupported = np.where(episodes.mask, 0.25, 0)
    found = diagnose(episodes, log_ratios, grids, unsupported=unsupported)
    assert found.mean_ratio == pytest.approx(1.2)
    off, propensities = "puts 25.0% of its mass on actions that fewer than 11 members got", "one-week ratio is 1.200"
    for kind, own in (("heavy", "tail index"), ("cut", "the cut-off takes"), ("even", None), (None, None)):
        reasons = "; ".join(found.reasons(kind, Thresholds()))
        assert off in reasons
        assert (propensities in reasons) is (kind is not None)
        assert own is None or own in reasons
    lenient = Thresholds(tail=9, max_share=1, members=1, week_share=0, clipped=1, unsupported=1, mean_ratio=1)
    assert not any(found.reasons(kind, lenient) for kind in ("heavy", "cut", "even", None))


def test_the_mean_ratio_has_a_standard_error_by_member(episodes):
    rng = np.random.default_rng(0)
    member = rng.normal(scale=0.3, size=(400, 1))  # the same error in all weeks of a member
    log_ratios = np.where(episodes.mask, member, 0)
    found = diagnose(episodes, log_ratios, {})
    ratio = np.exp(member[:, 0])
    totals, weeks = ratio * episodes.lengths, episodes.lengths
    left_out = (totals.sum() - totals) / (weeks.sum() - weeks)
    assert found.mean_ratio_error == pytest.approx(np.sqrt(399 * np.var(left_out)), rel=0.02)


def test_thresholds_are_checked():
    with pytest.raises(UserError, match=r"max_share must be a number in 0..1"):
        Thresholds(max_share=5)
    with pytest.raises(UserError, match="members must be a number"):
        Thresholds(members=float("nan"))


def test_of_real_members_few_effective_ones_are_not_told_in_any_form(episodes):
    weights = np.ones((400, 4))
    weights[:4, 1] = 1e6  # 4 members carry the second week, and the whole
    groups = {"age": np.where(np.arange(400) < 5, "young", "old")}
    real = replace(episodes, simulated=False, groups=groups)
    found = diagnose(real, np.zeros((400, 4)), {"x": Weights(grid=weights)})
    said = found.to_dict()["weights"]["x"]
    assert said["members"] is None
    assert said["max_share"] is None  # one over it would be their number
    assert said["worst_week"] is None
    assert said["by_week"] == [1.0, None, 1.0, 1.0]
    assert said["by_group"] == {"age": {}}  # the old would give the young away
    assert found.to_dict()["followed"] == [400, 400, 300, 300]
    reasons = "; ".join(found.reasons("x", Thresholds()))
    assert "fewer than 11 of 400 members carry the weight" in reasons
    assert "too small a share of the members still followed" in reasons
    assert "one member has too much of all weight" in reasons
    open_ = replace(found, simulated=True)
    assert 3 < open_.to_dict()["weights"]["x"]["members"] < 5
    assert "3.6 of 400 members" in "; ".join(open_.reasons("x", Thresholds()))


def test_shares_by_week_of_real_members_have_two_decimals_and_no_counts_beside_them(episodes):
    lengths = np.where(np.arange(400) < 3, 2, 4)
    weights = 1 + np.random.default_rng(0).random((400, 4))
    real = replace(episodes, simulated=False, lengths=lengths)
    off = np.zeros((400, 4))
    off[0, 0] = 1  # of 1,594 decisions: a greedy target's count can be worked out
    found = diagnose(real, np.zeros((400, 4)), {"x": Weights(grid=weights)}, unsupported=off)
    said = found.to_dict()
    assert said["unsupported"] == 0.001
    assert replace(found, simulated=True).to_dict()["unsupported"] == pytest.approx(1 / 1594, rel=1e-12)
    assert said["followed"] == [400, 400, 400, 400]  # nobody learns that 3 left
    assert all(0 < week <= 1 and week == round(week, 2) for week in said["weights"]["x"]["by_week"])
