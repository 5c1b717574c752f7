"""How fast FactoredAWR learns and decides, beside stock d3rlpy algorithms on the same buffer and network sizes.

fit           |-- preparation --|-- update --|-- update --| ... |-- update --|-- end of epoch --|
an update     |-- sample --|-- to tensors, scaled --|-- forward, backward --|-- optimiser --|-- d3rlpy's loop --|
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory
from rich.console import Console
from rich.table import Table

from benchmarks.speed.timing import Subject, fields, ratio, spread, time_in_turn
from benchmarks.speed.update_parts import parts_table
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.train import UPDATES_AN_EPOCH
from frl_algos import FactoredReplayBuffer, load_replay_buffer
from frl_algos.policies.policy import MODES, LearnedPolicy
from frl_algos.policies.stock import StockAlgorithm, create_stock
from frl_algos.quiet import quiet_d3rlpy
from frl_env.datasets import ensure_dataset
from frl_env.evaluation.dataset_reading.dataset_facts import state_names_of
from frl_env.terminal import progress_bar

# Sizes of mini-batch and networks, the same for all libraries.
BATCH_SIZE = 256
HIDDEN_SIZE = 256
STATES = 20_480
"""States that a policy decides for where predicting is timed."""

PART_REPETITIONS = 10
RIVALS = ("discrete_bc", "discrete_cql", "iql")
OURS = "FactoredAWR"
DEFAULT = "FactoredAWR, its defaults"


COLUMNS = {
    "algorithm": "{algorithm}",
    "updates/s, whole `fit`": "{whole_said}",
    "FactoredAWR is faster by": "{whole_ratio_said}",
    "updates/s between the first and the last": "{between_said}",
    "by": "{between_ratio_said}",
    "preparation, s": "{preparation:.1f}",
    "actions chosen/s": "{chosen_said}",
}


class Fit(NamedTuple):
    """One whole training.

    Attributes:
        preparation: Seconds to the end of the first update.
        updating: Seconds from there to the end of the last one.
        closing: Seconds from there to the end.
        updates: Number.
        batch_size: Rows an update.
    """

    preparation: float
    updating: float
    closing: float
    updates: int
    batch_size: int

    @property
    def whole_rate(self) -> float:
        """Updates a second of everything."""
        return self.updates / (self.preparation + self.updating + self.closing)

    @property
    def rate(self) -> float:
        """Updates a second after the first."""
        return (self.updates - 1) / self.updating


def learn(
    console: Console,
    *,
    dataset_id: str,
    updates: int,
    repetitions: int,
    batch_size: int = BATCH_SIZE,
    hidden_size: int = HIDDEN_SIZE,
    states: int = STATES,
    part_repetitions: int = PART_REPETITIONS,
) -> Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, str]]]:
    """Times whole fits, the parts of an update, and choosing actions.

    Returns:
        Rows and columns of the figure.
    """
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        buffer = load_replay_buffer(dataset)
    names = state_names_of(dataset)
    contenders: dict[str, Callable[[], Any]] = {
        OURS: lambda: _of_size(factored_awr(names, buffer.action_space), batch_size, hidden_size).create()
    }
    for name in RIVALS:
        stock = _create_stock(name, buffer, batch_size, hidden_size)
        contenders[stock().label] = stock
    contenders[DEFAULT] = lambda: factored_awr(names, buffer.action_space).create()
    console.print(
        f"{dataset_id}: {buffer.transition_count:,} rows\n"
        f"torch {torch.__version__}, threads: {torch.get_num_threads()}\n"
        f"Batch {batch_size} and hidden size {hidden_size}, but for FactoredAWR's defaults.",
        highlight=False,
    )
    with quiet_d3rlpy():
        fits, trained = train_in_turn(contenders, buffer, updates, repetitions)
        console.print(_training_table(fits))
        console.print(_ratio_table(fits))
        same_size = {name: trained[name] for name in contenders if name != DEFAULT}
        update_ms = {name: 1000 / float(np.median([fit.rate for fit in fits[name]])) for name in same_size}
        console.print(parts_table(same_size, update_ms, buffer, part_repetitions))
        chosen = _choose_in_turn(trained, buffer, states, repetitions)
        console.print(_choosing_table(chosen, buffer, states))
    return {"speed-learn": (_rows(fits, chosen), COLUMNS)}


def _rows(fits: dict[str, list[Fit]], chosen: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """A row an algorithm; actions are chosen greedily."""
    rows: list[dict[str, Any]] = []
    for name, each in fits.items():
        row: dict[str, Any] = {"algorithm": name, "preparation": float(np.median([fit.preparation for fit in each]))}
        for short, rate in (("whole", "whole_rate"), ("between", "rate")):
            ours, own = (np.asarray([getattr(fit, rate) for fit in some]) for some in (fits[OURS], each))
            row |= fields(short, own) | fields(f"{short}_ratio", None if name in (OURS, DEFAULT) else ours / own, 2)
        rows.append(row | fields("chosen", chosen[f"{name}: greedy"]))
    return rows


def _of_size(config: Any, batch_size: int, hidden_size: int) -> Any:
    """The configuration at the sizes all contenders share."""
    fields = {field.name for field in dataclasses.fields(config)}
    sizes = {"batch_size": batch_size, "hidden_size": hidden_size}
    return dataclasses.replace(config, **{name: size for name, size in sizes.items() if name in fields})


def _create_stock(
    name: str, buffer: FactoredReplayBuffer, batch_size: int, hidden_size: int
) -> Callable[[], StockAlgorithm]:
    return lambda: create_stock(
        name, action_space=buffer.action_space, batch_size=batch_size, hidden_sizes=(hidden_size, hidden_size)
    )


def train_in_turn(
    contenders: dict[str, Callable[[], Any]], buffer: FactoredReplayBuffer, updates: int, repetitions: int
) -> tuple[dict[str, list[Fit]], dict[str, Any]]:
    """Fits of every contender, one a repetition, and its last trained algorithm; another one begins each time."""
    names = list(contenders)
    fits: dict[str, list[Fit]] = {name: [] for name in names}
    trained: dict[str, Any] = {}
    for name in names:
        _fit(contenders[name](), buffer, 2)
    for repetition in range(repetitions):
        first = repetition % len(names)
        for name in names[first:] + names[:first]:
            torch.manual_seed(repetition)
            buffer.reseed(repetition)
            trained[name] = contenders[name]()
            fits[name].append(_fit(trained[name], buffer, updates))
    return fits, trained


def _fit(algorithm: Any, buffer: FactoredReplayBuffer, updates: int) -> Fit:
    epochs = -(-updates // UPDATES_AN_EPOCH)
    an_epoch = updates // epochs
    marks = [time.perf_counter()]

    def after_update(algo: Any, epoch: int, step: int) -> None:
        if step in (1, an_epoch * epochs):
            marks.append(time.perf_counter())

    algorithm.fit(
        buffer,
        n_steps=an_epoch * epochs,
        n_steps_per_epoch=an_epoch,
        show_progress=False,
        logger_adapter=NoopAdapterFactory(),
        callback=after_update,
    )
    marks.append(time.perf_counter())
    preparation, updating, closing = np.diff(marks).tolist()
    return Fit(preparation, updating, closing, an_epoch * epochs, algorithm.batch_size)


def _training_table(fits: dict[str, list[Fit]]) -> Table:
    updates = next(iter(fits.values()))[0].updates
    table = Table(
        "algorithm", "batch", "before, s", "after, s",
        "updates/s, whole fit", "updates/s, between", "samples/s, between",
        title=f"training, {updates:,} updates",
    )  # fmt: skip
    for name, each in fits.items():
        table.add_row(
            name,
            str(each[0].batch_size),
            f"{np.median([fit.preparation for fit in each]):.2f}",
            f"{np.median([fit.closing for fit in each]):.2f}",
            spread(np.asarray([fit.whole_rate for fit in each])),
            spread(np.asarray([fit.rate for fit in each])),
            spread(np.asarray([fit.rate * fit.batch_size for fit in each])),
        )
    table.caption = (
        "Median and range of all repetitions. Before: preparation, to the end of the first update. After: what\n"
        "follows the last one. Between: the updates alone. The longer the training, the nearer the whole comes to that."
    )
    return table


def _ratio_table(fits: dict[str, list[Fit]]) -> Table:
    table = Table("FactoredAWR / ", "updates/s, whole fit", "updates/s, between", title="ratios")
    ours = fits[OURS]
    for name, each in fits.items():
        if name in (OURS, DEFAULT):
            continue
        pairs = [
            (np.asarray([getattr(fit, rate) for fit in ours]), np.asarray([getattr(fit, rate) for fit in each]))
            for rate in ("whole_rate", "rate")
        ]
        table.add_row(name, *(ratio(*pair) for pair in pairs))
    table.caption = "Of the two fits of the same repetition: median and range."
    return table


def _choose_in_turn(
    trained: dict[str, Any], buffer: FactoredReplayBuffer, states: int, repetitions: int
) -> dict[str, np.ndarray]:
    """States a second of each algorithm and mode, an entry a repetition."""
    rows = np.random.default_rng(0).integers(0, buffer.transition_count, states)
    observations = buffer.observations[rows]
    rng = np.random.default_rng(0)
    subjects = []
    for name, algorithm in trained.items():
        for mode in getattr(algorithm, "modes", MODES):
            policy = LearnedPolicy(algorithm, buffer.action_space, mode)
            subjects.append(Subject(f"{name}: {mode}", states, lambda policy=policy: policy(observations, rng)))
    return time_in_turn(subjects, repetitions)


def _choosing_table(rates: dict[str, np.ndarray], buffer: FactoredReplayBuffer, states: int) -> Table:
    table = Table("policy", "states/s", title=f"choosing actions, {states:,} states at once")
    for name, values in rates.items():
        table.add_row(name, spread(values))
    table.caption = f"Each among all {len(buffer.action_space.valid_joints):,} valid joint actions."
    return table
