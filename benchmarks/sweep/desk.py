"""The temporary folder of a sweep, and the processes that end with it, however it ends.

Everything temporary of a sweep, also of its worker processes, lies in one folder whose name says whose it is:

    TMPDIR/frl-sweep-<process>-<random>/

A sweep that ends by itself, by Ctrl-C or by SIGTERM removes it. After `kill -9` its workers notice within a second that
their parent is gone, remove the folder and end. Where there were none, the next sweep removes what dead ones left.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from frl_env.atomic import is_alive

PREFIX = "frl-sweep-"

WATCH = 0.5
"""Seconds between two looks at whether the sweep is still there."""


@contextmanager
def desk() -> Iterator[Path]:
    """The temporary folder of this sweep, for as long as it lasts; also where Python puts temporary files meanwhile."""
    place = Path(tempfile.gettempdir())
    _clear(place)
    before = tempfile.tempdir
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=place, ignore_cleanup_errors=True) as folder:
        temporary = Path(folder) / "tmp"
        temporary.mkdir()
        tempfile.tempdir = str(temporary)
        try:
            yield Path(folder)
        finally:
            tempfile.tempdir = before


def sit_down(folder: str, sweep: int) -> None:
    """What a worker process does first: takes the folder for its temporary files, and ends when the sweep is gone.

    Args:
        folder: That `desk` made.
        sweep: Number of the process that started this one.
    """
    tempfile.tempdir = str(Path(folder) / "tmp")
    threading.Thread(target=_end_with, args=(folder, sweep), daemon=True).start()


def _end_with(folder: str, sweep: int) -> None:
    while os.getppid() == sweep:
        time.sleep(WATCH)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _clear(place: Path) -> None:
    """Removes the folders of sweeps that are dead."""
    for folder in place.glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not is_alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
