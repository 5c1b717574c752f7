"""FactoredAWR as d3rlpy's users know algorithms: logs, evaluators, files, copies, updates by hand."""

import copy
import json
import sys
import types

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy import metrics as evaluation
from d3rlpy.constants import LoggingStrategy
from d3rlpy.logging import (
    CombineAdapterFactory,
    FileAdapterFactory,
    NoopAdapterFactory,
    TensorboardAdapterFactory,
    WanDBAdapterFactory,
)

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


def _rows(path):
    return [tuple(float(cell) for cell in line.split(",")) for line in path.read_text().splitlines()]


def test_files_hold_every_metric_of_every_epoch(tiny_buffer, tmp_path):
    steps, epochs = [], []
    options = {"experiment_name": "run", "with_timestamp": False, "save_interval": 2}
    results = _create().fit(
        tiny_buffer,
        logger_adapter=FileAdapterFactory(str(tmp_path)),
        callback=lambda algo, epoch, step: steps.append((epoch, step)),
        epoch_callback=lambda algo, epoch, step: epochs.append((epoch, step)),
        **(TWO_EPOCHS | options),
    )
    assert steps == [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]
    assert epochs == [(1, 3), (2, 6)]
    assert [epoch for epoch, _ in results] == [1, 2]
    directory = tmp_path / "run"
    assert sorted(path.name for path in directory.glob("*.d3")) == ["model_6.d3"]
    assert set(results[0][1]) == set(results[1][1]) >= POLICY_METRICS | {"clone_loss"}
    for name in results[0][1]:
        expected = [(float(epoch), 3.0 * epoch, values[name]) for epoch, values in results]
        assert _rows(directory / f"{name}.csv") == expected, name
    assert len((directory / "clone.gate.weight_grad.csv").read_text().splitlines()) == 3
    assert json.loads((directory / "params.json").read_text())["config"]["type"] == "factored_awr"


def test_metrics_of_the_policy_are_those_at_the_end_of_the_epoch_not_a_mean(tiny_buffer, monkeypatch):
    """d3rlpy averages over an epoch; a collapse in its last updates must not be averaged away."""
    monkeypatch.setattr("frl_algos.implementation.CALIBRATE_EVERY", 2)
    algorithm = _create(critic="none")
    algorithm.set_grad_step(1)
    measured, original = [], algorithm.update

    def update(batch):
        measured.append(original(batch))
        return measured[-1]

    algorithm.update = update
    results = algorithm.fit(tiny_buffer, n_steps=10, n_steps_per_epoch=5, **QUIET)
    ends = [values for values in measured if "policy_action_share" in values]
    assert [measured.index(values) for values in ends] == [4, 9]
    for (_, values), end in zip(results, ends, strict=True):
        assert values["policy_action_share"] == end["policy_action_share"]
        assert values["clone_loss"] != end["clone_loss"]


def test_a_line_of_the_log_by_steps_has_the_policy_too(tiny_buffer, tmp_path):
    _create().fit(
        tiny_buffer, logger_adapter=FileAdapterFactory(str(tmp_path)), experiment_name="run", with_timestamp=False,
        logging_strategy=LoggingStrategy.STEPS, logging_steps=2, **TWO_EPOCHS,
    )  # fmt: skip
    for name in ("clone_loss", "policy_action_share"):
        assert [row[1] for row in _rows(tmp_path / "run" / f"{name}.csv")] == [2.0, 4.0, 6.0], name


def test_fitter_yields_every_epoch_and_may_be_left(tiny_buffer):
    algorithm = _create()
    for epoch, values in algorithm.fitter(tiny_buffer, **(TWO_EPOCHS | QUIET)):
        assert np.isfinite(values["clone_loss"])
        if epoch == 1:
            break
    assert algorithm.grad_step == 3
    assert algorithm.predict(tiny_buffer.observations[:2]).shape == (2,)


def test_tensorboard(tiny_buffer, tmp_path):
    pytest.importorskip("tensorboardX")
    _create().fit(tiny_buffer, logger_adapter=TensorboardAdapterFactory(str(tmp_path)), **TWO_EPOCHS)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("events*"))
    for name in (b"metrics/clone_loss", b"metrics/policy_action_share", b"histograms/clone.gate.weight_grad"):
        assert name in written


class Run:
    """What Weights & Biases gives for a run, as far as d3rlpy calls it."""

    def __init__(self):
        self.config, self.logged, self.watched, self.finished = {}, [], (), False

    def watch(self, modules, log, log_freq):
        self.watched = modules

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


def test_weights_and_biases_and_files_at_once(tiny_buffer, tmp_path, monkeypatch):
    run, names = Run(), []
    module = types.ModuleType("wandb")
    module.init = lambda project, name: names.append((project, name)) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    factory = CombineAdapterFactory([WanDBAdapterFactory("care"), FileAdapterFactory(str(tmp_path))])
    options = {"experiment_name": "run", "with_timestamp": False}
    results = _create().fit(tiny_buffer, logger_adapter=factory, **(TWO_EPOCHS | options))
    assert names == [("care", "run")]
    assert run.finished
    assert run.config["config"]["params"]["batch_size"] == 32
    assert any(isinstance(m, torch.nn.Module) for m in run.watched)
    for name in ("clone_loss", "policy_action_share"):
        logged = [(step, values[name]) for step, values in run.logged if name in values]
        assert logged == [(3 * epoch, values[name]) for epoch, values in results]
    assert (tmp_path / "run" / "model_3.d3").exists()


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
    ]:
        with pytest.raises(UserError, match=text):
            call()


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
    with pytest.raises(UserError, match="1 logged actions are not valid"):
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
