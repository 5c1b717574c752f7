"""The algorithms that `--algo` knows, and one run of one of them: train, save, score."""

import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from d3rlpy.logging import NoopAdapterFactory
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks.evaluation import Evaluation
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.policy import MODES, LearnedPolicy
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.rollout import Returns

UPDATES_AN_EPOCH = 500
"""Updates between two looks at the progress bar's loss and at Ctrl-C."""


def factored_awr(observation_names: Sequence[str], space: ActionSpace) -> FactoredAWRConfig:
    """FactoredAWR, told what the observations mean.

    A completed contact is the response of a member, where the dataset records it; a screening result indicates the goal
    of the same name.
    """
    names = list(observation_names)
    contact = "num_encounters_last_week"
    levels = [level for factor in space for level in factor.levels]
    return FactoredAWRConfig(
        response=names.index(contact) if contact in names else None,
        indications={
            level: names.index(f"screened_{str(level).lower()}")
            for level in levels
            if f"screened_{str(level).lower()}" in names
        },
    )


ALGORITHMS: dict[str, Callable[[Sequence[str], ActionSpace], Any]] = {"factored_awr": factored_awr}
"""Name on the command line to configuration, given the dataset's observation names and actions."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One trained algorithm, scored in one mode."""

    algo: str
    mode: str
    seed: int
    steps: int
    wall_s: float
    updates_per_s: float
    samples_per_s: float
    peak_rss_mb: float
    metrics: dict[str, float]
    model: str
    returns: Returns

    def facts(self) -> dict[str, Any]:
        """Everything but the per-member returns."""
        return {key: value for key, value in vars(self).items() if key != "returns"}


def train_and_score(
    name: str,
    seed: int,
    steps: int,
    buffer: FactoredReplayBuffer,
    dataset: Any,
    evaluation: Evaluation,
) -> tuple[Any, list[Run]]:
    """Trains one algorithm with one seed and scores it in every mode.

    Args:
        name: A key of `ALGORITHMS`.
        seed: Seed of initialisation and sampling.
        steps: Updates.
        buffer: Training data.
        dataset: The Minari dataset it came from.
        evaluation: Where policies are scored.

    Returns:
        The trained algorithm, and one run a mode.
    """
    torch.manual_seed(seed)
    buffer.reseed(seed)
    names = dataset.storage.metadata.get("frl_observation_names", [])
    algorithm = ALGORITHMS[name](names, buffer.action_space).create()
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(f"{name} seed {seed}: training", total=steps)
        # d3rlpy trains whole epochs only: equal ones lose less than one update an epoch.
        epochs = -(-steps // UPDATES_AN_EPOCH)
        an_epoch = steps // epochs
        done = epochs * an_epoch
        started = time.perf_counter()
        with quiet_d3rlpy():
            curve = algorithm.fit(
                buffer,
                n_steps=steps,
                n_steps_per_epoch=an_epoch,
                logger_adapter=NoopAdapterFactory(),
                show_progress=False,
                callback=lambda algo, epoch, step: bar.update(task, completed=step),
            )
        wall = time.perf_counter() - started
        runs = []
        for mode in MODES:
            scoring = bar.add_task(f"{name} seed {seed}: scoring {mode}", total=evaluation.horizon)
            returns = evaluation.score_decisions(
                LearnedPolicy(algorithm, buffer.action_space, mode),
                lambda week, total, scoring=scoring: bar.update(scoring, completed=week),
            )
            runs.append(
                Run(
                    algo=name,
                    mode=mode,
                    seed=seed,
                    steps=done,
                    wall_s=wall,
                    updates_per_s=done / wall,
                    samples_per_s=done * algorithm.batch_size / wall,
                    peak_rss_mb=peak_rss_mb(),
                    metrics={key: float(value) for key, value in curve[-1][1].items()},
                    model=f"{name}-seed{seed}.d3",
                    returns=returns,
                )
            )
    return algorithm, runs


@contextmanager
def quiet_d3rlpy() -> Iterator[None]:
    """Keeps d3rlpy's log lines off the screen, which the progress bar has."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)


def save_whole(algorithm: Any, file: Path) -> None:
    """Saves a d3rlpy model under its name only when it is complete.

    Raises:
        UserError: If it can't be written; what was there before stays.
    """
    aside = file.with_name(f".{file.name}.writing")
    try:
        algorithm.save(str(aside))
        aside.replace(file)
    except OSError as problem:
        raise UserError(f"can't write {file} ({problem.strerror or problem}); free space or use --out") from problem
    finally:
        aside.unlink(missing_ok=True)


def peak_rss_mb() -> float:
    """Largest memory of this process so far, in MB (10**6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
