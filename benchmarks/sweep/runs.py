"""One run of the benchmark: an algorithm, a training seed and a draw of the data, trained and scored.

Seed k is training seed k on data replicate k: replicate 0 is the dataset itself, the others are made by the same recipe
with other members, chances and decisions. A dataset without a recipe has no replicates; all seeds train on it. A
reference policy is a run, too, without training.
"""

import dataclasses
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float32

from benchmarks.record.code_key import code_key
from benchmarks.record.run_key import SHOWING
from benchmarks.sweep.budgets import (
    ALLOCATED,
    NONE,
    TEAM,
    budget_policy,
    budgets_of,
    capacities,
    slot,
)
from benchmarks.training import algorithms
from benchmarks.training.column_roles import told_of
from benchmarks.training.train import train
from benchmarks.truth import audits, logged_values
from benchmarks.truth.contacted import GROUP_LABELS, ContactWatch
from benchmarks.truth.member_table import MemberWatch, roll_out
from benchmarks.truth.panel import panel_of
from benchmarks.truth.policy_behaviour import portrait
from benchmarks.truth.true_values import Evaluation, has_simulator, paired_difference
from frl_algos import FactoredReplayBuffer, load_replay_buffer
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import MODES, LearnedPolicy
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.budget_references import budget_policies
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort, dataset_effort
from frl_env.datasets import RECIPES, Recipe, ensure_dataset, replicate
from frl_env.evaluation.fairness.allocations import HIGH_TOUCH, allocation_table
from frl_env.evaluation.records.dataset_facts import action_space_of
from frl_env.reference_returns import FLOOR, reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import Returns

REFERENCE = "reference"
"""Mode of the runs that are reference policies."""

