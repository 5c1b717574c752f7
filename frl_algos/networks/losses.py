"""Losses of FactoredAWR, as pure tensor functions; each returns the loss and what is worth logging."""

import torch
from jaxtyping import Float
from torch import Tensor

Metrics = dict[str, Tensor]


def cloning_loss(log_likelihood: Float[Tensor, "batch"]) -> tuple[Float[Tensor, ""], Metrics]:
    """Negative log-likelihood of the logged actions."""
    loss = -log_likelihood.mean()
    return loss, {"clone_loss": loss.detach()}


def weighted_regression_loss(
    log_likelihood: Float[Tensor, "batch"],
    advantages: Float[Tensor, "batch"],
    *,
    temperature: float,
    max_weight: float,
) -> tuple[Float[Tensor, ""], Metrics]:
    """Advantage-weighted regression (Peng et al., 2019): log-likelihood weighted by exp(advantage / temperature).

    Args:
        log_likelihood: Of the logged actions under the actor.
        advantages: Standardised over the whole dataset, without gradient.
        temperature: Smaller follows the advantage more.
        max_weight: Weights are clipped here.
    """
    weights = torch.exp((advantages / temperature).clamp(max=float(torch.tensor(max_weight).log())))
    loss = -(weights * log_likelihood).mean()
    return loss, {"actor_loss": loss.detach()} | weight_metrics(weights, max_weight)


def weight_metrics(weights: Float[Tensor, "batch"], max_weight: float) -> Metrics:
    """Effective sample size of the weights, as a share of the batch, and the share that was clipped."""
    size = weights.sum() ** 2 / (len(weights) * (weights**2).sum())
    clipped = (weights >= max_weight * (1 - 1e-6)).float().mean()
    return {"weight_ess": size.detach(), "weight_clipped": clipped.detach()}
