"""Off-policy estimators against the truth: bias, error, coverage, ranking and choice, over replicates of the data.

    python benchmarks/studies/estimators.py                           all three datasets, 100 replicates
    python benchmarks/studies/estimators.py --nested --members 5000   only the nested model, members as in -v0
    python benchmarks/studies/estimators.py --report                  only table and figure of what is there

For each dataset: the policies of `benchmarks.studies.policy_set` and three learned ones, their true values on the
simulator under common random numbers, and replicates: freshly simulated members under the dataset's care team, with the
true propensities of what it did. Every estimator values every policy on every replicate. Each replicate is kept as soon
as it is done; the same command goes on where a stopped one was.
"""

import argparse
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import benchmarks  # isort: skip  # noqa: F401 - Ctrl-C while the rest is imported is one line

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory

from benchmarks.command_line import Parser, check_at_least, check_writable
from benchmarks.studies import estimator_report
from benchmarks.studies.policy_set import Drawn, policy_set
from benchmarks.training.algorithms import factored_awr
from benchmarks.training.train import quiet_d3rlpy
from benchmarks.truth.true_values import SEED as TRUTH_SEED
from frl_algos import FactoredAWR, load_model, load_replay_buffer, save_model
from frl_algos.policies.policy import Probabilities
from frl_algos.valuation.counterfactual import Counterfactual
from frl_algos.valuation.fitted_q import fitted_q_evaluation
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import ensure_dataset
from frl_env.datasets.collect import collect
from frl_env.datasets.recipes import recipe
from frl_env.errors import unknown_name
from frl_env.evaluation import Estimate, LoggedEpisodes, interval
from frl_env.evaluation.inputs import every_estimate, prepare
from frl_env.parameters import VERSION
from frl_env.reference_returns import reference_policies
from frl_env.references import ObservationPolicy
from frl_env.rollout import rollout, standard_error
from frl_env.state import observation_names
from frl_env.terminal import progress_bar, run_or_say, write_atomically
from frl_env.worlds import World

ROOT = Path(__file__).resolve().parents[2]
PREFIX = "frl/medicaid-synthetic-"
DATASETS = {
    "v0": "v0",
    "screened-v0": "screened-v0",
    "random-v0": "v0",
    "unconfounded-v0": "v0",
    "small-v0": "small-v0",
}
"""Name of the dataset to that of the one on which the learned policies are trained."""

DEFAULT = ("v0", "screened-v0", "random-v0")
SEED = 61_000
"""Of the replicates; no dataset and no evaluation uses it."""

CLIP, WINDOW = 10.0, 13
ASKED = 500
"""Members that the nested model asks a policy about."""

