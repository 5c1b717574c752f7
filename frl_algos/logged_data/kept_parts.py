"""What was computed of some rows after the other, kept in a temporary file to be read again in the same order.

A policy is asked once in every logged state, which takes longer than all that is done with its answers; and these are
more than memory holds.
"""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType

import numpy as np
from jaxtyping import Float32

from frl_env.errors import UserError

Rows = Float32[np.ndarray, "some_rows column"]


class KeptParts:
    """Arrays of the rows of consecutive parts; the file is gone when the `with` block ends.

    Raises:
        UserError: If it can't be written.
    """

    def __init__(self) -> None:
        with _said():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._shapes: list[tuple[int, ...]] = []

    def __enter__(self) -> "KeptParts":
        """Returns itself; `__exit__` removes the file."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes the file, which removes it."""
        with suppress(OSError):  # of a full disk, which was said before
            self._file.close()

    def made(self, make: Callable[[slice], Rows]) -> Callable[[slice], Rows]:
        """What makes the array of a part, and keeps it."""

        def kept(part: slice) -> Rows:
            rows = np.ascontiguousarray(make(part), dtype=np.float32)
            with _said():
                self._file.write(rows.data)
            self._shapes.append(rows.shape)
            return rows

        return kept

    def again(self) -> Callable[[slice], Rows]:
        """What reads the arrays, to be called for the same parts in the same order."""
        with _said():
            self._file.seek(0)  # writes what is left to be written
        shapes = iter(self._shapes)

        def read(part: slice) -> Rows:
            shape = next(shapes)
            data = bytearray(self._file.read(4 * int(np.prod(shape))))
            return np.frombuffer(data, dtype=np.float32).reshape(shape)

        return read


@contextmanager
def _said() -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"can't keep a policy's answers in {tempfile.gettempdir()} ({problem.strerror}); free space there, or set "
            "TMPDIR to a folder that has some"
        ) from problem
