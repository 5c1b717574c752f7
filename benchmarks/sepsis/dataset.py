"""A Minari dataset of ICU-Sepsis under the clinicians' policy, from a seeded recipe, built when missing."""

import importlib.metadata
from collections.abc import Sequence

import minari
import numpy as np
from gymnasium.envs.registration import EnvSpec

from benchmarks.sepsis.environment import MAX_STEPS, SEPSIS_ACTIONS, SepsisTables, observation_space
from benchmarks.worlds.built_dataset import Contents, ensure_built
from frl_env.datasets import Episodes
from frl_env.files.integrity import REWARD_LIMITS

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
    recipe = {
        "policy": "expert",
        "episodes": episodes,
        "seed": 0,
        "shard": SHARD,
        "icu_sepsis": importlib.metadata.version("icu-sepsis"),
    }

    def contents() -> Contents:
        parts = (
            collect_sepsis(tables, episodes=min(SHARD, episodes - first), seed=(recipe["seed"], number))
            for number, first in enumerate(range(0, episodes, SHARD))
        )
        env_spec = EnvSpec(
            id="ICUSepsisMeasurements-v0",
            entry_point="benchmarks.sepsis:make_environment",
            max_episode_steps=MAX_STEPS,
        )
        metadata = {
            "description": "ICU-Sepsis (Choudhary et al., 2024) under the clinicians' policy",
            "algorithm_name": "expert policy of the package icu-sepsis",
            "requirements": ["icu-sepsis"],
            REWARD_LIMITS: [0.0, 1.0],
            "ref_min_score": tables.references["random"],
            "ref_max_score": tables.references["optimal"],
            "num_episodes_average_score": 0,
        }
        return Contents(parts, observation_space(tables.observations), SEPSIS_ACTIONS, env_spec, metadata)

    return ensure_built(sepsis_dataset_id(episodes), recipe, contents)


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
