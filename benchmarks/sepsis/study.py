"""Train on ICU-Sepsis, a published benchmark with factored actions, and solve for the exact value of what was learned.

    python benchmarks/sepsis/study.py --seeds 3

FactoredAWR, with its defaults and with settings picked by exact values, and three of d3rlpy's own algorithms learn from
the same buffer, with the same number of updates, batch size, discount and seeds. Beside them stands a planner over the
table of states, which trains nothing. The dataset is built when it is missing; finished runs are kept and not repeated.
`--help` lists the options.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import d3rlpy
import numpy as np
import torch
from d3rlpy.algos import DiscreteBCConfig, DiscreteBCQConfig, DiscreteCQLConfig
from d3rlpy.logging import NoopAdapterFactory
from d3rlpy.preprocessing import StandardObservationScaler

from benchmarks.command_line import check_writable
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.run_key import checksum
from benchmarks.result_records.study import Study, Unit
from benchmarks.sepsis.dataset import ensure_sepsis_dataset
from benchmarks.sepsis.environment import SepsisTables, one_hot
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_replay_buffer
from frl_algos.action_effects.logged_steps import SHRINKAGE, LoggedSteps, recurring
from frl_algos.action_effects.planning import plan
from frl_algos.networks.state_critic import StateCritic
from frl_algos.quiet import quiet_d3rlpy
from frl_env.errors import UserError
from frl_env.terminal import progress_bar, run_or_say

RESULTS = Kept("benchmarks.sepsis.study")
BATCH_SIZE = 512
GAMMA = 1.0
"""The benchmark's own: episodes end by themselves."""

TARGET_INTERVAL = 100
"""Updates between two copies of a stock Q-function; d3rlpy's 8,000 would be longer than the training."""

COLUMNS = {
    "policy": "{policy}",
    "seeds": "{seeds}",
    "survival": "{survival:.4f}",
    "least": "{least:.4f}",
    "most": "{most:.4f}",
}

ALGORITHMS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "factored_awr": lambda shared: FactoredAWRConfig(
        **shared, critic="expectile", temperature=0.1, support_threshold=0.03
    ),
    "factored_awr_default": lambda shared: FactoredAWRConfig(**shared),
    "bc": lambda shared: DiscreteBCConfig(**shared),
    "cql": lambda shared: DiscreteCQLConfig(**shared, learning_rate=1e-3, target_update_interval=TARGET_INTERVAL),
    "bcq": lambda shared: DiscreteBCQConfig(**shared, learning_rate=1e-3, target_update_interval=TARGET_INTERVAL),
}
"""Name to configuration, given the settings that all share."""


STUDY = Study(
    RESULTS,
    "Train on ICU-Sepsis, solve for exact values.",
    {
        "seeds": (3, 1, "training seeds 0..N-1"),
        "episodes": (10_000, 1, "episodes of the dataset"),
        "steps": (3_000, 1, "updates a run"),
    },
    name="icu_sepsis",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line, trains and shows the table."""
    options = STUDY.options(arguments)
    check_writable(options.out)
    tables = SepsisTables.load()
    with progress_bar() as tell:
        tell("dataset", 0, 1)
        dataset = ensure_sepsis_dataset(tables, episodes=options.episodes)
        buffer = load_replay_buffer(dataset)
        tell("dataset", 1, 1)
        content = checksum(buffer.observations, buffer.actions, buffer.rewards, buffer.next_observations)
        units = [
            Unit(
                f"{name}-seed{seed}",
                partial(train, name, seed, options.steps, buffer, tables),
                {"algo": name, "seed": seed, "steps": options.steps, "data": content},
            )
            for name in ALGORITHMS
            for seed in range(options.seeds)
        ]
        runs = STUDY.each(units, options, "training", tell=tell)
    known = {
        **tables.references,
        "expert, as sampled": float(buffer.rewards.sum() / buffer.size()),
        f"tabular planner, shrunk by {SHRINKAGE:.0f} rows": planner_value(buffer, tables),
    }
    STUDY.tell(
        rows_of(known, runs),
        COLUMNS,
        options,
        title=f"{dataset.spec.dataset_id}: {buffer.size():,} episodes, {buffer.transition_count:,} steps; "
        f"{options.steps:,} updates",
        data={str(dataset.spec.dataset_id): content},
    )


def planner_value(buffer: FactoredReplayBuffer, tables: SepsisTables) -> float:
    """Exact survival under the plan over the table of logged states (`frl_algos.action_effects.planning`).

    Raises:
        UserError: If the dataset's observations are not states.
    """
    states = recurring(buffer.observations, buffer.next_observations)
    if states is None:
        raise UserError("a planner needs states that recur, and the dataset's observations are too many")
    steps = LoggedSteps(
        states=states, actions=buffer.actions, rewards=buffer.rewards, ended=buffer.terminals,
        episodes=np.repeat(np.arange(len(buffer.lengths)), buffer.lengths), valid=buffer.action_space.n_joint,
        gamma=GAMMA,
    )  # fmt: skip
    planned = plan(steps, np.zeros(buffer.transition_count, dtype=np.int64), caution=0.0)
    critic = StateCritic(buffer.observations.shape[1], buffer.action_space.n_joint, states=0)
    critic.take(planned)
    best = critic(torch.as_tensor(tables.observations)).argmax(dim=1).numpy()
    return tables.value(one_hot(best, buffer.action_space.n_joint))


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


def rows_of(known: Mapping[str, float], runs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row a policy: exact survival of references and of what was learned, mean and range over seeds."""
    rows: list[dict[str, Any]] = [
        {"policy": name, "seeds": None, "survival": value, "least": None, "most": None, "seconds": None}
        for name, value in known.items()
    ]
    for name in ALGORITHMS:
        own = [run for run in runs if run["algo"] == name]
        for mode in ("stochastic", "greedy"):
            values = [run[mode] for run in own if mode in run]
            if values:
                rows.append({
                    "policy": f"{name}, {mode}", "seeds": len(values), "survival": float(np.mean(values)),
                    "least": min(values), "most": max(values),
                    "seconds": float(np.mean([run["seconds"] for run in own])),
                })  # fmt: skip
    return rows


if __name__ == "__main__":
    run_or_say(main)
