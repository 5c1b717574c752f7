"""Lines of the benchmark that are factored baselines."""

from typing import Any

from benchmarks.training.makers import BATCH_SIZE, HIDDEN, TARGET_UPDATES, Maker
from frl_algos import AutoregressiveIQLConfig, DecoupledCQLConfig, FactoredIQLConfig
from frl_algos.baselines.baseline_algorithm import BaselineConfig


def _factored(config: type[BaselineConfig], **base: Any) -> Maker:
    """A factored baseline with settings of its own, which tuned ones replace."""
    shared = {"batch_size": BATCH_SIZE, "hidden_size": HIDDEN}
    return lambda space, known, settings: config(**shared | base | dict(settings)).create()


LINES: dict[str, Maker] = {
    "factored_iql": _factored(FactoredIQLConfig),
    "autoregressive_iql": _factored(AutoregressiveIQLConfig),
    "decoupled_cql": _factored(DecoupledCQLConfig, target_update_interval=TARGET_UPDATES),
}
