"""Advantages of all valid joint actions in a state, as modules: what the policy follows."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from frl_algos.action_effects.estimate import Effects
from frl_algos.action_effects.regression_rows import FLOOR
from frl_algos.logged_data.signed_logarithm import squash_tensor


class EffectCritic(nn.Module):
    """The estimated effects of `frl_algos.action_effects.estimate`, to be applied in new states.

    Nothing in it is trained.

    Args:
        observation_size: Number of observed numbers, k.
        actions: Number of valid joint actions.
        indicated: Whether observations indicate actions.
    """

    weights: Tensor
    response: Tensor
    amount: Tensor
    unit: Tensor
    center: Tensor
    spread: Tensor
    low: Tensor
    high: Tensor

    def __init__(self, observation_size: int, actions: int, *, indicated: bool) -> None:
        """Starts with no effects."""
        super().__init__()
        rows = 1 + (2 if indicated else 1) * observation_size
        for name in ("center", "low"):
            self.register_buffer(name, torch.zeros(observation_size))
        for name in ("spread", "high"):
            self.register_buffer(name, torch.ones(observation_size))
        self.register_buffer("weights", torch.zeros(rows, actions))
        self.register_buffer("response", torch.zeros(rows, actions))
        self.register_buffer("amount", torch.zeros(2 * observation_size + 1))
        self.register_buffer("unit", torch.ones(()))
        self.forget()

    def forget(self) -> None:
        """Goes back to no effects, a chance of a response of 1, and an amount of 1."""
        for name in ("weights", "response", "amount"):
            getattr(self, name).zero_()
        self.response[0] = 1.0
        self.amount[0] = 1.0
        self.unit.fill_(1.0)

    def take(self, effects: Effects) -> None:
        """Keeps what was estimated."""
        for name in ("center", "spread", "low", "high", "weights", "response", "amount", "unit"):
            value = getattr(effects, name)
            if value is not None:
                getattr(self, name).copy_(torch.as_tensor(np.asarray(value)))

    def forward(
        self, observations: Float[Tensor, "batch k"], weights: Float[Tensor, "state_term valid"] | None = None
    ) -> Float[Tensor, "batch valid"]:
        """Advantage of each valid joint action over doing nothing, in units of reward.

        Args:
            observations: Scaled.
            weights: Effects to use instead of the critic's own.
        """
        terms, amount = self._terms(observations)
        effects = terms @ (self.weights if weights is None else weights)
        return (terms @ self.response).clamp_(0.02, 1.0).mul_(effects).mul_(amount[:, None])

    def chance(self, observations: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Probability of a response to each valid joint action; 1 where none is observed.

        Args:
            observations: Scaled.
        """
        return (self._terms(observations)[0] @ self.response).clamp_(0.02, 1.0)

    def _terms(
        self, observations: Float[Tensor, "batch k"]
    ) -> tuple[Float[Tensor, "batch state_term"], Float[Tensor, "batch"]]:
        """What weights are multiplied with, and the predicted amount in units of reward."""
        squashed = squash_tensor(observations)
        ones = torch.ones_like(squashed[:, :1])
        states = ((squashed - self.center) / self.spread).clamp(-4, 4)
        parts = [ones, states]
        if len(self.weights) > 1 + states.shape[1]:
            parts.append((observations - self.low) / torch.where(self.high > self.low, self.high - self.low, 1.0))
        amount = (torch.cat([ones, squashed, squashed**2], dim=1) @ self.amount).clamp(min=FLOOR) * self.unit
        return torch.cat(parts, dim=1), amount


class LazyScores:
    """Advantages in many states by one set of weights, made for those that are asked for.

    Args:
        critic: Holds what the weights are multiplied with.
        observations: Scaled.
        weights: Effects.
    """

    def __init__(
        self, critic: EffectCritic, observations: Float[Tensor, "state k"], weights: Float[Tensor, "state_term valid"]
    ) -> None:
        """Keeps them."""
        self._critic, self._observations, self._weights = critic, observations, weights

    def __getitem__(self, states: slice | np.ndarray) -> Float[Tensor, "some valid"]:
        """Advantages of all valid actions in some states, computed now."""
        return self._critic(self._observations[states], self._weights)
