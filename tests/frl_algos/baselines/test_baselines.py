"""Each factored baseline is what its paper says, on a batch whose numbers are worked out by hand (in NumPy)."""

import itertools

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import AutoregressiveIQLConfig, DecoupledCQLConfig, FactoredIQLConfig, FactoredReplayBuffer
from frl_algos.baselines.autoregressive_iql import FEW
from frl_algos.baselines.factor_scores import FactorScores
from frl_algos.baselines.implicit_q import MOST_WEIGHT, inverse_draw
from frl_algos.policies.adapter import adapt, modes
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.testing import check_algorithm, made_up_buffer
from frl_env.actions import ActionSpace, Factor
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
QUIETLY = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
CONFIGS = (FactoredIQLConfig, AutoregressiveIQLConfig, DecoupledCQLConfig)
GAMMA = 0.9

ALL_VALID = ActionSpace.from_nvec([2, 3])
SOME_VALID = ActionSpace(
    factors=(Factor(name="a", levels=("NONE", "A")), Factor(name="b", levels=("NONE", "B", "C"))),
    contact_factors=("a", "b"),
)
"""Valid are (0, 0), (1, 1) and (1, 2): joint indices 0, 4, 5."""

SPACES = pytest.mark.parametrize("space", [ALL_VALID, SOME_VALID], ids=["all valid", "some valid"])


def buffer_of(space):
    """Eight rows, two episodes; the first ends for good."""
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(9, 2)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=seen[:-1],
        actions=space.unravel(rng.choice(space.valid_joints, 8)),
        rewards=rng.normal(size=8).astype(np.float32),
        next_observations=seen[1:],
        lengths=np.asarray([5, 3]),
        terminated=np.asarray([True, False]),
        action_space=space,
    )


def made(config, space, **settings):
    """Networks after one update, the buffer, a batch of all its rows, and their scaled observations."""
    torch.manual_seed(0)
    algorithm = config(gamma=GAMMA, hidden_size=8, batch_size=8, **settings).create()
    buffer = buffer_of(space)
    algorithm.fit(buffer, n_steps=1, **QUIETLY)
    with torch.no_grad():
        for network in vars(algorithm.impl.modules).values():
            for parameter in network.parameters() if isinstance(network, torch.nn.Module) else ():
                parameter.add_(torch.randn_like(parameter) * 0.3)  # so that copies differ from what they copy
    batch = d3rlpy.torch_utility.TorchMiniBatch.from_batch(
        buffer.batch_of(np.arange(8)),
        gamma=GAMMA,
        compute_returns_to_go=False,
        device="cpu:0",
        observation_scaler=algorithm.observation_scaler,
    )
    return algorithm, buffer, batch


def forward(network, inputs):
    """A network of two hidden layers, by NumPy."""
    weights = [parameter.detach().double().numpy() for parameter in network.parameters()]
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        inputs = np.maximum(inputs @ weight.T + bias, 0.0)
    return inputs @ weights[-2].T + weights[-1]


def one_hot(space, joints):
    return np.concatenate([np.eye(n)[levels] for n, levels in zip(space.nvec, space.unravel(joints).T, strict=True)], 1)


@SPACES
@pytest.mark.parametrize("config", [FactoredIQLConfig, AutoregressiveIQLConfig])
def test_implicit_q_learning_has_the_losses_of_its_paper(config, space):
    """Kostrikov et al. (2022), equations 5 to 7, with the clip of the weights at 100."""
    algorithm, buffer, batch = made(config, space, expectile=0.8, beta=5.0)
    net = algorithm.impl.modules
    x, following = batch.observations.double().numpy(), batch.next_observations.double().numpy()
    both = np.concatenate([x, one_hot(space, buffer.actions)], axis=1)
    slow = np.minimum(*(forward(network, both)[:, 0] for network in net.critic.slow))
    value, ahead = forward(net.value, x)[:, 0], forward(net.value, following)[:, 0]
    returns = [buffer.rewards[:5].sum(), buffer.rewards[5:].sum()]
    rewards = buffer.rewards / np.std(returns)
    targets = rewards + GAMMA * np.asarray([1, 1, 1, 1, 0, 1, 1, 1]) * ahead
    errors = slow - value
    chances = algorithm.predict_probabilities(buffer.observations)[np.arange(8), buffer.actions]
    weights = np.minimum(np.exp(5.0 * errors), MOST_WEIGHT)
    expected = {
        "value_loss": np.mean(np.where(errors < 0, 0.2, 0.8) * errors**2),
        "advantage_loss": sum(np.mean((targets - forward(network, both)[:, 0]) ** 2) for network in net.critic.values),
        "actor_loss": -np.mean(weights * np.log(chances)),
    }
    slow_before = [parameter.clone() for parameter in net.critic.slow.parameters()]
    found = algorithm.impl.inner_update(batch, 0)
    for name, number in expected.items():
        assert found[name] == pytest.approx(number, rel=1e-4), name
    for before, after, fast in zip(
        slow_before, net.critic.slow.parameters(), net.critic.values.parameters(), strict=True
    ):
        torch.testing.assert_close(after, before + 0.005 * (fast - before))


