import subprocess
import sys

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import MinMaxObservationScaler, StandardObservationScaler

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.policies.policy import LearnedPolicy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}


def _fit(buffer, n_steps=20, **settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(**({"batch_size": 64} | settings)).create()
    results = algorithm.fit(buffer, n_steps=n_steps, **QUIET)
    return algorithm, results


def test_probabilities_are_exact_and_normalised(trained, observations):
    probabilities = trained.predict_probabilities(observations)
    assert probabilities.shape == (50, 1080)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert not probabilities[:, ~MEDICAID_ACTIONS.valid].any()


def _parts(algorithm, observations):
    """Gate and conditional clone, advantages and statistics, from which a policy is made."""
    modules = algorithm.impl.modules
    x = torch.as_tensor(algorithm.observation_scaler.transform_numpy(observations).astype(np.float32))
    with torch.no_grad():
        clone = modules.clone(x).exp().double()
        acting = 1 - clone[:, :1]
        return acting, clone[:, 1:] / acting, modules.critic(x)[:, 1:].double(), modules.statistics


def test_the_policy_is_the_closed_form(trained, observations):
    """What is done: clone * exp(advantage / (temperature * sd)); how often: the clone's odds times a constant."""
    acting, what, advantages, statistics = _parts(trained, observations)
    scale = statistics.temperature.double() * statistics.advantage_scale.double()
    tilted = what * torch.exp(advantages / scale)
    tilted[what < trained.config.support_threshold] = 0
    odds = acting / (1 - acting) * torch.exp(statistics.shift.double())
    expected = odds / (1 + odds) * tilted / tilted.sum(1, keepdim=True)
    actual = trained.predict_probabilities(observations)[:, MEDICAID_ACTIONS.valid_joints[1:]]
    np.testing.assert_allclose(actual, expected.numpy(), rtol=2e-3, atol=1e-6)


def test_probabilities_do_not_hang_on_how_many_states_are_asked_about(trained, observations):
    many = np.resize(observations, (1_300, observations.shape[1]))
    many[:, -1] += np.arange(len(many))  # more than two blocks, no two states alike
    whole = trained.predict_probabilities(many)
    one_by_one = np.concatenate([trained.predict_probabilities(many[row : row + 1]) for row in range(0, 1_300, 100)])
    assert np.abs(whole[::100] - one_by_one).max() < 1e-6
    assert np.abs(whole.sum(axis=1) - 1).max() < 1e-5


def test_greedy_is_the_best_over_all_valid_joint_actions_where_it_acts(trained, observations):
    best = trained.predict(observations)
    assert MEDICAID_ACTIONS.valid[best].all()
    _, what, advantages, _ = _parts(trained, observations)
    advantages[what < trained.config.support_threshold] = -np.inf
    wanted = MEDICAID_ACTIONS.valid_joints[1:][advantages.argmax(dim=1).numpy()]
    acts = best != 0
    assert acts.any()
    np.testing.assert_array_equal(best[acts], wanted[acts])


@pytest.mark.long
def test_it_acts_as_often_as_asked(tiny_buffer):
    for rate in (0.05, 0.6):
        algorithm, _ = _fit(tiny_buffer, response=0, action_rate=rate)
        probabilities = algorithm.predict_probabilities(tiny_buffer.observations)
        assert 1 - probabilities[:, 0].mean() == pytest.approx(rate, rel=0.1)
        assert (algorithm.predict(tiny_buffer.observations) != 0).mean() == pytest.approx(rate, rel=0.25)


def test_without_a_response_it_acts_as_often_as_the_behaviour_policy(tiny_buffer):
    algorithm, _ = _fit(tiny_buffer)
    acting, *_ = _parts(algorithm, tiny_buffer.observations)
    ours = 1 - algorithm.predict_probabilities(tiny_buffer.observations)[:, :1]
    np.testing.assert_allclose(ours, acting.numpy(), rtol=1e-3)


def test_a_smaller_temperature_follows_the_advantage_further(trained, observations):
    _, _, advantages, _ = _parts(trained, observations)
    worth = []
    for temperature in (10.0, 1.0, 0.1):
        policy = trained.predict_probabilities(observations, temperature=temperature)
        worth.append((policy[:, MEDICAID_ACTIONS.valid_joints[1:]] * advantages.numpy()).sum())
    assert worth == sorted(worth)
    assert worth[0] < worth[2]


def test_samples_follow_the_probabilities(trained, observations):
    one = np.repeat(observations[:1], 20_000, axis=0)
    probabilities = trained.predict_probabilities(one[:1])[0]
    torch.manual_seed(0)
    for joints in (
        trained.sample_action(one),
        MEDICAID_ACTIONS.ravel(LearnedPolicy(trained, MEDICAID_ACTIONS)(one, np.random.default_rng(0))),
    ):
        counts = np.bincount(joints, minlength=1080)
        assert not counts[probabilities == 0].any()
        often = probabilities > 1e-3
        expected = 20_000 * probabilities[often]
        assert np.abs((counts[often] - expected) / np.sqrt(expected)).max() < 5


def test_embeddings_change_in_training(tiny_buffer):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(batch_size=64, response=0).create()
    before = {}

    def first(algo, epoch, step):
        if step == 1:
            before.update({name: p.clone() for name, p in algo.impl.modules.clone.named_parameters()})

    algorithm.fit(tiny_buffer, n_steps=20, callback=first, **QUIET)
    after = dict(algorithm.impl.modules.clone.named_parameters())
    (name,) = [name for name in after if "tables" in name]
    assert after[name].shape == (1, 6 + 5 + 18 + 2, 32)
    for one, two in zip(before[name][0].split([6, 5, 18, 2]), after[name][0].split([6, 5, 18, 2]), strict=True):
        assert not torch.equal(one, two), "the embeddings of every factor are learned"


@pytest.mark.long
def test_training_is_deterministic(tiny_dataset):
    from frl_algos import load_replay_buffer

    curves, weights = [], []
    for _ in range(2):
        algorithm, results = _fit(load_replay_buffer(tiny_dataset, seed=2), response=0)
        curves.append({k: v for k, v in results[-1][1].items() if not k.startswith("time_")})
        weights.append(torch.cat([p.flatten() for p in algorithm.impl.modules.clone.parameters()]))
    assert curves[0] == curves[1]
    assert torch.equal(weights[0], weights[1])


@pytest.mark.long
@pytest.mark.parametrize("settings", [{"response": 0}, {}, {"extraction": "regression"}])
def test_save_and_load_give_equal_predictions(tiny_buffer, observations, tmp_path, settings):
    algorithm, _ = _fit(tiny_buffer, **settings)
    algorithm.save(str(tmp_path / "model.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "model.d3"))
    for name in ("predict", "predict_probabilities"):
        np.testing.assert_array_equal(getattr(loaded, name)(observations), getattr(algorithm, name)(observations))
    actions = algorithm.predict(observations)
    np.testing.assert_array_equal(
        loaded.predict_value(observations, actions), algorithm.predict_value(observations, actions)
    )
    assert loaded.action_space.nvec == (6, 5, 18, 2)
    loaded.fit(tiny_buffer, n_steps=2, **QUIET)


@pytest.mark.long
def test_plugin_import_is_all_that_loading_needs(trained, tmp_path):
    trained.save(str(tmp_path / "model.d3"))
    script = f"import frl_algos, d3rlpy; print(type(d3rlpy.load_learnable({str(tmp_path / 'model.d3')!r})).__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("FactoredAWR")
    assert "Gym has been unmaintained" not in done.stderr


def test_metrics_show_collapse_and_weights(tiny_buffer):
    _, results = _fit(tiny_buffer, extraction="regression", n_steps=5)
    metrics = results[-1][1]
    for name in ("clone_loss", "value_error", "history_error", "actor_loss", "weight_ess", "weight_clipped",
                 "policy_ratio_ess", "policy_action_share", "policy_unique_joints", "policy_rare_mass",
                 "entropy_modality", "entropy_goal"):  # fmt: skip
        assert np.isfinite(metrics[name]), name
    assert 0 < metrics["weight_ess"] <= 1


def test_short_fits_train(tiny_buffer):
    """d3rlpy alone trains nothing when n_steps is below n_steps_per_epoch."""
    _, results = _fit(tiny_buffer, n_steps=3)
    assert [epoch for epoch, _ in results] == [1]


def test_regression_weighs_by_the_standardised_advantage_from_the_first_epoch(tiny_buffer):
    """Without standardisation every weight is 1 and the regression is plain cloning."""
    _, results = _fit(tiny_buffer, critic="effects", extraction="regression", n_steps=120)
    assert len(results) == 1
    assert results[0][1]["weight_ess"] < 0.95


def test_a_configuration_can_be_used_twice(tiny_buffer):
    config = FactoredAWRConfig(batch_size=64)
    config.create().fit(tiny_buffer, n_steps=2, **QUIET)
    assert config.observation_scaler is None
    assert config.action_schema == ""
    config.create().fit(_bandit(50), n_steps=2, **QUIET)


def _bandit(n=4_000, seed=0):
    """Two factors of 3 and 2 levels, one state; reward 1 only for (2, 1), logged uniformly."""
    rng = np.random.default_rng(seed)
    actions = np.stack([rng.integers(0, 3, n), rng.integers(0, 2, n)], axis=1)
    rewards = ((actions[:, 0] == 2) & (actions[:, 1] == 1)) + 0.3 * rng.normal(size=n)
    observations = rng.normal(size=(n, 2)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=observations, actions=actions, rewards=rewards.astype(np.float32),
        next_observations=observations, lengths=np.ones(n, np.int64), terminated=np.ones(n, bool),
        action_space=ActionSpace.from_nvec((3, 2)),
    )  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("extraction", ["closed_form", "regression"])
def test_it_finds_an_interaction_in_another_action_space(extraction):
    algorithm, _ = _fit(
        _bandit(), n_steps=500, extraction=extraction, batch_size=256, learning_rate=3e-3, temperature=0.2
    )
    x = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
    assert (algorithm.predict(x) == 5).mean() > 0.95
    probabilities = algorithm.predict_probabilities(x).mean(axis=0)
    assert probabilities[5] > 0.5
    value = algorithm.predict_value(x, np.full(200, 5)).mean() - algorithm.predict_value(x, np.full(200, 0)).mean()
    assert value == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda a: a.predict(np.zeros((2, 6), np.float32)), r"shape \(n, 7\), not \(2, 6\)"),
        (lambda a: a.predict(np.zeros(7, np.float32)), r"shape \(n, 7\)"),
        (lambda a: a.predict_probabilities(np.full((3, 7), np.nan)), "3 of 3 observations hold NaN"),
        (lambda a: a.sample_action(np.full((1, 7), np.inf)), "1 of 1 observations hold NaN or infinite"),
        (lambda a: a.predict_value(np.zeros((1, 7)), np.array([1])), "fewer than 11 actions are not valid"),
        (lambda a: a.predict_value(np.zeros((1, 7)), np.array([-1])), r"1 joint actions lie outside 0\.\.1079"),
        (lambda a: a.predict_value(np.zeros((1, 7)), np.array([0.9])), "must be integers"),
        (lambda a: a.predict_value(np.zeros((2, 7)), np.zeros((2, 4), int)), "one a state"),
        (lambda a: a.predict_probabilities(np.zeros((1, 7)), temperature=0.0), "temperature must be positive"),
        (lambda a: FactoredAWRConfig(temperature=float("nan")), "temperature must be positive"),
        (lambda a: FactoredAWRConfig(support_threshold=5.0), "support_threshold must lie"),
        (lambda a: FactoredAWRConfig(temperature=0), "temperature must be positive"),
        (lambda a: FactoredAWRConfig(extraction="magic"), "unknown extraction 'magic'"),
        (lambda a: FactoredAWRConfig(critic="returns"), "needs extraction 'regression'"),
        (lambda a: FactoredAWRConfig(action_rate=1.5), "action_rate must be at most 1"),
        (lambda a: a.draw(np.zeros((2, 7)), np.zeros((2, 1))), r"uniform numbers must have shape \(2, 2\)"),
        (lambda a: a.draw(np.zeros((1, 7)), np.array([[0.5, np.nan]])), r"uniform numbers must lie in 0\.\.1"),
        (lambda a: a.draw(np.zeros((1, 7)), np.array([[0.5, 1.5]])), r"uniform numbers must lie in 0\.\.1"),
        (lambda a: FactoredAWRConfig(td_lambda=2.0), r"td_lambda must lie in 0\.\.1"),
        (lambda a: FactoredAWRConfig().create().predict(np.zeros((1, 7))), "not trained yet"),
    ],
)
def test_bad_input_is_one_clear_sentence(trained, call, text):
    with pytest.raises(UserError, match=text):
        call(trained)


