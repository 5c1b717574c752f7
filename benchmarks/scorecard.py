"""The scorecard: assembled as JSON, shown as tables."""

import importlib.metadata
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.algorithms import Run
from benchmarks.evaluation import SEED, paired_difference
from frl_env.parameters import VERSION
from frl_env.reference_returns import FLOOR, ceiling
from frl_env.rollout import Returns

PACKAGES = ("frl-medicaid", "gymnasium", "minari", "d3rlpy", "torch", "numpy", "pandas", "pyarrow")


def assemble(dataset: Any, references: Mapping[str, Returns], runs: Sequence[Run], eval_members: int) -> dict[str, Any]:
    """Everything that was measured, JSON-able.

    `value` is the mean undiscounted return of a member; `normalized_score` is 0 for no program and 100 for the
    best policy on the observations that search found; `difference_to_behaviour` is paired over members, under
    common random numbers.
    """
    behaviour = references["behaviour"]
    rows = []
    for run in runs:
        summary = run.returns.summary()
        difference, error = paired_difference(run.returns, behaviour)
        rows.append(
            run.facts()
            | summary
            | {
                "normalized_score": normalized_score(summary["value"], references),
                "difference_to_behaviour": difference,
                "difference_se": error,
            }
        )
    return {
        "dataset": dataset.spec.dataset_id,
        "environment": dataset.spec.env_spec.to_json(),
        "dataset_sha256": dataset.storage.metadata.get("frl_content_sha256"),
        "parameters_version": VERSION,
        "eval_members": eval_members,
        "eval_seed": SEED,
        "versions": versions(),
        "commit": commit(),
        "references": {
            name: returns.summary() | {"normalized_score": normalized_score(float(returns.value.mean()), references)}
            for name, returns in references.items()
        },
        "runs": rows,
    }


def normalized_score(value: float, references: Mapping[str, Returns]) -> float | None:
    """0 is no program, 100 the best policy on the observations (or the oracle); None where the two don't differ."""
    low, high = (float(references[name].value.mean()) for name in (FLOOR, ceiling(references)))
    return 100 * (value - low) / (high - low) if abs(high - low) > 1e-9 else None


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that matter."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def commit() -> str | None:
    """The commit of this checkout, with "+" when files were changed since; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=root, capture_output=True, text=True, check=True)
        changed = subprocess.run(["git", "status", "--porcelain"], cwd=root, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def show(card: Mapping[str, Any], console: Console | None = None) -> None:
    """Prints the scorecard."""
    out = console or Console()
    if not out.is_terminal:
        out.width = 120
    table = Table(title=f"{card['dataset']}: true values on {card['eval_members']:,} members", title_justify="left")
    table.add_column("policy", no_wrap=True)
    for name in ("value", "SE", "score", "vs behaviour", "ED", "IP", "contacts", "minutes"):
        table.add_column(name, justify="right")
    for name, row in card["references"].items():
        table.add_row(name, *_cells(row))
    table.add_section()
    for row in card["runs"]:
        table.add_row(f"{row['algo']} {row['mode']}, seed {row['seed']}", *_cells(row))
    out.print(table)
    out.print(
        "value: mean return of a member (minus ED visits and hospital stays).\n"
        "score: 0 no program, 100 best observation-only.\n"
        "vs behaviour: paired difference (its standard error). ED, IP: per 1,000 member-months.\n"
        "contacts: attempts a week. minutes: staff minutes a week. Simulated members; not to guide care."
    )
    trained = {(row["algo"], row["seed"]): row for row in card["runs"]}
    speed = Table(title="training", title_justify="left")
    for name in ("run", "updates", "updates/s", "samples/s", "wall s", "peak MB"):
        speed.add_column(name, justify="left" if name == "run" else "right")
    for (algo, seed), row in trained.items():
        speed.add_row(
            f"{algo}, seed {seed}",
            f"{row['steps']:,}",
            f"{row['updates_per_s']:.0f}",
            f"{row['samples_per_s']:,.0f}",
            f"{row['wall_s']:.0f}",
            f"{row['peak_rss_mb']:,.0f}",
        )
    out.print(speed)


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    score = row["normalized_score"]
    if "difference_to_behaviour" in row:
        against = f"{row['difference_to_behaviour']:+.4f} ({row['difference_se']:.4f})"
    else:
        against = ""
    return (
        f"{row['value']:.3f}",
        f"{row['se']:.3f}",
        "-" if score is None else f"{score:.1f}",
        against,
        f"{row['ed_per_1000_member_months']:.1f}",
        f"{row['ip_per_1000_member_months']:.1f}",
        f"{row['contacts_per_week']:.3f}",
        f"{row['effort_minutes_per_week']:.1f}",
    )
