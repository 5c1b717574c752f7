"""FactoredAWR as d3rlpy's users know algorithms: evaluators, files, copies, updates by hand."""

import copy
import json

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy import metrics as evaluation
from d3rlpy.logging import (
    FileAdapterFactory,
    NoopAdapterFactory,
)
from d3rlpy.preprocessing import StandardObservationScaler

from frl_algos import FactoredAWR, FactoredAWRConfig, FactoredReplayBuffer
from frl_env import MEDICAID_ACTIONS, JointActions, MedicaidCareEnv
from frl_env.errors import UserError

SMALL = {"batch_size": 32, "hidden_size": 16, "embedding_size": 4}
QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
TWO_EPOCHS = {"n_steps": 6, "n_steps_per_epoch": 3, "show_progress": False}
POLICY_METRICS = {"temperature", "advantage_scale", "policy_ratio_ess", "policy_action_share", "value_error"}


def _create(**settings):
    d3rlpy.seed(0)
    return FactoredAWRConfig(**(SMALL | {"critic": "none"} | settings)).create()


@pytest.fixture(scope="module")
def shared(tiny_dataset):
    """A small algorithm with effects, fitted; not to be changed."""
    from frl_algos import load_replay_buffer

    algorithm = _create(critic="effects", action_rate=0.3)
    algorithm.fit(load_replay_buffer(tiny_dataset, seed=1), n_steps=5, **QUIET)
    return algorithm


def test_every_discrete_evaluator(tiny_buffer, shared):
    evaluators = {
        "td": evaluation.TDErrorEvaluator(),
        "advantage": evaluation.DiscountedSumOfAdvantageEvaluator(),
        "average": evaluation.AverageValueEstimationEvaluator(),
        "initial": evaluation.InitialStateValueEstimationEvaluator(),
        "soft_opc": evaluation.SoftOPCEvaluator(return_threshold=0.0),
        "match": evaluation.DiscreteActionMatchEvaluator(),
        "compare": evaluation.CompareDiscreteActionMatchEvaluator(shared),
        "environment": evaluation.EnvironmentEvaluator(JointActions(MedicaidCareEnv(horizon=3)), n_trials=1),
        "held_out": evaluation.TDErrorEvaluator(episodes=tiny_buffer.episodes[:5]),
    }
    algorithm = _create()
    _, values = algorithm.fit(tiny_buffer, n_steps=2, evaluators=evaluators, **QUIET)[-1]
    assert np.isfinite([values[name] for name in evaluators]).all()
    assert 0 <= values["match"] <= 1
    assert 0 <= values["compare"] <= 1
    first = tiny_buffer.observations[tiny_buffer.starts]
    expected = algorithm.predict_value(first, algorithm.predict(first)).mean()
    assert values["initial"] == pytest.approx(expected, rel=1e-4)


def test_evaluators_take_truncated_episodes_of_one_step():
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(30, 7)).astype(np.float32)
    buffer = FactoredReplayBuffer(
        observations=observations, actions=MEDICAID_ACTIONS.unravel(np.zeros(30, np.int64)),
        rewards=np.ones(30, np.float32), next_observations=observations,
        lengths=np.asarray([1] * 10 + [2] * 10), terminated=np.asarray([False, True] * 10),
        action_space=MEDICAID_ACTIONS,
    )  # fmt: skip
    evaluators = {"td": evaluation.TDErrorEvaluator(), "opc": evaluation.SoftOPCEvaluator(0.0)}
    _, values = _create().fit(buffer, n_steps=2, evaluators=evaluators, **QUIET)[-1]
    assert np.isfinite([values["td"], values["opc"]]).all()
    assert (buffer.size(), len(buffer.episodes)) == (20, 15)


def test_without_any_reward_there_are_no_effects(tiny_buffer):
    """The noise of the regression is then 0; the first episodes of fine-tuning are often such data."""
    buffer = copy.copy(tiny_buffer)
    buffer.rewards = np.zeros_like(tiny_buffer.rewards)
    algorithm = _create(critic="effects")
    algorithm.fit(buffer, n_steps=2, **QUIET)
    assert not algorithm.impl.modules.critic.weights.any()


