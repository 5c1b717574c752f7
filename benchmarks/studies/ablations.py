"""What each part of FactoredAWR is worth: variants on one dataset, or learners along the confounding dial; one table.

    python benchmarks/studies/ablations.py                          variants of FactoredAWR, -v0
    python benchmarks/studies/ablations.py --study confounding      learners, the care team's insight from 0 to 1
    python benchmarks/studies/ablations.py --study replicates       variants, on datasets of other members of the world
    python benchmarks/studies/ablations.py --study iql              the factored IQLs, by how far they follow advantages

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
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64

from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.result_records.figures import MISSING
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.run_key import checksum
from benchmarks.result_records.study import Study, Tell, Unit
from benchmarks.sweep.statistics import bootstrap_interval, interquartile_mean
from benchmarks.training.algorithms import create, label
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.train import train
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer, load_replay_buffer
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import LearnedPolicy
from frl_algos.policies.stacked_history import HistoryPolicy, stack_history
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, check_dataset, ensure_dataset, recipe, replicate
from frl_env.reference_returns import ceiling
from frl_env.simulator.state import observation_names
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
        algo: Name of another algorithm instead, of those of `benchmarks/run.py`; the settings are its own then.
    """

    label: str
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)
    history: int = 1
    preset: bool = False
    algo: str | None = None

    def create(self, names: Sequence[str]) -> Any:
        """The algorithm, untrained."""
        if self.algo:
            return create(self.algo, names, MEDICAID_ACTIONS, self.settings)
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
    Variant("DiscreteBC (stock)", algo="discrete_bc_default"),
    Variant("DiscreteCQL (stock)", algo="cql"),
    Variant("IQL (stock, 31-d relaxation)", algo="iql"),
)
IQLS = (
    OURS,
    Variant("no advantage (cloning)", UNTOLD | {"critic": "none"}),
    *(
        Variant(f"{label(algo)}, beta {beta}", {"beta": beta}, algo=algo)
        for algo in ("factored_iql", "autoregressive_iql")
        for beta in (3, 30, 300)
    ),
)
STUDIES = {"variants": VARIANTS, "confounding": LEARNERS, "replicates": VARIANTS, "iql": IQLS}
"""What each study compares."""


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--study", choices=tuple(STUDIES), default="variants")
    parser.add_argument("--dataset", default=DATASET, help=f"Minari id; of variants several by comma ({DATASET})")


STUDY = Study(
    RESULTS,
    "What each part of FactoredAWR is worth.",
    {
        "seeds": (5, 1, "training seeds 0..N-1"),
        "steps": (3_000, 1, "updates a run"),
        "eval_members": (20_000, 2, "members of every rollout"),
        "replicates": (8, 1, "datasets of the study of that name"),
        "first": (len(VARIANTS), 1, "only the first so many variants"),
    },
    _more,
)
LEAD = {"Lead": "{lead_said}"}
LEAD_CAPTION = "Lead: mean of the differences by dataset, in points, its standard error, on how many it is above 0."


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs one study."""
    options = STUDY.options(arguments)
    worlds: Sequence[str | Recipe]
    variants = STUDIES[options.study][: options.first]
    if options.study == "confounding":
        worlds = [_dial(options.dataset, insight) for insight in INSIGHTS]
    elif options.study == "replicates":
        worlds = [replicate(options.dataset, number) for number in range(options.replicates)]
    else:
        worlds = options.dataset.split(",")
        for name in worlds:
            check_dataset(name)
    with progress_bar() as tell:
        found = [_study(world, variants, options, tell) for world in worlds]
    if options.study == "replicates":
        rows, columns = _over_datasets(variants, found)
        title, caption = f"share of the gap closed, mean of {len(found)} datasets", LEAD_CAPTION
    else:
        names = [world if isinstance(world, str) else world.dataset_id for world in worlds]
        rows, columns = _by_dataset(variants, found, names)
        title, caption = f"share of the gap closed, %, {options.seeds} seeds, {options.eval_members:,} members", ""
    STUDY.tell(rows, columns, options, part=options.study, title=title, caption=caption)


def _by_dataset(
    variants: Sequence[Variant], found: Sequence[Mapping[str, dict[str, float]]], names: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row a learner; of each dataset the share of the gap and the gain, each with its interval."""
    shorts = [name.split("/")[-1].removeprefix("medicaid-synthetic-").replace("-", "_") for name in names]
    rows: list[dict[str, Any]] = [{"learner": variant.label} for variant in variants]
    columns = {"learner": "{learner}"}
    for name, short, column in zip(names, shorts, found, strict=True):
        for row in rows:
            row |= {f"{short}_{key}": value for key, value in column[row["learner"]].items()}
        columns[name.split("/")[-1]] = f"{{{short}_share:.0f}} [{{{short}_low:.0f}}, {{{short}_high:.0f}}]"
    return rows, columns


