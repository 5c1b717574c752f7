"""Where results may go: never over a file that nobody asked to replace, and never found out after the work."""

import os
import tempfile
from pathlib import Path

from frl_env.errors import UserError, shorten

PATH = 300
"""Characters of a path that a message quotes."""

LOOKED_AT = 1 << 14
"""Bytes of a file in which its mark must stand."""


def check_new(file: Path, *, force: bool = False, mark: str = "") -> None:
    """Says before any work that a file can't be written, or would replace what is not ours.

    Args:
        file: What is to be written.
        force: Whether whatever has the name may be replaced.
        mark: Text near the beginning of a file by which the same program knows one of its own; such a file may be
            replaced. Empty: none may.

    Raises:
        UserError: If so.
    """
    try:
        check_folder(file)
        if file.exists() and not force and not (mark and _has_mark(file, mark)):
            way_out = "choose another name" if mark else "choose another name, or add --force to replace it"
            raise UserError(f"{file} exists already{' and was not written by this command' if mark else ''}; {way_out}")
    except (OSError, ValueError) as problem:  # a name too long, or with a null character
        if isinstance(problem, UserError):
            raise
        raise UserError(f"can't write {str(file)[:80]!r} ({_reason(problem)}); choose another name") from None


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
    with file.open("rb") as source:
        return mark.encode() in source.read(LOOKED_AT)


def _reason(problem: Exception) -> str:
    return getattr(problem, "strerror", None) or "impossible name"
