"""Keeps invalid joint actions out of the maxima that d3rlpy takes while it trains.

DQN, CQL and BCQ bootstrap from the best next action, and CQL's penalty is a soft maximum over all actions. d3rlpy knows
no masks, and a value that is never trained can be any number. Here every value of an invalid action is put below the
least valid one of the same state, by a fixed step:

    Q(s, a)  <-  min over valid b of Q(s, b)  -  BELOW        for invalid a

It is no candidate for a maximum, adds nothing to a soft maximum (`exp(-BELOW)`), and no gradient flows through it. The
networks stay d3rlpy's own: a forward hook does it, which is in no saved file. BCQ looks for the best among the actions
that its imitator finds likely enough; "enough" is measured against the likeliest valid one.

What replaces a method of d3rlpy's is bound to its implementation, so that a deep copy asks its own networks.
"""

import math
from collections.abc import Iterable
from types import MethodType
from typing import Any

import torch
from d3rlpy.models.torch import CategoricalPolicy, DiscreteQFunction

from frl_env.actions import ActionSpace

BELOW = 30.0
"""Large enough that nothing is left of it in a soft maximum, small enough for differences of values in float32."""


def keep_maxima_valid(impl: Any, space: ActionSpace) -> int:
    """Hooks every Q function of an implementation; hooking twice changes nothing.

    Args:
        impl: d3rlpy's, of a discrete algorithm, or one that was derived from it; one without Q functions stays as it
            is.
        space: The actions.

    Returns:
        Q functions that are masked now, target networks among them.
    """
    valid = torch.as_tensor(space.valid)
    functions = list(_q_functions(impl))
    for function in functions:
        if getattr(function, "masked", False) or bool(valid.all()):
            continue
        function.register_forward_hook(_lower(valid))
        function.masked = True
    if functions and hasattr(impl.modules, "imitator") and hasattr(impl, "_action_flexibility"):
        impl.inner_predict_best_action = MethodType(_best_supported(valid), impl)
    policy = getattr(impl.modules, "policy", None)
    if isinstance(policy, CategoricalPolicy) and not (getattr(policy, "masked", False) or bool(valid.all())):
        policy.register_forward_hook(_unlikely(valid))
        policy.masked = True
        if hasattr(impl, "update_temp"):
            impl.update_temp = MethodType(_aiming_at_valid(int(valid.sum())), impl)
    return len(functions)


def _q_functions(impl: Any) -> Iterable[Any]:
    for name in ("q_funcs", "targ_q_funcs"):
        yield from (each for each in getattr(impl.modules, name, ()) if isinstance(each, DiscreteQFunction))


def _best_supported(valid: torch.Tensor) -> Any:
    """BCQ's choice, as d3rlpy has it, among valid actions."""

    def best(impl: Any, x: Any) -> torch.Tensor:
        logits = impl.modules.imitator(x).logits.masked_fill(~valid.to(impl.device), -math.inf)
        unlikely = logits < logits.amax(dim=1, keepdim=True) + math.log(impl._action_flexibility)
        return impl._q_func_forwarder.compute_expected_q(x).masked_fill(unlikely, -math.inf).argmax(dim=1)

    return best


def _unlikely(valid: torch.Tensor) -> Any:
    """A hook that leaves invalid actions of a policy next to no probability."""

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        logits = output.logits
        least = logits.detach()[:, valid].amin(dim=1, keepdim=True) - BELOW
        return torch.distributions.Categorical(logits=torch.where(valid.to(logits.device), logits, least))

    return hook


def _aiming_at_valid(actions: int) -> Any:
    """SAC's update of its temperature with an entropy that a policy over the valid actions can have."""

    def updated(impl: Any, distribution: Any) -> Any:
        whole = impl.action_size
        impl._action_size = actions
        try:
            return type(impl).update_temp(impl, distribution)
        finally:
            impl._action_size = whole

    return updated


def _lower(valid: torch.Tensor) -> Any:
    """A hook that puts Q of invalid actions below that of all valid ones, so that no maximum is theirs."""

    def hook(module: Any, inputs: Any, output: Any) -> Any:
        values = output.q_value
        least = values.detach()[:, valid].amin(dim=1, keepdim=True) - BELOW
        return output._replace(q_value=torch.where(valid.to(values.device), values, least))

    return hook