@SPACES
def test_decoupled_cql_has_the_losses_of_its_papers(space):
    """Value: Tang et al. (2022), a sum over factors; penalty: Kumar et al. (2020) over valid joint actions."""
    algorithm, buffer, batch = made(DecoupledCQLConfig, space, alpha=0.5)
    net = algorithm.impl.modules

    def values(network, seen):
        levels = forward(network, seen.double().numpy())
        first, second = levels[:, :2], levels[:, 2:]
        return np.stack([first[:, a] + second[:, b] for a, b in space.unravel(space.valid_joints)], axis=1)

    own = values(net.values, batch.observations)
    best = values(net.values, batch.next_observations).argmax(axis=1)
    ahead = values(net.copied, batch.next_observations)[np.arange(8), best]
    position = np.searchsorted(space.valid_joints, buffer.actions)
    logged = own[np.arange(8), position]
    errors = np.abs(buffer.rewards + GAMMA * np.asarray([1, 1, 1, 1, 0, 1, 1, 1]) * ahead - logged)
    expected = {
        "td_loss": np.mean(np.where(errors < 1, 0.5 * errors**2, errors - 0.5)),
        "penalty": np.mean(np.log(np.exp(own).sum(axis=1)) - logged),
    }
    greedy = algorithm.predict(buffer.observations)
    np.testing.assert_array_equal(greedy, space.valid_joints[own.argmax(axis=1)])
    np.testing.assert_allclose(algorithm.predict_value(buffer.observations, buffer.actions), logged, rtol=1e-4)
    found = algorithm.impl.inner_update(batch, 0)
    for name, number in expected.items():
        assert found[name] == pytest.approx(number, rel=1e-4), name


def test_the_penalty_of_a_sum_is_the_sum_of_the_penalties_of_its_factors():
    """Beeson et al. (2024) take it factor by factor; where all joint actions are valid that is the same number."""
    scores = FactorScores(ALL_VALID)
    logits = torch.randn(16, 5, dtype=torch.float64)
    by_factor = logits[:, :2].logsumexp(1) + logits[:, 2:].logsumexp(1)
    torch.testing.assert_close(scores.log_sum_exp(logits), by_factor)
    torch.testing.assert_close(scores(logits).logsumexp(1), by_factor)


@SPACES
def test_sums_and_maxima_run_over_valid_joint_actions(space):
    scores = FactorScores(space)
    logits = torch.randn(16, 5, dtype=torch.float64)
    every = torch.stack([logits[:, a] + logits[:, 2 + b] for a, b in itertools.product(range(2), range(3))], dim=1)
    valid = every[:, torch.as_tensor(space.valid_joints)]
    torch.testing.assert_close(scores(logits), valid)
    torch.testing.assert_close(scores.log_sum_exp(logits), valid.logsumexp(1))
    np.testing.assert_array_equal(scores.best(logits), space.valid_joints[valid.argmax(1)])
    joints = torch.as_tensor(space.valid_joints)[torch.randint(len(space.valid_joints), (16,))]
    torch.testing.assert_close(scores.of(logits, joints), every.gather(1, joints[:, None])[:, 0])


def test_factors_of_the_factored_policy_are_independent_given_the_state():
    algorithm, buffer, _ = made(FactoredIQLConfig, ALL_VALID)
    chances = algorithm.predict_probabilities(buffer.observations).reshape(8, 2, 3)
    np.testing.assert_allclose(chances, chances.sum(2)[:, :, None] * chances.sum(1)[:, None, :], rtol=1e-4)
    wide = FactoredIQLConfig().create()
    from frl_env.actions import MEDICAID_ACTIONS

    wide.fit(made_up_buffer(MEDICAID_ACTIONS), n_steps=1, **QUIETLY)
    assert wide.impl.modules.policy.logits[-1].out_features == 31


