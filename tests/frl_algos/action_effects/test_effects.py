"""Terms, shrinkage, effects and pacing: the closed forms behind the advantage, against truths known beforehand."""

import itertools

import numpy as np
import pytest

from frl_algos import FactoredAWRConfig
from frl_algos.action_effects.action_rate import steady_rate
from frl_algos.action_effects.estimate import EffectRegression
from frl_algos.action_effects.shrinkage import posterior_mean
from frl_algos.action_effects.targets import compute_targets
from frl_algos.action_effects.terms import CAUTIOUS_SCALES, SCALES, Terms
from frl_algos.logged_data import member_parts
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace, Factor

CARE = ActionSpace(
    factors=(
        Factor(name="channel", levels=("NONE", "CALL", "VISIT")),
        Factor(name="topic", levels=("NONE", "FOOD", "PILLS")),
    ),
    contact_factors=("channel", "topic"),
)


@pytest.mark.parametrize("structure", ["factored", "independent", "flat"])
def test_joint_weights_are_the_columns_times_the_weights(structure):
    rng = np.random.default_rng(0)
    terms = Terms.of_space(CARE, 3, structure=structure, indications={"FOOD": 2})
    states, signs = rng.normal(size=(20, 3)), rng.random((20, 3))
    weights = rng.normal(size=len(terms.groups))
    joint = np.concatenate([np.ones((20, 1)), states, signs], axis=1) @ terms.joint_weights(weights)
    assert joint.shape == (20, 5)
    assert not joint[:, 0].any(), "doing nothing has no effect"
    for action in range(5):
        by_row = terms.columns(states, signs, np.full(20, action)) @ weights
        np.testing.assert_allclose(joint[:, action], by_row, rtol=1e-4, atol=1e-4)


def test_an_indication_bears_on_its_own_level_only():
    terms = Terms.of_space(CARE, 3, indications={"FOOD": 2})
    on, off = (terms.columns(np.zeros((5, 3)), np.full((5, 3), value), np.arange(5)) for value in (1.0, 0.0))
    food = CARE.joint_levels[CARE.valid_joints][:, 1] == 1
    np.testing.assert_array_equal((on != off).any(axis=1), food)


@pytest.mark.parametrize(
    ("structure", "apart"),
    [("factored", [False, False, True, True]), ("independent", [False, False, True]), ("flat", [False, True])],
)
def test_which_terms_tell_levels_of_a_factor_apart(structure, apart):
    """In the order of the groups: overall, channel, topic, their pairs; a flat table has one group of all actions."""
    terms = Terms.of_space(CARE, 3, structure=structure, indications={"FOOD": 2})
    assert terms.told_apart({"topic"}).tolist() == apart + [False] * (len(terms.scales) - len(apart))
    assert not terms.told_apart(()).any()


