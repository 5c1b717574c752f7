"""Fair timing: everything is timed in turn with the others, so that a busy machine slows all of them down alike.

A figure is the median of several repetitions with its range; a ratio is taken within each repetition.
"""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np


class Subject(NamedTuple):
    """Something to be timed.

    Attributes:
        name: What.
        steps: Units of work of one call: environment steps, updates, states.
        run: The call.
    """

    name: str
    steps: int
    run: Callable[[], object]


def time_in_turn(subjects: Sequence[Subject], repetitions: int) -> dict[str, np.ndarray]:
    """Units of work a second of every subject: one entry a repetition, the subjects taken in turn."""
    rates: dict[str, list[float]] = {subject.name: [] for subject in subjects}
    for subject in subjects:
        subject.run()
    for _ in range(repetitions):
        for subject in subjects:
            start = time.perf_counter()
            subject.run()
            rates[subject.name].append(subject.steps / (time.perf_counter() - start))
    return {name: np.asarray(values) for name, values in rates.items()}


def spread(rates: np.ndarray) -> str:
    """Median and range of figures."""
    return f"{np.median(rates):,.0f} ({rates.min():,.0f} to {rates.max():,.0f})"


def ratio(first: np.ndarray, second: np.ndarray) -> str:
    """Median and range of the ratio of two figures, repetition by repetition."""
    ratios = first / second
    return f"{np.median(ratios):.2f} ({ratios.min():.2f} to {ratios.max():.2f})"


def fields(name: str, values: np.ndarray | None, digits: int = 0) -> dict[str, float | str | None]:
    """Median, range and both in words, as fields of a figure's row; nothing was timed: None, and no words."""
    if values is None:
        return {name: None, f"{name}_low": None, f"{name}_high": None, f"{name}_said": ""}
    found = {name: float(np.median(values)), f"{name}_low": float(values.min()), f"{name}_high": float(values.max())}
    middle, low, high = (f"{each:,.{digits}f}" for each in found.values())
    return found | {f"{name}_said": f"{middle} ({low} to {high})"}
