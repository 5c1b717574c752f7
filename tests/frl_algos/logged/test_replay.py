import gymnasium
import minari
import numpy as np
import pytest
from d3rlpy.constants import ActionSpace as ActionKind
from minari.data_collector import EpisodeBuffer

from frl_algos import FactoredReplayBuffer, load_replay_buffer
from frl_algos.effects.targets import credit_returns, history_features
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError


def test_every_episode_is_aligned_not_only_the_first(tiny_dataset, tiny_buffer):
    row = 0
    for episode in tiny_dataset.iterate_episodes():
        for t in range(len(episode)):
            np.testing.assert_array_equal(tiny_buffer.observations[row], episode.observations[t])
            np.testing.assert_array_equal(tiny_buffer.next_observations[row], episode.observations[t + 1])
            assert tiny_buffer.actions[row] == MEDICAID_ACTIONS.ravel(episode.actions[t])
            assert tiny_buffer.rewards[row] == episode.rewards[t]
            assert tiny_buffer.terminals[row] == episode.terminations[t]
            row += 1
    assert row == tiny_buffer.transition_count == tiny_dataset.total_steps, "the last step of truncated episodes stays"


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


def test_a_plain_d3rlpy_buffer_converts(tiny_buffer):
    from d3rlpy.dataset import InfiniteBuffer, ReplayBuffer

    plain = ReplayBuffer(
        InfiniteBuffer(), episodes=tiny_buffer.episodes, action_space=ActionKind.DISCRETE, action_size=1080
    )
    converted = FactoredReplayBuffer.from_replay_buffer(plain, MEDICAID_ACTIONS)
    assert converted.transition_count >= plain.transition_count
    np.testing.assert_array_equal(converted.actions, tiny_buffer.actions[: converted.transition_count])


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
    buffer = _buffer(lengths=[3, 1, 2], rewards=[-1, 0, -2, -5, 0, -1])
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


def _buffer(lengths, rewards, **changes):
    n = sum(lengths)
    arrays = {
        "observations": np.zeros((n, 2), np.float32),
        "actions": np.zeros((n, 2), np.int64),
        "rewards": np.asarray(rewards, np.float32),
        "next_observations": np.zeros((n, 2), np.float32),
    }
    return FactoredReplayBuffer(
        **(arrays | changes),
        lengths=np.asarray(lengths),
        terminated=np.zeros(len(lengths), bool),
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


def test_other_spaces_are_said(empty_store):
    episode = EpisodeBuffer(
        observations=np.zeros((3, 4), np.float32), actions=np.zeros(2, np.int64), rewards=np.zeros(2),
        terminations=np.array([False, True]), truncations=np.zeros(2, bool), infos={"x": np.zeros((3, 1))},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="is set to None|env_spec is None"):
        dataset = minari.create_dataset_from_buffers(
            "tests/discrete-v0", [episode], action_space=gymnasium.spaces.Discrete(3),
            observation_space=gymnasium.spaces.Box(-1, 1, (4,)),
        )  # fmt: skip
    with pytest.raises(UserError, match="a flat MultiDiscrete is needed"):
        load_replay_buffer(dataset)


@pytest.mark.parametrize(("observations", "said"), [(9, "fewer"), (10, "as many"), (12, "more")])
def test_an_episode_has_one_observation_more_than_decisions(observations, said, empty_store):
    episodes = [
        EpisodeBuffer(
            id=number, observations=np.zeros((rows, 4), np.float32), actions=np.zeros((10, 2), np.int64),
            rewards=np.zeros(10), terminations=np.zeros(10, bool), truncations=np.arange(10) == 9, infos={},
        )
        for number, rows in enumerate([11, observations])
    ]  # fmt: skip
    with pytest.warns(UserWarning, match="is set to None|env_spec is None"):
        dataset = minari.create_dataset_from_buffers(
            "tests/lengths-v0", episodes, action_space=gymnasium.spaces.MultiDiscrete([2, 3]),
            observation_space=gymnasium.spaces.Box(-1, 1, (4,)),
        )  # fmt: skip
    with pytest.raises(UserError, match=f"one observation more than decisions.* this one has {said}$"):
        load_replay_buffer(dataset)


def test_decisions_and_rewards_of_other_lengths_are_said(empty_store):
    episode = EpisodeBuffer(
        observations=np.zeros((11, 4), np.float32), actions=np.zeros((10, 2), np.int64),
        rewards=np.zeros(9), terminations=np.zeros(9, bool), truncations=np.arange(9) == 8, infos={},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="is set to None|env_spec is None"):
        dataset = minari.create_dataset_from_buffers(
            "tests/lengths-v0", [episode], action_space=gymnasium.spaces.MultiDiscrete([2, 3]),
            observation_space=gymnasium.spaces.Box(-1, 1, (4,)),
        )  # fmt: skip
    with pytest.raises(UserError, match="are not of one length"):
        load_replay_buffer(dataset)


def test_nothing_latent_reaches_a_learner(tiny_recipe, monkeypatch, empty_store):
    """Shuffle what only the simulator knows over members and weeks: the learner's input keeps every byte."""
    from dataclasses import replace

    from frl_env.datasets import build_dataset, store
    from frl_env.simulator.information import DEMOGRAPHIC_KEYS, LATENT_KEYS

    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)

    def inputs(dataset):
        buffer = load_replay_buffer(dataset, seed=1)
        return {name: value.tobytes() for name, value in sorted(vars(buffer).items()) if isinstance(value, np.ndarray)}

    plain = inputs(build_dataset(tiny_recipe))
    original = store.collect

    def shuffled(*args, **kwargs):
        episodes = original(*args, **kwargs)
        rng = np.random.default_rng(0)
        latent = set(episodes.information) & set((*LATENT_KEYS, *DEMOGRAPHIC_KEYS, "propensity", "matched"))
        assert len(latent) >= 8
        changed = {key: rng.permutation(episodes.information[key].reshape(-1, episodes.information[key].shape[-1]))
                   .reshape(episodes.information[key].shape) for key in latent}  # fmt: skip
        return replace(episodes, information=episodes.information | changed)

    monkeypatch.setattr(store, "collect", shuffled)
    other = build_dataset(tiny_recipe, force=True)
    assert other.storage.metadata["frl_content_sha256"] != store.content_hash(
        original(tiny_recipe.parameters, members=60, seed=3, horizon=12)
    )
    assert len(plain) >= 4
    assert inputs(other) == plain
