"""A replay buffer of flat arrays, as stock d3rlpy and learners of factored actions ask it."""

import copy
import pickle
from types import SimpleNamespace

import numpy as np
import pytest
from d3rlpy.constants import ActionSpace as ActionKind
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.action_effects.targets import credit_returns, history_features
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity import Effort
from frl_env.errors import UserError


def test_it_says_what_d3rlpy_must_know(tiny_buffer):
    info = tiny_buffer.dataset_info
    assert info.action_size == 1080
    assert info.action_space == ActionKind.DISCRETE
    transition = tiny_buffer.sample_transition()
    assert transition.observation.shape == (7,)
    assert transition.rewards_to_go.shape[1] == 1


def test_sampling_is_uniform_and_seeded(tiny_buffer):
    tiny_buffer.reseed(3)
    first = tiny_buffer.sample_transition_batch(5_000)
    tiny_buffer.reseed(3)
    np.testing.assert_array_equal(first.indices, tiny_buffer.sample_transition_batch(5_000).indices)
    counts = np.bincount(first.indices, minlength=tiny_buffer.transition_count)
    assert counts.std() ** 2 == pytest.approx(counts.mean(), rel=0.2)
    np.testing.assert_array_equal(first.rewards[:, 0], tiny_buffer.rewards[first.indices])
    np.testing.assert_array_equal(first.actions[:, 0], tiny_buffer.actions[first.indices])


def test_with_minutes_it_is_copied_and_pickled(tiny_buffer):
    minutes = Effort(MEDICAID_ACTIONS, {"modality": {"PHONE_CALL": 15}})
    buffer = copy.copy(tiny_buffer)
    buffer.effort = minutes
    for other in (copy.deepcopy(buffer), pickle.loads(pickle.dumps(buffer))):
        assert other.effort == minutes
        np.testing.assert_array_equal(other.observations, buffer.observations)


def test_states_have_the_names_of_the_dataset_and_a_model_is_not_fitted_to_other_ones(tiny_dataset, tiny_buffer):
    names = tiny_dataset.storage.metadata["frl_observation_names"]
    assert list(tiny_buffer.state_names) == names
    algorithm = FactoredAWRConfig(batch_size=32).create()
    few = {"n_steps": 1, "show_progress": False, "logger_adapter": NoopAdapterFactory()}
    algorithm.fit(tiny_buffer, **few)
    assert algorithm.config.state_names == names
    other = copy.copy(tiny_buffer)
    other.state_names = tuple(reversed(names))
    with pytest.raises(UserError, match=f"made for the states {', '.join(names)}, the dataset has {names[-1]}"):
        algorithm.fit(other, **few)


def test_a_plain_d3rlpy_buffer_converts(tiny_buffer):
    from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer

    plain = ReplayBuffer(
        InfiniteBuffer(), episodes=tiny_buffer.episodes, action_space=ActionKind.DISCRETE, action_size=1080
    )
    converted = FactoredReplayBuffer.from_replay_buffer(plain, MEDICAID_ACTIONS)
    assert converted.transition_count == plain.transition_count
    for episode, start, length in zip(plain.episodes, converted.starts, converted.lengths, strict=True):
        rows = slice(start, start + length)
        np.testing.assert_array_equal(converted.observations[rows], episode.observations[:length])
        np.testing.assert_array_equal(converted.actions[rows, None], episode.actions[:length])
    with pytest.raises(UserError, match="the replay buffer has no transitions"):
        FactoredReplayBuffer.from_replay_buffer(SimpleNamespace(episodes=[]), MEDICAID_ACTIONS)


def test_of_a_cut_episode_the_last_step_of_a_plain_buffer_is_left_out_as_nobody_knows_what_followed():
    from d3rlpy.dataset import Episode, InfiniteBuffer, ReplayBuffer

    def episode(first, steps, terminated):
        seen = np.arange(first, first + steps, dtype=np.float32)[:, None]
        return Episode(seen, np.full((steps, 1), first), -seen, terminated)

    plain = ReplayBuffer(
        InfiniteBuffer(), episodes=[episode(1, 3, False), episode(5, 1, False), episode(7, 2, True)],
        action_space=ActionKind.DISCRETE, action_size=1080,
    )  # fmt: skip
    converted = FactoredReplayBuffer.from_replay_buffer(plain, MEDICAID_ACTIONS)
    assert converted.lengths.tolist() == [2, 2]
    assert converted.terminals.tolist() == [0, 0, 0, 1]
    assert converted.observations[:, 0].tolist() == [1, 2, 7, 8]
    assert converted.next_observations[:, 0].tolist() == [2, 3, 8, 0]
    assert converted.rewards.tolist() == [-1, -2, -7, -8]
    assert converted.actions.tolist() == [1, 1, 7, 7]


