"""One interface to a trained algorithm: raw observations in, factored actions out, all randomness passed in."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float32, Int64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_generator, check_number, unknown_name
from frl_env.kinds import check_kind, shown

Probabilities = Callable[[np.ndarray], np.ndarray]
"""Observations `(n, k)` float32 in raw units to probabilities of all joint actions, `(n, n_joint)`."""

MODES = ("stochastic", "greedy")
CHUNK = 512
"""Observations scored at once: few enough that the scores of all joint actions stay in the processor's cache."""


class ProbabilisticAlgorithm(Protocol):
    """A trained algorithm with exact probabilities over joint actions."""

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Greedy joint actions."""
        ...

    def predict_probabilities(self, observations: np.ndarray) -> np.ndarray:
        """Probabilities of all joint actions, `(n, n_joint)`."""
        ...


@runtime_checkable
class DrawingAlgorithm(Protocol):
    """An algorithm that draws from its exact probabilities faster than by computing all of them."""

    def draw(self, observations: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Joint actions by two uniform numbers a state, `(n, 2)`."""
        ...


DECIDES = ("predict", "predict_probabilities", "draw", "gains")
"""Methods by which an algorithm decides; it has one of them at least."""


class LearnedPolicy:
    """A trained algorithm as a policy over levels.

    Args:
        algorithm: Trained.
        action_space: Its actions.
        mode: "stochastic" draws from the exact probabilities; "greedy" takes the algorithm's best action.

    Raises:
        UserError: If the mode is unknown, or the algorithm or the actions are something else.
    """

    def __init__(self, algorithm: ProbabilisticAlgorithm, action_space: ActionSpace, mode: str = "stochastic") -> None:
        """Keeps the algorithm."""
        if mode not in MODES:
            raise unknown_name("policy mode", mode, MODES)
        if isinstance(algorithm, type) or not any(hasattr(algorithm, each) for each in DECIDES):
            raise UserError(f"algorithm must be a trained algorithm, not {shown(algorithm)}")
        check_kind("action_space", action_space, ActionSpace)
        self.algorithm = algorithm
        self.action_space = action_space
        self.mode = mode

    def __call__(
        self, observations: Float32[np.ndarray, "n k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "n factor"]:
        """Decides for many members: raw observations in, levels out."""
        check_generator(rng)
        uniform = rng.random((len(observations), 2), dtype=np.float32)
        joints = [
            self._choose(observations[start : start + CHUNK], uniform[start : start + CHUNK])
            for start in range(0, len(observations), CHUNK)
        ]
        return self.action_space.unravel(np.concatenate(joints) if joints else np.zeros(0, dtype=np.int64))

    @property
    def offers_probabilities(self) -> bool:
        """Whether a price on its probabilities can move it: not a greedy policy, nor one that can only draw."""
        return self.mode == "stochastic" and has_probabilities(self.algorithm)

    def probabilities(self, observations: Float32[np.ndarray, "n k"]) -> Float32[np.ndarray, "n joint"]:
        """Exact probabilities of all joint actions: what off-policy evaluation asks. A greedy policy has one of 1."""
        if self.mode == "stochastic":
            return self.algorithm.predict_probabilities(observations)
        chosen = np.asarray(self.algorithm.predict(observations), dtype=np.int64)
        probabilities = np.zeros((len(chosen), self.action_space.n_joint), dtype=np.float32)
        probabilities[np.arange(len(chosen)), chosen] = 1.0
        return probabilities

    def _choose(self, observations: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        if self.mode == "greedy":
            return np.asarray(self.algorithm.predict(observations), dtype=np.int64)
        if isinstance(self.algorithm, DrawingAlgorithm):
            return np.asarray(self.algorithm.draw(observations, uniform), dtype=np.int64)
        return draw_from(self.algorithm.predict_probabilities(observations), uniform[:, 0])


@torch.no_grad()
def ask(target: Probabilities, observations: Float32[np.ndarray, "n k"]) -> np.ndarray:
    """A policy's answer, without gradients on any thread: torch's own setting is one of each thread."""
    return target(observations)


def has_probabilities(algorithm: Any) -> bool:
    """Whether it tells exact probabilities of joint actions; a relaxed algorithm draws from its policy, but can't."""
    return hasattr(algorithm, "predict_probabilities") and not getattr(algorithm, "relaxed", False)


def draw_from(
    probabilities: Float32[np.ndarray, "n joint"], uniform: Float32[np.ndarray, "n"]
) -> Int64[np.ndarray, "n"]:
    """One action a state, by the inverse of the cumulative probabilities.

    Raises:
        UserError: If probabilities of a state are no numbers, or have no sum.
    """
    cumulative = torch.as_tensor(probabilities).cumsum(dim=1)
    wrong = int((~((cumulative[:, -1] > 0) & cumulative[:, -1].isfinite())).sum())
    if wrong:
        raise UserError(
            f"the policy's probabilities are not finite, or all 0, in {wrong:,} of {len(cumulative):,} states; each "
            "row must sum to 1"
        )
    # Below the total even after rounding, so that the draw falls on an action with mass.
    level = torch.as_tensor(uniform)[:, None] * cumulative[:, -1:] * (1 - 1e-6)
    return torch.searchsorted(cumulative, level, right=True).squeeze(1).numpy()


def softened(target: Probabilities, action_space: ActionSpace, epsilon: float) -> Probabilities:
    """A policy that does any valid action with probability `epsilon`, and what the target does otherwise.

    Importance weights need some probability on what was logged; a greedy policy has none on most of it. What is
    valued then is this policy and not the greedy one.

    Raises:
        UserError: If epsilon is not in 0..1.
    """
    check_number("epsilon", epsilon, low=0, high=1)
    if epsilon == 0:
        return target
    uniform = (action_space.valid / action_space.valid.sum()).astype(np.float32)
    return lambda observations: (1 - epsilon) * target(observations) + epsilon * uniform


class GainPolicy(LearnedPolicy):
    """An algorithm that also offers gains, so that a budget is spent by gain a minute; see `frl_env.capacity`."""

    def start_memory(self, members: int) -> np.ndarray:
        """Memories of members of whom nothing is known yet, `(members, m)`."""
        return self.algorithm.start_memory(members)  # type: ignore[attr-defined]

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        """The memories after a week."""
        return self.algorithm.remember(memory, observations, joints)  # type: ignore[attr-defined]

    def gains(self, observations: np.ndarray, memory: np.ndarray | None = None) -> np.ndarray:
        """Gains of the valid actions over doing nothing, `(n, valid)`."""
        return self.algorithm.gains(observations, memory)  # type: ignore[attr-defined]


def has_gains(algorithm: Any) -> bool:
    """Whether it offers gains: it has a method `gains`, and does not say otherwise (`offers_gains`)."""
    return callable(getattr(algorithm, "gains", None)) and bool(getattr(algorithm, "offers_gains", True))
