"""Implicit Q-learning (Kostrikov et al., 2022) on joint actions, whatever the form of the policy.

With an upper expectile tau, inverse temperature beta and slow copies Q' of two action values,

    V       minimises  E[ |tau - 1(u < 0)| u^2 ],                      u = min(Q1', Q2')(s, a) - V(s)
    Q1, Q2  minimise   E[ (r + gamma V(s') - Q(s, a))^2 ],             V(s') = 0 after the end
    pi      maximises  E[ min(exp(beta u), 100) ln pi(a | s) ]

over logged (s, a, r, s'): no action outside the data is asked for its value. An action value sees the state and one
number a level, 1 for the levels taken, so that factors may interact in it in any way. Rewards are divided by the
standard deviation of the returns of the dataset's episodes, so that beta does not depend on the unit of reward. The
published code divides them by the range of the returns and multiplies them by 1,000 (in locomotion): there the same
beta follows advantages much further.
"""

import copy
import dataclasses
from typing import Any

import torch
import torch.nn.functional as F
from d3rlpy.optimizers import OptimizerWrapper
from d3rlpy.torch_utility import Modules, TorchMiniBatch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.baselines.baseline_algorithm import BaselineConfig, BaselineImpl, optimiser
from frl_algos.baselines.factor_scores import FactorScores, two_hidden_layers
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.networks.expectile_critic import expectile_loss, td_loss
from frl_algos.networks.losses import weighted_regression_loss
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

MOST_WEIGHT = 100.0
"""Weight of a logged action at most, as published."""


@dataclasses.dataclass(kw_only=True)
class ImplicitQConfig(BaselineConfig):
    """Settings of implicit Q-learning; see `BaselineConfig` for the others.

    Args:
        expectile: tau, in (0, 1).
        beta: Inverse temperature of the policy.
        target_rate: Share of the way that the slow copies move an update.
    """

    expectile: float = 0.7
    beta: float = 3.0
    target_rate: float = 0.005

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
            UserError: If one is out of range.
        """
        super().__post_init__()
        if not self.expectile < 1:
            raise UserError(f"expectile must lie between 0 and 1, not {self.expectile}")
        if self.reward_scaler is not None:
            raise UserError("implicit Q-learning scales rewards by the returns of the dataset; leave reward_scaler out")

    def make_policy(self, observation_size: int, space: ActionSpace) -> "JointPolicy":
        """The policy's network."""
        raise NotImplementedError

    def make_impl(self, observation_size: int, space: ActionSpace, device: str) -> "ImplicitQImpl":
        """Networks and update for an action space."""
        critic = Critic(observation_size, space, self.hidden_size)
        networks: list[nn.Module] = [
            self.make_policy(observation_size, space), critic, two_hidden_layers(observation_size, self.hidden_size, 1)
        ]  # fmt: skip
        policy, critic_, value = (network.to(device) for network in networks)
        modules = ImplicitQModules(
            policy=policy, critic=critic_, value=value, optim=optimiser([policy, critic_, value], self.learning_rate)
        )
        return ImplicitQImpl(self, observation_size, space, modules, device)