def test_a_known_spread_is_not_learned():
    """Large effects and a small scale: learned, the spread grows to fit them; known, they stay shrunk."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 8))
    y = x @ np.full(8, 0.5) + rng.normal(size=400)
    squares, products = x.T @ x, x.T @ y
    both = [
        posterior_mean(squares, products, np.zeros(8, int), np.array([0.01]), np.random.default_rng(1), known=known)
        for known in (None, np.array([True]))
    ]
    assert np.abs(both[0]).min() > 0.3
    np.testing.assert_allclose(both[1], np.linalg.solve(squares + np.eye(8) / 0.01**2, products), rtol=1e-9)


def test_groups_without_signal_shrink_and_the_others_do_not():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(3_000, 20))
    truth = np.r_[np.array([0.5, -0.5, 0.3, 0.0, 0.4]), np.zeros(15)]
    y = x @ truth + rng.normal(size=3_000)
    groups = np.repeat([0, 1], [5, 15])
    found = posterior_mean(x.T @ x, x.T @ y, groups, np.array([0.1, 0.1]), np.random.default_rng(1))
    least_squares = np.linalg.solve(x.T @ x, x.T @ y)
    np.testing.assert_allclose(found[:5], truth[:5], atol=0.06)
    assert np.abs(found[5:]).sum() < 0.6 * np.abs(least_squares[5:]).sum()


def test_a_posterior_without_columns_is_empty_and_one_of_no_data_is_refused():
    none = np.zeros(0)
    assert posterior_mean(np.zeros((0, 0)), none, none.astype(int), np.array([0.1]), np.random.default_rng(0)).size == 0
    free = np.array([-1, -1])
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        posterior_mean(-np.eye(2), np.zeros(2), free, np.array([0.1]), np.random.default_rng(0))


def _care_records(members=3_000, weeks=20, seed=0, effects=(0.1, 0.6), tiring=0.0, answers=(0.0, 0.0)):
    """Counts of events; the sick are contacted more, and sicker ones visited; an answered visit prevents most.

    Args:
        effects: Share of the next week's events that an answered call, visit prevents.
        tiring: Log odds of an answer lost by each recent attempt (fading 0.8).
        answers: Log odds of an answer to a call, to a visit.
    """
    rng = np.random.default_rng(seed)
    sick = rng.gamma(0.5, 2.0, members)
    load, protected = np.zeros(members), np.zeros(members)
    columns = {"observations": [], "actions": [], "rewards": [], "next_observations": []}
    for _ in range(weeks):
        attempted = rng.random(members) < 0.1 + 0.4 * (sick > 1)
        channel = 1 + (rng.random(members) < 0.2 + 0.4 * (sick > 2))
        topic = rng.integers(1, 3, members)
        odds = np.exp(np.asarray((0.0, *answers))[channel] - tiring * load)
        answered = attempted & (rng.random(members) < odds / (1 + odds))
        load = 0.8 * load + attempted
        protected = answered * np.asarray((0.0, *effects))[channel]
        events = rng.poisson(0.5 * sick * (1 - protected))
        following = np.stack([answered, events], axis=1)
        observed = columns["next_observations"][-1] if columns["next_observations"] else np.zeros((members, 2))
        for key, value in (
            ("observations", observed),
            ("actions", np.stack([channel, topic], axis=1) * attempted[:, None]),
            ("rewards", -events),
            ("next_observations", following),
        ):
            columns[key].append(value)
    flat = {key: np.stack(value, axis=1) for key, value in columns.items()}
    flat = {key: value.reshape(members * weeks, *value.shape[2:]) for key, value in flat.items()}
    return FactoredReplayBuffer(
        observations=flat["observations"].astype(np.float32),
        actions=flat["actions"],
        rewards=flat["rewards"].astype(np.float32),
        next_observations=flat["next_observations"].astype(np.float32),
        lengths=np.full(members, weeks),
        terminated=np.zeros(members, bool),
        action_space=CARE,
    )


def _effects(buffer, response=0, scales=SCALES):
    targets = compute_targets(buffer, buffer.observations, decay=0.0, response=response)
    terms = Terms.of_space(CARE, 2, scales=scales)
    regression = EffectRegression(terms, targets, buffer.observations, respond=response is not None, seed=0)
    return targets, regression.sampled(regression.many_rows())


@pytest.mark.parametrize("scales", [SCALES, CAUTIOUS_SCALES])
def test_the_response_contrast_survives_confounding_by_indication(scales):
    buffer = _care_records()
    targets, effects = _effects(buffer, scales=scales)
    visits = CARE.joint_levels[CARE.valid_joints][:, 0]
    call, visit = (effects.weights[0][visits == level].mean() for level in (1, 2))
    assert visit == pytest.approx(0.6, abs=0.2)
    assert abs(call - 0.1) < 0.15
    naive = buffer.rewards[targets.attempted].mean() - buffer.rewards[~targets.attempted].mean()
    assert naive < -0.3, "the naive contrast has the wrong sign here"
    assert targets.sign == -1


def test_no_effect_is_found_where_there_is_none():
    _, effects = _effects(_care_records(effects=(0.0, 0.0)))
    assert np.abs(effects.weights[0]).max() < 0.15


@pytest.mark.long
def test_the_learner_takes_less_noise_for_a_difference_than_the_estimators():
    """Calls and visits about anything help alike here, so all differences that are found are noise."""

    def found_by_learner(buffer):
        algorithm = FactoredAWRConfig(response=0, td_lambda=0.0).create()
        algorithm.build_with_dataset(buffer)
        assert algorithm.impl is not None
        return algorithm.impl._modules.critic.weights[0, 1:].numpy()

    buffers = [_care_records(members=1_000, seed=seed, effects=(0.3, 0.3)) for seed in range(5)]
    wide = np.mean([np.ptp(_effects(buffer)[1].weights[0, 1:]) for buffer in buffers])
    assert np.mean([np.ptp(found_by_learner(buffer)) for buffer in buffers]) < 0.6 * wide


def test_chances_of_a_response_differ_as_far_as_the_data_is_sure_of_it():
    """With few attempts of each kind, what looks like a difference is noise; it would be picked with the advantage."""
    buffer = _care_records(members=100, effects=(0.3, 0.3))
    targets, effects = _effects(buffer, scales=CAUTIOUS_SCALES)
    rates = [targets.responses[targets.actions == action].mean() for action in range(1, 5)]
    assert effects.response is not None
    assert np.ptp(effects.response[0, 1:]) < 0.5 * np.ptp(rates)
    _, effects = _effects(_care_records(answers=(-1.0, 1.0)), scales=CAUTIOUS_SCALES)
    visits = CARE.joint_levels[CARE.valid_joints][1:, 0] == 2
    assert effects.response is not None
    chances = effects.response[0, 1:]
    np.testing.assert_allclose(chances[visits], 1 / (1 + np.exp(-1.0)), atol=0.03)
    np.testing.assert_allclose(chances[~visits], 1 / (1 + np.exp(1.0)), atol=0.03)


def test_halves_are_estimated_from_different_members():
    buffer = _care_records(members=400)
    _, effects = _effects(buffer)
    assert not np.allclose(*effects.halves)
    assert not np.allclose(effects.weights, effects.halves[0])


def test_effects_do_not_depend_on_the_order_of_members():
    """Apart from which half is which."""
    buffer = _care_records(members=300)
    order = np.arange(300).reshape(-1, 2)[::-1].reshape(-1)
    rows = (order[:, None] * 20 + np.arange(20)).reshape(-1)
    turned = FactoredReplayBuffer(
        observations=buffer.observations[rows],
        actions=CARE.unravel(buffer.actions[rows]),
        rewards=buffer.rewards[rows],
        next_observations=buffer.next_observations[rows],
        lengths=buffer.lengths,
        terminated=buffer.terminated,
        action_space=CARE,
    )
    np.testing.assert_allclose(_effects(buffer)[1].weights, _effects(turned)[1].weights, atol=1e-3)


def _rate(buffer):
    targets = compute_targets(buffer, buffer.observations, decay=0.0, response=0)
    levels = Terms.of_space(CARE, 2).levels
    return steady_rate(targets.attempted, targets.responses, targets.actions, levels, buffer.lengths)


def test_the_steady_rate_is_the_one_with_most_answers():
    """Odds of an answer fall by exp(-tiring * F), F = 5 c at a steady rate c: the best c is known."""
    rates = np.linspace(0.01, 1, 100)
    best = rates[np.argmax(rates / (1 + np.exp(0.8 * 5 * rates)))]
    assert _rate(_care_records(weeks=30, members=2_000, tiring=0.8)) == pytest.approx(best, abs=0.08)
    assert _rate(_care_records(weeks=30, members=2_000, tiring=0.0)) > 0.45


def test_what_is_made_part_by_part_is_what_is_made_at_once(monkeypatch):
    whole = _care_records(members=300)
    lengths = np.asarray([1, 39] * 150)
    buffer = FactoredReplayBuffer(
        observations=whole.observations, actions=CARE.unravel(whole.actions), rewards=whole.rewards,
        next_observations=whole.next_observations, lengths=lengths, terminated=np.zeros(300, dtype=bool),
        action_space=CARE,
    )  # fmt: skip
    kept = {}
    for values in (10**9, 1_000, 1):
        monkeypatch.setattr(member_parts, "VALUES", values)
        found = compute_targets(buffer, buffer.observations, decay=0.9, response=0)
        kept[values] = (found.returns, found.history, found.value_weights, found.value_error, _rate(buffer))
    for few in (1_000, 1):
        for part, once in zip(kept[few], kept[10**9], strict=True):
            np.testing.assert_allclose(part, once, rtol=1e-6, atol=1e-9)
    slices = [rows for rows, _ in member_parts.parts(lengths, 10)]
    assert slices[0].start == 0
    assert slices[-1].stop == lengths.sum()
    assert all(before.stop == after.start for before, after in itertools.pairwise(slices))