def test_from_params_json_and_model_files(shared, tiny_buffer, observations, tmp_path):
    algorithm = copy.deepcopy(shared)
    adapter = FileAdapterFactory(str(tmp_path))
    algorithm.fit(tiny_buffer, logger_adapter=adapter, experiment_name="run", with_timestamp=False, **TWO_EPOCHS)
    algorithm.save_model(str(tmp_path / "model.pt"))
    rebuilt = FactoredAWR.from_json(str(tmp_path / "run" / "params.json"))
    assert rebuilt.config.batch_size == 32
    rebuilt.load_model(str(tmp_path / "model.pt"))
    saved = d3rlpy.load_learnable(str(tmp_path / "run" / "model_6.d3"))
    for other in (rebuilt, saved):
        for name in ("predict", "predict_probabilities"):
            np.testing.assert_array_equal(getattr(other, name)(observations), getattr(algorithm, name)(observations))
    with pytest.raises(UserError, match="build_with_dataset before update"):
        saved.update(tiny_buffer.sample_transition_batch(4))
    saved.fit(tiny_buffer, n_steps=1, **QUIET)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_a_saved_policy_takes_batches_of_any_size(shared, observations, tmp_path):
    algorithm = copy.deepcopy(shared)
    algorithm.save_policy(str(tmp_path / "policy.pt"))
    policy = torch.jit.load(str(tmp_path / "policy.pt"))
    for size in (1, 2, 50):
        x = observations[:size]
        np.testing.assert_array_equal(policy(torch.as_tensor(x)).numpy(), algorithm.predict(x))


@pytest.mark.parametrize("extraction", ["closed_form", "regression"])
def test_a_copied_policy_is_the_same_policy(tiny_buffer, observations, extraction):
    source, target = (_create(critic="effects", extraction=extraction, action_rate=0.3) for _ in range(2))
    source.fit(tiny_buffer, n_steps=4, **QUIET)
    rows = tiny_buffer.batch_of(np.arange(40))
    target.config.critic = "none"
    target.build_with_dataset(tiny_buffer)
    target.update(rows)
    assert not np.array_equal(*(a.predict_probabilities(observations) for a in (source, target)))
    target.copy_policy_from(source)
    np.testing.assert_array_equal(*(a.predict_probabilities(observations) for a in (source, target)))
    target.copy_policy_optim_from(source)
    before = copy.deepcopy(source.impl.policy_optim.state_dict()["state"])
    copied = target.impl.policy_optim.state_dict()["state"]
    assert torch.equal(copied[0]["exp_avg"], before[0]["exp_avg"])
    target.update(rows)
    after = source.impl.policy_optim.state_dict()["state"]
    assert all(torch.equal(before[i]["exp_avg"], after[i]["exp_avg"]) for i in before), "nothing is shared"
    assert not np.array_equal(*(a.predict_probabilities(observations) for a in (source, target)))


def test_what_can_not_be_copied_is_one_sentence(shared, tiny_buffer):
    stock = d3rlpy.algos.DiscreteBCConfig(batch_size=8).create()
    stock.build_with_dataset(tiny_buffer)
    other = _create(hidden_size=8)
    regression = _create(extraction="regression", critic="effects")
    for algorithm in (other, regression):
        algorithm.config.action_schema = MEDICAID_ACTIONS.to_json()
        algorithm.create_impl((7,), 1080)
    for call, text in [
        (lambda: other.copy_policy_from(shared), "differ in the shape of their clone"),
        (lambda: other.copy_policy_optim_from(shared), "differ in the shape of their clone"),
        (lambda: regression.copy_policy_from(shared), "differ in their extraction"),
        (lambda: other.copy_policy_from(stock), "another FactoredAWR, not from DiscreteBC"),
        (lambda: other.copy_q_function_from(shared), "no Q function to copy"),
        (lambda: other.copy_q_function_optim_from(shared), "no Q function to copy"),
        (lambda: shared.impl.q_function, "no Q function to copy"),
        (lambda: _create().copy_policy_from(shared), "not trained yet"),
        (lambda: shared.copy_policy_from(_create()), "the algorithm to copy from is not trained yet"),
    ]:
        with pytest.raises(UserError, match=text):
            call()


