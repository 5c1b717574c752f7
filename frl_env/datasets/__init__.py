"""Dataset family: recipes (how each is made), collection, and the Minari store."""

from frl_env.datasets.collect import Episodes, collect, generate_synthetic_data
from frl_env.datasets.recipes import RECIPES, Recipe, recipe, replicate
from frl_env.datasets.store import (
    build_dataset,
    check_dataset,
    dataset_place,
    dataset_state,
    delete_dataset,
    ensure_dataset,
    stored_parts,
)

__all__ = [
    "RECIPES",
    "Episodes",
    "Recipe",
    "build_dataset",
    "check_dataset",
    "collect",
    "dataset_place",
    "dataset_state",
    "delete_dataset",
    "ensure_dataset",
    "generate_synthetic_data",
    "recipe",
    "replicate",
    "stored_parts",
]
