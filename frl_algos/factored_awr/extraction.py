"""From a cloned policy and advantages to a better policy: how far to follow, and how often to act.

    pi(a | s) = g(s) * pi_b(a | s, act) exp(A(s, a) / alpha) / Z(s)      on supported actions
    g(s) = sigmoid(logit g_b(s) + nu),    alpha = temperature * sd(A)

Given that something is done, this is the exact solution of advantage-weighted regression: the largest expected
advantage at a given divergence from the behaviour policy. Whether anything is done keeps the behaviour policy's own
order of who comes first; nu sets how often, over the dataset.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

TEMPERATURES = (0.3, 0.1)
"""To choose from. Below, a policy does the same thing over and over, whose worth falls as it is repeated: an advantage
of one step, estimated where actions vary, can't see that. Above, it hardly leaves the behaviour policy."""

DEFAULT_TEMPERATURE = 1.0
"""Where there is nothing to choose by."""


class Statistics(nn.Module):
    """Numbers that belong to the dataset and are saved with the networks."""

    value: Tensor
    return_scale: Tensor
    advantage_scale: Tensor
    temperature: Tensor
    rate: Tensor
    shift: Tensor
    threshold: Tensor
    unit: Tensor

    def __init__(self, value_size: int) -> None:
        """Starts with the behaviour policy's own rate and a state value of 0."""
        super().__init__()
        self.register_buffer("value", torch.zeros(value_size))
        for name, start in (("return_scale", 1.0), ("advantage_scale", 1.0), ("temperature", 1.0), ("unit", 1.0)):
            self.register_buffer(name, torch.tensor(start))
        self.register_buffer("rate", torch.tensor(float("nan")))
        self.register_buffer("shift", torch.zeros(()))
        self.register_buffer("threshold", torch.zeros(()))


def supported(log_what: Float[Tensor, "state valid"], threshold: float) -> Float[Tensor, "state valid"]:
    """Minus infinity where the clone all but never does it; its most likely action always stays."""
    if threshold == 0:
        return log_what
    floor = log_what.amax(dim=1, keepdim=True).clamp(max=math.log(threshold))
    return log_what.masked_fill(log_what < floor, float("-inf"))


def likeliest_best(
    scores: Float[Tensor, "state valid"], log_what: Float[Tensor, "state valid"]
) -> Int[Tensor, "state"]:
    """The action with the largest score; among equals, as all are where nothing is known of effects, the likeliest."""
    return log_what.masked_fill(scores < scores.amax(dim=1, keepdim=True), float("-inf")).argmax(dim=1)


def best_temperature(
    log_what: Float[Tensor, "state valid"],
    weight: Float[Tensor, "state"],
    halves: Sequence[Float[Tensor, "state valid"]],
) -> float:
    """The temperature at which the policy that one half of the data recommends is worth most to the other half.

    Args:
        log_what: Cloned log-probabilities given that something is done; minus infinity where not supported.
        weight: How often something is done in each state.
        halves: Advantages estimated from each half.
    """
    worth = []
    for temperature in TEMPERATURES:
        total = 0.0
        for mine, other in ((halves[0], halves[1]), (halves[1], halves[0])):
            chances = log_what.exp()
            mean = (chances * mine).sum(dim=1, keepdim=True)
            spread = ((weight[:, None] * chances * (mine - mean) ** 2).sum() / weight.sum()).sqrt().clamp(min=1e-12)
            policy = torch.softmax(log_what + mine / (temperature * spread), dim=1)
            total += float((weight * ((policy - chances) * other).sum(dim=1)).sum())
        worth.append(total)
    return TEMPERATURES[worth.index(max(worth))]


def gate_shift(gate: Float[Tensor, "state"], rate: float) -> tuple[float, float]:
    """Shift of the gate's log odds that gives a mean rate, and the threshold that gives it without chance.

    Args:
        gate: Log odds of acting, over a sample of states.
        rate: Share of states to act in; NaN for the behaviour policy's own.

    Returns:
        The shift, and what the shifted log odds must exceed for a deterministic policy to act equally often.
    """
    own = float(torch.sigmoid(gate).mean())
    wanted = own if rate != rate else min(max(rate, 1e-6), 1 - 1e-6)
    low, high = -30.0, 30.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if float(torch.sigmoid(gate + middle).mean()) < wanted else (low, middle)
    shift = 0.0 if rate != rate else (low + high) / 2
    return shift, float(torch.quantile(gate, 1 - wanted)) + shift
