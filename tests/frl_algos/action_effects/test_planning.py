"""Planned values: exact where rows are many, shrunk where they are few, chosen where states recur, kept in files."""

import dataclasses

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_model, save_model
from frl_algos.action_effects.logged_steps import SHRINKAGE, LoggedSteps, recurring
from frl_algos.action_effects.planning import plan
from frl_algos.factored_awr.critic_selection import model_judge, select_critic
from frl_algos.networks.state_critic import StateCritic
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
SPACE = ActionSpace.from_nvec((2, 2))
STEPS = 4
RIGHT = np.array([3, 0, 2, 1])
"""Joint action that leads on from each place; what is logged most is another."""


def _chain(people=1_500, seed=0, aside=0, simulated=False):
    """Four places in a row, 1 at the end; a wrong action falls out half of the time. Mostly wrong is logged.

    The first few people are somewhat aside of the others, each of them in the same way.
    """
    rng = np.random.default_rng(seed)
    rows = {name: [] for name in ("observations", "actions", "rewards", "next_observations")}
    lengths = []
    for person in range(people):
        place, taken = 0, 0
        places = np.eye(STEPS) + (person < aside) / 2
        while place < STEPS:
            action = RIGHT[place] if rng.random() < 0.3 else rng.integers(4)
            on = action == RIGHT[place] or rng.random() < 0.5
            after = place + 1 if on else STEPS
            rows["observations"].append(places[place])
            rows["actions"].append(SPACE.unravel(np.asarray(action)))
            rows["rewards"].append(float(on and after == STEPS))
            rows["next_observations"].append(places[after] if after < STEPS else np.zeros(STEPS))
            place, taken = after, taken + 1
        lengths.append(taken)
    return FactoredReplayBuffer(
        **{name: np.asarray(value, dtype=None if name == "actions" else np.float32) for name, value in rows.items()},
        lengths=np.asarray(lengths),
        terminated=np.ones(people, bool),
        action_space=SPACE,
        seed=seed,
        simulated=simulated,
    )


def _steps(states, actions, rewards, ended, valid, gamma):
    """Each row an episode of its own."""
    episodes = np.arange(len(actions))
    return LoggedSteps(
        states=states, actions=actions, rewards=rewards, ended=ended, episodes=episodes, valid=valid, gamma=gamma
    )


def _fit(buffer, **settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(**({"batch_size": 128, "hidden_size": 32, "learning_rate": 3e-3} | settings)).create()
    algorithm.fit(buffer, n_steps=100, **QUIET)
    return algorithm


def test_many_rows_give_the_values_of_the_best_policy():
    """Two states. In the first, action 1 leads to the second; there action 0 pays 1. Else 0.2 at once, and the end."""
    rng = np.random.default_rng(0)
    states = rng.integers(2, size=40_000)
    actions = rng.integers(2, size=40_000)
    on = (states == 0) & (actions == 1)
    rewards = np.where(states == 0, 0.2 * (actions == 0), 1.0 * (actions == 0))
    seen = np.eye(2, dtype=np.float32)
    rows = recurring(seen[states], np.where(on[:, None], seen[1], seen[0]))
    found = plan(_steps(rows, actions, rewards, 1.0 - on, valid=2, gamma=0.9), states % 2, caution=0.0)
    place = [int(np.flatnonzero((found.states == row).all(axis=1))[0]) for row in seen]
    q = np.array([[0.2, 0.9], [1.0, 0.0]])
    np.testing.assert_allclose(found.advantages[place], q - q.mean(axis=1, keepdims=True), atol=0.01)


def test_few_rows_are_shrunk_to_the_mean_of_their_state():
    seen = np.zeros((6, 1), np.float32)
    actions, rewards = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 0, 0, 0, 3, 3.0])
    steps = _steps(recurring(seen, seen), actions, rewards, np.ones(6), valid=3, gamma=1.0)
    q = np.array([-4 / (4 + SHRINKAGE), 4 / (2 + SHRINKAGE), 0.0])
    found = plan(steps, np.zeros(6, int), caution=0.0)
    np.testing.assert_allclose(found.advantages[0], q - q @ [4 / 6, 2 / 6, 0], rtol=1e-6)


def test_caution_takes_off_more_where_rows_are_fewer():
    """One state, one step; the variance of rows of one action is 1 on average, with one degree of freedom each lost."""
    seen = np.zeros((8, 1), np.float32)
    actions, rewards = np.array([0] * 6 + [1] * 2), np.array([0, 2, 0, 2, 0, 2, 0.0, 2])
    steps = _steps(recurring(seen, seen), actions, rewards, np.ones(8), valid=3, gamma=1.0)
    bold, careful = (plan(steps, np.zeros(8, int), caution=caution).advantages[0] for caution in (0.0, 2.0))
    sigma = np.sqrt(8 / 6)
    less = 2 * sigma / np.sqrt(np.array([6, 2, 0]) + SHRINKAGE)
    np.testing.assert_allclose(bold, 0, atol=1e-6)  # all means are alike
    np.testing.assert_allclose(careful, -less + less @ [6 / 8, 2 / 8, 0], rtol=1e-5)


