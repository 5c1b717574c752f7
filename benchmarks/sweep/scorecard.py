"""The scorecard: what the runs of a sweep gave, summed up, JSON-able."""

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.policy_scoring.true_values import SEED, Evaluation
from benchmarks.result_records.circumstances import commit, versions
from benchmarks.result_records.run_key import content_of_dataset
from benchmarks.sweep.budgets import NONE, amount, mode_and_budget, slot
from benchmarks.sweep.curves import curves
from benchmarks.sweep.runs import Outcome
from benchmarks.sweep.scoring import REFERENCE
from benchmarks.sweep.statistics import (
    PROFILE,
    bootstrap_means,
    interquartile_mean,
    interval,
    performance_profile,
    probability_of_improvement,
)
from benchmarks.training.algorithms import PEERS, REFERENCES
from frl_env.care_effort import dataset_logged_effort
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of
from frl_env.member_months import per_1000_member_months
from frl_env.parameters import VERSION
from frl_env.reference_returns import FLOOR, ceiling
from frl_env.rollout import standard_error

NO_DIFFERENCE = 1e-9
"""Scales shorter than this have no length: there is no score on them."""


def assemble(
    dataset: Any,
    outcomes: Sequence[Outcome],
    *,
    command: str,
    failures: Sequence[str] = (),
    older: Collection[str] = (),
) -> dict[str, Any]:
    """Everything that was measured, JSON-able.

    `value` is the mean undiscounted return of a member; `normalized_score` is 0 for no program and 100 for the best
    policy on the observations that search found; `difference_to_behaviour` is paired over members, under common random
    numbers. `summary` has one entry an algorithm and mode, over all its runs without a budget; `curves` one with the
    gain within each budget, by what it is at the care team's own minutes (`benchmarks.sweep.curves`). Rows of `runs`
    and `references` say their `budget`: "none", "team", a number of minutes, or a capacity file. `older` names the
    algorithms with a run by earlier code.
    """
    references = {outcome.job.algo: outcome for outcome in outcomes if outcome.job.algo in REFERENCES}
    values = {name: outcome.values[REFERENCE] for name, outcome in references.items() if REFERENCE in outcome.values}
    trained = [outcome for outcome in outcomes if outcome.job.algo not in references]
    environment = dataset.spec.env_spec
    spent = dataset_logged_effort(dataset, action_space_of(dataset)).to_dict()
    return {
        "dataset": dataset.spec.dataset_id,
        "environment": environment.to_json() if environment is not None else None,
        "dataset_sha256": content_of_dataset(dataset),
        "parameters_version": VERSION if values else None,
        "logged": spent,
        "eval_members": len(values["behaviour"]) if values else 0,
        "eval_seed": SEED,
        "command": command,
        "versions": versions(),
        "commit": commit(),
        "references": _references(references, values),
        "runs": [row for outcome in trained for row in _rows(outcome, values)],
        "summary": _summary(trained, values) if values else [],
        "curves": _curves(dataset, outcomes, values),
        "ope": [
            {"algo": outcome.job.algo, "seed": outcome.job.seed, "mode": mode} | estimates
            for outcome in trained
            for mode, estimates in outcome.facts.get("ope", {}).items()
        ],
        "fairness": [
            {"algo": outcome.job.algo, "seed": outcome.job.seed, "mode": mode} | section
            for outcome in outcomes
            for mode, section in outcome.facts.get("fairness", {}).items()
        ],
        "older": sorted(set(older)),
        "failed": list(failures),
    }


def _references(references: Mapping[str, Outcome], values: Mapping[str, np.ndarray]) -> dict[str, dict[str, Any]]:
    """One entry a reference policy and budget: "heuristic", "heuristic @ team"."""
    rows = {}
    for name, outcome in references.items():
        for each, value in outcome.values.items():
            budget = mode_and_budget(each)[1]
            row: dict[str, Any] = {"policy": name, "budget": amount(budget)}
            rows[slot(name, budget)] = row | outcome.summaries[each] | _against(value, values, _weeks(outcome, each))
    return dict(sorted(rows.items(), key=lambda item: item[1]["budget"] != NONE))


