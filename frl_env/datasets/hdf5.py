"""Write episodes in Minari's HDF5 layout, many times as fast as episode by episode through Minari.

    episode_0/  observations  actions  rewards  terminations  truncations  infos/<key>      attributes: id, total_steps
    episode_1/  ...

An episode is a dozen or two of small data sets, and creating one costs far more than its bytes: HDF5 lays out the
first episode of a kind, and the others are copies of it (`hdf5_copies`). A large dataset is written in shards, each a
file of its own that is whole once it exists, and put together at the end, so that an interrupted build goes on after
its last whole shard.
"""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from frl_env.datasets.collect import Episodes
from frl_env.datasets.hdf5_copies import EpisodeColumns, Scratch, image_of, open_copies
from frl_env.files import atomic

Progress = Callable[[int], None]
"""Called with the number of episodes done."""


MEMORY_BLOCK = 1 << 22
"""Bytes by which a file in memory grows."""


def write_shard(file: Path, episodes: EpisodeColumns, *, first: int, content: str) -> None:
    """Writes one shard, whole or not at all.

    Args:
        file: Where to.
        episodes: Its episodes.
        first: Number of the first in the dataset.
        content: Hash of the episodes, kept as an attribute.

    Raises:
        OSError: If the file can't be written.
    """
    atomic.write_bytes(file, shard_image(episodes, first=first, content=content, scratch=Scratch()))


def shard_image(episodes: EpisodeColumns, *, first: int, content: str, scratch: Scratch) -> bytes:
    """The bytes of a shard; arguments as for `write_shard`, and memory to work in.

    In memory, because HDF5 answers a full disk with errors that can't be caught, one for each array still open.
    """
    with open_copies(episodes, first, scratch) as target:
        target.attrs["frl_content_sha256"] = content
        target.attrs["frl_total_steps"] = int(episodes.lengths.sum())
        return image_of(target)


def shard_facts(file: Path) -> tuple[str, int]:
    """Content hash and number of steps of a whole shard."""
    with h5py.File(file, "r") as source:
        attributes: Any = source.attrs
        return str(attributes["frl_content_sha256"]), int(attributes["frl_total_steps"])


def join_shards(shards: list[Path], file: Path, *, progress: Progress) -> None:
    """Puts shards together into Minari's one file and removes them.

    Raises:
        OSError: If the file can't be written.
    """
    if len(shards) == 1:
        os.replace(shards[0], file)
        return
    done = 0
    try:
        with h5py.File(file, "w", track_order=True) as target:
            for shard in shards:
                with h5py.File(shard, "r", track_order=True) as source:
                    for name in source:
                        source.copy(name, target, name)
                        done += 1
                        if done % 100 == 0:
                            progress(done)
    except RuntimeError:  # HDF5's word for a full disk
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
    for shard in shards:
        shard.unlink()


def link_shards(shards: list[tuple[Path, int, int]], file: Path) -> None:
    """Makes Minari's one file of links into shards that stay where they are, in the folder of the file or below.

    Copying small data sets takes half as long as writing them; following a link takes a tenth of a millisecond.

    Args:
        shards: Each with the number of its first episode and of its episodes.
        file: Where to.

    Raises:
        OSError: If the file can't be written.
    """
    with _in_memory() as target:
        for shard, first, episodes in shards:
            name = shard.relative_to(file.parent).as_posix()
            shard_name = os.fsencode(name)
            for number in range(first, first + episodes):  # h5py's own way does the same ten times as slowly
                episode = f"episode_{number}".encode()
                target.id.links.create_external(episode, shard_name, b"/" + episode)
        _save(target, file)


def episode_columns(episodes: Episodes) -> EpisodeColumns:
    """The episodes as `write_shard` takes them."""
    steps = episodes.mask
    lengths = episodes.lengths
    with_end = np.arange(steps.shape[1] + 1) <= lengths[:, None]
    last = np.cumsum(lengths) - 1
    terminations = np.zeros(lengths.sum(), dtype=bool)
    truncations = terminations.copy()
    terminations[last], truncations[last] = episodes.terminated, ~episodes.terminated
    return EpisodeColumns(
        lengths=lengths,
        arrays={
            "observations": episodes.observations[with_end],
            "actions": episodes.actions[steps],
            "rewards": episodes.rewards[steps],
            "terminations": terminations,
            "truncations": truncations,
        }
        | {f"infos/{key}": value[with_end] for key, value in episodes.information.items()},
    )


def _in_memory() -> h5py.File:
    """A new file that is not on disk."""
    return h5py.File("memory", "w", driver="core", backing_store=False, block_size=MEMORY_BLOCK, track_order=True)


def _save(content: h5py.File, file: Path) -> None:
    """Writes a file from memory, whole or not at all."""
    atomic.write_bytes(file, image_of(content))
