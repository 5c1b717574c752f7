"""Dataset family: recipes (how each is made), collection, the Minari store, and tables of your own members."""

from frl_env.datasets.collect import Episodes, collect, generate_synthetic_data
from frl_env.datasets.partners import check_partners
from frl_env.datasets.placing import dataset_place, stored_datasets
from frl_env.datasets.recipes import RECIPES, Recipe, recipe, replicate
from frl_env.datasets.store import (
    build_dataset,
    check_dataset,
    dataset_state,
    delete_dataset,
    ensure_dataset,
    open_dataset,
    stored_parts,
    verify_dataset,
)
from frl_env.datasets.table_import import ColumnMap, Imported, ImportOptions, TableError, export_table, import_table

__all__ = [
    "RECIPES",
    "ColumnMap",
    "Episodes",
    "ImportOptions",
    "Imported",
    "Recipe",
    "TableError",
    "build_dataset",
    "check_dataset",
    "check_partners",
    "collect",
    "dataset_place",
    "dataset_state",
    "delete_dataset",
    "ensure_dataset",
    "export_table",
    "generate_synthetic_data",
    "import_table",
    "open_dataset",
    "recipe",
    "replicate",
    "stored_datasets",
    "stored_parts",
    "verify_dataset",
]