_MODELS = (
    "valuation/counterfactual", "valuation/credit", "valuation/action_echoes", "valuation/fitted_q",
    "valuation/histories", "valuation/nested", "valuation/responses", "effects/targets", "effects/terms",
)  # fmt: skip
CODE = ("benchmarks/studies/policy_set.py", *(f"frl_algos/{name}.py" for name in _MODELS))
"""What the figures depend on, with `frl_env.evaluation`; the true ones on the first only."""

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


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing and shows the table."""
    options = _parser().parse_args(arguments)
    check_at_least(options, replicates=1, members=50, truth_members=2, steps=1)
    names = list(dict.fromkeys(options.datasets.split(",")))
    for name in names:
        if name not in DATASETS:
            raise unknown_name("dataset", name, DATASETS)
    out = Path(options.out)
    check_writable(out)
    if not options.report:
        for name in names:
            _measure(name, options, out)
    studies = {
        name: estimator_report.read(_truth_file(name, options, out), _folder(name, options, out), options.replicates)
        for name in names
    }
    estimator_report.write(studies, out)


def _measure(name: str, options: argparse.Namespace, out: Path) -> None:
    """Policies, truth and replicates of one dataset, each as far as it is missing."""
    world = recipe(PREFIX + name).world
    folder = _folder(name, options, out)
    folder.mkdir(parents=True, exist_ok=True)
    with progress_bar() as progress:
        learned = _learned(name, options.steps, out, progress)
        policies = policy_set(world, learned)
        _truth(name, world, policies, options.truth_members, _truth_file(name, options, out), progress)
        for number in range(options.replicates):
            kept = folder / f"replicate-{number:04d}.json"
            if not kept.exists():
                write_atomically(kept, json.dumps(_replicate(world, policies, options, number)) + "\n")
            progress(f"{name}: replicates", number + 1, options.replicates)


def _learned(name: str, steps: int, out: Path, progress: Any) -> dict[str, Probabilities]:
    """Learned policies, trained on the dataset once and kept."""
    source = PREFIX + DATASETS[name]
    names = observation_names(**recipe(source).world.seen)
    models: dict[str, FactoredAWR] = {}
    for done, (label, settings) in enumerate(MODELS.items(), start=1):
        file = out / f"{label}-{DATASETS[name]}-{steps}.safetensors"
        if not file.exists():
            buffer = load_replay_buffer(ensure_dataset(source, progress=progress))
            torch.manual_seed(0)
            algorithm = dataclasses.replace(factored_awr(names, MEDICAID_ACTIONS), **settings).create()
            with quiet_d3rlpy():
                algorithm.fit(
                    buffer,
                    n_steps=steps,
                    n_steps_per_epoch=min(steps, 500),
                    show_progress=False,
                    logger_adapter=NoopAdapterFactory(),
                )
            save_model(algorithm, file)
        models[label] = load_model(file)
        progress(f"{name}: learned policies", done, len(MODELS))
    return {
        label: partial(models[model].predict_probabilities, temperature=temperature)
        for label, (model, temperature) in LEARNED.items()
    }


def _truth(
    name: str, world: World, policies: Mapping[str, Probabilities], members: int, file: Path, progress: Any
) -> None:
    """Value of each policy and of the behaviour policy, with standard errors; each kept as soon as it is known."""
    found = json.loads(file.read_text()) if file.exists() else {}
    playing: dict[str, Any] = {
        label: ObservationPolicy(Drawn(policy), **world.seen) for label, policy in policies.items()
    }
    playing["behaviour"] = reference_policies(world)["behaviour"]
    for done, (label, policy) in enumerate(playing.items(), start=1):
        if label not in found:
            value = rollout(policy, world.parameters, members=members, seed=TRUTH_SEED).value
            found[label] = {"value": float(value.mean()), "standard_error": standard_error(value)}
            write_atomically(file, json.dumps(found) + "\n")
        progress(f"{name}: true values", done, len(playing))


def _replicate(
    world: World, policies: Mapping[str, Probabilities], options: argparse.Namespace, number: int
) -> dict[str, Any]:
    """Every estimate of every policy on one draw of members."""
    logged = collect(world.parameters, members=options.members, seed=(SEED, number))
    episodes = LoggedEpisodes(
        rewards=logged.rewards,
        lengths=logged.lengths,
        actions=MEDICAID_ACTIONS.ravel(logged.actions),
        action_space=MEDICAID_ACTIONS,
        observations=logged.observations[:, :-1],
        propensities=logged.information["propensity"][:, 1:, 0],
    )
    config = factored_awr(observation_names(**world.seen), MEDICAID_ACTIONS)
    indications = config.indications
    returns = episodes.returns()
    rng = np.random.default_rng((SEED, number))
    clock = _Clock()
    models = {"SNM": Counterfactual.fit(episodes, rng=rng, response=config.response, indications=indications)}
    if not options.nested:
        models["SNM without response"] = Counterfactual.fit(episodes, rng=rng, indications=indications)
    share = clock.lap() / len(models) / len(policies)
    rows: dict[str, Any] = {}
    for label, policy in policies.items():
        found: dict[str, tuple[Estimate, float]] = {}
        for key, model in models.items():
            # The same members and draws for every policy, so that they differ by what they do.
            common = np.random.default_rng((SEED, number, 1))
            found[key] = (model.estimate(policy, common, members=min(ASKED, options.members)), share + clock.lap())
        if not options.nested:
            found |= _classical(episodes, policy, indications, rng, clock)
        rows[label] = {key: _numbers(estimate, returns, seconds) for key, (estimate, seconds) in found.items()}
        clock.lap()
    return rows


def _classical(
    episodes: LoggedEpisodes,
    policy: Probabilities,
    indications: Mapping[str, int],
    rng: np.random.Generator,
    clock: "_Clock",
) -> dict[str, tuple[Estimate, float]]:
    """Fitted Q evaluation and what rests on its values and on importance weights, with the seconds of each."""
    clock.lap()
    fitted = fitted_q_evaluation(episodes, policy, rng=rng, indications=indications)
    fit = clock.lap()
    inputs = prepare(
        episodes,
        fitted.probabilities,
        rng=rng,
        q_values=fitted.values,
        propensities="logged",
        discount=1.0,
        folds=5,
        features=None,
        support_members=11,
    )
    others, _ = every_estimate(inputs, clips=(CLIP,), windows=(WINDOW,))
    each = clock.lap() / len(others)
    found = {"FQE": (fitted.estimate, fit)}
    for key, estimate in others.items():
        found[key] = (estimate, each + fit * (key == "DM" or "DR" in key))
    return found


class _Clock:
    """Seconds since it was last looked at."""

    def __init__(self) -> None:
        self._last = time.perf_counter()

    def lap(self) -> float:
        before, self._last = self._last, time.perf_counter()
        return self._last - before


def _numbers(estimate: Estimate, returns: np.ndarray, seconds: float) -> dict[str, float]:
    change = estimate.minus(returns)
    own, paired = interval(estimate, method="normal"), interval(change, method="normal")
    return {
        "value": estimate.value,
        "low": own.low,
        "high": own.high,
        "difference": change.value,
        "difference_low": paired.low,
        "difference_high": paired.high,
        "seconds": seconds,
    }


def _folder(name: str, options: argparse.Namespace, out: Path) -> Path:
    """Where the figures of one dataset stand: everything they depend on is in the name, the code included."""
    evaluation = sorted(str(path) for path in (ROOT / "frl_env" / "evaluation").rglob("*.py"))
    kind = "nested-" if options.nested else ""
    return out / f"{name}-{kind}{options.members}-{_digest(options, (*CODE, *evaluation))}"


def _truth_file(name: str, options: argparse.Namespace, out: Path) -> Path:
    """Where the true values stand, which no estimator and no replicate changes."""
    return out / f"{name}-truth-{_digest(options, CODE[:1])}.json"


def _digest(options: argparse.Namespace, files: Sequence[str]) -> str:
    code = hashlib.sha256()
    for file in files:
        code.update((ROOT / file).read_bytes())
    facts = f"{VERSION}-{options.steps}-{options.truth_members}-{code.hexdigest()}"
    return hashlib.sha256(facts.encode()).hexdigest()[:12]


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Off-policy estimators against the truth.")
    parser.add_argument("--datasets", default=",".join(DEFAULT), help=f"by comma, of {', '.join(DATASETS)}")
    parser.add_argument("--replicates", type=int, default=100, help="draws of members (default 100)")
    parser.add_argument("--members", type=int, default=1_000, help="members of a replicate (default 1000)")
    parser.add_argument("--truth-members", type=int, default=20_000, help="members of the true values (default 20000)")
    parser.add_argument("--steps", type=int, default=1_500, help="updates of the learned policies (default 1500)")
    parser.add_argument("--out", default="results/ope", help="folder for finished work, table and figure")
    parser.add_argument("--nested", action="store_true", help="only the nested model, a tenth of the work")
    parser.add_argument("--report", action="store_true", help="only show what is there")
    return parser


if __name__ == "__main__":
    run_or_say(main)
