"""Whether a dataset is still what was written: checksums of its files, and limits of its numbers.

The metadata of a dataset hold size and SHA-256 of every file (`frl_files`), and what its rewards may be
(`frl_reward_limits`). Whatever reads a dataset compares them first. A comparison reads every byte, so its outcome is
kept beside the data (`.checked`) with the size, the times and the number (inode) of each file: as long as these are the
same, the file is not read again. The limits are a second fence, for datasets without checksums and for faults that were
there before the checksums were made.
"""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float

from frl_env.errors import UserError
from frl_env.files import atomic

KEY = "frl_files"
"""Entry of the metadata: name of each file to its size and SHA-256."""

REWARD_LIMITS = "frl_reward_limits"
"""Entry of the metadata: smallest and largest reward that can be."""

MEMORY = ".checked"
"""File beside the data that says which files were compared."""

BESIDE = ".sha256"
"""What the name of a file ends in that keeps the checksum of another."""

RECENT = 2.0
"""Seconds for which a file counts as fresh: it might change again within one tick of the file system's clock."""

PIECE = 1 << 22
"""Bytes of a file that are read at a time."""

SLACK = 1e-5
"""Part of a limit by which float32 may miss it."""

Progress = Callable[[int, int], None]
"""Called with (files done, files in all)."""


def file_facts(folder: Path, files: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of files in a folder, by name.

    Raises:
        OSError: If one can't be read.
    """
    return {name: {"bytes": (folder / name).stat().st_size, "sha256": sha256(folder / name)} for name in sorted(files)}


def facts_of(content: bytes) -> dict[str, Any]:
    """Size and SHA-256 of what is to be written as a file."""
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def content_of(facts: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 over those of all files."""
    return hashlib.sha256(
        json.dumps({name: f["sha256"] for name, f in facts.items()}, sort_keys=True).encode()
    ).hexdigest()


def sha256(file: Path) -> str:
    """SHA-256 of a file, read piece by piece; large ones, because each waits for other threads to let go of Python."""
    digest = hashlib.sha256()
    piece = bytearray(min(PIECE, file.stat().st_size))
    with file.open("rb", buffering=0) as source:
        while read := source.readinto(piece):
            digest.update(memoryview(piece)[:read])
    return digest.hexdigest()


def checksum_beside(name: str, content: bytes) -> dict[str, bytes]:
    """A file that keeps the SHA-256 of one that can't hold it itself, by its name; `sha256sum --check` reads it."""
    return {f"{name}{BESIDE}": f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()}


def check_beside(file: Path) -> None:
    """Compares a file with the SHA-256 that is kept beside it; without one there is nothing to compare.

    Raises:
        UserError: If it differs.
        OSError: If it can't be read.
    """
    beside = file.with_name(f"{file.name}{BESIDE}")
    if beside.exists() and beside.read_bytes().split()[:1] != [sha256(file).encode()]:
        raise UserError(f"{file} is damaged: it is not what {beside.name} beside it was written for; make it again")


def check_intact(dataset: Any, *, remedy: str = "", anew: bool = False, progress: Progress | None = None) -> bool:
    """Compares the files of a dataset with the checksums kept when it was made.

    Args:
        dataset: A `minari.MinariDataset`.
        remedy: What to do about a damaged one, for the message.
        anew: Read every file, also those that were compared before and have not been touched since.
        progress: Called as files are read.

    Returns:
        Whether there was something to compare; datasets of other people have no checksums, and those to which Minari
        added episodes no longer any that hold.

    Raises:
        UserError: If a file is missing or differs.
    """
    metadata = dataset.storage.metadata
    facts = metadata.get(KEY, {})
    if not facts or has_grown(metadata):
        return False
    damage = damaged_file(Path(dataset.storage.data_path), facts, anew=anew, progress=progress)
    if damage:
        file, why = damage
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} is damaged: {file} {why}; {remedy or 'build or import it again'}"
        )
    return True


