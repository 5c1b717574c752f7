"""What `benchmarks/studies/estimators.py` measured: one table, one figure.

For an estimator on a dataset, over replicates and policies: bias (mean error), root mean squared error, share of 95 %
intervals that cover the truth, of the value and of the difference to behaviour; within a replicate, over policies:
Spearman's rank correlation with the true values, and regret@k, how much worse the truly best of the k policies with the
highest estimates is than the best of all.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from rich.console import Console
from rich.table import Table
from scipy.special import ndtri
from scipy.stats import rankdata

from frl_env.terminal import write_atomically

COLUMNS = {
    "bias": "{:+.3f}",
    "RMSE": "{:.3f}",
    "covers value": "{:.2f}",
    "covers difference": "{:.2f}",
    "Spearman": "{:+.2f}",
    "regret@1": "{:.3f}",
    "regret@3": "{:.3f}",
    "seconds": "{:.2f}",
}
POLICY_COLUMNS = {
    "true": "{:+.3f}",
    "mean estimate": "{:+.3f}",
    "SD": "{:.3f}",
    "mean SE": "{:.3f}",
    "covers": "{:.2f}",
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
        """One row an estimator, columns as in `COLUMNS`."""
        policies = self.policies
        truth = np.asarray([self.truth[name]["value"] for name in policies])
        gains = truth - self.truth["behaviour"]["value"]
        rows = {}
        for estimator in self.replicates[0][policies[0]]:

            def grid(key: str, estimator: str = estimator) -> Float[np.ndarray, "replicate policy"]:
                return np.asarray([[one[name][estimator][key] for name in policies] for one in self.replicates])

            value, change = grid("value"), grid("difference")
            rows[estimator] = {
                "bias": (value - truth).mean(),
                "RMSE": np.sqrt(((value - truth) ** 2).mean()),
                "covers value": ((grid("low") <= truth) & (truth <= grid("high"))).mean(),
                "covers difference": ((grid("difference_low") <= gains) & (gains <= grid("difference_high"))).mean(),
                "Spearman": np.mean([spearman(own, truth) for own in change]),
                "regret@1": np.mean([regret(own, truth, 1) for own in change]),
                "regret@3": np.mean([regret(own, truth, 3) for own in change]),
                "seconds": grid("seconds").mean(),
            }
        return pd.DataFrame.from_dict(rows, orient="index")

    def by_policy(self, estimator: str = RECOMMENDED) -> pd.DataFrame:
        """One row a policy, the worst first: the difference to behaviour as it is and as one estimator sees it.

        Columns as in `POLICY_COLUMNS`: the truth; mean and SD of the estimates over replicates; the mean standard error
        that they come with; share of intervals that cover the truth.
        """
        rows = {}
        for name in self.policies:
            found = {key: np.asarray([one[name][estimator][key] for one in self.replicates]) for key in _DIFFERENCE}
            truth = self.truth[name]["value"] - self.truth["behaviour"]["value"]
            estimates, low, high = (found[key] for key in _DIFFERENCE)
            rows[name] = {
                "true": truth,
                "mean estimate": estimates.mean(),
                "SD": estimates.std(ddof=1) if len(estimates) > 1 else float("nan"),
                "mean SE": (high - low).mean() / (2 * ndtri((1 + LEVEL) / 2)),
                "covers": ((low <= truth) & (truth <= high)).mean(),
            }
        return pd.DataFrame.from_dict(rows, orient="index")


def spearman(estimates: Float[np.ndarray, "policy"], truth: Float[np.ndarray, "policy"]) -> float:
    """Rank correlation; 0 where all estimates are alike."""
    first, second = rankdata(estimates), rankdata(truth)
    spread = first.std() * second.std()
    return float(((first - first.mean()) * (second - second.mean())).mean() / spread) if spread > 0 else 0.0


def regret(estimates: Float[np.ndarray, "policy"], truth: Float[np.ndarray, "policy"], k: int) -> float:
    """What is lost with the truly best of the k policies with the highest estimates."""
    return float(truth.max() - truth[np.argsort(-estimates, kind="stable")[:k]].max())


def write(studies: Mapping[str, Study], out: Path) -> None:
    """Prints the table; writes `summary.json` and `ope.png`."""
    tables = {name: study.table() for name, study in studies.items()}
    table = Table(title="off-policy estimators against the truth")
    table.add_column("dataset", no_wrap=True)
    table.add_column("estimator", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column, justify="right")
    for name, rows in tables.items():
        for estimator, row in rows.iterrows():
            table.add_row(name, str(estimator), *(form.format(row[key]) for key, form in COLUMNS.items()))
        table.add_section()
    console = Console()
    if not console.is_terminal:
        console.width = 130
    console.print(table)
    for name, study in studies.items():
        console.print(f"{name}: {len(study.replicates)} replicates, {len(study.policies)} policies")
        console.print(_policies(name, study.by_policy()))
    summary = {
        name: {
            "replicates": len(study.replicates),
            "truth": study.truth,
            "estimators": tables[name].to_dict(orient="index"),
            "by_policy": json.loads(str(study.by_policy().to_json(orient="index"))),
        }
        for name, study in studies.items()
    }
    write_atomically(out / "summary.json", json.dumps(summary, indent=2) + "\n")
    _figure(tables, out / "ope.png")
    console.print(f"\ntable: {out / 'summary.json'}, figure: {out / 'ope.png'}")


def _policies(name: str, rows: pd.DataFrame) -> Table:
    """What the recommended estimator says of each policy."""
    table = Table(title=f"{name}: difference to behaviour by {RECOMMENDED}")
    table.add_column("policy", no_wrap=True)
    for column in POLICY_COLUMNS:
        table.add_column(column, justify="right")
    for policy, row in rows.iterrows():
        table.add_row(str(policy), *(form.format(row[key]) for key, form in POLICY_COLUMNS.items()))
    return table


def _figure(tables: Mapping[str, pd.DataFrame], file: Path) -> None:
    """Error, coverage and ranking of every estimator on every dataset."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt

    panels = {"RMSE": (None, "log"), "covers value": (LEVEL, "linear"), "Spearman": (0.8, "linear")}
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
    aside = file.with_name(f".{file.name}.writing.png")
    figure.savefig(aside, dpi=150)
    plt.close(figure)
    aside.replace(file)
