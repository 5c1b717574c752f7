"""What a fairness penalty costs and buys: the true value of FactoredAWR against the gap between groups.

    python benchmarks/fairness.py                      as much high-touch care for each group
    python benchmarks/fairness.py --target need        as much as it needs

Trains once a seed and fits the penalty to the trained policy for each weight (`FactoredAWR.balance`); "slack" rows ask
for a gap instead of a weight. Every policy is rolled out on the same new members under the same chances: the gap is that
of its exact probabilities in the states that *it* leads to, the value the true one. A rollout is kept as soon as it is
done; the same command goes on where a stopped one was. To the folder of `--out` go the table, the figure, and an audit
of each setting.
"""

import argparse
import dataclasses
import hashlib
import json
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.algorithms import factored_awr
from benchmarks.command_line import Parser, check_at_least
from benchmarks.evaluation import Evaluation
from benchmarks.member_table import audited, roll_out
from benchmarks.results import write_bytes
from benchmarks.run import check_writable
from benchmarks.training import train
from frl_algos import FactoredAWR, load_replay_buffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.allocations import allocation_table
from frl_env.evaluation.fairness import audit
from frl_env.evaluation.fairness_files import write_audit
from frl_env.evaluation.member_records import ATTRIBUTES, LATENT_NEED
from frl_env.rollout import standard_error
from frl_env.terminal import progress_bar, run_or_say

DATASET = "frl/medicaid-synthetic-v0"
WEIGHTS = (0.0, 10.0, 30.0, 100.0, 300.0, 1_000.0, 3_000.0, 10_000.0)
SLACKS = (0.002, 0.001)
KEPT = ("high_touch", "contact", "digital", "modality", "provider")
"""Allocations that are kept, by how their names start."""

Tell = Callable[[str, int, int], None]


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
        """As in the table."""
        return f"weight {self.weight:g}" if self.slack is None else f"slack {self.slack:g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is not there yet, and shows the frontier."""
    options = _parser().parse_args(arguments)
    check_at_least(options, seeds=1, steps=1, eval_members=100)
    if options.attribute not in ATTRIBUTES:
        raise unknown_name("attribute", options.attribute, ATTRIBUTES)
    settings = [Setting(weight) for weight in _numbers(options.weights, "--weights")]
    settings += [Setting(0.0, slack) for slack in _numbers(options.slacks, "--slacks")]
    if Setting(0.0) not in settings:
        settings.insert(0, Setting(0.0))
    check_dataset(options.dataset)
    out = Path(options.out)
    check_writable(out)
    with progress_bar() as tell:
        dataset = ensure_dataset(options.dataset, progress=tell)
        evaluation = Evaluation.of_dataset(dataset, members=options.eval_members)
        columns = allocation_table(MEDICAID_ACTIONS, options.high_touch.split(","))
        columns = {name: column for name, column in columns.items() if name.startswith(KEPT)}
        behaviour = roll_out(evaluation, None, columns, lambda week, weeks: tell("the care team", week, weeks))
        tables: dict[Setting, list[pd.DataFrame]] = {setting: [] for setting in settings}
        for seed in range(options.seeds):
            for setting, table in _runs(dataset, evaluation, settings, seed, options, columns, out, tell).items():
                tables[setting].append(table)
        for setting, each in tables.items():
            tell("audits", list(tables).index(setting) + 1, len(tables))
            found = audit(audited(each[0], behaviour), rng=np.random.default_rng(0), resamples=300)
            write_audit(found, out / f"audit {setting.name}")
    rows = frontier(tables, behaviour, options.attribute)
    write_bytes(out / "frontier.csv", rows.to_csv(index=False).encode())
    write_bytes(out / "frontier.svg", draw(rows, options.attribute))
    show(rows, options)
    print(f"table, figure and audits: {out}")


def frontier(tables: Mapping[Setting, Sequence[pd.DataFrame]], behaviour: pd.DataFrame, attribute: str) -> pd.DataFrame:
    """One row a setting and seed.

    Args:
        tables: Rollouts of each setting, seed by seed; one of them has weight 0.
        behaviour: The care team's.
        attribute: Whose groups.
    """
    rows = []
    for setting, each in tables.items():
        for seed, table in enumerate(each):
            before = tables[Setting(0.0)][seed]
            cost = before["value"] - table["value"]
            share = table["high_touch"].groupby(table[attribute]).mean()
            need = table[LATENT_NEED].groupby(table[attribute]).mean()
            ratio = share / table["high_touch"].mean() / (need / table[LATENT_NEED].mean())
            rows.append(
                {
                    "setting": setting.name,
                    "seed": seed,
                    "gap": share.max() - share.min(),
                    "need_ratio_low": ratio.min(),
                    "need_ratio_high": ratio.max(),
                    "high_touch": table["high_touch"].mean(),
                    "value": table["value"].mean(),
                    "cost": cost.mean(),
                    "cost_se": standard_error(cost.to_numpy()),
                    "gain_over_team": (table["value"] - behaviour["value"]).mean(),
                }
            )
    return pd.DataFrame(rows)


def draw(rows: pd.DataFrame, attribute: str) -> bytes:
    """The figure, as SVG: seeds in grey, means in front."""
    import io

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.scatter(100 * rows["gap"], rows["value"], color="#bbbbbb", s=12)
    means = rows.groupby("setting", sort=False)[["gap", "value"]].mean()
    axes.plot(100 * means["gap"], means["value"], marker="o", color="#4477aa", linewidth=1)
    for name, (gap, value) in means.iterrows():
        axes.annotate(str(name), (100 * gap, value), fontsize=7, xytext=(3, 3), textcoords="offset points")
    axes.set_xlabel(f"gap between groups of {attribute} in high-touch probability a week, points")
    axes.set_ylabel("true value (mean return of a member)")
    stream = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "frl"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()