def _over_datasets(
    variants: Sequence[Variant], found: Sequence[Mapping[str, dict[str, float]]]
) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """A row a variant: its mean share, and FactoredAWR's lead over it, in pairs by dataset."""
    rows = []
    for variant in variants:
        ours, shares = (np.asarray([column[v.label]["share"] for column in found]) for v in (OURS, variant))
        row = {"variant": variant.label, "share": float(shares.mean()), "datasets": len(found)}
        rows.append(row | (lead(ours - shares) if variant is not OURS else lead(None)))
    return rows, {"variant": "{variant}", "share, %": "{share:.0f}", "FactoredAWR's lead": "{lead_said}"}


def lead(differences: Float64[np.ndarray, "dataset"] | None) -> dict[str, Any]:
    """Fields of a row: mean of the differences by dataset, its standard error, on how many they are above 0.

    Args:
        differences: In points; None for what is not compared with itself.
    """
    if differences is None:
        return {"lead": None, "lead_error": None, "lead_above": None, "lead_said": ""}
    several = len(differences) > 1
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if several else None
    mean, above = float(differences.mean()), int((differences > 0).sum())
    said = f"{mean:+.1f} ({MISSING if error is None else f'{error:.1f}'}), {above} of {len(differences)}"
    return {"lead": mean, "lead_error": error, "lead_above": above, "lead_said": said}


def _study(
    made: str | Recipe, variants: Sequence[Variant], options: argparse.Namespace, tell: Tell
) -> dict[str, dict[str, float]]:
    """Share of the gap and gain of each variant on one dataset, with intervals."""
    dataset = ensure_dataset(made, progress=tell)
    evaluation = Evaluation.of_dataset(dataset, members=options.eval_members)
    references = evaluation.references(tell)
    buffer = load_replay_buffer(dataset)
    behaviour, best = references["behaviour"].value, references[ceiling(references)].value
    gap = float((best - behaviour).mean())
    scale = 100 / gap if abs(gap) > 1e-9 else None
    found = {}
    for variant in variants:
        gains = values_of(STUDY, variant, buffer, evaluation, options, tell) - behaviour
        low, high = bootstrap_interval(gains, np.random.default_rng(0))
        mean = float(interquartile_mean(gains.mean(axis=1)))
        of_gap = {"share": mean, "low": low, "high": high}
        found[variant.label] = {name: None if scale is None else float(value * scale) for name, value in of_gap.items()}
        found[variant.label] |= {"gain": mean, "gain_low": float(low), "gain_high": float(high), "gap": gap}
    return found


def values_of(
    study: Study,
    variant: Variant,
    buffer: FactoredReplayBuffer,
    evaluation: Evaluation,
    options: argparse.Namespace,
    tell: Tell,
) -> Float32[np.ndarray, "seed member"]:
    """True value for each evaluation member of one variant trained with each seed.

    Args:
        study: That asks, and keeps finished runs.
        variant: What is trained.
        buffer: The data.
        evaluation: Of the world that the data are from.
        options: `seeds`, `steps`, `out`.
        tell: Progress.

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

    units = [Unit(f"seed{seed}", partial(value, seed), facts | {"seed": seed}) for seed in range(options.seeds)]
    return np.stack(study.each(units, options, variant.label, tell=tell, kind="array"))


def _run(
    variant: Variant, seed: int, steps: int, buffer: FactoredReplayBuffer, names: Sequence[str], evaluation: Evaluation
) -> np.ndarray:
    """Trains once and returns each evaluation member's value."""
    data = stack_history(buffer, variant.history) if variant.history > 1 else buffer
    algorithm = variant.create(names)
    train(algorithm, data, steps=steps, seed=seed)
    mode = modes(algorithm)[0]
    policy: Callable[[np.ndarray, np.random.Generator], np.ndarray] = LearnedPolicy(algorithm, data.action_space, mode)
    if variant.history > 1:
        policy = HistoryPolicy(policy, variant.history)  # type: ignore[arg-type]
    return evaluation.score_decisions(policy).value


def _dial(dataset_id: str, insight: float) -> Recipe:
    """The recipe of a dataset with the care team's insight turned."""
    base = recipe(dataset_id)
    name, version = base.dataset_id.rsplit("-v", 1)
    return dataclasses.replace(
        base,
        dataset_id=f"{name}-insight-{round(100 * insight)}-v{version}",
        world=dataclasses.replace(base.world, insight=insight),
    )


if __name__ == "__main__":
    run_or_say(main)