class JointPolicy(nn.Module):
    """What implicit Q-learning asks of a policy over valid joint actions. Calling it gives all log-probabilities."""

    def log_likelihood(self, x: Float[Tensor, "batch k"], joints: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Log-probability of one joint action a state."""
        raise NotImplementedError

    def best(self, x: Float[Tensor, "batch k"]) -> Int[Tensor, "batch"]:
        """The likeliest joint action, or what the policy takes for it."""
        raise NotImplementedError

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """A joint action by one uniform number a state."""
        raise NotImplementedError


class Critic(nn.Module):
    """Two action values, their slow copies, and the unit of reward they are in."""

    unit: Tensor

    def __init__(self, observation_size: int, space: ActionSpace, hidden_size: int) -> None:
        """The copies start equal."""
        super().__init__()
        self.scores = FactorScores(space)
        inputs = observation_size + sum(space.nvec)
        self.values = nn.ModuleList(two_hidden_layers(inputs, hidden_size, 1) for _ in range(2))
        self.slow = copy.deepcopy(self.values).requires_grad_(False)
        self.register_buffer("unit", torch.tensor(1.0))

    def forward(
        self, x: Float[Tensor, "batch k"], joints: Int[Tensor, "batch"], *, slow: bool = False
    ) -> Float[Tensor, "2 batch"]:
        """Both values of one joint action a state."""
        taken = torch.zeros(len(x), sum(self.scores.nvec), device=x.device)
        taken.scatter_(1, self.scores.columns[joints], 1.0)
        both = torch.cat([x, taken], dim=1)
        return torch.stack([value(both)[:, 0] for value in (self.slow if slow else self.values)])


@dataclasses.dataclass(frozen=True)
class ImplicitQModules(Modules):
    """Everything that is saved."""

    policy: JointPolicy
    critic: Critic
    value: nn.Sequential
    optim: OptimizerWrapper


class ImplicitQImpl(BaselineImpl):
    """One update of all three; see the module."""

    _modules: ImplicitQModules
    _settings: ImplicitQConfig

    def prepare(self, buffer: FactoredReplayBuffer) -> None:
        """Measures the unit of reward."""
        spread = float(torch.as_tensor(buffer.rewards).double().cumsum(0)[buffer.starts + buffer.lengths - 1].diff(
            prepend=torch.zeros(1, dtype=torch.double)).std(correction=0))  # fmt: skip
        self._modules.critic.unit.fill_(spread or 1.0)

    def inner_update(self, batch: TorchMiniBatch, grad_step: int) -> dict[str, float]:
        """Value, action values and policy: one step each on one mini-batch."""
        net, settings = self._modules, self._settings
        x, following = batch.observations, batch.next_observations
        assert isinstance(x, Tensor)
        joints = batch.actions.reshape(-1).long()
        with torch.no_grad():
            smaller = net.critic(x, joints, slow=True).amin(dim=0)
            next_values = net.value(following)[:, 0]
        values = net.value(x)[:, 0]
        value_loss, metrics = expectile_loss(values, smaller, expectile=settings.expectile)
        critic_loss, more = td_loss(
            net.critic(x, joints),
            batch.rewards[:, 0] / net.critic.unit,
            next_values,
            batch.terminals[:, 0],
            gamma=settings.gamma,
        )
        policy_loss, weights = weighted_regression_loss(
            net.policy.log_likelihood(x, joints),
            smaller - values.detach(),
            temperature=1 / settings.beta,
            max_weight=MOST_WEIGHT,
        )
        net.optim.zero_grad()
        (value_loss + critic_loss + policy_loss).backward()
        net.optim.step()
        with torch.no_grad():
            for slow, fast in zip(net.critic.slow.parameters(), net.critic.values.parameters(), strict=True):
                slow.lerp_(fast, settings.target_rate)
        return {name: float(value) for name, value in (metrics | more | weights).items()}

    def log_probabilities(self, x: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Log-probability of each valid joint action in each state."""
        return self._modules.policy(x)

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
        """Joint actions by one uniform number a state."""
        return self._modules.policy.draw(x, uniform)

    def inner_predict_best_action(self, x: Any) -> Int[Tensor, "batch"]:
        """The policy's best."""
        return self._modules.policy.best(x)

    def inner_predict_value(self, x: Any, action: Tensor) -> Float[Tensor, "batch"]:
        """The smaller action value, in units of reward."""
        return self._modules.critic(x, action.reshape(-1).long()).amin(dim=0) * self._modules.critic.unit


def inverse_draw(chances: Float[Tensor, "batch option"], uniform: Float[Tensor, "batch"]) -> Int[Tensor, "batch"]:
    """An option a row, by the inverse of the cumulative chances; never one without chance."""
    cumulative = F.normalize(chances.double(), p=1, dim=1).cumsum(dim=1)
    level = uniform.double() * cumulative[:, -1] * (1 - 1e-12)
    return torch.searchsorted(cumulative, level[:, None], right=True)[:, 0]
