import hashlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import minari
import numpy as np
import pytest

from frl_env import UserError, World, build_dataset, generate_synthetic_data
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import RECIPES, Recipe, collect, dataset_state, delete_dataset, ensure_dataset, store


def _files(folder: Path) -> dict[str, str]:
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and not file.name.endswith(".lock")
    }


def test_minari_round_trip_keeps_every_number(tiny_dataset, tiny_recipe):
    episodes = collect(tiny_recipe.parameters, members=60, seed=tiny_recipe.seed, horizon=12)
    assert len(set(episodes.lengths.tolist())) > 1, "unequal episodes are the point"
    assert tiny_dataset.total_episodes == 60
    assert tiny_dataset.total_steps == episodes.lengths.sum()
    for i, episode in enumerate(minari.load_dataset("tests/tiny-v0").iterate_episodes()):
        length = episodes.lengths[i]
        np.testing.assert_array_equal(episode.observations, episodes.observations[i, : length + 1])
        np.testing.assert_array_equal(episode.actions, episodes.actions[i, :length])
        np.testing.assert_array_equal(episode.rewards, episodes.rewards[i, :length])
        assert episode.terminations[-1] == episodes.terminated[i]
        assert episode.truncations[-1] == (not episodes.terminated[i])
        assert not episode.terminations[:-1].any()
        for key, value in episode.infos.items():
            np.testing.assert_array_equal(value, episodes.information[key][i, : length + 1])
        assert "EpisodeData" in repr(episode)


def test_rows_belong_together(tiny_dataset):
    for episode in tiny_dataset.iterate_episodes():
        events = episode.infos["ed_visits"][1:, 0] + episode.infos["ip_stays"][1:, 0]
        np.testing.assert_array_equal(episode.rewards, -events.astype(np.float32))
        np.testing.assert_array_equal(episode.observations[1:, 1], episode.infos["ed_visits"][1:, 0])
        attempted = episode.infos["attempted"][1:, 0]
        assert not attempted[~MEDICAID_ACTIONS.is_valid(episode.actions)].any()
        assert (episode.infos["propensity"] > 0).all()
        np.testing.assert_allclose(episode.infos["factor_propensities"].prod(axis=1), episode.infos["propensity"][:, 0])


def test_metadata_is_complete_and_the_environment_comes_back(tiny_dataset):
    metadata = tiny_dataset.storage.metadata
    for key in ("author", "author_email", "description", "code_permalink", "algorithm_name", "env_spec",
                "eval_env_spec", "ref_min_score", "ref_max_score", "minari_version", "requirements"):  # fmt: skip
        assert metadata[key], key
    assert set(metadata["frl_reference_scores"]) == {
        "no_program", "random", "behaviour", "heuristic", "best_observation_only", "oracle"
    }  # fmt: skip
    assert all(score["se"] > 0 for score in metadata["frl_reference_scores"].values())
    assert metadata["ref_max_score"] > metadata["ref_min_score"]
    for evaluation in (False, True):
        env = tiny_dataset.recover_environment(eval_env=evaluation)
        assert env.unwrapped.horizon == 12
        assert env.reset(seed=0)[0].shape == (7,)
    assert "tests/tiny-v0" in minari.list_local_datasets()


@pytest.mark.long
def test_a_rebuild_gives_the_same_bytes(empty_store, tiny_recipe, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    build_dataset(tiny_recipe)
    first = _files(empty_store)
    build_dataset(tiny_recipe, force=True)
    assert _files(empty_store) == first
    script = (
        "from frl_env import World\nfrom frl_env.datasets import Recipe, build_dataset, store\n"
        "store.REFERENCE_MEMBERS = 200\n"
        f"build_dataset({tiny_recipe!r}, force=True)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env=os.environ | {"PYTHONHASHSEED": "7"})
    assert _files(empty_store) == first


def test_golden_trajectory():
    """The frozen world: this hash changes only with a new version of the parameters."""
    from frl_env.datasets.store import content_hash
    from frl_env.parameters import VERSION, preset

    assert VERSION == "v0"
    episodes = collect(preset(), members=20, seed=1, horizon=10)
    rounded = np.round(episodes.observations.astype(np.float64), 3), episodes.actions, episodes.rewards
    digest = hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in rounded)).hexdigest()
    assert digest == GOLDEN, digest
    assert len(content_hash(episodes)) == 64


GOLDEN = "7b99ec8b5f56b678729a686a950f5937216f98877779780362b5e96624c4428d"


