"""What `benchmarks/studies/estimators.py` measured: one table, one figure.

For an estimator on a dataset, over replicates and policies: bias (mean error), root mean squared error, share of 95 %
intervals that cover the truth, of the value and of the difference to behaviour; within a replicate, over policies:
Spearman's rank correlation with the true values, and regret@k, how much worse the truly best of the k policies with the
highest estimates is than the best of all.
"""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.special import ndtri
from scipy.stats import binomtest, rankdata

from frl_env.evaluation.files import write_together

COLUMNS = {
    "dataset": "{dataset}",
    "estimator": "{estimator}",
    "bias": "{bias:+.3f}",
    "RMSE": "{rmse:.3f}",
    "covers value": "{covers_value:.2f}",
    "covers difference": "{covers_difference:.2f}",
    "withheld": "{withheld:.2f}",
    "covers, of those told": "{covers_told:.2f}",
    "Spearman": "{spearman:+.2f}",
    "regret@1": "{regret_1:.3f}",
    "regret@3": "{regret_3:.3f}",
}
POLICY_COLUMNS = {
    "dataset": "{dataset}",
    "policy": "{policy}",
    "true": "{true:+.3f}",
    "mean estimate": "{mean:+.3f}",
    "SD": "{sd:.3f}",
    "mean SE": "{se:.3f}",
    "covers": "{covers:.2f}",
    "withheld": "{withheld:.2f}",
    "told": "{told:.0f}",
    "covers, of those told": "{covers_told:.2f}",
    "at least": "{covers_low:.2f}",
    "at most": "{covers_high:.2f}",
}
LEVEL = 0.95
RECOMMENDED = "SNM"
_DIFFERENCE = ("difference", "difference_low", "difference_high")


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is there for one dataset.

    Attributes:
        truth: Value and standard error of each policy and of the behaviour policy.
        replicates: Figures by policy and estimator, one entry a replicate.
    """

    truth: dict[str, dict[str, float]]
    replicates: list[dict[str, Any]]

    @property
    def policies(self) -> list[str]:
        """Names of the policies, the worst first."""
        names = [name for name in self.truth if name != "behaviour"]
        return sorted(names, key=lambda name: self.truth[name]["value"])

    def table(self) -> pd.DataFrame:
        """One row an estimator: the fields of `COLUMNS`."""
        policies = self.policies
        truth = np.asarray([self.truth[name]["value"] for name in policies])
        gains = truth - self.truth["behaviour"]["value"]
        rows = {}
        for estimator in self.replicates[0][policies[0]]:

            def grid(key: str, estimator: str = estimator) -> Float[np.ndarray, "replicate policy"]:
                return np.asarray([[one[name][estimator][key] for name in policies] for one in self.replicates])

            value, change = grid("value"), grid("difference")
            held = (grid("difference_low") <= gains) & (gains <= grid("difference_high"))
            withheld = _withheld(self.replicates, policies, estimator)
            rows[estimator] = {
                "bias": (value - truth).mean(),
                "rmse": np.sqrt(((value - truth) ** 2).mean()),
                "covers_value": ((grid("low") <= truth) & (truth <= grid("high"))).mean(),
                "covers_difference": held.mean(),
                "withheld": None if withheld is None else withheld.mean(),
                "covers_told": None if withheld is None or withheld.all() else held[~withheld].mean(),
                "spearman": np.mean([spearman(own, truth) for own in change]),
                "regret_1": np.mean([regret(own, truth, 1) for own in change]),
                "regret_3": np.mean([regret(own, truth, 3) for own in change]),
                "seconds": grid("seconds").mean(),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def by_policy(self, estimator: str = RECOMMENDED) -> pd.DataFrame:
        """One row a policy, the worst first: the difference to behaviour as it is and as one estimator sees it.

        The fields of `POLICY_COLUMNS`: the truth; mean and SD of the estimates over replicates; the mean standard error
        that they come with; share of intervals that cover the truth, and of those that are told, with the limits that
        so few replicates leave it (Wilson's, 95 %).
        """
        rows = {}
        for name in self.policies:
            found = {key: np.asarray([one[name][estimator][key] for one in self.replicates]) for key in _DIFFERENCE}
            truth = self.truth[name]["value"] - self.truth["behaviour"]["value"]
            estimates, low, high = (found[key] for key in _DIFFERENCE)
            held, withheld = (low <= truth) & (truth <= high), _withheld(self.replicates, [name], estimator)
            own = None if withheld is None else withheld[:, 0]
            told = held if own is None else held[~own]
            limits = binomtest(int(told.sum()), len(told)).proportion_ci(LEVEL, "wilson") if len(told) else (None, None)
            rows[name] = {
                "true": truth,
                "mean": estimates.mean(),
                "sd": estimates.std(ddof=1) if len(estimates) > 1 else None,
                "se": (high - low).mean() / (2 * ndtri((1 + LEVEL) / 2)),
                "covers": held.mean(),
                "withheld": None if own is None else own.mean(),
                "told": len(told),
                "covers_told": told.mean() if len(told) else None,
                "covers_low": limits[0],
                "covers_high": limits[1],
            }
        return pd.DataFrame.from_dict(rows, orient="index")


def _withheld(
    replicates: list[dict[str, Any]], policies: list[str], estimator: str
) -> Bool[np.ndarray, "replicate policy"] | None:
    """What the rule on support and responses would make no headline; None for estimators that it is not asked of."""
    if "withheld" not in replicates[0][policies[0]][estimator]:
        return None
    return np.asarray([[one[name][estimator]["withheld"] for name in policies] for one in replicates]) > 0


def spearman(estimates: Float[np.ndarray, "policy"], truth: Float[np.ndarray, "policy"]) -> float:
    """Rank correlation; 0 where all estimates are alike."""
    first, second = rankdata(estimates), rankdata(truth)
    spread = first.std() * second.std()
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread) if spread > 0 else 0.0


def regret(estimates: Float[np.ndarray, "policy"], truth: Float[np.ndarray, "policy"], k: int) -> float:
    """What is lost with the truly best of the k policies with the highest estimates."""
    return float(truth.max() - truth[np.argsort(-estimates, kind="stable")[:k]].max())


def rows(studies: Mapping[str, Study]) -> list[dict[str, Any]]:
    """Fields of `COLUMNS`, a row a dataset and estimator."""
    return [
        {"name": f"{name} {estimator}", "dataset": name, "estimator": str(estimator)}
        | {"replicates": len(study.replicates)}
        | {key: None if pd.isna(value) else float(value) for key, value in row.items()}
        for name, study in studies.items()
        for estimator, row in study.table().iterrows()
    ]


def policy_rows(studies: Mapping[str, Study]) -> list[dict[str, Any]]:
    """Fields of `POLICY_COLUMNS`, a row a dataset and policy, of the recommended estimator."""
    return [
        {"name": f"{name} {policy}", "dataset": name, "policy": str(policy), "replicates": len(study.replicates)}
        | {key: None if pd.isna(value) else float(value) for key, value in row.items()}
        for name, study in studies.items()
        for policy, row in study.by_policy().iterrows()
    ]


def write(studies: Mapping[str, Study], out: Path) -> None:
    """Writes `summary.json` and `ope.png`."""
    tables = {name: study.table() for name, study in studies.items()}
    summary = {
        name: {
            "replicates": len(study.replicates),
            "truth": study.truth,
            "estimators": json.loads(str(tables[name].to_json(orient="index"))),
            "by_policy": json.loads(str(study.by_policy().to_json(orient="index"))),
        }
        for name, study in studies.items()
    }
    contents = {"summary.json": (json.dumps(summary, indent=2) + "\n").encode(), "ope.png": _figure(tables)}
    write_together(out, contents)
    print(f"\ntable: {out / 'summary.json'}, figure: {out / 'ope.png'}")


def _figure(tables: Mapping[str, pd.DataFrame]) -> bytes:
    """Error, coverage and ranking of every estimator on every dataset, as a PNG."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    panels = {"rmse": (None, "log"), "covers_value": (LEVEL, "linear"), "spearman": (0.8, "linear")}
    estimators = list(next(iter(tables.values())).index)[::-1]
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 0.32 * len(estimators) + 1.6), sharey=True)
    for axis, (column, (goal, scale)) in zip(axes, panels.items(), strict=True):
        for number, (name, rows) in enumerate(tables.items()):
            at = np.arange(len(estimators)) + 0.18 * (number - (len(tables) - 1) / 2)
            axis.plot(rows.loc[estimators, column], at, "osD^v"[number % 5], markersize=5, label=name)
        if goal is not None:
            axis.axvline(goal, color="0.6", linewidth=1, linestyle="--")
        axis.set_xscale(scale)
        axis.set_xlabel(column)
        axis.grid(axis="y", color="0.9")
    axes[0].set_yticks(np.arange(len(estimators)), estimators)
    axes[0].legend(frameon=False)
    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=150)
    plt.close(figure)
    return content.getvalue()
