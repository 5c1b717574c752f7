"""Which off-policy estimator ranks policies right, and where: four worlds whose values are known, one table.

    python benchmarks/ope.py --worlds care,sepsis,icu,rooms --figure

Every estimator values every policy of `benchmarks.studies.known_policies.ranked_worlds` with the same Q. Over the
policies of a draw: Spearman's correlation with the true values; regret@k, how much worse the truly best of the k
policies with the highest estimates is than the best of all; SharpeRatio@k, how much better than the logging policy the
best of these k is, over the spread of the k (Kiyohara et al., 2024); how often a 95 % interval of the difference to the
logged returns covers the truth; and the error of the value over the spread of the true values. Medians over draws,
means for coverage and error.

`by rule` is what a user without a truth can do: the nested model where a response behaves like one, else WDR where its
weights are usable (`frl_env.evaluation.Thresholds`) for half of the policies, else FQE. It sees data only.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float

from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.sepsis.environment import check_installed
from benchmarks.studies.estimator_report import regret, spearman
from benchmarks.studies.known_policies.markov_q import CrossFitted
from benchmarks.studies.known_policies.ranked_worlds import WORLDS, Ranked
from frl_algos.policies.policy import Probabilities
from frl_algos.value_models.counterfactual import Counterfactual
from frl_algos.value_models.fitted_q import fitted_q_evaluation
from frl_env.errors import unknown_name
from frl_env.evaluation import ActionValues, Estimate, Thresholds, estimate_propensities, interval
from frl_env.evaluation.diagnostics import diagnose
from frl_env.evaluation.inputs import CLIP, every_estimate, prepare
from frl_env.terminal import run_or_say

RESULTS = Kept("benchmarks.ope", shown_by=("benchmarks.studies.estimator_report",))
SEED = 87_000
"""Of the draws; no other study and no dataset uses it."""

NESTED, FITTED, WEIGHTED = "SNM", "FQE", f"WDR clip {CLIP:g}"
RULE = "by rule"
LEFT_OUT = ("DM",)
"""The mean of V is what FQE is."""

COLUMNS = {
    "world": "{world}",
    "estimator": "{estimator}",
    "Spearman": "{spearman:+.2f}",
    "regret@1": "{regret1:.3f}",
    "regret@5": "{regret5:.3f}",
    "SharpeRatio@5": "{sharpe:.2f}",
    "covers": "{covers:.2f}",
    "error over spread": "{error:.2f}",
}

Grid = Float[np.ndarray, "draw policy"]


STUDY = Study(
    RESULTS,
    "Which off-policy estimator ranks policies right, and where.",
    {"draws": (1, 1, "draws of logged data of each world")},
    more=lambda parser: parser.add_argument(
        "--worlds", default=",".join(WORLDS), help="by comma (default %(default)s)"
    ),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures what is missing and shows the table."""
    options = STUDY.options(arguments)
    worlds = list(dict.fromkeys(name.strip() for name in options.worlds.split(",")))
    for name in worlds:
        if name not in WORLDS:
            raise unknown_name("world", name, WORLDS)
    if "icu" in worlds:
        check_installed()
    wanted = [(name, draw) for draw in range(options.draws) for name in worlds]
    units = [
        Unit(f"{name}-{draw}", partial(measured, name, (SEED, draw)), {"world": name, "seed": (SEED, draw)})
        for name, draw in wanted
    ]
    made = STUDY.each(units, options, "draws")
    found = {name: [each for each, (own, _) in zip(made, wanted, strict=True) if own == name] for name in worlds}
    rows = [row for name in worlds for row in table(name, found[name])]
    STUDY.tell(rows, COLUMNS, options, title="off-policy estimators, ranked by the truth", caption=_why(found))


def measured(name: str, seed: tuple[int, int]) -> dict[str, Any]:
    """Every estimate of every policy on one draw of a world, and what data say of the choice of an estimator."""
    world = WORLDS[name](seed)
    values = _values(world)
    propensities: Any = "logged"
    if world.episodes.propensities is None:
        propensities = estimate_propensities(world.episodes, rng=np.random.default_rng(seed))
    nested, doubt = None, "no observation shows whether an attempt was answered"
    if world.response is not None:
        nested = Counterfactual.fit(world.episodes, rng=np.random.default_rng(seed), response=world.response)
        doubt = nested.response_doubt
    told, usable, carried = {}, [], []
    for policy, target in world.policies.items():
        estimates, weights = _estimates(world, target, values, propensities, seed)
        if nested is not None:
            estimates[NESTED] = nested.estimate(target, np.random.default_rng(seed), members=CARE_ASKED)
        usable.append(not weights.reasons(estimates[WEIGHTED].weights, Thresholds()))
        carried.append(weights.weights[estimates[WEIGHTED].weights].members / len(world.episodes))
        told[policy] = {label: _numbers(world, estimate) for label, estimate in estimates.items()}
    return {
        "truth": dict(world.truth),
        "behaviour": world.behaviour,
        "estimates": told,
        "chosen": NESTED if doubt is None else WEIGHTED if np.mean(usable) >= 0.5 else FITTED,
        "doubt": doubt,
        "usable": float(np.mean(usable)),
        "carried": float(np.median(carried)),
        "steps": float(world.episodes.lengths.mean()),
    }


