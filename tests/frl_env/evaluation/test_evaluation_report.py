"""The report: one call, a headline or a refusal, and errors about the target policy."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import (
    ActionValues,
    Estimate,
    LoggedEpisodes,
    TargetScores,
    Thresholds,
    evaluate,
    score_target,
    sensitivity,
    supported_actions,
)

SPACE = ActionSpace.from_nvec([2, 2])
EFFECT = np.array([0.0, 1.0, -1.0, 0.5])
WEEKS = 6


def behaviour(observations: np.ndarray) -> np.ndarray:
    scores = np.stack([0 * observations[:, 0], *(0.4 * observations[:, :1] * [0.5, -0.5, 0.2]).T], axis=1)
    powers = np.exp(scores)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def always(action: int, share: float = 0.6):
    """Takes one action with this probability, else what behaviour does."""
    return lambda observations: (1 - share) * behaviour(observations) + share * np.eye(4, dtype=np.float32)[action]


def simulate(members: int = 1_500, seed: int = 0) -> LoggedEpisodes:
    """Weekly rewards: a lasting trait that the record shows, plus the effect of the action, plus noise."""
    rng = np.random.default_rng(seed)
    observations = np.repeat(rng.normal(size=(members, 1, 1)), WEEKS, axis=1).astype(np.float32)
    probabilities = behaviour(observations.reshape(-1, 1)).astype(np.float64)
    draws = rng.random(len(probabilities))[:, None]
    actions = (probabilities.cumsum(axis=1) < draws * probabilities.sum(axis=1, keepdims=True)).sum(axis=1)
    shape = (members, WEEKS)
    propensities = probabilities[np.arange(len(actions)), actions].reshape(shape)
    actions = actions.reshape(shape)
    lengths = np.where(rng.random(members) < 0.2, 3, WEEKS)
    return LoggedEpisodes(
        rewards=observations[..., 0] + EFFECT[actions] + 0.5 * rng.normal(size=shape),
        lengths=lengths,
        actions=actions,
        action_space=SPACE,
        observations=observations,
        propensities=propensities,
        groups={"sex": np.where(rng.random(members) < 0.01, "other", "most")},
    )


def q_of_the_week(observations: np.ndarray) -> np.ndarray:
    return observations[:, :1] + EFFECT


def right_values(episodes: LoggedEpisodes, policy) -> ActionValues:
    """Q and V: what this action does, what the policy does in the weeks that are left, and the trait in all of them."""
    rows = episodes.observation_rows
    left = (episodes.lengths[:, None] - np.arange(WEEKS))[episodes.mask]
    week = policy(rows) @ EFFECT
    trait = left * rows[:, 0]
    logged = trait + EFFECT[episodes.actions[episodes.mask]] + (left - 1) * week
    return ActionValues(logged=episodes.padded("Q", logged), policy=episodes.padded("V", trait + left * week))


@pytest.fixture(scope="module")
def episodes() -> LoggedEpisodes:
    return simulate()


def truth(policy, episodes: LoggedEpisodes) -> float:
    """Exact but for rounding, since actions have no memory."""
    many = np.random.default_rng(9).normal(size=(200_000, 1)).astype(np.float32)
    return float((policy(many) @ EFFECT).mean() * episodes.lengths.mean())


def test_the_behaviour_policy_keeps_its_value_and_everybody_counts(episodes):
    report = evaluate(episodes, behaviour, rng=np.random.default_rng(0), resamples=50)
    for name in ("PDIS", "WIS", "MIS"):
        result = report.results[name]
        assert result.estimate.value == pytest.approx(episodes.returns().mean(), abs=1e-5)
        assert abs(result.difference_interval.low) < 1e-5
        assert abs(result.difference_interval.high) < 1e-5
    for weights in report.diagnostics.weights.values():
        assert weights.members == pytest.approx(len(episodes), rel=1e-6)
        assert weights.by_week == pytest.approx(episodes.mask.sum(axis=0), rel=1e-6)
    assert report.headline is report.results["WIS clip 30"]
    assert report.diagnostics.mean_ratio == pytest.approx(1, abs=1e-6)
    assert "difference to behaviour" in report.sentence


@pytest.mark.parametrize(("action", "share"), [(1, 0.2), (2, 0.2), (3, 0.4)])
def test_every_estimator_finds_the_truth(episodes, action, share):
    policy = always(action, share)
    values = right_values(episodes, policy)
    report = evaluate(episodes, policy, rng=np.random.default_rng(0), q_values=values, resamples=200)
    true_difference = truth(policy, episodes) - truth(behaviour, episodes)
    assert set(report.results) >= {"DM", "PDIS", "WIS", "DR", "WDR", "MIS", "MDR", "MDR 4 weeks", "WDR clip 100"}
    for name, result in report.results.items():
        error = result.difference.value - true_difference
        assert abs(error) < 4 * result.difference.standard_error, name
    errors = {name: result.difference.standard_error for name, result in report.results.items()}
    assert errors["WDR"] < 0.9 * errors["WIS"]
    assert errors["MDR"] < 0.9 * errors["PDIS"]
    assert errors["MDR"] <= errors["MDR 4 weeks"] <= errors["WDR"] * 1.01


def test_a_bad_policy_is_last(episodes):
    policies = {f"action {a}": always(a, 0.3) for a in range(4)}
    for name in ("PDIS", "WIS", "WDR", "DR", "MIS", "MDR"):
        values = {}
        for label, policy in policies.items():
            report = evaluate(
                episodes, policy, rng=np.random.default_rng(0), q_values=q_of_the_week, clips=(), resamples=2
            )
            values[label] = report.results[name].estimate.value
        assert sorted(values, key=values.__getitem__) == ["action 2", "action 0", "action 3", "action 1"], name


def test_a_headline_is_refused_and_says_why(episodes):
    rare = always(1, 0.999)
    report = evaluate(episodes, rare, rng=np.random.default_rng(0), resamples=20)
    assert report.headline is None
    assert report.sentence.startswith("No headline (WIS clip 30): ")
    assert report.sentence == f"No headline (WIS clip 30): {report.reasons[0]}."
    assert any("members still followed carry the weight of the worst week" in reason for reason in report.reasons)
    assert any("the cut-off takes" in reason for reason in report.reasons)
    lenient = Thresholds(members=0, week_share=0, tail=99, max_share=1, mean_ratio=1)
    report = evaluate(episodes, rare, rng=np.random.default_rng(0), resamples=20, thresholds=lenient, headline="WIS")
    assert report.headline is not None


def test_the_headline_is_what_is_recommended(episodes):
    settings = {"rng": np.random.default_rng(0), "resamples": 2}
    q = {"q_values": q_of_the_week}
    assert evaluate(episodes, behaviour, **settings, **q).headline_estimator == "WDR clip 30"
    assert evaluate(episodes, behaviour, **settings, **q, clips=(5,)).headline_estimator == "WDR"
    assert evaluate(episodes, behaviour, **settings).headline_estimator == "WIS clip 30"


def test_a_headline_of_ones_own_choice(episodes):
    own = Estimate(name="mine", plain=episodes.returns() + np.random.default_rng(1).normal(size=len(episodes)))
    report = evaluate(episodes, behaviour, rng=np.random.default_rng(0), resamples=20, others=[own], headline="mine")
    assert report.headline is not None
    assert report.headline.difference.value == pytest.approx(own.minus(episodes.returns()).value)
    assumes = "if the record then holds all of the past that matters"
    marginal = evaluate(episodes, behaviour, rng=np.random.default_rng(0), resamples=20, headline="MIS 4 weeks")
    assert assumes in marginal.sentence
    assert assumes not in report.sentence
    with pytest.raises(UserError, match="unknown estimator for the headline 'WDR'"):
        evaluate(episodes, behaviour, rng=np.random.default_rng(0), headline="WDR")


def test_a_target_that_never_does_what_was_done_has_no_headline_and_still_a_report(episodes):
    never = np.where(np.arange(len(episodes))[:, None] < 3, 1.0, 0.0) * np.ones((1, WEEKS))
    report = evaluate(episodes, never, rng=np.random.default_rng(0), resamples=20)
    assert report.headline is None
    assert any("the tail index of the weights is inf" in reason for reason in report.reasons)
    json.dumps(report.to_dict(), allow_nan=False)


def test_groups_with_few_effective_members_are_withheld(episodes):
    report = evaluate(episodes, always(1, 0.2), rng=np.random.default_rng(0), resamples=50)
    assert report.by_group["sex"]["other"] is None
    most = report.by_group["sex"]["most"]
    assert most is not None
    kept = episodes.subset(episodes.groups["sex"] == "most")
    own = evaluate(kept, always(1, 0.2), rng=np.random.default_rng(0), resamples=2)
    assert most.estimate.value == pytest.approx(own.results["WIS clip 30"].estimate.value)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_members_without_a_label_are_a_group_like_any_other(episodes, missing):
    labels = np.array(["A", missing, "B"], dtype=object)[np.arange(len(episodes)) % 3]
    labelled = replace(episodes, groups={"race": labels, "age": np.arange(len(episodes)) % 2})
    report = evaluate(labelled, behaviour, rng=np.random.default_rng(0), resamples=20)
    assert set(report.by_group["race"]) == {"A", "B", "NOT RECORDED"}
    unlabelled = report.by_group["race"]["NOT RECORDED"]
    assert unlabelled is not None
    assert unlabelled.estimate.value == pytest.approx(episodes.returns()[1::3].mean())
    assert report.diagnostics.groups["race"] == {"A": 500, "B": 500, "NOT RECORDED": 500}
    assert labelled.groups["age"].dtype == int
    assert set(replace(labelled, groups={"race": np.array(["A", "", "B"] * 500)}).groups["race"]) == {"A", "", "B"}


def test_the_report_is_json_and_a_table_and_the_same_again(episodes):
    reports = [
        evaluate(episodes, always(1, 0.2), rng=np.random.default_rng(4), q_values=q_of_the_week, resamples=20)
        for _ in range(2)
    ]
    first, second = (json.dumps(report.to_dict(), allow_nan=False) for report in reports)
    assert first == second
    table = reports[0].table()
    assert list(table.index[:2]) == ["behaviour", "DM"]
    assert table.loc["WDR", "value"] == reports[0].results["WDR"].estimate.value
    assert table.loc["WDR clip 1", "clipped"] > 0


def test_an_array_of_target_probabilities_does_as_well(episodes):
    rows = episodes.observation_rows
    logged = always(1, 0.2)(rows)[np.arange(len(rows)), episodes.actions[episodes.mask]]
    asked = evaluate(episodes, always(1, 0.2), rng=np.random.default_rng(0), resamples=5)
    given = evaluate(episodes, episodes.padded("p", logged, 1), rng=np.random.default_rng(0), resamples=5)
    flat = evaluate(episodes, logged, rng=np.random.default_rng(0), resamples=5)
    for other in (given, flat):
        assert np.allclose(asked.table().iloc[:, :4], other.table().iloc[:, :4], atol=1e-6, equal_nan=True)
    assert asked.diagnostics.unsupported == 0
    assert given.diagnostics.unsupported is None


def test_values_as_arrays_or_as_a_function_agree(episodes):
    policy, q = always(1, 0.2), q_of_the_week
    rows = episodes.observation_rows
    table, probabilities = q(rows), policy(rows)
    values = ActionValues(
        logged=table[np.arange(len(rows)), episodes.actions[episodes.mask]], policy=(probabilities * table).sum(axis=1)
    )
    reports = [
        evaluate(episodes, policy, rng=np.random.default_rng(0), q_values=given, resamples=5) for given in (q, values)
    ]
    assert np.allclose(reports[0].table(), reports[1].table(), atol=1e-5, equal_nan=True)


def test_mass_off_the_support_is_measured():
    episodes = simulate(members=200)
    actions = np.where(episodes.actions == 3, 0, episodes.actions)
    actions[:5, 0] = 3  # five members got it
    changed = replace(episodes, actions=actions)
    scores = score_target(changed, lambda observations: np.tile([0.1, 0.2, 0.4, 0.3], (len(observations), 1)))
    assert np.allclose(scores.unsupported[changed.mask], 0.3)
    report = evaluate(changed, always(3, 0.5), rng=np.random.default_rng(0), resamples=2)
    assert "of its mass on actions that fewer than 11 members got" in report.sentence


def test_support_counts_members_not_weeks():
    episodes = simulate(members=200)
    actions = np.where(episodes.actions == 3, 0, episodes.actions)
    actions[:10] = 3  # ten members, up to six weeks each
    assert supported_actions(replace(episodes, actions=actions)).tolist() == [True, True, True, False]
    actions[10, 0] = 3
    assert supported_actions(replace(episodes, actions=actions)).all()


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        (lambda o: 0.9 * behaviour(o), r"don't sum to 1 in 1,500 of 1,500 members"),
        (lambda o: behaviour(o)[:, :3], r"the target's probabilities have shape \(\d+, 3\)"),
        (
            lambda o: np.where(o > 3, np.nan, behaviour(o)),
            r"not finite or don't sum to 1 in fewer than 11 of 1,500",
        ),
        (lambda o: behaviour(o) + np.array([0.5, -0.5, 0, 0]), "negative"),
        (np.full(7, 0.5), r"\(1500, 6\) \(members, steps\) or \(\d+,\) decisions is needed"),
        (np.full((1500, WEEKS), 1.5), r"not in 0..1 in 1,500 of 1,500 members"),
    ],
)
def test_wrong_target_probabilities(episodes, policy, message):
    with pytest.raises(UserError, match=message):
        evaluate(episodes, policy, rng=np.random.default_rng(0))


def test_few_members_with_wrong_probabilities_are_not_counted(episodes):
    real, few = replace(episodes, simulated=False), np.full(episodes.mask.shape, 0.5)
    few[:3] = 1.5
    with pytest.raises(UserError, match=r"not in 0..1 in fewer than 11 of 1,500 members"):
        evaluate(real, few, rng=np.random.default_rng(0))
    first = real.observation_rows[0]
    with pytest.raises(UserError, match=r"sum to 1 in fewer than 11 of 1,500 members; normalise"):
        score_target(
            replace(real, observations=np.where(np.arange(1_500)[:, None, None] < 3, first + 99, real.observations)),
            lambda o: np.where(o[:, :1] > 50, 0.7, 1) * behaviour(np.minimum(o, first)),
        )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"level": "95"}, "level must be a number between 0 and 1, not '95'"),
        ({"level": 95}, "level must be a number between 0 and 1, not 95"),
        ({"windows": (1.5,)}, "a window of weeks must be a whole number in 1"),
        ({"thresholds": {}}, "thresholds must be a Thresholds"),
    ],
)
def test_settings_of_the_wrong_kind_are_one_sentence(episodes, setting, message):
    with pytest.raises(UserError, match=message):
        evaluate(episodes, behaviour, rng=np.random.default_rng(0), **setting)


def test_estimates_scores_and_features_of_other_members_are_refused(episodes):
    rng = np.random.default_rng(0)
    other = Estimate(name="mine", plain=np.zeros(50))
    with pytest.raises(UserError, match="estimate 'mine' is of other members"):
        evaluate(episodes, behaviour, rng=rng, others=[other], method="normal")
    with pytest.raises(UserError, match="named 'WIS' as one that is computed; give it another name"):
        evaluate(episodes, behaviour, rng=rng, others=[replace(other, name="WIS")])
    with pytest.raises(UserError, match=r"scores have shape \(3, 4\); \(1500, 6\)"):
        evaluate(episodes, TargetScores(logged=np.ones((3, 4)), unsupported=None), rng=rng)
    with pytest.raises(UserError, match=r"features have shape \(1500, 6\)"):
        evaluate(episodes, behaviour, rng=rng, features=np.zeros(episodes.mask.shape))
    features = np.zeros((*episodes.mask.shape, 2))
    features[:20, 0, 1] = np.nan
    with pytest.raises(UserError, match="features are not finite in 20 of 1,500 members"):
        evaluate(episodes, behaviour, rng=rng, features=features)
    with pytest.raises(UserError, match=r"folds must be a whole number in 0..1,000,000,000, not 2.5"):
        evaluate(episodes, behaviour, rng=rng, folds=2.5)
    with pytest.raises(UserError, match=r"discount must be a number in 0..1, not '1'"):
        evaluate(episodes, behaviour, rng=rng, discount="1")
    with pytest.raises(UserError, match="resamples must be a whole number in 1"):
        evaluate(episodes, behaviour, rng=rng, resamples=0)


def test_wrong_propensities_and_settings(episodes):
    rng = np.random.default_rng(0)
    with pytest.raises(UserError, match="unknown kind of propensities 'guessed'"):
        evaluate(episodes, behaviour, rng=rng, propensities="guessed")
    zero = np.where(np.arange(len(episodes))[:, None] < 3, 0.0, 0.25) * np.ones((1, WEEKS))
    with pytest.raises(UserError, match=r"propensity of a logged action is 0.* in fewer than 11 of 1,500 members"):
        evaluate(episodes, behaviour, rng=rng, propensities=zero)
    bare = LoggedEpisodes(
        rewards=episodes.rewards, lengths=episodes.lengths, actions=episodes.actions, action_space=SPACE
    )
    with pytest.raises(UserError, match="hold no logged propensities"):
        evaluate(bare, np.full((1500, WEEKS), 0.5), rng=rng)
    with pytest.raises(UserError, match="hold no observations"):
        evaluate(bare, behaviour, rng=rng, propensities=episodes.propensities)
    with pytest.raises(UserError, match="q_values must be ActionValues or a function"):
        evaluate(episodes, behaviour, rng=rng, q_values=np.zeros((1500, WEEKS)))
    wrong = ActionValues(logged=np.zeros((1500, WEEKS)), policy=np.zeros((1500, 2)))
    with pytest.raises(UserError, match=r"values of the policy have shape \(1500, 2\)"):
        evaluate(episodes, behaviour, rng=rng, q_values=wrong)
    with pytest.raises(UserError, match=r"features have shape \(3, 6, 1\)"):
        evaluate(episodes, behaviour, rng=rng, features=np.zeros((3, 6, 1)))
    with pytest.raises(UserError, match=r"discount must be a number in 0..1"):
        evaluate(episodes, behaviour, rng=rng, discount=2)


def _with_events(simulated: bool, *, by: int, group: int = 0) -> LoggedEpisodes:
    """Ninety members, of whom so many had an event; so many of these in group X, which has thirty."""
    rng = np.random.default_rng(0)
    rewards = np.zeros((90, 6))
    rewards[np.r_[0:group, 30 : 30 + by - group], 2] = -1
    return LoggedEpisodes(
        observations=rng.random((90, 6, 2)).astype(np.float32), actions=rng.integers(0, 2, (90, 6)), rewards=rewards,
        lengths=np.full(90, 6), action_space=ActionSpace.from_nvec([2]), propensities=np.full((90, 6), 0.5),
        groups={"plan": np.repeat(["X", "Y", "Z"], 30)}, simulated=simulated,
    )  # fmt: skip


def test_values_that_few_peoples_events_make_up_are_not_told():
    """-5 / 90 times 90 members is five of them; and value less difference is the mean as logged."""

    def even(observations):
        return np.full((len(observations), 2), 0.5)

    told, few = (
        evaluate(_with_events(simulated, by=5), even, rng=np.random.default_rng(0), resamples=20)
        for simulated in (True, False)
    )
    assert told.told
    assert told.to_dict()["behaviour"]["value"] == pytest.approx(-5 / 90)
    assert not few.told
    said = few.to_dict()
    assert said["sentence"].startswith("No estimate: fewer than 11 of these members had any event")
    assert said["behaviour"] is None
    assert said["headline"] is None
    assert said["results"] == said["by_group"] == {}
    assert few.table().empty
    assert "0.055" not in json.dumps(said)


def test_groups_are_not_told_where_few_of_one_had_events():
    def even(observations):
        return np.full((len(observations), 2), 0.5)

    def of(**options):
        found = evaluate(_with_events(**options), even, rng=np.random.default_rng(0), resamples=20,
                         thresholds=Thresholds(group_members=5))  # fmt: skip
        return found.to_dict()["by_group"]["plan"]

    assert all(of(simulated=True, by=50, group=4).values())
    assert not any(of(simulated=False, by=50, group=4).values())
    assert all(of(simulated=False, by=60, group=15).values())


class Trained:
    """An algorithm that is handed over itself, in place of its method."""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rng": 0}, r"rng must be a numpy\.random\.Generator, not 0; numpy\.random\.default_rng"),
        ({"rng": np.random.RandomState(0)}, r"rng must be a numpy\.random\.Generator"),
        ({"target_probabilities": Trained()}, "the target is a Trained; a function of observations is needed"),
        ({"target_probabilities": "greedy"}, "the target is a str; a function of observations is needed"),
        ({"target_probabilities": lambda seen: [[0.5], [0.5, 0.5]]}, "the target's probabilities are no array"),
        ({"episodes": "my/data-v0"}, "must be LoggedEpisodes, not a str; load_episodes"),
    ],
)
@pytest.mark.parametrize("ask", [evaluate, sensitivity])
def test_arguments_of_other_kinds_are_said(ask, changes, said):
    given = {"episodes": simulate(40), "target_probabilities": behaviour, "rng": np.random.default_rng(0)} | changes
    with pytest.raises(UserError, match=said):
        ask(given.pop("episodes"), given.pop("target_probabilities"), **given)
