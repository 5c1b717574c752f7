"""The update of FactoredAWR and its policy: what d3rlpy calls the implementation of an algorithm."""

import dataclasses
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from d3rlpy.algos.qlearning.base import QLearningAlgoImplBase
from d3rlpy.optimizers import OptimizerWrapper
from d3rlpy.torch_utility import Modules, TorchMiniBatch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos import losses
from frl_algos.networks import JointPolicy, JointScores
from frl_algos.replay import IndexedMiniBatch
from frl_algos.targets import CriticTargets, value_features
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

if TYPE_CHECKING:
    from frl_algos.factored_awr import FactoredAWRConfig

STANDARDISE_EVERY = 100
STANDARDISE_ROWS = 1_000
"""While an actor is trained by regression, the spread of the advantage is measured this often, over so many states."""

POLICY_METRICS_EVERY = 500
"""Updates between two measurements of the policy, on the mini-batch."""


class Statistics(nn.Module):
    """Numbers that belong to the dataset and are saved with the networks."""

    return_mean: Tensor
    return_scale: Tensor
    advantage_scale: Tensor
    value: Tensor

    def __init__(self, value_size: int) -> None:
        """Starts with the identity and a state value of 0."""
        super().__init__()
        self.register_buffer("value", torch.zeros(value_size))
        self.register_buffer("return_mean", torch.zeros(()))
        self.register_buffer("return_scale", torch.ones(()))
        self.register_buffer("advantage_scale", torch.ones(()))


@dataclasses.dataclass(frozen=True)
class FactoredAWRModules(Modules):
    """Everything that is saved."""

    clone: JointPolicy
    critics: JointScores
    actor: JointPolicy
    statistics: Statistics
    optim: OptimizerWrapper


def create_modules(
    *,
    observation_size: int,
    space: ActionSpace,
    config: "FactoredAWRConfig",
    device: str,
) -> FactoredAWRModules:
    """Networks and optimisers for an action space."""
    joints = torch.as_tensor(space.valid_joints)

    def scores(hidden: int, embedding: int, copies: int = 1) -> JointScores:
        return JointScores(
            observation_size, space.nvec, joints, hidden_size=hidden, embedding_size=embedding, copies=copies
        )

    def policy() -> JointPolicy:
        joint = scores(config.hidden_size, config.embedding_size)
        return JointPolicy(joint, hidden_size=config.hidden_size, null=null_position(space)).to(device)

    clone, actor = policy(), policy()
    # The last copy predicts the response. All are independent: their spread is what pessimism rests on.
    copies = config.n_critics + (config.response is not None)
    critics = scores(config.critic_hidden_size, config.critic_embedding_size, copies).to(device)
    groups = [
        {"params": [*clone.parameters(), *actor.parameters()], "lr": config.learning_rate, "weight_decay": 0.0},
        {
            "params": list(critics.parameters()),
            "lr": config.critic_learning_rate,
            "weight_decay": config.critic_weight_decay,
        },
    ]
    # One fused kernel over all parameters: several times as fast on small tensors as d3rlpy's optimisers.
    adam = torch.optim.AdamW(groups, fused=True)
    parameters = [parameter for group in groups for parameter in group["params"]]
    return FactoredAWRModules(
        clone=clone,
        critics=critics,
        actor=actor,
        statistics=Statistics(2 * observation_size + 1).to(device),
        optim=OptimizerWrapper(parameters, adam, compiled=False),
    )


