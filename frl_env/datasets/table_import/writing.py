"""Write an imported dataset, partition by partition, each kept once it is whole, and finish it."""

import importlib.metadata
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import gymnasium
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from minari.dataset.minari_storage import MinariStorage

from frl_env.datasets.behind import Behind
from frl_env.datasets.hdf5 import link_shards, shard_image
from frl_env.datasets.hdf5_copies import Scratch
from frl_env.datasets.table_import.episodes import Recorded
from frl_env.datasets.table_import.flat import FlatFiles
from frl_env.datasets.table_import.schema.columns import MEMBER, ColumnMap
from frl_env.files import atomic
from frl_env.files.integrity import KEY, content_of, facts_of, file_facts


@dataclass(kw_only=True)
class Draft:
    """A dataset that is being written.

    Args:
        folder: Where; becomes the dataset's `data` folder.
        columns: What the observations and actions are.
        identifiers: Type of the members' identifiers if a file is to say which number stands for whom, else None.
        progress: Called with the number of partitions written.
    """

    folder: Path
    columns: ColumnMap
    identifiers: pa.DataType | None
    progress: Callable[[int], None]

    def __post_init__(self) -> None:
        """Finds out what was completed before."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.done: list[dict[str, Any]] = []
        while (mark := self._mark(len(self.done))).exists():
            self.done.append(json.loads(mark.read_text()))
        rows = self.done[-1]["flat_rows"] if self.done else {}
        self.flat = FlatFiles(self.folder / "flat", len(self.columns.states), rows)

    def total(self, what: str) -> int:
        """Rows, members, episodes or steps so far."""
        return sum(part[what] for part in self.done)

    def __enter__(self) -> Self:
        """Starts the threads that write."""
        self._scratch = Scratch()
        with ExitStack() as started:
            self._shards, self._others = (started.enter_context(Behind()) for _ in range(2))
            self._started = started.pop_all()
        return self

    def __exit__(self, *problem: Any) -> None:
        """Waits until all is written."""
        del self._scratch
        self._started.__exit__(*problem)

    def add(self, recorded: Recorded) -> None:
        """Writes the next partition, in threads of their own; within the context.

        Raises:
            OSError: If the one before can't be written.
        """
        number, first = len(self.done), self.total("episodes")
        part: dict[str, Any] = {
            "first": first,
            "rows": recorded.rows,
            "episodes": len(recorded.lengths),
            "steps": len(recorded.rewards),
            "members": len(recorded.identifiers),
        }
        image = (
            shard_image(recorded.minari(), first=first, content="", scratch=self._scratch) if part["episodes"] else b""
        )
        written = self._shards(atomic.write_bytes, self._shard(number), image) if image else None
        self._others(self._keep, number, part, recorded, image, written)
        self.done.append(part)
        self.progress(len(self.done))

    def _keep(
        self, number: int, part: dict[str, Any], recorded: Recorded, image: bytes, written: Future[None] | None
    ) -> None:
        """Writes what is beside a shard, and then that the partition is whole.

        Raises:
            OSError: If it can't be written.
        """
        if written is not None:
            part["shard"] = facts_of(image)
            self.flat.append(recorded.flat(self.columns.actions.nvec))
        if self.identifiers is not None:
            pq.write_table(pa.table({MEMBER: recorded.identifiers}), self._identifiers(number))
        if written is not None:
            written.result()
        part["flat_rows"] = dict(self.flat.rows)
        atomic.write_text(self._mark(number), json.dumps(part))

    def finish(self, metadata: dict[str, Any]) -> None:
        """Makes the folder a Minari dataset.

        Args:
            metadata: Its description.

        Raises:
            OSError: If it can't be written.
        """
        shards = [(self._shard(i), part["first"], part["episodes"]) for i, part in enumerate(self.done)]
        shards = [shard for shard in shards if shard[2]]
        known = {self._shard(i).name: part["shard"] for i, part in enumerate(self.done) if "shard" in part}
        main = self.folder / "main_data.hdf5"
        flat = self.flat.finish()
        with Behind() as behind:
            of_flat = behind(file_facts, self.folder, flat)
            if len(shards) == 1:
                if shards[0][0].exists():  # else an earlier try went as far as this
                    os.replace(shards[0][0], main)
                known = {main.name: known[shards[0][0].name]}
                files = [main.name]
            else:
                link_shards(shards, main)
                files = [main.name, *(shard.name for shard, *_ in shards)]
            if self.identifiers is not None:
                files.append(self._join_identifiers())
            facts = file_facts(self.folder, [name for name in files if name not in known]) | known | of_flat.result()
        facts = dict(sorted(facts.items()))
        self._describe(
            metadata
            | {
                "minari_version": importlib.metadata.version("minari"),
                "total_episodes": self.total("episodes"),
                "total_steps": self.total("steps"),
                "dataset_size": round(sum(fact["bytes"] for fact in facts.values()) / 1e6, 1),
                "frl_observation_names": list(self.columns.states),
                "frl_action_schema": json.loads(self.columns.actions.to_json()),
                "frl_content_sha256": content_of(facts),
                KEY: facts,
            }
        )

    def _describe(self, metadata: dict[str, Any]) -> None:
        """Writes the metadata as Minari does, beside, because it would also write an empty file of episodes."""
        beside = self.folder.with_name("description")
        shutil.rmtree(beside, ignore_errors=True)
        storage = MinariStorage.new(
            beside,
            observation_space=_observation_space(self.columns),
            action_space=self.columns.actions.gym_space(),
            data_format="hdf5",
        )
        storage.update_metadata(metadata)
        (beside / "metadata.json").replace(self.folder / "metadata.json")
        shutil.rmtree(beside)

    def clean(self) -> None:
        """Removes what only an interrupted import needs."""
        for file in self.folder.glob("partition-*"):
            file.unlink()

    def _join_identifiers(self) -> str:
        """Puts the identifiers of all partitions into one file."""
        target = self.folder / "member_ids.parquet"
        first = 0
        schema = pa.schema([("member", pa.int64()), (MEMBER, self.identifiers)])
        with pq.ParquetWriter(target, schema) as writer:
            for number, part in enumerate(self.done):
                names = pq.read_table(self._identifiers(number)).column(MEMBER).cast(self.identifiers)
                numbers = pa.array(np.arange(first, first + part["members"]))
                writer.write_table(pa.table([numbers, names], schema=schema))
                first += part["members"]
        return target.name

    def _identifiers(self, number: int) -> Path:
        return self.folder / f"partition-{number:03d}.parquet"

    def _mark(self, number: int) -> Path:
        return self.folder / f"partition-{number:03d}.json"

    def _shard(self, number: int) -> Path:
        return self.folder / f"episodes-{number:03d}.hdf5"


def _observation_space(columns: ColumnMap) -> gymnasium.spaces.Box:
    limits = np.array([columns.limit(name) for name in columns.states], dtype=np.float32)
    # Zeros stand for the state after the end, whatever the limits.
    low, high = np.minimum(limits[:, 0], 0), np.maximum(limits[:, 1], 0)
    return gymnasium.spaces.Box(low, high, (len(limits),), np.float32)
