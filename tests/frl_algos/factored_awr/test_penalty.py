"""The tilt against its formula, the penalty against its goals, and a fair policy in every form it is kept in."""

import copy
from itertools import pairwise

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from structlog.testing import capture_logs

from frl_algos import (
    FactoredAWRConfig,
    FactoredReplayBuffer,
    GroupGap,
    load_model,
    load_replay_buffer,
    save_model,
)
from frl_algos.factored_awr.fairness_penalty import PenaltyData, fit_tilt
from frl_algos.logged_data import minari_loading
from frl_algos.model_files.export import ExportedPolicy
from frl_algos.networks.tilt import Tilt
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.datasets import Recipe, build_dataset
from frl_env.errors import UserError
from frl_env.evaluation.fairness.allocations import joints_with
from frl_env.parameters import GENDERS

pytestmark = pytest.mark.usefixtures("one_thread")

HIGH = joints_with(MEDICAID_ACTIONS, ["VIDEO_VISIT", "HOME_VISIT"])


def _policy(n=40, space=MEDICAID_ACTIONS, gated=True):
    """Parts of a policy in n states, at random."""
    torch.manual_seed(0)
    valid = len(space.valid_joints)
    what = torch.randn(n, valid)
    if gated:
        what[:, 0] = float("-inf")
    return torch.randn(n, 7), torch.log_softmax(what, dim=1), torch.randn(n) if gated else None


def _joint(what, gate):
    """Probabilities of all valid actions from the two parts; "do nothing" comes first."""
    if gate is None:
        return what.exp()
    chances = torch.sigmoid(gate)[:, None] * what.exp()
    chances[:, 0] = torch.sigmoid(-gate)
    return chances


@pytest.mark.parametrize("gated", [True, False])
def test_a_tilt_moves_the_log_odds_of_high_touch_and_keeps_all_else_in_proportion(gated):
    space = MEDICAID_ACTIONS if gated else ActionSpace.from_nvec((3, 4))
    levels = ["HOME_VISIT", "VIDEO_VISIT"] if gated else ["L3"]
    observations, what, gate = _policy(space=space, gated=gated)
    tilt = Tilt(space, 7, levels)
    for same, before in zip(tilt(observations, what, gate)[:2], (what, gate), strict=True):
        assert same is None or torch.allclose(same, before, atol=1e-6)
    tilt.weights.copy_(0.5 * torch.randn(16))
    tilt.standardise(observations)
    before, after = _joint(what, gate), _joint(*tilt(observations, what, gate)[:2])
    high = torch.as_tensor(joints_with(space, levels)[space.valid_joints])
    p, tilted = before[:, high].sum(dim=1), after[:, high].sum(dim=1)
    shift = tilt.measures(observations, torch.logit(p)) @ tilt.weights
    assert torch.allclose(torch.logit(tilted), torch.logit(p) + shift, atol=1e-3)
    assert torch.allclose(tilt.log_odds(what, gate), torch.logit(p), atol=1e-4)
    assert torch.allclose(after.sum(dim=1), torch.ones(40), atol=1e-5)
    for inside in (high, ~high):
        own, was = after[:, inside], before[:, inside]
        assert torch.allclose(own / own.sum(dim=1, keepdim=True), was / was.sum(dim=1, keepdim=True), atol=1e-5)


def test_a_tilt_survives_policies_that_are_sure():
    observations, what, _ = _policy(6)
    tilt = Tilt(MEDICAID_ACTIONS, 7, ["HOME_VISIT"])
    tilt.weights.copy_(torch.randn(16))
    home = torch.as_tensor(joints_with(MEDICAID_ACTIONS, ["HOME_VISIT"])[MEDICAID_ACTIONS.valid_joints])
    never, always = what.masked_fill(home, float("-inf")), what.masked_fill(~home, float("-inf"))
    for sure in (never, always):
        tilted, tilted_gate, _ = tilt(observations, torch.log_softmax(sure, dim=1), torch.full((6,), 60.0))
        assert torch.isfinite(tilted_gate).all()
        assert torch.allclose(tilted.exp().sum(dim=1), torch.ones(6), atol=1e-5)
    assert (never[:, home] == float("-inf")).all()


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        (["HOUSE_VISIT"], "unknown action level"),
        (["NONE"], "includes doing nothing"),
        ([], "names none of the actions"),
    ],
)
def test_high_touch_has_to_be_some_of_the_contacts(levels, said):
    with pytest.raises(UserError, match=said):
        Tilt(MEDICAID_ACTIONS, 7, levels)
    with pytest.raises(UserError, match="names all of the actions"):
        Tilt(ActionSpace.from_nvec((2, 2)), 7, ["L0", "L1"])


