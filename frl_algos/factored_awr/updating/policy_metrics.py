"""How the policy differs from the clone, in numbers that are logged: collapse shows here."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from frl_algos.factored_awr.decisions import Decisions
from frl_algos.networks.losses import Metrics
from frl_env.actions import ActionSpace


class PolicyMetrics:
    """Metrics of a policy on a mini-batch.

    Args:
        decisions: The policy.
        space: Of its actions.
        device: Of its networks.
    """

    def __init__(self, decisions: Decisions, space: ActionSpace, device: str) -> None:
        """Keeps the levels of each valid action."""
        self._decisions = decisions
        self._null = decisions.modules.actor.null
        self._factor_levels = torch.as_tensor(space.joint_levels[space.valid_joints], device=device)
        self._factors = [(factor.name, len(factor)) for factor in space]

    @torch.no_grad()
    def __call__(self, observations: Float[Tensor, "batch k"], actions: Int[Tensor, "batch"]) -> Metrics:
        """Metrics by name.

        Args:
            observations: Scaled.
            actions: Position of each logged action among the valid ones.
        """
        # "ess" is an effective sample size, (sum w)^2 / sum w^2; "rare" is a cloned probability below 1e-5 =
        # exp(-11.5).
        log_policy = self._decisions.log_probabilities(observations)
        policy = log_policy.exp()
        log_clone = self._decisions.modules.clone(observations)
        ratio = (log_policy - log_clone).gather(1, actions[:, None]).squeeze(1).exp()
        statistics = self._decisions.modules.statistics
        metrics = {
            "temperature": statistics.temperature,
            "advantage_scale": statistics.advantage_scale,
            "policy_ratio_ess": ratio.sum() ** 2 / (len(ratio) * (ratio**2).sum()).clamp(min=1e-12),
            "policy_unique_joints": torch.tensor(float(self._decisions.best(observations).unique().numel())),
            "policy_rare_mass": policy.masked_fill(log_clone > -11.5, 0.0).sum(dim=1).mean(),
        }
        if self._null is not None:
            metrics["policy_action_share"] = 1 - policy[:, self._null].mean()
            metrics["clone_action_share"] = 1 - log_clone[:, self._null].exp().mean()
        for name, chances in (("policy", policy), ("clone", log_clone.exp())):
            metrics[f"{name}_effective_joints"] = self._effective_joints(chances.mean(dim=0))
        for index, (name, size) in enumerate(self._factors):
            marginal = torch.zeros(size, device=policy.device)
            marginal.index_add_(0, self._factor_levels[:, index], policy.mean(dim=0))
            metrics[f"entropy_{name}"] = -(marginal * marginal.clamp(min=1e-12).log()).sum()
        return metrics

    def _effective_joints(self, chances: Float[Tensor, "valid"]) -> Float[Tensor, ""]:
        """Exponential of the entropy, given that something is done: how many actions are in use."""
        acting = chances.clone()
        if self._null is not None:
            acting[self._null] = 0.0
        acting = acting / acting.sum().clamp(min=1e-12)
        return (-(acting * acting.clamp(min=1e-12).log()).sum()).exp()
