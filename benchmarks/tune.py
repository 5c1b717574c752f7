"""Settings for every algorithm of the benchmark, by one rule from equally many candidates, without the truth.

    python benchmarks/tune.py

Each algorithm is trained with each of its six settings on several training seeds. Every trained policy is valued by
other logged members (`frl_algos.select_policy`); the simulator is not asked. Settings whose estimates lie closer than
their noise can't be told apart, so the choice is the one-standard-error rule: the first of the list, which begins with
the defaults, whose estimate is within one standard error of the highest. The table goes into
`benchmarks/training/tuned.json`, which the benchmark reads and the leaderboard shows.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_folder_can_be_made
from benchmarks.policy_scoring.logged_values import check_valuable
from benchmarks.result_records.kept_results import write_whole
from benchmarks.sweep.jobs import Job, plan_settings
from benchmarks.sweep.results import Results
from benchmarks.sweep.workers import default_processes, run_all
from benchmarks.training.algorithms import ALGORITHMS, TUNED, label
from benchmarks.training.checked_options import check_said
from benchmarks.training.column_roles import Told, add_options, options_said, told_of
from frl_algos import load_replay_buffer, select_policy
from frl_algos.model_files.policy_files import load_policy
from frl_env.datasets import check_dataset, check_partners, ensure_dataset
from frl_env.errors import UserError, shorten, unknown_name
from frl_env.files.output_paths import check_apart, check_folder
from frl_env.terminal import progress_bar, run_or_say

TRAIN, VALIDATION = "frl/medicaid-synthetic-v0", "frl/medicaid-synthetic-validation-v0"
SAID = ("response", "indications", "need_factor", "skill_factor", "high_touch")
"""Options of `benchmarks.training.column_roles`."""

RATES = tuple({"learning_rate": rate} if rate else {} for rate in (0, 1e-4, 3e-4, 3e-3, 1e-2, 3e-2))
AWR_CANDIDATES = (
    {}, {"td_lambda": 0.97}, {"td_lambda": 0.8}, {"learning_rate": 3e-4}, {"learning_rate": 3e-3},
    {"support_threshold": 1e-4},
)  # fmt: skip

IQL_CANDIDATES = (
    {}, {"expectile": 0.9}, {"expectile": 0.5}, {"beta": 10.0}, {"beta": 30.0}, {"learning_rate": 1e-3}
)  # fmt: skip

CANDIDATES: dict[str, tuple[dict[str, Any], ...]] = {
    "factored_awr": AWR_CANDIDATES,
    "factored_awr_told_nothing": AWR_CANDIDATES,
    "discrete_bc": RATES,
    "discrete_bc_default": RATES,
    "cql": (
        {}, {"learning_rate": 3e-4}, {"alpha": 0.3}, {"alpha": 3.0}, {"target_update_interval": 30},
        {"target_update_interval": 300},
    ),
    "iql": (
        {}, {"expectile": 0.9}, {"expectile": 0.5}, {"weight_temp": 1.0}, {"weight_temp": 10.0}, {"learning_rate": 1e-3}
    ),
    "bcq": (
        {}, {"learning_rate": 3e-4}, {"action_flexibility": 0.1}, {"action_flexibility": 0.6}, {"beta": 0.0},
        {"target_update_interval": 300},
    ),
    "awac": ({}, {"lam": 0.3}, {"lam": 3.0}, {"learning_rate": 1e-3}, {"learning_rate": 1e-4}, {"tau": 0.02}),
    "dqn": (
        {}, {"learning_rate": 3e-4}, {"learning_rate": 1e-3}, {"learning_rate": 1e-5}, {"target_update_interval": 30},
        {"target_update_interval": 300},
    ),
    "factored_iql": IQL_CANDIDATES,
    "autoregressive_iql": IQL_CANDIDATES,
    "decoupled_cql": (
        {}, {"learning_rate": 1e-3}, {"alpha": 0.3}, {"alpha": 3.0}, {"target_update_interval": 30},
        {"target_update_interval": 300},
    ),
    "seed_awr": (
        {}, {"learning_rate": 1e-3}, {"learning_rate": 3e-4}, {"temperature": 0.3}, {"temperature": 3.0},
        {"max_weight": 5.0},
    ),
}  # fmt: skip
"""Settings tried for each algorithm, equally many: its defaults first, then one change at a time."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains, estimates, chooses, writes."""
    parser = Parser(description="Choose settings by off-policy estimates on validation members.")
    parser.add_argument("--algo", default=",".join(CANDIDATES), help="names by comma; the others keep what they have")
    parser.add_argument("--dataset", default=TRAIN, help=f"to train on (default {TRAIN})")
    parser.add_argument("--validation", default=VALIDATION, help=f"to choose on (default {VALIDATION})")
    parser.add_argument("--steps", type=int, default=3_000, help="updates a run (default 3000)")
    parser.add_argument("--seeds", type=int, default=2, help="training seeds of each setting (default 2)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a processor)")
    parser.add_argument("--out", type=Path, default=Path("results/tuning"), help="folder of trained candidates")
    parser.add_argument(
        "--write", type=Path, default=TUNED, help="where the settings go (default benchmarks/training/tuned.json)"
    )
    add_options(parser)
    options = parser.parse_args(arguments)
    check_at_least(options, steps=1, seeds=1, jobs=1)
    said = options_said(options)
    check_apart(write=options.write, out=options.out / "runs")  # settings may lie in the folder
    names = options.algo.split(",")
    for name in names:
        if name not in CANDIDATES:
            raise unknown_name("algorithm", name, CANDIDATES)
    for dataset in (options.dataset, options.validation):
        check_dataset(dataset)
        check_said(dataset, said)
    command, rule = _command(options), _rule(options)
    kept = _settings_of(options.write)
    before = kept.get("algorithms", {})
    if set(before) - set(names) and (kept.get("rule"), kept.get("command")) != (rule, command):
        raise UserError(
            f"{options.write} holds settings of other algorithms that were chosen in another way, by "
            f"{shorten(str(kept.get('command')), 300)}; choose as it did, or another file with --write"
        )
    check_folder_can_be_made(options.out)
    with progress_bar() as progress:
        data, training = (ensure_dataset(name, progress=progress) for name in (options.validation, options.dataset))
        check_partners(training, data)
        check_valuable(training, options.validation, said)
        chosen_from = {name: CANDIDATES[name] for name in names}
        known = told_of(data, said)
        jobs = plan_settings(
            chosen_from, options.dataset, seeds=options.seeds, steps=options.steps, said=said, tell=progress
        )
    results = Results(options.out)
    with results.lock():
        print("\n".join(["assumed of the columns:", *(f"  {line}" for line in known.lines())]))
        failures = run_all(jobs, results, processes=options.jobs or default_processes())
        if failures:
            raise UserError(f"{len(failures)} of {len(jobs)} runs failed ({failures[0].reason}); nothing was chosen")
        found = choose(jobs, results, data, known)
    merged = {name: found.get(name, before.get(name)) for name in ALGORITHMS if name in found or name in before}
    content = {"rule": rule, "command": command, "algorithms": merged}
    write_whole(options.write, (json.dumps(content, indent=1) + "\n").encode())
    show(found)
    print(f"settings: {options.write}")


