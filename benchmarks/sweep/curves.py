"""Value against staff minutes, Q(B): what each policy gains over the care team within each budget.

The area under the curve is the mean gain over *no program* from 0 minutes to the largest budget, by trapezoids; without
minutes every policy is no program. Intervals resample runs and members in pairs, as everywhere in the scorecard.
Source: the multi-armed Qini (Sverdrup et al.), with a budget in staff minutes.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.sweep.budgets import NONE, TEAM, amount, capacities, finite, mode_and_budget
from benchmarks.sweep.statistics import bootstrap_means, interquartile_mean, interval
from benchmarks.training import algorithms
from frl_env.budget_references import stored_bound
from frl_env.capacity import Capacity
from frl_env.reference_returns import FLOOR
from frl_env.worlds import World

BOUND = "upper_bound"

MAIN = "factored_awr"
"""The line that all others are compared with in pairs: the first of its modes that keeps within the team's minutes."""

NOT_PAIRED = {"main_leads": None, "main_interval": None}

Line = tuple[str, str]
"""Name of a policy and its mode."""


def curves(
    outcomes: Sequence[Any], references: Mapping[str, np.ndarray], world: World, horizon: int
) -> list[dict[str, Any]]:
    """Every policy's Q(B), by its gain at the care team's own minutes, largest first.

    Args:
        outcomes: Of a sweep, references among them.
        references: Unlimited values of the reference policies by member.
        world: In which all were rolled out.
        horizon: Weeks an episode lasts at most.

    Returns:
        One entry a policy and mode: `policy`, `label`, `mode`, `kind`, `allocated`, `seeds`, `points` (budget, minutes
        spent, gain, interval), `area` with its interval, `tried` and `contacted`, which is of the first seed alone;
        `main_leads`, what FactoredAWR gains more at the team's own minutes, in pairs, with its `main_interval`, None
        for FactoredAWR itself, for references, and where either was not scored.
    """
    said = capacities(outcomes[0].job.budgets)
    trained = [outcome for outcome in outcomes if outcome.job.algo not in algorithms.REFERENCES]
    known = [outcome for outcome in outcomes if outcome.job.algo in algorithms.REFERENCES]
    entries = [*_entries(trained, references, said), *_entries(known, references, said)]
    bound = _bound(references, said, world, horizon)
    return sorted([*entries, *([bound] if bound else [])], key=_rank)


def gain_at(entry: Mapping[str, Any], budget: str | float = TEAM) -> float | None:
    """Gain of a curve within a budget; None where it was not scored."""
    point = point_at(entry, budget)
    return None if point is None else float(point["gain"])


def point_at(entry: Mapping[str, Any], budget: str | float = TEAM) -> Mapping[str, Any] | None:
    """Point of a curve within a budget; None where it was not scored."""
    return next((point for point in entry["points"] if point["budget"] == budget), None)


def _rank(entry: Mapping[str, Any]) -> tuple[bool, float]:
    """Sorts by gain, the largest first, and entries without one last."""
    gain = gain_at(entry)
    return gain is None, -(gain or 0.0)


def _entries(
    outcomes: Sequence[Any], references: Mapping[str, np.ndarray], said: Mapping[str, Capacity]
) -> list[dict[str, Any]]:
    """Curves of runs that have the same seeds: resampled together, so that they are paired."""
    by_line: dict[Line, dict[int, Any]] = {}
    for outcome in outcomes:
        for mode in dict.fromkeys(mode_and_budget(name)[0] for name in outcome.values):
            by_line.setdefault((outcome.job.algo, mode), {})[outcome.job.seed] = outcome
    if not by_line:
        return []
    seeds = sorted(set.intersection(*({*runs} for runs in by_line.values())))
    if not seeds:
        return []
    team = references["behaviour"]
    keys, arrays = [], []
    for line, runs in by_line.items():
        for name in runs[seeds[0]].values:
            mode, budget = mode_and_budget(name)
            if mode == line[1]:
                keys.append((line, budget, name))
                arrays.append(np.stack([runs[seed].values[name] - team for seed in seeds]))
    nothing = np.broadcast_to(references[FLOOR] - team, arrays[0].shape)
    means = np.stack([array.mean(axis=1, dtype=np.float64) for array in (*arrays, nothing)])
    drawn = interquartile_mean(bootstrap_means([*arrays, nothing], np.random.default_rng(0)))
    gains = interquartile_mean(means)
    found = []
    main = next((at for at, ((algo, _), budget, _) in enumerate(keys) if (algo, budget) == (MAIN, TEAM)), None)
    for line, runs in by_line.items():
        own = {budget: (at, name) for at, (whose, budget, name) in enumerate(keys) if whose == line}
        entry = _entry(line, runs, seeds, said, own, gains, drawn)
        at = own[TEAM][0] if TEAM in own else None
        paired = main is not None and at is not None and line[0] != MAIN
        entry["main_leads"] = float(gains[main] - gains[at]) if paired else None
        entry["main_interval"] = interval(drawn[main] - drawn[at]) if paired else None
        found.append(entry)
    return found


