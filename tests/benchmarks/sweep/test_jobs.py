"""A job is named by all that its run depends on."""

import gymnasium
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from benchmarks.result_records.run_key import content_of_dataset
from benchmarks.sweep.jobs import Job, plan
from benchmarks.sweep.scorecard import assemble
from frl_env.datasets import Recipe, build_dataset


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


def test_the_scorecard_of_a_dataset_of_ones_own_has_the_hash_of_its_files(empty_store):
    made = _made([0.0, 0.0, 1.0])
    (job,) = plan(["discrete_bc"], "me/pumps-v0", seeds=1, steps=3, eval_members=9, tell=lambda *progress: None)
    assert assemble(made, [], command="")["dataset_sha256"] == job.data


def test_a_dataset_that_says_what_it_holds_is_taken_at_its_word(tiny_dataset):
    assert content_of_dataset(tiny_dataset) == tiny_dataset.storage.metadata["frl_content_sha256"]


def test_a_dataset_that_has_grown_is_taken_by_its_files(empty_store):
    data = build_dataset(Recipe(dataset_id="tests/growing-v0", description="for tests", members=6, seed=4, horizon=4))
    before = content_of_dataset(data)
    data.storage.update_metadata({"total_episodes": 7})
    assert data.storage.metadata["frl_content_sha256"] == before
    assert content_of_dataset(data) != before
