"""The policies that off-policy estimators are tested on, learned ones among them, and their true values.

Kept apart from the estimators' own results: they depend on the learner and the simulator, and on no estimator.
"""

import dataclasses
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from d3rlpy.logging import NoopAdapterFactory

from benchmarks.policy_scoring.true_values import SEED
from benchmarks.result_records.kept_results import Kept
from benchmarks.studies.known_policies.policy_set import Drawn, nothing, policy_set
from benchmarks.training.awr_lines import factored_awr
from frl_algos import FactoredAWR, load_model, load_replay_buffer, save_model
from frl_algos.policies.policy import Probabilities
from frl_algos.quiet import quiet_d3rlpy
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import ensure_dataset
from frl_env.datasets.recipes import recipe
from frl_env.reference_returns import reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import rollout, standard_error
from frl_env.simulator.state import observation_names
from frl_env.worlds import World

RESULTS = Kept("benchmarks.studies.known_policies.policy_truth")

PREFIX = "frl/medicaid-synthetic-"
DATASETS = {
    "v0": "v0",
    "screened-v0": "screened-v0",
    "random-v0": "v0",
    "unconfounded-v0": "v0",
    "small-v0": "small-v0",
}
"""Name of the dataset to that of the one on which the learned policies are trained."""

BEHAVIOUR = "behaviour"
"""Label of the logging team."""

MODELS: dict[str, dict[str, Any]] = {
    "cloned": {"critic": "none", "response": None, "indications": {}, "need_factor": None, "skill_factor": None},
    "factored_awr": {},
}
"""Trained once a dataset: name to fields of FactoredAWRConfig that differ from the benchmark's."""

LEARNED: dict[str, tuple[str, float | None]] = {
    "cloned": ("cloned", None),
    "factored_awr": ("factored_awr", None),
    "factored_awr_mild": ("factored_awr", 3.0),
}
"""Policies by name: a model and a temperature, None for its own."""


def policies(name: str, steps: int, out: Path, progress: Any) -> dict[str, Probabilities]:
    """The policies by name; learned ones are trained on the dataset once and kept.

    Args:
        name: One of `DATASETS`.
        steps: Updates of a training.
        out: Folder for trained models.
        progress: Told what is done.
    """
    source = PREFIX + DATASETS[name]
    models: dict[str, FactoredAWR] = {}
    for done, (label, settings) in enumerate(MODELS.items(), start=1):
        file = RESULTS.made(
            out,
            f"{label}-{DATASETS[name]}",
            ".safetensors",
            lambda file, settings=settings: save_model(_trained(source, settings, steps, progress), file),
            **_model_facts(name, label, steps),
        )
        models[label] = load_model(file)
        progress(f"{name}: learned policies", done, len(MODELS))
    learned = {
        label: partial(models[model].predict_probabilities, temperature=temperature)
        for label, (model, temperature) in LEARNED.items()
    }
    return policy_set(recipe(PREFIX + name).world, learned)


def learned_facts(name: str, steps: int) -> dict[str, Any]:
    """What the learned policies of a dataset depend on besides code, by name."""
    return {
        label: _model_facts(name, model, steps) | {"temperature": temperature}
        for label, (model, temperature) in LEARNED.items()
    }


def _model_facts(name: str, label: str, steps: int) -> dict[str, Any]:
    """What a trained model depends on besides code."""
    return {"data": recipe(PREFIX + DATASETS[name]).fingerprint(), "settings": MODELS[label], "steps": steps}


def true_values(
    name: str, tested: Mapping[str, Probabilities], steps: int, members: int, out: Path, progress: Any
) -> dict[str, dict[str, float]]:
    """Value of each policy and of the behaviour policy, with standard errors; each kept as soon as it is known.

    Args:
        name: One of `DATASETS`.
        tested: The policies.
        steps: Updates of a training.
        members: Of every rollout.
        out: Folder for what is known.
        progress: Told what is done.
    """
    world = recipe(PREFIX + name).world
    playing: dict[str, Any] = {
        label: ObservationPolicy(Drawn(policy), **world.seen) for label, policy in tested.items()
    }
    playing[BEHAVIOUR] = reference_policies(world)[BEHAVIOUR]
    found = {}
    for done, (label, policy) in enumerate(playing.items(), start=1):
        facts = _truth_facts(name, label, steps, members)
        found[label] = RESULTS.json(out, _file(name, label), partial(_value, policy, world, members), **facts)
        progress(f"{name}: true values", done, len(playing))
    return found


def known_truth(name: str, steps: int, members: int, out: Path) -> dict[str, dict[str, float]]:
    """What `true_values` has kept; empty if it is not whole."""
    labels = (*policy_set(recipe(PREFIX + name).world, dict.fromkeys(LEARNED, nothing)), BEHAVIOUR)
    kept = {
        label: RESULTS.known(out, _file(name, label), **_truth_facts(name, label, steps, members)) for label in labels
    }
    return {} if None in kept.values() else kept


def _truth_facts(name: str, label: str, steps: int, members: int) -> dict[str, Any]:
    """All that a policy's true value depends on, by which it is kept."""
    learned = learned_facts(name, steps).get(label)
    world = recipe(PREFIX + name).world
    if label != BEHAVIOUR:
        # What the team would have tried is nothing to a member whom another policy decides for.
        world = dataclasses.replace(world, exploration=None)
    return {
        "policy": label,
        "world": dataclasses.asdict(world),
        "learned": learned,
        "members": members,
        "seed": SEED,
    }


def _file(name: str, label: str) -> str:
    """How the file of a true value begins: worlds that only their teams tell apart share those of policies."""
    return f"{name if label == BEHAVIOUR else DATASETS[name]}-truth-{label}"


def _value(policy: Any, world: World, members: int) -> dict[str, float]:
    value = rollout(policy, world.parameters, members=members, seed=SEED).value
    return {"value": float(value.mean()), "standard_error": standard_error(value)}


def _trained(source: str, settings: Mapping[str, Any], steps: int, progress: Any) -> FactoredAWR:
    buffer = load_replay_buffer(ensure_dataset(source, progress=progress))
    torch.manual_seed(0)
    names = observation_names(**recipe(source).world.seen)
    algorithm = dataclasses.replace(factored_awr(names, MEDICAID_ACTIONS), **settings).create()
    with quiet_d3rlpy():
        algorithm.fit(
            buffer,
            n_steps=steps,
            n_steps_per_epoch=min(steps, 500),
            show_progress=False,
            logger_adapter=NoopAdapterFactory(),
        )
    return algorithm
