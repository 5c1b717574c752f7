"""Training in two processes under torchrun, as d3rlpy does it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_algos.factored_awr.updating.parallel import average_gradients, follow_first, place
from frl_env.actions import ActionSpace

WORKER = """
import sys
from pathlib import Path

import frl_algos  # noqa: F401 - before d3rlpy, which it imports without noise
import d3rlpy
import numpy as np
import torch

from test_parallel import create, episodes

directory = Path(sys.argv[1])
rank = d3rlpy.distributed.init_process_group("gloo")
d3rlpy.seed(rank)  # weights drawn differently: the second process must take those of the first
algorithm = create(enable_ddp=True, extraction=sys.argv[2])
buffer = episodes()
rows, original = [], buffer.batch_of
buffer.batch_of = lambda chosen: rows.append(chosen) or original(chosen)
files = d3rlpy.logging.FileAdapterFactory(str(directory))
algorithm.fit(
    buffer, n_steps=12, n_steps_per_epoch=6, show_progress=False, experiment_name="run", with_timestamp=False,
    logger_adapter=files if rank == 0 else d3rlpy.logging.NoopAdapterFactory(),
)
state = algorithm.impl.modules.get_torch_modules().values()
np.savez(
    directory / f"rank{rank}.npz",
    weights=torch.cat([t.double().flatten() for m in state for t in m.state_dict().values()]).numpy(),
    rows=np.stack(rows), predicted=algorithm.predict(buffer.observations),
    probabilities=algorithm.predict_probabilities(buffer.observations),
)
d3rlpy.distributed.destroy_process_group()
"""


def episodes():
    rng = np.random.default_rng(0)
    observations = rng.normal(size=(400, 3)).astype(np.float32)
    return FactoredReplayBuffer(
        observations=observations, actions=np.stack([rng.integers(0, 3, 400), rng.integers(0, 2, 400)], axis=1),
        rewards=rng.normal(size=400).astype(np.float32), next_observations=np.roll(observations, -1, axis=0),
        lengths=np.full(100, 4), terminated=np.ones(100, bool), action_space=ActionSpace.from_nvec((3, 2)), seed=1,
    )  # fmt: skip


def create(enable_ddp=False, **settings):
    return FactoredAWRConfig(batch_size=16, hidden_size=8, embedding_size=4, **settings).create(enable_ddp=enable_ddp)


@pytest.mark.slow
@pytest.mark.parametrize("extraction", ["closed_form", "regression"])
def test_two_processes_end_with_one_policy(tmp_path, extraction):
    here = Path(__file__).parent
    (tmp_path / "worker.py").write_text(WORKER)
    paths = [str(here.parents[1]), str(here), os.environ.get("PYTHONPATH", "")]
    subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
         str(tmp_path / "worker.py"), str(tmp_path), extraction],
        check=True, timeout=240, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    one, two = (dict(np.load(tmp_path / f"rank{rank}.npz")) for rank in range(2))
    for name in ("weights", "predicted", "probabilities"):
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert not (one["rows"] == two["rows"]).all(axis=1).any(), "each process has rows of its own"
    assert (tmp_path / "run" / "model_12.d3").exists()


def test_streams_of_rows_are_repeatable_and_apart():
    def rows(part):
        buffer = episodes()
        buffer.split(part, 2)
        return buffer.sample_transition_batch(50).indices

    np.testing.assert_array_equal(rows(0), rows(0))
    assert (rows(0) == rows(1)).mean() < 0.2
    assert episodes().seed == 1


def test_one_process_stays_as_it_is():
    assert place() == (0, 1)
    layer = torch.nn.Linear(2, 1)
    layer(torch.ones(1, 2)).sum().backward()
    average_gradients(list(layer.parameters()))
    follow_first([layer])
    torch.testing.assert_close(layer.weight.grad, torch.ones(1, 2))


def test_averaging_means_over_processes(monkeypatch):
    """Two processes of which the other has no gradient at all."""
    monkeypatch.setattr("frl_algos.factored_awr.updating.parallel.place", lambda: (0, 2))
    monkeypatch.setattr("torch.distributed.all_reduce", lambda tensor: tensor)
    a, b = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(3))
    a.grad = torch.full((2, 2), 4.0)
    average_gradients([a, b])
    torch.testing.assert_close(a.grad, torch.full((2, 2), 2.0))
    torch.testing.assert_close(b.grad, torch.zeros(3))
