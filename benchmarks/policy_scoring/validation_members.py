"""Members of a validation dataset, and the propensities of their decisions: read or estimated once a worker."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from frl_env.datasets import ensure_dataset
from frl_env.evaluation import LoggedEpisodes, load_with_parts
from frl_env.evaluation.dataset_reading.dataset_facts import VOCABULARIES, facts_of
from frl_env.evaluation.dataset_reading.member_records import ATTRIBUTES
from frl_env.evaluation.nuisances.propensities import estimate_propensities

SEED = 911
"""Of folds, draws and resamples: the same for every policy."""

MOST_GROUPS = 40
"""Of an attribute that is looked at: with more of them, hardly one has enough members to say anything."""

P = ParamSpec("P")
T = TypeVar("T")


def kept_while_unchanged(find: Callable[Concatenate[str, P], T]) -> Callable[Concatenate[str, P], T]:
    """Keeps what was last found of a dataset from one run of a worker to the next, until another has its name."""
    kept: dict[Any, T] = {}

    @wraps(find)
    def found(dataset_id: str, *args: P.args, **kwargs: P.kwargs) -> T:
        metadata = ensure_dataset(dataset_id).storage.metadata
        key = (dataset_id, json.dumps(metadata, sort_keys=True, default=str), args, tuple(sorted(kwargs.items())))
        if key not in kept:
            kept.clear()
            kept[key] = find(dataset_id, *args, **kwargs)
        return kept[key]

    return found


@kept_while_unchanged
def episodes_of(validation_id: str) -> LoggedEpisodes:
    """Episodes of a validation dataset, with the parts of the reward where it has them."""
    return load_with_parts(ensure_dataset(validation_id))


@kept_while_unchanged
def propensities_of(validation_id: str) -> Any:
    """Propensities of a validation dataset's decisions: "logged", or estimated ones."""
    episodes = episodes_of(validation_id)
    if episodes.propensities is not None:
        return "logged"
    return estimate_propensities(episodes, rng=np.random.default_rng(SEED))


def attributes_of(dataset: Any) -> list[str]:
    """What members are grouped by: attributes of the published schema that are there, then others that an import named.

    Args:
        dataset: A `minari.MinariDataset`.
    """
    known = next(iter(dataset.iterate_episodes())).infos or {}
    groups = facts_of(dataset).get(VOCABULARIES, {})
    others = [name for name in groups if name in known and name not in ATTRIBUTES and len(groups[name]) <= MOST_GROUPS]
    return [*(name for name in ATTRIBUTES if name in known), *others]