CARE_ASKED = 500
"""Members that the nested model asks a policy about."""


def _values(world: Ranked) -> Any:
    """Target to its values, its probabilities and FQE's estimate."""
    if world.shape is not None:
        fitted = CrossFitted(world.episodes, world.shape, world.discount)

        return fitted.values

    def by_terms(target: Probabilities) -> tuple[ActionValues, np.ndarray, Estimate]:
        found = fitted_q_evaluation(world.episodes, target, rng=np.random.default_rng(SEED), discount=world.discount)
        return found.values, found.probabilities, found.estimate

    return by_terms


def _estimates(
    world: Ranked, target: Probabilities, fit: Any, propensities: Any, seed: tuple[int, int]
) -> tuple[dict[str, Estimate], Any]:
    """Every estimate of a policy's value by name, and the diagnostics of their weights."""
    values, probabilities, fitted = fit(target)
    inputs = prepare(
        world.episodes,
        probabilities,
        rng=np.random.default_rng(seed),
        q_values=values,
        propensities=propensities,
        discount=world.discount,
        folds=5,
        features=None,
        support_members=11,
    )
    others, weights = every_estimate(inputs, clips=(CLIP,))
    diagnostics = diagnose(world.episodes, inputs.log_ratios, weights)
    found = {FITTED: replace(fitted, name=FITTED)} | {key: e for key, e in others.items() if key not in LEFT_OUT}
    return found, diagnostics


def _numbers(world: Ranked, estimate: Estimate) -> dict[str, float]:
    """Value, and the 95 % limits of its difference to the logged returns."""
    change = interval(estimate.minus(world.episodes.returns(world.discount)), method="normal")
    return {"value": estimate.value, "low": change.low, "high": change.high}


def table(world: str, draws: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row an estimator, the best first, and one for the rule."""
    names = list(draws[0]["truth"])
    estimators = list(draws[0]["estimates"][names[0]])
    rows = [_row(world, label, draws, [label] * len(draws)) for label in estimators]
    rows.sort(key=lambda row: -row["spearman"])
    return [*rows, _row(world, RULE, draws, [draw["chosen"] for draw in draws])]


def _row(world: str, label: str, draws: Sequence[Mapping[str, Any]], chosen: Sequence[str]) -> dict[str, Any]:
    """One row of the table: how well an estimator's values, in each draw, agree with the truth."""
    names = list(draws[0]["truth"])
    truth = np.array([[draw["truth"][name] for name in names] for draw in draws])
    behaviour = np.array([draw["behaviour"] for draw in draws])

    def grid(key: str) -> Grid:
        picked = zip(draws, chosen, strict=True)
        return np.array([[draw["estimates"][name][own][key] for name in names] for draw, own in picked])

    value, gains = grid("value"), truth - behaviour[:, None]
    pairs = list(zip(value, truth, strict=True))
    return {
        "name": f"{world} {label}",
        "world": world,
        "estimator": f"{label} ({chosen[0]})" if label == RULE else label,
        "policies": len(names),
        "spearman": float(np.median([spearman(*pair) for pair in pairs])),
        "regret1": float(np.median([regret(*pair, 1) for pair in pairs])),
        "regret5": float(np.median([regret(*pair, 5) for pair in pairs])),
        "sharpe": float(np.median([sharpe_ratio(*pair, b, 5) for pair, b in zip(pairs, behaviour, strict=True)])),
        "covers": float(((grid("low") <= gains) & (gains <= grid("high"))).mean()),
        "error": float(np.mean(np.sqrt(((value - truth) ** 2).mean(axis=1)) / truth.std(axis=1))),
    }


def sharpe_ratio(
    estimates: Float[np.ndarray, "policy"], truth: Float[np.ndarray, "policy"], behaviour: float, k: int
) -> float:
    """What the best of the k policies with the highest estimates gains over behaviour, over the spread of the k.

    Infinite, or minus infinity, where the k are worth the same.

    Source: Kiyohara et al. (2024), Towards Assessing and Benchmarking Risk-Return Tradeoff of Off-Policy Evaluation.
    """
    top = truth[np.argsort(-estimates, kind="stable")[:k]]
    gain, spread = top.max() - behaviour, top.std()
    return float(gain / spread) if spread > 0 else float(np.copysign(np.inf, gain))


def _why(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """What data say of each world."""
    lines = []
    for name, draws in found.items():
        first = draws[0]
        lines.append(
            f"{name}: {len(draws)} draws, {len(first['truth'])} policies, {first['steps']:.0f} steps on average; "
            f"WDR's weights usable for {first['usable']:.0%} of the policies, {first['carried']:.0%} of the members "
            f"carry the median policy's; SNM: {first['doubt'] or 'a response behaves like one'}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_or_say(main)
