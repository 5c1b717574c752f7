"""Threads of numpy's products, for closed forms.

BLAS keeps threads of its own that wait for work by spinning. Where many small products and solves follow each other, or
numpy and torch take turns many times a second, threads wait for each other more than they work: on a busy machine
minutes for what one thread does in seconds.
"""

from contextlib import ContextDecorator

from threadpoolctl import threadpool_limits


def numpy_alone() -> ContextDecorator:
    """A decorator: numpy's products run on one thread while the function does; torch's are left alone."""
    return threadpool_limits.wrap(limits=1, user_api="blas")