def _members(n=3_000, *, seed=0, by_need=False, weeks=4):
    """Members whose observation, and with it the policy, differs by group; needs differ as well."""
    rng = np.random.default_rng(seed)
    group = rng.choice(["A", "B", "C"], n, p=[0.5, 0.3, 0.2])
    level = rng.normal(size=n) + 0.4 * (group == "B")
    observations = np.zeros((n * weeks, 7), dtype=np.float32)
    observations[:, 0] = np.repeat(level, weeks)
    buffer = FactoredReplayBuffer(
        observations=observations,
        actions=np.zeros((n * weeks, 4), dtype=np.int64),
        rewards=np.zeros(n * weeks, dtype=np.float32),
        next_observations=observations,
        lengths=np.full(n, weeks),
        terminated=np.zeros(n, dtype=bool),
        action_space=MEDICAID_ACTIONS,
        groups={"group": group},
        need=1.0 + (group == "A"),
    )
    data = PenaltyData.of_buffer(buffer, by_need=by_need)
    odds = torch.as_tensor(observations[data.rows, 0] - 2.0)
    tilt = Tilt(MEDICAID_ACTIONS, 7, ["HOME_VISIT"])
    tilt.standardise(torch.as_tensor(observations))
    measures = tilt.measures(torch.as_tensor(observations[data.rows]), odds)
    return data, tilt, measures, odds, group


def _chances(tilt, measures, odds):
    return torch.sigmoid(odds.double() + measures.double() @ tilt.weights.double())


def test_no_weight_no_tilt_and_more_weight_a_smaller_gap():
    data, tilt, measures, odds, _ = _members()
    gaps, divergences = [], []
    for weight in (0.0, 1.0, 10.0, 100.0, 1e4):
        found = fit_tilt(tilt, data, measures, odds, weight=weight, slack=None)
        gaps.append(found.gap)
        divergences.append(found.divergence)
        assert found.high_touch == pytest.approx(torch.sigmoid(odds).mean().item(), rel=0.03)  # no cheap levelling down
    assert gaps[0] == pytest.approx(found.gap_before, abs=1e-4)
    assert all(later < earlier for earlier, later in pairwise(gaps))
    assert all(later > earlier for earlier, later in pairwise(divergences))
    assert found.gap < found.gap_before / 20


def test_what_was_fitted_to_some_members_holds_for_others():
    _, tilt, measures, odds, _ = fitted = _members(seed=0)
    fit_tilt(tilt, *fitted[:1], measures, odds, weight=1_000.0, slack=None)
    data, _, measures, odds, _ = _members(seed=1)

    def gap(chances):
        mean = data.means(chances)[0]
        return float(mean.max() - mean.min())

    assert gap(_chances(tilt, measures, odds)) < gap(torch.sigmoid(odds.double())) / 4


def test_a_group_gets_what_it_needs():
    data, tilt, measures, odds, _ = _members(by_need=True)
    assert data.target.numpy() == pytest.approx([2 / 1.5, 1 / 1.5, 1 / 1.5], rel=0.03)
    found = fit_tilt(tilt, data, measures, odds, weight=1e5, slack=None)
    mean, _ = data.means(_chances(tilt, measures, odds))
    assert mean[0] > mean[1]  # A needs twice as much and had less
    assert found.gap < found.gap_before


