"""How fast data is made, read and sampled, beside Minari's and d3rlpy's own ways.

making      simulate, write HDF5      beside minari.create_dataset_from_buffers, the same episodes
reading     load_replay_buffer        beside Minari's episode by episode and d3rlpy's buffer of them
sampling    FactoredReplayBuffer      beside d3rlpy's ReplayBuffer, the same rows
"""

import os
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import d3rlpy
import minari
import numpy as np
from d3rlpy.constants import ActionSpace as ActionKind
from minari.data_collector import EpisodeBuffer
from rich.console import Console
from rich.table import Table

from benchmarks.speed.timing import Subject, ratio, spread, time_in_turn
from frl_algos import load_replay_buffer
from frl_algos.quiet import quiet_d3rlpy
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, build_dataset

BATCH_SIZE, BATCHES = 256, 200


def data(console: Console, *, members: int = 1_000, repetitions: int = 3) -> None:
    """Times making, reading and sampling a dataset of so many members, in a store of its own."""
    with _own_store(), quiet_d3rlpy():
        recipe = Recipe(dataset_id="throughput/ours-v0", description="to be timed", members=members, seed=0)
        dataset = build_dataset(recipe)
        buffer = load_replay_buffer(dataset)
        stock = _d3rlpy_buffer(dataset)
        pairs = {
            "making, weeks/s": (
                Subject("ours", buffer.transition_count, lambda: build_dataset(recipe, force=True)),
                Subject("theirs", buffer.transition_count, lambda: _write_with_minari(dataset)),
            ),
            "reading, weeks/s": (
                Subject("ours", buffer.transition_count, lambda: load_replay_buffer(dataset)),
                Subject("theirs", buffer.transition_count, lambda: _d3rlpy_buffer(dataset)),
            ),
            f"sampling {BATCH_SIZE}, rows/s": (
                _sampling("ours", buffer),
                _sampling("theirs", stock),
            ),
        }
        table = Table("what", "here", "Minari, d3rlpy", "ratio", title=f"data: {buffer.transition_count:,} weeks")
        for what, pair in pairs.items():
            rates = time_in_turn(pair, repetitions)
            table.add_row(what, spread(rates["ours"]), spread(rates["theirs"]), ratio(rates["ours"], rates["theirs"]))
    table.caption = (
        "Making: here the members are simulated, too; Minari is given them. Reading: d3rlpy's own Minari loader\n"
        "misaligns episodes, so Minari's episodes are handed to d3rlpy's buffer. Range: all repetitions."
    )
    console.print(table)


def _sampling(name: str, buffer: Any) -> Subject:
    def run() -> None:
        for _ in range(BATCHES):
            buffer.sample_transition_batch(BATCH_SIZE)

    return Subject(name, BATCH_SIZE * BATCHES, run)


def _write_with_minari(dataset: minari.MinariDataset) -> None:
    episodes = [
        EpisodeBuffer(
            id=episode.id,
            observations=episode.observations,
            actions=episode.actions,
            rewards=episode.rewards.tolist(),
            terminations=episode.terminations.tolist(),
            truncations=episode.truncations.tolist(),
            infos=episode.infos,
        )
        for episode in dataset.iterate_episodes()
    ]
    name = "throughput/theirs-v0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it misses an author, an environment and so on
        minari.create_dataset_from_buffers(
            name,
            episodes,
            observation_space=dataset.spec.observation_space,
            action_space=dataset.spec.action_space,
            data_format="hdf5",
        )
    minari.delete_dataset(name)


def _d3rlpy_buffer(dataset: minari.MinariDataset) -> d3rlpy.dataset.ReplayBuffer:
    episodes = [
        d3rlpy.dataset.Episode(
            observations=episode.observations[:-1],
            actions=MEDICAID_ACTIONS.ravel(episode.actions)[:, None],
            rewards=episode.rewards[:, None].astype(np.float32),
            terminated=bool(episode.terminations[-1]),
        )
        for episode in dataset.iterate_episodes()
    ]
    return d3rlpy.dataset.ReplayBuffer(
        d3rlpy.dataset.InfiniteBuffer(),
        episodes=[episode for episode in episodes if episode.transition_count > 0],
        action_space=ActionKind.DISCRETE,
        action_size=MEDICAID_ACTIONS.n_joint,
    )


@contextmanager
def _own_store() -> Iterator[None]:
    before = os.environ.get("MINARI_DATASETS_PATH")
    with tempfile.TemporaryDirectory(prefix="frl-throughput-") as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["MINARI_DATASETS_PATH"]
            else:
                os.environ["MINARI_DATASETS_PATH"] = before
