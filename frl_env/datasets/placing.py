"""Where datasets lie in Minari's local store, and how one appears there whole or not at all.

A dataset is written into a hidden folder beside its place and renamed when it is complete, under a file lock: two
writers of one id end well, and an interrupted one leaves nothing behind that Minari would list.

    namespace/  .name.lock                  held by whoever writes
                .name.building-<hash>       being written; the hash says from what, so that the same work goes on there
                .name.retired               the one before, for the moment between two renames
                .name.discarded             being deleted
                name/data                   what Minari lists
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from filelock import FileLock
from minari.storage import get_dataset_path

from frl_env.errors import UserError

_store: ContextVar[Path | None] = ContextVar("store", default=None)


@contextmanager
def store_in(folder: Path) -> Iterator[None]:
    """Lets datasets be written to another store than Minari's, in this thread, for as long as it lasts."""
    token = _store.set(folder)
    try:
        yield
    finally:
        _store.reset(token)


def dataset_place(dataset_id: str = "") -> Path:
    """Folder of a dataset in Minari's local store, or of the store itself.

    Raises:
        UserError: If the store can't be used.
    """
    other = _store.get()
    if other is not None:
        return other / dataset_id
    try:
        return get_dataset_path(dataset_id)
    except OSError as problem:
        raise UserError(
            f"Minari's store can't be used ({problem.strerror}); set MINARI_DATASETS_PATH to a folder you can write"
        ) from problem


def has_dataset(dataset_id: str) -> bool:
    """Whether the store holds a dataset, after putting right what a kill between two renames left."""
    place = dataset_place(dataset_id)
    if not place.exists() and _retired(place).exists():
        with lock(dataset_id):
            pass
    return (place / "data").exists()


@contextmanager
def lock(*dataset_ids: str) -> Iterator[None]:
    """Keeps other processes from writing these datasets; brings back what a killed replacement had put aside."""
    with ExitStack() as held:
        for place in sorted(dataset_place(dataset_id) for dataset_id in dataset_ids):
            place.parent.mkdir(parents=True, exist_ok=True)
            held.enter_context(FileLock(place.parent / f".{place.name}.lock"))
            retired = _retired(place)
            if not place.exists() and retired.exists():
                retired.rename(place)
            discard(retired, place)
        yield


def building_folder(dataset_id: str, made_of: Mapping[str, Any]) -> Path:
    """Where a dataset is written before it is whole.

    Args:
        dataset_id: Its id.
        made_of: All that its content depends on, JSON-able; the same again finds the same folder.
    """
    place = dataset_place(dataset_id)
    digest = hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()
    return place.parent / f".{place.name}.building-{digest[:12]}"


def unfinished(place: Path) -> list[Path]:
    """Folders of what was never completed."""
    return sorted(place.parent.glob(f".{place.name}.building-*"))


def make_room(building: Path, place: Path) -> None:
    """Starts or goes on with writing: removes what other attempts left; the lock must be held."""
    for leftover in unfinished(place):
        if leftover != building:
            shutil.rmtree(leftover, ignore_errors=True)
    building.mkdir(parents=True, exist_ok=True)


def put_in_place(building: Path, place: Path) -> None:
    """Gives a whole dataset its name; an older one stays until then. The lock must be held."""
    mark_namespace(place.parent)
    retired = _retired(place)
    if place.exists():
        place.rename(retired)
    building.rename(place)
    discard(retired, place)


def discard(folder: Path, place: Path) -> None:
    """Deletes a folder, which takes many steps, under a name that nothing goes back to; also what was left of such."""
    discarded = place.parent / f".{place.name}.discarded"
    shutil.rmtree(discarded, ignore_errors=True)
    if folder.exists():
        folder.rename(discarded)
        shutil.rmtree(discarded, ignore_errors=True)


def mark_namespace(folder: Path) -> None:
    """Marks the folder as a Minari namespace, as `minari.namespace.create_namespace` does."""
    marker = folder / "namespace_metadata.json"
    if folder != dataset_place() and not marker.exists():
        marker.write_text("{}")


def package_version() -> str:
    """Version of this package; 0.0.0 where it is not installed."""
    try:
        return importlib.metadata.version("frl-medicaid")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def _retired(place: Path) -> Path:
    return place.parent / f".{place.name}.retired"