def test_published_form_of_the_data():
    states, actions, rewards = generate_synthetic_data(n_patients=30, n_weeks_per_patient=8, seed=42)
    assert states.shape == (len(rewards), 7)
    assert actions.shape == (len(rewards), 4)
    assert states.dtype == np.float32
    assert len(rewards) <= 240
    assert set(np.unique(rewards)) <= {-4.0, -3.0, -2.0, -1.0, 0.0}
    assert MEDICAID_ACTIONS.is_valid(actions).all()
    again = generate_synthetic_data(n_patients=30, n_weeks_per_patient=8, seed=42)
    for one, two in zip((states, actions, rewards), again, strict=True):
        np.testing.assert_array_equal(one, two)
    with pytest.raises(UserError, match="at least 1 patient"):
        generate_synthetic_data(n_patients=0)


def test_errors_name_the_way_out(tiny_dataset, tiny_recipe, monkeypatch):
    with pytest.raises(UserError, match=r"unknown dataset 'frl/medicaid-synthetic-v1'; did you mean frl/medicaid-"):
        build_dataset("frl/medicaid-synthetic-v1")
    with pytest.raises(UserError, match=r"in the local store: .*tests/tiny-v0"):
        ensure_dataset("someone/else-v0")
    with pytest.raises(UserError, match="exists already; add --force"):
        build_dataset(tiny_recipe)
    with pytest.raises(UserError, match="members must be a whole number in 1"):
        Recipe(dataset_id="a/b-v0", description="", members=0, seed=0)
    changed = Recipe(**(vars(tiny_recipe) | {"seed": 4}))
    assert dataset_state(tiny_recipe) == "current"
    assert dataset_state(changed) == "stale"
    assert dataset_state(Recipe(**(vars(tiny_recipe) | {"description": "in other words"}))) == "current"
    with pytest.raises(UserError, match=r"another version of its recipe; call build_dataset\(recipe, force=True\)"):
        ensure_dataset(changed)
    monkeypatch.setitem(RECIPES, "tests/tiny-v0", changed)
    with pytest.raises(UserError, match="another version of its recipe; run 'frl build tests/tiny-v0 --force'"):
        ensure_dataset("tests/tiny-v0")