def test_a_copied_policy_keeps_what_was_chosen_and_what_states_are_called(shared, tiny_buffer, observations):
    source = copy.deepcopy(shared)
    source.config.choice = json.dumps(json.loads(source.config.choice) | {"mild": True})
    unnamed = copy.copy(tiny_buffer)
    unnamed.state_names = ()
    target = _create(critic=source.config.critic)
    target.build_with_dataset(unnamed)
    target.copy_policy_from(source)
    np.testing.assert_array_equal(target.predict(observations), source.predict(observations))
    assert target.choice == source.choice
    assert target.config.state_names == list(tiny_buffer.state_names)


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (lambda config: {"state_names": config.state_names[::-1]}, "differ in the names of their states"),
        (
            lambda config: {"action_schema": config.action_schema.replace("PHONE_CALL", "CALL")},
            "differ in their actions",
        ),
        (lambda config: {"support_threshold": 0.01}, "differ in support_threshold"),
    ],
)
def test_a_policy_of_other_actions_states_or_support_is_not_copied(shared, other, text):
    target = copy.deepcopy(shared)
    for name, value in other(shared.config).items():
        setattr(target.config, name, value)
    with pytest.raises(UserError, match=text):
        target.copy_policy_from(shared)


def test_a_scaler_that_is_not_fitted_keeps_its_own_settings(tiny_buffer):
    algorithm = _create(observation_scaler=StandardObservationScaler(eps=0.5))
    algorithm.build_with_dataset(tiny_buffer)
    scaler = algorithm.observation_scaler
    assert scaler.eps == 0.5
    np.testing.assert_allclose(scaler.std, tiny_buffer.observations.std(axis=0, dtype=np.float64))


def test_update_by_hand_is_what_fit_does(tiny_buffer, observations):
    fitted, by_hand = _create(), _create()
    tiny_buffer.reseed(3)
    d3rlpy.seed(0)
    fitted.fit(tiny_buffer, n_steps=4, **QUIET)
    tiny_buffer.reseed(3)
    d3rlpy.seed(0)
    by_hand.build_with_dataset(tiny_buffer)
    for _ in range(4):
        losses = by_hand.update(tiny_buffer.sample_transition_batch(32))
    by_hand.impl.calibrate()
    assert losses["clone_loss"] > 0
    assert by_hand.grad_step == fitted.grad_step == 4
    np.testing.assert_array_equal(*(a.predict_probabilities(observations) for a in (fitted, by_hand)))


def test_update_trains_on_what_the_batch_holds(tiny_buffer):
    """Not on rows of the buffer it was built with: a batch of any buffer will do."""
    from d3rlpy.dataset import TransitionMiniBatch

    algorithm = _create(learning_rate=1e-2)
    algorithm.build_with_dataset(tiny_buffer)
    picked = [tiny_buffer.sample_transition() for _ in range(32)]
    losses = [algorithm.update(TransitionMiniBatch.from_transitions(picked))["clone_loss"] for _ in range(60)]
    assert losses[-1] < losses[0] / 2
    broken = tiny_buffer.batch_of(np.arange(3))
    broken.actions[0] = 1
    with pytest.raises(UserError, match="fewer than 11 logged actions are not valid"):
        algorithm.update(broken)
    returns = _create(critic="returns", extraction="regression")
    returns.build_with_dataset(tiny_buffer)
    returns.update(tiny_buffer.sample_transition_batch(8))
    with pytest.raises(UserError, match="batches of a FactoredReplayBuffer only"):
        returns.update(TransitionMiniBatch.from_transitions(picked))


def test_grad_step_and_optimiser_can_be_reset(tiny_buffer):
    algorithm = _create()
    algorithm.fit(tiny_buffer, n_steps=3, **QUIET)
    assert algorithm.impl.policy_optim.state
    algorithm.set_grad_step(1_000)
    algorithm.reset_optimizer_states()
    assert not algorithm.impl.policy_optim.state
    _, values = algorithm.fit(tiny_buffer, n_steps=3, **QUIET)[-1]
    assert algorithm.grad_step == 1_003
    assert set(values) >= POLICY_METRICS
    assert float(next(iter(algorithm.impl.policy_optim.state.values()))["step"]) == 3
