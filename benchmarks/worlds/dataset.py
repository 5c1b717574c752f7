"""Minari datasets of the small worlds, each from a recipe: world, rows, seed. Built when missing."""

import hashlib
import importlib.metadata
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_storage import MinariStorage

from benchmarks.worlds.environment import WorldEnv
from benchmarks.worlds.episodes import log_rows, references
from benchmarks.worlds.registry import world_entry
from frl_env.datasets import dataset_place
from frl_env.datasets.hdf5 import episode_columns, join_shards, write_shard
from frl_env.errors import UserError


def world_dataset_id(name: str, *, seed: int, rows: int | None = None) -> str:
    """Name of the dataset; `rows` where they are others than the world's own."""
    size = f"-{rows}-rows" if rows is not None and rows != world_entry(name).rows else ""
    return f"worlds/{name}{size}-seed{seed}-v{world_entry(name).version}"


def ensure_world_dataset(name: str, *, seed: int = 0, rows: int | None = None) -> minari.MinariDataset:
    """Loads the dataset of a world from Minari's store, and builds it first when it is missing.

    Args:
        name: Of the world.
        seed: Of what is logged; the world itself is the same for every seed.
        rows: Instead of the world's own number.

    Raises:
        UserError: If there is no such world, or the dataset in the store is damaged or of another recipe.
    """
    entry = world_entry(name)
    recipe = {"world": name, "rows": rows or entry.rows, "seed": seed, "version": entry.version}
    if entry.packages:
        entry.make()  # says how to install them
        recipe |= {package: importlib.metadata.version(package) for package in entry.packages}
    dataset_id = world_dataset_id(name, seed=seed, rows=rows)
    place = dataset_place(dataset_id)
    try:
        if not place.exists():
            _build(recipe, dataset_id, place)
        dataset = minari.load_dataset(dataset_id)
    except (OSError, ValueError, KeyError, AssertionError) as problem:
        reason = str(problem).partition("\n")[0] or type(problem).__name__
        raise UserError(
            f"dataset {dataset_id!r} can't be built or read ({reason}); run 'frl delete {dataset_id}' and try again"
        ) from problem
    if dataset.storage.metadata.get("frl_recipe") != recipe:
        raise UserError(
            f"dataset {dataset_id!r} is of another recipe; run 'frl delete {dataset_id}' to have it rebuilt"
        )
    return dataset


def _build(recipe: dict[str, Any], dataset_id: str, place: Path) -> None:
    """Writes the dataset beside its place and renames it when it is whole."""
    entry = world_entry(recipe["world"])
    env = WorldEnv(recipe["world"])
    episodes = log_rows(env.world, rows=recipe["rows"], seed=recipe["seed"])
    valued_on = min(1_000, entry.episodes)
    known = references(env.world, episodes=valued_on)
    digest = hashlib.sha256()
    for array in (episodes.observations, episodes.actions, episodes.rewards, episodes.lengths):
        digest.update(np.ascontiguousarray(array).tobytes())
    place.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{place.name}.building-", dir=place.parent))
    try:
        shard = building / "shard-0.hdf5"
        write_shard(shard, episode_columns(episodes), first=0, content="")
        (building / "data").mkdir()
        storage = MinariStorage.new(
            building / "data",
            observation_space=env.observation_space,
            action_space=env.action_space,
            env_spec=EnvSpec(
                id="SmallWorld-v0",
                entry_point="benchmarks.worlds:make_environment",
                kwargs={"world": recipe["world"]},
                max_episode_steps=env.world.horizon,
            ),
            data_format="hdf5",
        )
        join_shards([shard], building / "data" / "main_data.hdf5", progress=lambda done: None)
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "description": f"A small world: {entry.title}",
                "algorithm_name": "the world's own logging policy",
                "minari_version": importlib.metadata.version("minari"),
                "frl_recipe": recipe,
                "frl_content_sha256": digest.hexdigest(),
                "frl_action_schema": json.loads(env.world.space.to_json()),
                "ref_min_score": known.random,
                "ref_max_score": known.best,
                "num_episodes_average_score": valued_on,
                "total_episodes": len(episodes),
                "total_steps": int(episodes.lengths.sum()),
            }
            | ({"requirements": list(entry.packages)} if entry.packages else {})
        )
        storage.update_metadata({"dataset_size": storage.get_size()})
        marker = place.parent / "namespace_metadata.json"
        if not marker.exists():
            marker.write_text("{}")
        building.chmod(0o755)
        building.rename(place)
    finally:
        shutil.rmtree(building, ignore_errors=True)