def test_bad_training_input(tiny_buffer):
    for updates, text in (({"n_steps": 0}, "n_steps must"), ({"n_steps": 6e3}, "n_steps must")):
        with pytest.raises(UserError, match=f"{text} be a whole number in 1"):
            FactoredAWRConfig().create().fit(tiny_buffer, **updates)
    with pytest.raises(UserError, match="n_steps_per_epoch must be a whole number in 1"):
        FactoredAWRConfig().create().fit(tiny_buffer, n_steps=5, n_steps_per_epoch=0)
    told = FactoredAWRConfig(action_schema=MEDICAID_ACTIONS.to_json()).create()
    with pytest.raises(UserError, match=r"a ndarray is no replay buffer; fit to load_replay_buffer"):
        told.fit(tiny_buffer.observations, n_steps=5)
    with pytest.raises(UserError, match="response observation 7 does not exist"):
        _fit(tiny_buffer, response=7)
    with pytest.raises(UserError, match="names level 'NOSUCH'"):
        _fit(tiny_buffer, indications={"NOSUCH": 0})
    with pytest.raises(UserError, match="a response needs an action that does nothing"):
        _fit(_bandit(50), response=0)
    algorithm, _ = _fit(_bandit(50), n_steps=2)
    with pytest.raises(UserError, match="was made for"):
        algorithm.fit(tiny_buffer, n_steps=2, **QUIET)


