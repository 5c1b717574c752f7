"""Copies of an episode as HDF5 laid it out: the library places the first of a kind, the others repeat its bytes.

Creating a small data set costs HDF5 tens of microseconds, whatever it holds, and an episode is a dozen or two of them.
But episodes of the same length differ only in their values, in their number, and in the addresses by which headers
point at each other. So the library writes the first one twice, in two places: what moved with the place is an address.
Every copy is then these bytes with its own addresses and values, all copies of a length at once, and the library opens
each where it stands and gives it its name. Nothing here knows how HDF5 lays out groups or data sets.

Reference: HDF5 File Format Specification, version 0 of the superblock (of which the end of the file is used).
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import h5py
import numpy as np
from jaxtyping import Int64, UInt8

BEFORE = (1, 1 << 16)
"""Bytes before the two places where a pattern is written."""

NUMBER = -0x5EED_0FAC_0B1E_5A57
"""Stands for the episode's number in a pattern; no other bytes of it can be the same by chance."""

END_OF_FILE = 40
"""Where a superblock says how long the file is, in eight bytes."""

Kind = tuple[tuple[str, np.dtype, tuple[int, ...]], ...]
"""Names, types and shapes of an episode's arrays."""


@dataclass(frozen=True, kw_only=True)
class EpisodeColumns:
    """Arrays of all episodes, one episode after the other.

    Args:
        lengths: Steps of each episode, at least one.
        arrays: By name, a row a step, or one more an episode. A name `infos/<key>` is a data set in the group `infos`.

    Raises:
        ValueError: If an array has another number of rows.
    """

    lengths: Int64[np.ndarray, "episode"]
    arrays: dict[str, np.ndarray]

    def __post_init__(self) -> None:
        """Counts the rows."""
        for name, array in self.arrays.items():
            if len(array) - self.lengths.sum() not in (0, len(self.lengths)):
                raise ValueError(f"{name} has {len(array)} rows for {self.lengths.sum()} steps")

    def more(self, name: str) -> int:
        """Rows of an array that each episode has beyond its steps: 0 or 1."""
        return int(len(self.arrays[name]) > self.lengths.sum())

    def kind(self, length: int) -> Kind:
        """What episodes of a length have in common."""
        return tuple(
            (name, array.dtype, (length + self.more(name), *array.shape[1:])) for name, array in self.arrays.items()
        )


class Pattern:
    """The bytes of episodes of one kind.

    Args:
        kind: Of the arrays.
    """

    def __init__(self, kind: Kind) -> None:
        """Has HDF5 write an episode in two places."""
        (start, first, group, values), (moved, second, *_) = (_laid_out(kind, before) for before in BEFORE)
        self.content = first.copy()
        self.places = np.flatnonzero(_words(second) - _words(first) == moved - start)
        self.addresses = _words(first)[self.places] - start
        number = np.flatnonzero(_words(first) == NUMBER)
        self.number = number[0]
        self.group = group - start
        self.values = {name: (place - start, size) for name, (place, size) in values.items()}
        undone = second.copy()
        _words(undone)[self.places] -= moved - start
        if len(number) != 1 or not np.array_equal(undone, first):
            raise AssertionError("HDF5 laid out the same episode in two ways")

    def copy(
        self,
        image: UInt8[np.ndarray, "byte"],
        starts: Int64[np.ndarray, "copy"],
        numbers: Int64[np.ndarray, "copy"],
        values: dict[str, tuple[np.ndarray, Int64[np.ndarray, "copy"]]],
    ) -> None:
        """Writes episodes into a file's bytes.

        Args:
            image: The file.
            starts: Where each episode begins.
            numbers: Of the episodes.
            values: Each array's rows of all episodes, and where in their bytes each episode begins.
        """
        copies = _windows(image, len(self.content))
        copies[starts] = self.content
        words = _words(image)
        words[starts[:, None] + self.places] = self.addresses + starts[:, None]
        words[starts + self.number] = numbers
        for name, (place, size) in self.values.items():
            array, begins = values[name]
            copies[starts, place : place + size] = _windows(array.reshape(-1).view(np.uint8), size)[begins]


@lru_cache(maxsize=1024)
def pattern(kind: Kind) -> Pattern:
    """The pattern of a kind, made once: making it takes as long as some ten episodes."""
    return Pattern(kind)


