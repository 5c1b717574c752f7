"""An in-sample critic for factored actions: implicit Q-learning (Kostrikov et al., 2022).

The value of a state is an upper expectile of the values of the actions *logged* in it, and the value of an action is
one step of reward plus the value of where it leads:

    V(s)     minimises  E[ |tau - 1(Q'(s, a) < V(s))| (Q'(s, a) - V(s))^2 ]     Q' = min(Q1', Q2'), slow copies of Q
    Q_i(s, a) minimises  E[ (r + gamma V(s') - Q_i(s, a))^2 ]                   V(s') = 0 after the end

With expectile tau = 0.5 that is the value of the behaviour policy; as tau goes to 1, that of the best action in the
data. No action outside the data is ever asked for its value, so nothing extrapolates into the targets.

    Q_i(s, a) = b_i(s) + <q_i(s), e_i(a)>

where the second term is a factorisation machine over the levels of the action (`frl_algos.networks.joint_scores`): what
a level does is learned from every joint action that contains it. The level b_i(s) is a head of its own, so that weight
decay pulls actions without evidence to the level of their state, and not to zero.
"""

import copy
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.networks.joint_scores import JointScores, Linear, StateEncoder
from frl_algos.networks.losses import Metrics


def expectile_loss(
    values: Float[Tensor, "batch"], targets: Float[Tensor, "batch"], *, expectile: float
) -> tuple[Float[Tensor, ""], Metrics]:
    """Asymmetric squared error, least at an expectile of the targets; 0.5 is half the ordinary one.

    Args:
        values: What is learned.
        targets: Without gradient.
        expectile: In (0, 1), the weight of targets above the value; those below weigh one less it.

    Source: Newey and Powell (1987).
    """
    errors = targets - values
    weights = torch.where(errors > 0, expectile, 1 - expectile)
    loss = (weights * errors**2).mean()
    return loss, {"value_loss": loss.detach()}


def td_loss(
    values: Float[Tensor, "critic batch"],
    rewards: Float[Tensor, "batch"],
    next_values: Float[Tensor, "batch"],
    terminals: Float[Tensor, "batch"],
    *,
    gamma: float,
) -> tuple[Float[Tensor, ""], Metrics]:
    """Squared temporal-difference error, summed over critics.

    Args:
        values: Of the logged actions, by each critic.
        rewards: Of the step.
        next_values: Of the state after it, without gradient; ignored where the episode ended for good.
        terminals: 1 where it did, 0 elsewhere, also where it was cut off.
        gamma: Discount a step.
    """
    targets = rewards + gamma * (1 - terminals) * next_values
    loss = ((values - targets) ** 2).mean(dim=1).sum()
    return loss, {"advantage_loss": loss.detach()}


class ActionValues(JointScores):
    """Two independent action values: the level of the state plus a score of the joint action; see `JointScores`."""

    def __init__(self, *space: Any, hidden_size: int, embedding_size: int) -> None:
        """Starts with scores close to zero."""
        super().__init__(*space, hidden_size=hidden_size, embedding_size=embedding_size, copies=2)
        self.level = Linear(2, hidden_size, 1)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "2 batch valid"]:
        """Values of all valid joint actions."""
        hidden = self.state_encoder(observations)
        return self.level(hidden) + self.query(hidden) @ self.action_encoder().transpose(1, 2)

    def of_logged(
        self, observations: Float[Tensor, "batch observation"], actions: Int[Tensor, "batch"]
    ) -> Float[Tensor, "2 batch"]:
        """Values of one action a state, given by its position among the valid ones."""
        hidden = self.state_encoder(observations)
        return self.level(hidden)[..., 0] + (self.query(hidden) * self.action_encoder(actions)).sum(dim=2)


class ExpectileCritic(nn.Module):
    """Action values, their slow copy, and the state value; sizes as for `JointScores`. Call it for advantages."""

    def __init__(
        self,
        observation_size: int,
        nvec: Sequence[int],
        valid_joints: Int[Tensor, "valid"],
        *,
        hidden_size: int,
        embedding_size: int,
    ) -> None:
        """Starts close to zero; the slow copy equals the action values."""
        super().__init__()
        self.values = ActionValues(
            observation_size, nvec, valid_joints, hidden_size=hidden_size, embedding_size=embedding_size
        )
        self.target = copy.deepcopy(self.values).requires_grad_(False)
        self.state_encoder = StateEncoder(observation_size, hidden_size)
        self.state_level = Linear(1, hidden_size, 1)

    def forward(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch valid"]:
        """Advantage of each valid joint action: the smaller slow action value less the state's."""
        first, second = self.target(observations)
        return torch.minimum(first, second) - self.state_value(observations)[:, None]

    def state_value(self, observations: Float[Tensor, "batch observation"]) -> Float[Tensor, "batch"]:
        """Expectile of the values of the actions logged in each state."""
        return self.state_level(self.state_encoder(observations))[0, :, 0]

    def loss(
        self,
        observations: Float[Tensor, "batch observation"],
        actions: Int[Tensor, "batch"],
        rewards: Float[Tensor, "batch"],
        next_observations: Float[Tensor, "batch observation"],
        terminals: Float[Tensor, "batch"],
        *,
        gamma: float,
        expectile: float,
    ) -> tuple[Float[Tensor, ""], Metrics]:
        """Both losses of one mini-batch; call `update_target` after the optimiser's step.

        Args:
            observations: Before the action, scaled.
            actions: Positions of the logged actions among the valid ones.
            rewards: Standardised by the caller: divided by a scale, not centred, as episodes differ in length.
            next_observations: After the action, scaled.
            terminals: 1 where the episode ended for good.
            gamma: Discount a step.
            expectile: In (0, 1).
        """
        with torch.no_grad():
            smaller = self.target.of_logged(observations, actions).amin(dim=0)
            next_values = self.state_value(next_observations)
        value_loss, metrics = expectile_loss(self.state_value(observations), smaller, expectile=expectile)
        logged = self.values.of_logged(observations, actions)
        action_loss, more = td_loss(logged, rewards, next_values, terminals, gamma=gamma)
        return value_loss + action_loss, metrics | more

    @torch.no_grad()
    def update_target(self, rate: float) -> None:
        """Moves the slow copy a share `rate` of the way to the action values."""
        for slow, fast in zip(self.target.parameters(), self.values.parameters(), strict=True):
            slow.lerp_(fast, rate)
