"""Decoupled CQL: conservative Q-learning whose action value is a sum over factors.

    Q(s, a) = sum over factors f of U_f(s)[a_f]                                     (Tang et al., 2022)

    Q  minimises  E[ huber(r + gamma Q'(s', a*) - Q(s, a)) ]           a* = argmax over valid b of Q(s', b)
                  + alpha E[ log sum over valid b of exp Q(s, b) - Q(s, a) ]

The first term is double Q-learning with a copy Q' that is renewed every so many updates, as in d3rlpy's CQL, the second
the penalty of Kumar et al. (2020). For a sum, and where every joint action is valid, that penalty *is* the sum of the
penalties of the factors that Beeson et al. (2024) use; DecQN (Seyde et al., 2023), on which they build, takes the mean
of the factors instead of the sum, which is another scale of U. What two factors do only together, a sum cannot say.
"""

import copy
import dataclasses
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from d3rlpy.base import register_learnable
from d3rlpy.optimizers import OptimizerWrapper
from d3rlpy.torch_utility import Modules, TorchMiniBatch, hard_sync
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.baselines.baseline_algorithm import BaselineConfig, BaselineImpl, optimiser
from frl_algos.baselines.factor_scores import FactorScores, two_hidden_layers
from frl_env.actions import ActionSpace


@dataclasses.dataclass(kw_only=True)
class DecoupledCQLConfig(BaselineConfig):
    """Settings; see `BaselineConfig` for the others.

    Args:
        alpha: Weight of the penalty.
        target_update_interval: Updates between two renewals of the copy.
    """

    stochastic: ClassVar[bool] = False

    alpha: float = 1.0
    target_update_interval: int = 100

    def make_impl(self, observation_size: int, space: ActionSpace, device: str) -> "DecoupledCQLImpl":
        """Networks and update for an action space."""
        values = two_hidden_layers(observation_size, self.hidden_size, sum(space.nvec)).to(device)
        modules = DecoupledCQLModules(
            values=values,
            copied=copy.deepcopy(values).requires_grad_(False),
            scores=FactorScores(space).to(device),
            optim=optimiser([values], self.learning_rate),
        )
        return DecoupledCQLImpl(self, observation_size, space, modules, device)

    @staticmethod
    def get_type() -> str:
        """Name in saved files."""
        return "decoupled_cql"


@dataclasses.dataclass(frozen=True)
class DecoupledCQLModules(Modules):
    """Everything that is saved."""

    values: nn.Sequential
    copied: nn.Sequential
    scores: FactorScores
    optim: OptimizerWrapper


class DecoupledCQLImpl(BaselineImpl):
    """One update; the policy is greedy. See the module."""

    _modules: DecoupledCQLModules
    _settings: DecoupledCQLConfig

    def inner_update(self, batch: TorchMiniBatch, grad_step: int) -> dict[str, float]:
        """One step on one mini-batch."""
        net, settings = self._modules, self._settings
        joints = batch.actions.reshape(-1).long()
        with torch.no_grad():
            best = net.scores.best(net.values(batch.next_observations))
            ahead = net.scores.of(net.copied(batch.next_observations), best)
            targets = batch.rewards[:, 0] + settings.gamma * (1 - batch.terminals[:, 0]) * ahead
        levels = net.values(batch.observations)
        logged = net.scores.of(levels, joints)
        td_loss = F.huber_loss(logged, targets)
        penalty = (net.scores.log_sum_exp(levels) - logged).mean()
        net.optim.zero_grad()
        (td_loss + settings.alpha * penalty).backward()
        net.optim.step()
        if (grad_step + 1) % settings.target_update_interval == 0:
            hard_sync(net.copied, net.values)
        return {"td_loss": float(td_loss.detach()), "penalty": float(penalty.detach())}

    def log_probabilities(self, x: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """All on the best action."""
        chosen = self._modules.scores.position[self.inner_predict_best_action(x)]
        full = torch.full((len(x), len(self._modules.scores.valid)), float("-inf"), device=x.device)
        return full.scatter_(1, chosen[:, None], 0.0)

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """The best action: there is nothing to draw."""
        return self.inner_predict_best_action(x)

    def inner_predict_best_action(self, x: Any) -> Int[Tensor, "batch"]:
        """The valid joint action with the highest value."""
        return self._modules.scores.best(self._modules.values(x))

    def inner_predict_value(self, x: Any, action: Tensor) -> Float[Tensor, "batch"]:
        """The action value."""
        return self._modules.scores.of(self._modules.values(x), action.reshape(-1).long())


register_learnable(DecoupledCQLConfig)
