"""One run of the benchmark: a job's algorithm is trained, its policy scored, valued by logged members and looked at."""

import dataclasses
import json
import tempfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32

from benchmarks.policy_scoring import logged_values
from benchmarks.policy_scoring.panel import panel_of
from benchmarks.policy_scoring.policy_behaviour import portrait
from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.sweep.budgets import capacities
from benchmarks.sweep.jobs import Job, Tell, source_of
from benchmarks.sweep.scoring import Scored, curve_score, score, score_reference
from benchmarks.training import algorithms
from benchmarks.training.column_roles import told_of
from benchmarks.training.train import train
from frl_algos import FactoredReplayBuffer, load_replay_buffer
from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import MODES
from frl_env.care_effort import dataset_effort
from frl_env.datasets import ensure_dataset

CURVE_MEMBERS = 1_000
"""Members of the rollouts of a learning curve, at most."""


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


def run(job: Job, tell: Tell) -> Outcome:
    """Trains and scores; the same job gives the same values, on one thread or in one process of many."""
    torch.set_num_threads(1)
    tell("loading", 0, 1)
    if job.algo in algorithms.REFERENCES:
        evaluation = Evaluation.of_dataset(ensure_dataset(job.dataset), members=job.eval_members)
        scored = score_reference(job.algo, evaluation, capacities(job.budgets), tell)
        facts = {"fairness": scored.fairness, "allocated": scored.allocated, "contacted": scored.contacted}
        return Outcome(job=job, facts=facts, summaries=scored.summaries, values=scored.values, model=None)
    data, buffer = _data(job.dataset, job.seed, job.data)
    space, budgets = buffer.action_space, capacities(job.budgets)
    known = told_of(data, job.told)
    algorithm = algorithms.create(job.algo, known.states, space, json.loads(job.settings), known)
    curve = None
    if job.eval_members and MODES[0] in modes(algorithm):
        few = Evaluation.of_dataset(data, members=min(job.eval_members, CURVE_MEMBERS))
        curve = curve_score(algorithm, space, few)
    taken = train(
        algorithm,
        buffer,
        steps=job.steps,
        seed=job.seed,
        progress=lambda done: tell("training", done, job.steps),
        watch=curve,
    )
    scored = Scored()
    if job.eval_members:
        evaluation = Evaluation.of_dataset(data, members=job.eval_members)
        scored = score(algorithm, space, evaluation, budgets, tell)
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
    details = {"curve": facts.pop("curve")}
    drawn = [mode for mode in modes(algorithm) if mode in MODES]
    if panel is not None and drawn:
        details |= portrait(algorithm, drawn, panel, effort=buffer.effort)
    facts |= {
        "ope": estimates,
        "fairness": fairness,
        "details": details,
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


@lru_cache(maxsize=1)
def _data(dataset: str, seed: int, content: str) -> tuple[Any, FactoredReplayBuffer]:
    """A dataset and its buffer; kept from one run of a worker to the next, since jobs come seed by seed.

    Args:
        dataset: Of the job.
        seed: Of the job.
        content: Hash of it, so that another dataset under the same name is read.
    """
    data = ensure_dataset(source_of(dataset, seed))
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