@pytest.mark.parametrize(
    "encoder", ["learned", "frozen", "one_hot", "independent", pytest.param("flat", marks=pytest.mark.slow)]
)
def test_every_encoder_gives_an_exact_policy(tiny_buffer, observations, encoder):
    algorithm, _ = _fit(tiny_buffer, encoder=encoder, response=0, n_steps=3)
    probabilities = algorithm.predict_probabilities(observations)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    learned = [
        name for name, p in algorithm.impl.modules.clone.named_parameters() if "tables" in name and p.grad is not None
    ]
    assert bool(learned) == (encoder == "learned")


def test_the_flat_encoder_gives_an_exact_policy_where_there_are_few_actions():
    buffer = _bandit(200)
    algorithm, _ = _fit(buffer, encoder="flat", n_steps=3)
    probabilities = algorithm.predict_probabilities(np.asarray(buffer.observations[:50]))
    assert probabilities.shape == (50, 6)
    assert (probabilities > 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)


@pytest.mark.long
def test_independent_factors_given_that_something_is_done(tiny_buffer, observations):
    """The clone is then a product of one distribution a factor; with learned embeddings it is not."""
    for encoder, independent in (("independent", True), ("learned", False)):
        algorithm, _ = _fit(tiny_buffer, encoder=encoder, n_steps=150)
        _, what, *_ = _parts(algorithm, observations[:5])
        joint = what.reshape(5, 5, 4, 17, 2)
        product = torch.einsum(
            "nm,np,ng,nu->nmpgu", joint.sum((2, 3, 4)), joint.sum((1, 3, 4)), joint.sum((1, 2, 4)), joint.sum((1, 2, 3))
        )
        assert torch.allclose(joint, product, atol=1e-4) == independent


