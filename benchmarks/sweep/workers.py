"""Many runs at once: over processes, or over a cluster; live progress, failures kept apart, nothing done twice.

The runs of a sweep know nothing of each other. joblib hands them to processes of this machine, or with `--scheduler`
to the workers of a Dask cluster. Only this process writes results; a worker tells how far it is through a small file,
where it shares a disk with us.
"""

import json
import multiprocessing
import os
import signal
import threading
import time
import traceback
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed, parallel_config
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.sweep import runs
from benchmarks.sweep.jobs import Job
from benchmarks.sweep.results import Results
from benchmarks.sweep.runs import Outcome
from benchmarks.sweep.temporary_folder import desk, sit_down
from frl_env.errors import UserError, shorten
from frl_env.files.atomic import unstoppable

HEARTBEAT = 0.5
"""Seconds between two signs of life of a run."""

PATIENCE = 60.0
"""Seconds that workers have for their own end; one may still be importing, on a busy machine."""


@dataclass(frozen=True)
class Failure:
    """A run that ended in an exception.

    Attributes:
        job: The run.
        reason: In a line.
        traceback: In full.
    """

    job: Job
    reason: str
    traceback: str


def run_all(jobs: Sequence[Job], results: Results, *, processes: int, scheduler: str | None = None) -> list[Failure]:
    """Does the runs that are not there yet, and keeps each as soon as it is done.

    Args:
        jobs: The sweep.
        results: Where they are kept.
        processes: How many at a time.
        scheduler: Address of a Dask scheduler, instead of processes of this machine.

    Returns:
        The runs that failed.

    Raises:
        UserError: If a worker dies, or the scheduler can't be reached.
    """
    pending = [job for job in jobs if not results.has(job)]
    failures: list[Failure] = []
    if not pending:
        return failures
    alone = scheduler is None and (processes == 1 or len(pending) == 1)
    with (
        _progress(len(jobs), len(jobs) - len(pending)) as (signs, bar),
        # Closed before the folder of the workers goes, also when a signal comes between two runs.
        closing(_one_by_one(pending, signs) if alone else _in_parallel(pending, signs, processes, scheduler)) as work,
    ):
        for done in work:
            if isinstance(done, Failure):
                failures.append(done)
                place = results.add_failure(done.job, done.traceback)
                bar.console.print(f"{done.job.name} failed: {done.reason} ({place})", highlight=False, markup=False)
            else:
                results.add(done)
            bar.advance(TaskID(0))
            (signs / f"{done.job.key}.json").unlink(missing_ok=True)
    return failures


def attempt(job: Job, signs: Path) -> Outcome | Failure:
    """One run: whatever goes wrong, but for Ctrl-C, comes back as a failure."""
    try:
        return runs.run(job, _Sign(signs / f"{job.key}.json", job.name))
    except (Exception, SystemExit) as problem:  # a plug-in may end Python; its run failed, and the others go on
        reason = " ".join(f"{type(problem).__name__}: {problem}".split())
        return Failure(job, reason[:300], traceback.format_exc())


def _one_by_one(pending: Sequence[Job], signs: Path) -> Generator[Outcome | Failure, None, None]:
    for job in pending:
        yield attempt(job, signs)


def _in_parallel(
    pending: Sequence[Job], signs: Path, processes: int, scheduler: str | None
) -> Generator[Outcome | Failure, None, None]:
    """Runs in processes of their own, here or at a Dask scheduler; whatever stops it, no process stays."""
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    ended = scheduler is not None
    try:
        with _backend(processes, scheduler, signs):
            # One run at a time and process, none waiting in joblib's queue: they take minutes, and a stop is clean.
            options: dict[str, Any] = {"batch_size": 1, "pre_dispatch": "n_jobs", "return_as": "generator_unordered"}
            # Runs differ in the memory they need; joblib replaces a process that has grown, and warns of it.
            warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")
            # Started while signals are held back, Python's tracker would let them through again.
            resource_tracker.ensure_running()
            with unstoppable():  # a process that is half started would be known to nobody
                work: Any = Parallel(**options)(delayed(attempt)(job, signs) for job in pending)
            yield from work
        if not ended:
            _dismiss()
            ended = True
    except TerminatedWorkerError as problem:
        raise UserError(
            f"a process of the sweep died, perhaps for want of memory; finished runs are kept: run the same command "
            f"again with --jobs {max(processes // 2, 1)}"
        ) from problem
    finally:
        if not ended:
            # Asked for without `reuse`, it is one with other settings, and the running one is waited for till its end.
            get_reusable_executor(reuse=True, kill_workers=True).shutdown(wait=True, kill_workers=True)