def test_a_slack_is_kept_at_the_smallest_weight_that_does():
    data, tilt, measures, odds, _ = _members()
    before = fit_tilt(tilt, data, measures, odds, weight=0.0, slack=None).gap
    found = fit_tilt(tilt, data, measures, odds, weight=123.0, slack=before / 3)
    assert before / 3 * 0.9 < found.gap <= before / 3
    assert found.weight not in (0.0, 123.0)
    assert fit_tilt(tilt, data, measures, odds, weight=1.0, slack=2 * before).weight == 0.0
    assert not tilt.weights.any()


def test_the_penalty_counts_members_not_weeks_and_what_chance_adds():
    data, _, _, odds, group = _members(400, weeks=3)
    chances = torch.sigmoid(odds.double())
    mean, variance = data.means(chances)
    member = chances.reshape(400, 3).mean(dim=1).numpy()
    for column, name in enumerate(["A", "B", "C"]):
        own = member[group == name]
        assert mean[column] == pytest.approx(own.mean())
        assert variance[column] == pytest.approx(own.var(ddof=1) / len(own))


@pytest.fixture(scope="module")
def people():
    """Enough members for two groups."""
    return build_dataset(Recipe(dataset_id="tests/people-v0", description="for tests", members=120, seed=3, horizon=6))


@pytest.fixture(scope="module")
def fair(people):
    buffer = load_replay_buffer(people, groups=["gender"], need="open_needs")
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(response=0, batch_size=64, fairness="parity", fairness_weight=1e5).create()
    with capture_logs() as logs:
        algorithm.fit(buffer, n_steps=60, show_progress=False, logger_adapter=NoopAdapterFactory())
    return algorithm, buffer, logs


def test_training_balances_and_says_so(fair):
    algorithm, buffer, logs = fair
    (said,) = [log for log in logs if log["event"] == "balanced groups"]
    assert said["gap"] < said["gap_before"] / 4
    gap = GroupGap("gender", buffer=buffer)
    after = gap(algorithm, buffer)
    algorithm.balance(weight=0.0)
    before = gap(algorithm, buffer)
    algorithm.balance(weight=1e5)
    assert after == pytest.approx(gap(algorithm, buffer), abs=1e-6)
    assert after < before / 4
    assert before == pytest.approx(said["gap_before"], rel=0.05)


def test_the_gap_is_of_people_however_their_records_are_split(fair):
    algorithm, buffer, _ = fair
    first = np.minimum(7, buffer.lengths - 1)
    pieces = np.column_stack([first, buffer.lengths - first]).ravel()
    whose = np.repeat(np.arange(len(buffer.lengths)), 2)
    kept = pieces > 0
    split = FactoredReplayBuffer(
        observations=buffer.observations, actions=buffer.action_space.unravel(buffer.actions), rewards=buffer.rewards,
        next_observations=buffer.next_observations, lengths=pieces[kept], action_space=buffer.action_space,
        terminated=np.zeros(int(kept.sum()), dtype=bool), people=whose[kept],
        groups={"gender": buffer.groups["gender"][whose[kept]]}, simulated=True,
    )  # fmt: skip
    largest = int(np.unique(buffer.groups["gender"], return_counts=True)[1].max())
    for settings in ({}, {"members": 40, "minimum": 5}):
        gap = GroupGap("gender", **settings)
        assert gap(algorithm, split) == pytest.approx(gap(algorithm, buffer), abs=1e-6)
    with pytest.raises(UserError, match="fewer than two groups"):
        GroupGap("gender", minimum=largest + 1)(algorithm, split)


def test_a_gap_of_real_people_is_not_that_of_a_few_of_them(fair):
    algorithm, buffer, _ = fair
    imported = copy.copy(buffer)
    imported.simulated = False
    with pytest.raises(UserError, match="minimum must be at least 11"):
        GroupGap("gender", minimum=10)(algorithm, imported)
    assert GroupGap("gender", minimum=11)(algorithm, imported) > 0


@pytest.mark.parametrize(
    "wrong", [{"minimum": "30"}, {"minimum": None}, {"minimum": 0}, {"members": -5}, {"members": 2.5}, {"seed": "a"}]
)
def test_settings_of_a_gap_that_are_no_numbers_are_said(wrong):
    with pytest.raises(UserError, match=f"{next(iter(wrong))} must be a whole number"):
        GroupGap("gender", **wrong)


