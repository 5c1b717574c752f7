"""What FactoredAWR decides: the policy that its networks, effects and statistics make up together.

`frl_algos.factored_awr.extraction` has the formula. A decision has two parts, whether anything is done (`gate`) and
what (`what`); fairness tilts both where it was asked for (`frl_algos.networks.tilt`).
"""

import functools
import json

import torch
from jaxtyping import Float, Int
from torch import Tensor

from frl_algos.factored_awr.extraction import likeliest_best, supported
from frl_algos.factored_awr.modules import FactoredAWRModules
from frl_algos.factored_awr.settings import FactoredAWRSettings
from frl_algos.networks.state_critic import StateCritic


@functools.lru_cache
def _is_mild(choice: str) -> bool:
    """Whether a choice, as JSON, is to follow advantages less far than usual."""
    return bool(choice) and bool(json.loads(choice).get("mild"))


class Decisions:
    """The policy over scaled observations.

    Args:
        modules: Networks, effects and statistics; looked at anew at every call.
        config: Of the algorithm.
    """

    def __init__(self, modules: FactoredAWRModules, config: FactoredAWRSettings) -> None:
        """Keeps both."""
        self.modules = modules
        self._settings = config

    def advantages(self, observations: Float[Tensor, "batch k"]) -> Float[Tensor, "batch valid"]:
        """Advantages of the valid joint actions, in units of reward; a constant a state is left open."""
        return self.modules.critic(observations) * self.modules.statistics.unit

    @property
    def _by_policy(self) -> bool:
        """Whether the best action is the most probable one, and not the one with the largest advantage.

        It is where the policy is a network of its own; where it stays near the behaviour policy, as its advantages hold
        there only (`frl_algos.factored_awr.critic_selection.plausibility`); and where advantages are of single cells of
        a table: of an action that was hardly ever done in a state they know little, and the behaviour policy says more.
        """
        if self._settings.extraction == "regression" or isinstance(self.modules.critic, StateCritic):
            return True
        return _is_mild(self._settings.choice)

    def gate(self, hidden: Float[Tensor, "batch hidden"]) -> Float[Tensor, "batch"] | None:
        """Log odds of doing anything at all, for the rate that was chosen; None where there is no "do nothing"."""
        gate = self.modules.actor.gate_logits(hidden)
        return None if gate is None else gate + self.modules.statistics.shift

    def what(
        self,
        hidden: Float[Tensor, "batch hidden"],
        observations: Float[Tensor, "batch k"],
        temperature: float | None = None,
    ) -> Float[Tensor, "batch valid"]:
        """Log-probabilities of the actions, given that something is done; `temperature` instead of the chosen one."""
        net = self.modules
        if self._settings.extraction == "regression":
            return net.actor.log_what(hidden)
        scale = net.statistics.advantage_scale * (net.statistics.temperature if temperature is None else temperature)
        supported = self.supported(net.clone.log_what(hidden))
        return torch.log_softmax(supported + self.advantages(observations) / scale, dim=1)

    def supported(self, log_what: Float[Tensor, "batch valid"]) -> Float[Tensor, "batch valid"]:
        """Minus infinity where the clone all but never does it."""
        return supported(log_what, self._settings.support_threshold)

    def log_probabilities(
        self, observations: Float[Tensor, "batch k"], temperature: float | None = None
    ) -> Float[Tensor, "batch valid"]:
        """Normalised log-probabilities of the valid joint actions; `temperature` instead of the chosen one."""
        actor = self.modules.actor
        hidden = actor.encode(observations)
        what, gate = self.what(hidden, observations, temperature), self.gate(hidden)
        if self.modules.tilt is not None:
            what, gate, _ = self.modules.tilt(observations, what, gate)
        return actor.joint(what, gate)

    def best(self, x: Float[Tensor, "batch k"]) -> Int[Tensor, "batch"]:
        """The best supported joint action (see `_by_policy`); "do nothing" where the gate stays below its threshold."""
        net = self.modules
        hidden = net.actor.encode(x)
        gate, lift = self.gate(hidden), None
        if net.tilt is not None:
            _, gate, lift = net.tilt(x, self.what(hidden, x), gate)
        # shape[0], where len(x) would fix the size of the batch in a policy that d3rlpy's save_policy traces
        acts = torch.arange(x.shape[0], device=hidden.device)
        if gate is not None:
            acts = (gate > net.statistics.threshold).nonzero()[:, 0]
        log_what = scores = net.actor.log_what(hidden[acts])
        if self._by_policy:
            scores = self.what(hidden[acts], x[acts])
        else:
            scores = self.supported(log_what)
            scores = torch.where(torch.isfinite(scores), self.advantages(x[acts]), scores)
        if lift is not None:
            scores = scores + self._advantage_of(lift[acts])
        return self._joint_actions(x.shape[0], acts, likeliest_best(scores, log_what))

    def draw(self, x: Float[Tensor, "batch k"], uniform: Float[Tensor, "batch 2"]) -> Int[Tensor, "batch"]:
        """A draw from the policy: whether to act by the first uniform, what to do by the second.

        Only states in which the policy acts need the scores of all actions; a tilted policy needs them in all.
        """
        net = self.modules
        hidden = net.actor.encode(x)
        what, gate = None, self.gate(hidden)
        if net.tilt is not None:
            what, gate, _ = net.tilt(x, self.what(hidden, x), gate)
        acts = torch.arange(len(x), device=x.device)
        if gate is not None:
            acts = (uniform[:, 0] < torch.sigmoid(gate)).nonzero()[:, 0]
        chances = (self.what(hidden[acts], x[acts]) if what is None else what[acts]).softmax(dim=1).cumsum(dim=1)
        # Below the total even after rounding, so that the draw falls on an action with mass.
        level = uniform[acts, 1:] * chances[:, -1:] * (1 - 1e-6)
        return self._joint_actions(len(x), acts, torch.searchsorted(chances, level, right=True).squeeze(1))

    def _advantage_of(self, lift: Float[Tensor, "batch valid"]) -> Float[Tensor, "batch valid"]:
        """The change of the scores of greedy actions that goes with one of the log-probabilities."""
        statistics = self.modules.statistics
        if self._by_policy:
            return lift
        return lift * statistics.advantage_scale * statistics.temperature

    def _joint_actions(self, size: int, acts: Tensor, positions: Tensor) -> Int[Tensor, "batch"]:
        net = self.modules
        chosen = torch.full((size,), -1 if net.actor.null is None else net.actor.null, device=positions.device)
        return net.clone.action_encoder.joints[chosen.index_copy(0, acts, positions)]
