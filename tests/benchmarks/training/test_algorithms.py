"""Every line of the leaderboard is what it is called, and has what every other line has."""

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from benchmarks.training import algorithms
from benchmarks.training.algorithms import ALGORITHMS, create
from benchmarks.training.makers import BATCH_SIZE, HIDDEN, TARGET_UPDATES
from benchmarks.training.train import train
from frl_algos.policies.stock import StockAlgorithm, create_stock
from frl_algos.policies.valid_maxima import BELOW, keep_maxima_valid
from frl_env.actions import MEDICAID_ACTIONS

pytestmark = pytest.mark.usefixtures("one_thread")
QUIETLY = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
NAMES = ("num_encounters_last_week",)
Q_LEARNERS = ("cql", "bcq", "dqn")
AWR = ("factored_awr", "factored_awr_told_nothing", "seed_awr")
FACTORED = ("factored_iql", "autoregressive_iql", "decoupled_cql")
STOCK_LINES = ("discrete_bc", "discrete_bc_default", "cql", "iql", "bcq", "awac", "dqn")


@pytest.mark.parametrize("name", [*AWR, *FACTORED, *STOCK_LINES])
def test_one_batch_and_one_network_size_for_all(name, tiny_buffer):
    made = create(name, NAMES, tiny_buffer.action_space, {})
    config = getattr(made, "algorithm", made).config
    assert config.batch_size == BATCH_SIZE
    if name in (*AWR, *FACTORED):
        assert config.hidden_size == HIDDEN
    else:
        sizes = [vars(config)[field].hidden_units for field in vars(config) if field.endswith("encoder_factory")]
        assert sizes
        assert all(list(size) == [HIDDEN, HIDDEN] for size in sizes)


def test_the_lines_are_what_they_are_called(tiny_buffer):
    def config(name):
        made = create(name, NAMES, tiny_buffer.action_space, {})
        return getattr(made, "algorithm", made).config

    assert config("discrete_bc").beta == 0
    assert config("discrete_bc_default").beta == d3rlpy.algos.DiscreteBCConfig().beta == 0.5
    for name in (*Q_LEARNERS, "decoupled_cql"):
        assert config(name).target_update_interval == TARGET_UPDATES
        assert TARGET_UPDATES * 10 <= 3_000, "targets move in a run"
    assert config("bcq").action_flexibility == d3rlpy.algos.DiscreteBCQConfig().action_flexibility == 0.3
    assert config("bcq").beta == d3rlpy.algos.DiscreteBCQConfig().beta == 0.5
    assert config("bcq").share_encoder, "its clone has the hidden layers of its values"
    assert {config(name).learning_rate for name in Q_LEARNERS} == {6.25e-5}
    told, nothing = config("factored_awr"), config("factored_awr_told_nothing")
    assert told.response == 0
    assert told.need_factor == "goal"
    assert (nothing.response, nothing.indications, nothing.need_factor, nothing.skill_factor) == (None, {}, None, None)
    assert all(algorithms.LABELS[name] for name in ALGORITHMS)


@pytest.mark.long
@pytest.mark.parametrize("name", Q_LEARNERS)
def test_targets_move_in_a_run(name, tiny_buffer):
    made = create(name, NAMES, tiny_buffer.action_space, {"target_update_interval": 3})
    made.fit(tiny_buffer, n_steps=4, n_steps_per_epoch=4, **QUIETLY)  # d3rlpy counts updates from 0
    modules = made.algorithm.impl.modules
    own, target = modules.q_funcs.state_dict(), modules.targ_q_funcs.state_dict()
    assert all(torch.equal(own[key], target[key]) for key in own), "renewed with update number 3"
    made.fit(tiny_buffer, n_steps=1, n_steps_per_epoch=1, **QUIETLY)
    assert any(not torch.equal(own[key], target[key]) for key in own), "and not in between"


