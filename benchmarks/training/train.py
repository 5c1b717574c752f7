"""Training any algorithm for a number of updates, quietly, with progress, and what it took."""

import math
import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from d3rlpy.logging import NoopAdapterFactory

from frl_algos import FactoredReplayBuffer
from frl_algos.quiet import quiet_d3rlpy
from frl_algos.threads import as_trained

UPDATES_AN_EPOCH = 500
"""Updates between two looks at Ctrl-C; d3rlpy calls an epoch what lies between two lines of its log."""

LOOKS = 4
"""Looks at an algorithm while it trains, at most."""

LINUX_STATUS, LINUX_RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
"""Where Linux tells the peak of memory, and where it is set back."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """What one training took.

    Attributes:
        updates: Updates done.
        wall_s: Seconds of the whole `fit`.
        updates_per_s: Of the whole `fit`.
        samples_per_s: The same in rows; None where the algorithm names no `batch_size`.
        peak_rss_mb: Largest memory of the process during it, in MB (10**6 bytes); the dataset is in it.
        metrics: What the algorithm logged at its end; None for what is not finite.
        curve: The same along the way, with the number of updates (`step`) and what `watch` returned then (`watched`).
    """

    updates: int
    wall_s: float
    updates_per_s: float
    samples_per_s: float | None
    peak_rss_mb: float
    metrics: dict[str, float | None]
    curve: list[dict[str, Any]]


def train(
    algorithm: Any,
    buffer: FactoredReplayBuffer,
    *,
    steps: int,
    seed: int,
    progress: Callable[[int], None] = lambda done: None,
    watch: Callable[[], Any] | None = None,
) -> Training:
    """Trains an algorithm on a buffer, any kind of them on one thread unless `training_threads` says otherwise.

    Args:
        algorithm: Anything `frl_algos.policies.adapter.adapt` returns.
        buffer: The data.
        steps: Updates. d3rlpy trains whole epochs only: equal ones lose less than one update an epoch.
        seed: Of torch and of the sampling.
        progress: Called with the number of updates done.
        watch: Looks at the algorithm at most `LOOKS` times on the way; its time does not count as training.
    """
    torch.manual_seed(seed)
    buffer.reseed(seed)
    epochs = -(-steps // UPDATES_AN_EPOCH)
    an_epoch = steps // epochs
    every = -(-epochs // LOOKS)
    watched: dict[int, Any] = {}
    looked = 0.0

    def after_epoch(algo: Any, epoch: int, step: int) -> None:
        nonlocal looked
        if watch is not None and (epoch % every == 0 or epoch == epochs):
            began = time.perf_counter()
            watched[epoch] = watch()
            looked += time.perf_counter() - began

    forget_peak_rss()
    started = time.perf_counter()
    with quiet_d3rlpy(), as_trained():
        curve = algorithm.fit(
            buffer,
            n_steps=an_epoch * epochs,
            n_steps_per_epoch=an_epoch,
            logger_adapter=NoopAdapterFactory(),
            show_progress=False,
            callback=lambda algo, epoch, step: progress(step),
            epoch_callback=after_epoch,
        )
    wall = time.perf_counter() - started - looked
    rows = getattr(algorithm, "batch_size", None)
    return Training(
        updates=an_epoch * epochs,
        wall_s=wall,
        updates_per_s=an_epoch * epochs / wall,
        samples_per_s=an_epoch * epochs * rows / wall if rows else None,
        peak_rss_mb=peak_rss_mb(),
        # d3rlpy returns its curve; an algorithm of another kind may return nothing.
        metrics=_metrics(curve[-1][1]) if curve else {},
        curve=[
            {"step": epoch * an_epoch, "metrics": _metrics(metrics), "watched": watched.get(epoch)}
            for epoch, metrics in curve or ()
        ],
    )


def _metrics(logged: Mapping[str, Any]) -> dict[str, float | None]:
    return {key: _finite(value) for key, value in logged.items()}


def _finite(value: Any) -> float | None:
    return float(value) if math.isfinite(value) else None


def forget_peak_rss() -> None:
    """Starts the measurement of memory anew, where the system can (Linux); elsewhere it is the process's so far."""
    with suppress(OSError):
        LINUX_RESET.write_text("5")


def peak_rss_mb() -> float:
    """Largest memory of this process since `forget_peak_rss`, in MB (10**6 bytes)."""
    with suppress(OSError, StopIteration, ValueError):
        line = next(line for line in LINUX_STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024 / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
