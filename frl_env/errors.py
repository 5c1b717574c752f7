"""The one exception that a person is meant to read.

A `UserError` says in one line what is wrong, where, how many, and what to do. Command lines print that line and
exit with status 2; every other exception is a fault of the program and keeps its traceback.
"""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from numbers import Integral, Real
from operator import index
from pathlib import Path
from typing import Any

LONGEST = 80
"""Characters that an error quotes of what was given."""


class UserError(ValueError):
    """Something the caller can put right: bad input, a missing file, a name that does not exist."""


def system_reason(problem: OSError, otherwise: str = "the disk may be full") -> str:
    """What the system says of a failure; what libraries say of it (Arrow, HDF5) has addresses and names of files in it.

    Args:
        problem: Python's own, or a library's.
        otherwise: Where the system said nothing.
    """
    return os.strerror(problem.errno) if problem.errno else otherwise


@contextmanager
def in_file(file: Path | None) -> Iterator[None]:
    """Puts the name of a file before what is wrong in it, where that is not said already.

    Args:
        file: The file; None: nothing is added.

    Raises:
        UserError: As it was raised within, with the name.
    """
    try:
        yield
    except UserError as problem:
        if file is None or type(problem) is not UserError or str(file) in str(problem):
            raise
        raise UserError(f"{file}: {problem}") from None


def unknown_name(kind: str, name: object, known: Iterable[str]) -> UserError:
    """Error for a name that does not exist, with the nearest known ones.

    Args:
        kind: What was asked for, for instance "dataset".
        name: The name that was given.
        known: All names that would do.

    Returns:
        The error, to be raised by the caller.
    """
    names = sorted(known)
    near = nearest_names(name, names)
    hint = f"did you mean {near}?" if near else f"known: {', '.join(names)}"
    return UserError(f"unknown {kind} {shorten(str(name))!r}; {hint}")


def nearest_names(name: object, known: Iterable[str]) -> str:
    """Up to three known names that are spelt like one, for people; empty if none is."""
    return " or ".join(get_close_matches(str(name)[:LONGEST], sorted(known), n=3, cutoff=0.4))


def shorten(text: str, longest: int = LONGEST) -> str:
    """A text that someone gave, cut to what an error of one line may quote."""
    return text if len(text) <= longest else f"{text[:longest]}..."


def check_number(name: str, value: object, *, low: float, high: float) -> None:
    """Says so when a setting is not a number in its range; NaN never is, and NumPy's numbers are.

    Raises:
        UserError: If so.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not low <= value <= high:
        raise UserError(f"{name} must be a number in {low:g}..{high:g}, not {shorten(repr(value))}")


def check_whole(name: str, value: object, *, low: int, high: int) -> None:
    """Says so when a setting is not a whole number in its range; NumPy's whole numbers are.

    Raises:
        UserError: If so.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or not low <= value <= high:
        raise UserError(f"{name} must be a whole number in {low:,}..{high:,}, not {shorten(repr(value))}")


def check_generator(rng: object) -> None:
    """Says so when a source of randomness is not NumPy's generator, such as a seed.

    Raises:
        UserError: If so.
    """
    if not hasattr(rng, "bit_generator"):
        raise UserError(
            f"rng must be a numpy.random.Generator, not {shorten(repr(rng))}; numpy.random.default_rng(seed) makes one"
        )


def make_plain(settings: object, *names: str) -> None:
    """Makes checked numbers of a frozen dataclass Python's own, so that they can be written as JSON.

    Args:
        settings: The dataclass.
        names: Of its numbers; None stays as it is.
    """
    for name in names:
        object.__setattr__(settings, name, plain(getattr(settings, name)))


def plain(number: Any) -> Any:
    """A number as Python has it, if it is one of NumPy's; anything else as it is."""
    return number.item() if isinstance(number, Real) and hasattr(number, "item") else number


def check_count(name: str, value: object) -> None:
    """Says so when a number of things is no whole number from 0; NumPy's whole numbers are.

    Raises:
        UserError: If so.
    """
    try:
        good = not isinstance(value, bool) and index(value) >= 0  # type: ignore[arg-type]
    except TypeError:
        good = False
    if not good:
        raise UserError(f"{name} must be a whole number from 0, not {shorten(repr(value))}")