@pytest.mark.long
@pytest.mark.parametrize("name", STOCK_LINES)
def test_a_seed_is_a_curve(name, tiny_buffer, monkeypatch):
    """The same seed gives the same losses and decisions, another seed others."""
    monkeypatch.setattr("benchmarks.training.train.UPDATES_AN_EPOCH", 4)

    def curve(seed):
        made = create(name, NAMES, tiny_buffer.action_space, {})
        points = train(made, tiny_buffer, steps=12, seed=seed).curve
        losses = [
            (point["step"], {key: value for key, value in point["metrics"].items() if not key.startswith("time_")})
            for point in points
        ]
        return losses, made.predict(tiny_buffer.observations[:100]).tolist()

    first = curve(1)
    assert [step for step, _ in first[0]] == [4, 8, 12]
    assert all(losses for _, losses in first[0])
    assert curve(1) == first
    assert curve(2)[0] != first[0]


@pytest.mark.parametrize("name", ["ALGORITHM", "CONFIG"])
def test_one_training_leaves_nothing_to_the_next(name, tiny_buffer, tmp_path, monkeypatch):
    """Of an object, not a class, d3rlpy would go on with the networks, or the scales, of the training before."""
    text = "from d3rlpy.algos import DQNConfig\nCONFIG = DQNConfig(batch_size=8)\nALGORITHM = CONFIG.create()\n"
    (tmp_path / f"object_{name.lower()}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    first, second = (create(f"object_{name.lower()}:{name}", (), tiny_buffer.action_space) for _ in range(2))
    first.fit(tiny_buffer, n_steps=1, **QUIETLY)
    assert second.algorithm.impl is None
    assert second.algorithm.config.observation_scaler is None


def test_every_line_is_looked_at_here():
    from benchmarks.training.algorithms import PEERS, TUNED_AS

    assert {*AWR, *FACTORED, *STOCK_LINES} == set(ALGORITHMS) - set(PEERS) - set(TUNED_AS)


@pytest.mark.parametrize("name", FACTORED)
def test_networks_of_factored_baselines_have_two_hidden_layers_of_the_shared_size(name, tiny_buffer):
    made = create(name, NAMES, tiny_buffer.action_space, {})
    made.fit(tiny_buffer, n_steps=1, **QUIETLY)
    layers = [m for network in vars(made.impl.modules).values() if isinstance(network, torch.nn.Module)
              for m in network.modules() if isinstance(m, torch.nn.Linear)]  # fmt: skip
    hidden = {layer.out_features for layer in layers} - {1, sum(MEDICAID_ACTIONS.nvec), *MEDICAID_ACTIONS.nvec}
    assert hidden == {HIDDEN}
    networks = [network for network in vars(made.impl.modules).values() if isinstance(network, torch.nn.Sequential)]
    assert networks
    assert all(sum(isinstance(m, torch.nn.Linear) for m in network) == 3 for network in networks)


@pytest.mark.parametrize("name", FACTORED)
def test_targets_of_factored_baselines_move_as_the_page_says(name, tiny_buffer):
    """The sum's copy at once, every so many updates; implicit Q-learning's by half a percent an update."""
    settings = {"target_update_interval": 3} if name == "decoupled_cql" else {}
    made = create(name, NAMES, tiny_buffer.action_space, settings)
    made.fit(tiny_buffer, n_steps=3, **QUIETLY)
    modules = made.impl.modules
    if name == "decoupled_cql":
        pairs = list(zip(modules.copied.parameters(), modules.values.parameters(), strict=True))
        assert all(torch.equal(copied, own) for copied, own in pairs)
        made.fit(tiny_buffer, n_steps=1, **QUIETLY)
        assert any(not torch.equal(copied, own) for copied, own in pairs), "and not in between"
        return
    slow = [parameter.clone() for parameter in modules.critic.slow.parameters()]
    made.fit(tiny_buffer, n_steps=1, **QUIETLY)
    for before, after, fast in zip(slow, modules.critic.slow.parameters(), modules.critic.values.parameters(),
                                   strict=True):  # fmt: skip
        torch.testing.assert_close(after, before.lerp(fast, 0.005))


@pytest.mark.parametrize("name", FACTORED)
def test_factored_baselines_do_nothing_invalid(name, tiny_buffer):
    made = create(name, NAMES, tiny_buffer.action_space, {})
    made.fit(tiny_buffer, n_steps=2, **QUIETLY)
    seen = tiny_buffer.observations[:100]
    chances = made.predict_probabilities(seen)
    assert (chances[:, ~MEDICAID_ACTIONS.valid] == 0).all()
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)
    uniform = np.random.default_rng(0).random((100, 2), dtype=np.float32)
    for joints in (made.predict(seen), made.draw(seen, uniform)):
        assert MEDICAID_ACTIONS.valid[joints].all()


