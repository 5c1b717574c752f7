"""Where results may go: never over a file that nobody asked to replace, and never found out after the work.

One rule for every command: a file that exists is replaced only with `--force`. A report is replaced without it where
the same command wrote the old one, which it knows by a mark.
"""

import os
import tempfile
from itertools import permutations
from pathlib import Path

from frl_env.errors import UserError, shorten

PATH = 300
"""Characters of a path that a message quotes."""

LOOKED_AT = 1 << 14
"""Bytes at either end of a file in which its mark must stand."""


FORCED_REPORT = "Replace a file of that name, even one that this command did not write."
"""Help of `--force` where a command writes a report."""


def check_new(file: Path, *, force: bool = False, mark: str = "") -> None:
    """Says before any work that a file can't be written, or would replace what is not ours.

    Args:
        file: What is to be written.
        force: Whether whatever has the name may be replaced.
        mark: Text near the beginning or the end of a file by which the same program knows one of its own; such a file
            may be replaced. Empty: none may.

    Raises:
        UserError: If so.
    """
    try:
        check_folder(file)
        if file.exists() and not force and not (mark and _has_mark(file, mark)):
            raise UserError(
                f"{file} exists already{' and was not written by this command' if mark else ''}; choose another name, "
                "or add --force to replace it"
            )
    except (OSError, ValueError) as problem:  # a name too long, or with a null character
        if isinstance(problem, UserError):
            raise
        raise UserError(f"can't write {str(file)[:80]!r} ({_reason(problem)}); choose another name") from None


def check_apart(**files: Path | None) -> None:
    """Says before any work that two options name one file to write, or that one file is the folder of another.

    Args:
        files: By option, with "_" for "-"; None where nothing is written.

    Raises:
        UserError: If so.
    """
    named = {f"--{option.replace('_', '-')}": file for option, file in files.items() if file is not None}
    for (first, one), (second, other) in permutations(named.items(), 2):
        place = other.resolve()
        if one.resolve() in (place, *place.parents):
            raise UserError(
                f"{first} {shorten(str(one), PATH)} and {second} {shorten(str(other), PATH)} can't both be written; "
                "name another place for one of them"
            )


def check_folder(file: Path) -> None:
    """Says before any work that the folder of a file is not there or can't be written, or that the file is a folder.

    Raises:
        UserError: If so.
        OSError: If the name is impossible.
    """
    if file.is_dir() or not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
        raise UserError(
            f"can't write {shorten(str(file), PATH)}; name a file in a folder that exists and can be written"
        )
    file.exists()  # raises for a name that is too long
    with tempfile.NamedTemporaryFile(dir=file.parent):  # and this where only the system knows that nothing can be made
        pass


def _has_mark(file: Path, mark: str) -> bool:
    if not file.is_file():  # a pipe, which would be waited for
        return False
    with file.open("rb") as source:
        start = source.read(LOOKED_AT)
        source.seek(max(0, file.stat().st_size - LOOKED_AT))
        return mark.encode() in start or mark.encode() in source.read()


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or "impossible name"
