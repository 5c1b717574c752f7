"""Bounds under hidden confounding: against linear programming, against a confounder that is known, and in one table."""

import html
import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import ActionValues, Confounding, LoggedEpisodes, Sensitivity, sensitivity
from frl_env.evaluation.sensitivity.sensitivity_plot import sensitivity_figure
from frl_env.evaluation.sensitivity.turning import turning_points, turning_sentence


def one_step(rewards, target, propensities, **options) -> Confounding:
    n = len(rewards)
    mask = np.ones((n, 1), dtype=bool)
    return Confounding(rewards[:, None], target[:, None], propensities[:, None], np.zeros((n, 1, 0)), mask, **options)


@pytest.mark.parametrize("strength", [1.0, 1.3, 4.0])
def test_one_step_is_the_solution_of_the_linear_programme(strength):
    rng = np.random.default_rng(0)
    n = 60
    rewards, target, propensities = rng.normal(size=n), rng.uniform(0.1, 0.9, n), rng.uniform(0.2, 0.8, n)
    low = target * (1 + (1 / propensities - 1) / strength)
    high = target * (1 + (1 / propensities - 1) * strength)
    limits = np.stack([low, high], axis=1)
    total = np.ones((1, n)), [(target / propensities).sum()]
    least = linprog(rewards / n, A_eq=total[0], b_eq=total[1], bounds=limits).fun
    most = -linprog(-rewards / n, A_eq=total[0], b_eq=total[1], bounds=limits).fun
    wide = np.append(rewards, [-1e3, 1e3])  # far rewards widen what a value may be, and weigh nothing
    found = one_step(wide, np.append(target, [0, 0]), np.append(propensities, [1, 1])).bounds(strength)
    assert found.low.value * (n + 2) == pytest.approx(least * n, abs=1e-8)
    assert found.high.value * (n + 2) == pytest.approx(most * n, abs=1e-8)


def confounded(members: int, weeks: int, strength: float, seed: int = 0, noise: float = 0.2) -> LoggedEpisodes:
    """Each week a hidden coin makes action 1 likelier, by exactly `strength` in the odds, and the reward worse."""
    rng = np.random.default_rng(seed)
    shape = (members, weeks)
    coin = rng.random(shape) < 0.5
    # P(action 1) is 1/2 over the coin; its odds given the coin are a factor of strength up or down.
    chance = np.where(coin, strength, 1.0) / (1 + strength)
    actions = (rng.random(shape) < chance).astype(int)
    return LoggedEpisodes(
        rewards=np.where(coin, -1.0, 0.0) + noise * rng.normal(size=shape) + 0.1 * actions,
        lengths=np.full(members, weeks),
        actions=actions,
        action_space=ActionSpace.from_nvec([2]),
        observations=np.zeros((*shape, 1), dtype=np.float32),
        propensities=np.full(shape, 0.5),  # given the record, which does not show the coin
        reward_parts={"coin": np.where(coin, -1.0, 0.0), "act": 0.1 * actions},
    )


@pytest.mark.parametrize("weeks", [1, 4])
def test_the_truth_is_inside_at_the_true_strength_and_outside_without(weeks):
    episodes = confounded(20_000, weeks, 2.0)
    # The target always takes action 1: it meets the coin as it falls.
    truth = weeks * (-0.5 + 0.1)
    target = episodes.actions.astype(float)
    confounding = Confounding(
        episodes.rewards, target, episodes.propensities, np.zeros((20_000, weeks, 0)), episodes.mask
    )
    naive, right = confounding.bounds(1.0), confounding.bounds(2.0)
    assert naive.low.value == pytest.approx(weeks * (-2 / 3 + 0.1), abs=0.02 * weeks)
    assert naive.high.value == pytest.approx(naive.low.value)
    assert truth > naive.high.value + 5 * naive.high.standard_error
    # A coin that decides nearly all of the reward is nearly the worst case: inside, and not by much.
    assert right.low.value < truth < right.high.value + 3 * right.high.standard_error
    assert right.high.value - truth < 0.12 * weeks


