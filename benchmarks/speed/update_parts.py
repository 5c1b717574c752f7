"""Where the time of an update goes: its parts timed separately, down to the matrix products that it can't do without.

The products of real updates are recorded by torch's flop counter, sizes only, and repeated on contiguous numbers with
nothing around them: the arithmetic floor. Everything else is reading rows, moving them into tensors, element-wise
arithmetic, the optimiser, autograd's bookkeeping, Python and d3rlpy.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from d3rlpy.optimizers import OptimizerWrapper
from d3rlpy.torch_utility import TorchMiniBatch
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.timing import Subject, time_in_turn
from frl_algos import FactoredReplayBuffer

BATCHES = 16
"""Mini-batches that every part is timed on: the work of an update may depend on what was drawn."""

PRODUCTS: dict[Any, int] = {
    torch.ops.aten.mm: 0,
    torch.ops.aten.bmm: 0,
    torch.ops.aten.addmm: 1,
    torch.ops.aten.baddbmm: 1,
}
"""Matrix products and where the first of their two factors stands among their arguments."""


class Product(NamedTuple):
    """The sizes of one matrix product, or of a stack of them."""

    first: tuple[int, ...]
    second: tuple[int, ...]

    @property
    def flop(self) -> int:
        """Multiplications and additions."""
        return 2 * int(np.prod(self.first)) * self.second[-1]


def parts_table(
    trained: Mapping[str, Any], update_ms: Mapping[str, float], buffer: FactoredReplayBuffer, repetitions: int
) -> Table:
    """Milliseconds of each part of an update, one column an algorithm.

    Args:
        trained: Algorithms after `fit`.
        update_ms: What an update took within `fit`.
        buffer: What they were trained on.
        repetitions: Of each timing.
    """
    subjects, sizes = [], {}
    for name, algorithm in trained.items():
        parts, sizes[name] = update_parts(algorithm, buffer)
        subjects += [Subject(f"{name}/{part}", BATCHES, run) for part, run in parts.items()]
    rates = time_in_turn(subjects, repetitions)
    columns = {name: _split(name, rates, update_ms[name]) for name in trained}
    table = Table("ms an update", *columns, title="where the time of an update goes")
    for part in next(iter(columns.values())):
        table.add_row(part, *(f"{column[part]:.2f}" for column in columns.values()))
    table.add_section()
    table.add_row("matrix products", *(f"{len(each) / BATCHES:.0f}" for each in sizes.values()))
    table.add_row("MFLOP in them", *(f"{sum(p.flop for p in each) / BATCHES / 1e6:,.0f}" for each in sizes.values()))
    table.caption = (
        "Medians of parts timed separately, in turn; the rest is what is missing to a whole update, and d3rlpy's\n"
        "loop (metrics, logger) what is missing to an update within fit, timed earlier: noise can make it negative."
    )
    return table


def _split(name: str, rates: Mapping[str, np.ndarray], within_fit: float) -> dict[str, float]:
    sample, tensors, products, optimiser, update = (
        1000 / float(np.median(rates[f"{name}/{part}"]))
        for part in ("sample", "tensors", "products", "optimiser", "update")
    )
    return {
        "sample a batch": sample,
        "to tensors, scaled": tensors,
        "arithmetic floor: matrix products": products,
        "optimiser step": optimiser,
        "rest of the update": update - tensors - products - optimiser,
        "d3rlpy's loop": within_fit - sample - update,
        "all, within fit": within_fit,
    }


def update_parts(
    algorithm: Any, buffer: FactoredReplayBuffer
) -> tuple[Mapping[str, Callable[[], object]], list[Product]]:
    """The parts of an update as calls that each do `BATCHES` of them."""
    view = algorithm.view(buffer) if hasattr(algorithm, "view") else buffer
    learner = getattr(algorithm, "algorithm", algorithm)
    batches = [view.sample_transition_batch(learner.batch_size) for _ in range(BATCHES)]
    optimisers = [part for part in vars(learner.impl.modules).values() if isinstance(part, OptimizerWrapper)]

    def sample() -> None:
        for _ in batches:
            view.sample_transition_batch(learner.batch_size)

    def tensors() -> None:
        for batch in batches:
            TorchMiniBatch.from_batch(
                batch,
                gamma=learner.gamma,
                compute_returns_to_go=learner.need_returns_to_go,
                device=learner.impl.device,
                observation_scaler=learner.observation_scaler,
                action_scaler=learner.action_scaler,
                reward_scaler=learner.reward_scaler,
            )

    def optimiser() -> None:
        for _ in batches:
            for each in optimisers:
                each.step()

    def update() -> None:
        for batch in batches:
            learner.update(batch)

    recorded = record_products(update)
    operands = {size: torch.randn(size) for product in recorded for size in product}
    results = {product: _multiply(product, operands) for product in set(recorded)}

    @torch.no_grad()
    def products() -> None:
        for product in recorded:
            torch.matmul(operands[product.first], operands[product.second], out=results[product])

    run = {"sample": sample, "tensors": tensors, "products": products, "optimiser": optimiser, "update": update}
    return run, recorded


def _multiply(product: Product, operands: Mapping[tuple[int, ...], torch.Tensor]) -> torch.Tensor:
    return operands[product.first] @ operands[product.second]


def record_products(run: Callable[[], object]) -> list[Product]:
    """The matrix products of a call, in order."""
    found: list[Product] = []

    def record(*shapes: Any, first: int, **_: Any) -> int:
        found.append(Product(tuple(shapes[first]), tuple(shapes[first + 1])))
        return 0

    with FlopCounterMode(display=False, custom_mapping={p: partial(record, first=i) for p, i in PRODUCTS.items()}):
        run()
    return found
