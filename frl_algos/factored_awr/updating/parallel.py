"""Training in several processes (`enable_ddp=True` under torchrun): equal weights, different rows, averaged gradients.

torch's `DistributedDataParallel` hooks into one `forward` of a module; the cloned policy is called through several of
its parts, so the gradients are averaged here by hand. Every process holds the whole dataset, as d3rlpy has it.
"""

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor, nn


def place() -> tuple[int, int]:
    """Rank of this process and their number; (0, 1) without a process group."""
    if not (dist.is_available() and dist.is_initialized()):
        return 0, 1
    return dist.get_rank(), dist.get_world_size()


@torch.no_grad()
def follow_first(modules: Iterable[nn.Module]) -> None:
    """Gives every process the parameters and buffers of the first."""
    if place()[1] == 1:
        return
    for module in modules:
        for tensor in [*module.parameters(), *module.buffers()]:
            dist.broadcast(tensor, src=0)


@torch.no_grad()
def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replaces every gradient by its mean over the processes, in one message."""
    processes = place()[1]
    if processes == 1:
        return
    flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in parameters])
    dist.all_reduce(flat)
    flat /= processes
    for p, mean in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        p.grad = mean.view_as(p).clone()
