"""Where datasets lie in Minari's local store, and how they appear there whole or not at all.

A dataset is written into a hidden folder beside its place and renamed when it is complete, under a file lock: two
writers of one id end well, and an interrupted one leaves nothing behind that Minari would list. Two datasets that
belong together, training and validation members, are renamed as one (`frl_env.files.atomic`).

    namespace/  .name.lock                  held by whoever writes
                .name.building-<hash>       being written; the hash says from what, so that the same work goes on there
                .name.journal               renames that are under way
                .name.retired               the one before, until the new one stands
                .name.discarded             being deleted
                name/data                   what Minari lists
                name/.checked               files that were compared with their checksums

A folder is taken for a dataset only if its metadata say so, and nothing else is replaced or deleted.
"""

import hashlib
import importlib.metadata
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from minari.dataset.minari_storage import MinariStorage
from minari.storage import get_dataset_path

from frl_env.datasets.ids import parse_id
from frl_env.errors import UserError
from frl_env.files import atomic
from frl_env.files.integrity import MEMORY

PATIENCE = 2.0
"""Seconds to wait for another writer before saying so."""

LAYOUT = ("metadata.json", "main_data.hdf5", "flat/*.npy", "episodes-*.hdf5", "member_ids.parquet")
"""Files of a dataset as this package writes it."""

_store: ContextVar[Path | None] = ContextVar("store", default=None)
_log = logging.getLogger(__name__)


@contextmanager
def store_in(folder: Path) -> Iterator[None]:
    """Lets datasets be written to another store than Minari's, in this thread, for as long as it lasts."""
    token = _store.set(folder)
    try:
        yield
    finally:
        _store.reset(token)


def store_root() -> Path:
    """Folder of Minari's local store.

    Raises:
        UserError: If the store can't be used.
    """
    other = _store.get()
    if other is not None:
        return other
    try:
        return get_dataset_path().absolute()
    except OSError as problem:
        raise UserError(
            f"Minari's store can't be used ({problem.strerror}); set MINARI_DATASETS_PATH to a folder you can write"
        ) from problem


def dataset_place(dataset_id: str) -> Path:
    """Folder of a dataset in Minari's local store.

    Raises:
        UserError: If the id is none, or the store can't be used.
    """
    return store_root() / str(parse_id(dataset_id))


def has_dataset(dataset_id: str) -> bool:
    """Whether the store holds a dataset, after putting right what a killed writer left."""
    place = dataset_place(dataset_id)
    begun = atomic.retired(place).exists() and not place.exists()
    if begun or any(dataset_id in ids for ids in _begun(place.parent).values()):
        with lock(dataset_id):
            pass
    return (place / "data").exists()


def stored_datasets() -> dict[str, dict[str, Any]]:
    """Every dataset of the store by its id, with its metadata; folders that are none are passed over.

    A dataset whose metadata can't be read has none here.
    """
    root = store_root()
    found: dict[str, dict[str, Any]] = {}

    def look(folder: Path) -> None:
        for place in sorted(folder.iterdir()):
            if place.name.startswith(".") or not place.is_dir():
                continue
            if not (place / "data").is_dir():
                look(place)
                continue
            dataset_id = place.relative_to(root).as_posix()
            try:
                parse_id(dataset_id)
            except UserError:
                continue
            found[dataset_id] = read_metadata(place)

    try:
        look(root)
    except OSError as problem:
        raise UserError(f"can't read the store {root} ({problem.strerror}); check its permissions") from problem
    return found


def read_metadata(place: Path) -> dict[str, Any]:
    """Metadata of the dataset in a folder; nothing where there is none, or they are damaged."""
    try:
        metadata = MinariStorage.read_raw_metadata(place / "data")
    except (OSError, ValueError, RecursionError):
        return {}
    return metadata if isinstance(metadata, dict) and isinstance(metadata.get("dataset_id"), str) else {}


def looks_damaged(place: Path) -> bool:
    """Whether a folder is a dataset of this package whose metadata are damaged: it holds its files and no others."""
    data = place / "data"
    known = {file for pattern in LAYOUT for file in data.glob(pattern)}
    files = [file for file in data.rglob("*") if not file.is_dir()]
    return data / "main_data.hdf5" in known and known.issuperset(files) and not read_metadata(place)