def test_bounds_widen_with_the_strength():
    episodes = confounded(2_000, 3, 1.5)
    features = np.random.default_rng(0).normal(size=(2_000, 3, 4))
    half = np.full((2_000, 3), 0.5)
    confounding = Confounding(episodes.rewards, half, episodes.propensities, features, episodes.mask)
    bounds = [confounding.bounds(strength) for strength in (1.0, 1.2, 1.5, 3.0)]
    lows, highs = [b.low.value for b in bounds], [b.high.value for b in bounds]
    assert lows == sorted(lows, reverse=True)
    assert highs == sorted(highs)
    assert lows[0] == pytest.approx(highs[0]) == pytest.approx(episodes.returns().mean(), abs=0.02)


@pytest.mark.parametrize("reward", [1.0, -1.0])
def test_who_has_left_earns_nothing_even_where_every_week_earns_something(reward):
    lengths = np.tile([1, 2, 3, 4], 25)
    mask = np.arange(4) < lengths[:, None]
    half = np.where(mask, 0.5, 1.0)
    confounding = Confounding(reward * mask, half, half, np.zeros((100, 4, 0)), mask)
    bounds = confounding.bounds(1.0)
    assert bounds.low.value == pytest.approx(2.5 * reward)
    assert bounds.high.value == pytest.approx(2.5 * reward)
    assert confounding.tipping_strength(reward * lengths, tolerance=0.1) <= 1.1


@pytest.mark.parametrize(("side", "noise"), [("low", 0.2), ("high", 0.2), ("high", 0.0)])
def test_standard_errors_of_bounds_are_those_of_new_samples(side, noise):
    """Without noise most rewards are the same number, as they are in weeks without events."""
    found = []
    for seed in range(150):
        episodes = confounded(400, 3, 1.5, seed=seed, noise=noise)
        features = np.random.default_rng(seed).normal(size=(400, 3, 1))
        target = np.where(episodes.actions == 1, 0.9, 0.1)
        confounding = Confounding(
            episodes.rewards, target, episodes.propensities, features, episodes.mask, discount=0.9
        )
        found.append(getattr(confounding.bounds(2.0), side))
    spread = np.std([bound.value for bound in found])
    assert np.mean([bound.standard_error for bound in found]) == pytest.approx(spread, rel=0.15)


def test_errors_follow_the_states_that_the_target_reaches():
    """Who got action 1 last week has noisy rewards this week, and the target takes it nearly always."""

    def bound(seed: int):
        rng = np.random.default_rng(seed)
        actions = (rng.random((500, 3)) < 0.5).astype(int)
        last = np.concatenate([np.zeros((500, 1)), actions[:, :-1]], axis=1)
        rewards = 2 * last + np.where(last == 1, 3.0, 0.1) * rng.normal(size=(500, 3))
        target = np.where(actions == 1, 0.95, 0.05)
        mask = np.ones((500, 3), dtype=bool)
        return Confounding(rewards, target, np.full((500, 3), 0.5), last[..., None], mask).bounds(1.0).low

    found = [bound(seed) for seed in range(150)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.15)


def test_errors_where_most_rewards_are_the_same():
    def bound(seed: int):
        rng = np.random.default_rng(seed)
        rewards = -(rng.random((400, 15)) < 0.05).astype(float)
        half, mask = np.full((400, 15), 0.5), np.ones((400, 15), dtype=bool)
        return Confounding(rewards, half, half, np.zeros((400, 15, 0)), mask).bounds(2.0).low

    found = [bound(seed) for seed in range(100)]
    spread = np.std([one.value for one in found])
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.2)


def test_values_that_foresee_rewards_narrow_the_bounds():
    rng = np.random.default_rng(0)
    known = rng.normal(size=(3_000, 2))
    rewards = known + 0.1 * rng.normal(size=(3_000, 2))
    half, mask = np.full((3_000, 2), 0.5), np.ones((3_000, 2), dtype=bool)
    total = np.cumsum(known[:, ::-1], axis=1)[:, ::-1]
    nothing = np.zeros((3_000, 2, 0))
    without = Confounding(rewards, half, half, nothing, mask).bounds(2.0)
    with_values = Confounding(
        rewards, half, half, nothing, mask, values=ActionValues(logged=total, policy=total)
    ).bounds(2.0)
    assert with_values.high.value - with_values.low.value < 0.3 * (without.high.value - without.low.value)


