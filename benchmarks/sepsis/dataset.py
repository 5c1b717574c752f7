"""A Minari dataset of ICU-Sepsis under the clinicians' policy, from a seeded recipe, built when missing."""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Sequence
from typing import Any

import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec
from minari.dataset.minari_storage import MinariStorage

from benchmarks.sepsis.environment import MAX_STEPS, SEPSIS_ACTIONS, SepsisTables, observation_space
from frl_env.datasets import Episodes, dataset_place, open_dataset
from frl_env.datasets.hdf5 import episode_columns, join_shards, write_shard
from frl_env.datasets.placing import building_folder, check_own, has_dataset, lock, make_room, put_in_place
from frl_env.errors import UserError
from frl_env.files.integrity import KEY as CHECKSUMS
from frl_env.files.integrity import REWARD_LIMITS, file_facts

SHARD = 2_000
"""Episodes padded to one length and written at once."""


def sepsis_dataset_id(episodes: int) -> str:
    """Name of the dataset of so many episodes."""
    return f"icu-sepsis/expert-{episodes}-v0"


def ensure_sepsis_dataset(tables: SepsisTables, *, episodes: int) -> minari.MinariDataset:
    """Loads the dataset of so many episodes from Minari's store, and builds it first when it is missing.

    Raises:
        UserError: If the one in the store is damaged or of another recipe, or the store can't be written.
    """
    dataset_id = sepsis_dataset_id(episodes)
    recipe = {
        "policy": "expert",
        "episodes": episodes,
        "seed": 0,
        "shard": SHARD,
        "icu_sepsis": importlib.metadata.version("icu-sepsis"),
    }
    try:
        with lock(dataset_id):
            if not has_dataset(dataset_id):
                _build(tables, recipe, dataset_id)
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


def collect_sepsis(tables: SepsisTables, *, episodes: int, seed: int | Sequence[int]) -> Episodes:
    """Episodes under the clinicians' policy; their infos hold the state and the propensity of the action before."""
    states, joints, lengths = tables.roll_out(tables.expert, episodes=episodes, seed=seed)
    ending = states[np.arange(episodes), lengths]
    rewards = np.zeros(joints.shape, dtype=np.float32)
    # The reward of the only step that has one, given where it led: tables.rewards is its mean.
    rewards[np.arange(episodes), lengths - 1] = ending == tables.survival
    propensities = np.ones((*states.shape, 1), dtype=np.float32)
    propensities[:, 1:, 0] = tables.expert[states[:, :-1], joints]
    return Episodes(
        observations=tables.observations[states],
        actions=SEPSIS_ACTIONS.unravel(joints),
        rewards=rewards,
        lengths=lengths,
        terminated=ending >= tables.living,
        information={"state": states[:, :, None], "propensity": propensities},
    )


def _build(tables: SepsisTables, recipe: dict[str, Any], dataset_id: str) -> None:
    """Writes the dataset beside its place and renames it when it is whole; the lock must be held."""
    check_own(dataset_id)
    place, building = dataset_place(dataset_id), building_folder(dataset_id, recipe)
    try:
        make_room(building, place)
        data = building / "data"
        shutil.rmtree(data, ignore_errors=True)  # a killed build may have left it half-finished
        data.mkdir()
        shards, steps, digest = [], 0, hashlib.sha256()
        for number, first in enumerate(range(0, recipe["episodes"], SHARD)):
            members = min(SHARD, recipe["episodes"] - first)
            part = collect_sepsis(tables, episodes=members, seed=(recipe["seed"], number))
            shards.append(building / f"shard-{number}.hdf5")
            write_shard(shards[-1], episode_columns(part), first=first, content="")
            steps += int(part.lengths.sum())
            for array in (part.observations, part.actions, part.rewards, part.lengths):
                digest.update(np.ascontiguousarray(array).tobytes())
        storage = MinariStorage.new(
            data,
            observation_space=observation_space(tables.observations),
            action_space=SEPSIS_ACTIONS.gym_space(),
            env_spec=EnvSpec(
                id="ICUSepsisMeasurements-v0",
                entry_point="benchmarks.sepsis:make_environment",
                max_episode_steps=MAX_STEPS,
            ),
            data_format="hdf5",
        )
        join_shards(shards, data / "main_data.hdf5", progress=lambda done: None)
        storage.update_metadata(
            {
                "dataset_id": dataset_id,
                "description": "ICU-Sepsis (Choudhary et al., 2024) under the clinicians' policy",
                "algorithm_name": "expert policy of the package icu-sepsis",
                "minari_version": importlib.metadata.version("minari"),
                "requirements": ["icu-sepsis"],
                "frl_recipe": recipe,
                "frl_content_sha256": digest.hexdigest(),
                "frl_action_schema": json.loads(SEPSIS_ACTIONS.to_json()),
                CHECKSUMS: file_facts(data, ["main_data.hdf5"]),
                REWARD_LIMITS: [0.0, 1.0],
                "ref_min_score": tables.references["random"],
                "ref_max_score": tables.references["optimal"],
                "num_episodes_average_score": 0,
                "total_episodes": recipe["episodes"],
                "total_steps": steps,
            }
        )
        storage.update_metadata({"dataset_size": storage.get_size()})
        put_in_place((building, place))
    finally:
        shutil.rmtree(building, ignore_errors=True)