def test_all_ways_to_ask_a_fair_policy_agree(fair):
    algorithm, buffer, _ = fair
    x = buffer.observations[:300]
    chances = algorithm.predict_probabilities(x)
    assert chances.sum(axis=1) == pytest.approx(np.ones(300), abs=1e-4)
    uniform = np.random.default_rng(0).random((300, 2))
    drawn = np.mean([HIGH[algorithm.draw(x, np.random.default_rng(s).random((300, 2)))].mean() for s in range(40)])
    assert drawn == pytest.approx(chances[:, HIGH].sum(axis=1).mean(), abs=0.015)
    assert (chances[np.arange(300), algorithm.draw(x, uniform)] > 0).all()
    acts = (algorithm.predict(x) != 0).mean()
    assert acts == pytest.approx(1 - chances[:, 0].mean(), abs=0.1)


@pytest.mark.parametrize("odds", [-1e4, 1e4])
def test_greedy_actions_follow_the_tilt(fair, odds):
    algorithm, buffer, _ = fair
    tilt, x = algorithm.impl.modules.tilt, buffer.observations[:200]
    before, acted = tilt.weights.clone(), algorithm.predict(x) != 0
    try:
        tilt.weights.zero_()
        tilt.weights[0] = odds
        algorithm.impl.modules.statistics.threshold.fill_(-np.inf)  # acts everywhere
        chosen = algorithm.predict(x)
        assert (HIGH[chosen] == (odds > 0)).all()
        np.testing.assert_array_equal(chosen, ExportedPolicy(algorithm)(torch.as_tensor(x))[1])
        levels, _ = algorithm.top_k(x, 1)
        assert (HIGH[MEDICAID_ACTIONS.ravel(levels[:, 0])] == (odds > 0)).all()
        assert (HIGH[algorithm.draw(x, np.full((200, 2), 0.5))] == (odds > 0)).all()
    finally:
        tilt.weights.copy_(before)
        algorithm.balance()
    assert ((algorithm.predict(x) != 0) == acted).all()


@pytest.mark.long
def test_a_fair_policy_is_saved_loaded_exported_and_copied(fair, tmp_path):
    algorithm, buffer, _ = fair
    x = buffer.observations[:50]
    wanted = algorithm.predict_probabilities(x)
    save_model(algorithm, tmp_path / "fair.safetensors")
    algorithm.save(str(tmp_path / "fair.d3"))
    for loaded in (load_model(tmp_path / "fair.safetensors"), d3rlpy.load_learnable(str(tmp_path / "fair.d3"))):
        np.testing.assert_array_equal(loaded.predict_probabilities(x), wanted)
        np.testing.assert_array_equal(loaded.predict(x), algorithm.predict(x))
    probabilities, greedy = ExportedPolicy(algorithm)(torch.as_tensor(x))
    np.testing.assert_allclose(probabilities, wanted, atol=1e-6)
    np.testing.assert_array_equal(greedy, algorithm.predict(x))
    with pytest.raises(UserError, match="members are not in a model file"):
        load_model(tmp_path / "fair.safetensors").balance()
    copied = FactoredAWRConfig(response=0, fairness="parity").create()
    copied.build_with_dataset(buffer)
    copied.copy_policy_from(algorithm)
    np.testing.assert_array_equal(copied.predict_probabilities(x), wanted)
    plain = FactoredAWRConfig(response=0).create()
    plain.build_with_dataset(buffer)
    with pytest.raises(UserError, match="one of the two algorithms is told to be fair"):
        plain.copy_policy_from(algorithm)


def test_labels_are_used_in_training_only(fair, people):
    algorithm, buffer, _ = fair
    other = load_replay_buffer(people)  # no labels at all
    np.testing.assert_array_equal(
        algorithm.predict_probabilities(other.observations[:20]),
        algorithm.predict_probabilities(buffer.observations[:20]),
    )


