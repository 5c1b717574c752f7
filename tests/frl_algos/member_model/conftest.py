import pytest
from gains_program import fitted, program

from frl_algos import FactoredReplayBuffer


@pytest.fixture(scope="session")
def buffer() -> FactoredReplayBuffer:
    return program()


@pytest.fixture(scope="session")
def algorithm(buffer):  # type: ignore[no-untyped-def]
    return fitted(buffer)
