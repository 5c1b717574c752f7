"""What the policy needs besides weights, measured over a sample of the dataset under the clone as it is now.

The scale of the advantage, the temperature where it is to be chosen, and the shift and threshold of the gate, which set
how often to act (`frl_algos.factored_awr.extraction` has the formula).
"""

import torch
from jaxtyping import Float
from torch import Tensor

from frl_algos.factored_awr.decisions import Decisions
from frl_algos.factored_awr.extraction import best_temperature, gate_shift
from frl_algos.factored_awr.settings import FactoredAWRSettings


@torch.no_grad()
def calibrate(
    decisions: Decisions,
    settings: FactoredAWRSettings,
    sample: Float[Tensor, "row k"],
    halves: tuple[Tensor, Tensor] | None,
    temperature: float,
) -> None:
    """Fills the statistics of a policy.

    Args:
        decisions: Whose networks and statistics these are.
        settings: Of the algorithm.
        sample: Scaled observations of the dataset.
        halves: Effects from each half of the people, for the choice of the temperature; None without.
        temperature: Where none is set and there are no halves to choose by.
    """
    net = decisions.modules
    hidden = net.clone.encode(sample)
    gate = net.clone.gate_logits(hidden)
    what = net.clone.log_what(hidden)
    weight = torch.ones(len(what), device=what.device) if gate is None else torch.sigmoid(gate)
    advantages = decisions.advantages(sample)
    chances = what.exp()
    centred = advantages - (chances * advantages).sum(dim=1, keepdim=True)
    variance = (weight[:, None] * chances * centred**2).sum() / weight.sum()
    scale = float(variance.sqrt())
    statistics = net.statistics
    statistics.advantage_scale.fill_(scale if settings.standardise and scale > 1e-12 else 1.0)
    if settings.temperature is not None:
        statistics.temperature.fill_(settings.temperature)
    elif halves is not None and scale > 1e-12:
        ours = [net.critic(sample, half.to(what.device)) for half in halves]
        chosen = best_temperature(decisions.supported(what), weight, ours)
        statistics.temperature.fill_(chosen)
    else:
        statistics.temperature.fill_(temperature)
    own = gate if net.actor is net.clone else net.actor.gate_logits(net.actor.encode(sample))
    if own is not None:
        shift, threshold = gate_shift(own, float(statistics.rate))
        statistics.shift.fill_(shift)
        statistics.threshold.fill_(threshold)