def test_the_seed_preset_is_regression_on_raw_returns(tiny_buffer):
    config = FactoredAWRConfig.seed_preset(hidden_size=16)
    assert (config.learning_rate, config.batch_size, config.max_grad_norm) == (3e-5, 256, 0.5)
    algorithm = config.create()
    _, metrics = algorithm.fit(tiny_buffer, n_steps=5, **QUIET)[-1]
    assert 0 < metrics["weight_ess"] < 1


def test_no_advantage_is_the_clone(tiny_buffer, observations):
    algorithm, _ = _fit(tiny_buffer, critic="none")
    acting, what, *_ = _parts(algorithm, observations)
    ours = algorithm.predict_probabilities(observations)[:, MEDICAID_ACTIONS.valid_joints[1:]]
    np.testing.assert_allclose(ours, (acting * what).numpy(), rtol=1e-2, atol=1e-5)


@pytest.mark.parametrize("scaler", [StandardObservationScaler, MinMaxObservationScaler])
def test_an_unfitted_scaler_is_fitted(tiny_buffer, observations, scaler):
    algorithm, _ = _fit(tiny_buffer, observation_scaler=scaler(), n_steps=2)
    assert algorithm.observation_scaler.built
    np.testing.assert_allclose(algorithm.predict_probabilities(observations).sum(axis=1), 1, rtol=1e-5)


def test_regression_acts_as_often_as_asked(tiny_buffer):
    algorithm, _ = _fit(tiny_buffer, response=0, action_rate=0.3, extraction="regression")
    probabilities = algorithm.predict_probabilities(tiny_buffer.observations)
    assert 1 - probabilities[:, 0].mean() == pytest.approx(0.3, rel=0.1)
    assert (algorithm.predict(tiny_buffer.observations) != 0).mean() == pytest.approx(0.3, rel=0.25)


@pytest.mark.long
def test_the_expectile_critic_finds_what_pays(tiny_buffer, observations):
    algorithm, results = _fit(
        _bandit(), n_steps=600, critic="expectile", batch_size=256, temperature=0.2, critic_weight_decay=0.0, gamma=0.5
    )
    assert {"value_loss", "advantage_loss", "clone_loss"} <= set(results[-1][1])
    x = np.random.default_rng(1).normal(size=(200, 2)).astype(np.float32)
    assert (algorithm.predict(x) == 5).mean() > 0.95
    trained, _ = _fit(tiny_buffer, critic="expectile")
    assert np.isfinite(trained.predict_probabilities(observations)).all()
