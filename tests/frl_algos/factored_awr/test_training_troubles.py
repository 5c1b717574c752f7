"""Warnings in plain words: thresholds, and runs that do and don't cross them."""

import dataclasses

import d3rlpy
import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory
from structlog.testing import capture_logs

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.factored_awr.updating.training_troubles import troubles
from frl_env.actions import ActionSpace

HEALTHY = {
    "weight_ess": 0.6,
    "weight_clipped": 0.02,
    "policy_effective_joints": 20.0,
    "clone_effective_joints": 90.0,
    "policy_rare_mass": 0.001,
    "policy_action_share": 0.2,
    "clone_action_share": 0.15,
}


@pytest.mark.parametrize(
    ("kind", "text", "changes"),
    [
        ("degenerate_weights", "rests on 4.6 of 512 rows", {"weight_ess": 0.009}),
        ("clipped_weights", "51% of the regression weights are clipped", {"weight_clipped": 0.51}),
        ("collapsed_policy", "one and the same thing in every state", {"policy_effective_joints": 1.4}),
        ("outside_support", "95% of what the policy does", {"policy_rare_mass": 0.19}),
        ("saturated_gate", "acts nearly always", {"policy_action_share": 0.995}),
        ("saturated_gate", "acts nearly never", {"policy_action_share": 0.005, "policy_rare_mass": 0.0}),
    ],
)
def test_each_rule_finds_its_trouble_and_no_other(kind, text, changes):
    found = troubles(HEALTHY | changes, 512)
    assert list(found) == [kind]
    assert text in found[kind]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"weight_ess": 0.011},
        {"weight_clipped": 0.5},
        {"policy_effective_joints": 1.6},
        {"policy_effective_joints": 1.0, "clone_effective_joints": 4.0},
        {"policy_rare_mass": 0.17},
        {"policy_action_share": 0.985},
        {"policy_action_share": 0.999, "clone_action_share": 0.998},
        {"policy_action_share": 0.002, "clone_action_share": 0.005, "policy_rare_mass": 0.0},
    ],
)
def test_on_this_side_of_the_thresholds_nothing_is_said(changes):
    assert troubles(HEALTHY | changes, 512) == {}


def test_what_is_not_measured_is_not_judged():
    assert troubles({}, 512) == {}


def test_what_a_setting_asks_for_is_no_trouble():
    found = HEALTHY | {"policy_action_share": 0.995, "weight_ess": 0.009}
    assert list(troubles(found, 512, wanted=("saturated_gate",))) == ["degenerate_weights"]


def test_two_rows_of_a_small_batch_are_too_few():
    assert not troubles(HEALTHY | {"weight_ess": 0.05}, 64)
    assert list(troubles(HEALTHY | {"weight_ess": 0.02}, 64)) == ["degenerate_weights"]


SPACE = dataclasses.replace(ActionSpace.from_nvec((4, 3, 2)), contact_factors=("factor_0",))
"""19 valid actions, the first of which does nothing."""


def _bandit(rng, n=2_000):
    """One state; reward 1 for the last action only, logged uniformly over the valid ones."""
    joints = rng.choice(SPACE.valid_joints, n)
    observations = rng.normal(size=(n, 2)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=observations, actions=SPACE.unravel(joints), next_observations=observations,
        rewards=(joints == 23).astype(np.float32) + rng.normal(size=n).astype(np.float32) / 10,
        lengths=np.ones(n, np.int64), terminated=np.ones(n, bool), action_space=SPACE,
    )  # fmt: skip


def _warnings(**settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(**({"batch_size": 128} | settings)).create()
    with capture_logs() as logs:
        options = {"n_steps": 40, "n_steps_per_epoch": 10, "show_progress": False}
        algorithm.fit(_bandit(np.random.default_rng(0)), logger_adapter=NoopAdapterFactory(), **options)
    return [log["event"] for log in logs if log["log_level"] == "warning" and not log["event"].startswith("Skip")]


def test_a_healthy_run_is_quiet():
    assert _warnings(temperature=2.0) == []


@pytest.mark.parametrize("rate", [0.001, 1.0])
def test_a_rate_that_is_set_is_no_reason_to_look_at_it(rate):
    assert _warnings(temperature=2.0, action_rate=rate) == []


@pytest.mark.long
def test_runs_that_go_wrong_say_so_once():
    (collapse,) = _warnings(temperature=1e-3)
    assert "one and the same thing in every state" in collapse
    (clipped,) = _warnings(temperature=0.1, extraction="regression", max_weight=1e-3)
    assert "regression weights are clipped" in clipped
