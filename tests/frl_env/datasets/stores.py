"""Datasets in a store: two imports that share members, what is in them, and ways to damage and kill."""

import multiprocessing
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from frl_env.datasets import ImportOptions, Recipe, dataset_place, open_dataset
from frl_env.errors import UserError

ID, PARTNER, BUILT = "tests/own-v0", "tests/own-validation-v0", "tests/built-v0"
SPLIT = ImportOptions(validation_share=0.4, keep_identifiers=True)
WHOLE = ImportOptions(keep_identifiers=True)
RECIPE = Recipe(dataset_id=BUILT, description="", members=6, seed=3, horizon=4)
_CONTEXT = multiprocessing.get_context("fork")


def two_tables(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Two tables that share members."""
    made = [folder / "old.parquet", folder / "new.parquet"]
    table[table["member_id"] < 1016].to_parquet(made[0])
    table[table["member_id"] >= 1006].to_parquet(made[1])
    return made


def members_of(dataset_id: str) -> set[int]:
    return set(pd.read_parquet(dataset_place(dataset_id) / "data/member_ids.parquet")["member_id"])


def facts_of(dataset_id: str) -> dict:
    return open_dataset(dataset_id).storage.metadata["frl_import"]


def flip(file: Path, where: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def in_child(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> int:
    """Exit status of something in a process of its own; 2 for an error meant for people."""

    def run() -> None:
        sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
        before()
        try:
            work()
        except UserError:
            os._exit(2)
        os._exit(0)

    process = _CONTEXT.Process(target=run)
    process.start()
    process.join()
    return process.exitcode or 0
