"""critic="auto": what is chosen on small worlds whose answer is known, how it is judged, and where it is kept."""

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_model, save_model
from frl_algos.action_effects.indication import Acting
from frl_algos.action_effects.targets import compute_targets
from frl_algos.factored_awr.critic_selection import held_out, select_critic
from frl_algos.factored_awr.critic_selection.held_out import SMALL_STEP, HeldOut, mean_and_error
from frl_env.actions import ActionSpace

QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
NVEC = (3, 2)


def _bandit(reward, rows=3_000, seed=0, steps=1, noise=0.3, nvec=NVEC):
    """Uniformly random actions; `reward` of observations and levels."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows + 1, 3)).astype(np.float32)
    levels = rng.integers(nvec, size=(rows, len(nvec)))
    rewards = reward(x[:-1], levels) + noise * rng.normal(size=rows)
    return FactoredReplayBuffer(
        observations=x[:-1],
        actions=levels,
        rewards=rewards.astype(np.float32),
        next_observations=x[1:],
        lengths=np.full(rows // steps, steps),
        terminated=np.ones(rows // steps, bool),
        action_space=ActionSpace.from_nvec(nvec),
        seed=seed,
    )


def _fit(buffer, steps=150, **settings):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(**({"batch_size": 128, "hidden_size": 32, "learning_rate": 3e-3} | settings)).create()
    algorithm.fit(buffer, n_steps=steps, **QUIET)
    return algorithm


def _greedy(algorithm, reward):
    """Mean reward of the greedy policy in new states."""
    x = np.random.default_rng(99).normal(size=(1_000, 3)).astype(np.float32)
    return reward(x, algorithm.action_space.unravel(algorithm.predict(x))).mean()


def _judged(*, temperature, sign=1, steps=1):
    """Worth of a score of `sign` for level 0 of the first factor, which pays 1; logged at random."""
    buffer = _bandit(lambda x, levels: 1.0 * (levels[:, 0] == 0), rows=20_000, steps=steps)
    targets = compute_targets(buffer, buffer.observations, decay=0.0, response=None)
    judges = HeldOut(targets, np.arange(20_000) // steps, valid=6, seed=0)
    judges.take_behaviour(torch.full((len(judges.rows), 6), float(np.log(1 / 6))), 0.0)
    scores = torch.as_tensor((buffer.action_space.joint_levels[:, 0] == 0).astype(np.float32))
    scores = scores.expand(len(judges.rows), 6)
    return judges.worth([sign * scores] * 2, *[targets.residuals[judges.rows]] * 3, temperature=temperature)


def _by_level(x, levels):
    return np.where(levels[:, 0] == 0, x[:, 0], np.where(levels[:, 0] == 1, -x[:, 0], 0.0))


def _by_pair(x, levels):
    """What the two factors do together depends on the state; alone they do nothing."""
    return np.where((levels[:, 0] > 0) == (levels[:, 1] > 0), x[:, 0], -x[:, 0])


def test_terms_of_the_state_need_no_more_rows_than_they_need():
    """3,000 rows for 60 columns: far less than 200 rows a column, and plenty."""
    algorithm = _fit(_bandit(_by_level, rows=3_000))
    assert algorithm.choice.states in ("levels", "pairs")
    assert _greedy(algorithm, _by_level) > 0.9 * np.sqrt(2 / np.pi)


def test_pairs_that_depend_on_the_state_are_found():
    algorithm = _fit(_bandit(_by_pair))
    assert (algorithm.choice.critic, algorithm.choice.states) == ("effects", "pairs")
    assert _greedy(algorithm, _by_pair) > 0.9 * np.sqrt(2 / np.pi)


@pytest.mark.parametrize("by_state", [False, True], ids=["everywhere", "by state"])
def test_what_only_three_factors_do_together_is_found(by_state):
    """No level and no pair of levels has an effect of its own: a sum over factors or pairs sees nothing."""

    def reward(x, levels):
        odd = 1.0 * (levels.sum(axis=1) % 2)
        return odd * x[:, 0] if by_state else odd

    algorithm = _fit(_bandit(reward, nvec=(2, 2, 2)), steps=5)
    assert algorithm.choice.states == "joint", str(algorithm.choice)
    best = np.sqrt(1 / (2 * np.pi)) if by_state else 1.0
    assert _greedy(algorithm, reward) > 0.9 * best


@pytest.mark.long
def test_a_reward_at_the_end_gets_credit():
    """Ten steps; what pays 0.3 at once costs 0.4 at the end, of which credit 0.9 a step sees 0.25 on average."""
    rng = np.random.default_rng(0)
    people, steps = 1_000, 10
    levels = rng.integers(NVEC, size=(people, steps, 2))
    first = np.zeros((people, steps + 1, 1), np.float32)
    first[:, 0] = 1.0
    rewards = np.zeros((people, steps))
    # Doing 2 now pays at once and costs more at the end.
    rewards += 0.3 * (levels[:, :, 0] == 2)
    rewards[:, -1] -= 0.4 * (levels[:, :, 0] == 2).sum(axis=1)
    rewards += 0.1 * rng.normal(size=rewards.shape)
    buffer = FactoredReplayBuffer(
        observations=first[:, :-1].reshape(-1, 1),
        actions=levels.reshape(-1, 2),
        rewards=rewards.reshape(-1).astype(np.float32),
        next_observations=first[:, 1:].reshape(-1, 1),
        lengths=np.full(people, steps),
        terminated=np.ones(people, bool),
        action_space=ActionSpace.from_nvec(NVEC),
    )
    algorithm = _fit(buffer)
    assert algorithm.choice.td_lambda == 1.0 or algorithm.choice.critic == "expectile"
    assert algorithm.action_space.unravel(algorithm.predict(np.zeros((1, 1), np.float32)))[0, 0] != 2
    short = _fit(buffer, td_lambda=0.0)
    assert short.choice.critic == "none", "what pays at once is seen to harm in the end"


def test_noise_is_not_followed_far():
    """Where no action matters, the choice is the clone or gains no more than its error."""
    algorithm = _fit(_bandit(lambda x, levels: 0.0 * x[:, 0], rows=1_000))
    choice = algorithm.choice
    assert choice.critic == "none" or choice.gain < 3 * choice.gain_error


def test_where_nothing_is_ever_paid_the_choice_is_the_clone():
    choice = _fit(_bandit(lambda x, levels: 0.0 * x[:, 0], rows=500, noise=0.0), steps=5).choice
    assert choice.critic == "none", str(choice)


@pytest.mark.long
def test_effects_are_judged_at_the_temperature_that_is_set():
    buffer = _bandit(lambda x, levels: 1.0 * (levels[:, 0] == 0))
    near, far = (_fit(buffer, steps=5, temperature=temperature).choice for temperature in (4.0, 0.1))
    assert (near.critic, near.temperature) == ("effects", 4.0)
    assert far.temperature == 0.1
    assert near.gain < far.gain / 2


@pytest.mark.long
def test_many_factors_that_matter_a_little_are_followed():
    """Eight factors: what the policy gains varies too much to be shown; a small step the same way does not."""

    def reward(x, levels):
        return 0.2 * (levels.sum(axis=1) - 4)

    algorithm = _fit(_bandit(reward, rows=3_000, noise=2.0, nvec=(2,) * 8), steps=5)
    choice = algorithm.choice
    assert choice.critic == "effects", str(choice)
    assert choice.gain < 2 * choice.gain_error
    assert choice.step_gain > 2.5 * choice.step_error > 0
    assert "a small step the same way" in str(choice)
    assert _greedy(algorithm, reward) > 0.5 * 0.8


@pytest.mark.long
def test_where_reasons_are_hidden_a_small_step_shows_nothing(monkeypatch):
    monkeypatch.setattr(select_critic, "effect_of_acting", lambda *_: Acting(effect=-1.0, error=0.1))
    buffer = _bandit(lambda x, levels: 0.2 * (levels.sum(axis=1) - 4), rows=3_000, noise=2.0, nvec=(2,) * 8)
    choice = _fit(buffer, steps=5).choice
    assert choice.critic == "none", str(choice)
    assert choice.step_error == 0


def test_a_small_step_varies_less_and_points_the_same_way():
    worth = _judged(temperature=0.1)
    z = 1 / (SMALL_STEP * np.sqrt(2 / 9))
    mean, error = mean_and_error(worth.nearby)
    assert mean == pytest.approx(np.exp(z) / (np.exp(z) + 2) - 1 / 3, abs=4 * error)
    assert error < mean_and_error(worth.whole)[1] / 2
    lost, error = mean_and_error(_judged(temperature=0.1, sign=-1).nearby)
    assert lost < -2 * error, "and says what harms"


def test_the_choice_is_said_stored_and_saved(tmp_path):
    algorithm = _fit(_bandit(_by_level, rows=1_000), steps=5)
    said = str(algorithm.choice)
    assert "held-out people gain" in said
    assert "against" in said
    save_model(algorithm, tmp_path / "m.safetensors")
    loaded = load_model(tmp_path / "m.safetensors")
    assert loaded.choice == algorithm.choice
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_array_equal(loaded.predict_probabilities(x), algorithm.predict_probabilities(x))


@pytest.mark.parametrize("critic", ["expectile", "none"])
def test_a_chosen_critic_makes_the_modules_of_a_loaded_model(tmp_path, critic):
    algorithm = _fit(_bandit(_by_pair, rows=600), steps=2, critic=critic)
    save_model(algorithm, tmp_path / "m.safetensors")
    x = np.random.default_rng(1).normal(size=(50, 3)).astype(np.float32)
    np.testing.assert_array_equal(load_model(tmp_path / "m.safetensors").predict(x), algorithm.predict(x))


def test_expectile_without_a_temperature_chooses_one():
    algorithm = _fit(_bandit(_by_pair), steps=20, critic="expectile")
    assert algorithm.choice.temperature in (0.3, 0.1)
    assert float(algorithm.impl.modules.statistics.temperature) == pytest.approx(algorithm.choice.temperature)


def test_too_few_people_are_said():
    algorithm = _fit(_bandit(_by_level, rows=1_000, steps=100), steps=2)
    assert "follows the clone" in str(algorithm.choice)
    assert "too few people" in str(algorithm.choice)
    chosen = _fit(_bandit(_by_level, rows=1_000, steps=100), steps=2, critic="effects")
    assert chosen.choice.critic == "effects", "who chooses it gets it"


def test_what_is_chosen_leaves_the_training_as_it_is():
    """The trials draw from generators of their own: the clone is the same, bit for bit, with the critic set."""
    buffer = _bandit(_by_level, rows=1_000)
    states = []
    for settings in ({}, {"critic": "effects", "td_lambda": 0.9}):
        buffer.reseed(3)
        states.append(_fit(buffer, steps=10, **settings).impl.modules.clone.state_dict())
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


def test_judges_find_the_gain_of_a_known_policy():
    """Uniform logging, reward a_0 == 0: tilting by exp(score) has a known gain over it."""
    worth = _judged(temperature=0.5)
    z = 1 / (0.5 * np.sqrt(2 / 9))
    known = np.exp(z) / (np.exp(z) + 2) - 1 / 3
    mean, error = mean_and_error(worth.own)
    assert mean == pytest.approx(known, abs=4 * error)
    assert error < 0.02


@pytest.mark.long
def test_few_people_with_long_records_all_judge_by_some_of_their_decisions(monkeypatch):
    """50 people of 400 decisions, of which a tenth may be scored: five whole people would be too few to judge."""
    known = 400 * mean_and_error(_judged(temperature=0.5).own)[0]
    monkeypatch.setattr(held_out, "MOST_SCORES", 6 * 2_000)
    worth = _judged(temperature=0.5, steps=400)
    assert len(worth.own) == 50
    mean, error = mean_and_error(worth.own)
    assert mean == pytest.approx(known, abs=4 * error)
    assert error < 0.1 * known
    algorithm = _fit(_bandit(_by_level, rows=20_000, steps=400), steps=2)
    assert algorithm.choice.people == 50, str(algorithm.choice)


def test_people_of_whom_no_decision_was_drawn_count(monkeypatch):
    """2,000 people of 10 decisions, 200 of which judge: a gain a person is what it is when all of them do."""
    everybody = _judged(temperature=1.0, steps=10).whole
    monkeypatch.setattr(held_out, "MOST_SCORES", 200 * 6)
    drawn = _judged(temperature=1.0, steps=10).whole
    assert len(drawn) == len(everybody) == 2_000
    assert abs(drawn.mean() - everybody.mean()) < 3 * drawn.std() / np.sqrt(2_000)
