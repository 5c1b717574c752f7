"""Logged members to be looked at once: a dataset of Minari's store, or a table of one's own members.

The one door by which solutions come to the datasets, so that they see what was logged and nothing of how it was made.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minari import MinariDataset

from frl_env.datasets.placing import store_in
from frl_env.datasets.store import check_dataset, ensure_dataset
from frl_env.datasets.table_import import ColumnMap, ImportOptions, import_table
from frl_env.datasets.table_import.table_files.source import FORMATS
from frl_env.errors import UserError, shorten

__all__ = ["ColumnMap", "ImportOptions", "open_members"]

TABLE_ID = "table/members-v0"
"""What a table is called as a dataset."""


@contextmanager
def open_members(
    place: str | os.PathLike[str],
    *,
    columns: ColumnMap | None = None,
    options: ImportOptions | None = None,
    progress: Any = None,
) -> Iterator[MinariDataset]:
    """Opens logged members for as long as they are needed.

    A table is checked and imported as `frl import` does it, into a temporary folder that is gone afterwards; where the
    same table is needed more than once, import it.

    Args:
        place: Id of a dataset in Minari's store, which is built when it is missing and has a recipe; or a Parquet, CSV
            or Arrow file, or a folder of them.
        columns: What a table's columns mean; see `import_table`.
        options: What to do about a table's problems. All of its members are opened.
        progress: Called as an import or a build goes on.

    Raises:
        TableError: If the table has problems; all of them.
        UserError: If there is no such dataset or table, or columns are given for a dataset.
    """
    path = Path(place)
    if not (path.exists() or path.suffix.lower() in FORMATS):
        if columns is not None or options is not None:
            raise UserError(f"{str(place)!r} is no table, so that no columns or options can be given for it")
        yield ensure_dataset(_known(str(place)), progress=progress)
        return
    if options is not None and options.validation_share:
        raise UserError("no validation share can be set here, where all members are looked at")
    with tempfile.TemporaryDirectory(prefix="frl-members-") as folder:
        with store_in(Path(folder)):
            import_table(path, TABLE_ID, columns=columns, options=options, progress=progress)
        yield MinariDataset(Path(folder) / TABLE_ID / "data")


def _known(dataset_id: str) -> str:
    """The id, if there is such a dataset, or it can be built.

    Raises:
        UserError: If not.
    """
    try:
        check_dataset(dataset_id)
    except UserError as problem:
        raise UserError(f"there is no Minari dataset or table {shorten(dataset_id)!r}: {problem}") from None
    return dataset_id
