"""Train on ICU-Sepsis, a published benchmark with factored actions, and solve for the exact value of what was learned.

    python benchmarks/sepsis/study.py --seeds 3

FactoredAWR and three of d3rlpy's own algorithms learn from the same buffer, with the same number of updates, batch
size, discount and seeds. It builds the dataset when it is missing. Finished runs are kept and not repeated.
`--help` lists the options.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import DiscreteBCConfig, DiscreteBCQConfig, DiscreteCQLConfig
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import StandardObservationScaler
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_writable
from benchmarks.record.kept import Kept
from benchmarks.record.run_key import checksum
from benchmarks.sepsis.dataset import ensure_sepsis_dataset
from benchmarks.sepsis.environment import SepsisTables, one_hot
from benchmarks.training.train import quiet_d3rlpy
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_replay_buffer
from frl_env.targets import check_new
from frl_env.terminal import progress_bar, run_or_say, write_atomically

RESULTS = Kept("benchmarks.sepsis.study")
BATCH_SIZE = 512
GAMMA = 1.0
"""The benchmark's own: episodes end by themselves."""

TARGET_INTERVAL = 100
"""Updates between two copies of a stock Q-function; d3rlpy's 8,000 would be longer than the training."""

MARK = '"dataset": "icu-sepsis/'
"""Near the beginning of a file of figures, by which the command knows one that it may replace."""

ALGORITHMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "factored_awr": lambda shared: FactoredAWRConfig(
        **shared, critic="expectile", temperature=0.1, support_threshold=0.03
    ),
    "bc": lambda shared: DiscreteBCConfig(**shared),
    "cql": lambda shared: DiscreteCQLConfig(**shared, learning_rate=1e-3, target_update_interval=TARGET_INTERVAL),
    "bcq": lambda shared: DiscreteBCQConfig(**shared, learning_rate=1e-3, target_update_interval=TARGET_INTERVAL),
}
"""Name to configuration, given the settings that all share."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, trains and shows the table."""
    options = _options(arguments)
    if options.out is not None:
        check_new(options.out, mark=MARK)
    check_writable(options.kept)
    tables = SepsisTables.load()
    with progress_bar() as progress:
        progress("dataset", 0, 1)
        dataset = ensure_sepsis_dataset(tables, episodes=options.episodes)
        buffer = load_replay_buffer(dataset)
        progress("dataset", 1, 1)
        content = checksum(buffer.observations, buffer.actions, buffer.rewards, buffer.next_observations)
        runs = []
        for name in ALGORITHMS:
            for seed in range(options.seeds):
                make = partial(train, name, seed, options.steps, buffer, tables)
                facts = {"algo": name, "seed": seed, "steps": options.steps, "data": content}
                runs.append(RESULTS.json(options.kept, f"{name}-seed{seed}", make, **facts))
                progress(f"training {name}", seed + 1, options.seeds)
    card = {
        "dataset": dataset.spec.dataset_id,
        "episodes": buffer.size(),
        "transitions": buffer.transition_count,
        "behaviour_return": float(buffer.rewards.sum() / buffer.size()),
        "steps": options.steps,
        "batch_size": BATCH_SIZE,
        "gamma": GAMMA,
        "references": tables.references,
        "runs": runs,
    }
    show(card)
    if options.out is not None:
        write_atomically(options.out, json.dumps(card, indent=2, allow_nan=False) + "\n")


def train(
    name: str, seed: int, steps: int, buffer: FactoredReplayBuffer, tables: SepsisTables
) -> dict[str, str | int | float]:
    """Trains one algorithm with one seed and solves for its values.

    Returns:
        Algorithm, seed, seconds, `greedy` and, where the algorithm has exact probabilities, `stochastic`.
    """
    d3rlpy.seed(seed)
    torch.manual_seed(seed)
    buffer.reseed(seed)
    scaler = StandardObservationScaler(
        mean=buffer.observations.mean(axis=0, dtype=np.float64), std=buffer.observations.std(axis=0, dtype=np.float64)
    )
    shared = {"batch_size": BATCH_SIZE, "observation_scaler": scaler}
    algorithm = ALGORITHMS[name](shared if name == "bc" else shared | {"gamma": GAMMA}).create()
    started = time.perf_counter()
    with quiet_d3rlpy():
        algorithm.fit(
            buffer,
            n_steps=steps,
            n_steps_per_epoch=steps,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
        )
    seconds = time.perf_counter() - started
    greedy = one_hot(np.asarray(algorithm.predict(tables.observations)), buffer.action_space.n_joint)
    row = {"algo": name, "seed": seed, "seconds": seconds, "greedy": tables.value(greedy)}
    if hasattr(algorithm, "predict_probabilities"):
        row["stochastic"] = tables.value(algorithm.predict_probabilities(tables.observations))
    return row


def show(card: dict[str, Any]) -> None:
    """Prints the table: exact values of references and of what was learned, mean and range over seeds."""
    console = Console()
    title = (
        f"{card['dataset']}: {card['episodes']:,} episodes, {card['transitions']:,} steps; {card['steps']:,} updates"
    )
    table = Table("policy", "seeds", "survival", "least", "most", "seconds", title=title, title_justify="left")
    for name, value in card["references"].items():
        table.add_row(name, "", f"{value:.4f}", "", "", "")
    table.add_row("expert, as sampled", "", f"{card['behaviour_return']:.4f}", "", "", "")
    for name in ALGORITHMS:
        rows = [row for row in card["runs"] if row["algo"] == name]
        for mode in ("stochastic", "greedy"):
            values = [row[mode] for row in rows if mode in row]
            if values:
                seconds = np.mean([row["seconds"] for row in rows])
                numbers = (f"{number:.4f}" for number in (np.mean(values), min(values), max(values)))
                table.add_row(f"{name}, {mode}", str(len(values)), *numbers, f"{seconds:.0f}")
    console.print(table)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description="Train on ICU-Sepsis, solve for exact values.")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds 0..N-1 (default 3)")
    parser.add_argument("--episodes", type=int, default=10_000, help="episodes of the dataset (default 10000)")
    parser.add_argument("--steps", type=int, default=3_000, help="updates a run (default 3000)")
    parser.add_argument(
        "--kept", type=Path, default=Path("results/icu-sepsis"), help="folder of finished runs (default %(default)s)"
    )
    parser.add_argument("--out", type=Path, help="also write all figures to this JSON file")
    options = parser.parse_args(arguments)
    check_at_least(options, seeds=1, episodes=1, steps=1)
    return options


if __name__ == "__main__":
    run_or_say(main)
