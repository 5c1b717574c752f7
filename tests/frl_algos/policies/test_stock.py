import copy
import dataclasses

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.adapter import adapt
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.policies.relaxed_actions import RelaxedReplayBuffer, relax
from frl_algos.policies.stock import STOCK, StockAlgorithm, create_stock
from frl_algos.testing import made_up_buffer
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIETLY = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}


@pytest.fixture
def various(tiny_buffer) -> FactoredReplayBuffer:
    """The tiny buffer with actions that are not mostly "do nothing"."""
    joints = MEDICAID_ACTIONS.valid_joints
    chosen = np.random.default_rng(0).choice(joints, tiny_buffer.transition_count)
    return FactoredReplayBuffer(
        observations=tiny_buffer.observations,
        actions=MEDICAID_ACTIONS.unravel(chosen),
        rewards=tiny_buffer.rewards,
        next_observations=tiny_buffer.next_observations,
        lengths=tiny_buffer.lengths,
        terminated=tiny_buffer.terminated,
        action_space=MEDICAID_ACTIONS,
    )


@pytest.mark.parametrize("name", STOCK)
def test_it_trains_and_chooses_valid_actions(name, various):
    d3rlpy.seed(0)
    algorithm = create_stock(name, batch_size=32, hidden_sizes=(16,), learning_rate=1e-2)
    results = algorithm.fit(various, n_steps=20, n_steps_per_epoch=10, **QUIETLY)
    assert len(results) == 2
    assert all(np.isfinite(value) for _, metrics in results for value in metrics.values())
    observations = various.observations[:200]
    joints = algorithm.predict(observations)
    assert joints.shape == (200,)
    assert MEDICAID_ACTIONS.valid[joints].all()
    np.testing.assert_array_equal(joints, algorithm.predict(observations), "greedy is deterministic")
    for mode in algorithm.modes:
        levels = LearnedPolicy(algorithm, MEDICAID_ACTIONS, mode)(observations, np.random.default_rng(0))
        assert MEDICAID_ACTIONS.is_valid(levels).all()
    if "stochastic" not in algorithm.modes:
        with pytest.raises(UserError, match="greedy"):
            algorithm.predict_probabilities(observations)


@pytest.mark.parametrize("name", ["discrete_bc", "discrete_cql", "discrete_bcq", "iql"])
def test_it_agrees_with_d3rlpy_where_every_action_is_valid(name, tiny_buffer):
    """Ours differs from d3rlpy's own `predict` only in leaving invalid actions out."""
    space = ActionSpace.from_nvec([3, 2])
    rng = np.random.default_rng(1)
    buffer = FactoredReplayBuffer(
        observations=tiny_buffer.observations,
        actions=rng.integers(0, (3, 2), (tiny_buffer.transition_count, 2)),
        rewards=tiny_buffer.rewards,
        next_observations=tiny_buffer.next_observations,
        lengths=tiny_buffer.lengths,
        terminated=tiny_buffer.terminated,
        action_space=space,
    )
    algorithm = create_stock(name, batch_size=32, hidden_sizes=(8,), learning_rate=1e-2)
    algorithm.fit(buffer, n_steps=20, n_steps_per_epoch=20, **QUIETLY)
    theirs = algorithm.algorithm.predict(buffer.observations)
    if name == "discrete_bcq":  # its rule is replaced where it trains; d3rlpy's own is that of the class
        impl = algorithm.algorithm.impl
        with torch.no_grad():
            own = type(impl).inner_predict_best_action(impl, algorithm._scaled(buffer.observations)).numpy()
        np.testing.assert_array_equal(own, theirs)
        theirs = own
    if name == "iql":
        theirs = space.ravel(np.stack([theirs[:, :3].argmax(axis=1), theirs[:, 3:].argmax(axis=1)], axis=1))
    np.testing.assert_array_equal(algorithm.predict(buffer.observations), theirs)


