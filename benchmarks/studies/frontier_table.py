"""What `benchmarks/studies/fairness_frontier.py` measures on its rollouts, and how it is shown.

All seeds' members are taken together, so that a gap of group means is less of a gap of chance. Intervals: percentiles
over resamples of the members within their seeds, the same for every setting.
"""

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from frl_env.evaluation.dataset_reading.member_records import LATENT_NEED
from frl_env.evaluation.files import write_together
from frl_env.files.spreadsheets import plain_cells
from frl_env.rollout import standard_error

RESAMPLES = 500


@dataclasses.dataclass(frozen=True)
class Setting:
    """A point of the frontier.

    Attributes:
        weight: Of the penalty.
        slack: Gap that is allowed instead; None with a weight.
    """

    weight: float
    slack: float | None = None

    @property
    def name(self) -> str:
        """Name of the setting in the table."""
        return f"weight {self.weight:g}" if self.slack is None else f"slack {self.slack:g}"


def measure(rollouts: Mapping[Setting, Sequence[pd.DataFrame]], attribute: str) -> list[dict[str, Any]]:
    """One entry a setting, JSON-able; the first setting is what the others are compared with.

    Args:
        rollouts: One row a member (`benchmarks.policy_scoring.member_table`), seed by seed; seeds have members of their
            own.
        attribute: Whose groups.
    """
    first = next(iter(rollouts.values()))
    names = sorted(set(first[0][attribute]))
    shares = {setting: _group_means(each, attribute, names) for setting, each in rollouts.items()}
    before = np.ptp(shares[next(iter(rollouts))], axis=1)
    unfair = [_column(table, "value") for table in first]
    labels = np.concatenate([table[attribute].to_numpy() for table in first])
    needs = np.concatenate([_column(table, LATENT_NEED) for table in first])
    counts = np.asarray([np.sum(labels == name) for name in names])
    needed = np.asarray([needs[labels == name].mean() for name in names]) / needs.mean()
    points = []
    for setting, each in rollouts.items():
        values = [_column(table, "value") for table in each]
        costs = [base - value for base, value in zip(unfair, values, strict=True)]
        cost, shared = np.concatenate(costs), np.concatenate([_column(table, "high_touch") for table in each])
        level = float(shared.mean())
        gaps = np.ptp(shares[setting], axis=1)
        points.append(
            {
                "setting": setting.name,
                "weight": setting.weight if setting.slack is None else None,
                "slack": setting.slack,
                "high_touch": level,
                "high_touch_sd": float(shared.std()),
                "gap": _with_interval(gaps),
                "gap_factor": _with_interval(before / np.maximum(gaps, 1e-12)),
                "value": float(np.concatenate(values).mean()),
                "cost": float(cost.mean()),
                "cost_se": standard_error(cost),
                "cost_share": float(cost.mean() / abs(np.concatenate(unfair).mean())),
                "groups": [
                    {
                        "name": name,
                        "members": int(n),
                        "high_touch": float(share),
                        "need_ratio": float(share / level / need),
                    }
                    for name, n, share, need in zip(names, counts, shares[setting][0], needed, strict=True)
                ],
                "seeds": [
                    {"seed": seed, "gap": _gap(table, attribute), "value": float(v.mean()), "cost": float(c.mean())}
                    for seed, (table, v, c) in enumerate(zip(each, values, costs, strict=True))
                ],
            }
        )
    return points


def _column(table: pd.DataFrame, name: str) -> np.ndarray:
    return table[name].to_numpy(dtype=np.float64)


def _gap(table: pd.DataFrame, attribute: str) -> float:
    """Largest less smallest group mean in one seed's members."""
    labels, share = table[attribute].to_numpy(), _column(table, "high_touch")
    means = [float(share[labels == name].mean()) for name in np.unique(labels)]
    return max(means) - min(means)


def _group_means(tables: Sequence[pd.DataFrame], attribute: str, names: Sequence[str]) -> np.ndarray:
    """Means of high touch `(1 + resample, group)`, those of the members as they are first."""
    rng = np.random.default_rng(0)
    sums = np.zeros((1 + RESAMPLES, 2 * len(names)))
    for table in tables:
        inside = np.stack([(table[attribute] == name).to_numpy(dtype=np.float64) for name in names], axis=1)
        # Poisson(1) counts are the bootstrap for many members, and cheaper than indices.
        counts = rng.poisson(1.0, size=(RESAMPLES, len(table))).astype(np.float64)
        columns = np.concatenate([inside * _column(table, "high_touch")[:, None], inside], axis=1)
        sums += np.concatenate([columns.sum(axis=0)[None], counts @ columns])
    return sums[:, : len(names)] / sums[:, len(names) :]