def test_the_autoregressive_policy_can_learn_what_an_independent_one_can_not():
    """XOR as behaviour: both factors are even chances alone, and together always differ."""
    space, rng = ActionSpace.from_nvec([2, 2]), np.random.default_rng(0)
    first = rng.integers(2, size=512)
    seen = rng.normal(size=(513, 2)).astype(np.float32)
    buffer = FactoredReplayBuffer(
        observations=seen[:-1], actions=np.stack([first, 1 - first], 1), rewards=np.zeros(512, dtype=np.float32),
        next_observations=seen[1:], lengths=np.ones(512, dtype=int), terminated=np.ones(512, dtype=bool),
        action_space=space,
    )  # fmt: skip
    wrong = {}
    for config in (FactoredIQLConfig, AutoregressiveIQLConfig):
        torch.manual_seed(0)
        algorithm = config(learning_rate=1e-2, hidden_size=16).create()
        algorithm.fit(buffer, n_steps=100, **QUIETLY)
        wrong[config] = algorithm.predict_probabilities(seen[:64])[:, [0, 3]].sum(axis=1).mean()
    assert wrong[FactoredIQLConfig] > 0.4
    assert wrong[AutoregressiveIQLConfig] < 0.05


@SPACES
@pytest.mark.parametrize("config", [FactoredIQLConfig, AutoregressiveIQLConfig])
def test_draws_follow_the_exact_probabilities(config, space):
    algorithm, buffer, _ = made(config, space)
    state = np.repeat(buffer.observations[:1], 20_000, axis=0)
    drawn = LearnedPolicy(algorithm, space)(state, np.random.default_rng(0))
    shares = np.bincount(space.ravel(drawn), minlength=space.n_joint) / 20_000
    chances = algorithm.predict_probabilities(buffer.observations[:1])[0]
    np.testing.assert_allclose(shares, chances, atol=4 * 0.5 / 20_000**0.5)
    assert (shares[~space.valid] == 0).all()
    assert chances.sum() == pytest.approx(1, abs=1e-5)


@SPACES
def test_many_states_have_the_probabilities_that_each_has_alone(space):
    policy = AutoregressiveIQLConfig().make_policy(3, space)
    states = torch.as_tensor(np.random.default_rng(0).normal(size=(2 * FEW + 3, 3)), dtype=torch.float32)
    with torch.inference_mode():
        found = policy(states)
        for place, joint in enumerate(space.valid_joints):
            each = policy.log_likelihood(states, torch.full((len(states),), int(joint)))
            torch.testing.assert_close(found[:, place], each)


def test_a_draw_never_falls_on_what_has_no_chance():
    chances = torch.tensor([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5]])
    assert inverse_draw(chances, torch.tensor([0.0, 1.0])).tolist() == [1, 2]
    assert inverse_draw(chances, torch.tensor([1.0, 0.6])).tolist() == [1, 2]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("nvec", [None, (2,) * 8], ids=["care management", "eight switches"])
def test_the_contract_holds(config, nvec):
    space = {} if nvec is None else {"action_space": ActionSpace.from_nvec(nvec)}
    check_algorithm(config, **space)


@pytest.mark.parametrize("config", CONFIGS)
def test_saved_and_loaded_it_is_the_same_policy(config, tmp_path):
    algorithm, buffer, _ = made(config, SOME_VALID)
    algorithm.save(str(tmp_path / "model.d3"))
    loaded = adapt(d3rlpy.load_learnable(str(tmp_path / "model.d3")), SOME_VALID)
    assert modes(loaded) == modes(algorithm)
    for ask in ("predict", "predict_probabilities"):
        np.testing.assert_array_equal(
            getattr(loaded, ask)(buffer.observations), getattr(algorithm, ask)(buffer.observations)
        )
    np.testing.assert_array_equal(
        loaded.predict_value(buffer.observations, buffer.actions),
        algorithm.predict_value(buffer.observations, buffer.actions),
    )


def test_greedy_only_where_there_is_no_policy_to_draw_from():
    assert modes(DecoupledCQLConfig().create()) == ("greedy",)
    assert modes(FactoredIQLConfig().create()) == ("stochastic", "greedy")


@pytest.mark.parametrize(
    "settings", [{"expectile": 1.0}, {"beta": 0.0}, {"gamma": 1.1}, {"learning_rate": float("nan")}, {"batch_size": 0}]
)
def test_settings_that_make_no_sense_are_one_line(settings):
    with pytest.raises(UserError, match=next(iter(settings))):
        FactoredIQLConfig(**settings)


