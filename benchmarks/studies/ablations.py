"""What each part of FactoredAWR is worth: variants on one dataset, or learners along the confounding dial; one table.

    python benchmarks/studies/ablations.py                          variants of FactoredAWR, -v0
    python benchmarks/studies/ablations.py --study confounding      learners, the care team's insight from 0 to 1
    python benchmarks/studies/ablations.py --study replicates       variants, on datasets of other members of the world

True values on the simulator, as shares of the gap between the behaviour policy and the best observation-only policy:
interquartile mean over training seeds, with a 95 % interval over seeds and members. Over replicates, which say more
than seeds do, also the mean, and FactoredAWR's lead over each variant, paired by dataset. Every run is kept as soon as
it is done; the same command goes on where a stopped one was.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_writable
from benchmarks.record.kept import Kept
from benchmarks.record.run_key import checksum
from benchmarks.sweep.statistics import bootstrap_interval, interquartile_mean
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.train import train
from benchmarks.truth.true_values import Evaluation
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_replay_buffer
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.policies.stacked_history import HistoryPolicy, stack_history
from frl_algos.policies.stock import create_stock
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, check_dataset, ensure_dataset, recipe, replicate
from frl_env.reference_returns import ceiling
from frl_env.state import observation_names
from frl_env.terminal import progress_bar, run_or_say

RESULTS = Kept("benchmarks.studies.ablations")
DATASET = "frl/medicaid-synthetic-v0"
INSIGHTS = (0.0, 0.5, 1.0)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One line of the table.

    Attributes:
        label: What it is.
        settings: Fields of FactoredAWRConfig that differ from the benchmark's.
        history: Weeks of observations.
        preset: Start from the published settings instead of the benchmark's.
        stock: Name of a stock algorithm instead.
    """

    label: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: int = 1
    preset: bool = False
    stock: str | None = None

    def create(self, names: Sequence[str]) -> Any:
        """The algorithm, untrained."""
        if self.stock:
            return create_stock(self.stock, batch_size=512)
        base = FactoredAWRConfig.seed_preset() if self.preset else factored_awr(names, MEDICAID_ACTIONS)
        return dataclasses.replace(base, **self.settings).create()


