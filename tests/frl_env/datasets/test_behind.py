"""Work in a second thread keeps its order, and what goes wrong there is not lost."""

import threading
from collections.abc import Callable

import pytest

from frl_env.datasets.behind import Behind


def test_calls_follow_each_other():
    done = []
    with Behind() as behind:
        for number in range(20):
            behind(done.append, number)
        behind.wait()
        assert done == list(range(20))
        last = behind(sum, [1, 2])
    assert last.result() == 3


def _fail() -> None:
    raise OSError("full")


def test_what_goes_wrong_behind_comes_out_of_the_next_call_or_at_the_end():
    with pytest.raises(OSError, match="full"), Behind() as behind:
        behind(_fail)
    with Behind() as behind:
        behind(_fail)
        with pytest.raises(OSError, match="full"):
            behind(print)


def _fail_after(behind: Behind, late: Callable[[], None]) -> None:
    with behind:
        behind(late)
        raise KeyError


def test_of_two_problems_the_first_counts_and_nothing_goes_on():
    done = threading.Event()

    def late() -> None:
        done.wait(0.05)
        done.set()
        _fail()

    with pytest.raises(KeyError):
        _fail_after(Behind(), late)
    assert done.is_set()
