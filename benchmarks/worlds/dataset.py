"""Minari datasets of the small worlds, each from a recipe: world, rows, seed. Built when missing."""

import importlib.metadata

import minari
from gymnasium.envs.registration import EnvSpec

from benchmarks.worlds.built_dataset import Contents, ensure_built
from benchmarks.worlds.environment import WorldEnv
from benchmarks.worlds.episodes import log_rows, references
from benchmarks.worlds.registry import world_entry


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
        UserError: If there is no such world, or as `ensure_built` says.
    """
    entry = world_entry(name)
    recipe = {"world": name, "rows": rows or entry.rows, "seed": seed, "version": entry.version}
    if entry.packages:
        entry.make()  # says how to install them
        recipe |= {package: importlib.metadata.version(package) for package in entry.packages}

    def contents() -> Contents:
        env = WorldEnv(name)
        episodes = log_rows(env.world, rows=recipe["rows"], seed=seed)
        valued_on = min(1_000, entry.episodes)
        known = references(env.world, episodes=valued_on)
        env_spec = EnvSpec(
            id="SmallWorld-v0",
            entry_point="benchmarks.worlds:make_environment",
            kwargs={"world": name},
            max_episode_steps=env.world.horizon,
        )
        metadata = {
            "description": f"A small world: {entry.title}",
            "algorithm_name": "the world's own logging policy",
            "ref_min_score": known.random,
            "ref_max_score": known.best,
            "num_episodes_average_score": valued_on,
        }
        if entry.packages:
            metadata["requirements"] = list(entry.packages)
        return Contents([episodes], env.observation_space, env.world.space, env_spec, metadata)

    return ensure_built(world_dataset_id(name, seed=seed, rows=rows), recipe, contents)
