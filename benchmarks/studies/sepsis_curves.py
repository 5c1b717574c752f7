"""How much is learned from how many episodes, beside published learning curves: the sepsis simulator, exact values.

    python benchmarks/studies/sepsis_curves.py

Tang et al. (2022, "Leveraging factored action spaces for efficient offline reinforcement learning in healthcare")
train fitted Q iteration on episodes of `benchmarks.worlds.sepsis_treatments`: with a network over the eight joint
actions, *flat*, and with one whose values are sums over the three treatments, *factored*. Rows here are four sizes of
data of theirs. Values are exact, in the terms they use (`SepsisTreatments.published_value`): discounted by .99,
without a time limit. FactoredAWR has its defaults and is told nothing; so has the clone of what was logged.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Tell, Unit
from benchmarks.training.algorithms import create, label
from benchmarks.training.train import train
from benchmarks.worlds.episodes import flat, roll_out
from benchmarks.worlds.sepsis_treatments import SepsisTreatments
from frl_algos import FactoredReplayBuffer, LearnedPolicy
from frl_env.terminal import progress_bar, run_or_say

RESULTS = Kept("benchmarks.studies.sepsis_curves")
SEED = 88_000
"""Of what is logged; no other study uses it."""

ALGORITHMS = ("factored_awr_told_nothing", "discrete_bc")
MODES = {"greedy": "greedy", "stochastic": "drawn"}


@dataclass(frozen=True)
class Size:
    """Episodes of theirs.

    Attributes:
        epsilon: How often the logging policy does anything; 1 logs at random.
        episodes: How many.
        flat: Published median value of fitted Q iteration over joint actions.
        factored: The same, of values that are sums over treatments.
    """

    epsilon: float
    episodes: int
    flat: float
    factored: float

    @property
    def label(self) -> str:
        """Name of this amount of data in a table."""
        how = "at random" if self.epsilon == 1 else f"the best, but for {self.epsilon:.0%}"
        return f"{self.episodes:,}, {how}"


SIZES = (
    Size(0.1, 5_000, 0.430, 0.604),
    Size(0.1, 10_000, 0.457, 0.676),
    Size(1.0, 200, 0.031, 0.294),
    Size(1.0, 50_000, 0.722, 0.676),
)

STUDY = Study(
    RESULTS,
    "How much FactoredAWR learns from how many episodes of the sepsis simulator.",
    {
        "seeds": (5, 1, "seeds 0..N-1, of training and of what is logged"),
        "steps": (3_000, 1, "updates a run"),
    },
)

COLUMNS = {
    "episodes": "{size}",
    "logged": "{logged:.3f}",
    "flat, published": "{flat:.3f}",
    "factored, published": "{factored:.3f}",
} | {
    f"{label(name)}, {word}": f"{{{name}_{word}:.3f}} ({{{name}_{word}_low:.3f}}, {{{name}_{word}_high:.3f}})"
    for name in ALGORITHMS
    for word in MODES.values()
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is missing and shows the table."""
    options = STUDY.options(arguments)
    wanted = [(size, seed) for size in SIZES for seed in range(options.seeds)]
    with progress_bar() as tell:
        units = [
            Unit(
                f"epsilon{size.epsilon:g}-episodes{size.episodes}-seed{seed}",
                partial(trained, size, seed, options.steps, tell),
                {"epsilon": size.epsilon, "episodes": size.episodes, "seed": seed, "steps": options.steps},
            )
            for size, seed in wanted
        ]  # fmt: skip
        found = STUDY.each(units, options, "trainings", tell=lambda *_: None)
    rows = [row(size, [each for each, (own, _) in zip(found, wanted, strict=True) if own is size]) for size in SIZES]
    world = SepsisTreatments(epsilon=1.0)
    STUDY.tell(
        rows,
        COLUMNS,
        options,
        title="exact values: medians (lowest, highest)",
        caption=f"The best policy is worth {world.published_value(world.process.best_policy):.3f}.",
    )


def trained(size: Size, seed: int, steps: int, tell: Tell) -> dict[str, float]:
    """Exact value of each algorithm and mode, trained on episodes drawn with this seed."""
    world = SepsisTreatments(epsilon=size.epsilon)
    logged = roll_out(world, None, episodes=size.episodes, seed=(SEED, size.episodes, seed), noisy=True)
    values = {}
    for name in ALGORITHMS:
        buffer = FactoredReplayBuffer(**flat(logged), action_space=world.space, seed=seed, simulated=True)
        algorithm = create(name, [f"x{i}" for i in range(world.observation_size)], world.space, {})
        what = f"{size.label}: {label(name)}, seed {seed}"
        train(algorithm, buffer, steps=steps, seed=seed, progress=lambda done, what=what: tell(what, done, steps))
        for mode, word in MODES.items():
            policy = LearnedPolicy(algorithm, world.space, mode).probabilities(world.observations)
            exact = policy.astype(np.float64)
            values[f"{name}_{word}"] = world.published_value(exact / exact.sum(axis=1, keepdims=True))
    return values


def row(size: Size, found: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Medians over seeds, with the lowest and the highest."""
    world = SepsisTreatments(epsilon=size.epsilon)
    cells: dict[str, Any] = {
        "size": size.label,
        "logged": world.published_value(world.logging_policy),
        "flat": size.flat,
        "factored": size.factored,
    }
    for name in found[0]:
        values = [each[name] for each in found]
        cells |= {name: float(np.median(values)), f"{name}_low": min(values), f"{name}_high": max(values)}
    return cells


if __name__ == "__main__":
    run_or_say(main)
