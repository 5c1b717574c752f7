"""Advantages of all valid joint actions in a state, as modules: what the policy follows."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from frl_algos.effects.estimate import FLOOR, Effects


class EffectCritic(nn.Module):
    """The estimated effects of `frl_algos.effects.estimate`, to be applied in new states; nothing in it is trained.

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
        # A constant chance and amount of 1 until the dataset is known.
        one = torch.zeros(rows, actions)
        one[0] = 1.0
        self.register_buffer("response", one)
        self.register_buffer("amount", torch.eye(2 * observation_size + 1)[0])
        self.register_buffer("unit", torch.ones(()))

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
        squashed = torch.sign(observations) * torch.log1p(observations.abs())
        ones = torch.ones_like(squashed[:, :1])
        states = ((squashed - self.center) / self.spread).clamp(-4, 4)
        parts = [ones, states]
        if len(self.weights) > 1 + states.shape[1]:
            parts.append((observations - self.low) / torch.where(self.high > self.low, self.high - self.low, 1.0))
        terms = torch.cat(parts, dim=1)
        amount = (torch.cat([ones, squashed, squashed**2], dim=1) @ self.amount).clamp(min=FLOOR) * self.unit
        effects = terms @ (self.weights if weights is None else weights)
        return (terms @ self.response).clamp_(0.02, 1.0) * effects * amount[:, None]