def test_rewards_have_one_unit():
    """A scaler of d3rlpy's would scale them once more, so that beta would mean something else."""
    scaler = d3rlpy.preprocessing.MultiplyRewardScaler(100.0)
    for config in (FactoredIQLConfig, AutoregressiveIQLConfig):
        with pytest.raises(UserError, match="leave reward_scaler out"):
            config(reward_scaler=scaler)


def test_an_action_that_is_not_valid_has_no_value():
    for config in CONFIGS:
        algorithm, buffer, _ = made(config, SOME_VALID)
        with pytest.raises(UserError, match="fewer than 11 actions are not valid; their value is not defined"):
            algorithm.predict_value(buffer.observations[:3], np.asarray([1, 4, 2]))


def test_another_dataset_than_it_was_made_for_is_refused():
    algorithm, _, _ = made(FactoredIQLConfig, ALL_VALID)
    with pytest.raises(UserError, match="made for"):
        algorithm.fit(buffer_of(SOME_VALID), n_steps=1, **QUIETLY)
    with pytest.raises(UserError, match="not trained"):
        FactoredIQLConfig().create().predict_probabilities(np.zeros((1, 2)))


@pytest.mark.parametrize("config", CONFIGS)
def test_it_takes_what_the_learner_takes(config):
    """A plain buffer once it is told the actions, batches by hand, and any number of updates from 1."""
    buffer = made_up_buffer(ALL_VALID)
    plain = d3rlpy.dataset.create_infinite_replay_buffer(list(buffer.episodes))
    told = config(batch_size=8, action_schema=ALL_VALID.to_json()).create()
    told.fit(plain, n_steps=1, **QUIETLY)
    by_hand = config(batch_size=8).create()
    by_hand.build_with_dataset(buffer)
    assert np.isfinite(list(by_hand.update(buffer.sample_transition_batch(8)).values())).all()
    assert by_hand.predict(buffer.observations[:3]).shape == (3,)


@pytest.mark.parametrize("config", CONFIGS)
def test_what_it_can_not_use_is_one_sentence(config):
    buffer = made_up_buffer(ALL_VALID)
    plain = d3rlpy.dataset.create_infinite_replay_buffer(list(buffer.episodes))
    trained = config(batch_size=8).create()
    trained.fit(buffer, n_steps=1, **QUIETLY)
    seen, unknown = buffer.observations[:2], np.full((2, 7), np.nan)
    for call, text in [
        (lambda: config().create().fit(plain, n_steps=1), "plain d3rlpy buffer does not say which factors"),
        (lambda: config().create().fit(buffer, n_steps=0), "n_steps must be a whole number"),
        (lambda: config().create().fit(buffer, n_steps=1, n_steps_per_epoch=0), "n_steps_per_epoch must be a whole"),
        (lambda: config().create().predict(buffer.observations), "not trained yet"),
        (lambda: trained.predict(np.zeros((2, 3))), r"observations must have shape \(n, 7\), not \(2, 3\)"),
        (lambda: trained.predict(unknown), "2 of 2 observations hold NaN"),
        (lambda: trained.predict_probabilities(unknown), "2 of 2 observations hold NaN"),
        (lambda: trained.draw(unknown, np.zeros((2, 2))), "2 of 2 observations hold NaN"),
        (lambda: trained.draw(seen, np.full((2, 2), 7.0)), r"lie in 0\.\.1"),
        (lambda: trained.draw(seen, np.zeros(2)), r"must have shape \(2, 2\), not \(2,\)"),
        (lambda: trained.predict_value(seen, np.asarray([-1, 0])), r"1 joint actions lie outside 0\.\.5"),
        (lambda: trained.predict_value(seen, np.asarray([6, 0])), r"1 joint actions lie outside 0\.\.5"),
        (lambda: trained.predict_value(seen, np.zeros((2, 2), int)), r"one a state, not shape \(2, 2\)"),
        (lambda: trained.predict_value(unknown, np.zeros(2, int)), "2 of 2 observations hold NaN"),
        (lambda: trained.copy_policy_from(trained), "copy nothing of each other"),
        (lambda: trained.copy_policy_optim_from(trained), "copy nothing of each other"),
        (lambda: trained.copy_q_function_from(trained), "copy nothing of each other"),
        (lambda: trained.copy_q_function_optim_from(trained), "copy nothing of each other"),
        (lambda: config().create(enable_ddp=True), "leave enable_ddp out"),
        (lambda: config(action_schema=ALL_VALID.to_json()).create().create_impl((7,), 5), "does not fit 5 joint"),
    ]:
        with pytest.raises(UserError, match=text):
            call()
