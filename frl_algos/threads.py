"""Threads of numpy beside those of torch.

Both keep threads of their own that wait for work by spinning. Where the two take turns many times a second, as when a
policy is asked and its answers are added up, on few processors they take the time from each other.
"""

from contextlib import ContextDecorator

from threadpoolctl import threadpool_limits


def numpy_alone() -> ContextDecorator:
    """A decorator: numpy's products run on one thread while the function does; torch's are left alone."""
    return threadpool_limits.wrap(limits=1, user_api="blas")