def test_a_state_is_known_again_and_another_is_not():
    critic = StateCritic(3, 2, states=0)
    states = np.array([[0, 0, 1], [5, 5, 5.0]], np.float32)
    rows = recurring(states, states)
    steps = _steps(rows, np.array([0, 1]), np.array([1, 2.0]), np.ones(2), valid=2, gamma=1.0)
    critic.take(plan(steps, np.array([0, 1])))
    critic.table = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    order = [int(np.flatnonzero((critic.states.numpy() == row).all(axis=1))[0]) for row in states]
    found = critic(torch.as_tensor(np.concatenate([states, [[0, 1, 0]]]).astype(np.float32)))
    torch.testing.assert_close(found[:2], critic.table[order])
    assert (found[2] == 0).all()


@pytest.mark.long
def test_where_states_recur_planning_is_chosen_and_finds_the_way(tmp_path):
    algorithm = _fit(_chain())
    assert algorithm.choice.critic == "planned", str(algorithm.choice)
    assert algorithm.choice.whole
    seen = np.eye(STEPS, dtype=np.float32)
    np.testing.assert_array_equal(algorithm.predict(seen), RIGHT)
    save_model(algorithm, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_probabilities(seen), algorithm.predict_probabilities(seen))
    algorithm.fit(_chain(people=600, seed=1), n_steps=5, **QUIET)
    assert algorithm.choice.critic in ("planned", "none")


@pytest.mark.parametrize(("aside", "simulated", "kept"), [(10, False, False), (11, False, True), (10, True, True)])
def test_of_real_people_no_state_of_few_is_kept(aside, simulated, kept):
    algorithm = _fit(_chain(aside=aside, simulated=simulated), critic="planned")
    critic, scaler = algorithm.impl.modules.critic, algorithm.config.observation_scaler
    own = torch.as_tensor((np.eye(STEPS)[:1] + 0.5).astype(np.float32))
    scaled = scaler.transform(own)
    assert bool((critic(scaled) != 0).any()) == kept
    held = (torch.cdist(critic.states, scaled)[:, 0] < 1e-3).any()
    assert bool(held) == kept
    assert algorithm.choice.table == len(critic.states)


def test_states_that_only_few_were_in_leave_the_clone(tmp_path):
    algorithm = _fit(_chain(people=10), critic="planned")
    assert algorithm.choice.table == 0
    save_model(algorithm, tmp_path / "m.safetensors")
    seen = np.eye(STEPS, dtype=np.float32)
    loaded = load_model(tmp_path / "m.safetensors")
    np.testing.assert_array_equal(loaded.predict_probabilities(seen), algorithm.predict_probabilities(seen))


def test_the_temperature_of_whole_values_is_followed(monkeypatch):
    monkeypatch.setattr(model_judge, "TEMPERATURES", ())
    monkeypatch.setattr(model_judge, "LOWER", (0.02,))
    algorithm = _fit(_chain())
    assert algorithm.choice.temperature == 0.02
    assert float(algorithm.impl.modules.statistics.temperature) == pytest.approx(0.02)


@pytest.mark.long
def test_critics_compete_at_their_best_temperature_and_the_calmer_one_is_followed(monkeypatch):
    real = model_judge.ModelJudge.worth

    def worth(judge, halves, temperature=None):
        assert temperature is None
        return dataclasses.replace(real(judge, halves, 0.1), calmer=real(judge, halves, 0.5))

    monkeypatch.setattr(model_judge.ModelJudge, "worth", worth)
    choice = _fit(_chain()).choice
    assert choice.temperature == 0.5
    monkeypatch.setattr(model_judge.ModelJudge, "worth", lambda judge, halves, _=None: real(judge, halves, 0.1))
    best = _fit(_chain()).choice
    assert best.temperature == 0.1
    assert choice.critic == best.critic
    assert choice.gain < best.gain


def test_each_temperature_that_a_policy_was_tried_at_raises_the_bar(monkeypatch):
    counts = []
    monkeypatch.setattr(select_critic, "bar", lambda gains: counts.append(len(gains)) or 2.0)
    choice = _fit(_chain()).choice
    assert choice.whole
    temperatures = len({*model_judge.TEMPERATURES, *model_judge.LOWER})
    assert min(counts) >= temperatures
    assert all(count % temperatures == 0 for count in counts)


def test_planning_without_states_that_recur_is_refused():
    rng = np.random.default_rng(0)
    seen = rng.normal(size=(6_001, 2)).astype(np.float32)
    buffer = FactoredReplayBuffer(
        observations=seen[:-1],
        actions=SPACE.unravel(rng.integers(4, size=6_000)),
        rewards=np.ones(6_000, np.float32),
        next_observations=seen[1:],
        lengths=np.full(1_000, 6),
        terminated=np.ones(1_000, bool),
        action_space=SPACE,
    )
    with pytest.raises(UserError, match="states that recur"):
        _fit(buffer, critic="planned")
