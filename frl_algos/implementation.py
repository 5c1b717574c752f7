"""The update of FactoredAWR and its policy: what d3rlpy calls the implementation of an algorithm."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoImplBase
from d3rlpy.optimizers import OptimizerFactory, OptimizerWrapper
from d3rlpy.torch_utility import Modules, TorchMiniBatch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos import losses
from frl_algos.networks import JointScores, StateValue
from frl_algos.replay import IndexedMiniBatch
from frl_algos.targets import CriticTargets
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

if TYPE_CHECKING:
    from frl_algos.factored_awr import FactoredAWRConfig

POLICY_METRICS_EVERY = 100
"""Updates between two measurements of the policy on the mini-batch."""

STANDARDISE_EVERY = 100
STANDARDISE_ROWS = 2_000
"""While training, the spread of the advantage is measured this often, over this many states of the dataset."""


class Statistics(nn.Module):
    """Numbers that belong to the dataset and are saved with the networks."""

    return_mean: Tensor
    return_scale: Tensor
    advantage_scale: Tensor

    def __init__(self) -> None:
        """Starts with the identity."""
        super().__init__()
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_scale", torch.ones(()))
        self.register_buffer("advantage_scale", torch.ones(()))


@dataclasses.dataclass(frozen=True)
class FactoredAWRModules(Modules):
    """Everything that is saved."""

    clone: JointScores
    advantages: nn.ModuleList
    response: JointScores
    actor: JointScores
    value: StateValue
    history_value: StateValue
    attempt_value: StateValue
    statistics: Statistics
    optim: OptimizerWrapper
    critic_optim: OptimizerWrapper


def create_modules(
    *,
    observation_size: int,
    space: ActionSpace,
    config: "FactoredAWRConfig",
    optim_factory: OptimizerFactory,
    critic_optim_factory: OptimizerFactory,
    device: str,
) -> FactoredAWRModules:
    """Networks and optimisers for an action space."""
    joints = torch.as_tensor(space.valid_joints)

    def scores(hidden: int, joint: int) -> JointScores:
        return JointScores(
            observation_size,
            space.nvec,
            joints,
            hidden_size=hidden,
            embedding_size=config.embedding_size,
            joint_size=joint,
        ).to(device)

    clone = scores(config.hidden_size, config.joint_size)
    actor = scores(config.hidden_size, config.joint_size)
    value = StateValue(observation_size, config.hidden_size).to(device)
    history_value = StateValue(3 * observation_size + 1, config.hidden_size).to(device)
    advantages = nn.ModuleList(
        [scores(config.critic_hidden_size, config.critic_joint_size) for _ in range(config.n_critics)]
    )
    response = scores(config.critic_hidden_size, config.critic_joint_size)
    attempt_value = StateValue(observation_size, config.critic_hidden_size).to(device)
    fast = nn.ModuleList([clone, actor, value, history_value])
    slow = nn.ModuleList([advantages, response, attempt_value])
    return FactoredAWRModules(
        clone=clone,
        advantages=advantages,
        response=response,
        actor=actor,
        value=value,
        history_value=history_value,
        attempt_value=attempt_value,
        statistics=Statistics().to(device),
        optim=optim_factory.create(fast.named_modules(), lr=config.learning_rate, compiled=False),
        critic_optim=critic_optim_factory.create(slow.named_modules(), lr=config.critic_learning_rate, compiled=False),
    )


class FactoredAWRImpl(QLearningAlgoImplBase):
    """One update, and the policy that the networks make up."""

    _modules: FactoredAWRModules

    def __init__(
        self,
        *,
        observation_shape: Any,
        action_size: int,
        modules: FactoredAWRModules,
        config: "FactoredAWRConfig",
        device: str,
    ) -> None:
        """Keeps networks and settings."""
        super().__init__(observation_shape, action_size, modules, device)
        self._settings = config
        self._targets: CriticTargets | None = None
        self._bootstrap = torch.ones(config.n_critics, 1)
        self._sample = torch.zeros(0, *observation_shape)
        space = ActionSpace.from_json(config.action_schema)
        null = int(space.ravel(space.null_action))
        joints = space.valid_joints.tolist()
        self._null = joints.index(null)
        self._factor_levels = torch.as_tensor(space.joint_levels[space.valid_joints], device=device)
        self._factors = [(factor.name, len(factor)) for factor in space]
        position = torch.full((space.n_joint,), -1, dtype=torch.long)
        position[torch.as_tensor(space.valid_joints)] = torch.arange(len(joints))
        self._position = position.to(device)

    @property
    def modules(self) -> FactoredAWRModules:
        """Networks and optimisers."""
        return self._modules

    def set_targets(self, targets: CriticTargets, sample: Float[Tensor, "row k"], *, seed: int) -> None:
        """Takes what training is about to use.

        Args:
            targets: The critics' targets of the dataset.
            sample: Scaled observations of the dataset over which the advantage is standardised.
            seed: Seed of the critics' bootstrap samples.
        """
        self._targets = targets
        self._sample = sample
        # Poisson(1) counts by episode: each critic learns from its own bootstrap sample of members.
        counts = np.random.default_rng(seed).poisson(1.0, (self._settings.n_critics, int(targets.episodes.max()) + 1))
        self._bootstrap = torch.as_tensor(
            np.ones_like(counts) if self._settings.n_critics == 1 else counts, dtype=torch.float32, device=self._device
        )
        self._modules.statistics.return_mean.fill_(targets.return_mean)
        self._modules.statistics.return_scale.fill_(targets.return_scale)

    def inner_update(self, batch: TorchMiniBatch, grad_step: int) -> dict[str, float]:
        """Value, clone, advantage, actor: one step each on one mini-batch."""
        if self._targets is None or not isinstance(batch.numpy_batch, IndexedMiniBatch):
            raise UserError("FactoredAWR trains through fit, on a buffer from frl_algos.load_replay_buffer")
        assert isinstance(batch.observations, Tensor)
        if grad_step % STANDARDISE_EVERY == STANDARDISE_EVERY // 2:
            self.standardise(self._sample[:STANDARDISE_ROWS])
        rows = torch.as_tensor(batch.numpy_batch.indices)
        net, observations = self._modules, batch.observations
        returns, history, actions, attempted, responses = (
            column[rows].to(self._device)
            for column in (
                self._targets.returns,
                self._targets.history,
                self._targets.actions,
                self._targets.attempted,
                self._targets.responses,
            )
        )
        weights = self._bootstrap[:, self._targets.episodes[rows]]
        baseline = net.history_value(history)
        value_loss, metrics = losses.value_loss(net.value(observations), returns)
        history_loss, more = losses.value_loss(baseline, returns, "history_value")
        metrics |= more
        log_clone = torch.log_softmax(net.clone(observations), dim=1)
        clone_loss, more = losses.cloning_loss(log_clone, actions)
        metrics |= more
        residuals = (returns - baseline).detach()
        critic_loss, more = self._critic_loss(
            observations, actions, log_clone.detach().exp(), residuals, attempted, responses, weights
        )
        metrics |= more
        total = value_loss + history_loss + clone_loss
        if self._settings.extraction == "regression":
            actor_loss, more = self._actor_loss(observations, actions)
            metrics |= more
            total = total + actor_loss
        net.optim.zero_grad()
        net.critic_optim.zero_grad()
        (total + critic_loss).backward()
        net.optim.step()
        net.critic_optim.step()
        if grad_step % POLICY_METRICS_EVERY == 0:
            metrics |= self._policy_metrics(observations, actions)
        return {name: float(value) for name, value in metrics.items()}

    @torch.no_grad()
    def standardise(self, observations: Float[Tensor, "row k"] | None = None, chunk: int = 512) -> None:
        """Sets the spread of the advantage to its standard deviation under the clone.

        Args:
            observations: Scaled states to measure it over; the whole sample of the dataset when None.
            chunk: States at once.
        """
        if observations is None:
            observations = self._sample
        total = 0.0
        for start in range(0, len(observations), chunk):
            part = observations[start : start + chunk]
            probabilities = torch.softmax(self._modules.clone(part), dim=1)
            total += float((probabilities * self._centred(part, probabilities) ** 2).sum())
        scale = (total / max(len(observations), 1)) ** 0.5
        self._modules.statistics.advantage_scale.fill_(scale if scale > 1e-12 else 1.0)

    def log_probabilities(
        self, observations: Float[Tensor, "batch k"], temperature: float | None = None
    ) -> Float[Tensor, "batch valid"]:
        """Normalised log-probabilities of the valid joint actions; `temperature` instead of the configured one."""
        log_clone = torch.log_softmax(self._modules.clone(observations), dim=1)
        if self._settings.extraction == "regression":
            return torch.log_softmax(self._supported(self._modules.actor(observations), log_clone), dim=1)
        chosen = self._settings.temperature if temperature is None else temperature
        scale = self._modules.statistics.advantage_scale * chosen
        tilted = log_clone + self._centred(observations, log_clone.exp()) / scale
        return torch.log_softmax(self._supported(tilted, log_clone), dim=1)

    def inner_predict_best_action(self, x: Any) -> Int[Tensor, "batch"]:
        """The supported joint action with the largest advantage (or actor probability), among all valid ones."""
        log_clone = torch.log_softmax(self._modules.clone(x), dim=1)
        regression = self._settings.extraction == "regression"
        scores = self._modules.actor(x) if regression else self._pessimistic(x, log_clone.exp())
        best = self._supported(scores, log_clone).argmax(dim=1)
        return self._modules.clone.action_encoder.joints[best]

    def inner_sample_action(self, x: Any) -> Int[Tensor, "batch"]:
        """A draw from the policy."""
        drawn = torch.multinomial(self.log_probabilities(x).exp(), 1).squeeze(1)
        return self._modules.clone.action_encoder.joints[drawn]

    def inner_predict_value(self, x: Any, action: Tensor) -> Float[Tensor, "batch"]:
        """Value of the state plus centred advantage of the action, in units of reward."""
        position = self._position[action.reshape(-1).long()]
        if bool((position < 0).any()):
            raise UserError(f"{int((position < 0).sum())} actions are not valid; their value is not defined")
        probabilities = torch.softmax(self._modules.clone(x), dim=1)
        advantage = self._centred(x, probabilities).gather(1, position[:, None]).squeeze(1)
        statistics = self._modules.statistics
        return (self._modules.value(x) + advantage) * statistics.return_scale + statistics.return_mean

    def _critics(self) -> list[JointScores]:
        return [critic for critic in self._modules.advantages if isinstance(critic, JointScores)]

    def _pessimistic(self, observations: Tensor, probabilities: Tensor) -> Float[Tensor, "batch valid"]:
        """Mean over the bootstrapped critics minus their spread.

        The R-loss leaves a constant per state and critic open, so those critics are centred before they are compared;
        the effect of a response has no such freedom.
        """
        each = [critic(observations) for critic in self._critics()]
        if self._settings.response is None:
            each = [scores - (probabilities * scores).sum(dim=1, keepdim=True) for scores in each]
        effects = each[0] / len(each)
        for scores in each[1:]:
            effects = effects + scores / len(each)
        if len(each) > 1 and self._settings.pessimism > 0:
            squares = torch.zeros_like(effects)
            for scores in each:
                squares += (scores - effects) ** 2
            effects = effects - self._settings.pessimism * torch.sqrt(squares / (len(each) - 1))
        if self._settings.response is None:
            return effects
        gains = torch.sigmoid(self._modules.response(observations)) * effects
        keep = torch.ones(gains.shape[1], device=gains.device)
        keep[self._null] = 0.0
        return gains * keep

    def _centred(self, observations: Tensor, probabilities: Tensor) -> Float[Tensor, "batch valid"]:
        scores = self._pessimistic(observations, probabilities)
        return scores - (probabilities * scores).sum(dim=1, keepdim=True)

    def _supported(self, scores: Tensor, log_clone: Tensor) -> Tensor:
        floor = torch.log(torch.tensor(self._settings.support_threshold, device=scores.device))
        best = log_clone == log_clone.amax(dim=1, keepdim=True)
        return scores.masked_fill((log_clone < floor) & ~best, float("-inf"))

    def _critic_loss(
        self,
        observations: Tensor,
        actions: Tensor,
        clone: Tensor,
        residuals: Tensor,
        attempted: Tensor,
        responses: Tensor,
        weights: Tensor,
    ) -> tuple[Tensor, losses.Metrics]:
        net = self._modules
        if self._settings.response is None:
            return losses.centred_advantage_loss(
                torch.stack([critic(observations) for critic in self._critics()]), clone, actions, residuals, weights
            )
        # Only attempts bear on these two losses, and they are rare: leave the other rows out of the arithmetic.
        observations, actions, responses = observations[attempted], actions[attempted], responses[attempted]
        logits = net.response.of_logged(observations, actions)
        response_loss, metrics = losses.response_loss(logits, responses)
        effect_loss, more = losses.response_effect_loss(
            torch.stack([critic.of_logged(observations, actions) for critic in self._critics()]),
            net.attempt_value(observations),
            responses,
            torch.sigmoid(logits).detach(),
            residuals[attempted],
            weights[:, attempted],
        )
        return response_loss + effect_loss, metrics | more

    def _actor_loss(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, losses.Metrics]:
        with torch.no_grad():
            probabilities = torch.softmax(self._modules.clone(observations), dim=1)
            advantages = self._centred(observations, probabilities).gather(1, actions[:, None]).squeeze(1)
            advantages = advantages / self._modules.statistics.advantage_scale
        return losses.weighted_regression_loss(
            torch.log_softmax(self._modules.actor(observations), dim=1),
            actions,
            advantages,
            temperature=self._settings.temperature,
            max_weight=self._settings.max_weight,
        )

    @torch.no_grad()
    def _policy_metrics(self, observations: Tensor, actions: Tensor) -> losses.Metrics:
        """How the policy differs from the clone: collapse shows here."""
        log_policy = self.log_probabilities(observations)
        policy = log_policy.exp()
        log_clone = torch.log_softmax(self._modules.clone(observations), dim=1)
        ratio = (log_policy - log_clone).gather(1, actions[:, None]).squeeze(1).exp()
        metrics = {
            "policy_ratio_ess": ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum()).clamp(min=1e-12),
            "policy_action_share": 1 - policy[:, self._null].mean(),
            "policy_unique_joints": torch.tensor(float(self.inner_predict_best_action(observations).unique().numel())),
            "policy_rare_mass": policy.masked_fill(log_clone > -11.5, 0.0).sum(dim=1).mean(),
        }
        for index, (name, size) in enumerate(self._factors):
            marginal = torch.zeros(size, device=policy.device)
            marginal.index_add_(0, self._factor_levels[:, index], policy.mean(dim=0))
            metrics[f"entropy_{name}"] = -(marginal * marginal.clamp(min=1e-12).log()).sum()
        return metrics
