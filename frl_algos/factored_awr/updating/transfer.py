"""Copying a policy, or the state of its optimiser, from one FactoredAWR to another."""

import copy
from typing import Any

import torch
from torch import nn

from frl_env.errors import UserError

NO_Q_FUNCTION = (
    "FactoredAWR has no Q function to copy: its effects of actions are estimated in closed form from a dataset. "
    "copy_policy_from copies them with the policy; fit estimates them"
)


def copy_policy(source: Any, target: Any) -> None:
    """Copies all that the policy is made of: clone, actor, effects, scale, temperature and shift of the gate.

    d3rlpy copies the parameters of one network, but here most of the policy is in buffers.

    Raises:
        UserError: If the source is of another kind or not trained, or networks, actions, states or support differ.
    """
    modules = _matching(source, target)
    theirs, ours = source._settings, target._settings
    if theirs.action_schema != ours.action_schema:
        raise UserError("the two algorithms differ in their actions; give both the same, with the same names")
    if theirs.state_names and ours.state_names and theirs.state_names != ours.state_names:
        raise UserError("the two algorithms differ in the names of their states; fit both to the same ones")
    if theirs.support_threshold != ours.support_threshold:
        raise UserError("the two algorithms differ in support_threshold; give both the same configuration")
    for name, module in modules.items():
        module.load_state_dict(source.modules.get_torch_modules()[name].state_dict())


def copy_optimiser(source: Any, target: Any) -> None:
    """Copies the optimiser's state; a deep copy, where d3rlpy's would leave both to write into the same tensors.

    Raises:
        UserError: If the source is another algorithm, or its networks differ.
    """
    _matching(source, target)
    ours: torch.optim.Optimizer = target.policy_optim
    state = copy.deepcopy(source.policy_optim.state_dict()["state"])
    ours.load_state_dict({"state": state, "param_groups": ours.state_dict()["param_groups"]})


def _matching(source: Any, target: Any) -> dict[str, nn.Module]:
    if source is None:
        raise UserError("the algorithm to copy from is not trained yet; fit it or load a model first")
    if not isinstance(source, type(target)):
        raise UserError(
            f"FactoredAWR can only copy from another FactoredAWR, not from {type(source).__name__.removesuffix('Impl')}"
        )
    modules = target.modules.get_torch_modules()
    if modules.keys() != source.modules.get_torch_modules().keys():
        raise UserError(
            "one of the two algorithms is told to be fair and the other is not; give both the same fairness"
        )
    for name, theirs in source.modules.get_torch_modules().items():
        shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (modules[name], theirs)]
        if shapes[0] != shapes[1]:
            raise UserError(
                f"the two algorithms differ in the shape of their {name}; give both the same configuration, actions "
                "and observations"
            )
    if source.separate_actor != target.separate_actor:
        raise UserError("the two algorithms differ in their extraction; give both the same configuration")
    return modules
