"""Files and folders that appear whole or not at all, alone or several as one.

What is written goes aside first and is renamed when it is complete, so that a full disk, Ctrl-C or `kill -9` leaves
what was there before. Several things that belong together (a page and its data, a dataset and its partner) are renamed
one after the other; a *journal*, a small file that says which, makes that one step: once it is written, whoever comes
next finishes the renames, and before that nothing has changed.

    .name.<process>.writing     a file that is being written; removed by the next writer when that process is gone
    .name.retired               what stood in a place, until the new one does
    .name.journal               renames that are under way
"""

import glob
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

WRITING, RETIRED, JOURNAL = "writing", "retired", "journal"


@contextmanager
def whole_file(file: Path) -> Iterator[Path]:
    """A place to write a file to; what is there at the end gets the name, after an exception nothing does.

    Args:
        file: What to write.

    Yields:
        A hidden file beside it, with the same ending, that does not exist yet.

    Raises:
        OSError: If the folder can't be written.
    """
    _remove_abandoned(file)
    aside = file.with_name(f".{file.name}.{os.getpid()}-{threading.get_native_id()}.{WRITING}{file.suffix}")
    try:
        yield aside
        with aside.open("rb+") as written:
            os.fsync(written.fileno())
        aside.replace(file)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A new folder to fill, which gets its name at the end, and after an exception none.

    Args:
        folder: What to make; nothing may have the name.

    Yields:
        An empty hidden folder beside it.

    Raises:
        OSError: If it can't be written.
    """
    _remove_abandoned(folder)
    aside = folder.with_name(f".{folder.name}.{os.getpid()}-{threading.get_native_id()}.{WRITING}")
    try:
        aside.mkdir()
        yield aside
        aside.rename(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_bytes(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        OSError: If it can't be written; what was there before stays.
    """
    with whole_file(file) as aside:
        aside.write_bytes(content)


def write_text(file: Path, text: str) -> None:
    """Writes a text file in UTF-8, whole or not at all.

    Raises:
        OSError: If it can't be written; what was there before stays.
    """
    write_bytes(file, text.encode("utf-8"))


def put_together(folder: Path, moves: Mapping[str, str], journal: str) -> None:
    """Gives several files or folders their names at once; what stood there before goes when all of them stand.

    Args:
        folder: Where all of it is.
        moves: Present name to name to get.
        journal: Name for the journal, without the dots around it; one writer at a time may use it.

    Raises:
        OSError: If a rename fails. Then all is as it was.
    """
    file = folder / f".{journal}.{JOURNAL}"
    with unstoppable():
        write_text(file, json.dumps(dict(moves)))
        done: list[tuple[Path, Path]] = []
        try:
            _move(folder, moves, done)
        except OSError:
            for before, after in reversed(done):
                after.rename(before)
            file.unlink()
            raise
        file.unlink()
    _forget(folder, moves)


def journals(folder: Path) -> dict[Path, dict[str, str]]:
    """Renames that were begun in a folder: the journal's file, and its moves as `put_together` took them."""
    found = {}
    for file in sorted(folder.glob(f".*.{JOURNAL}")):
        with suppress(OSError, ValueError):  # it may be done by now; and only whole ones have the name
            found[file] = json.loads(file.read_text(encoding="utf-8"))
    return found


def settle(journal: Path) -> None:
    """Finishes the renames of a writer that was killed. No other process may be at it.

    Raises:
        OSError: If a rename fails.
    """
    moves = json.loads(journal.read_text(encoding="utf-8"))
    with unstoppable():
        _move(journal.parent, moves, [])
        journal.unlink()
    _forget(journal.parent, moves)


def retired(place: Path) -> Path:
    """Where a file or folder is moved to while a new one takes its place."""
    return place.with_name(f".{place.name}.{RETIRED}")


def remove(path: Path) -> None:
    """Removes a file, a link or a folder, if it is there.

    Raises:
        OSError: If something of it can't be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _move(folder: Path, moves: Mapping[str, str], done: list[tuple[Path, Path]]) -> None:
    """Does those renames that are not done, and notes each."""

    def rename(before: Path, after: Path) -> None:
        before.rename(after)
        done.append((before, after))

    for new, name in moves.items():
        source, place = folder / new, folder / name
        if not os.path.lexists(source):
            continue  # done before the writer was killed
        if os.path.lexists(place):
            remove(retired(place))
            rename(place, retired(place))
        rename(source, place)


def _forget(folder: Path, moves: Mapping[str, str]) -> None:
    """Removes what was replaced; a rest that can't be removed harms nobody, and the next writer tries again."""
    for name in moves.values():
        with suppress(OSError):
            remove(retired(folder / name))


def _remove_abandoned(file: Path) -> None:
    """Removes what writers of this file left that were killed."""
    for aside in file.parent.glob(f".{glob.escape(file.name)}.*.{WRITING}*"):
        number = aside.name.removeprefix(f".{file.name}.").partition("-")[0]
        if number.isdecimal() and not is_alive(int(number)):
            with suppress(OSError):
                remove(aside)


def is_alive(process: int) -> bool:
    """Whether there is a process of that number on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


@contextmanager
def unstoppable() -> Iterator[None]:
    """Ctrl-C and SIGTERM wait for the few operations in here."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
