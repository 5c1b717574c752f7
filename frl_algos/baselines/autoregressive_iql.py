"""Autoregressive IQL: implicit Q-learning whose policy draws one factor after the other, each given those before it.

    pi(a | s) = product over factors f of pi_f(a_f | s, a_1 ... a_{f-1})

so that any dependence between factors can be learned, at the price of an order: that of the dataset. Every conditional
is a network with one hidden layer over features of the state, which all share, and the levels before:

    logits_f = W_f relu(A_f h(s) + sum over g < f of B_fg[a_g]) + c_f

A level after which no valid joint action is left has no chance. The greedy action takes the likeliest level of each
factor in turn, which need not be the likeliest joint action. Critic and losses: `frl_algos.baselines.implicit_q`.
"""

import dataclasses

import numpy as np
import torch
from d3rlpy.base import register_learnable
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.baselines.factor_scores import FactorScores
from frl_algos.baselines.implicit_q import ImplicitQConfig, JointPolicy, inverse_draw
from frl_env.actions import ActionSpace

FEW = 64
"""States whose hidden layers, one for each prefix, stay in the processor's cache."""


@dataclasses.dataclass(kw_only=True)
class AutoregressiveIQLConfig(ImplicitQConfig):
    """Settings; see `ImplicitQConfig`."""

    def make_policy(self, observation_size: int, space: ActionSpace) -> "AutoregressivePolicy":
        """The policy's network."""
        return AutoregressivePolicy(observation_size, space, self.hidden_size)

    @staticmethod
    def get_type() -> str:
        """Name in saved files."""
        return "autoregressive_iql"


class AutoregressivePolicy(JointPolicy):
    """A conditional network a factor; see the module. A prefix is the joint index of the levels before a factor."""

    def __init__(self, observation_size: int, space: ActionSpace, hidden_size: int) -> None:
        """Draws the networks, and lays out which levels can follow which prefix."""
        super().__init__()
        self.scores = FactorScores(space)
        self.features = nn.Sequential(nn.Linear(observation_size, hidden_size), nn.ReLU())
        self.of_state = nn.ModuleList(nn.Linear(hidden_size, hidden_size) for _ in space.nvec)
        self.of_levels = nn.ModuleList(
            nn.Linear(max(sum(space.nvec[:f]), 1), hidden_size, bias=False) for f in range(len(space.nvec))
        )
        self.out = nn.ModuleList(nn.Linear(hidden_size, levels) for levels in space.nvec)
        for f, levels in enumerate(space.nvec):
            before = int(np.prod(space.nvec[:f]))
            after = space.valid.reshape(before, levels, -1).any(axis=2)
            self.register_buffer(f"open_{f}", torch.as_tensor(after), persistent=False)
            digits = np.stack(np.unravel_index(np.arange(before), space.nvec[:f] or (1,)), axis=1)
            taken = np.zeros((before, max(sum(space.nvec[:f]), 1)), dtype=np.float32)
            if f:
                np.put_along_axis(taken, digits + np.cumsum((0, *space.nvec[: f - 1])), 1.0, axis=1)
            self.register_buffer(f"taken_{f}", torch.as_tensor(taken), persistent=False)

    def conditional(
        self, f: int, features: Float[Tensor, "*batch hidden"], prefixes: Int[Tensor, "*batch"]
    ) -> Float[Tensor, "*batch level"]:
        """Log-probabilities of the levels of a factor after each prefix; minus infinity where nothing valid follows."""
        levels = self.of_levels[f](getattr(self, f"taken_{f}")[prefixes])
        # In place: this is a hidden layer for each prefix, and a copy of it takes as long again.
        logits = self.out[f]((self.of_state[f](features) + levels).relu_())
        return torch.log_softmax(logits.masked_fill(~getattr(self, f"open_{f}")[prefixes], float("-inf")), dim=-1)

    def forward(self, x: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of the valid joint actions: every prefix is followed."""
        return torch.cat([self._all(few) for few in x.split(FEW)])

    def _all(self, x: Float[Tensor, "few k"]) -> Float[Tensor, "few valid"]:
        """Log-probability of every valid joint action, built up factor by factor over all prefixes."""
        features, joint = self.features(x)[:, None], torch.zeros(len(x), 1, device=x.device)
        for f, _ in enumerate(self.scores.nvec):
            prefixes = torch.arange(joint.shape[1], device=x.device)
            reachable = getattr(self, f"open_{f}").any(dim=1)  # after any other prefix no level has a chance
            following = torch.full((*joint.shape, self.scores.nvec[f]), float("-inf"), device=x.device)
            following[:, reachable] = self.conditional(f, features, prefixes[reachable])
            joint = (joint[:, :, None] + following).flatten(1)
        return joint[:, self.scores.valid]

    def log_likelihood(self, x: Float[Tensor, "batch k"], joints: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Log-probability of one joint action a state: the sum of its factors', each given the levels before it."""
        features, levels = self.features(x), self.scores.levels[joints]
        prefix, total = torch.zeros_like(joints), torch.zeros(len(x), device=x.device)
        for f, size in enumerate(self.scores.nvec):
            chosen = levels[:, f]
            total = total + self.conditional(f, features, prefix).gather(1, chosen[:, None])[:, 0]
            prefix = prefix * size + chosen
        return total

    def best(self, x: Float[Tensor, "batch k"]) -> Int[Tensor, "batch"]:
        """The likeliest level of each factor in turn."""
        return self._in_turn(x, None)

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """A level of each factor in turn, by what is left of one uniform number."""
        return self._in_turn(x, uniform.double())

    def _in_turn(self, x: Tensor, uniform: Tensor | None) -> Int[Tensor, "batch"]:
        """Joint indices, factor by factor: the most probable level, or, given a uniform draw a state, a drawn one."""
        features = self.features(x)
        prefix = torch.zeros(len(x), dtype=torch.long, device=x.device)
        for f, size in enumerate(self.scores.nvec):
            chances = self.conditional(f, features, prefix).exp().double()
            if uniform is None:
                level = chances.argmax(dim=1)
            else:
                level = inverse_draw(chances, uniform)
                # Where the draw lies within the chosen level is uniform again: one draw serves all factors.
                chosen = chances.gather(1, level[:, None])[:, 0]
                below = chances.cumsum(dim=1).gather(1, level[:, None])[:, 0] - chosen
                uniform = ((uniform * chances.sum(dim=1) - below) / chosen).clamp(0, 1)
            prefix = prefix * size + level
        return prefix


register_learnable(AutoregressiveIQLConfig)
