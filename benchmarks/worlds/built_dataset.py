"""A Minari dataset of a problem that is not ours, from a recipe: built when the store has none, whole or not at all."""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import gymnasium
import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_storage import MinariStorage

from frl_env.actions import ActionSpace
from frl_env.datasets import Episodes, dataset_place, open_dataset
from frl_env.datasets.hdf5 import episode_columns, join_shards, write_shard
from frl_env.datasets.placing import building_folder, check_own, has_dataset, lock, make_room, put_in_place
from frl_env.errors import UserError
from frl_env.files.integrity import KEY as CHECKSUMS
from frl_env.files.integrity import file_facts


class Contents(NamedTuple):
    """What a dataset is made of.

    Attributes:
        parts: Its episodes; those of a part are padded to one length and written at once.
        observation_space: Of its environment.
        actions: Of its environment.
        env_spec: How that is made.
        metadata: What else Minari is to know of it.
    """

    parts: Iterable[Episodes]
    observation_space: gymnasium.spaces.Box
    actions: ActionSpace
    env_spec: EnvSpec
    metadata: Mapping[str, Any]


def ensure_built(dataset_id: str, recipe: dict[str, Any], contents: Callable[[], Contents]) -> minari.MinariDataset:
    """Loads a dataset from Minari's store, and builds it first when it is missing.

    Args:
        dataset_id: Its id.
        recipe: All that its content depends on, JSON-able.
        contents: Makes what the recipe says; called only where it is missing.

    Raises:
        UserError: If the one in the store is damaged or of another recipe, or the store can't be written.
    """
    try:
        with lock(dataset_id):
            if not has_dataset(dataset_id):
                _build(dataset_id, recipe, contents())
    except OSError as problem:
        raise UserError(
            f"dataset {dataset_id!r} can't be built ({problem.strerror or problem}); free space, or check permissions"
        ) from problem
    try:
        dataset = open_dataset(dataset_id)
    except UserError as problem:
        said = str(problem).partition(";")[0]
        raise UserError(
            f"{said}; run 'frl delete {dataset_id}', or move {dataset_place(dataset_id)} away, and try again"
        ) from problem
    if dataset.storage.metadata.get("frl_recipe") != recipe:
        raise UserError(
            f"dataset {dataset_id!r} is of another recipe; run 'frl delete {dataset_id}' to have it rebuilt"
        )
    return dataset


def _build(dataset_id: str, recipe: dict[str, Any], contents: Contents) -> None:
    """Writes the dataset beside its place and renames it when it is whole; the lock must be held."""
    check_own(dataset_id)
    place, building = dataset_place(dataset_id), building_folder(dataset_id, recipe)
    try:
        make_room(building, place)
        data = building / "data"
        shutil.rmtree(data, ignore_errors=True)  # a killed build may have left it half-finished
        data.mkdir()
        shards, episodes, steps, digest = [], 0, 0, hashlib.sha256()
        for number, part in enumerate(contents.parts):
            shards.append(building / f"shard-{number}.hdf5")
            write_shard(shards[-1], episode_columns(part), first=episodes, content="")
            episodes += len(part)
            steps += int(part.lengths.sum())
            for array in (part.observations, part.actions, part.rewards, part.lengths):
                digest.update(np.ascontiguousarray(array).tobytes())
        storage = MinariStorage.new(
            data,
            observation_space=contents.observation_space,
            action_space=contents.actions.gym_space(),
            env_spec=contents.env_spec,
            data_format="hdf5",
        )
        join_shards(shards, data / "main_data.hdf5", progress=lambda done: None)
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "minari_version": importlib.metadata.version("minari"),
                "frl_recipe": recipe,
                "frl_content_sha256": digest.hexdigest(),
                "frl_action_schema": json.loads(contents.actions.to_json()),
                CHECKSUMS: file_facts(data, ["main_data.hdf5"]),
                "total_episodes": episodes,
                "total_steps": steps,
                **contents.metadata,
            }
        )
        storage.update_metadata({"dataset_size": storage.get_size()})
        put_in_place((building, place))
    finally:
        shutil.rmtree(building, ignore_errors=True)
