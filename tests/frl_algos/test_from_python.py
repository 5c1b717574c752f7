"""What users of d3rlpy try from Python works, or says in one line why not; and the door decides as the check does."""

import json
import pickle
import subprocess
import sys

import d3rlpy
import gymnasium
import minari
import numpy as np
import pytest
import torch
from d3rlpy import algos
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.models.torch.parameters import get_parameter

from frl_algos import FactoredAWRConfig, LearnedPolicy, fitted_q_evaluation, policy_evaluators, select_policy
from frl_algos.model_files.policy_files import load_policy
from frl_algos.policies.adapter import adapt
from frl_algos.policies.stock import create_stock
from frl_algos.policies.valid_maxima import keep_maxima_valid
from frl_algos.testing import check_algorithm
from frl_env import JointActions
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes

pytestmark = pytest.mark.usefixtures("one_thread")
QUIETLY = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
FEW = {"n_steps": 5, "n_steps_per_epoch": 5} | QUIETLY


@pytest.mark.parametrize("name", ["DoubleDQN", "NFQ", "DiscreteSAC"])
def test_discrete_algorithms_of_d3rlpy_choose_valid_actions_only(name, tiny_buffer):
    config = getattr(algos, f"{name}Config")
    check_algorithm(config)
    made = adapt(config, tiny_buffer.action_space)
    made.fit(tiny_buffer, **FEW)
    impl = made.algorithm.impl
    # An invalid action that looks best by far.
    worst = int(np.flatnonzero(~MEDICAID_ACTIONS.valid)[0])
    with torch.no_grad():
        heads = [each._fc for each in (*impl.modules.q_funcs, *getattr(impl.modules, "targ_q_funcs", ()))]
        heads += [impl.modules.policy._fc] if hasattr(impl.modules, "policy") else []
        for head in heads:
            head.bias[worst] += 1_000
    assert MEDICAID_ACTIONS.valid[made.predict(tiny_buffer.observations[:64])].all()
    assert MEDICAID_ACTIONS.valid[made.algorithm.predict(tiny_buffer.observations[:64])].all(), "d3rlpy's own choice"
    batch = d3rlpy.torch_utility.TorchMiniBatch.from_batch(
        tiny_buffer.batch_of(np.arange(16)), gamma=0.99, compute_returns_to_go=False, device="cpu:0"
    )
    assert float(impl.compute_target(batch).abs().max()) < 500, "nor does it bootstrap from one"


def test_the_entropy_that_sac_aims_at_is_one_that_valid_actions_can_have(tiny_buffer):
    made = create_stock("discrete_sac", batch_size=16, hidden_sizes=(8,))
    made.fit(tiny_buffer, **FEW)
    impl = made.algorithm.impl
    keep_maxima_valid(impl, MEDICAID_ACTIONS)
    n = int(MEDICAID_ACTIONS.valid.sum())
    before = float(get_parameter(impl.modules.log_temp).exp().mean().detach())
    for _ in range(20):  # the most even policy over the valid actions: its entropy is above the aim
        impl.update_temp(torch.distributions.Categorical(logits=torch.zeros(4, n)))
    assert float(get_parameter(impl.modules.log_temp).exp().mean().detach()) < before
    assert impl.action_size == MEDICAID_ACTIONS.n_joint


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("PRDC", "PRDCConfig can't be used here: it looks for neighbours"),
        ("CalQL", "rewards to go"),
        ("BEAR", "draws candidates anew"),
        ("CRR", "draws candidates anew"),
        ("DiscreteRandomPolicy", "learns nothing"),
        ("RandomPolicy", "learns nothing"),
        ("DiscreteDecisionTransformer", "acts on a history and a return to aim at"),
    ],
)
def test_what_cannot_be_used_is_refused_alike_by_the_door_and_the_check(name, said):
    config = getattr(algos, f"{name}Config")
    for ask in (lambda: adapt(config, MEDICAID_ACTIONS), lambda: check_algorithm(config)):
        with pytest.raises(UserError, match=said):
            ask()