def null_position(space: ActionSpace) -> int | None:
    """Position of "do nothing" among the valid actions; None in a space where every action does something."""
    if not space.contact_factors:
        return None
    return space.valid_joints.tolist().index(int(space.ravel(space.null_action)))


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
        joints = space.valid_joints.tolist()
        self._null = joints.index(int(space.ravel(space.null_action)))
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
        self._modules.statistics.value.copy_(targets.value)

    def inner_update(self, batch: TorchMiniBatch, grad_step: int) -> dict[str, float]:
        """Clone, critics and, for regression, actor: one step each on one mini-batch."""
        if self._targets is None or not isinstance(batch.numpy_batch, IndexedMiniBatch):
            raise UserError("FactoredAWR trains through fit, on a buffer from frl_algos.load_replay_buffer")
        assert isinstance(batch.observations, Tensor)
        measured = grad_step % POLICY_METRICS_EVERY == 0
        if measured or (self._settings.extraction == "regression" and grad_step % STANDARDISE_EVERY == 0):
            self.standardise(self._sample[:STANDARDISE_ROWS])
        rows = torch.as_tensor(batch.numpy_batch.indices)
        net, targets, observations = self._modules, self._targets, batch.observations
        actions = targets.actions[rows].to(self._device)
        total, metrics = losses.cloning_loss(net.clone.log_likelihood(observations, actions))
        metrics |= {"value_loss": targets.value_error, "history_value_loss": targets.history_error}
        critic_loss, more = self._critic_loss(observations, rows)
        metrics |= more
        if self._settings.extraction == "regression":
            actor_loss, more = self._actor_loss(observations, actions)
            metrics |= more
            total = total + actor_loss
        net.optim.zero_grad()
        (total + critic_loss).backward()
        net.optim.step()
        if measured:
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
            probabilities = self._modules.clone(part).exp()
            total += float((probabilities * self._centred(part, probabilities) ** 2).sum())
        scale = (total / max(len(observations), 1)) ** 0.5
        self._modules.statistics.advantage_scale.fill_(scale if scale > 1e-12 else 1.0)

    def log_probabilities(
        self, observations: Float[Tensor, "batch k"], temperature: float | None = None
    ) -> Float[Tensor, "batch valid"]:
        """Normalised log-probabilities of the valid joint actions; `temperature` instead of the configured one."""
        log_clone = self._modules.clone(observations)
        if self._settings.extraction == "regression":
            return torch.log_softmax(self._supported(self._modules.actor(observations), log_clone), dim=1)
        chosen = self._settings.temperature if temperature is None else temperature
        scale = self._modules.statistics.advantage_scale * chosen
        tilted = log_clone + self._centred(observations, log_clone.exp()) / scale
        return torch.log_softmax(self._supported(tilted, log_clone), dim=1)

    def inner_predict_best_action(self, x: Any) -> Int[Tensor, "batch"]:
        """The supported joint action with the largest advantage (or actor probability), among all valid ones."""
        log_clone = self._modules.clone(x)
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
        probabilities = self._modules.clone(x).exp()
        advantage = self._centred(x, probabilities).gather(1, position[:, None]).squeeze(1)
        statistics = self._modules.statistics
        value = value_features(x) @ statistics.value
        return (value + advantage) * statistics.return_scale + statistics.return_mean

    def _pessimistic(self, observations: Tensor, probabilities: Tensor) -> Float[Tensor, "batch valid"]:
        """Mean over the bootstrapped critics minus their spread.

        The R-loss leaves a constant per state and critic open, so those critics are centred before they are compared;
        the effect of a response has no such freedom.
        """
        scores = self._modules.critics(observations)
        each = scores[: self._settings.n_critics]
        if self._settings.response is None:
            each = each - (probabilities * each).sum(dim=2, keepdim=True)
        effects = each.mean(dim=0)
        if len(each) > 1 and self._settings.pessimism > 0:
            # Copy by copy, not torch.std: several times as fast over the short first axis.
            squares = torch.zeros_like(effects)
            for one in each:
                squares.addcmul_(one - effects, one - effects)
            effects = effects - self._settings.pessimism * torch.sqrt(squares / (len(each) - 1))
        if self._settings.response is None:
            return effects
        gains = torch.sigmoid(scores[-1]) * effects
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

    def _critic_loss(self, observations: Tensor, rows: Tensor) -> tuple[Tensor, losses.Metrics]:
        net, targets = self._modules, self._targets
        assert targets is not None
        if self._settings.response is not None:
            # Only attempts bear on these losses, and they are rare: leave the other rows out of the arithmetic.
            attempted = targets.attempted[rows]
            rows, observations = rows[attempted], observations[attempted.to(observations.device)]
        actions, residuals = (column[rows].to(self._device) for column in (targets.actions, targets.residuals))
        weights = self._bootstrap[:, targets.episodes[rows]]
        if self._settings.response is None:
            with torch.no_grad():
                behaviour = net.clone(observations).exp()
            return losses.centred_advantage_loss(net.critics(observations), behaviour, actions, residuals, weights)
        responses = targets.responses[rows].to(self._device)
        scores = net.critics.of_logged(observations, actions)
        effects, logits = scores[:-1], scores[-1]
        response_loss, metrics = losses.response_loss(logits, responses)
        effect_loss, more = losses.response_effect_loss(
            effects, responses, torch.sigmoid(logits).detach(), residuals, weights
        )
        return response_loss + effect_loss, metrics | more

    def _actor_loss(self, observations: Tensor, actions: Tensor) -> tuple[Tensor, losses.Metrics]:
        with torch.no_grad():
            probabilities = self._modules.clone(observations).exp()
            advantages = self._centred(observations, probabilities).gather(1, actions[:, None]).squeeze(1)
            advantages = advantages / self._modules.statistics.advantage_scale
        return losses.weighted_regression_loss(
            self._modules.actor.log_likelihood(observations, actions),
            advantages,
            temperature=self._settings.temperature,
            max_weight=self._settings.max_weight,
        )

    @torch.no_grad()
    def _policy_metrics(self, observations: Tensor, actions: Tensor) -> losses.Metrics:
        """How the policy differs from the clone: collapse shows here."""
        log_policy = self.log_probabilities(observations)
        policy = log_policy.exp()
        log_clone = self._modules.clone(observations)
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
