"""Threads: numpy's products on one, for closed forms, and work that is done one ahead on another.

BLAS keeps threads of its own that wait for work by spinning. Where many small products and solves follow each other, or
numpy and torch take turns many times a second, threads wait for each other more than they work: on a busy machine
minutes for what one thread does in seconds.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ContextDecorator
from contextvars import copy_context
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits

MOST = 4
"""Threads of one's own at once: each takes memory, and they soon wait for it."""

T = TypeVar("T")
U = TypeVar("U")


def numpy_alone() -> ContextDecorator:
    """A decorator: numpy's products run on one thread while the function does; torch's are left alone."""
    return threadpool_limits.wrap(limits=1, user_api="blas")


def one_ahead(made: Iterable[T]) -> Iterator[T]:
    """Yields the items, the next one made on a thread of its own while the caller works on this one.

    They are made one after the other, so that draws and sums are what they are without. How each is made must not
    depend on what is done with the one before.
    """
    end: Any = object()
    source, context = iter(made), copy_context()  # numpy's settings of errors among it
    with ThreadPoolExecutor(1) as beside:
        coming = beside.submit(context.run, next, source, end)
        while (found := coming.result()) is not end:
            coming = beside.submit(context.run, next, source, end)
            yield found


def side_by_side(work: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """What is made of each, in their order, some at once; each by one thread, so that its sums are what they are alone.

    As many at once as `OMP_NUM_THREADS` says, or as there are processors, and no more than `MOST`.
    """
    said = os.environ.get("OMP_NUM_THREADS", "")
    threads = min(int(said) if said.isdigit() else os.cpu_count() or 1, MOST)
    if threads < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        return [each.result() for each in [pool.submit(copy_context().run, work, item) for item in items]]
