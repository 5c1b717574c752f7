"""What training takes on one of torch's threads, beside several.

Wall time is what a person waits, processor time what others on the machine wait for: threads that wait for each other
spin.
"""

import resource
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory
from rich.console import Console
from rich.table import Table

from benchmarks.speed.timing import fields, ratio
from benchmarks.training.awr_lines import factored_awr
from frl_algos import FactoredReplayBuffer, load_replay_buffer, training_threads
from frl_algos.policies.stock import create_stock
from frl_algos.quiet import quiet_d3rlpy
from frl_env.datasets import ensure_dataset
from frl_env.evaluation.dataset_reading.dataset_facts import state_names_of
from frl_env.terminal import progress_bar

STOCK = ("discrete_bc", "discrete_cql")


COLUMNS = {
    "algorithm": "{algorithm}",
    "threads": "{threads}",
    "wall s, on 1 thread": "{one:.1f}",
    "on several": "{several:.1f}",
    "several / 1: wall": "{wall_said}",
    "processor time": "{processor_said}",
}


def threads(
    console: Console, *, dataset_id: str, several: int, updates: int, repetitions: int
) -> Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, str]]]:
    """Times whole fits on one thread and on several, in turn.

    Args:
        console: To print on.
        dataset_id: What is trained on.
        several: Threads beside one.
        updates: Of each fit.
        repetitions: Fits of each algorithm with each number of threads.

    Returns:
        Rows and columns of the figure.

    Raises:
        UserError: If there is no such dataset.
    """
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        buffer = load_replay_buffer(dataset)
    names = state_names_of(dataset)
    made: dict[str, Callable[[], Any]] = {"FactoredAWR": lambda: factored_awr(names, buffer.action_space).create()}
    made |= {name: lambda name=name: create_stock(name, batch_size=256) for name in STOCK}
    table = Table(
        "algorithm", "on 1 thread: wall, user, system s", f"on {several}", f"{several} / 1: wall", "processor time",
        title=f"fit of {updates:,} updates, torch {torch.__version__}",
    )  # fmt: skip
    rows: list[dict[str, Any]] = []
    with quiet_d3rlpy():
        for name, create in made.items():
            taken: dict[int, list[np.ndarray]] = {1: [], several: []}
            for number in taken:
                _fit(create, buffer, 2, number)
            for repetition in range(repetitions):
                # Another one begins each time.
                for number in (1, several) if repetition % 2 == 0 else (several, 1):
                    taken[number].append(_fit(create, buffer, updates, number))
            one, more = (np.asarray(taken[number]) for number in (1, several))
            medians = [", ".join(f"{each:.1f}" for each in np.median(times, axis=0)) for times in (one, more)]
            found = {"algorithm": name, "threads": several, "one": float(np.median(one[:, 0]))}
            found |= {"several": float(np.median(more[:, 0]))} | fields("wall", more[:, 0] / one[:, 0], 2)
            rows.append(found | fields("processor", more[:, 1:].sum(axis=1) / one[:, 1:].sum(axis=1), 2))
            table.add_row(
                name, *medians, ratio(more[:, 0], one[:, 0]), ratio(more[:, 1:].sum(axis=1), one[:, 1:].sum(axis=1))
            )
    table.caption = "Medians of all repetitions; ratios of the two fits of the same repetition: median and range."
    console.print(table)
    return {"speed-threads": (rows, COLUMNS)}


def _fit(create: Callable[[], Any], buffer: FactoredReplayBuffer, updates: int, number: int) -> np.ndarray:
    """Seconds of one fit: wall, user, system."""
    torch.manual_seed(0)
    buffer.reseed(0)
    algorithm = create()
    before = _clocks()
    with training_threads(number):
        algorithm.fit(
            buffer,
            n_steps=updates,
            n_steps_per_epoch=updates,
            show_progress=False,
            logger_adapter=NoopAdapterFactory(),
        )
    return _clocks() - before


def _clocks() -> np.ndarray:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return np.asarray([time.perf_counter(), used.ru_utime, used.ru_stime])