def test_labels_stay_with_their_members_where_an_episode_ends_in_between(people):
    buffer = load_replay_buffer(people, groups=["gender", "race_ethnicity"], need="open_needs")
    episodes = list(people.iterate_episodes())
    steps = [len(episode) for episode in episodes]
    split = np.concatenate([[1, n - 1] if n > 1 else [n] for n in steps])  # as one-step rewards split them
    labels, need = minari_loading._members(people, ["gender"], "open_needs", split)
    owner = np.repeat(np.arange(len(steps)), np.where(np.asarray(steps) > 1, 2, 1))
    np.testing.assert_array_equal(labels["gender"], buffer.groups["gender"][owner])
    np.testing.assert_array_equal(need, buffer.need[owner])
    codes = [int(episode.infos["gender"][0].item()) for episode in episodes]
    assert buffer.groups["gender"].tolist() == [GENDERS[code] for code in codes]


def test_fairness_off_costs_nothing(trained):
    assert trained.impl.modules.tilt is None
    with pytest.raises(UserError, match="not told to be fair"):
        trained.balance(weight=1.0)


def test_members_met_online_have_no_groups(fair):
    with pytest.raises(UserError, match="no groups to be fair to"):
        fair[0].fit_online(None)


def test_what_is_missing_is_said(people, tiny_buffer):
    def fit(buffer, **settings):
        algorithm = FactoredAWRConfig(response=0, fairness="parity", **settings).create()
        algorithm.fit(buffer, n_steps=1, show_progress=False, logger_adapter=NoopAdapterFactory())

    with pytest.raises(UserError, match=r"fairness needs the groups of the members.*groups=\['race_ethnicity'\]"):
        fit(tiny_buffer)
    labelled = load_replay_buffer(people, groups=["gender"])
    with pytest.raises(UserError, match="needs a need of each member"):
        PenaltyData.of_buffer(labelled, by_need=True)
    with pytest.raises(UserError, match="unknown action level 'HOUSE'"):
        fit(labelled, high_touch=["HOUSE"])
    labelled.groups["gender"] = np.full(120, "NOT RECORDED")
    with pytest.raises(UserError, match="'gender' is missing for all 120 members"):
        fit(labelled)
    labelled.groups["gender"] = np.full(120, "FEMALE")
    with pytest.raises(UserError, match="'gender' has 1 groups of at least 30 members"):
        fit(labelled)
    with pytest.raises(UserError, match="no infos 'race'"):
        load_replay_buffer(people, groups=["race"])
    for settings, said in (
        ({"fairness": "equal"}, "unknown fairness 'equal'"),
        ({"fairness_weight": -1.0}, "fairness_weight must be"),
        ({"fairness_slack": 2.0}, "fairness_slack must be"),
    ):
        with pytest.raises(UserError, match=said):
            FactoredAWRConfig(**settings)


def test_a_slack_that_cannot_be_kept_is_said(people):
    buffer = load_replay_buffer(people, groups=["gender"], need="open_needs")
    buffer.need = 1.0 + 50.0 * (buffer.groups["gender"] == "MALE")
    algorithm = FactoredAWRConfig(response=0, fairness="need", fairness_slack=0.0).create()
    with capture_logs() as logs:
        algorithm.fit(buffer, n_steps=2, show_progress=False, logger_adapter=NoopAdapterFactory())
    assert any("observations don't tell enough of the groups" in log["event"] for log in logs)


def test_the_gap_is_an_evaluator_of_d3rlpy(people):
    buffer = load_replay_buffer(people, groups=["gender"])
    algorithm = FactoredAWRConfig(response=0, batch_size=64).create()
    options = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
    curve = algorithm.fit(buffer, n_steps=4, n_steps_per_epoch=2, evaluators={"gap": GroupGap("gender")}, **options)
    chances = algorithm.predict_probabilities(buffer.observations)[:, HIGH].sum(axis=1)
    member = np.add.reduceat(chances, buffer.starts) / buffer.lengths
    means = [member[buffer.groups["gender"] == name].mean() for name in ("FEMALE", "MALE")]
    assert curve[-1][1]["gap"] == pytest.approx(abs(means[0] - means[1]), abs=1e-6)
    with pytest.raises(UserError, match="unknown attribute 'race'; known: gender"):
        GroupGap("race")(algorithm, buffer)
