import math

import pytest
import torch

from frl_algos.networks import losses


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
