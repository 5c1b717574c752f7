"""Settings that would do nothing are refused, and so are more actions than can be listed; both in one clear line."""

import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.policies.stock import create_stock
from frl_env.actions import MOST_JOINTS, ActionSpace
from frl_env.errors import UserError

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"critic": "expectile", "need_factor": "goal"}, "need_factor does nothing here: .*critic is 'expectile'"),
        ({"critic": "none", "response": 0}, "response does nothing here"),
        ({"critic": "returns", "extraction": "regression", "indications": {"DENTAL": 1}}, "indications does nothing"),
        ({"critic": "expectile", "encoder": "flat"}, "encoder 'flat' would change the clone only"),
        ({"critic": "effects", "expectile": 0.9}, "expectile does nothing here"),
        ({"critic": "none", "critic_weight_decay": 0.0}, "critic_weight_decay does nothing here"),
        ({"critic": "none", "temperature": 0.1}, "temperature does nothing here"),
        ({"max_weight": 5.0}, "max_weight does nothing here: it belongs to extraction 'regression'"),
        ({"extraction": "regression", "support_threshold": 0.0}, "support_threshold does nothing here"),
        ({"fairness_slack": 0.1}, "fairness_slack does nothing here: .*fairness is 'none'"),
        ({"high_touch": ["HOME_VISIT"]}, "high_touch does nothing here"),
        ({"rest": 2}, "rest does nothing here: it belongs to a response"),
    ],
    ids=str,
)
def test_settings_that_do_nothing_are_refused(settings, said):
    with pytest.raises(UserError, match=said):
        FactoredAWRConfig(**settings)


def _buffer(nvec, rows=60):
    rng = np.random.default_rng(0)
    return FactoredReplayBuffer(
        observations=rng.normal(size=(rows, 2)).astype(np.float32),
        actions=rng.integers(nvec, size=(rows, len(nvec))),
        rewards=rng.normal(size=rows).astype(np.float32),
        next_observations=rng.normal(size=(rows, 2)).astype(np.float32),
        lengths=np.full(rows // 10, 10),
        terminated=np.zeros(rows // 10, bool),
        action_space=ActionSpace.from_nvec(nvec),
    )


def test_how_often_to_act_is_refused_where_every_action_does_something():
    algorithm = FactoredAWRConfig(action_rate=0.3).create()
    with pytest.raises(UserError, match=r"action_rate 0.3 .*no action that does nothing"):
        algorithm.fit(_buffer((3, 2)), n_steps=1, **QUIET)


@pytest.mark.parametrize("name", ["ours", "discrete_bc", "iql"])
def test_more_actions_than_can_be_listed_are_refused_before_memory_is_taken(name):
    """Eight factors of eight levels: a list of all actions takes a gigabyte, an output each many more."""
    buffer = _buffer((8,) * 8)
    algorithm = FactoredAWRConfig().create() if name == "ours" else create_stock(name)
    with pytest.raises(UserError, match=r"16,777,216 joint actions \(8 x .* merge levels or leave out a factor"):
        algorithm.fit(buffer, n_steps=1, **QUIET)
    assert buffer.action_space.n_joint > MOST_JOINTS


def test_without_an_advantage_the_greedy_action_is_the_likeliest():
    buffer = _buffer((3, 2), rows=400)
    buffer.actions[:300] = 4
    algorithm = FactoredAWRConfig(critic="none", learning_rate=1e-2, batch_size=64).create()
    algorithm.fit(buffer, n_steps=60, **QUIET)
    np.testing.assert_array_equal(
        algorithm.predict(buffer.observations), algorithm.predict_probabilities(buffer.observations).argmax(axis=1)
    )
