"""The temporary folder of a sweep, and the processes that end with it, however it ends.

Everything temporary of a sweep, also of its worker processes, lies in one folder whose name says whose it is:

    TMPDIR/frl-sweep-<process>-<random>/

A sweep that ends by itself, by Ctrl-C or by SIGTERM removes it. After `kill -9` its workers notice within a second that
their parent is gone, remove the folder and end. Where there were none, the next sweep removes what dead ones left.
"""

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from frl_env.files.atomic import is_alive, unstoppable

PREFIX = "frl-sweep-"

WHERE = "FRL_SWEEP"
"""Environment variable by which worker processes know whose they are: the sweep's number, and its folder."""

WATCH = 0.5
"""Seconds between two looks at whether the sweep is still there."""


@contextmanager
def desk() -> Iterator[Path]:
    """The temporary folder of this sweep, for as long as it lasts; also where Python puts temporary files meanwhile."""
    place = Path(tempfile.gettempdir())
    _clear(place)
    before, folder = tempfile.tempdir, None
    try:
        with unstoppable():  # a folder that is made and not yet known would stay
            folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=place))
            (folder / "tmp").mkdir()
            tempfile.tempdir = str(folder / "tmp")
            os.environ[WHERE] = f"{os.getpid()} {folder}"
        yield folder
    finally:
        with unstoppable():
            tempfile.tempdir = before
            os.environ.pop(WHERE, None)
            if folder is not None:
                _remove(folder)


def watch_over() -> None:
    """Has a worker process end when its sweep is gone; in other processes does nothing. To be called first.

    Importing all that a run needs takes seconds, in which the sweep may be killed, too.

    Importing all that a run needs takes seconds, in which the sweep may be killed, too.
    """
    sweep, _, folder = os.environ.get(WHERE, "").partition(" ")
    if not sweep.isdecimal() or os.getpid() == int(sweep):
        return
    if os.getppid() == int(sweep) or not is_alive(int(sweep)):
        threading.Thread(target=_end_with, args=(folder, int(sweep)), daemon=True).start()


def sit_down(folder: str, sweep: int) -> None:
    """What a worker process does before its first run: as `watch_over`, and takes the folder for temporary files.

    SIGTERM, held back while workers are started, ends it again; Ctrl-C, which reaches every process of a terminal, is
    the sweep's alone. Progress bars, which nobody sees, get a lock that needs no semaphore of the system: of those that
    a killed process held Python warns.

    Args:
        folder: That `desk` made.
        sweep: Number of the process that started this one.
    """
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
    tempfile.tempdir = str(Path(folder) / "tmp")
    tqdm.set_lock(threading.RLock())
    threading.Thread(target=_end_with, args=(folder, sweep), daemon=True).start()


def _end_with(folder: str, sweep: int) -> None:
    while os.getppid() == sweep:
        time.sleep(WATCH)
    _remove(Path(folder))
    os._exit(1)


def _remove(folder: Path) -> None:
    """Removes a folder in which another process may be writing its last."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(0.05)


def _clear(place: Path) -> None:
    """Removes the folders of sweeps that are dead."""
    for folder in place.glob(f"{PREFIX}*-*"):
        number = folder.name.removeprefix(PREFIX).partition("-")[0]
        if number.isdecimal() and not is_alive(int(number)):
            shutil.rmtree(folder, ignore_errors=True)