def _rule(options: Any) -> str:
    return (
        f"{len(next(iter(CANDIDATES.values())))} settings of each algorithm were tried. Each was trained for "
        f"{options.steps:,} updates on `{options.dataset}`, with {options.seeds} "
        f"{'seed' if options.seeds == 1 else 'seeds'}. The members of `{options.validation}` valued it off-policy. "
        "Some settings gain within one standard error of the highest estimate. The first of these is taken, defaults "
        "before others."
    )


def _command(options: Any) -> str:
    """The command of all algorithms, with what was said of the columns."""
    names = ("dataset", "validation", "steps", "seeds", *SAID)
    given = {name.replace("_", "-"): getattr(options, name) for name in names}
    parts = [part for name, value in given.items() if value is not None for part in (f"--{name}", str(value))]
    return f"python benchmarks/tune.py {shlex.join(parts)}"


def _settings_of(file: Path) -> dict[str, Any]:
    """What a file of settings holds; nothing where there is none.

    Raises:
        UserError: If what has the name is no such file, or it can't be written.
    """
    try:
        check_folder(file)
        if not file.exists():
            return {}
        found = json.loads(file.read_text())
        if isinstance(found["algorithms"], dict):
            return found
    except OSError as problem:
        raise UserError(f"can't write {shorten(str(file))} ({problem.strerror}); choose another file") from None
    except (ValueError, KeyError, TypeError, RecursionError) as problem:
        if isinstance(problem, UserError):
            raise
    raise UserError(f"{file} exists already and holds no settings of this command; choose another file with --write")


def choose(
    jobs: Sequence[Job], results: Results, validation: Any, known: Told | None = None
) -> dict[str, dict[str, Any]]:
    """What was tried of each algorithm, its estimates, and the settings that `one_standard_error` takes.

    Args:
        jobs: Finished runs, with all seeds of all settings.
        results: Where their models are.
        validation: Dataset of the members who value them.
        known: What its columns are taken for; asked of the dataset when None.

    Returns:
        By algorithm: `tried`, an entry a setting with `settings`, `estimate`, `standard_error` and `policies`, the
        number of seeds; and `chosen`, settings.
    """
    buffer = load_replay_buffer(validation)
    told = known or told_of(validation)
    candidates = {job.key: load_policy(results.model(job), buffer.action_space) for job in jobs}
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
    for name in dict.fromkeys(job.algo for job in jobs):
        own = [job for job in jobs if job.algo == name]
        tried = []
        for settings in dict.fromkeys(job.settings for job in own):
            each = [estimates[job.key] for job in own if job.settings == settings]
            gains = [estimate.difference for estimate in each]
            # The members are the same for every seed, so that more seeds don't make their part of the noise smaller.
            error = np.hypot(each[0].difference_error, np.std(gains, ddof=1) / len(gains) ** 0.5 if gains[1:] else 0)
            tried.append(
                {
                    "settings": json.loads(settings),
                    "estimate": float(np.mean(gains)),
                    "standard_error": float(error),
                    "policies": len(gains),
                }
            )
        found[name] = {"tried": tried, "chosen": one_standard_error(tried)}
    return found


def one_standard_error(tried: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Settings of the first entry whose estimate is within one standard error of the highest.

    Args:
        tried: Each with `settings`, `estimate` and `standard_error`, the simplest first.
    """
    best = max(tried, key=lambda entry: entry["estimate"])
    least = best["estimate"] - best["standard_error"]
    return dict(next(entry["settings"] for entry in tried if entry["estimate"] >= least))


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


if __name__ == "__main__":
    run_or_say(main)