def show(rows: pd.DataFrame, options: argparse.Namespace) -> None:
    """Prints the table and what the goal is."""
    title = f"{options.dataset}: {options.attribute}, {options.seeds} seeds, {options.eval_members:,} members"
    table = Table(title=title, title_justify="left")
    table.add_column("penalty", no_wrap=True)
    for name in ("gap, points", "of the gap", "need ratio", "high touch", "value", "cost (SE)", "cost, %"):
        table.add_column(name, justify="right", no_wrap=True)
    means = rows.groupby("setting", sort=False).mean()
    first = means.iloc[0]
    for name, row in means.iterrows():
        own = rows[rows["setting"] == name]
        table.add_row(
            str(name),
            f"{100 * row['gap']:.2f} ({100 * own['gap'].min():.2f} to {100 * own['gap'].max():.2f})",
            "" if row is first or not row["gap"] else f"1/{first['gap'] / row['gap']:.1f}",
            f"{row['need_ratio_low']:.2f} to {row['need_ratio_high']:.2f}",
            f"{row['high_touch']:.3f}",
            f"{row['value']:.4f}",
            f"{row['cost']:+.4f} ({row['cost_se']:.4f})",
            f"{100 * row['cost'] / abs(first['value']):+.2f}",
        )
    console = Console()
    if not console.is_terminal:
        console.width = 130
    console.print(table)
    console.print(
        "gap: largest less smallest group mean of the probability of high touch a week (least to most of the seeds).\n"
        "need ratio: high touch in relation to open needs, least to most favoured group; 1 is by need.\n"
        "cost: true value lost against weight 0, paired. Simulated members; not to guide care."
    )


def _runs(
    dataset: Any,
    evaluation: Evaluation,
    settings: Sequence[Setting],
    seed: int,
    options: argparse.Namespace,
    columns: Mapping[str, np.ndarray],
    out: Path,
    tell: Tell,
) -> dict[Setting, pd.DataFrame]:
    """Rollouts of all settings of one seed; trains only when one is missing."""
    files = {setting: out / f"{_fingerprint(dataset, setting, seed, options)}.parquet" for setting in settings}
    algorithm = None
    for setting, file in files.items():
        if file.exists():
            continue
        if algorithm is None:
            algorithm = _trained(dataset, seed, options, tell)
        algorithm.balance(weight=setting.weight, slack=setting.slack)
        what = f"seed {seed}, {setting.name}"
        table = roll_out(
            evaluation, algorithm.predict_probabilities, columns, lambda week, weeks, what=what: tell(what, week, weeks)
        )
        aside = file.with_name(f".{file.name}.writing")
        try:
            table.to_parquet(aside, index=False)
            aside.replace(file)
        except OSError as problem:
            raise UserError(f"can't write {file} ({problem.strerror}); free space or use --out") from problem
        finally:
            aside.unlink(missing_ok=True)
    return {setting: pd.read_parquet(file) for setting, file in files.items()}


def _trained(dataset: Any, seed: int, options: argparse.Namespace, tell: Tell) -> FactoredAWR:
    buffer = load_replay_buffer(dataset, groups=[options.attribute], need=LATENT_NEED)
    names = list(dataset.storage.metadata.get("frl_observation_names", []))
    config = dataclasses.replace(
        factored_awr(names, buffer.action_space),
        fairness=options.target,
        fairness_weight=0.0,
        high_touch=options.high_touch.split(","),
    )
    algorithm = config.create()
    train(
        algorithm,
        buffer,
        steps=options.steps,
        seed=seed,
        progress=lambda done: tell(f"seed {seed}, training", done, options.steps),
    )
    return algorithm


def _fingerprint(dataset: Any, setting: Setting, seed: int, options: argparse.Namespace) -> str:
    """Name of a rollout's file: everything its numbers depend on, the code of learner and simulator included."""
    digest = hashlib.sha256()
    root = Path(__file__).resolve().parent.parent
    for file in [*sorted((root / "frl_algos").glob("*.py")), *sorted((root / "frl_env").glob("*.py"))]:
        digest.update(file.read_bytes())
    facts = {
        "data": dataset.storage.metadata.get("frl_content_sha256"),
        "setting": dataclasses.asdict(setting),
        "seed": seed,
        "options": {name: getattr(options, name) for name in ("steps", "eval_members", "target", "attribute")},
        "high_touch": options.high_touch,
        "code": digest.hexdigest(),
    }
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:24]


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UserError(f"{option} takes numbers by comma, not {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="The frontier of true value and fairness.")
    parser.add_argument("--target", choices=("parity", "need"), default="parity", help="default parity")
    parser.add_argument("--attribute", default="race_ethnicity", help="whose groups (default race_ethnicity)")
    parser.add_argument("--high-touch", default="HOME_VISIT", help="levels by comma (default HOME_VISIT)")
    parser.add_argument("--weights", default=",".join(f"{w:g}" for w in WEIGHTS), help="of the penalty, by comma")
    parser.add_argument("--slacks", default=",".join(f"{s:g}" for s in SLACKS), help="gaps allowed, by comma")
    parser.add_argument("--dataset", default=DATASET, help=f"Minari id (default {DATASET})")
    parser.add_argument("--seeds", type=int, default=3, help="training seeds 0..N-1 (default 3)")
    parser.add_argument("--steps", type=int, default=3_000, help="updates a training (default 3000)")
    parser.add_argument("--eval-members", type=int, default=20_000, help="members of every rollout (default 20000)")
    parser.add_argument("--out", default="results/fairness", help="folder of results (default results/fairness)")
    return parser


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run_or_say(main)
