"""A dataset is a replay buffer whole and aligned, or the reader is told what is wrong with it."""

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from frl_algos import load_replay_buffer
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes


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
    with pytest.raises(UserError, match=r"a flat MultiDiscrete is needed: a whole number a factor \(numpy\."):
        load_replay_buffer(dataset)


def _pumps(observation_space, seen):
    """A dataset of one episode of three steps, with factors of two and three levels."""
    episode = EpisodeBuffer(
        observations=seen, actions=np.ones((3, 2), np.int64), rewards=[0.0] * 3,
        terminations=[False] * 3, truncations=[False, False, True], infos={},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="is set to None|env_spec is None"):
        return minari.create_dataset_from_buffers(
            "tests/pumps-v0", [episode], action_space=gymnasium.spaces.MultiDiscrete([2, 3]),
            observation_space=observation_space,
        )  # fmt: skip


@pytest.mark.parametrize("load", [load_replay_buffer, load_episodes])
@pytest.mark.parametrize("shape", [(2, 2), (0,), None])
def test_observations_that_are_no_row_of_numbers_are_said_with_a_way_out(load, shape, empty_store):
    if shape is None:
        box = gymnasium.spaces.Box(-1, 1, (2,))
        space, seen = gymnasium.spaces.Dict(a=box, b=box), {key: np.zeros((4, 2), np.float32) for key in "ab"}
    else:
        space, seen = gymnasium.spaces.Box(-1, 1, shape), np.zeros((4, *shape), np.float32)
    with pytest.raises(UserError, match="without numbers; give" if shape == (0,) else "FlattenObservation"):
        load(_pumps(space, seen))


@pytest.mark.parametrize("load", [load_replay_buffer, load_episodes])
def test_names_of_other_factors_and_of_other_kinds_are_said(load, empty_store):
    dataset = _pumps(gymnasium.spaces.Box(-1, 1, (2,)), np.zeros((4, 2), np.float32))
    with pytest.raises(UserError, match="does not fit the dataset's MultiDiscrete"):
        load(dataset, action_space=ActionSpace.from_nvec((3, 3)))
    with pytest.raises(UserError, match=r"must be a frl_env\.ActionSpace, not a MultiDiscrete"):
        load(dataset, action_space=gymnasium.spaces.MultiDiscrete([2, 3]))
    with pytest.raises(UserError, match=r"a Minari dataset is needed, not a str; minari\.load_dataset"):
        load("tests/pumps-v0")


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
