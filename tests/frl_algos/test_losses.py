import math

import pytest
import torch

from frl_algos import losses


def test_weighted_regression_by_hand():
    log_likelihood = torch.log(torch.tensor([0.5, 0.8]))
    loss, metrics = losses.weighted_regression_loss(
        log_likelihood, torch.tensor([1.0, -1.0]), temperature=2.0, max_weight=20.0
    )
    expected = -(math.exp(0.5) * math.log(0.5) + math.exp(-0.5) * math.log(0.8)) / 2
    assert float(loss) == pytest.approx(expected)
    weights = [math.exp(0.5), math.exp(-0.5)]
    assert float(metrics["weight_ess"]) == pytest.approx(sum(weights) ** 2 / (2 * sum(w * w for w in weights)))
    assert float(metrics["weight_clipped"]) == 0


def test_weights_are_clipped_and_counted():
    _, metrics = losses.weighted_regression_loss(
        torch.log(torch.full((4,), 0.5)),
        torch.tensor([100.0, 0.0, 0.0, 0.0]),
        temperature=1.0,
        max_weight=20.0,
    )
    assert float(metrics["weight_clipped"]) == 0.25


def test_centred_advantage_ignores_what_only_the_state_explains():
    """Adding a state-dependent constant to the scores changes nothing."""
    torch.manual_seed(0)
    scores, behaviour = torch.randn(2, 5, 3), torch.softmax(torch.randn(5, 3), dim=1)
    actions, residuals, weights = torch.tensor([0, 1, 2, 0, 1]), torch.randn(5), torch.ones(2, 5)
    loss, _ = losses.centred_advantage_loss(scores, behaviour, actions, residuals, weights)
    shifted, _ = losses.centred_advantage_loss(scores + torch.randn(1, 5, 1), behaviour, actions, residuals, weights)
    torch.testing.assert_close(loss, shifted)


def test_response_effect_is_the_contrast_among_attempts_and_survives_confounding():
    """Attempts are made on the sick (return -1); responding is worth +0.5."""
    torch.manual_seed(0)
    attempted = torch.rand(4000) < 0.3
    responses = (torch.rand(4000) < 0.25).float() * attempted
    residuals = -1.0 * attempted + 0.5 * responses + 0.1 * torch.randn(4000)
    n = int(attempted.sum())
    effect = torch.zeros(1, requires_grad=True)
    optimiser = torch.optim.Adam([effect], lr=0.02)
    among = residuals[attempted] - residuals[attempted].mean()
    for _ in range(400):
        loss, _ = losses.response_effect_loss(
            effect.expand(1, n), responses[attempted], torch.full((n,), 0.25), among, torch.ones(1, n)
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert effect.item() == pytest.approx(0.5, abs=0.03)
    naive = residuals[attempted].mean() - residuals[~attempted].mean()
    assert float(naive) < -0.5, "the naive contrast has the wrong sign here"


def test_nothing_attempted_is_no_division_by_zero():
    empty = torch.zeros(0)
    assert float(losses.response_loss(empty, empty)[0]) == 0
    assert float(losses.response_effect_loss(empty[None], empty, empty, empty, empty[None])[0]) == 0
