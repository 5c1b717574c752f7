"""Which files of a folder are the table: no hidden ones, no leftovers, and never rows that were deleted.

Some folders of Parquet files are not tables by themselves: a log beside the files says which of them count, and files
that hold deleted or replaced rows stay for weeks. Read as plain Parquet, members who left the table come back.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote

from frl_env.errors import UserError

NULL_FOLDER = "__HIVE_DEFAULT_PARTITION__"
"""What Hive, Spark and DuckDB write in a folder's name for a missing value."""

NOTHING: Mapping[str, str | None] = MappingProxyType({})


def table_files(path: Path) -> list[Path]:
    """All files of a table, in order of their names; hidden ones, and what Spark leaves beside them, don't count.

    Args:
        path: A file, or a folder of files.

    Raises:
        UserError: If a log decides which of the files count, or whoever writes them is not done.
        OSError: If the folder can't be read.
    """
    _refuse_kept_by_a_log(path, path.resolve().parents)
    if path.is_file():
        return [path]
    found = sorted(path.rglob("*"))
    folders = [path, *(entry for entry in found if entry.is_dir())]
    _refuse_kept_by_a_log(path, folders)
    for folder in folders:
        _refuse_unfinished(path, folder)
    shown = (f for f in found if not any(part.startswith((".", "_")) for part in f.relative_to(path).parts))
    return [file for file in shown if file.is_file()]


def folder_columns(path: Path, file: Path) -> Mapping[str, str | None]:
    """Columns that the folders between a table and one of its files stand for (`year=2024/...`).

    Values are text, as they are written: `county=01003` is a county, not the number 1003.

    Args:
        path: The table.
        file: One of its files.
    """
    if file == path:
        return NOTHING
    pairs = (part.split("=", 1) for part in file.relative_to(path).parts[:-1] if "=" in part)
    return {unquote(name): None if value == NULL_FOLDER else unquote(value) for name, value in pairs}


def _refuse_kept_by_a_log(path: Path, folders: Iterable[Path]) -> None:
    """Says so if a log in one of these folders decides which files count."""
    for folder in folders:
        name = _table_format(folder)
        if name is not None:
            raise UserError(
                f"{path} is (part of) {name}: its log says which files count, and files with deleted or replaced rows "
                "lie beside them; write the current version as plain Parquet (with the program that keeps the table) "
                "and import that"
            )


def _table_format(folder: Path) -> str | None:
    """What keeps a log in this folder, if anything does."""
    if (folder / "_delta_log").is_dir():
        return "a Delta table"
    if (folder / ".hoodie").is_dir():
        return "a Hudi table"
    if (folder / "metadata").is_dir() and any((folder / "metadata").glob("*.metadata.json")):
        return "an Iceberg table"
    if (folder / "snapshot").is_dir() and (folder / "manifest").is_dir() and (folder / "schema").is_dir():
        return "a Paimon table"
    if (folder / "_spark_metadata").is_dir():
        return "what a Spark stream writes"
    return None


def _refuse_unfinished(path: Path, folder: Path) -> None:
    """Says so if a job that writes this folder is not done, or has replaced files that are still there."""
    if (folder / "_temporary").is_dir() and not (folder / "_SUCCESS").exists():
        raise UserError(
            f"{path} is not whole: the job that writes it is not done (_temporary); let it end, or run it again"
        )
    started = {file.name.removeprefix("_started_") for file in folder.glob("_started_*")}
    committed = {file.name.removeprefix("_committed_") for file in folder.glob("_committed_*")}
    if started - committed:
        raise UserError(f"{path} is not whole: a write was started and not committed; run it again")
    for one in committed:
        try:
            removed = json.loads((folder / f"_committed_{one}").read_text(encoding="utf-8")).get("removed", [])
        except (ValueError, AttributeError, OSError):
            removed = []
        if any((folder / str(name)).exists() for name in removed):
            raise UserError(
                f"{path} still holds files that a later write removed; clean it up (VACUUM) and import it then"
            )
