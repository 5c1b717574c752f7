"""Settings for every algorithm of the benchmark, by one rule from equally many candidates, without the truth.

    python benchmarks/tune.py

Each algorithm is trained once with each of its two settings, d3rlpy's (or the published) defaults among them. Of the
trained policies the one with the highest off-policy estimate on other logged members is taken
(`frl_algos.select_policy`); the simulator is not asked. The table goes into `benchmarks/tuned.json`, which the
benchmark reads and the leaderboard shows.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least
from benchmarks.sweep.results import Results, write_bytes
from benchmarks.sweep.runs import Job, plan_settings
from benchmarks.sweep.workers import default_processes, run_all
from benchmarks.training.algorithms import ALGORITHMS, TUNED, factored_awr, label
from frl_algos import load_replay_buffer, select_policy
from frl_algos.policies.stock import STOCK, StockAlgorithm
from frl_env.actions import ActionSpace
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.errors import UserError, unknown_name
from frl_env.terminal import progress_bar, run_or_say

TRAIN, VALIDATION = "frl/medicaid-synthetic-v0", "frl/medicaid-synthetic-validation-v0"


CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "factored_awr": ({}, {"td_lambda": 0.97}),
    "bc": ({}, {"learning_rate": 3e-4}),
    "cql": ({}, {"learning_rate": 3e-4}),
    "iql": ({}, {"expectile": 0.9}),
    "bcq": ({}, {"learning_rate": 3e-4}),
    "awac": ({}, {"lam": 0.3}),
    "dqn": ({}, {"learning_rate": 3e-4, "target_update_interval": 500}),
    "seed_awr": ({}, {"learning_rate": 1e-3}),
}
"""Settings tried for each algorithm, equally many: its defaults, and a change where they suit few updates least."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, estimates, chooses, writes."""
    parser = Parser(description="Choose settings by off-policy estimates on validation members.")
    parser.add_argument("--algo", default=",".join(CANDIDATES), help="names by comma; the others keep what they have")
    parser.add_argument("--dataset", default=TRAIN, help=f"to train on (default {TRAIN})")
    parser.add_argument("--validation", default=VALIDATION, help=f"to choose on (default {VALIDATION})")
    parser.add_argument("--steps", type=int, default=3_000, help="updates a run (default 3000)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a processor)")
    parser.add_argument("--out", type=Path, default=Path("results/tuning"), help="folder of trained candidates")
    parser.add_argument(
        "--write", type=Path, default=TUNED, help="where the settings go (default benchmarks/tuned.json)"
    )
    options = parser.parse_args(arguments)
    check_at_least(options, steps=1, jobs=1)
    names = options.algo.split(",")
    for name in names:
        if name not in CANDIDATES:
            raise unknown_name("algorithm", name, CANDIDATES)
    for dataset in (options.dataset, options.validation):
        check_dataset(dataset)
    results = Results(options.out)
    with results.lock():
        with progress_bar() as progress:
            data = ensure_dataset(options.validation, progress=progress)
            chosen_from = {name: CANDIDATES[name] for name in names}
            jobs = plan_settings(chosen_from, options.dataset, steps=options.steps, tell=progress)
        failures = run_all(jobs, results, processes=options.jobs or default_processes())
        if failures:
            raise UserError(f"{len(failures)} of {len(jobs)} runs failed ({failures[0].reason}); nothing was chosen")
        found = choose(jobs, results, data)
    command = f"python benchmarks/tune.py --dataset {options.dataset} --validation {options.validation}"
    before = json.loads(options.write.read_text())["algorithms"] if options.write.exists() else {}
    merged = {name: found.get(name, before.get(name)) for name in ALGORITHMS if name in found or name in before}
    content = {
        "rule": f"Of {len(next(iter(CANDIDATES.values())))} settings each, trained for {options.steps:,} updates on "
        f"`{options.dataset}`, the one with the highest off-policy estimate of the gain over the care team on "
        f"`{options.validation}`.",
        "command": f"{command} --steps {options.steps}",
        "algorithms": merged,
    }
    write_bytes(options.write, (json.dumps(content, indent=1) + "\n").encode())
    show(found)
    print(f"settings: {options.write}")


def choose(jobs: Sequence[Job], results: Results, validation: Any) -> dict[str, dict[str, Any]]:
    """For each algorithm what was tried, its estimates, and the settings with the highest."""
    buffer = load_replay_buffer(validation)
    told = factored_awr(validation.storage.metadata.get("frl_observation_names", []), buffer.action_space)
    candidates = {job.key: _load(results.folder / job.model, buffer.action_space) for job in jobs}
    with progress_bar() as progress:
        selection = select_policy(
            candidates,
            buffer,
            rng=np.random.default_rng(0),
            response=told.response,
            indications=told.indications,
            progress=lambda done, total: progress("estimating", done, total),
        )
    estimates = {candidate.name: candidate for candidate in selection.candidates}
    found: dict[str, dict[str, Any]] = {}
    for job in jobs:
        estimate = estimates[job.key]
        tried = {
            "settings": json.loads(job.settings),
            "estimate": estimate.difference,
            "standard_error": estimate.difference_error,
        }
        found.setdefault(job.algo, {"tried": []})["tried"].append(tried)
    for entry in found.values():
        entry["chosen"] = max(entry["tried"], key=lambda tried: tried["estimate"])["settings"]
    return found


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the table."""
    table = Table("algorithm", "settings", "estimated gain (SE)", "", title="tuning")
    for name, entry in found.items():
        for tried in entry["tried"]:
            settings = ", ".join(f"{key} {value}" for key, value in tried["settings"].items()) or "defaults"
            chosen = "chosen" if tried["settings"] == entry["chosen"] else ""
            table.add_row(label(name), settings, f"{tried['estimate']:+.4f} ({tried['standard_error']:.4f})", chosen)
    console = Console()
    if not console.is_terminal:
        console.width = 120
    console.print(table)


def _load(file: Path, space: ActionSpace) -> Any:
    from d3rlpy import load_learnable  # after frl_algos, which keeps what d3rlpy imports from talking

    algorithm = load_learnable(str(file))
    return StockAlgorithm(algorithm, space) if algorithm.config.get_type() in STOCK else algorithm


if __name__ == "__main__":
    run_or_say(main)