CURVE_MEMBERS = 1_000
"""Members of the rollouts of a learning curve, at most."""

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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of a run.

    Attributes:
        job: The run.
        facts: What training took, and what the algorithm logged, JSON-able.
        summaries: For each slot (`benchmarks.sweep.budgets`) what `frl_env.rollout.Returns.summary` says.
        values: For each slot the true value of each evaluation member.
        model: The trained model's file; None where the algorithm can't be saved.
    """

    job: Job
    facts: dict[str, Any]
    summaries: dict[str, dict[str, float]]
    values: dict[str, Float32[np.ndarray, "member"]]
    model: bytes | None


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
    others = _content(ensure_dataset(validation, progress=tell)) if validation else ""
    for seed in range(seeds):
        data = ensure_dataset(_source(dataset, seed), progress=tell)
        content = _content(data)
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
    for seed in range(seeds):
        data = ensure_dataset(_source(dataset, seed), progress=tell)
        content = _content(data)
        for name, each in candidates.items():
            made = dataclasses.replace(_job(name, dataset, seed, steps, 0, content), told=said)
            jobs += [
                dataclasses.replace(made, settings=json.dumps(dict(settings), sort_keys=True)) for settings in each
            ]
    return jobs


def _content(data: Any) -> str:
    """What a dataset holds, as a hash; where it lies for one that does not say."""
    return str(data.storage.metadata.get("frl_content_sha256") or data.spec.data_path)


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
    """The same run with a share of member-weeks to act in."""
    settings = json.loads(job.settings) | {"action_rate": action_rate}
    return dataclasses.replace(job, settings=json.dumps(settings, sort_keys=True))


def run(job: Job, tell: Tell) -> Outcome:
    """Trains and scores; the same job gives the same values, on one thread or in one process of many."""
    torch.set_num_threads(1)
    tell("loading", 0, 1)
    if job.algo in algorithms.REFERENCES:
        return _run_reference(job, tell)
    data, buffer = _data(job.dataset, job.seed, job.data)
    known = told_of(data, job.told)
    algorithm = algorithms.create(job.algo, known.states, buffer.action_space, json.loads(job.settings), known)
    taken = train(
        algorithm,
        buffer,
        steps=job.steps,
        seed=job.seed,
        progress=lambda done: tell("training", done, job.steps),
        watch=_small_score(algorithm, data, buffer, job) if job.eval_members and MODES[0] in modes(algorithm) else None,
    )
    scored = _Scored()
    if job.eval_members:
        _score(algorithm, Evaluation.of_dataset(data, members=job.eval_members), buffer, job, scored, tell)
    fairness, estimates = dict(scored.fairness), {}
    for mode in modes(algorithm) if job.validation else ():
        if mode not in MODES:
            estimates[mode] = {"sentence": "No estimate: a ranking acts within a budget only, where members depend on "
                               "each other."}  # fmt: skip
            continue
        tell(f"valuing {mode} off-policy", 0, 1)
        estimates[mode], section = logged_values.estimate(
            algorithm, mode, job.validation, said=job.told, fairness=not job.eval_members
        )
        fairness |= {mode: section} if section else {}
    panel = None
    if job.eval_members or job.validation:
        tell("looking at the policy", 0, 1)
        panel = panel_of(data, members=job.eval_members, validation=job.validation)
    facts = dataclasses.asdict(taken)
    curve = {"curve": facts.pop("curve")}
    drawn = [mode for mode in modes(algorithm) if mode in MODES]
    facts |= {
        "ope": estimates,
        "fairness": fairness,
        "details": curve
        if panel is None or not drawn
        else curve | portrait(algorithm, drawn, panel, effort=buffer.effort),
        "label": algorithms.label_of(job.algo, algorithm),
        "batch_size": getattr(algorithm, "batch_size", None),
        "rows": buffer.transition_count,
        "scoring_s": scored.seconds,
        "allocated": scored.allocated,
        "contacted": scored.contacted,
    }
    return Outcome(
        job=job, facts=facts, summaries=scored.summaries, values=scored.values, model=_model_bytes(algorithm)
    )


@dataclasses.dataclass
class _Scored:
    """What rollouts gave, by slot."""

    summaries: dict[str, dict[str, float]] = dataclasses.field(default_factory=dict)
    values: dict[str, Float32[np.ndarray, "member"]] = dataclasses.field(default_factory=dict)
    seconds: dict[str, float] = dataclasses.field(default_factory=dict)
    fairness: dict[str, Any] = dataclasses.field(default_factory=dict)
    allocated: dict[str, str] = dataclasses.field(default_factory=dict)
    contacted: dict[str, Any] = dataclasses.field(default_factory=dict)

    def add(self, name: str, returns: Returns, seconds: float) -> None:
        """Keeps a rollout."""
        self.summaries[name] = returns.summary()
        self.values[name] = returns.value.astype(np.float32)
        self.seconds[name] = seconds


def _score(
    algorithm: Any, evaluation: Evaluation, buffer: FactoredReplayBuffer, job: Job, scored: _Scored, tell: Tell
) -> None:
    """Rolls out every mode, without a limit and within each budget."""
    space, world = buffer.action_space, evaluation.world
    effort = care_effort(world.parameters)
    for mode in modes(algorithm):
        started, watch = time.perf_counter(), MemberWatch()
        policy: Any = (
            ObservationPolicy(LearnedPolicy(algorithm, space, mode), **world.seen)
            if mode in MODES
            else Budgeted(algorithm, effort, Capacity(), **world.seen)
        )
        returns = evaluation.score(policy, _telling(tell, mode), watch)
        scored.add(mode, returns, time.perf_counter() - started)
        scored.fairness[mode] = audits.of_rollout(watch.table(returns), _care_team(evaluation))
        asked = budget_policy(algorithm, space, mode)
        for budget, capacity in capacities(job.budgets).items() if asked else ():
            name, started, contacts = slot(mode, budget), time.perf_counter(), ContactWatch()
            budgeted = Budgeted(asked[0], effort, capacity, by=asked[1], vocabularies=GROUP_LABELS, **world.seen)
            returns = evaluation.score(budgeted, _telling(tell, name), contacts if budget == TEAM else None)
            scored.add(name, returns, time.perf_counter() - started)
            scored.allocated[name] = ALLOCATED[asked[1]]
            if budget == TEAM:
                scored.contacted[name] = contacts.summary()


def _telling(tell: Tell, name: str) -> Callable[[int, int], None]:
    return lambda week, total: tell(f"scoring {name}", week, total)


def _small_score(algorithm: Any, data: Any, buffer: FactoredReplayBuffer, job: Job) -> Callable[[], dict[str, float]]:
    """Scores the algorithm as it is now on few members, for a learning curve: differences to the care team's."""
    evaluation = Evaluation.of_dataset(data, members=min(job.eval_members, CURVE_MEMBERS))
    team = evaluation.score(reference_policies(evaluation.world)["behaviour"])
    policy = LearnedPolicy(algorithm, buffer.action_space, modes(algorithm)[0])

    def score() -> dict[str, float]:
        difference, error = paired_difference(evaluation.score_decisions(policy), team)
        return {"difference": difference, "se": error, "members": evaluation.members}

    return score


