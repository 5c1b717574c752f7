"""The jobs of a sweep: which runs there are, and all that each depends on.

Seed k is training seed k on data replicate k: replicate 0 is the dataset itself, the others are made by the same recipe
with other members, chances and decisions. A dataset without a recipe has no replicates; all seeds train on it. A
reference policy is a job, too, without training.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.policy_scoring.true_values import Evaluation, has_simulator
from benchmarks.result_records.code_key import code_key
from benchmarks.result_records.run_key import SHOWING, content_of_dataset
from benchmarks.sweep.budgets import NONE, budgets_of, capacities
from benchmarks.training import algorithms
from benchmarks.training.column_roles import told_of
from frl_env.budget_references import budget_policies
from frl_env.datasets import RECIPES, Recipe, ensure_dataset, replicate
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of
from frl_env.reference_returns import reference_policies

Tell = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """Everything a run depends on.

    Attributes:
        algo: Name on the command line.
        dataset: Minari id on the command line.
        seed: Of training, and number of the data replicate.
        steps: Updates.
        eval_members: Members of every rollout; 0 for no rollout.
        settings: JSON of the algorithm's settings.
        code: Hash of the code that trains and scores it; see `code_hash`.
        data: Content hash of the replicate.
        validation: Dataset whose members value the policy off-policy; empty for none.
        validation_data: Content hash of that dataset.
        budgets: JSON of capacities by what was typed, besides no limit; see `benchmarks.sweep.budgets`.
        told: JSON of what options say of the columns; see `benchmarks.training.column_roles`.
    """

    algo: str
    dataset: str
    seed: int
    steps: int
    eval_members: int
    settings: str
    code: str
    data: str
    validation: str = ""
    validation_data: str = ""
    budgets: str = "{}"
    told: str = "{}"

    @property
    def name(self) -> str:
        """What to call it while it runs."""
        return f"{self.algo} seed {self.seed}"

    @property
    def model(self) -> str:
        """File name of its trained model; of one that is only trained, settings are part of it."""
        which = f"seed{self.seed}" if self.eval_members or self.validation else self.key
        return f"{self.algo.replace(':', '.')}-{which}.d3"

    @property
    def key(self) -> str:
        """Name of its results: the same for the same run."""
        facts = {name: fact for name, fact in dataclasses.asdict(self).items() if fact or name != "validation_data"}
        if self.told == "{}":  # a run that was told nothing is the run that it was before anything could be told
            del facts["told"]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def plan(
    names: Sequence[str],
    dataset: str,
    *,
    seeds: int,
    steps: int,
    eval_members: int,
    validation: str = "",
    budget: str = NONE,
    said: str = "{}",
    action_rate: float | None = None,
    tell: Tell,
) -> list[Job]:
    """The runs of a sweep, references first, then seed by seed; builds the data they need.

    Args:
        names: Algorithms to train.
        dataset: Minari id.
        seeds: Training seeds and data replicates 0..seeds-1.
        steps: Updates a run.
        eval_members: Members of every rollout, where there is a simulator.
        validation: Dataset whose members value the policies off-policy; empty for none.
        budget: Budgets by comma, where there is a simulator; see `frl_env.capacity.parse_budgets`.
        said: What options say of the columns; see `benchmarks.training.column_roles`.
        action_rate: Share of member-weeks in which FactoredAWR acts; None: as it finds best.
        tell: Progress.

    Raises:
        UserError: If an algorithm can't be trained on such actions, or a budget is none.
    """
    jobs = []
    budgets = "{}"
    others = content_of_dataset(ensure_dataset(validation, progress=tell)) if validation else ""
    for seed, data, content in _replicates(dataset, seeds, tell):
        if seed == 0:
            known = told_of(data, said)
            for name in names:
                algorithms.check_fits(name, action_space_of(data), known)
            if has_simulator(data):
                evaluation = Evaluation.of_dataset(data, members=eval_members)
                world = evaluation.world
                budgets = budgets_of(budget, world, horizon=evaluation.horizon, members=eval_members)
                within = [budget_policies(world, capacity) for capacity in capacities(budgets).values()]
                for name in dict.fromkeys([*reference_policies(world), *(name for each in within for name in each)]):
                    jobs.append(_job(name, dataset, 0, 0, eval_members, content))
            else:
                eval_members = 0
        made = [_job(name, dataset, seed, steps, eval_members, content, validation) for name in names]
        if action_rate is not None:
            made = [_aimed(job, action_rate) if job.algo in algorithms.AIMED else job for job in made]
        made = [dataclasses.replace(job, validation_data=others) for job in made]
        jobs += [dataclasses.replace(job, told=said) for job in made]
    return [dataclasses.replace(job, budgets=budgets) for job in jobs]


def plan_settings(
    candidates: Mapping[str, Sequence[Mapping[str, Any]]],
    dataset: str,
    *,
    seeds: int = 1,
    steps: int,
    said: str = "{}",
    tell: Tell,
) -> list[Job]:
    """One training, not scored, for each algorithm, setting and seed.

    Args:
        candidates: Settings to try, by algorithm.
        dataset: Minari id; seed k trains on its replicate k.
        seeds: Training seeds.
        steps: Updates a run.
        said: What options say of the columns; see `benchmarks.training.column_roles`.
        tell: Progress.
    """
    jobs = []
    for seed, _, content in _replicates(dataset, seeds, tell):
        for name, each in candidates.items():
            made = dataclasses.replace(_job(name, dataset, seed, steps, 0, content), told=said)
            jobs += [
                dataclasses.replace(made, settings=json.dumps(dict(settings), sort_keys=True)) for settings in each
            ]
    return jobs


def _replicates(dataset: str, seeds: int, tell: Tell) -> Iterator[tuple[int, Any, str]]:
    """Each seed with the data it trains on, and the hash of these; data that all seeds share are hashed once."""
    contents: dict[Any, str] = {}
    for seed in range(seeds):
        source = source_of(dataset, seed)
        data = ensure_dataset(source, progress=tell)
        if source not in contents:
            contents[source] = content_of_dataset(data)
        yield seed, data, contents[source]


def _job(name: str, dataset: str, seed: int, steps: int, eval_members: int, content: str, validation: str = "") -> Job:
    reference = name in algorithms.REFERENCES
    return Job(
        algo=name,
        dataset=dataset,
        seed=seed,
        steps=steps,
        eval_members=eval_members,
        settings="{}" if reference else json.dumps(algorithms.tuned(name), sort_keys=True),
        code=code_hash(name, bool(validation) and not reference),
        data=content,
        validation=validation,
    )


def _aimed(job: Job, action_rate: float) -> Job:
    """The job, with the share of member-weeks in which its policy is to act."""
    settings = json.loads(job.settings) | {"action_rate": action_rate}
    return dataclasses.replace(job, settings=json.dumps(settings, sort_keys=True))


def source_of(dataset: str, seed: int) -> str | Recipe:
    """The data of a training seed: the dataset itself, or for simulated data a replicate of other members."""
    return replicate(dataset, seed) if dataset in RECIPES and seed > 0 else dataset


def code_hash(algo: str, valued: bool = False) -> str:
    """Hash of the code that a run's numbers depend on: what trains this algorithm, and what scores it.

    Args:
        algo: Its name on the command line; of a reference policy only the simulator and the scoring count.
        valued: Whether logged members value the policy.
    """
    apart = [*SHOWING, "benchmarks.training.algorithms"]
    programs: list[str | Path] = ["benchmarks.sweep.runs"]
    if not valued:
        apart.append("benchmarks.policy_scoring.logged_values")
    if algo in algorithms.REFERENCES:
        apart += ["benchmarks.training", "frl_algos"]
    else:
        programs.append(algorithms.program_of(algo))
    return code_key(*programs, without=tuple(apart))
