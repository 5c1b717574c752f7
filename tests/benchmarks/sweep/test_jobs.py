"""A job is named by all that its run depends on."""

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from benchmarks.sweep.jobs import Job, content_of_dataset, plan


def test_other_settings_and_other_code_are_other_runs():
    base = dict(algo="discrete_bc", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    keys = {Job(**base).key}
    for change in (
        {"algo": "cql"}, {"seed": 1}, {"steps": 4}, {"eval_members": 8}, {"settings": "{1}"}, {"code": "e"},
        {"data": "y"},
    ):  # fmt: skip
        keys.add(Job(**base | change).key)
    assert len(keys) == 8


def test_other_validation_members_of_the_same_name_are_another_run():
    base = dict(algo="cql", dataset="d", seed=0, steps=3, eval_members=9, settings="{}", code="c", data="x")
    keys = {Job(**base, validation="v", validation_data=content).key for content in ("one", "other")}
    assert len(keys) == 2


def _made(rewards):
    """Somebody's own dataset of this name, made by Minari."""
    episode = EpisodeBuffer(
        observations=np.zeros((4, 2), np.float32), actions=np.ones((3, 2), np.int64), rewards=rewards,
        terminations=[False] * 3, truncations=[False, False, True], infos={},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="is set to None|env_spec is None"):
        return minari.create_dataset_from_buffers(
            "me/pumps-v0", [episode], action_space=gymnasium.spaces.MultiDiscrete([2, 3]),
            observation_space=gymnasium.spaces.Box(-1, 1, (2,)),
        )  # fmt: skip


def test_a_dataset_of_ones_own_that_is_made_anew_is_another_run(empty_store):
    """Minari keeps no hash of the content: the place of a dataset does not say what it holds."""

    def keys():
        jobs = plan(["discrete_bc"], "me/pumps-v0", seeds=2, steps=3, eval_members=9, tell=lambda *progress: None)
        return [job.key for job in jobs]

    made, first = _made([0.0, 0.0, 1.0]), keys()
    assert keys() == first
    assert len(set(first)) == 2
    made.storage.update_metadata({"frl_observation_names": ["level", "flow"]})
    named = keys()
    minari.delete_dataset("me/pumps-v0")
    _made([0.0, 0.0, 2.0])
    assert not {*first} & {*named}
    assert not {*first, *named} & {*keys()}


def test_a_dataset_that_says_what_it_holds_is_taken_at_its_word(tiny_dataset):
    assert content_of_dataset(tiny_dataset) == tiny_dataset.storage.metadata["frl_content_sha256"]