def damaged_file(
    folder: Path, facts: Mapping[str, Mapping[str, Any]], *, anew: bool, progress: Progress | None = None
) -> tuple[str, str] | None:
    """The first file that is not what was written, and why not; None if all are.

    Args:
        folder: Where the files are.
        facts: What `file_facts` said of them.
        anew: Read every file, whatever was compared before.
        progress: Called as files are read.
    """
    memory = _Memory(folder.parent / MEMORY)
    try:
        for done, (name, fact) in enumerate(facts.items(), start=1):
            file = folder / name
            try:
                if file.stat().st_size != fact["bytes"] or memory.sha256(file, anew=anew) != fact["sha256"]:
                    return name, "was changed since it was written"
            except OSError:
                return name, "is missing or can't be read"
            if progress is not None:
                progress(done, len(facts))
    finally:
        memory.keep()
    return None


def has_grown(metadata: Mapping[str, Any]) -> bool:
    """Whether Minari added episodes to a dataset after it was made, so that what was kept of its files is of before."""
    recipe = metadata.get("frl_recipe", {})
    written = metadata.get("frl_import", {}).get("episodes", recipe.get("members", recipe.get("episodes")))
    return written is not None and metadata.get("total_episodes") != written


def check_limits(
    dataset: Any, observations: Float[np.ndarray, "row measure"], rewards: Float[np.ndarray, "row"]
) -> None:
    """Says so when a number of a dataset of ours can't be; datasets of other people set limits that don't bind.

    Args:
        dataset: A `minari.MinariDataset`.
        observations: In raw units.
        rewards: Of each step.

    Raises:
        UserError: Says how many numbers, never which.
    """
    metadata = dataset.storage.metadata
    limits = [("rewards", np.asarray(rewards), *(metadata.get(REWARD_LIMITS) or (-np.inf, np.inf)))]
    space = metadata["observation_space"]
    if isinstance(space, gymnasium.spaces.Box) and not metadata.keys().isdisjoint(("frl_import", "frl_recipe")):
        limits.append(("observations", np.asarray(observations), space.low, space.high))
    for name, values, low, high in limits:
        low, high = np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
        # NaN is below no limit, and others look for it.
        outside = int(((values < low - SLACK * np.abs(low)) | (values > high + SLACK * np.abs(high))).sum())
        if outside:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} is damaged: {outside:,} of its {name} lie outside what is "
                "possible; build or import it again"
            )


class _Memory:
    """Which files were compared, with what tells them from changed ones.

    Args:
        file: Where that is kept.
    """

    def __init__(self, file: Path) -> None:
        """Reads it, if it is there and whole."""
        self._file = file
        self._known: dict[str, list[Any]] = {}
        self._changed = False
        with suppress(OSError, ValueError, AttributeError):
            self._known = dict(json.loads(file.read_text(encoding="utf-8")).items())

    def sha256(self, file: Path, *, anew: bool) -> str:
        """SHA-256 of a file, from memory where it was not touched.

        Raises:
            OSError: If it can't be read.
        """
        name = file.relative_to(self._file.parent).as_posix()
        before = _signs(file.stat())
        known = self._known.get(name)
        if not anew and isinstance(known, list) and known[:-1] == before:
            return str(known[-1])
        digest = sha256(file)
        after = file.stat()
        settled = _signs(after) == before and time.time() - after.st_mtime > RECENT
        if settled and known != [*before, digest]:
            self._known[name] = [*before, digest]
            self._changed = True
        return digest

    def keep(self) -> None:
        """Writes it down, where that is possible."""
        if self._changed:
            with suppress(OSError):
                atomic.write_text(self._file, json.dumps(self._known, indent=1))


def _signs(facts: os.stat_result) -> list[int]:
    """What changes when a file does. The time of the last change of state can't be set by hand."""
    return [facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns, facts.st_ino]