UNSUITED = {"need_factor": None, "skill_factor": None}
UNTOLD = UNSUITED | {"response": None, "indications": {}}
RETURNS = UNTOLD | {"critic": "returns", "extraction": "regression", "temperature": 1.0}
OURS = Variant("FactoredAWR")
VARIANTS = (
    OURS,
    Variant("policy network: one-hot, no embeddings", {"encoder": "one_hot"}),
    Variant("policy network: frozen random embeddings", {"encoder": "frozen"}),
    Variant("flat softmax and critic over joint actions", {"encoder": "flat"}),
    Variant("independent factors, policy and critic", {"encoder": "independent", "skill_factor": None}),
    Variant("no needs and skills (effects as estimated)", UNSUITED),
    Variant("needs, no skills", {"skill_factor": None}),
    Variant("temperature 1 (near the clone)", {"temperature": 1.0}),
    Variant("temperature 0.03 (all but greedy)", {"temperature": 0.03}),
    Variant("no response contrast (R-learner)", {"response": None}),
    Variant("acting as often as the care team", {"action_rate": 0.112}),
    Variant("weighted regression of the same advantage", {"extraction": "regression", "temperature": 0.1}),
    Variant("no advantage (cloning)", UNTOLD | {"critic": "none"}),
    Variant("raw-return advantage (AWR)", RETURNS),
    Variant("raw-return advantage, not standardised", RETURNS | {"standardise": False}),
    Variant("published settings (seed preset)", preset=True),
    Variant("no standardisation", {"standardise": False, "temperature": 0.1}),
    Variant("4 weeks of history", history=4),
    Variant("8 weeks of history", history=8),
)
LEARNERS = (
    OURS,
    Variant("no response contrast (R-learner)", {"response": None}),
    Variant("no advantage (cloning)", UNTOLD | {"critic": "none"}),
    Variant("raw-return advantage (AWR)", RETURNS),
    Variant("DiscreteBC (stock)", stock="discrete_bc"),
    Variant("DiscreteCQL (stock)", stock="discrete_cql"),
    Variant("IQL (stock, 31-d relaxation)", stock="iql"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one study."""
    options = _parser().parse_args(arguments)
    check_at_least(options, seeds=1, steps=1, eval_members=2, replicates=1, first=1)
    worlds: Sequence[str | Recipe]
    if options.study == "variants":
        check_dataset(options.dataset)
        worlds, variants = [options.dataset], VARIANTS[: options.first]
    elif options.study == "confounding":
        worlds, variants = [_dial(options.dataset, insight) for insight in INSIGHTS], LEARNERS[: options.first]
    else:
        worlds = [replicate(options.dataset, number) for number in range(options.replicates)]
        variants = VARIANTS[: options.first]
    out = Path(options.out)
    check_writable(out)
    table = Table(title=f"share of the gap closed, %, {options.seeds} seeds, {options.eval_members:,} members")
    table.add_column("learner", no_wrap=True)
    columns = [_study(world, variants, options, out) for world in worlds]
    names = [world if isinstance(world, str) else world.dataset_id for world in worlds]
    console = Console()
    over_replicates = options.study == "replicates"
    # Each replicate has had its line; a column for each would leave no room for what they say together.
    shown = [f"mean of {len(names)} datasets", "FactoredAWR's lead"] if over_replicates else names
    for name in shown:
        table.add_column(name.split("/")[-1], justify="right", no_wrap=True)
    for variant in variants:
        if over_replicates:
            ours, shares = (np.asarray([column[v.label][0] for column in columns]) for v in (OURS, variant))
            cells = [f"{shares.mean():.0f}", "" if variant is OURS else lead(ours - shares)]
        else:
            found = [column[variant.label] for column in columns]
            cells = [f"{mean:.0f} [{low:.0f}, {high:.0f}]" for mean, low, high in found]
        table.add_row(variant.label, *cells)
    if over_replicates:
        table.caption = (
            "Lead: mean of the differences by dataset, its standard error and, in brackets, on how many it is above 0."
        )
    if not console.is_terminal:
        console.width = 130
    console.print(table)


def lead(differences: Float64[np.ndarray, "dataset"]) -> str:
    """Their mean, its standard error and on how many datasets they are above 0."""
    error = f", SE {differences.std(ddof=1) / np.sqrt(len(differences)):.1f}" if len(differences) > 1 else ""
    return f"{differences.mean():+.1f}{error} ({int((differences > 0).sum())} of {len(differences)})"


def _study(
    made: str | Recipe, variants: Sequence[Variant], options: argparse.Namespace, out: Path
) -> dict[str, tuple[float, float, float]]:
    """Mean and interval of each variant on one dataset."""
    with progress_bar() as progress:
        dataset = ensure_dataset(made, progress=progress)
        evaluation = Evaluation.of_dataset(dataset, members=options.eval_members)
        references = evaluation.references(progress)
    buffer = load_replay_buffer(dataset)
    behaviour, best = references["behaviour"].value, references[ceiling(references)].value
    gap = float((best - behaviour).mean())
    print(f"{dataset.spec.dataset_id}: behaviour {behaviour.mean():.4f}, {ceiling(references)} {gap:+.4f}", flush=True)
    found = {}
    for variant in variants:
        gains = values_of(RESULTS, variant, buffer, evaluation, options, out) - behaviour
        scale = 100 / gap if abs(gap) > 1e-9 else float("nan")
        low, high = bootstrap_interval(gains, np.random.default_rng(0))
        mean = float(interquartile_mean(gains.mean(axis=1)))
        each = ", ".join(f"{value:+.4f}" for value in gains.mean(axis=1))
        print(f"{variant.label}: {mean:+.4f} [{low:+.4f}, {high:+.4f}], seeds {each}", flush=True)
        found[variant.label] = (mean * scale, low * scale, high * scale)
    return found


def values_of(
    results: Kept,
    variant: Variant,
    buffer: FactoredReplayBuffer,
    evaluation: Evaluation,
    options: argparse.Namespace,
    out: Path,
) -> Float32[np.ndarray, "seed member"]:
    """True value for each evaluation member of one variant trained with each seed; finished runs are kept in a folder.

    Args:
        results: Of the study that asks.
        variant: What is trained.
        buffer: The data.
        evaluation: Of the world that the data are from.
        options: `seeds`, `steps`, `eval_members`.
        out: The folder.

    Raises:
        UserError: If a run can't be kept.
    """
    names = observation_names(**evaluation.world.seen)
    facts = {
        "data": checksum(buffer.observations, buffer.actions, buffer.rewards, buffer.next_observations, buffer.lengths),
        "variant": dataclasses.asdict(variant),
        "steps": options.steps,
        "evaluation": dataclasses.asdict(evaluation),
    }

    def value(seed: int) -> np.ndarray:
        return _run(variant, seed, options.steps, buffer, names, evaluation).astype(np.float32)

    return np.stack(
        [results.array(out, f"seed{seed}", partial(value, seed), seed=seed, **facts) for seed in range(options.seeds)]
    )


def _run(
    variant: Variant, seed: int, steps: int, buffer: FactoredReplayBuffer, names: Sequence[str], evaluation: Evaluation
) -> np.ndarray:
    """Trains once and returns each evaluation member's value."""
    data = stack_history(buffer, variant.history) if variant.history > 1 else buffer
    algorithm = variant.create(names)
    trained = train(algorithm, data, steps=steps, seed=seed).wall_s
    mode = modes(algorithm)[0]
    policy: Callable[[np.ndarray, np.random.Generator], np.ndarray] = LearnedPolicy(algorithm, data.action_space, mode)
    if variant.history > 1:
        policy = HistoryPolicy(policy, variant.history)  # type: ignore[arg-type]
    returns = evaluation.score_decisions(policy)
    print(f"  {variant.label}, seed {seed}: trained in {trained:.0f} s, {mode}", file=sys.stderr, flush=True)
    return returns.value


def _dial(dataset_id: str, insight: float) -> Recipe:
    """The recipe of a dataset with the care team's insight turned."""
    base = recipe(dataset_id)
    name, version = base.dataset_id.rsplit("-v", 1)
    return dataclasses.replace(
        base,
        dataset_id=f"{name}-insight-{round(100 * insight)}-v{version}",
        world=dataclasses.replace(base.world, insight=insight),
    )


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="What each part of FactoredAWR is worth.")
    parser.add_argument("--study", choices=("variants", "confounding", "replicates"), default="variants")
    parser.add_argument("--dataset", default=DATASET, help=f"Minari id (default {DATASET})")
    parser.add_argument("--seeds", type=int, default=5, help="training seeds 0..N-1 (default 5)")
    parser.add_argument("--steps", type=int, default=3_000, help="updates a run (default 3000)")
    parser.add_argument("--eval-members", type=int, default=20_000, help="members of every rollout (default 20000)")
    parser.add_argument("--replicates", type=int, default=8, help="datasets of the study of that name (default 8)")
    parser.add_argument("--first", type=int, default=len(VARIANTS), help="only the first so many variants")
    parser.add_argument("--out", default="results/ablations", help="folder for finished runs")
    return parser


if __name__ == "__main__":
    run_or_say(main)
