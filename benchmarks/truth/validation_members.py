"""Members of a validation dataset, and the propensities of their decisions: read or estimated once a worker."""

from functools import lru_cache
from typing import Any

import numpy as np

from frl_env.datasets import ensure_dataset
from frl_env.evaluation import LoggedEpisodes, load_episodes
from frl_env.evaluation.propensities import estimate_propensities

SEED = 911
"""Of folds, draws and resamples: the same for every policy."""


@lru_cache(maxsize=1)
def episodes_of(validation_id: str) -> LoggedEpisodes:
    """Episodes of a validation dataset."""
    return load_episodes(ensure_dataset(validation_id))


@lru_cache(maxsize=1)
def propensities_of(validation_id: str) -> Any:
    """Propensities of a validation dataset's decisions: "logged", or estimated ones as an array."""
    episodes = episodes_of(validation_id)
    if episodes.propensities is not None:
        return "logged"
    return estimate_propensities(episodes, rng=np.random.default_rng(SEED)).logged
