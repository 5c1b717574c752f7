"""A disk that is full from some moment on, and renames that fail: for what is written all or not at all."""

import errno
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from frl_env.errors import UserError

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


@dataclass
class Disk:
    """Where, and at the how-many-th file that is opened for writing (or renamed) it is full."""

    folder: str
    moment: int
    renames: bool
    code: int = errno.ENOSPC
    hit: bool = False

    def at(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "os.mkdir" or (
            event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        )  # fmt: skip
        changes = event in ("os.rename", "os.remove", "os.rmdir", "os.truncate", "os.utime", "os.chmod")
        concerned = event == "os.rename" if self.renames else opens or (changes and self.code == errno.EROFS)
        if not concerned or not str(arguments[0]).startswith(self.folder):
            return
        self.moment -= 1
        # Renames take no space: one may fail, and be undone.
        if self.moment == 0 or (self.moment < 0 and not self.renames):
            self.hit = True
            raise OSError(self.code, os.strerror(self.code), str(arguments[0]))


_disks: list[Disk] = []
sys.addaudithook(lambda event, arguments: _disks[-1].at(event, arguments) if _disks else None)


@contextmanager
def full(folder: Path, moment: int, *, renames: bool) -> Iterator[Disk]:
    _disks.append(Disk(str(folder), moment, renames))
    try:
        yield _disks[-1]
    finally:
        _disks.pop()


@contextmanager
def read_only(folder: Path) -> Iterator[Disk]:
    """Nothing below the folder can be opened for writing, made, renamed or removed, also not by the superuser."""
    disk = Disk(str(folder), 1, renames=False, code=errno.EROFS)
    _disks.append(disk)
    try:
        yield disk
    finally:
        _disks.remove(disk)


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder, hidden ones, too."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


def check_all_or_none(write: Callable[[int], object], folder: Path, *, least: int) -> None:
    """Writes again and again, the disk being full at each moment once: all is as before, until all is new.

    Args:
        write: Writes something else for every number; once before, so that there is something to lose.
        folder: All that it writes to.
        least: Files that it opens for writing, and files that it gives their names, at the least.
    """
    write(0)
    number = 0
    for renames in (False, True):
        for moment in range(1, 1_000):
            number += 1
            before = contents(folder)
            with full(folder, moment, renames=renames) as disk:
                done = _tried(write, number)
            if not disk.hit:
                assert done
                changed = {name for name, content in contents(folder).items() if before.get(name) != content}
                assert changed, "the writer writes something else each time"
                break
            if not done:
                assert contents(folder) == before, f"moment {moment}"
        assert moment > least


def _tried(write: Callable[[int], object], number: int) -> bool:
    try:
        write(number)
    except (UserError, OSError) as problem:
        if "No space left" not in str(problem):
            raise
        return False
    return True
