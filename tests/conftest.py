"""Fixtures: a private Minari store, a tiny dataset, an algorithm trained on it.

The lane for the newest gymnasium has no d3rlpy: what needs frl_algos imports it in its fixture.
"""

import os
import tempfile
from pathlib import Path

import pytest

# Before anything imports Minari: no test touches the user's own datasets.
_STORE = tempfile.TemporaryDirectory(prefix="frl-tests-")
os.environ["MINARI_DATASETS_PATH"] = _STORE.name

import numpy as np  # noqa: E402

from frl_env.datasets import Recipe, build_dataset  # noqa: E402


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    return Recipe(dataset_id="tests/tiny-v0", description="for tests", members=60, seed=3, horizon=12)


@pytest.fixture(scope="session")
def tiny_dataset(tiny_recipe):
    return build_dataset(tiny_recipe)


@pytest.fixture
def tiny_buffer(tiny_dataset):
    from frl_algos import load_replay_buffer

    return load_replay_buffer(tiny_dataset, seed=1)


@pytest.fixture(scope="session")
def trained(tiny_dataset):
    """FactoredAWR after a few updates on the tiny dataset."""
    import d3rlpy

    from frl_algos import FactoredAWRConfig, load_replay_buffer

    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(response=0, batch_size=64).create()
    algorithm.fit(
        load_replay_buffer(tiny_dataset, seed=1),
        n_steps=60,
        show_progress=False,
        logger_adapter=d3rlpy.logging.NoopAdapterFactory(),
    )
    return algorithm


@pytest.fixture
def observations(tiny_buffer) -> np.ndarray:
    return tiny_buffer.observations[:50]


@pytest.fixture
def empty_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Minari store of its own, for tests that count files."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def one_thread():
    """Torch on one thread: on a busy machine several wait for each other, minutes instead of seconds."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
