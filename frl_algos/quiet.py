"""d3rlpy's log lines, kept off the screen."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def quiet_d3rlpy() -> Iterator[None]:
    """Keeps d3rlpy's log lines off the screen, which a progress bar or a sentence has."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    try:
        yield
    finally:
        structlog.configure(**before)