@pytest.mark.parametrize("name", ["dqn", "discrete_cql", "discrete_bcq"])
def test_maxima_of_training_run_over_valid_actions_only(name, tiny_buffer):
    """An invalid action whose value is a thousand must change neither target nor loss nor gradient."""
    made = create_stock(name, batch_size=16, hidden_sizes=(8,))
    made.fit(tiny_buffer, n_steps=1, n_steps_per_epoch=1, **QUIETLY)
    impl = made.algorithm.impl
    invalid = torch.as_tensor(~MEDICAID_ACTIONS.valid)
    batch = d3rlpy.torch_utility.TorchMiniBatch.from_batch(
        tiny_buffer.batch_of(np.arange(16)), gamma=0.99, compute_returns_to_go=False, device="cpu:0"
    )

    def measured():
        target = impl.compute_target(batch)
        loss = impl.compute_loss(batch, target)
        return target.detach().clone(), float(loss.loss.detach())

    target, loss = measured()
    with torch.no_grad():
        for functions in (impl.modules.q_funcs, impl.modules.targ_q_funcs):
            for function in functions:
                function._fc.bias[invalid] += 1_000.0
    again, loss_again = measured()
    assert torch.equal(again, target)
    assert loss_again == loss
    assert MEDICAID_ACTIONS.valid[impl.inner_predict_best_action(batch.observations).numpy()].all()
    impl.compute_grad(batch)
    for function in impl.modules.q_funcs:
        assert (function._fc.weight.grad[invalid] == 0).all(), "what is invalid is not trained"


def test_masked_values_are_nothing_to_a_soft_maximum(tiny_buffer):
    made = create_stock("discrete_cql", batch_size=16, hidden_sizes=(8,))
    made.fit(tiny_buffer, n_steps=1, n_steps_per_epoch=1, **QUIETLY)
    function = made.algorithm.impl.modules.q_funcs[0]
    x = torch.as_tensor(tiny_buffer.observations[:8])
    values = function(x).q_value
    valid = torch.as_tensor(MEDICAID_ACTIONS.valid)
    assert torch.allclose(values[:, ~valid], (values[:, valid].amin(dim=1) - BELOW)[:, None])
    assert torch.allclose(values.logsumexp(dim=1), values[:, valid].logsumexp(dim=1))
    before = len(function._forward_hooks)
    assert keep_maxima_valid(made.algorithm.impl, MEDICAID_ACTIONS) == 2
    assert len(function._forward_hooks) == before == 1, "once is enough"


@pytest.mark.parametrize("name", Q_LEARNERS)
def test_a_masked_model_is_saved_as_d3rlpys_own(name, tiny_buffer, tmp_path):
    made = create(name, NAMES, tiny_buffer.action_space, {})
    made.fit(tiny_buffer, n_steps=2, n_steps_per_epoch=2, **QUIETLY)
    made.save(str(tmp_path / "model.d3"))
    loaded = d3rlpy.load_learnable(str(tmp_path / "model.d3"))
    assert not loaded.impl.modules.q_funcs[0]._forward_hooks
    assert "inner_predict_best_action" not in vars(loaded.impl)
    again = StockAlgorithm(loaded, tiny_buffer.action_space)
    np.testing.assert_array_equal(
        again.predict(tiny_buffer.observations[:30]), made.predict(tiny_buffer.observations[:30])
    )