def test_stock_d3rlpy_trains_from_it(tiny_buffer):
    import d3rlpy

    algorithm = d3rlpy.algos.DiscreteBCConfig(batch_size=32).create()
    results = algorithm.fit(
        tiny_buffer, n_steps=4, n_steps_per_epoch=2, show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )  # fmt: skip
    assert len(results) == 2
    assert algorithm.predict(tiny_buffer.observations[:3]).shape == (3,)


def test_credit_returns_by_hand():
    buffer = _buffer([3, 1, 2], [-1, 0, -2, -5, 0, -1])
    np.testing.assert_allclose(credit_returns(buffer, 0.5), [-1.5, -1, -2, -5, -0.5, -1])


def test_history_never_looks_ahead():
    rng = np.random.default_rng(0)
    scaled = rng.normal(size=(6, 2)).astype(np.float32)
    starts, lengths = np.array([0, 4]), np.array([4, 2])
    before = history_features(scaled, starts, lengths)
    changed = scaled.copy()
    changed[2:4] += 1
    after = history_features(changed, starts, lengths)
    np.testing.assert_array_equal(before[:2], after[:2])
    np.testing.assert_array_equal(before[4:], after[4:])
    assert not np.array_equal(before[2:4], after[2:4])


def _buffer(rows, rewards, **changes):
    n = sum(rows)
    arrays = {
        "lengths": np.asarray(rows),
        "terminated": np.zeros(len(rows), bool),
        "observations": np.zeros((n, 2), np.float32),
        "actions": np.zeros((n, 2), np.int64),
        "rewards": np.asarray(rewards, np.float32),
        "next_observations": np.zeros((n, 2), np.float32),
    }
    return FactoredReplayBuffer(
        **(arrays | changes),
        action_space=ActionSpace.from_nvec((2, 3)),
    )


def test_bad_arrays_are_counted_not_shown():
    with pytest.raises(UserError, match="no steps"):
        _buffer([], [])
    with pytest.raises(UserError, match="rewards are not finite in 1 of 2 rows"):
        _buffer([2], [0, np.nan])
    with pytest.raises(UserError, match="have 3 rows, but the episodes have 2 steps"):
        _buffer([2], [0, 0, 0])
    with pytest.raises(UserError, match="out of range"):
        _buffer([2], [0, 0], actions=np.full((2, 2), 5))
    with pytest.raises(UserError, match="fixed offline dataset"):
        _buffer([1], [0]).append(0, 0, 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rewards": np.zeros((3, 1), np.float32)}, r"rewards have shape \(3, 1\); \(rows,\) is needed"),
        ({"observations": np.zeros(3, np.float32)}, r"observations have shape \(3,\); \(rows, numbers\) is needed"),
        ({"observations": np.zeros((3, 4, 4), np.uint8)}, r"observations have shape \(3, 4, 4\)"),
        ({"observations": np.zeros((3, 0)), "next_observations": np.zeros((3, 0))}, "observations hold no numbers"),
        ({"next_observations": np.zeros((3, 1), np.float32)}, "they hold the same numbers, after the action"),
        ({"observations": np.full((3, 2), 1e300)}, "observations are not finite in 3 of 3 rows"),
        ({"terminated": np.zeros(3, bool)}, r"terminated has shape \(3,\); one entry for each of 2 episodes"),
        ({"terminated": True}, r"terminated has shape \(\); one entry for each of 2 episodes"),
        ({"lengths": np.asarray([4, -1])}, "1 of 2 episodes have no steps; drop them"),
        ({"lengths": np.asarray([2.0, 1.0])}, "one whole number an episode, not float64"),
    ],
)
def test_arrays_of_other_shapes_are_said(changes, said):
    with pytest.raises(UserError, match=said):
        _buffer([2, 1], **({"rewards": [0, 0, 0]} | changes))


def test_an_episode_without_steps_does_not_end_the_one_before_it():
    with pytest.raises(UserError, match="1 of 2 episodes have no steps; drop them"):
        _buffer([2, 0], [0, 0], terminated=np.asarray([False, True]))
