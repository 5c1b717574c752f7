"""The few operations in which a batch of members and one member differ.

The dynamics and the propensities are written once, over operators and one of these two namespaces: `ARRAYS` works on
NumPy arrays with one entry a member, `SCALARS` on plain Python numbers. NumPy costs about a microsecond a call however
short the array, which is a hundred times the arithmetic on one number.
"""

import math
import operator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Arrays:
    """NumPy arrays, one entry a member."""

    where = staticmethod(np.where)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    exp = staticmethod(np.exp)
    log1p = staticmethod(np.log1p)
    expm1 = staticmethod(np.expm1)
    rint = staticmethod(np.rint)
    invert = staticmethod(np.logical_not)

    @staticmethod
    def table(values: np.ndarray) -> np.ndarray:
        """A table to be indexed by levels or bits."""
        return np.ascontiguousarray(values)

    @staticmethod
    def number(flag: np.ndarray) -> np.ndarray:
        """Flags as numbers."""
        return flag.astype(np.float64)

    @staticmethod
    def whole(number: np.ndarray) -> np.ndarray:
        """Rounded down."""
        return number.astype(np.int64)

    @staticmethod
    def pick(rows: np.ndarray, index: np.ndarray) -> np.ndarray:
        """One entry of each member's row."""
        return rows[np.arange(len(rows)), index]


@dataclass(frozen=True)
class Scalars:
    """Python numbers, for one member."""

    minimum = staticmethod(min)
    maximum = staticmethod(max)
    exp = staticmethod(math.exp)
    log1p = staticmethod(math.log1p)
    expm1 = staticmethod(math.expm1)
    invert = staticmethod(operator.not_)
    number = staticmethod(float)
    whole = staticmethod(int)
    pick = staticmethod(operator.getitem)

    @staticmethod
    def where(flag: bool, yes: Any, no: Any) -> Any:
        """One or the other."""
        return yes if flag else no

    @staticmethod
    def rint(number: float) -> float:
        """Rounds to a whole number, halves to even, as NumPy does."""
        return float(round(number))

    @staticmethod
    def table(values: np.ndarray) -> list[Any]:
        """A table to be indexed by levels or bits."""
        return values.tolist()


ARRAYS = Arrays()
SCALARS = Scalars()
Numerics = Any
"""One of the two. A type checker can't follow code that holds for arrays and for numbers, so it is not asked to."""


def only(batch: Any) -> Any:
    """A dataclass of arrays with one member, as plain numbers; a member's row or window becomes a tuple."""
    plain = {}
    for item in fields(batch):
        value = getattr(batch, item.name)
        if isinstance(value, tuple):
            plain[item.name] = tuple(entry.item() for entry in value)
        else:
            plain[item.name] = value.item() if value.ndim == 1 else tuple(value.ravel().tolist())
    return replace(batch, **plain)