def _curves(dataset: Any, outcomes: Sequence[Outcome], values: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """Q(B), where anything was scored within a budget."""
    if not values or outcomes[0].job.budgets == "{}":
        return []
    evaluation = Evaluation.of_dataset(dataset, members=len(values["behaviour"]))
    return curves(outcomes, values, evaluation.world, evaluation.horizon)


def details(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """What `benchmarks/report.py` draws besides the scorecard, one entry a run: its curve and `portrait`."""
    return [
        {"algo": outcome.job.algo, "seed": outcome.job.seed, "label": outcome.facts["label"]} | outcome.facts["details"]
        for outcome in outcomes
        if "details" in outcome.facts
    ]


def normalized_score(value: float, references: Mapping[str, np.ndarray]) -> float | None:
    """0 is no program, 100 the best policy on the observations (or the oracle); None where the two don't differ."""
    low, high = (float(references[name].mean(dtype=np.float64)) for name in (FLOOR, ceiling(references)))
    return 100 * (value - low) / (high - low) if abs(high - low) > NO_DIFFERENCE else None


def _against(value: np.ndarray, references: Mapping[str, np.ndarray], weeks: float | None) -> dict[str, float | None]:
    """How a policy's value stands to the references'."""
    difference = value.astype(np.float64) - references["behaviour"]
    found = {
        "normalized_score": normalized_score(float(value.mean(dtype=np.float64)), references),
        "difference_to_behaviour": float(difference.mean()),
        "difference_se": standard_error(difference),
    }
    if weeks is not None:
        found["difference_per_1000_member_months"] = per_1000_member_months(float(difference.mean()), weeks)
    return found


def _weeks(outcome: Outcome, slot_name: str) -> float | None:
    """Mean number of weeks that a member was followed; runs of earlier code did not keep it."""
    return outcome.summaries[slot_name].get("weeks_per_member")


def _rows(outcome: Outcome, references: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One row a mode; without a simulator nothing in it is a true value."""
    job, facts = outcome.job, dict(outcome.facts)
    modes = facts.get("details", {}).get("modes", {})
    scoring, estimates, allocated, *_ = (
        facts.pop(name, {}) for name in ("scoring_s", "ope", "allocated", "contacted", "fairness", "details")
    )
    identity = {"algo": job.algo, "label": facts.pop("label"), "seed": job.seed, "steps": facts.pop("updates")}
    rest = {"settings": json.loads(job.settings), "data_sha256": job.data, "model": job.model, "key": job.key}
    rest |= {"code": job.code}
    rows = []
    # Without a limit first: that is what a policy is asked for where no budget is named.
    for each in sorted(outcome.values or estimates, key=lambda name: mode_and_budget(name)[1] != NONE):
        mode, budget = mode_and_budget(each)
        row = identity | {"mode": mode, "budget": amount(budget)} | facts | rest
        if each not in outcome.values and (spent := modes.get(mode, {}).get("spent")):
            row |= {"contacts_per_week": spent["contacts_per_week"]}
            row |= {"effort_minutes_per_week": spent["effort_minutes_per_week"], "spent_by_level": spent["by_level"]}
        if each in outcome.values:
            row |= {"allocated": allocated.get(each, "")}
            row |= {"scoring_s": scoring[each]} | outcome.summaries[each]
            row |= _against(outcome.values[each], references, _weeks(outcome, each))
        rows.append(row)
    return rows


def _summary(outcomes: Sequence[Outcome], references: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """One entry an algorithm and mode, best first; rankings act within a budget only, so that they are in `curves`.

    The lead is what the first one's interquartile mean is above the entry's, resampled in pairs.
    """
    behaviour = references["behaviour"]
    gains: dict[tuple[str, str], dict[int, np.ndarray]] = {}
    for outcome in outcomes:
        for mode, value in outcome.values.items():
            if mode_and_budget(mode)[1] != NONE or outcome.job.algo in PEERS:
                continue
            gains.setdefault((outcome.job.algo, mode), {})[outcome.job.seed] = value - behaviour
    if not gains:
        return []
    # Only seeds that every algorithm has: pairs need both.
    seeds = sorted(set.intersection(*({*by_seed} for by_seed in gains.values())))
    if not seeds:
        return []
    names = list(gains)
    arrays = [np.stack([gains[name][seed] for seed in seeds]) for name in names]
    means = np.stack([array.mean(axis=1, dtype=np.float64) for array in arrays])
    estimates = interquartile_mean(means)
    resampled = bootstrap_means(arrays, np.random.default_rng(0))
    resampled_means = interquartile_mean(resampled)
    best = int(np.argmax(estimates))
    level = float(behaviour.mean(dtype=np.float64))
    entries = []
    for index in np.argsort(-estimates, kind="stable"):
        (algo, mode), each = names[index], means[index]
        rows = [outcome for outcome in outcomes if outcome.job.algo == algo and outcome.job.seed in seeds]
        scores = [normalized_score(level + gain, references) for gain in each]
        lead = resampled_means[best] - resampled_means[index]
        improvement = probability_of_improvement(means[best], each)
        entries.append(
            {
                "algo": algo,
                "label": rows[0].facts["label"],
                "mode": mode,
                "seeds": len(seeds),
                "difference_to_behaviour": float(estimates[index]),
                "interval": interval(resampled_means[index]),
                "lead_of_first": float(estimates[best] - estimates[index]),
                "lead_interval": interval(lead),
                "probability_that_first_is_better": float(improvement),
                "normalized_score": normalized_score(level + float(estimates[index]), references),
                "scores": scores,
                "profile": None
                if None in scores
                else performance_profile(np.asarray(scores), np.asarray(PROFILE)).tolist(),
                "wall_s": float(np.median([row.facts["wall_s"] for row in rows])),
                "updates_per_s": float(np.median([row.facts["updates_per_s"] for row in rows])),
                "peak_rss_mb": float(max(row.facts["peak_rss_mb"] for row in rows)),
                "settings": json.loads(rows[0].job.settings),
            }
        )
    return entries
