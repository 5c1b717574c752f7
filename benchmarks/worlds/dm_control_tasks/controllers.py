"""Controllers that are linear in what is observed: the best that are known of each task.

    sum of x_k w_kf + b_f     below -1/2: level 0     between: level 1     above 1/2: level 2

`benchmarks/studies/controller_search.py` found them by trying in the simulator. An offline learner sees what they did.
"""

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from jaxtyping import Float, Int64

from frl_env.errors import unknown_name

FILE = "data/controllers.json"
THRESHOLD = 0.5
"""A control beyond it, either way, takes the outer of the actuator's three levels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Controller:
    """See the module.

    Attributes:
        weights: `(observation, actuator)`.
        bias: By actuator.
    """

    weights: Float[np.ndarray, "k f"]
    bias: Float[np.ndarray, "f"]

    def levels(self, shown: Float[np.ndarray, "episode k"]) -> Int64[np.ndarray, "episode f"]:
        """What it does."""
        return in_bins(shown.astype(float) @ self.weights + self.bias)


def in_bins(numbers: Float[np.ndarray, "*any"]) -> Int64[np.ndarray, "*any"]:
    """Levels of numbers."""
    return 1 + (numbers > THRESHOLD).astype(np.int64) - (numbers < -THRESHOLD)


@cache
def known_controller(task: str) -> Controller:
    """The best of a task, for instance of "cheetah-run".

    Raises:
        UserError: If none was searched for.
    """
    found = json.loads((resources.files(__package__) / FILE).read_text())
    if task not in found:
        raise unknown_name("task", task, found)
    return Controller(
        weights=np.asarray(found[task]["weights"], dtype=float), bias=np.asarray(found[task]["bias"], dtype=float)
    )