class Scratch:
    """Memory for the bytes of one file after the other: new memory costs more than what is written to it."""

    def __init__(self) -> None:
        """Starts with none."""
        self._kept = np.empty(0, dtype=np.uint8)

    def of(self, size: int) -> UInt8[np.ndarray, "byte"]:
        """So many bytes, the same ones as before where they are enough."""
        if len(self._kept) < size:
            self._kept = np.empty(0, dtype=np.uint8)  # let go of first
            self._kept = np.empty(size + size // 8, dtype=np.uint8)
        return self._kept[:size]


def open_copies(columns: EpisodeColumns, first: int, scratch: Scratch) -> h5py.File:
    """A file in memory that holds episodes by their names, in the order of their numbers, as in Minari's.

    Args:
        columns: The episodes.
        first: Number of the first.
        scratch: To work in.
    """
    image, groups = _copied(columns, first, scratch)
    target = h5py.File.in_memory(memoryview(image))  # a copy
    root = target.id
    for number, reference in enumerate(_references(groups), start=first):
        h5py.h5o.link(h5py.h5r.dereference(reference, root), root, b"episode_%d" % number)
    return target


def image_of(file: h5py.File) -> bytes:
    """The bytes of a file in memory."""
    file.flush()
    return file.id.get_file_image()


def _laid_out(kind: Kind, before: int) -> tuple[int, np.ndarray, int, dict[str, tuple[int, int]]]:
    """An episode without values.

    Returns:
        Address and bytes of all that HDF5 wrote for it, address of its group, and of each array address and size.
    """
    with h5py.File.in_memory() as file:
        file.create_dataset("before", data=np.zeros(before, dtype=np.uint8))
        image = image_of(file)
    # HDF5 puts what is new behind what was in a file that it opens.
    with h5py.File.in_memory(image) as target:
        plain = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plain.set_obj_track_times(False)  # the same recipe gives the same bytes
        group = h5py.Group(h5py.h5g.create(target.id, None))
        group.attrs["id"] = NUMBER
        group.attrs["total_steps"] = next(shape[0] for name, _, shape in kind if name == "rewards")
        group.create_group("infos")
        values = {}
        for name, dtype, shape in kind:
            space = h5py.h5s.create_simple(shape)
            described = h5py.h5t.py_create(dtype, logical=True)
            made = h5py.h5d.create(group.id, name.encode(), described, space, plain)
            made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.zeros(shape, dtype=dtype))
            values[name] = (made.get_offset(), made.get_storage_size())
        address = h5py.h5o.get_info(group.id).addr
        written = np.frombuffer(image_of(target), dtype=np.uint8)
    return len(image), written[len(image) :], address, values


def _copied(
    columns: EpisodeColumns, first: int, scratch: Scratch
) -> tuple[UInt8[np.ndarray, "byte"], Int64[np.ndarray, "episode"]]:
    """The bytes of a file with episodes that have no names yet, and the address of each episode's group."""
    with h5py.File.in_memory(track_order=True) as empty:
        head = np.frombuffer(image_of(empty), dtype=np.uint8)
    if _words(head)[END_OF_FILE] != len(head):
        raise AssertionError("HDF5 says the end of a file elsewhere")
    # One pattern a length of episodes; each episode is a copy of its own length's.
    kinds, kind = np.unique(columns.lengths, return_inverse=True)
    patterns = [pattern(columns.kind(length)) for length in kinds.tolist()]
    sizes = np.array([len(each.content) for each in patterns], dtype=np.int64)[kind]
    starts = len(head) + np.cumsum(sizes) - sizes
    image = scratch.of(int(len(head) + sizes.sum()))
    image[: len(head)] = head
    _words(image)[END_OF_FILE] = len(image)
    rows = np.cumsum(columns.lengths) - columns.lengths
    values = {}
    for name, array in columns.arrays.items():
        a_row = array.dtype.itemsize * int(np.prod(array.shape[1:]))
        begins = (rows + columns.more(name) * np.arange(len(rows))) * a_row
        values[name] = (np.ascontiguousarray(array), begins)
    for number, each in enumerate(patterns):
        own = np.flatnonzero(kind == number)
        each.copy(image, starts[own], first + own, {name: (rows, at[own]) for name, (rows, at) in values.items()})
    return image, starts + np.array([each.group for each in patterns], dtype=np.int64)[kind]


def _windows(content: UInt8[np.ndarray, "byte"], size: int) -> UInt8[np.ndarray, "place size"]:
    """The bytes from each place on, so many; all of them are those of the content itself."""
    return np.ndarray((len(content) - size + 1, size), np.uint8, content, strides=(1, 1))


def _words(content: UInt8[np.ndarray, "byte"]) -> Int64[np.ndarray, "place"]:
    """The eight bytes from each place on as a number; addresses may stand anywhere."""
    return np.ndarray((len(content) - 7,), "<i8", content, strides=(1,))


def _references(addresses: Int64[np.ndarray, "episode"]) -> np.ndarray:
    """References to these addresses, made as a file with them would be read."""
    with h5py.File.in_memory() as file:
        stored: Any = file.create_dataset("references", (len(addresses),), dtype=h5py.ref_dtype)
        stored[:] = [file.ref] * len(addresses)
        image = bytearray(image_of(file))
        start = stored.id.get_offset()
    image[start : start + 8 * len(addresses)] = addresses.tobytes()
    with h5py.File.in_memory(image) as file:
        read: Any = file["references"]
        return read[:]