def _with_interval(values: np.ndarray) -> dict[str, float]:
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}


def flat(points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The table, one row a setting; groups and seeds are in the JSON."""
    kept = [{key: value for key, value in point.items() if key not in ("groups", "seeds")} for point in points]
    return pd.json_normalize(kept, sep="_")


def draw(content: Mapping[str, Any]) -> bytes:
    """The figure, as PNG: seeds in grey, all members in front with their interval."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    points = content["points"]
    for point in points:
        seeds = point["seeds"]
        axes.scatter([100 * s["gap"] for s in seeds], [s["cost"] for s in seeds], color="#bbbbbb", s=12)
    gaps = [100 * point["gap"]["value"] for point in points]
    ends = [[abs(100 * point["gap"][end] - gap) for point, gap in zip(points, gaps, strict=True)] for end in _ENDS]
    costs = [point["cost"] for point in points]
    errors = [1.96 * point["cost_se"] for point in points]
    axes.errorbar(gaps, costs, xerr=ends, yerr=errors, fmt="o", color="#4477aa", linewidth=1)
    for point, gap, cost in zip(points, gaps, costs, strict=True):
        axes.annotate(point["setting"], (gap, cost), fontsize=7, xytext=(2, 5), textcoords="offset points", rotation=40)
    limit = 0.02 * abs(points[0]["value"])
    axes.axhline(limit, color="#cc6677", linestyle="--", linewidth=1)
    axes.annotate("2 % of the value", (0.99, limit), xycoords=("axes fraction", "data"), ha="right", va="bottom")
    axes.set_xlabel(f"gap in {content['high_touch']} between groups of {content['attribute']}, points of probability")
    axes.set_ylabel("true value lost by a member, events")
    axes.set_title(f"{content['dataset']}, target {content['target']}; simulated members", fontsize=9)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150, metadata={"Software": None})
    return stream.getvalue()


_ENDS = ("low", "high")


def rows(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Fields of `COLUMNS`, a row a setting; gaps in points, costs also in % of the value."""
    found = []
    for point in points:
        ratios = [group["need_ratio"] for group in point["groups"]]
        row = {"setting": point["setting"], "need_least": min(ratios), "need_most": max(ratios)}
        row |= {end: 100 * point["gap"][name] for end, name in zip(("gap", *_GAP_ENDS), _NAMES, strict=True)}
        row |= {end: point["gap_factor"][name] for end, name in zip(("factor", *_FACTOR_ENDS), _NAMES, strict=True)}
        row |= {name: point[name] for name in ("high_touch", "high_touch_sd", "value", "cost", "cost_se")}
        found.append(row | {"cost_percent": 100 * point["cost_share"]})
    return found


def write(content: Mapping[str, Any], folder: Path) -> None:
    """Writes `frontier.json`, `frontier.csv` and `frontier.png`, all or none.

    Args:
        content: Settings of the study, and its `points`.
        folder: Where.

    Raises:
        UserError: If they can't be written.
    """
    contents = {
        "frontier.json": (json.dumps(content, indent=2, allow_nan=False) + "\n").encode(),
        "frontier.csv": plain_cells(flat(content["points"])).to_csv(index=False).encode(),
        "frontier.png": draw(content),
    }
    write_together(folder, contents)


_NAMES = ("value", "low", "high")
_GAP_ENDS, _FACTOR_ENDS = ("gap_low", "gap_high"), ("factor_low", "factor_high")
COLUMNS = {
    "penalty": "{setting}",
    "gap, points [95 %]": "{gap:.3f} [{gap_low:.3f}, {gap_high:.3f}]",
    "factor [95 %]": "{factor:.1f} [{factor_low:.1f}, {factor_high:.1f}]",
    "need ratio": "{need_least:.2f} to {need_most:.2f}",
    "high touch (SD)": "{high_touch:.3f} ({high_touch_sd:.4f})",
    "value": "{value:.4f}",
    "cost (SE)": "{cost:+.4f} ({cost_se:.4f})",
    "cost, %": "{cost_percent:+.2f}",
}
CAPTION = (
    "{seeds} seeds, {members:,} new members in all.\n"
    "gap: largest less smallest group mean of the probability of high touch a week; factor: how much smaller.\n"
    "need ratio: high touch in relation to open needs, least to most favoured group; 1 is by need.\n"
    "SD: between members. cost: true value lost against weight 0, paired. Simulated members; not to guide care."
)