def _run_reference(job: Job, tell: Tell) -> Outcome:
    evaluation = Evaluation.of_dataset(ensure_dataset(job.dataset), members=job.eval_members)
    scored = _Scored()
    policy = reference_policies(evaluation.world).get(job.algo)
    if policy is not None:
        watch = MemberWatch()
        contacts = ContactWatch()

        def both(*week: Any) -> None:
            watch(*week)
            contacts(*week)

        returns = evaluation.score(policy, _telling(tell, job.algo), both)
        scored.add(REFERENCE, returns, 0.0)
        scored.fairness[REFERENCE] = audits.of_rollout(watch.table(returns), _care_team(evaluation))
        # No program spends nothing, whatever the budget; the care team's own budget is what it spends.
        as_is = {FLOOR: [*capacities(job.budgets)], "behaviour": [TEAM]}.get(job.algo, [])
        for budget in as_is:
            if budget in capacities(job.budgets):
                scored.add(slot(REFERENCE, budget), returns, 0.0)
                scored.contacted[slot(REFERENCE, budget)] = contacts.summary()
    for budget, capacity in capacities(job.budgets).items():
        within = budget_policies(evaluation.world, capacity).get(job.algo)
        if within is None or job.algo == FLOOR:
            continue
        name, contacts = slot(REFERENCE, budget), ContactWatch()
        scored.add(name, evaluation.score(within, _telling(tell, f"{job.algo}, {budget}"), contacts), 0.0)
        scored.allocated[name] = ALLOCATED[within.kind]
        if budget == TEAM:
            scored.contacted[name] = contacts.summary()
    facts = {"fairness": scored.fairness, "allocated": scored.allocated, "contacted": scored.contacted}
    return Outcome(job=job, facts=facts, summaries=scored.summaries, values=scored.values, model=None)


@lru_cache(maxsize=1)
def _care_team(evaluation: Evaluation) -> pd.DataFrame:
    """How the evaluation members fare without any learned policy."""
    return roll_out(evaluation, None, allocation_table(MEDICAID_ACTIONS, HIGH_TOUCH))


def _source(dataset: str, seed: int) -> str | Recipe:
    """Where the data of a seed comes from."""
    return replicate(dataset, seed) if dataset in RECIPES and seed > 0 else dataset


@lru_cache(maxsize=1)
def _data(dataset: str, seed: int, content: str) -> tuple[Any, FactoredReplayBuffer]:
    """A dataset and its buffer; kept from one run of a worker to the next, since jobs come seed by seed.

    Args:
        dataset: Of the job.
        seed: Of the job.
        content: Hash of it, so that another dataset under the same name is read.
    """
    data = ensure_dataset(_source(dataset, seed))
    buffer = load_replay_buffer(data)
    if buffer.effort is None:  # a dataset of the simulator that was built before minutes were kept beside the actions
        buffer.effort = dataset_effort(data, buffer.action_space)
    return data, buffer


def _model_bytes(algorithm: Any) -> bytes | None:
    if not hasattr(algorithm, "save"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model"
        algorithm.save(str(file))
        return file.read_bytes()


def code_hash(algo: str, valued: bool = False) -> str:
    """Hash of the code that a run's numbers depend on: what trains this algorithm, and what scores it.

    Args:
        algo: Its name on the command line; of a reference policy only the simulator and the scoring count.
        valued: Whether logged members value the policy.
    """
    apart = [*SHOWING, "benchmarks.training.algorithms"]
    programs: list[str | Path] = ["benchmarks.sweep.runs"]
    if not valued:
        apart.append("benchmarks.truth.logged_values")
    if algo in algorithms.REFERENCES:
        apart += ["benchmarks.training", "frl_algos"]
    else:
        programs.append(algorithms.program_of(algo))
    return code_key(*programs, without=tuple(apart))