def test_probabilities_are_the_softmax_over_valid_actions(various):
    algorithm = create_stock("discrete_bc", batch_size=32, hidden_sizes=(16, 16))
    algorithm.fit(various, n_steps=20, n_steps_per_epoch=20, **QUIETLY)
    observations = various.observations[:50]
    probabilities = algorithm.predict_probabilities(observations)
    assert probabilities.shape == (50, MEDICAID_ACTIONS.n_joint)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities[:, ~MEDICAID_ACTIONS.valid] == 0).all()
    np.testing.assert_array_equal(probabilities.argmax(axis=1), algorithm.predict(observations))


def test_the_relaxed_buffer_is_the_same_rows(various):
    relaxed = RelaxedReplayBuffer(various)
    assert relaxed.transition_count == various.transition_count
    assert relaxed.size() == len(relaxed.episodes) == various.size()
    assert relaxed.dataset_info.action_size == 31
    various.reseed(5)
    theirs = various.sample_transition_batch(64)
    various.reseed(5)
    ours = relaxed.sample_transition_batch(64)
    np.testing.assert_array_equal(ours.observations, theirs.observations)
    np.testing.assert_array_equal(ours.rewards, theirs.rewards)
    for back, joints in ((ours.actions, theirs.actions), (ours.next_actions, theirs.next_actions)):
        assert back.shape == (64, 31)
        np.testing.assert_array_equal((back @ relax(MEDICAID_ACTIONS).T).argmax(axis=1), joints[:, 0])
    actions = np.concatenate([episode.actions for episode in relaxed.episodes])
    np.testing.assert_array_equal((actions == 1).sum(axis=1), 4)
    np.testing.assert_array_equal((actions @ relax(MEDICAID_ACTIONS).T).argmax(axis=1), various.actions)
    assert relaxed.sample_transition().action.shape == (31,)
    with pytest.raises(UserError, match="fixed"):
        relaxed.append(None, None, None)


def test_scaler_and_settings_reach_d3rlpy(various):
    mean, std = np.full(various.observations.shape[1], 2.0), np.full(various.observations.shape[1], 4.0)
    algorithm = create_stock(
        "iql", observation_mean=mean, observation_std=std, learning_rate=0.5, hidden_sizes=(7, 9), expectile=0.9
    )
    algorithm.fit(various, n_steps=1, n_steps_per_epoch=1, **QUIETLY)
    config = algorithm.algorithm.config
    assert (config.actor_learning_rate, config.critic_learning_rate, config.expectile) == (0.5, 0.5, 0.9)
    assert config.value_encoder_factory.hidden_units == [7, 9]
    np.testing.assert_array_equal(config.observation_scaler.mean, mean)
    assert algorithm.label == "IQL (stock, 31-d relaxation)"
    for wrong, said in [
        ({"name": "iqll"}, "did you mean iql"),
        ({"name": "iql", "observation_mean": mean}, "go together"),
        ({"name": "iql", "expectil": 0.9}, "unknown setting of iql: 'expectil'; did you mean expectile"),
    ]:
        with pytest.raises(UserError, match=said):
            create_stock(**wrong)


@pytest.mark.parametrize("name", ["discrete_cql", "discrete_bcq"])
def test_a_saved_model_chooses_alike(name, various, tmp_path):
    algorithm = create_stock(name, batch_size=32, hidden_sizes=(16,))
    algorithm.fit(various, n_steps=5, n_steps_per_epoch=5, **QUIETLY)
    algorithm.save(str(tmp_path / "model.d3"))
    loaded = StockAlgorithm(d3rlpy.load_learnable(str(tmp_path / "model.d3")), MEDICAID_ACTIONS)
    observations = various.observations[:50]
    np.testing.assert_array_equal(loaded.predict(observations), algorithm.predict(observations))


@pytest.mark.parametrize("flexibility", [0.0, -0.3, 1.01, float("nan"), float("inf")])
def test_an_action_flexibility_that_is_no_share_is_refused(flexibility, various):
    config = d3rlpy.algos.DiscreteBCQConfig(action_flexibility=flexibility)
    for make in (
        lambda: create_stock("discrete_bcq", action_flexibility=flexibility),
        lambda: adapt(config, MEDICAID_ACTIONS),
    ):
        with pytest.raises(UserError, match="action_flexibility must be above 0 and at most 1"):
            make()