def test_a_truncated_file_is_said(empty_store, tiny_recipe, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    monkeypatch.setitem(RECIPES, "tests/tiny-v0", tiny_recipe)
    build_dataset(tiny_recipe)
    file = empty_store / "tests/tiny-v0/data/main_data.hdf5"
    file.write_bytes(file.read_bytes()[:1000])
    pytest.importorskip("d3rlpy")
    from frl_algos import load_replay_buffer

    with pytest.raises(UserError, match="damaged"):
        load_replay_buffer(ensure_dataset("tests/tiny-v0"))


@pytest.mark.parametrize("problem", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_interrupted_build_leaves_nothing_and_loses_nothing(empty_store, tiny_recipe, monkeypatch, problem):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)

    def stop(what, done, total):
        if what == "writing":
            raise problem

    # A small dataset is one shard: nothing of it is kept.
    expected = UserError if isinstance(problem, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        build_dataset(tiny_recipe, progress=stop)
    assert not _files(empty_store)
    build_dataset(tiny_recipe)
    before = _files(empty_store)
    with pytest.raises(expected):
        build_dataset(tiny_recipe, force=True, progress=stop)
    assert _files(empty_store) == before
    minari.load_dataset("tests/tiny-v0")


def _shards(recipe, tiny):
    return Recipe(**(vars(tiny) | {"dataset_id": "tests/shards-v0", "shard": 25}) | recipe)


def test_an_interrupted_large_build_goes_on_where_it_was(empty_store, tiny_recipe, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    made = _shards({}, tiny_recipe)
    assert made.shards == (25, 25, 10)
    build_dataset(made)
    whole = _files(empty_store)
    build_dataset(made, force=True)
    assert _files(empty_store) == whole
    minari.delete_dataset("tests/shards-v0")

    def stop_in_the_third_shard(what, done, total):
        assert total == 60
        if done > 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(made, progress=stop_in_the_third_shard)
    assert minari.list_local_datasets() == {}
    kept = sorted(p.name for p in (empty_store / "tests").glob(".*building*/*"))
    assert kept == ["shard-0000.hdf5", "shard-0001.hdf5"]
    simulated = []
    original = store.collect
    monkeypatch.setattr(store, "collect", lambda *a, **k: simulated.append(k["members"]) or original(*a, **k))
    build_dataset(made)
    assert simulated == [10], "whole shards are not simulated again"
    assert _files(empty_store) == whole
    episodes = list(minari.load_dataset("tests/shards-v0").iterate_episodes())
    assert [episode.id for episode in episodes] == list(range(60))
    firsts = {tuple(episode.observations[0]) for episode in episodes}
    assert len(firsts) > 55, "shards hold other members"


def test_shards_of_another_recipe_are_not_taken_over(empty_store, tiny_recipe, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)

    def stop(what, done, total):
        if done > 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build_dataset(_shards({}, tiny_recipe), progress=stop)
    other = _shards({"seed": 77}, tiny_recipe)
    build_dataset(other)
    assert not list((empty_store / "tests").glob(".*building*"))
    first = collect(other.parameters, members=25, seed=(77, 1), horizon=12)
    np.testing.assert_array_equal(next(iter(minari.load_dataset("tests/shards-v0").iterate_episodes())).rewards,
                                  first.rewards[0, : first.lengths[0]])  # fmt: skip


def test_a_full_disk_leaves_whole_shards_and_nothing_else(empty_store, tiny_recipe):
    def stop(what, done, total):
        if done > 30:
            raise OSError(28, "No space left on device")

    with pytest.raises(UserError, match="No space left on device"):
        build_dataset(_shards({}, tiny_recipe), progress=stop)
    assert [Path(name).name for name in _files(empty_store)] == ["shard-0000.hdf5"]
    delete_dataset("tests/shards-v0")
    assert not _files(empty_store)
    with pytest.raises(UserError, match="is not in the local store"):
        delete_dataset("tests/shards-v0")


def test_the_first_shard_is_no_other_dataset(tiny_recipe):
    """A seed and the pair of that seed and 0 are the same to NumPy: shards must not use it."""
    alone = collect(tiny_recipe.parameters, members=25, seed=tiny_recipe.seed, horizon=3)
    shard = collect(tiny_recipe.parameters, members=25, seed=(tiny_recipe.seed, 1), horizon=3)
    assert not np.array_equal(alone.observations, shard.observations)


def test_screened_datasets_hold_the_same_weeks_with_more_recorded(empty_store, tiny_recipe, monkeypatch):
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    plain = collect(tiny_recipe.parameters, members=60, seed=3, horizon=12)
    made = Recipe(**(vars(tiny_recipe) | {"dataset_id": "tests/screened-v0", "world": World(screening=1.0)}))
    dataset = build_dataset(made)
    assert dataset.spec.observation_space.shape == (22,)
    for i, episode in enumerate(dataset.iterate_episodes()):
        length = plain.lengths[i]
        np.testing.assert_array_equal(episode.observations[:, :7], plain.observations[i, : length + 1])
        np.testing.assert_array_equal(episode.actions, plain.actions[i, :length])
        np.testing.assert_array_equal(episode.rewards, plain.rewards[i, :length])
    flags = np.concatenate([episode.observations[0, 7:][None] for episode in dataset.iterate_episodes()])
    needs = np.concatenate([episode.infos["open_needs"][0][None] for episode in dataset.iterate_episodes()])
    assert flags[needs].mean() == pytest.approx(0.85, abs=0.08)
    assert flags[~needs].mean() == pytest.approx(0.05, abs=0.04)
    assert dataset.storage.metadata["frl_observation_names"][7] == "screened_medication_adherence"
    assert dataset.recover_environment().reset(seed=0)[0].shape == (22,)


def _build_with_few_references(recipe):
    store.REFERENCE_MEMBERS = 200
    build_dataset(recipe, force=True)


def test_a_killed_build_is_whole_or_absent(empty_store, tiny_recipe):
    context = multiprocessing.get_context("fork")
    for delay in (0.05, 0.3, 0.6):
        process = context.Process(target=_build_with_few_references, args=(tiny_recipe,))
        process.start()
        time.sleep(delay)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        if dataset_state(tiny_recipe) != "missing":
            assert minari.load_dataset("tests/tiny-v0").total_episodes == 60
    _build_with_few_references(tiny_recipe)
    assert minari.load_dataset("tests/tiny-v0").total_episodes == 60
    assert sorted(p.name for p in (empty_store / "tests").iterdir() if not p.name.endswith(".lock")) == [
        "namespace_metadata.json",
        "tiny-v0",
    ]


def test_two_builds_at_once_both_end_well(empty_store, tiny_recipe):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_build_with_few_references, args=(tiny_recipe,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    assert minari.load_dataset("tests/tiny-v0").total_episodes == 60


def test_populations_do_not_overlap():
    """Same seed only where the members are meant to be the same; evaluation has seeds of its own."""
    from frl_env import reference_returns
    from frl_env.search import policy_search

    seeds = {recipe.seed for recipe in RECIPES.values()}
    base = RECIPES["frl/medicaid-synthetic-v0"]
    for name in ("small", "validation", "large"):
        other = RECIPES[f"frl/medicaid-synthetic-{name}-v0"]
        assert other.seed != base.seed
        assert other.world == base.world
        seeds.discard(other.seed)
    assert seeds == {base.seed}, "the other worlds hold the members of -v0"
    assert not {reference_returns.SEED, policy_search.SEARCH_SEED} & {r.seed for r in RECIPES.values()}
    assert RECIPES["frl/medicaid-synthetic-large-v0"].members == 96_136


def test_recipes_are_json_and_ids_are_minari_ids():
    for dataset_id, recipe in RECIPES.items():
        assert recipe.dataset_id == dataset_id
        json.dumps(recipe.fingerprint())
        json.dumps(recipe.env_spec().kwargs)
