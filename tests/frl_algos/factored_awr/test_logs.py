"""What FactoredAWR writes through d3rlpy's log adapters, and when."""

import json
import sys
import types

import d3rlpy
import numpy as np
import pytest
import torch
from d3rlpy.constants import LoggingStrategy
from d3rlpy.logging import (
    CombineAdapterFactory,
    FileAdapterFactory,
    NoopAdapterFactory,
    TensorboardAdapterFactory,
    WanDBAdapterFactory,
)

from frl_algos import FactoredAWRConfig

SMALL = {"batch_size": 32, "hidden_size": 16, "embedding_size": 4}
QUIET = {"show_progress": False, "logger_adapter": NoopAdapterFactory()}
TWO_EPOCHS = {"n_steps": 6, "n_steps_per_epoch": 3, "show_progress": False}
POLICY_METRICS = {"temperature", "advantage_scale", "policy_ratio_ess", "policy_action_share", "value_error"}


def _create(**settings):
    d3rlpy.seed(0)
    return FactoredAWRConfig(**(SMALL | {"critic": "none"} | settings)).create()


def _rows(path):
    return [tuple(float(cell) for cell in line.split(",")) for line in path.read_text().splitlines()]


def test_files_hold_every_metric_of_every_epoch(tiny_buffer, tmp_path):
    steps, epochs = [], []
    options = {"experiment_name": "run", "with_timestamp": False, "save_interval": 2}
    results = _create().fit(
        tiny_buffer,
        logger_adapter=FileAdapterFactory(str(tmp_path)),
        callback=lambda algo, epoch, step: steps.append((epoch, step)),
        epoch_callback=lambda algo, epoch, step: epochs.append((epoch, step)),
        **(TWO_EPOCHS | options),
    )
    assert steps == [(1, 1), (1, 2), (1, 3), (2, 4), (2, 5), (2, 6)]
    assert epochs == [(1, 3), (2, 6)]
    assert [epoch for epoch, _ in results] == [1, 2]
    directory = tmp_path / "run"
    assert sorted(path.name for path in directory.glob("*.d3")) == ["model_6.d3"]
    assert set(results[0][1]) == set(results[1][1]) >= POLICY_METRICS | {"clone_loss"}
    for name in results[0][1]:
        expected = [(float(epoch), 3.0 * epoch, values[name]) for epoch, values in results]
        assert _rows(directory / f"{name}.csv") == expected, name
    assert len((directory / "clone.gate.weight_grad.csv").read_text().splitlines()) == 3
    assert json.loads((directory / "params.json").read_text())["config"]["type"] == "factored_awr"


def test_metrics_of_the_policy_are_those_at_the_end_of_the_epoch_not_a_mean(tiny_buffer, monkeypatch):
    """d3rlpy averages over an epoch; a collapse in its last updates must not be averaged away."""
    monkeypatch.setattr("frl_algos.factored_awr.updating.update.CALIBRATE_EVERY", 2)
    algorithm = _create(critic="none")
    algorithm.set_grad_step(1)
    measured, original = [], algorithm.update

    def update(batch):
        measured.append(original(batch))
        return measured[-1]

    algorithm.update = update
    results = algorithm.fit(tiny_buffer, n_steps=10, n_steps_per_epoch=5, **QUIET)
    ends = [values for values in measured if "policy_action_share" in values]
    assert [measured.index(values) for values in ends] == [4, 9]
    for (_, values), end in zip(results, ends, strict=True):
        assert values["policy_action_share"] == end["policy_action_share"]
        assert values["clone_loss"] != end["clone_loss"]


def test_a_line_of_the_log_by_steps_has_the_policy_too(tiny_buffer, tmp_path):
    _create().fit(
        tiny_buffer, logger_adapter=FileAdapterFactory(str(tmp_path)), experiment_name="run", with_timestamp=False,
        logging_strategy=LoggingStrategy.STEPS, logging_steps=2, **TWO_EPOCHS,
    )  # fmt: skip
    for name in ("clone_loss", "policy_action_share"):
        assert [row[1] for row in _rows(tmp_path / "run" / f"{name}.csv")] == [2.0, 4.0, 6.0], name


def test_fitter_yields_every_epoch_and_may_be_left(tiny_buffer):
    algorithm = _create()
    for epoch, values in algorithm.fitter(tiny_buffer, **(TWO_EPOCHS | QUIET)):
        assert np.isfinite(values["clone_loss"])
        if epoch == 1:
            break
    assert algorithm.grad_step == 3
    assert algorithm.predict(tiny_buffer.observations[:2]).shape == (2,)


def test_tensorboard(tiny_buffer, tmp_path):
    pytest.importorskip("tensorboardX")
    _create().fit(tiny_buffer, logger_adapter=TensorboardAdapterFactory(str(tmp_path)), **TWO_EPOCHS)
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("events*"))
    for name in (b"metrics/clone_loss", b"metrics/policy_action_share", b"histograms/clone.gate.weight_grad"):
        assert name in written


class Run:
    """What Weights & Biases gives for a run, as far as d3rlpy calls it."""

    def __init__(self):
        self.config, self.logged, self.watched, self.finished = {}, [], (), False

    def watch(self, modules, log, log_freq):
        self.watched = modules

    def log(self, values, step):
        self.logged.append((step, values))

    def finish(self):
        self.finished = True


def test_weights_and_biases_and_files_at_once(tiny_buffer, tmp_path, monkeypatch):
    run, names = Run(), []
    module = types.ModuleType("wandb")
    module.init = lambda project, name: names.append((project, name)) or run
    monkeypatch.setitem(sys.modules, "wandb", module)
    factory = CombineAdapterFactory([WanDBAdapterFactory("care"), FileAdapterFactory(str(tmp_path))])
    options = {"experiment_name": "run", "with_timestamp": False}
    results = _create().fit(tiny_buffer, logger_adapter=factory, **(TWO_EPOCHS | options))
    assert names == [("care", "run")]
    assert run.finished
    assert run.config["config"]["params"]["batch_size"] == 32
    assert any(isinstance(m, torch.nn.Module) for m in run.watched)
    for name in ("clone_loss", "policy_action_share"):
        logged = [(step, values[name]) for step, values in run.logged if name in values]
        assert logged == [(3 * epoch, values[name]) for epoch, values in results]
    assert (tmp_path / "run" / "model_3.d3").exists()