def test_the_tipping_strength_is_where_the_bound_meets_what_was_observed():
    episodes = confounded(20_000, 1, 1.0)
    target = episodes.actions.astype(float)
    confounding = one_step(episodes.rewards[:, 0], target[:, 0], episodes.propensities[:, 0])
    observed = episodes.returns() - 0.15  # a difference of 0.05 + 0.15
    tipping = confounding.tipping_strength(observed)
    assert 1.2 < tipping < 4
    assert confounding.bounds(tipping).low.value <= observed.mean()
    assert confounding.bounds(tipping - 0.05).low.value > observed.mean()
    assert confounding.tipping_strength(observed - 100) == np.inf
    with pytest.raises(UserError, match="strength of confounding must be a number in 1"):
        confounding.bounds(0.5)


@pytest.fixture(scope="module")
def table():
    episodes = confounded(600, 3, 1.5)
    return episodes, sensitivity(
        episodes,
        np.where(episodes.actions == 1, 0.6, 0.4),
        rng=np.random.default_rng(0),
        strengths=(1.0, 1.5),
        clips=(0.5, 2.0),
        windows=(2,),
        run_out=(1, 3),
        reward_weights=({"coin": 1.0, "act": 1.0}, {"act": 10.0}),
    )


def test_one_table_of_everything(table):
    episodes, found = table
    assert found.estimator == "WIS"
    rows = found.table.set_index(["what", "setting"])
    assert list(dict.fromkeys(found.table.what)) == [
        "as evaluated",
        "hidden confounding",
        "propensities",
        "cut-off",
        "memory",
        "run-out",
        "reward",
    ]
    base = rows.loc[("as evaluated", "WIS")]
    bounds = rows.loc["hidden confounding"]
    assert (
        bounds.loc["Lambda = 1.5", "lowest"] < bounds.loc["Lambda = 1", "lowest"] <= bounds.loc["Lambda = 1", "highest"]
    )
    assert bounds.loc["Lambda = 1.5", "highest"] > bounds.loc["Lambda = 1", "highest"]
    assert bounds.loc["Lambda = 1.5", "high"] > bounds.loc["Lambda = 1.5", "highest"]
    assert bounds.loc["Lambda = 1.5", "low"] < bounds.loc["Lambda = 1.5", "lowest"]
    propensities = rows.loc["propensities"]
    assert set(propensities.index) == {
        "5% frequencies",
        "20% frequencies",
        "errors of 0.1",
        "errors of 0.3",
        "estimated",
    }
    assert propensities.loc["estimated", "difference"] == pytest.approx(base.difference, abs=0.02)
    assert propensities.loc["errors of 0.3", "members"] < base.members
    assert abs(rows.loc[("cut-off", "0.5"), "difference"]) < abs(base.difference)
    out = rows.loc["run-out"]
    assert list(out.index) == ["nothing left out, by WIS", "last 1 weeks left out"], "three weeks leave none"
    assert out.loc["nothing left out, by WIS", "difference"] == base.difference
    assert out.loc["last 1 weeks left out", "difference"] == pytest.approx(base.difference * 2 / 3, abs=0.02)
    # Parts with their own weights are the whole reward again, but for the noise that is in no part.
    assert rows.loc[("reward", "coin x 1, act x 1"), "difference"] == pytest.approx(base.difference, abs=0.02)
    acts = 10 * episodes.reward_parts["act"]
    assert rows.loc[("reward", "act x 10"), "difference"] == pytest.approx(3 * 0.6 - acts.sum(axis=1).mean(), abs=0.06)


