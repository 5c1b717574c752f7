"""Factored IQL: implicit Q-learning whose policy draws each factor on its own, given the state.

    pi(a | s)  proportional to  product over factors f of exp(logits_f(s)[a_f])        over valid a

One network has one logit a level (31 for the care-management actions). Where every joint action is valid the factors
are independent given the state; else the product is normalised over the valid ones. Critic and losses:
`frl_algos.baselines.implicit_q`. It is the factored baseline of the literature on combinatorial actions (as in Landers
et al., 2026, "Structured policy initialization"); Beeson et al. (2024) factorise the value as well.
"""

import dataclasses

import torch
from d3rlpy.base import register_learnable
from jaxtyping import Float, Int
from torch import Tensor

from frl_algos.baselines.factor_scores import FactorScores, two_hidden_layers
from frl_algos.baselines.implicit_q import ImplicitQConfig, JointPolicy, inverse_draw
from frl_env.actions import ActionSpace


@dataclasses.dataclass(kw_only=True)
class FactoredIQLConfig(ImplicitQConfig):
    """Settings; see `ImplicitQConfig`."""

    def make_policy(self, observation_size: int, space: ActionSpace) -> "FactoredPolicy":
        """The policy's network."""
        return FactoredPolicy(observation_size, space, self.hidden_size)

    @staticmethod
    def get_type() -> str:
        """Name in saved files."""
        return "factored_iql"


class FactoredPolicy(JointPolicy):
    """One logit a level; see the module."""

    def __init__(self, observation_size: int, space: ActionSpace, hidden_size: int) -> None:
        """Draws the network."""
        super().__init__()
        self.scores = FactorScores(space)
        self.logits = two_hidden_layers(observation_size, hidden_size, sum(space.nvec))

    def forward(self, x: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of the valid joint actions."""
        return torch.log_softmax(self.scores(self.logits(x)), dim=1)

    def log_likelihood(self, x: Float[Tensor, "batch k"], joints: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Log-probability of one joint action a state, among the valid ones."""
        logits = self.logits(x)
        return self.scores.of(logits, joints) - self.scores.log_sum_exp(logits)

    def best(self, x: Float[Tensor, "batch k"]) -> Int[Tensor, "batch"]:
        """The likeliest valid joint action."""
        return self.scores.best(self.logits(x))

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """A valid joint action by one uniform number a state."""
        return self.scores.valid[inverse_draw(self(x).exp(), uniform)]


register_learnable(FactoredIQLConfig)
