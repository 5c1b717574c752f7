"""Off-policy estimators against the truth: bias, error, coverage, ranking and choice, over replicates of the data.

    python benchmarks/studies/estimators.py                           all three datasets, 100 replicates
    python benchmarks/studies/estimators.py --nested --members 5000   only the nested model, members as in -v0
    python benchmarks/studies/estimators.py --report                  only table and figure of what is there

For each dataset: the policies of `benchmarks.studies.known_policies.policy_set` and three learned ones, their true
values on the simulator under common random numbers, and replicates: freshly simulated members under the dataset's care
team, with the true propensities of what it did. Every estimator values every policy on every replicate. Each replicate
is kept as soon as it is done; the same command goes on where a stopped one was.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import dataclasses
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.command_line import check_writable
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Tell, Unit
from benchmarks.studies import estimator_report
from benchmarks.studies.known_policies.policy_truth import (
    DATASETS,
    PREFIX,
    known_truth,
    learned_facts,
    policies,
    true_values,
)
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.simulated import logged_of
from frl_algos.policies.policy import Probabilities
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import collect
from frl_env.datasets.recipes import recipe
from frl_env.errors import UserError, unknown_name
from frl_env.evaluation import Estimate, LoggedEpisodes, Thresholds, interval
from frl_env.evaluation.estimating.target import score_target, supported_actions
from frl_env.evaluation.inputs import every_estimate, prepare
from frl_env.simulator.state import observation_names
from frl_env.terminal import progress_bar, run_or_say
from frl_env.worlds import World

RESULTS = Kept("benchmarks.studies.estimators", shown_by=("benchmarks.studies.estimator_report",))
DEFAULT = ("v0", "screened-v0", "random-v0")
SEED = 61_000
"""Of the replicates; no dataset and no evaluation uses it."""

CLIP, WINDOW = 10.0, 13
ASKED = 500
"""Members that the nested model asks a policy about."""


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--datasets", default=",".join(DEFAULT), help=f"by comma, of {', '.join(DATASETS)}")
    parser.add_argument("--nested", action="store_true", help="only the nested model, a tenth of the work")
    parser.add_argument("--report", action="store_true", help="only show what is there")


STUDY = Study(
    RESULTS,
    "Off-policy estimators against the truth.",
    {
        "replicates": (100, 1, "draws of members"),
        "members": (1_000, 50, "members of a replicate"),
        "truth_members": (20_000, 2, "members of the true values"),
        "steps": (1_500, 1, "updates of the learned policies"),
    },
    _more,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing and shows the table."""
    options = STUDY.options(arguments)
    names = list(dict.fromkeys(options.datasets.split(",")))
    for name in names:
        if name not in DATASETS:
            raise unknown_name("dataset", name, DATASETS)
    check_writable(options.out)
    with progress_bar() as tell:
        studies = {name: _measured(name, options, tell) for name in names}
    kind = "nested" if options.nested else ""
    STUDY.tell(estimator_report.rows(studies), estimator_report.COLUMNS, options, part=kind)
    title = f"difference to behaviour by {estimator_report.RECOMMENDED}, policy by policy"
    by_policy = "-".join(filter(None, (kind, "policies")))
    STUDY.tell(
        estimator_report.policy_rows(studies), estimator_report.POLICY_COLUMNS, options, part=by_policy, title=title
    )
    estimator_report.write(studies, options.out)


def _measured(name: str, options: argparse.Namespace, tell: Tell) -> estimator_report.Study:
    """Policies, truth and replicates of one dataset, each made as far as it is missing; with --report, none.

    Raises:
        UserError: If nothing is there and nothing is to be made.
    """
    world = recipe(PREFIX + name).world
    if options.report:
        tested: Mapping[str, Probabilities] = {}
        truth = known_truth(name, options.steps, options.truth_members, options.out)
    else:
        tested = policies(name, options.steps, options.out, tell)
        truth = true_values(name, tested, options.steps, options.truth_members, options.out, tell)
    units = [
        Unit(
            f"{name}-replicate-{number:04d}",
            partial(_replicate, world, tested, options, number),
            _facts(name, options, number),
        )
        for number in range(options.replicates)
    ]
    replicates = [each for each in STUDY.each(units, options, f"{name}: replicates", tell=tell) if each is not None]
    if not truth or not replicates:
        raise UserError(
            f"nothing was measured of {name} in {options.out} with these settings and this code; run without --report"
        )
    return estimator_report.Study(truth=truth, replicates=replicates)


def _facts(name: str, options: argparse.Namespace, number: int) -> dict[str, Any]:
    """What a replicate depends on besides code."""
    return {
        "world": dataclasses.asdict(recipe(PREFIX + name).world),
        "learned": learned_facts(name, options.steps),
        "members": options.members,
        "nested": options.nested,
        "seed": (SEED, number),
    }


def _replicate(
    world: World, policies: Mapping[str, Probabilities], options: argparse.Namespace, number: int
) -> dict[str, Any]:
    """Every estimate of every policy on one draw of members."""
    logged = collect(world.parameters, members=options.members, seed=(SEED, number))
    episodes = logged_of(logged)
    config = factored_awr(observation_names(**world.seen), MEDICAID_ACTIONS)
    indications = config.indications
    returns = episodes.returns()
    rng = np.random.default_rng((SEED, number))
    clock = _Clock()
    models = {"SNM": Counterfactual.fit(episodes, rng=rng, response=config.response, indications=indications)}
    if not options.nested:
        models["SNM without response"] = Counterfactual.fit(episodes, rng=rng, indications=indications)
    some = episodes.subset(np.arange(min(ASKED, options.members)))
    supported = supported_actions(episodes, Thresholds().support_members)
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
        unsupported = score_target(some, policy, support=supported).unsupported
        assert unsupported is not None
        off = float(unsupported.sum() / some.mask.sum()) > Thresholds().unsupported
        for key, model in models.items():
            doubt = model.response_doubt or model.support_doubt(found[key][0])
            rows[label][key]["withheld"] = float(off or doubt is not None)
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


if __name__ == "__main__":
    run_or_say(main)