def check_own(dataset_id: str) -> None:
    """Refuses to touch what lies in a dataset's place but is no dataset, or more than one.

    Args:
        dataset_id: Of what is to be deleted or replaced.

    Raises:
        UserError: If so.
    """
    root, place = store_root(), dataset_place(dataset_id)
    if place.parent.exists() and not place.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{place} is a link that leads out of the store; remove the link first, or choose another id")
    if place.is_symlink():
        raise UserError(f"{place} is a link; remove it by hand, or choose another id")
    if not place.exists():
        return
    others = (
        sorted(file.name for file in place.iterdir() if file.name not in ("data", MEMORY)) if place.is_dir() else []
    )
    if others:
        raise UserError(
            f"{place} holds {len(others):,} other file{'s' if len(others) > 1 else ''} or folders ({others[0]!r} "
            "first); move them away, or choose another id"
        )
    if not place.is_dir() or ((place / "data").exists() and not read_metadata(place) and not looks_damaged(place)):
        raise UserError(f"{place} is no dataset by its metadata; move it away by hand, or choose another id")


@contextmanager
def lock(*dataset_ids: str) -> Iterator[None]:
    """Keeps other processes from writing these datasets; puts right what a killed writer left of them.

    Raises:
        UserError: If a place lies outside the store.
    """
    places = {dataset_id: dataset_place(dataset_id) for dataset_id in dataset_ids}
    root = store_root().resolve()
    for place in places.values():
        if not place.parent.resolve().is_relative_to(root):
            raise UserError(f"{place.parent} is a link that leads out of the store; choose another id")
        place.parent.mkdir(parents=True, exist_ok=True)
    wanted = set(dataset_ids)
    while True:
        for ids in _journals(places.values()).values():
            wanted |= ids if wanted & ids else set()
        with ExitStack() as held:
            for dataset_id in sorted(wanted):
                _acquire(held, dataset_id)
            begun = {journal: ids for journal, ids in _journals(places.values()).items() if wanted & ids}
            if not all(ids <= wanted for ids in begun.values()):
                continue  # written by one that was killed while we waited: its other datasets are needed, too
            for journal in begun:
                atomic.settle(journal)
            for dataset_id in sorted(wanted):
                _tidy(dataset_place(dataset_id))
            yield
            return


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


def put_in_place(*buildings: tuple[Path, Path]) -> None:
    """Gives whole datasets of one namespace their names, all or none; older ones stay until then.

    The locks must be held, and `check_own` must have passed.

    Args:
        buildings: Folder and place of each.

    Raises:
        OSError: If they can't be renamed; then nothing has changed.
    """
    folder = buildings[0][1].parent
    mark_namespace(folder)
    for _, place in buildings:
        if place.is_dir() and not any(place.iterdir()):
            place.rmdir()
    moves = {building.name: place.name for building, place in buildings}
    atomic.put_together(folder, moves, buildings[0][1].name)


def is_under_way(place: Path) -> bool:
    """Whether renames of this dataset were begun and not finished, so that nothing of it may be removed."""
    return any(place.name in moves.values() for moves in atomic.journals(place.parent).values())


def discard(folder: Path, place: Path) -> None:
    """Deletes a folder, which takes many steps, under a name that nothing goes back to; also what was left of such.

    Raises:
        OSError: If something of it can't be deleted.
    """
    discarded = place.parent / f".{place.name}.discarded"
    atomic.remove(discarded)
    if folder.exists():
        folder.rename(discarded)
        atomic.remove(discarded)


def mark_namespace(folder: Path) -> None:
    """Marks the folder as a Minari namespace, as `minari.namespace.create_namespace` does."""
    marker = folder / "namespace_metadata.json"
    if folder != store_root() and not marker.exists():
        atomic.write_text(marker, "{}")


def package_version() -> str:
    """Version of this package; 0.0.0 where it is not installed."""
    try:
        return importlib.metadata.version("frl-medicaid")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def _acquire(held: ExitStack, dataset_id: str) -> None:
    """Takes the lock of a dataset for as long as `held` lasts; says so if another process has it."""
    place = dataset_place(dataset_id)
    lock_file = FileLock(place.parent / f".{place.name}.lock")
    try:
        held.enter_context(lock_file.acquire(timeout=PATIENCE))
    except Timeout:
        _log.warning("waiting for another process that is writing dataset %r", dataset_id)
        held.enter_context(lock_file.acquire())


def _tidy(place: Path) -> None:
    """Brings back what a killed writer had put aside, and removes what it had replaced."""
    old = atomic.retired(place)
    if not place.exists() and old.exists():
        old.rename(place)
    if old.exists() or (place.parent / f".{place.name}.discarded").exists():
        discard(old, place)


def _journals(places: Sequence[Path] | Any) -> dict[Path, set[str]]:
    """Renames that were begun in the folders of these places, with the datasets that they are about."""
    return {journal: ids for folder in {place.parent for place in places} for journal, ids in _begun(folder).items()}


def _begun(folder: Path) -> dict[Path, set[str]]:
    """What journals of unfinished renames would still put in place, by journal, as ids in the store."""
    namespace = folder.relative_to(store_root())
    return {
        journal: {(namespace / name).as_posix() for name in moves.values()}
        for journal, moves in atomic.journals(folder).items()
    }
