"""The signed logarithm, by which counts and dollars become what linear models of a state can use."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def squash(x: Float[np.ndarray, "row k"]) -> Float[np.ndarray, "row k"]:
    """Signed logarithm, which tames heavy tails."""
    return np.sign(x) * np.log1p(np.abs(x))


def squash_tensor(x: Float[Tensor, "row k"]) -> Float[Tensor, "row k"]:
    """sign(x) ln(1 + |x|) of a torch tensor; `squash` does it for arrays."""
    return torch.sign(x) * torch.log1p(torch.abs(x))
