"""A decision process small enough to solve: the exact value of any policy, and a best one.

v = r_pi + gamma P_pi v          the value of a policy is d_0 . v
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float

from frl_env.errors import UserError


@dataclass(frozen=True, kw_only=True)
class DecisionProcess:
    """States in which something is decided; what is missing in a row of `transitions` is the chance that it ends.

    Attributes:
        transitions: Probabilities of the next state.
        rewards: Expected reward of a step.
        initial: Probabilities of the first state.
        gamma: Discount of a step.
    """

    transitions: Float[np.ndarray, "state action next"]
    rewards: Float[np.ndarray, "state action"]
    initial: Float[np.ndarray, "state"]
    gamma: float = 1.0

    def value(
        self, policy: Float[np.ndarray, "state action"], *, gamma: float | None = None, steps: int | None = None
    ) -> float:
        """Exact expected return of an episode.

        Args:
            policy: Probabilities of the actions in each state.
            gamma: Another discount than the process's own.
            steps: After which an episode is cut off; None for never.

        Raises:
            UserError: If it is not a policy.
        """
        return float(self.initial @ self.state_values(policy, gamma=gamma, steps=steps))

    def state_values(
        self, policy: Float[np.ndarray, "state action"], *, gamma: float | None = None, steps: int | None = None
    ) -> Float[np.ndarray, "state"]:
        """Exact expected return from each state on. Arguments and errors as `value`.

        Raises:
            UserError: If it is not a policy.
        """
        if policy.shape != self.rewards.shape:
            raise UserError(f"a policy needs shape {self.rewards.shape}, not {policy.shape}")
        if not (np.isfinite(policy).all() and (policy >= 0).all() and np.allclose(policy.sum(axis=1), 1, atol=1e-4)):
            raise UserError("a policy needs probabilities that sum to 1 in each of its rows")
        gamma = self.gamma if gamma is None else gamma
        moves = gamma * np.einsum("sa,sat->st", policy, self.transitions)
        rewards = (policy * self.rewards).sum(axis=1)
        if steps is None:
            return np.linalg.solve(np.eye(len(moves)) - moves, rewards)
        values = np.zeros(len(moves))
        for _ in range(steps):
            values = rewards + moves @ values
        return values

    def action_values(self, values: Float[np.ndarray, "state"]) -> Float[np.ndarray, "state action"]:
        """Expected return of each action, where states are worth so much afterwards."""
        return self.rewards + self.gamma * self.transitions @ values

    @cached_property
    def best_policy(self) -> Float[np.ndarray, "state action"]:
        """An optimal policy, by policy iteration; ties go to the first action."""
        policy = np.full(self.rewards.shape, 1 / self.rewards.shape[1])
        while True:
            wanted = self.action_values(self.state_values(policy))
            better = np.eye(wanted.shape[1])[(wanted > wanted.max(axis=1, keepdims=True) - 1e-10).argmax(axis=1)]
            if (better == policy).all():
                return policy
            policy = better
