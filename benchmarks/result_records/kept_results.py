"""Finished results of a study in a folder: done once, found again by all that they depend on.

    RESULTS = Kept("benchmarks.studies.habits")

    values = RESULTS.array(out, "needs-seed0", lambda: train_and_value(...), data=content, steps=3_000, seed=0)

A file's name ends in the `run_key` of the study's code and of the facts given: where either is another one, the result
is made anew. Files are whole or absent, so that a stopped study goes on where it was.
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.run_key import run_key
from frl_env.errors import UserError
from frl_env.files import atomic


@dataclass(frozen=True)
class Kept:
    """What a study keeps.

    Args:
        program: The module whose code, with all that it imports, makes the results: the study itself.
        shown_by: Modules that it imports to sum results up or to draw them; no result depends on them.
        makers: What else makes the results: one of the programs that the study chooses between, see `of`.
    """

    program: str
    shown_by: tuple[str, ...] = ()
    makers: tuple[str | Path, ...] = ()

    def of(self, maker: str | Path, *, chosen_by: str) -> "Kept":
        """Results of one of the programs that a study chooses between: they depend on no other's code.

        Args:
            maker: Module or file of the program.
            chosen_by: The module that imports them all.
        """
        return replace(self, makers=(maker,), shown_by=(*self.shown_by, chosen_by))

    def key(self, *, root: Path = ROOT, **facts: Any) -> str:
        """The `run_key` of a result.

        Args:
            root: The checkout.
            facts: All that it depends on besides code, JSON-able.
        """
        return run_key(self.program, *self.makers, without=self.shown_by, root=root, **facts)

    def file(self, folder: Path, label: str, suffix: str, **facts: Any) -> Path:
        """Path of a result that the study reads and writes itself."""
        return folder / f"{label}-{self.key(**facts)}{suffix}"

    def made(self, folder: Path, label: str, suffix: str, write: Callable[[Path], Any], **facts: Any) -> Path:
        """Path of a result; it is made first if it is missing.

        Args:
            folder: Where results are kept.
            label: How the file's name begins.
            suffix: How it ends.
            write: Makes the result and writes it to the path it is given.
            facts: All that it depends on besides code.

        Raises:
            UserError: If the file can't be written.
        """
        file = self.file(folder, label, suffix, **facts)
        if not file.is_file():
            with _said(file), atomic.whole_file(file) as aside:
                write(aside)
        return file

    def json(self, folder: Path, label: str, make: Callable[[], Any], **facts: Any) -> Any:
        """A result that is JSON-able, made if it is missing; its checksum tells when somebody edits it.

        Args:
            folder: Where results are kept.
            label: How the file's name begins.
            make: Makes the result.
            facts: All that it depends on besides code.

        Raises:
            UserError: If the file is damaged, or can't be written.
        """
        return _read(self.made(folder, label, ".json", lambda file: file.write_bytes(_sealed(make())), **facts))

    def known(self, folder: Path, label: str, **facts: Any) -> Any:
        """What `json` kept; None if it did not."""
        file = self.file(folder, label, ".json", **facts)
        return _read(file) if file.is_file() else None

    def array(self, folder: Path, label: str, make: Callable[[], np.ndarray], **facts: Any) -> np.ndarray:
        """A result that is an array; as `json`."""
        return _read(self.made(folder, label, ".npy", lambda file: np.save(file, make()), **facts), np.load)

    def table(self, folder: Path, label: str, make: Callable[[], pd.DataFrame], **facts: Any) -> pd.DataFrame:
        """A result that is a table; as `json`."""
        file = self.made(folder, label, ".parquet", lambda file: make().to_parquet(file, index=False), **facts)
        return _read(file, pd.read_parquet)


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file, and its folder, whole or not at all.

    Raises:
        UserError: If it can't be written; what was there before stays.
    """
    with _said(file):
        atomic.write_bytes(file, content)


@contextmanager
def _said(file: Path) -> Iterator[None]:
    """Makes the folder; says what can't be written."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as problem:
        raise UserError(f"can't write {file} ({problem.strerror}); free space or choose another folder") from problem


def _read(file: Path, load: Callable[[Path], Any] | None = None) -> Any:
    try:
        return (load or _unsealed)(file)
    except (OSError, ValueError, KeyError, TypeError, EOFError) as problem:
        raise UserError(
            f"{file} is damaged; delete it, and the same command makes it again ({type(problem).__name__})"
        ) from None


def _sealed(result: Any) -> bytes:
    """A result with its checksum: a number that somebody edits is noticed."""
    content = json.dumps(result)
    return (json.dumps({"run": result, "sha256": hashlib.sha256(content.encode()).hexdigest()}) + "\n").encode()


def _unsealed(file: Path) -> Any:
    kept = json.loads(file.read_text(encoding="utf-8"))
    if hashlib.sha256(json.dumps(kept["run"]).encode()).hexdigest() != kept["sha256"]:
        raise ValueError("another checksum")
    return kept["run"]
