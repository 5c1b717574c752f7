"""A change of how likely the high-touch actions are, state by state; all else of a policy stays in proportion.

With H the high-touch actions and p(s) = sum of pi(a | s) over H, the tilted policy is

    pi'(a | s)  proportional to  pi(a | s) * exp( f(s) * [a in H] ),       logit p'(s) = logit p(s) + f(s)
    f(s) = < w, phi(s) >,        phi = 1, signed logarithm of each scaled observation, its square, and logit p(s)

the policy nearest to pi in divergence among all that have these p'. The last feature lets it make p more or less
dependent on the state as a whole. f never sees which group a member belongs to.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from frl_algos.logged_data.signed_logarithm import squash_tensor
from frl_env.actions import ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation.fairness.allocations import joints_with

_BOUND = 30.0
"""Log odds are kept within: a policy that never takes a high-touch action stays so."""

_FAR = 4.0
"""Standard deviations beyond which a measure of the state is cut, so that no tilt runs away."""


class Tilt(nn.Module):
    """The tilt as numbers that are saved with the networks; nothing in it is trained by mini-batches.

    Args:
        space: The actions.
        observation_size: Number of observed numbers.
        high_touch: Names of levels that count as high touch.

    Attributes:
        weights: Of f(s) on phi(s): 1, the measures of the state, log odds of high touch.
        center, spread: Of the measures of the state.
        high_touch, inside, outside: Which valid actions are high touch; their positions, and those of the others.

    Raises:
        UserError: If a level does not exist, or doing nothing or everything would be high touch.
    """

    weights: Tensor
    center: Tensor
    spread: Tensor
    high_touch: Tensor
    inside: Tensor
    outside: Tensor

    def __init__(self, space: ActionSpace, observation_size: int, high_touch: Sequence[str]) -> None:
        """Starts with no tilt."""
        super().__init__()
        joints = joints_with(space, high_touch)
        if space.contact_factors and joints[space.ravel(space.null_action)]:
            raise UserError(f"high_touch {', '.join(high_touch)} includes doing nothing; name levels of contacts")
        chosen = joints[space.valid_joints]
        if chosen.all() or not chosen.any():
            which = "all" if chosen.all() else "none"
            raise UserError(f"high_touch {', '.join(high_touch) or '()'} names {which} of the actions; name some")
        self.register_buffer("weights", torch.zeros(2 * observation_size + 2))
        self.register_buffer("center", torch.zeros(2 * observation_size))
        self.register_buffer("spread", torch.ones(2 * observation_size))
        self.register_buffer("high_touch", torch.as_tensor(chosen))
        self.register_buffer("inside", torch.as_tensor(chosen.nonzero()[0]), persistent=False)
        self.register_buffer("outside", torch.as_tensor((~chosen).nonzero()[0]), persistent=False)

    def forward(
        self,
        observations: Float[Tensor, "batch k"],
        log_what: Float[Tensor, "batch valid"],
        gate_logits: Float[Tensor, "batch"] | None,
    ) -> tuple[Float[Tensor, "batch valid"], Float[Tensor, "batch"] | None, Float[Tensor, "batch valid"]]:
        """The two parts of a policy, tilted, and f(s) * [a in H], which was added to the log-probabilities.

        Args:
            observations: Scaled.
            log_what: Log-probabilities of the actions, given that something is done.
            gate_logits: Log odds of doing anything; None where everything does something.
        """
        log_high, log_low = self._split(log_what)
        shift = self.measures(observations, _odds(log_high, log_low, gate_logits)) @ self.weights
        lift = shift[:, None] * self.high_touch
        change = torch.logaddexp(log_low, log_high + shift)
        return log_what + lift - change[:, None], None if gate_logits is None else gate_logits + change, lift

    def log_odds(
        self, log_what: Float[Tensor, "batch valid"], gate_logits: Float[Tensor, "batch"] | None
    ) -> Float[Tensor, "batch"]:
        """Log odds of p(s), before the tilt."""
        return _odds(*self._split(log_what), gate_logits)

    def measures(
        self, observations: Float[Tensor, "batch k"], log_odds: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch measure"]:
        """phi(s), the measures of the state standardised."""
        state = ((_state(observations) - self.center) / self.spread).clamp(-_FAR, _FAR)
        return torch.cat([torch.ones_like(state[:, :1]), state, log_odds[:, None]], dim=1)

    def standardise(self, observations: Float[Tensor, "row k"]) -> None:
        """Takes mean and spread of the measures of the state from a sample of the dataset."""
        state = _state(observations)
        self.center.copy_(state.mean(dim=0))
        self.spread.copy_(state.std(dim=0).clamp(min=1e-6))

    def _split(self, log_what: Float[Tensor, "batch valid"]) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"]]:
        """Log-probabilities of high touch and of the other actions, given that something is done."""
        # Columns by index, since masks of all joint actions would cost more than the rest of the policy.
        return torch.logsumexp(log_what[:, self.inside], dim=1), torch.logsumexp(log_what[:, self.outside], dim=1)


def _odds(
    log_high: Float[Tensor, "batch"], log_low: Float[Tensor, "batch"], gate_logits: Float[Tensor, "batch"] | None
) -> Float[Tensor, "batch"]:
    """Log odds of high touch among everything, doing nothing included, cut so that they stay finite."""
    if gate_logits is not None:
        acting = F.logsigmoid(gate_logits)
        log_high, log_low = acting + log_high, torch.logaddexp(F.logsigmoid(-gate_logits), acting + log_low)
    return (log_high - log_low).clamp(-_BOUND, _BOUND)


def _state(observations: Float[Tensor, "batch k"]) -> Float[Tensor, "batch twice"]:
    """Measures of the state: the signed logarithm of each observation, and its square."""
    squashed = squash_tensor(observations)
    return torch.cat([squashed, squashed**2], dim=1)