def test_a_stronger_confounding_leaves_open_all_that_a_weaker_one_does():
    """Predictions of a regression keep no order: here the bounds of 3 come out inside those of 2."""
    rng = np.random.default_rng(24)
    shape = (60, 6)
    features, rewards = rng.normal(size=(*shape, 8)), rng.normal(size=shape)
    propensities, target = rng.uniform(0.05, 0.95, shape), rng.uniform(0, 1, shape)
    alone = Confounding(rewards, target, propensities, features, np.ones(shape, dtype=bool))
    weak, strong = alone.bounds(2.0), alone.bounds(3.0)
    assert weak.low.value < strong.low.value < strong.high.value < weak.high.value
    plain = Confounding(rewards, target, propensities, features[:, :, :0], np.ones(shape, dtype=bool))
    nested = [plain.bounds(strength) for strength in (1.0, 1.5, 2.0, 3.0)]
    assert (
        np.diff([each.low.value for each in nested]).max() <= 0 <= np.diff([each.high.value for each in nested]).min()
    )
    episodes = LoggedEpisodes(
        rewards=rewards,
        lengths=np.full(shape[0], shape[1]),
        actions=np.zeros(shape, dtype=int),
        action_space=ActionSpace.from_nvec([2]),
    )
    found = sensitivity(
        episodes, target, rng=rng, propensities=propensities, features=features, strengths=(3.0, 2.0), run_out=()
    )
    table = found.table[found.table.what == "hidden confounding"]
    assert [*table.setting] == ["Lambda = 1", "Lambda = 2", "Lambda = 3"]
    assert all(table[lower].is_monotonic_decreasing for lower in ("lowest", "low"))
    assert all(table[upper].is_monotonic_increasing for upper in ("highest", "high"))


def test_a_row_of_logged_propensities_has_their_errors_whatever_the_evaluation_took():
    """Estimated ones hold some of what chance did in these members, known ones do not."""
    episodes = confounded(600, 3, 1.5)
    target = np.where(episodes.actions == 1, 0.6, 0.4)
    logged, estimated = (
        sensitivity(episodes, target, rng=np.random.default_rng(0), propensities=base, run_out=())
        .table.set_index(["what", "setting"])[["difference", "low", "high"]]
        .astype(float)
        for base in ("logged", "estimated")
    )
    (evaluated,) = logged.loc["as evaluated"].to_numpy()
    assert estimated.loc[("propensities", "logged")].to_numpy() == pytest.approx(evaluated, rel=1e-12)
    assert "estimated" in logged.loc["propensities"].index


def test_the_tipping_strength_agrees_with_the_bounds_in_the_table():
    episodes = confounded(2_000, 1, 1.0)
    target = episodes.actions.astype(float)
    confounding = one_step(episodes.rewards[:, 0], target[:, 0], episodes.propensities[:, 0])
    observed = episodes.returns() - 0.15
    found = confounding.tipping_strength(observed, strengths=(1.0, 3.0))
    assert 1 < found <= 3
    assert found == pytest.approx(confounding.tipping_strength(observed), abs=0.02)
    assert confounding.tipping_strength(observed, strengths=(3.0,), tolerance=4.0) == 3.0


def rows(**intervals):
    """A table of one row a kind, as evaluated first."""
    found = [{"what": "as evaluated", "setting": "WDR", "difference": 0.2, "low": 0.1, "high": 0.3}]
    for what, (low, high) in intervals.items():
        kind, setting = what.split("_", 1)
        found.append({"what": kind, "setting": setting, "difference": (low + high) / 2, "low": low, "high": high})
    return pd.DataFrame(found)


def test_a_conclusion_turns_where_the_interval_says_something_else():
    table = rows(**{"cut-off_3": (0.05, 0.2), "cut-off_1": (-0.1, 0.2), "propensities_noise": (-0.3, -0.1)})
    assert turning_points(table) == {"cut-off": ["1"], "propensities": ["noise"]}
    said = turning_sentence(table, turning_points(table))
    assert "By WDR, the policy is better than what was done (+0.2, +0.1 to +0.3)" in said
    assert "cut-off (1); propensities (noise)" in said