def _entry(
    line: Line,
    runs: Mapping[int, Any],
    seeds: Sequence[int],
    said: Mapping[str, Capacity],
    own: Mapping[str, tuple[int, str]],
    gains: np.ndarray,
    drawn: np.ndarray,
) -> dict[str, Any]:
    """What one policy gains and spends at each budget, over seeds, with intervals."""
    algo, mode = line
    first = runs[seeds[0]]
    points = []
    for budget in (*said, NONE):
        if budget not in own:
            continue
        at, name = own[budget]
        spent = [runs[seed].summaries[name]["effort_minutes_per_week"] for seed in seeds]
        points.append(
            {
                "budget": amount(budget),
                "minutes": float(np.mean(spent)),
                "gain": float(gains[at]),
                "interval": interval(drawn[at]),
            }
        )
    limits = finite(said)
    minutes = [(limit, own[budget][0]) for budget, limit in limits.items()] if {*limits} <= {*own} else []
    area = _area(minutes, gains[:, None]) if minutes else None
    areas = _area(minutes, drawn) if minutes else None
    reference = algo in algorithms.REFERENCES
    within = [name for budget, (_, name) in own.items() if budget != NONE]
    return {
        "policy": algo,
        "label": algo if reference else first.facts.get("label", algo),
        "mode": mode,
        "kind": "reference" if reference else "peer" if algo in algorithms.PEERS else "algorithm",
        "allocated": next((first.facts["allocated"][name] for name in within if name in first.facts["allocated"]), ""),
        "seeds": len(seeds),
        "points": points,
        "area": None if area is None else float(area[0]),
        "area_interval": None if areas is None else interval(areas),
        "tried": None
        if reference
        else {"without_truth": algorithms.tried(algo), "with_truth": algorithms.BY_TRUTH.get(algo, "0")},
        "contacted": first.facts["contacted"].get(own[TEAM][1]) if TEAM in own else None,
    }


def _area(minutes: Sequence[tuple[float, int]], gains: np.ndarray) -> np.ndarray:
    """Mean gain over no program from 0 to the largest budget, for each column of gains; the last row is no program."""
    at = np.asarray([0.0, *(limit for limit, _ in minutes)])
    over = np.stack([np.zeros(gains.shape[1]), *(gains[row] - gains[-1] for _, row in minutes)])
    if at[-1] == 0:
        return over[-1]
    return ((over[1:] + over[:-1]) / 2 * np.diff(at)[:, None]).sum(axis=0) / at[-1]


def _bound(
    references: Mapping[str, np.ndarray], said: Mapping[str, Capacity], world: World, horizon: int
) -> dict[str, Any] | None:
    """The upper bound at each number of minutes, where the relaxed problem of this world was solved."""
    relaxed = stored_bound(world.parameters, horizon)
    if relaxed is None or not said:
        return None
    difference = references[FLOOR].astype(np.float64) - references["behaviour"]
    base, noise = float(difference.mean()), float(difference.std(ddof=1) / len(difference) ** 0.5)
    points = []
    for label, limit in finite(said).items():
        spared, error = relaxed.at(limit)
        reach = 1.96 * float(np.hypot(noise, error))
        gain = base + spared
        points.append(
            {"budget": amount(label), "minutes": limit, "gain": gain, "interval": (gain - reach, gain + reach)}
        )
    at = np.asarray([0.0, *(point["minutes"] for point in points)])
    over = np.asarray([0.0, *(point["gain"] - base for point in points)])
    area = float(((over[1:] + over[:-1]) / 2 * np.diff(at)).sum() / at[-1]) if at[-1] > 0 else 0.0
    shared = {"policy": BOUND, "label": BOUND, "mode": "reference", "kind": "bound", "allocated": "", "seeds": 1}
    read = {"points": points, "area": area, "area_interval": None, "tried": None, "contacted": None}
    return shared | read | NOT_PAIRED
