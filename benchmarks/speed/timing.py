"""Fair timing: everything is timed in turn with the others, so that a busy machine slows all of them down alike.

A figure is the median of several repetitions with its range; a ratio is taken within each repetition. What is too large
for that is timed once, in a process of its own, which loads what it needs and nothing else: see `alone`.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.result_records.code_key import ROOT
from frl_env.errors import UserError

MEASURE = """
import json, os, resource, sys, time

def peak():
    try:  # of this program alone: the resource usage of a new process begins at its parent's peak
        lines = open("/proc/self/status").read().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024 / 1e6
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)

def processor():
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)

{load}
clock, before = time.perf_counter(), processor()
{work}
print(json.dumps([time.perf_counter() - clock, peak(), processor() - before]))
"""
"""What a process of its own does: it loads what it needs, and from then on seconds count."""


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


class Run(NamedTuple):
    """What something took in a process of its own.

    Attributes:
        seconds: By the clock, from where all that it needs is loaded.
        peak: Memory, MB (10**6 bytes), of the whole process.
        processor: Seconds of all processors, of the processes that it starts, too.
    """

    seconds: float
    peak: float
    processor: float


def alone(load: str, work: str, *arguments: str, packages: Path = ROOT) -> Run:
    """What something takes in a process of its own.

    This project's modules of measuring load torch, so that the process is given lines of Python and not a function.

    Args:
        load: Python that imports what is needed.
        work: Python that does it; prints what it says.
        arguments: `sys.argv[1:]` of both; whole paths, since it runs in the folder of the packages.
        packages: The folder of our packages.

    Raises:
        UserError: If it fails.
    """
    theirs = os.environ | {"PYTHONPATH": str(packages.resolve())}
    command = [sys.executable, "-c", MEASURE.format(load=load, work=work), *arguments]
    found = subprocess.run(command, env=theirs, cwd=packages, stdout=subprocess.PIPE)
    if found.returncode:
        raise UserError(f"what was to be timed failed, with the packages in {packages}; see above")
    *said, figures = found.stdout.decode().splitlines()
    for line in said:
        print(line, flush=True)
    return Run(*json.loads(figures))


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