def test_a_strangers_discrete_algorithm_that_knows_no_masks_says_so(tiny_buffer):
    invalid = int(np.flatnonzero(~MEDICAID_ACTIONS.valid)[0])

    class Mine(algos.DQN):
        def predict(self, x):
            return np.full(len(x), invalid)

    class MineConfig(algos.DQNConfig):
        def create(self, device=False, enable_ddp=False):
            return Mine(self, device, enable_ddp)

        @staticmethod
        def get_type():
            return "mine_without_masks"

    made = adapt(MineConfig, tiny_buffer.action_space)
    made.fit(tiny_buffer, **FEW)
    with pytest.raises(UserError, match="predict gives 7 of 7 actions that are not valid"):
        made.predict(tiny_buffer.observations[:7])
    with torch.no_grad():
        made.algorithm.impl.modules.q_funcs[0]._fc.bias[invalid] += 1_000
    own = super(Mine, made.algorithm).predict(tiny_buffer.observations[:7])
    assert MEDICAID_ACTIONS.valid[own].all(), "d3rlpy's own choice"


def test_a_decision_transformer_of_d3rlpy_trains_on_the_buffer(tiny_buffer):
    made = algos.DiscreteDecisionTransformerConfig(batch_size=4, context_size=5, num_layers=1).create()
    made.fit(tiny_buffer, n_steps=2, n_steps_per_epoch=2, **QUIETLY)
    piece = tiny_buffer.sample_trajectory(5)
    row = int(np.flatnonzero((tiny_buffer.observations == piece.observations[-1]).all(axis=1))[0])
    assert piece.length == 5
    assert tiny_buffer.actions[row] == int(piece.actions[-1, 0])
    tiny_buffer.reseed(3)
    first = tiny_buffer.sample_trajectory(5)
    tiny_buffer.reseed(3)
    np.testing.assert_array_equal(first.observations, tiny_buffer.sample_trajectory(5).observations)


def test_fit_online_says_what_it_does_not_take(tiny_buffer):
    env = JointActions(gymnasium.make("frl_env:frl/MedicaidCare-v0"))
    algorithm = FactoredAWRConfig().create()
    with pytest.raises(UserError, match="fit_online takes no explorer: it would choose actions that are not valid"):
        algorithm.fit_online(env, explorer=algos.ConstantEpsilonGreedy(0.1), n_steps=10)
    with pytest.raises(UserError, match="unknown option of fit_online: 'n_step'; did you mean n_steps"):
        algorithm.fit_online(env, n_step=10)


def test_plain_episodes_say_what_is_missing_of_them(tiny_buffer):
    plain = d3rlpy.dataset.create_infinite_replay_buffer(list(tiny_buffer.episodes[:4]))
    for made, way_out in ((FactoredAWRConfig(), "action_schema=space"), (None, "pass action_space")):
        algorithm = create_stock("dqn", batch_size=8) if made is None else made.create()
        with pytest.raises(UserError, match=rf"plain d3rlpy buffer does not say which factors.*{way_out}"):
            algorithm.fit(plain, **FEW)
    told = create_stock("dqn", batch_size=8, action_space=MEDICAID_ACTIONS)
    told.fit(plain, **FEW)
    assert MEDICAID_ACTIONS.valid[told.predict(tiny_buffer.observations[:5])].all()


@pytest.mark.long
def test_a_model_file_opens_in_plain_d3rlpy_once_the_package_is_imported(trained, tmp_path):
    file = tmp_path / "model.d3"
    trained.save(str(file))
    code = f"import frl_algos, d3rlpy; print(type(d3rlpy.load_learnable({str(file)!r})).__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "FactoredAWR", done.stderr


