"""Threads of torch while something is trained: one, unless more are asked for.

Sums depend on the number of threads: with a number of its own, training gives the same bytes whatever the caller's
number is. The networks are small, so that a second thread gains little and takes more of the processor
(docs/performance.md has both), and several trainings at once, a thread each, use the machine better.

    algorithm.fit(buffer, n_steps=6_000)                    # one thread
    with training_threads(4):                               # one training on an idle machine
        algorithm.fit(buffer, n_steps=6_000)

Afterwards, after an error too, and between two steps of `fitter` torch has the caller's own number.
"""

import functools
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

import torch

from frl_env.errors import check_whole

MOST = 1_024
"""Threads that can be asked for."""

P = ParamSpec("P")
T = TypeVar("T")

_THREADS: ContextVar[int] = ContextVar("training_threads", default=1)


@contextmanager
def training_threads(threads: int) -> Iterator[None]:
    """Within it, training uses this many of torch's threads.

    Args:
        threads: At least 1. Results for different numbers differ in the last digits.

    Raises:
        UserError: If it is no such number.
    """
    check_whole("threads", threads, low=1, high=MOST)
    before = _THREADS.set(threads)
    try:
        yield
    finally:
        _THREADS.reset(before)


@contextmanager
def as_trained() -> Iterator[None]:
    """Torch on the threads of training; also a decorator."""
    before = torch.get_num_threads()
    torch.set_num_threads(_THREADS.get())
    try:
        yield
    finally:
        torch.set_num_threads(before)


def do_parts(work: Callable[[slice], None], rows: int, at_once: int) -> None:
    """Works on parts of so many rows that don't depend on each other, as many parts at a time as torch has threads.

    Each is worked on by one thread: threads that share the operations of small networks wait for each other more than
    they work. The rows that are left are worked on by the caller's, since products of few rows have other last digits
    on other numbers of threads.
    """
    threads, left = torch.get_num_threads(), rows - rows % at_once
    parts = [slice(start, start + at_once) for start in range(0, left, at_once)]
    torch.set_num_threads(1)  # new threads begin with this number
    try:
        if min(threads, len(parts)) < 2:
            for part in parts:
                work(part)
        else:
            with ThreadPoolExecutor(min(threads, len(parts))) as pool:
                for _ in pool.map(work, parts):
                    pass
    finally:
        torch.set_num_threads(threads)
    if left < rows:
        work(slice(left, rows))


def steps_as_trained(method: Callable[P, Generator[T, None, None]]) -> Callable[P, Generator[T, None, None]]:
    """Decorates a generator: it runs on the threads of training, and between its steps the caller has its own."""

    @functools.wraps(method)
    def steps(*args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        made = method(*args, **kwargs)
        try:
            while True:
                with as_trained():
                    try:
                        step = next(made)
                    except StopIteration:
                        return
                yield step
        finally:
            made.close()

    return steps
