"""Results of a tiny sweep."""

import pytest

from benchmarks import run

TINY = ["--dataset", "tests/tiny-v0", "--steps", "30", "--eval-members", "80", "--jobs", "1"]


@pytest.fixture(scope="session")
def swept(tiny_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    run.main([*TINY, "--algo", "factored_awr", "--out", str(out)])
    return out
