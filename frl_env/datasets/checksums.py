"""Checksums of a dataset's files, kept in its metadata, so that what is read is what was written."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from frl_env.errors import UserError

KEY = "frl_files"
"""Entry of the metadata: name of each file to its size and SHA-256."""


def file_facts(folder: Path, files: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files in a folder, by name.

    Raises:
        OSError: If one can't be read.
    """
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in sorted(files)}


def content_of(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 over those of all files."""
    return hashlib.sha256(
        json.dumps({name: f["sha256"] for name, f in facts.items()}, sort_keys=True).encode()
    ).hexdigest()


def check_files(
    folder: Path,
    facts: Mapping[str, Mapping[str, Any]],
    *,
    remedy: str,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Says so when a file is not what was written.

    Args:
        folder: Where the files are.
        facts: What `file_facts` said of them.
        remedy: What to do, for the message.
        progress: Called with (files done, files in all).

    Raises:
        UserError: If so.
    """
    for done, (name, fact) in enumerate(facts.items(), start=1):
        try:
            same = (folder / name).stat().st_size == fact["bytes"] and sha256(folder / name) == fact["sha256"]
        except OSError:
            raise UserError(f"{folder / name} is missing or can't be read; {remedy}") from None
        if not same:
            raise UserError(f"{folder / name} is damaged or was changed since it was written; {remedy}")
        if progress is not None:
            progress(done, len(facts))


def sha256(file: Path) -> str:
    """SHA-256 of a file, read piece by piece."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()