def test_a_model_file_that_cannot_be_opened_says_why(trained, tmp_path):
    file = tmp_path / "model.d3"
    trained.save(str(file))
    (tmp_path / "cut.d3").write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match="can't be read as a model of d3rlpy"):
        load_policy(tmp_path / "cut.d3", MEDICAID_ACTIONS)
    content = pickle.loads(file.read_bytes())
    config = json.loads(content["config"])
    config["config"]["type"] = "somebodys_own"
    file.write_bytes(pickle.dumps(content | {"config": json.dumps(config)}))
    with pytest.raises(UserError, match=r"algorithm 'somebodys_own' that d3rlpy does not know.*import the package"):
        load_policy(file, MEDICAID_ACTIONS)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_d3rlpys_own_loader_opens_a_dataset_of_ours(tiny_dataset):
    assert minari.load_dataset("tests/tiny-v0").spec.env_spec.max_episode_steps == 12
    buffer, env = d3rlpy.datasets.get_minari("tests/tiny-v0")
    assert buffer.transition_count > 0
    assert env.spec is not None


def probabilities_of(scales):
    """A configuration of d3rlpy's DQN with probabilities of its own, which scale what they are asked about or not."""

    class Soft(algos.DQN):
        def predict_probabilities(self, observations):
            x = torch.as_tensor(observations)
            if scales and self.config.observation_scaler is not None:
                x = self.config.observation_scaler.transform(x)
            with torch.no_grad():
                values = self.impl.q_function[0](x).q_value
            return torch.softmax(values.masked_fill(~torch.as_tensor(MEDICAID_ACTIONS.valid), -torch.inf), 1).numpy()

        def predict(self, x):
            return self.predict_probabilities(x).argmax(axis=1)

    class SoftConfig(algos.DQNConfig):
        def create(self, device=False, enable_ddp=False):
            return Soft(self, device, enable_ddp)

        @staticmethod
        def get_type():
            return "soft_dqn"

    return SoftConfig


def test_probabilities_of_ones_own_are_of_scaled_observations_or_refused(tiny_buffer):
    made = adapt(probabilities_of(scales=True), tiny_buffer.action_space)
    made.fit(tiny_buffer, **FEW)
    std = tiny_buffer.observations.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(made.config.observation_scaler.std, std)
    few = tiny_buffer.observations[:20]
    chances = made.predict_probabilities(few)
    assert np.array_equal(chances, made.algorithm.predict_probabilities(few))
    assert made.predict(few).shape == (20,)
    check_algorithm(probabilities_of(scales=True))
    with pytest.raises(UserError, match=r"Soft learned from scaled observations.*observation_scaler.transform"):
        check_algorithm(probabilities_of(scales=False))


def test_a_scaler_that_is_given_is_left_alone_with_probabilities_of_ones_own(tiny_buffer):
    raw = d3rlpy.preprocessing.StandardObservationScaler(mean=np.zeros(7), std=np.ones(7))
    made = adapt(probabilities_of(scales=False)(observation_scaler=raw), tiny_buffer.action_space)
    made.fit(tiny_buffer, **FEW)
    assert made.config.observation_scaler is raw
    assert made.predict_probabilities(tiny_buffer.observations[:9]).shape == (9, MEDICAID_ACTIONS.n_joint)
    loaded = adapt(made, tiny_buffer.action_space)
    assert loaded is made


def test_a_seed_in_place_of_a_generator_is_said(tiny_buffer, tiny_dataset):
    policy = LearnedPolicy(FactoredAWRConfig().create(), MEDICAID_ACTIONS)
    episodes = load_episodes(tiny_dataset)
    for ask in (
        lambda: policy(tiny_buffer.observations[:2], 0),
        lambda: policy_evaluators(episodes, rng=0),
        lambda: select_policy({"own": policy}, episodes, rng=0),
        lambda: fitted_q_evaluation(episodes, policy.probabilities, rng=0),
    ):
        with pytest.raises(UserError, match=r"rng must be a numpy\.random\.Generator, not 0"):
            ask()
