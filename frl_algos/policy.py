"""One interface to a trained algorithm: raw observations in, factored actions out, all randomness passed in."""

from typing import Protocol

import numpy as np
from jaxtyping import Float32, Int64

from frl_env.actions import ActionSpace
from frl_env.errors import unknown_name

MODES = ("stochastic", "greedy")
CHUNK = 8_192
"""Observations scored at once; bounds memory to a few hundred megabytes for 1,080 joint actions."""


class ProbabilisticAlgorithm(Protocol):
    """A trained algorithm with exact probabilities over joint actions."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Greedy joint actions."""
        ...

    def predict_probabilities(self, observations: np.ndarray) -> np.ndarray:
        """Probabilities of all joint actions, `(n, n_joint)`."""
        ...


class LearnedPolicy:
    """A trained algorithm as a policy over levels.

    Args:
        algorithm: Trained.
        action_space: Its actions.
        mode: "stochastic" draws from the exact probabilities; "greedy" takes the algorithm's best action.

    Raises:
        UserError: If the mode is unknown.
    """

    def __init__(self, algorithm: ProbabilisticAlgorithm, action_space: ActionSpace, mode: str = "stochastic") -> None:
        """Keeps the algorithm."""
        if mode not in MODES:
            raise unknown_name("policy mode", mode, MODES)
        self.algorithm = algorithm
        self.action_space = action_space
        self.mode = mode

    def __call__(
        self, observations: Float32[np.ndarray, "n k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "n factor"]:
        """Decides for many members: raw observations in, levels out."""
        uniform = rng.random(len(observations), dtype=np.float32)
        joints = [
            self._choose(observations[start : start + CHUNK], uniform[start : start + CHUNK])
            for start in range(0, len(observations), CHUNK)
        ]
        return self.action_space.unravel(np.concatenate(joints))

    def _choose(self, observations: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        if self.mode == "greedy":
            return np.asarray(self.algorithm.predict(observations), dtype=np.int64)
        cumulative = np.cumsum(self.algorithm.predict_probabilities(observations), axis=1)
        drawn = (cumulative <= (uniform * cumulative[:, -1])[:, None]).sum(axis=1)
        # Past the last joint action with mass, cumulative sums no longer grow: never choose there.
        last = cumulative.shape[1] - 1 - np.argmax(np.diff(cumulative[:, ::-1], axis=1) < 0, axis=1)
        return np.minimum(drawn, last).astype(np.int64)
