"""A rate per 1,000 member-months does not grow with the time that members are followed; a value of a member does."""

import dataclasses

import numpy as np
import pytest

from frl_env.actions import ActionSpace
from frl_env.evaluation import LoggedEpisodes, evaluate
from frl_env.evaluation.fairness.audit import AuditedMembers, audit
from frl_env.member_months import WEEKS_A_MONTH, per_1000_member_months
from frl_env.rollout import Returns


def test_a_year_of_members_is_twelve_months():
    assert per_1000_member_months(12.0, 52) == pytest.approx(1_000)
    assert per_1000_member_months(1.0, WEEKS_A_MONTH) == pytest.approx(1_000)


@pytest.fixture(scope="module")
def year():
    """Members with as many events in every stretch of 3 weeks, fewer after a contact."""
    rng = np.random.default_rng(4)
    members, weeks = 400, 51
    actions = (rng.random((members, weeks)) < 0.4).astype(np.int64)
    pattern = np.resize([0.06, 0.1, 0.02], weeks)
    return LoggedEpisodes(
        observations=np.zeros((members, weeks, 1), dtype=np.float32),
        actions=actions,
        rewards=-pattern[None] * np.where(actions, 0.5, 1.0),
        lengths=np.full(members, weeks),
        action_space=ActionSpace.from_nvec([2]),
        propensities=np.where(actions, 0.4, 0.6),
    )


def _cut(episodes, weeks):
    return dataclasses.replace(
        episodes,
        observations=episodes.observations[:, :weeks],
        actions=episodes.actions[:, :weeks],
        rewards=episodes.rewards[:, :weeks],
        lengths=np.full(len(episodes), weeks),
        propensities=episodes.propensities[:, :weeks],
        reward_parts={},
    )


def test_the_same_data_cut_to_39_and_51_weeks_gives_comparable_figures(year):
    def even(observations):
        return np.full((len(observations), 2), 0.5)

    short, long = (
        evaluate(_cut(year, weeks), even, rng=np.random.default_rng(0), headline="WIS clip 1", resamples=50)
        for weeks in (39, 51)
    )
    assert (short.weeks, long.weeks) == (39, 51)
    a_member = [each.table().loc["behaviour", "value"] for each in (short, long)]
    rates = [each.table().loc["behaviour", "value per 1,000 member-months"] for each in (short, long)]
    assert a_member[1] / a_member[0] == pytest.approx(51 / 39, rel=0.02), "which is why rates are needed"
    assert rates[1] == pytest.approx(rates[0], rel=0.02)
    for each in (short, long):
        said = each.to_dict()
        result = said["results"]["WIS clip 1"]
        rate = result["per_1000_member_months"]
        for key, value in (("value", result["value"]), ("difference", result["difference"])):
            assert rate[key] == pytest.approx(per_1000_member_months(value, each.weeks))
        assert rate["difference_low"] <= rate["difference"] <= rate["difference_high"]
        assert each.table().loc["WIS clip 1", "difference per 1,000 member-months"] == pytest.approx(rate["difference"])
        assert each.reasons or f"a member over {each.weeks:.1f} weeks, per 1,000 member-months" in each.sentence


def test_discounted_values_have_no_rate(year):
    found = evaluate(_cut(year, 9), lambda rows: np.full((len(rows), 2), 0.5), rng=np.random.default_rng(0),
                     resamples=20, discount=0.9)  # fmt: skip
    assert found.weeks is None
    assert not any("member-months" in column for column in found.table().columns)


def test_few_real_people_do_not_follow_from_weeks_and_decisions(year):
    few = _cut(year, 9).subset(np.arange(8))
    assert not few.simulated
    found = evaluate(few, lambda rows: np.full((len(rows), 2), 0.5), rng=np.random.default_rng(0), resamples=20)
    said = found.to_dict()
    assert said["weeks"] is None
    assert said["results"] == {}
    assert found.table().empty


def _grouped(episodes, simulated):
    lengths = np.where(np.arange(len(episodes)) < 200, 51, 17)
    lengths[0] = 50  # one left a week early
    rewards = np.where(np.arange(episodes.steps) < lengths[:, None], episodes.rewards, 0)
    return dataclasses.replace(
        episodes, lengths=lengths, simulated=simulated, rewards=rewards,
        groups={"plan": np.where(np.arange(len(episodes)) < 200, "A", "B")},
    )  # fmt: skip


@pytest.mark.parametrize("simulated", [True, False])
def test_groups_have_rates_over_the_time_that_they_are_followed(year, simulated):
    found = evaluate(_grouped(year, simulated), lambda rows: np.full((len(rows), 2), 0.5),
                     rng=np.random.default_rng(0), headline="WIS clip 1", resamples=50)  # fmt: skip
    groups = found.to_dict()["by_group"]["plan"]
    for label, weeks in (("A", 50.995), ("B", 17.0)):
        rate = groups[label]["per_1000_member_months"]["value"]
        exact = per_1000_member_months(groups[label]["value"], weeks)
        assert rate == pytest.approx(exact, rel=1e-9 if simulated else 0.05)
    weeks = groups["A"]["value"] / groups["A"]["per_1000_member_months"]["value"] * 1000 * WEEKS_A_MONTH
    left_early = 200 * 51 - 200 * weeks
    assert (abs(left_early - 1) < 1e-6) == simulated, "of real people nobody sees that one left a week early"


@pytest.mark.parametrize("simulated", [True, False])
def test_audits_have_rates_of_groups(simulated):
    rng = np.random.default_rng(1)
    labels, values = np.repeat(["A", "B"], 60), -rng.random(120)
    weeks = np.where(labels == "A", 52.0, 13.0)
    weeks[0] = 51.0
    found = audit(
        AuditedMembers(
            high_touch=rng.random(120) / 10, attributes={"plan": labels}, needs={"need": 1 + rng.random(120)},
            values=values, behaviour_values=values - 0.1, weeks=weeks, simulated=simulated,
        ),
        rng=rng, resamples=50, permutations=0,
    )  # fmt: skip
    for group, own in zip(found.of("plan"), (labels == "A", labels == "B"), strict=True):
        for name, each in (("value", values), ("value_change", np.full(120, 0.1))):
            exact = per_1000_member_months(each[own].mean(), weeks[own].mean())
            rate = group.measures[f"{name}_per_1000_member_months"].value
            assert rate == pytest.approx(exact, rel=1e-9 if simulated else 0.05)
            assert simulated or rate == float(f"{rate:.2g}")


def test_rollouts_say_how_long_members_are_followed():
    ones = np.ones(4)
    said = Returns(
        value=-2 * ones, ed=ones, ip=ones, weeks=26 * ones, contacts=ones, reached=ones, minutes=ones, cost=ones
    ).summary()
    assert said["weeks_per_member"] == 26
    events = said["ed_per_1000_member_months"] + said["ip_per_1000_member_months"]
    assert events == pytest.approx(-per_1000_member_months(said["value"], said["weeks_per_member"]))
