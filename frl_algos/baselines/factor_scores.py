"""Scores of factor levels as scores of joint actions: their sum, over valid joint actions only.

    score(a) = sum over factors f of logits[offset_f + a_f]

Where every joint action is valid, sums and maxima over all of them are taken factor by factor,

    log sum over a of exp score(a) = sum over f of log sum over l of exp logits[offset_f + l],

so that nothing grows with the number of joint actions; else they are enumerated.
"""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.logged_data.valid_positions import valid_positions
from frl_env.actions import ActionSpace


class FactorScores(nn.Module):
    """What follows from one number a level, `(batch, sum of nvec)`; see the module.

    Args:
        space: The actions.
    """

    levels: Tensor
    columns: Tensor
    valid: Tensor
    position: Tensor

    def __init__(self, space: ActionSpace) -> None:
        """Lays out where the levels of each joint action stand."""
        super().__init__()
        self.nvec = space.nvec
        self.all_valid = bool(space.valid.all())
        offsets = np.cumsum((0, *space.nvec[:-1]))
        for name, array in (
            ("levels", space.joint_levels),
            ("columns", space.joint_levels + offsets),
            ("valid", space.valid_joints),
            ("position", valid_positions(space)),
        ):
            self.register_buffer(name, torch.as_tensor(array), persistent=False)

    def forward(self, logits: Float[Tensor, "batch level"]) -> Float[Tensor, "batch valid"]:
        """Scores of the valid joint actions."""
        first, *others = logits.split(self.nvec, dim=1)
        for part in others:
            first = (first[:, :, None] + part[:, None, :]).flatten(1)
        return first if self.all_valid else first[:, self.valid]

    def of(self, logits: Float[Tensor, "batch level"], joints: Int[Tensor, "batch"]) -> Float[Tensor, "batch"]:
        """Score of one joint action a row."""
        return logits.gather(1, self.columns[joints]).sum(dim=1)

    def log_sum_exp(self, logits: Float[Tensor, "batch level"]) -> Float[Tensor, "batch"]:
        """Soft maximum over the valid joint actions."""
        if not self.all_valid:
            return torch.logsumexp(self(logits), dim=1)
        return torch.stack([part.logsumexp(dim=1) for part in logits.split(self.nvec, dim=1)]).sum(dim=0)

    def best(self, logits: Float[Tensor, "batch level"]) -> Int[Tensor, "batch"]:
        """Joint index of the valid action with the highest score; the lowest of equals."""
        if not self.all_valid:
            return self.valid[self(logits).argmax(dim=1)]
        joints = torch.zeros(len(logits), dtype=torch.long, device=logits.device)
        for part in logits.split(self.nvec, dim=1):
            joints = joints * part.shape[1] + part.argmax(dim=1)
        return joints


def two_hidden_layers(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The network of every value and policy here."""
    return nn.Sequential(
        nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, outputs)
    )