def test_rows_by_another_estimator_are_compared_with_their_own_first_row():
    table = rows(**{"run-out_0": (-0.1, 0.2), "run-out_4": (-0.1, 0.1), "reward_ip": (0.1, 0.2)})
    assert turning_points(table) == {"run-out": [], "reward": ["ip"]}
    assert "Compared with the row that it varies, another" in turning_sentence(table, turning_points(table))
    assert (
        ". By estimators of their own, before anything is varied, the interval holds 0, so that nothing is decided "
        "(run-out: 0). Compared" in turning_sentence(table, turning_points(table))
    ), "the first row of run-out is no setting, but says something else"
    unmoved = rows(**{"run-out_0": (-0.1, 0.2), "run-out_4": (-0.1, 0.1)})
    assert "no setting that was tried says otherwise" not in (said := turning_sentence(unmoved, {"run-out": []}))
    assert said.endswith(
        "(run-out: 0). No setting that was tried draws another conclusion than the row that it varies."
    )
    bounds = {
        f"hidden confounding_{at}": ends for at, ends in (("1", (-0.1, 0.2)), ("2", (-0.2, 0.3)), ("3", (-3, -1)))
    }
    assert turning_points(rows(**bounds)) == {"hidden confounding": ["3"]}, "bounds of 1 are undecided already"
    still = rows(**{"cut-off_3": (0.05, 0.2)})
    assert turning_sentence(still, turning_points(still)).endswith("no setting that was tried says otherwise.")


def test_the_behaviour_policy_itself_is_neither_better_nor_worse():
    """Its difference is 0, but sums in another order differ in the last digit."""
    found = pd.DataFrame(
        [{"what": "as evaluated", "setting": "WIS", "difference": -1e-16, "low": -2e-16, "high": -1e-16}]
    )
    said = turning_sentence(found, turning_points(found))
    assert said.startswith("By WIS, the interval holds 0, so that nothing is decided (+0, +0 to +0)")


def test_few_effective_members_of_real_people_and_weeks_of_run_out():
    episodes = confounded(300, 3, 1.0)
    target = np.where(np.arange(300)[:, None] < 3, 1.0, 1e-6) * np.ones((300, 3))
    told = sensitivity(replace(episodes, simulated=True), target, rng=np.random.default_rng(0)).table
    assert told.members[0] < 11
    real = sensitivity(episodes, target, rng=np.random.default_rng(0))
    assert np.isnan(real.table.members[0])
    assert real.to_dict()["rows"][0]["members"] is None
    with pytest.raises(UserError, match="weeks of run-out must be a whole number in 1"):
        sensitivity(episodes, target, rng=np.random.default_rng(0), run_out=(-1,))


def test_the_figure_has_a_row_a_setting_and_is_the_same_every_time(table):
    _, found = table
    drawn = sensitivity_figure(found, note="nobody real")
    assert drawn == sensitivity_figure(found, note="nobody real")
    assert b"nobody real" in drawn
    assert b"propensities: errors of 0.1" in drawn


def test_what_the_figure_says_of_its_colours_is_true_of_rows_with_a_first_row_of_their_own():
    table = rows(**{"run-out_nothing left out": (-0.1, 0.2), "run-out_$_$ left out": (0.1, 0.2)})
    found = Sensitivity(estimator="WDR", tipping_strength=float("nan"), table=table)
    assert found.turning == {"run-out": ["$_$ left out"]}  # as the estimate says, and not as the first row of its kind
    drawn = sensitivity_figure(found, note="nobody real").decode()
    assert "turns the conclusion" in drawn
    assert "not 'better'" not in html.unescape(drawn)
    assert "$_$ left out" in drawn


def test_the_table_is_json(table):
    _, found = table
    again = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert again["tipping_strength"] is None or again["tipping_strength"] > 1
    assert len(again["rows"]) == len(found.table)


def test_errors_of_the_table():
    episodes = confounded(50, 2, 1.0)
    half = np.full((50, 2), 0.5)
    with pytest.raises(UserError, match="unknown reward part 'ip'"):
        sensitivity(episodes, half, rng=np.random.default_rng(0), reward_weights=({"ip": 1.0},))
    with pytest.raises(UserError, match="unknown estimator 'WDR'"):
        sensitivity(episodes, half, rng=np.random.default_rng(0), estimator="WDR")