def _dismiss() -> None:
    """Has workers that have nothing left to do end by themselves, so that they give back what they hold.

    Python warns at its end of what a killed one held. Who takes too long is killed.
    """
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.backend.process import LokyProcess

    workers = [process for process in multiprocessing.active_children() if isinstance(process, LokyProcess)]

    def kill() -> None:
        for worker in workers:
            with suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)

    late = threading.Timer(PATIENCE, kill)
    late.daemon = True
    late.start()
    try:
        get_reusable_executor(reuse=True).shutdown(wait=True)
    except BaseException:
        kill()
        raise
    finally:
        late.cancel()


@contextmanager
def _backend(processes: int, scheduler: str | None, signs: Path) -> Iterator[None]:
    if scheduler is None:
        own: dict[str, Any] = {
            "initializer": sit_down,
            "initargs": (str(signs), os.getpid()),
            "temp_folder": str(signs),
        }
        with parallel_config(backend="loky", n_jobs=processes, inner_max_num_threads=1, **own):
            yield
        return
    with _client(scheduler), parallel_config(backend="dask", n_jobs=-1):
        yield


def _client(address: str) -> Any:
    """A connection to a Dask scheduler.

    Raises:
        UserError: If there is none.
    """
    try:
        from dask.distributed import Client
    except ImportError as problem:
        raise UserError("--scheduler needs Dask: pip install 'frl-medicaid[cluster]'") from problem
    try:
        return Client(address, timeout=2)
    except (OSError, ValueError, TimeoutError) as problem:
        raise UserError(
            f"no Dask scheduler at {shorten(address)!r} ({type(problem).__name__}); write it like tcp://host:8786, or "
            "leave --scheduler out"
        ) from problem


class _Sign:
    """A worker's sign of life: what it is at, in a small file, now and then.

    Args:
        file: Where.
        name: Of the run.
    """

    def __init__(self, file: Path, name: str) -> None:
        """Gives none yet."""
        self._file, self._name, self._next = file, name, 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        """Says how far the run is."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + HEARTBEAT
        with suppress(OSError):  # on another machine there is nobody to tell
            self._file.write_text(json.dumps([f"{self._name}: {what}", done, total]))


@contextmanager
def _progress(total: int, done: int) -> Iterator[tuple[Path, Progress]]:
    """A bar for the sweep and one for each run at work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    stop = threading.Event()
    with (
        desk() as signs,
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar,
    ):
        bar.add_task("runs", total=total, completed=done)
        watcher = threading.Thread(target=_watch, args=(signs, bar, stop), daemon=True)
        watcher.start()
        try:
            yield signs, bar
        finally:
            stop.set()
            watcher.join()


def _watch(signs: Path, bar: Progress, stop: threading.Event) -> None:
    shown: dict[str, TaskID] = {}
    while not stop.wait(HEARTBEAT):
        present = {file.name: file for file in signs.glob("*.json")}
        for name in set(shown) - set(present):
            bar.remove_task(shown.pop(name))
        for name, file in present.items():
            with suppress(OSError, ValueError):
                what, done, total = json.loads(file.read_text())
                if name not in shown:
                    shown[name] = bar.add_task(what, total=total)
                bar.update(shown[name], description=what, completed=done, total=total)


def check_scheduler(address: str) -> None:
    """Says before any work that no Dask scheduler answers.

    Raises:
        UserError: If so.
    """
    _client(address).close()


def default_processes() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
