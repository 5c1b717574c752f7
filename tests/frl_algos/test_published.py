import numpy as np
import pytest
import torch

from frl_algos import load_model, save_model, train_awr_factored
from frl_env import MEDICAID_ACTIONS, UserError, generate_synthetic_data
from frl_env.actions import ActionSpace


@pytest.fixture(scope="module")
def data():
    return generate_synthetic_data(n_patients=60, n_weeks_per_patient=12, seed=42)


def test_the_published_call_trains_a_policy(data, tmp_path, capfd):
    states, levels, rewards = data
    actions = [tuple(row) for row in MEDICAID_ACTIONS.decode(levels)]
    before = torch.random.get_rng_state()
    actor, critic = train_awr_factored(
        states=states, actions=actions, rewards=rewards, action_space=MEDICAID_ACTIONS, beta=1.0, num_epochs=2
    )
    assert capfd.readouterr() == ("", ""), "nothing was asked for on the screen"
    assert torch.equal(before, torch.random.get_rng_state()), "no global random state is touched"
    assert actor.predict_names(states[:3]).shape == (3, 4)
    np.testing.assert_allclose(actor.predict_probabilities(states[:5]).sum(axis=1), 1, rtol=1e-5)
    assert critic(states).shape == (len(states),)
    assert np.corrcoef(critic(states), rewards)[0, 1] > 0.05
    assert abs(critic(states).mean() - rewards.mean()) < 0.01
    save_model(actor, tmp_path / "policy.safetensors")
    np.testing.assert_array_equal(
        load_model(tmp_path / "policy.safetensors").predict(states[:9]), actor.predict(states[:9])
    )


def test_names_and_codes_are_the_same_and_so_is_a_second_run(data):
    states, levels, rewards = data
    probabilities = [
        train_awr_factored(states, actions, rewards, num_epochs=1)[0].predict_probabilities(states[:20])
        for actions in (levels, MEDICAID_ACTIONS.decode(levels), levels.tolist())
    ]
    np.testing.assert_array_equal(probabilities[0], probabilities[1])
    np.testing.assert_array_equal(probabilities[0], probabilities[2])


def test_weights_follow_rewards():
    """Of two actions logged equally often the one with better rewards becomes the more probable one, the more so the
    smaller beta is."""
    space = ActionSpace.from_nvec((2,))
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 2, (2_000, 1))
    states = rng.normal(size=(2_000, 2))
    chances = [
        train_awr_factored(
            states, actions, actions[:, 0] - 0.5, space, beta=beta, num_epochs=12, learning_rate=1e-2, seed=1
        )[0].predict_probabilities(states)[:, 1].mean()
        for beta in (1.0, 4.0)
    ]  # fmt: skip
    # Standardised rewards are 1 and -1: odds exp(2 / beta).
    np.testing.assert_allclose(chances, [1 / (1 + np.exp(-2.0)), 1 / (1 + np.exp(-0.5))], atol=0.03)


def test_episodes_carry_credit_back(data):
    """With episodes the reward of a later row counts for an earlier one."""
    states = np.tile([[0.0], [1.0]], (200, 1))
    actions = np.tile([[0], [0], [1], [1]], (100, 1))
    rewards = np.tile([0.0, -1.0, 0.0, 0.0], 100)
    settings = {"action_space": ActionSpace.from_nvec((2,)), "num_epochs": 12, "learning_rate": 1e-2}
    alone, _ = train_awr_factored(states, actions, rewards, **settings)
    together, _ = train_awr_factored(states, actions, rewards, episode_lengths=[2] * 200, **settings)
    first = [policy.predict_probabilities(states[:1])[0, 1] for policy in (alone, together)]
    assert first[0] == pytest.approx(0.5, abs=0.05)
    assert first[1] > 0.7


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"states": [[1.0], [2.0, 3.0]]}, "states must be numbers, the same number in every row"),
        ({"states": [1.0, 2.0]}, "states must have shape"),
        ({"actions": [("CALL", "CHW", "DENTAL", "ROUTINE")] * 2}, "modality': 2 of 2 rows hold an unknown level"),
        ({"actions": [(0, 0, 0, 0)]}, "there are 2 states, 1 actions and 2 rewards"),
        ({"actions": [(0, 0, 99, 0)] * 2}, "out of range"),
        ({"rewards": [0.0]}, "1 rewards"),
        ({"rewards": [0.0, np.nan]}, "rewards are not finite in 1 of 2 rows"),
        ({"num_epochs": 0}, "num_epochs must be a whole number"),
        ({"beta": 0.0}, "temperature must be positive"),
        ({"episode_lengths": [3]}, "add up to the 2 rows"),
        ({"episode_lengths": [1.2, 1.3]}, "whole numbers, not float64"),
        ({"episode_lengths": [float("nan"), 2]}, "whole numbers, not float64"),
        ({"episode_lengths": "two"}, "whole numbers"),
        ({"episode_lengths": [[1], [1, 2]]}, "one whole number an episode, and some are lists"),
        ({"states": np.zeros((2, 0))}, r"states must have shape \(rows, measures\), not \(2, 0\)"),
        ({"rewards": [[0.0, 1.0]]}, "one number a row"),
    ],
)
def test_mistakes_are_said(change, said):
    right = {"states": [[1.0], [2.0]], "actions": [(0, 0, 0, 0)] * 2, "rewards": [0.0, -1.0], "num_epochs": 1}
    with pytest.raises(UserError, match=said):
        train_awr_factored(**(right | change))
