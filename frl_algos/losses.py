"""Losses of FactoredAWR, as pure tensor functions; each returns the loss and what is worth logging."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Metrics = dict[str, Tensor]


def cloning_loss(log_likelihood: Float[Tensor, "batch"]) -> tuple[Float[Tensor, ""], Metrics]:
    """Negative log-likelihood of the logged actions."""
    loss = -log_likelihood.mean()
    return loss, {"clone_loss": loss.detach()}


def centred_advantage_loss(
    scores: Float[Tensor, "critic batch valid"],
    behaviour: Float[Tensor, "batch valid"],
    actions: Int[Tensor, "batch"],
    residuals: Float[Tensor, "batch"],
    weights: Float[Tensor, "critic batch"],
) -> tuple[Float[Tensor, ""], Metrics]:
    """Squared error of the advantage of the logged action, centred under the cloned policy.

    This is the R-loss (Nie and Wager, 2021): outcome and action are both taken relative to what the state predicts,
    so that errors of the value and of the cloned policy enter only as a product.

    Args:
        scores: Uncentred advantages of the valid joint actions, of each critic.
        behaviour: Cloned probabilities, without gradient.
        actions: Position of the logged action among the valid ones.
        residuals: Return minus value, without gradient.
        weights: Bootstrap weights.
    """
    centre = (behaviour * scores).sum(dim=2)
    chosen = scores.gather(2, actions[None, :, None].expand(len(scores), -1, 1)).squeeze(2)
    loss = (weights * (chosen - centre - residuals) ** 2).mean(dim=1).sum()
    return loss, {"advantage_loss": loss.detach()}


def response_loss(
    logits: Float[Tensor, "attempt"], responses: Float[Tensor, "attempt"]
) -> tuple[Float[Tensor, ""], Metrics]:
    """Log loss of whether an attempted action got a response; zero when nothing was attempted."""
    loss = F.binary_cross_entropy_with_logits(logits, responses, reduction="sum") / max(len(logits), 1)
    return loss, {"response_loss": loss.detach()}


def response_effect_loss(
    effects: Float[Tensor, "critic attempt"],
    responses: Float[Tensor, "attempt"],
    chances: Float[Tensor, "attempt"],
    residuals: Float[Tensor, "attempt"],
    weights: Float[Tensor, "critic attempt"],
) -> tuple[Float[Tensor, ""], Metrics]:
    """Squared error of the effect of a response, estimated among attempted actions only.

    Attempts that got no response serve as the control group: whatever led the behaviour policy to attempt the
    action is the same in both groups, so confounding by indication drops out of the contrast.

    Args:
        effects: Effect of a response to the logged action, of each critic.
        responses: 1 where the attempt got a response.
        chances: Predicted probability of a response, without gradient.
        residuals: Return minus what the histories of attempts predict, without gradient.
        weights: Bootstrap weights.
    """
    errors = weights * ((responses - chances) * effects - residuals) ** 2
    loss = errors.sum() / max(errors.shape[1], 1)
    return loss, {"advantage_loss": loss.detach()}


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
