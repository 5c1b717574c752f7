import d3rlpy
import numpy as np
import pytest
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig
from frl_algos.policies.policy import softened
from frl_algos.policies.stock import create_stock
from frl_algos.value_models.evaluators import NAMES, policy_evaluators
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes

pytestmark = pytest.mark.usefixtures("one_thread")
NULL = int(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.null_action))


@pytest.fixture(scope="module")
def episodes(tiny_dataset):
    return load_episodes(tiny_dataset)


@pytest.fixture(scope="module")
def evaluators(episodes):
    return policy_evaluators(episodes, rng=np.random.default_rng(0), response=0)


class Fixed:
    """An algorithm that always draws from the same probabilities."""

    def __init__(self, probabilities: np.ndarray, grad_step: int = 0) -> None:
        self.probabilities = np.asarray(probabilities, dtype=np.float32)
        self.grad_step = grad_step
        self.asked = 0

    def predict(self, x):
        return np.full(len(x), self.probabilities.argmax())

    def predict_probabilities(self, observations):
        self.asked += 1
        return np.tile(self.probabilities, (len(observations), 1))


@pytest.mark.parametrize("name", ["factored_awr", "discrete_cql", "discrete_bc", "iql"])
def test_they_work_while_an_algorithm_trains(name, tiny_buffer, evaluators):
    d3rlpy.seed(0)
    if name == "factored_awr":
        algorithm = FactoredAWRConfig(batch_size=32, response=0).create()
    else:
        algorithm = create_stock(name, batch_size=32, hidden_sizes=(8,))
    history = algorithm.fit(
        tiny_buffer,
        n_steps=4,
        n_steps_per_epoch=2,
        evaluators=evaluators,
        show_progress=False,
        logger_adapter=NoopAdapterFactory(),
    )
    for _, metrics in history:
        measured = {key: metrics[key] for key in NAMES}
        has_values = name != "discrete_bc"
        assert np.isfinite(measured.pop("ope_td_error")) == has_values
        assert all(np.isfinite(value) for value in measured.values())
        assert measured["ope_low"] <= measured["ope_difference"] <= measured["ope_high"]
        assert 0 <= measured["ope_action_share"] <= 1
        assert measured["ope_unique_joints"] >= 1


def test_numbers_of_known_policies(evaluators, episodes):
    uniform = MEDICAID_ACTIONS.valid / MEDICAID_ACTIONS.valid.sum()
    never = np.eye(MEDICAID_ACTIONS.n_joint)[NULL]
    of = {key: evaluator(Fixed(uniform), None) for key, evaluator in evaluators.items() if key != "ope_td_error"}
    assert of["ope_unique_joints"] == 1, "ties go to the first action"
    np.testing.assert_allclose(of["ope_effective_joints"], MEDICAID_ACTIONS.valid.sum() - 1, rtol=1e-3)
    np.testing.assert_allclose(of["ope_action_share"], 1 - 1 / MEDICAID_ACTIONS.valid.sum(), rtol=1e-3)
    idle = {key: evaluator(Fixed(never), None) for key, evaluator in evaluators.items() if key != "ope_td_error"}
    assert idle["ope_action_share"] == 0
    np.testing.assert_allclose(idle["ope_value"] - idle["ope_difference"], episodes.returns().mean(), rtol=1e-6)
    assert of["ope_effective_members"] < idle["ope_effective_members"], "the team mostly does nothing"


def test_a_state_of_training_is_measured_once(evaluators):
    algorithm = Fixed(MEDICAID_ACTIONS.valid / MEDICAID_ACTIONS.valid.sum())
    first = evaluators["ope_unique_joints"](algorithm, None)
    asked = algorithm.asked
    assert evaluators["ope_action_share"](algorithm, None) > 0
    assert algorithm.asked == asked
    algorithm.probabilities = np.eye(MEDICAID_ACTIONS.n_joint, dtype=np.float32)[NULL]
    assert evaluators["ope_unique_joints"](algorithm, None) == first
    algorithm.grad_step += 1
    assert evaluators["ope_action_share"](algorithm, None) == 0


def test_a_softened_policy_does_anything_now_and_then(observations):
    never = np.eye(MEDICAID_ACTIONS.n_joint, dtype=np.float32)[NULL]
    soft = softened(lambda x: np.tile(never, (len(x), 1)), MEDICAID_ACTIONS, 0.1)(observations)
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-5)
    assert (soft[:, ~MEDICAID_ACTIONS.valid] == 0).all()
    np.testing.assert_allclose(soft[:, NULL], 0.9 + 0.1 / MEDICAID_ACTIONS.valid.sum(), rtol=1e-5)
    with pytest.raises(UserError, match="epsilon"):
        softened(lambda x: x, MEDICAID_ACTIONS, 2.0)


def test_what_the_data_lacks_is_said(tiny_buffer):
    assert "ope_effective_members" not in policy_evaluators(tiny_buffer, rng=np.random.default_rng(0))
    with pytest.raises(UserError, match="propensities"):
        policy_evaluators(tiny_buffer, rng=np.random.default_rng(0), names=("ope_effective_members",))
    with pytest.raises(UserError, match="did you mean ope_value"):
        policy_evaluators(tiny_buffer, rng=np.random.default_rng(0), names=("ope_values",))


def test_one_name_is_as_good_as_a_list_of_one(tiny_buffer):
    assert list(policy_evaluators(tiny_buffer, rng=np.random.default_rng(0), names="ope_value")) == ["ope_value"]


@pytest.mark.parametrize(("setting", "value"), [("epsilon", 2.0), ("epsilon", -0.1), ("members", 0)])
def test_settings_out_of_range_are_said_before_training(tiny_buffer, setting, value):
    with pytest.raises(UserError, match=f"^{setting} must be a"):
        policy_evaluators(tiny_buffer, rng=np.random.default_rng(0), **{setting: value})
