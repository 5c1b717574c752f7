"""A table of members on its way into a dataset, and what its tests look at there."""

from pathlib import Path

import minari
import pandas as pd

from frl_env.datasets.table_import import ColumnMap, ImportOptions, import_table

ID = "tests/own-v0"


def write(table: pd.DataFrame, folder: Path) -> Path:
    file = folder / "table.parquet"
    table.to_parquet(file)
    return file


def imported(
    table: pd.DataFrame, folder: Path, dataset_id: str = ID, columns: ColumnMap | None = None, **options
) -> minari.MinariDataset:
    """The dataset of a table, by way of a file in a folder; replaces one that is there."""
    file = write(table, folder)
    return import_table(file, dataset_id, columns=columns, options=ImportOptions(**options), force=True).load()


def facts_of(dataset: minari.MinariDataset) -> dict:
    return dataset.storage.metadata["frl_import"]


def content_of(dataset: minari.MinariDataset) -> str:
    return dataset.storage.metadata["frl_content_sha256"]


def episodes_of(dataset: minari.MinariDataset) -> list:
    return list(dataset.iterate_episodes())
