"""Copies of an episode's bytes are what HDF5 itself would have written."""

import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from frl_env.datasets.hdf5 import _in_memory, join_shards, link_shards, write_shard
from frl_env.datasets.hdf5_copies import EpisodeColumns, image_of


def _episode(rng: np.random.Generator, length: int, keys: int) -> dict[str, np.ndarray]:
    return {
        "observations": rng.random((length + 1, 3), dtype=np.float32),
        "actions": rng.integers(0, 3, (length, 4)),
        "rewards": rng.random(length).astype(np.float32),
        "terminations": rng.random(length) < 0.5,
        "truncations": np.arange(length) == length - 1,
    } | {f"infos/key_{i:02d}": rng.integers(0, 9, (length + 1, 1)).astype(np.int16) for i in range(keys)}


def _columns(episodes: list[dict[str, np.ndarray]]) -> EpisodeColumns:
    return EpisodeColumns(
        lengths=np.array([len(arrays["rewards"]) for arrays in episodes]),
        arrays={name: np.concatenate([arrays[name] for arrays in episodes]) for name in episodes[0]},
    )


def _plainly(file: Path, episodes: list[dict[str, np.ndarray]], first: int) -> None:
    """One data set after the other, by h5py."""
    with h5py.File(file, "w") as target:
        for number, arrays in enumerate(episodes, start=first):
            group = target.create_group(f"episode_{number}")
            group.create_group("infos")
            for name, array in arrays.items():
                group[name] = array


@pytest.mark.parametrize("keys", [0, 3, 20])
def test_every_copy_holds_its_own_episode(tmp_path, keys):
    rng = np.random.default_rng(keys)
    episodes = [_episode(rng, length, keys) for length in (5, 2, 5, 1, 300, 5, 2)]
    write_shard(tmp_path / "copies.hdf5", _columns(episodes), first=7, content="c")
    with h5py.File(tmp_path / "copies.hdf5") as source:
        assert list(source) == [f"episode_{number}" for number in range(7, 14)]  # in order, not by name
        for number, arrays in enumerate(episodes, start=7):
            group = source[f"episode_{number}"]
            assert (group.attrs["id"], group.attrs["total_steps"]) == (number, len(arrays["rewards"]))
            found = {}
            group.visititems(lambda name, item, found=found: found.update({name: item}))
            assert found.keys() == arrays.keys() | {"infos"}
            for name, array in arrays.items():
                assert found[name].dtype == array.dtype
                np.testing.assert_array_equal(found[name][()], array)


def test_a_shard_is_the_same_bytes_again_and_can_be_changed(tmp_path):
    rng = np.random.default_rng(0)
    episodes = [_episode(rng, length, 2) for length in (4, 3, 4)]
    for name in ("one.hdf5", "two.hdf5"):
        write_shard(tmp_path / name, _columns(episodes), first=0, content="")
    assert (tmp_path / "one.hdf5").read_bytes() == (tmp_path / "two.hdf5").read_bytes()
    with h5py.File(tmp_path / "one.hdf5", "a") as file:
        file["episode_0"].attrs["note"] = "added"  # what HDF5 adds must not fall on an episode
        file["episode_1/more"] = np.arange(1000)
        del file["episode_2"]
    with h5py.File(tmp_path / "one.hdf5") as file:
        assert list(file) == ["episode_0", "episode_1"]
        np.testing.assert_array_equal(file["episode_0/observations"][()], episodes[0]["observations"])
        np.testing.assert_array_equal(file["episode_1/infos/key_01"][()], episodes[1]["infos/key_01"])
        np.testing.assert_array_equal(file["episode_1/more"][()], np.arange(1000))


@pytest.mark.parametrize("put_together", ["joined", "linked"])
def test_shards_come_together(tmp_path, put_together):
    rng = np.random.default_rng(1)
    parts = [[_episode(rng, length, 1) for length in (2, 6)] for _ in range(2)]
    files = [tmp_path / f"shard-{i}.hdf5" for i in range(2)]
    for i, part in enumerate(parts):
        write_shard(files[i], _columns(part), first=2 * i, content="")
    if put_together == "joined":
        join_shards(files, tmp_path / "main.hdf5", progress=lambda done: None)
    else:
        link_shards([(files[0], 0, 2), (files[1], 2, 2)], tmp_path / "main.hdf5")
    with h5py.File(tmp_path / "main.hdf5") as source:
        for number, arrays in enumerate(parts[0] + parts[1]):
            np.testing.assert_array_equal(source[f"episode_{number}/observations"][()], arrays["observations"])


def test_links_have_the_bytes_that_h5py_writes(tmp_path):
    shards = [(tmp_path / "shards" / f"part-\u00e9-{i}.hdf5", 150 * i, 150) for i in range(2)]
    link_shards(shards, tmp_path / "main.hdf5")
    with _in_memory() as plain:
        for shard, first, episodes in shards:
            for number in range(first, first + episodes):
                plain[f"episode_{number}"] = h5py.ExternalLink(f"shards/{shard.name}", f"/episode_{number}")
        expected = image_of(plain)
    assert (tmp_path / "main.hdf5").read_bytes() == expected


def test_copies_take_a_fraction_of_the_time(tmp_path):
    rng = np.random.default_rng(2)
    episodes = [_episode(rng, 10, 6) for _ in range(600)]
    started = time.process_time()
    _plainly(tmp_path / "plain.hdf5", episodes, 0)
    plain = time.process_time() - started
    started = time.process_time()
    write_shard(tmp_path / "copies.hdf5", _columns(episodes), first=0, content="")
    assert time.process_time() - started < plain / 4
