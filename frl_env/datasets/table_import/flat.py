"""Flat arrays beside Minari's file: what a learner reads, by memory map, without reading episodes one by one.

One `.npy` file an array, named as in `KINDS`, a row a step or a row an episode. They are written partition by
partition; the header, which tells the number of rows, comes last, so that a file is of no use before it is whole.
"""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

FOLDER = "flat"

KINDS = {
    "observations": "float32",
    "next_observations": "float32",
    "actions": "int64",
    "next_actions": "int64",
    "rewards": "float32",
    "terminals": "float32",
    "lengths": "int64",
    "terminated": "bool",
    "members": "int64",
}
"""Type of each array. Observations are as wide as the state; actions are joint indices; the last three have a row an
episode."""

HEADER = 128
"""Bytes of a header, so that it can be written last."""


class FlatFiles:
    """Arrays that grow by a partition at a time.

    Args:
        folder: Where.
        width: Number of measures of a state.
        rows: Rows that each array has already; what is beyond them was not completed and goes.
    """

    def __init__(self, folder: Path, width: int, rows: Mapping[str, int]) -> None:
        """Makes the folder."""
        self.folder = folder
        self.width = width
        self.rows = dict.fromkeys(KINDS, 0) | dict(rows)
        folder.mkdir(parents=True, exist_ok=True)

    def append(self, arrays: dict[str, np.ndarray]) -> None:
        """Writes one partition.

        Raises:
            OSError: If a file can't be written.
        """
        for name, kind in KINDS.items():
            values = np.ascontiguousarray(arrays[name], dtype=kind)
            place = HEADER + self.rows[name] * values.dtype.itemsize * int(np.prod(self._shape(name)))
            with self._open(name) as target:
                target.truncate(place)
                target.seek(place)
                target.write(values.data)
            self.rows[name] += len(values)

    def finish(self) -> list[str]:
        """Writes the headers; returns the names of the files.

        Raises:
            OSError: If a file can't be written.
        """
        for name, kind in KINDS.items():
            description = np.lib.format.dtype_to_descr(np.dtype(kind))
            shape = (self.rows[name], *self._shape(name))
            text = io.BytesIO()
            np.lib.format.write_array_header_1_0(text, {"descr": description, "fortran_order": False, "shape": shape})
            if len(text.getvalue()) != HEADER:
                raise AssertionError(f"the header of {name} has {len(text.getvalue())} bytes")
            with self._open(name) as target:
                target.write(text.getvalue())
        return [f"{FOLDER}/{name}.npy" for name in KINDS]

    def _shape(self, name: str) -> tuple[int, ...]:
        return (self.width,) if name.endswith("observations") else ()

    def _open(self, name: str) -> io.BufferedRandom:
        file = self.folder / f"{name}.npy"
        file.touch()
        return file.open("r+b")