def test_bcq_that_is_all_but_cloning_does_what_is_likeliest(various):
    """At an `action_flexibility` of 1, where d3rlpy's own rule finds no action likely enough and takes the first."""
    algorithm = create_stock(
        "discrete_bcq", batch_size=32, hidden_sizes=(16,), learning_rate=1e-2, action_flexibility=1.0
    )
    algorithm.fit(various, n_steps=20, n_steps_per_epoch=20, **QUIETLY)
    impl, x = algorithm.algorithm.impl, algorithm._scaled(various.observations[:200])
    with torch.no_grad():
        logits = impl.modules.imitator(x).logits.numpy()
        assert (type(impl).inner_predict_best_action(impl, x) == 0).all()
        in_training = impl.inner_predict_best_action(x).numpy()
    likeliest = np.where(MEDICAID_ACTIONS.valid, logits, -np.inf).argmax(axis=1)
    np.testing.assert_array_equal(algorithm.predict(various.observations[:200]), likeliest)
    np.testing.assert_array_equal(in_training, likeliest)


@pytest.mark.parametrize("name", ["discrete_bcq", "discrete_sac"])
def test_a_deep_copy_trains_by_its_own_networks(name, various):
    """It becomes what the original becomes, though that is another one by then."""
    original = create_stock(name, batch_size=32, hidden_sizes=(16,), learning_rate=1e-2)
    original.fit(various, n_steps=5, n_steps_per_epoch=5, **QUIETLY)
    batch = d3rlpy.torch_utility.TorchMiniBatch.from_batch(
        various.batch_of(np.arange(32)), gamma=0.99, compute_returns_to_go=False, device="cpu:0"
    )

    def trained_on(algorithm):
        torch.manual_seed(0)
        impl = algorithm.algorithm.impl
        for step in range(20):
            impl.update(batch, step)
        modules = [each for each in vars(impl.modules).values() if isinstance(each, torch.nn.Module)]
        return [tensor for module in modules for tensor in module.state_dict().values()]

    copied = copy.deepcopy(original)
    for of_original, of_copy in zip(trained_on(original), trained_on(copied), strict=True):
        assert torch.equal(of_original, of_copy)


def test_what_is_missing_is_said(various):
    with pytest.raises(UserError, match="knows no actions"):
        _ = create_stock("dqn").action_space
    with pytest.raises(UserError, match="not trained"):
        create_stock("dqn", action_space=MEDICAID_ACTIONS).predict(various.observations[:2])
    with pytest.raises(UserError, match="sac"):
        StockAlgorithm(d3rlpy.algos.SACConfig().create())


def test_no_more_updates_than_an_epoch_has_are_trained_all_the_same(various):
    for algorithm in (create_stock("discrete_bc", batch_size=8), adapt(d3rlpy.algos.TD3Config(), MEDICAID_ACTIONS)):
        assert len(algorithm.fit(various, n_steps=2, **QUIETLY)) == 1
        with pytest.raises(UserError, match="n_steps must be a whole number in 1"):
            algorithm.fit(various, n_steps=0, **QUIETLY)


def test_it_is_not_fitted_to_other_actions_than_before():
    """Its mask would stay that of the first ones, and it would choose what is not valid among the others."""
    everything = ActionSpace.from_nvec((4, 3, 2))
    fewer = dataclasses.replace(everything, contact_factors=("factor_0",))
    first, second = made_up_buffer(everything), made_up_buffer(fewer)
    fitted = create_stock("discrete_bc", batch_size=8)
    fitted.fit(first, n_steps=1, **QUIETLY)
    fitted.predict(first.observations)
    for algorithm in (
        fitted,
        create_stock("dqn", action_space=everything),
        adapt(d3rlpy.algos.TD3Config(), everything),
    ):
        with pytest.raises(UserError, match=r"the algorithm was made for .* 24 valid.*, the dataset has .* 19 valid"):
            algorithm.fit(second, n_steps=1, **QUIETLY)
