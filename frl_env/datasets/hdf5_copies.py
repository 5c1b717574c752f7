"""Copies of an episode as HDF5 laid it out: the library places the first of a kind, the others repeat its bytes.

Creating a small data set costs HDF5 tens of microseconds, whatever it holds, and an episode is a dozen or two of them.
But episodes with arrays of the same names, types and shapes differ only in their values, in their number, and in the
addresses by which headers point at each other. So the library writes the first one twice, in two places: what moved
with the place is an address. Every copy is then these bytes with its own addresses and values, and the library opens
it where it stands and gives it its name. Nothing here knows how HDF5 lays out groups or data sets.

Reference: HDF5 File Format Specification, version 0 of the superblock (of which the end of the file is used).
"""

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

BEFORE = (1, 1 << 16)
"""Bytes before the two places where a pattern is written."""

NUMBER = -0x5EED_0FAC_0B1E_5A57
"""Stands for the episode's number in a pattern; no other bytes of it can be the same by chance."""

END_OF_FILE = slice(40, 48)
"""Where a superblock says how long the file is."""

Kind = tuple[tuple[str, np.dtype, tuple[int, ...]], ...]
"""Names, types and shapes of an episode's arrays."""


def kind_of(arrays: Mapping[str, np.ndarray]) -> Kind:
    """What the arrays of two episodes must have in common to share a pattern."""
    return tuple((name, array.dtype, array.shape) for name, array in arrays.items())


class Pattern:
    """The bytes of episodes of one kind.

    Args:
        kind: Of the arrays. A name `infos/<key>` is a data set in the group `infos`.
    """

    def __init__(self, kind: Kind) -> None:
        """Has HDF5 write an episode in two places."""
        (start, first, group, values), (moved, second, *_) = (_laid_out(kind, before) for before in BEFORE)
        places = np.flatnonzero(_words(second) - _words(first) == moved - start)
        self.content = first.tobytes()
        self.addresses = _words(first)[places] - start
        self.bytes_of_addresses = (places[:, None] + np.arange(8)).ravel()
        self.number = self.content.index(np.int64(NUMBER).tobytes())
        self.group = group - start
        self.values = {name: (place - start, size) for name, (place, size) in values.items()}
        undone = second.copy()
        undone[self.bytes_of_addresses] = first[self.bytes_of_addresses]
        if self.content.count(np.int64(NUMBER).tobytes()) != 1 or not np.array_equal(undone, first):
            raise AssertionError("HDF5 laid out the same episode in two ways")

    def copy(self, start: int, number: int, arrays: Mapping[str, np.ndarray]) -> tuple[bytearray, int]:
        """The bytes of an episode that stands at an address of a file, and the address of its group.

        Args:
            start: The address.
            number: Of the episode.
            arrays: Of the pattern's kind.
        """
        content = bytearray(self.content)
        np.frombuffer(content, dtype=np.uint8)[self.bytes_of_addresses] = (self.addresses + start).view(np.uint8)
        content[self.number : self.number + 8] = number.to_bytes(8, "little")
        for name, (place, size) in self.values.items():
            content[place : place + size] = arrays[name].tobytes()
        return content, start + self.group


@lru_cache(maxsize=1024)
def pattern(kind: Kind) -> Pattern:
    """The pattern of a kind, made once: making it takes as long as some ten episodes."""
    return Pattern(kind)


class CopiedEpisodes:
    """Episodes written one after the other to a file, to be opened by HDF5 at the end.

    Args:
        file: A new file.
        first: Number of the first episode.
    """

    def __init__(self, file: Path, first: int) -> None:
        """Begins the file.

        Raises:
            OSError: If it can't be written.
        """
        self.file = file
        self.first = first
        self.groups: list[int] = []
        with h5py.File.in_memory(track_order=True) as empty:  # in the order of their numbers, as in Minari's
            image = image_of(empty)
        if int.from_bytes(image[END_OF_FILE], "little") != len(image):
            raise AssertionError("HDF5 says the end of a file elsewhere")
        self.size = len(image)
        self.written = file.open("wb")
        self.written.write(image)

    def add(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Writes the next episode.

        Raises:
            OSError: If it can't be written.
        """
        content, group = pattern(kind_of(arrays)).copy(self.size, self.first + len(self.groups), arrays)
        self.written.write(content)
        self.groups.append(group)
        self.size += len(content)

    def open(self) -> h5py.File:
        """The file, read into memory, in which the episodes have their names; what is on disk stays as it is.

        Raises:
            OSError: If it can't be written.
        """
        self.written.seek(END_OF_FILE.start)
        self.written.write(self.size.to_bytes(8, "little"))
        self.written.close()
        target = h5py.File(self.file, "r+", driver="core", backing_store=False)
        for number, reference in enumerate(_references(self.groups), start=self.first):
            group = h5py.h5r.dereference(reference, target.id)
            h5py.h5o.link(group, target.id, f"episode_{number}".encode())
        return target

    def close(self) -> None:
        """Lets go of the file."""
        self.written.close()


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


def _words(content: np.ndarray) -> np.ndarray:
    """The eight bytes from each place on, as a number; addresses may stand anywhere."""
    windows = np.lib.stride_tricks.sliding_window_view(content, 8)
    return np.ascontiguousarray(windows).view("<i8")[:, 0]


def _references(addresses: list[int]) -> np.ndarray:
    """References to these addresses, made as a file with them would be read."""
    with h5py.File.in_memory() as file:
        stored: Any = file.create_dataset("references", (len(addresses),), dtype=h5py.ref_dtype)
        stored[:] = [file.ref] * len(addresses)
        image = bytearray(image_of(file))
        start = stored.id.get_offset()
    image[start : start + 8 * len(addresses)] = np.array(addresses, dtype="<u8").tobytes()
    with h5py.File.in_memory(image) as file:
        read: Any = file["references"]
        return read[:]
