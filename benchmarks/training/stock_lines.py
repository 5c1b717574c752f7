"""Lines of the benchmark that are d3rlpy's own algorithms."""

from typing import Any

from benchmarks.training.column_roles import Told
from benchmarks.training.makers import BATCH_SIZE, HIDDEN, TARGET_UPDATES, Maker, Settings
from frl_algos.policies.stock import create_stock
from frl_env.actions import ActionSpace


def _stock(name: str, **base: Any) -> Maker:
    """A stock algorithm with settings of its own, which tuned ones replace."""

    def make(space: ActionSpace, known: Told, settings: Settings) -> Any:
        shared = {"action_space": space, "batch_size": BATCH_SIZE, "hidden_sizes": (HIDDEN, HIDDEN)}
        return create_stock(name, **shared | base | dict(settings))

    return make


LINES: dict[str, Maker] = {
    # d3rlpy penalises squared logits by default (beta 0.5), which keeps cloning from cloning.
    "discrete_bc": _stock("discrete_bc", beta=0.0),
    "discrete_bc_default": _stock("discrete_bc"),
    "cql": _stock("discrete_cql", target_update_interval=TARGET_UPDATES),
    "iql": _stock("iql"),
    "bcq": _stock("discrete_bcq", target_update_interval=TARGET_UPDATES),
    "awac": _stock("awac"),
    "dqn": _stock("dqn", target_update_interval=TARGET_UPDATES),
}
