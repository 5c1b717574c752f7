"""Train algorithms on a dataset, roll them out on the simulator, and print a scorecard with true values.

    python benchmarks/run.py --algo factored_awr

It builds the dataset when it is missing, does not repeat runs that are finished, and goes on where it was stopped.
`--help` lists the options.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from benchmarks.command_line import Parser, check_at_least, check_folder_can_be_made
from benchmarks.policy_scoring.logged_values import check_valuable, validation_dataset
from benchmarks.policy_scoring.true_values import has_simulator
from benchmarks.sweep import scorecard, scorecard_tables
from benchmarks.sweep.jobs import Job, plan
from benchmarks.sweep.results import Results
from benchmarks.sweep.workers import Failure, check_scheduler, default_processes, run_all
from benchmarks.training.algorithms import ALGORITHMS, REFERENCES, fitting, parse_names
from benchmarks.training.checked_options import check_said
from benchmarks.training.column_roles import OPTION, Told, add_options, options_said, told_of
from frl_env.budget_references import budgets_without_promises
from frl_env.datasets import check_dataset, check_partners, ensure_dataset
from frl_env.errors import UserError, check_number
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of
from frl_env.terminal import progress_bar, run_or_say

DATASET = "frl/medicaid-synthetic-v0"
QUICK_DATASET = "frl/medicaid-synthetic-small-v0"

LEAST_MEMBERS = 20
"""Members of a rollout; of fewer, groups are empty and nothing can be said of a difference."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and runs the benchmark."""
    options = _parser().parse_args(arguments)
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # for --algo module:Name of a file in this folder, as `python -m` finds it
    names = [name for name in parse_names(options.algo) if name not in REFERENCES]
    older = parse_names(options.older) if options.older else []
    strangers = [name for name in older if name not in names]
    if strangers:
        raise UserError(f"--older names {strangers[0]!r}, which is not among the algorithms; add it to --algo")
    check_at_least(options, seeds=1, steps=1, eval_members=LEAST_MEMBERS, jobs=1)
    if options.action_rate is not None:
        check_number("--action-rate", options.action_rate, low=1e-6, high=1.0)
    said_of_columns = options_said(options)
    dataset_id = (QUICK_DATASET if options.quick else DATASET) if options.dataset is None else options.dataset
    check_dataset(dataset_id)
    check_said(dataset_id, said_of_columns)
    if options.validation is not None:
        check_dataset(options.validation)
    budgets_without_promises(options.budget)
    if options.scheduler:
        check_scheduler(options.scheduler)
    out = Path(options.out or _folder(dataset_id, quick=options.quick))
    check_folder_can_be_made(out)
    with progress_bar() as progress:
        data = ensure_dataset(dataset_id, progress=progress)
        valued = options.ope or options.validation is not None or not has_simulator(data)
        validation = validation_dataset(dataset_id, options.validation) if valued else ""
        if validation:
            check_partners(data, ensure_dataset(validation, progress=progress))
        known = told_of(data, said_of_columns)
        if validation:
            check_valuable(data, validation, said_of_columns)
        names, left_out = fitting(options.algo, names, action_space_of(data), known)
        jobs = plan(
            names,
            dataset_id,
            seeds=options.seeds,
            steps=options.steps or (300 if options.quick else 3_000),
            eval_members=options.eval_members or (1_000 if options.quick else 30_000),
            validation=validation,
            budget=options.budget,
            said=said_of_columns,
            action_rate=options.action_rate,
            tell=progress,
        )
    results = Results(out)
    with results.lock():
        print(_plan_in_words([*names], dataset_id, jobs))
        # Of the benchmark's own members everything is known; their columns are assumptions only where options say so.
        said_for_own = has_simulator(data) and not any(who.startswith(OPTION) for who in known.sources.values())
        if not said_for_own:
            show_told(known, options.action_rate, has_null=bool(action_space_of(data).contact_factors))
        for sentence in left_out:
            print(sentence)
        planned, jobs = jobs, [results.older(job) if job.algo in older else job for job in jobs]
        taken = [job.algo for wanted, job in zip(planned, jobs, strict=True) if job != wanted]
        kept = sum(results.has(job) for job in jobs)
        failures = run_all(jobs, results, processes=options.jobs or default_processes(), scheduler=options.scheduler)
        missing = {failure.job for failure in failures}
        outcomes = [results.get(job) for job in jobs if job not in missing]
        said = [f"{failure.job.name}: {failure.reason}" for failure in failures]
        if any(failure.job.algo in REFERENCES for failure in failures):
            raise _failed(failures, jobs, "without references there is no scorecard")
        if failures and all(outcome.job.algo in REFERENCES for outcome in outcomes):
            raise _failed(failures, jobs, "there is nothing to score")
        card = scorecard.assemble(data, outcomes, command=_command(arguments), failures=said, older=taken)
        card |= {"told": known.to_json() | {"action_rate": options.action_rate}, "left_out": left_out}
        results.write_scores(card, scorecard.details(outcomes))
    scorecard_tables.show(card)
    again = f"; {kept} of {len(jobs)} runs were there from before (--out elsewhere runs them anew)" if kept else ""
    of = f", of the {len(outcomes)} runs that did not fail" if failures else ""
    print(f"\nscorecard{of}: {results.folder / 'scorecard.json'}{again}")
    if failures:
        raise _failed(failures, jobs, "the scorecard lacks them")
    print(f"next: python benchmarks/report.py {shlex.quote(str(results.folder))} -o report.html")


def _failed(failures: Sequence[Failure], jobs: Sequence[Job], so: str) -> UserError:
    """Error for runs that failed: which, why, and what follows of it.

    Args:
        failures: All of them.
        jobs: The sweep.
        so: What follows.
    """
    first, names = failures[0], [failure.job.name for failure in failures]
    others = f"; so did {', '.join(names[1:4])}{f' and {len(names) - 4} more' if len(names) > 4 else ''}"
    strange = any(failure.job.algo not in (*ALGORITHMS, *REFERENCES) for failure in failures)
    theirs = "; check_algorithm says what an algorithm must keep to (docs/own_algorithm.md)" if strange else ""
    return UserError(
        f"{len(failures)} of {len(jobs)} runs failed ({names[0]}: {first.reason}){others if len(names) > 1 else ''}; "
        f"{so}; the same command tries them again{theirs}"
    )


def _plan_in_words(names: Sequence[str], dataset_id: str, jobs: Sequence[Job]) -> str:
    """What is about to be done, in a line."""
    trained = [job for job in jobs if job.algo not in REFERENCES]
    if not trained:
        return f"references on {dataset_id}"
    seeds = len({job.seed for job in trained})
    several = f"{seeds} seeds" if seeds != 1 else "1 seed"
    what = f"{', '.join(names)} on {dataset_id}: {several}, {trained[0].steps:,} updates a run"
    members = trained[0].eval_members
    return f"{what}, each policy tried on {members:,} simulated members" if members else what


def show_told(known: Told, action_rate: float | None, *, has_null: bool) -> None:
    """Says what is assumed of the columns, and how often FactoredAWR acts where it can leave it.

    Args:
        known: Of the columns.
        action_rate: Share of member-weeks in which it is to act.
        has_null: Whether an action does nothing.
    """
    who = "options or [meaning] say otherwise" if known.of_care else "options say otherwise"
    print(f"assumed of the columns ({who}):")
    weeks, others = ("member-weeks", "the care team") if known.of_care else ("steps", "the log")
    rate = f"as often as responses are most frequent, or as {others}" if action_rate is None else f"{action_rate:g}"
    for line in (*known.lines(), *([f"share of {weeks} that FactoredAWR acts in: {rate}"] if has_null else [])):
        print(f"  {line}")


def _folder(dataset_id: str, *, quick: bool) -> str:
    """Default results folder: trials and other datasets get their own, apart from the benchmark's."""
    if quick:
        return "results-quick"
    return "results" if dataset_id == DATASET else f"results-{dataset_id.replace('/', '-')}"


def _command(arguments: Sequence[str] | None) -> str:
    """The command line that gives these results, wherever they are written and however many run at once."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    kept, skip = [], False
    for argument in given:
        name, _, value = argument.partition("=")
        if skip or name in ("--out", "--jobs", "--scheduler"):
            skip = not skip and not value
            continue
        kept.append(argument)
    return " ".join(["python benchmarks/run.py", *map(shlex.quote, kept)])


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description="Train on a dataset, score on the simulator.")
    parser.add_argument(
        "--algo",
        default="factored_awr",
        help=f"a name, several by comma, or all: {', '.join(ALGORITHMS)}; the name of an installed package's "
        "algorithm; or package.module:Name",
    )
    parser.add_argument("--dataset", help=f"Minari id (default {DATASET})")
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0..N-1, of training and of the data (default 1)")
    parser.add_argument("--steps", type=int, help="updates a run (default 3000)")
    parser.add_argument("--eval-members", type=int, help="members of every rollout (default 30000)")
    parser.add_argument(
        "--budget",
        default="team,none",
        help="staff minutes a member-week within which policies are scored, by comma: numbers, team (the care team's "
        "own), none (no limit, always scored), capacity files (.toml); default team,none",
    )
    parser.add_argument(
        "--ope",
        action="store_true",
        help="value policies by other members' logged weeks, too (always done where there is no simulator)",
    )
    parser.add_argument("--validation", help="Minari id of those members (default: ...-validation-v..., if it exists)")
    add_options(parser)
    parser.add_argument(
        "--action-rate",
        type=float,
        metavar="SHARE",
        help="share of member-weeks in which FactoredAWR acts (default: as often as responses are most frequent)",
    )
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one a processor)")
    parser.add_argument("--scheduler", help="address of a Dask scheduler (tcp://...) to send the runs to instead")
    parser.add_argument(
        "--out",
        help="folder of results; finished runs in it are not repeated (default: results; results-quick, and "
        "results-<id> for other datasets)",
    )
    parser.add_argument(
        "--older",
        metavar="NAMES",
        help="algorithms whose finished runs by earlier code in the folder are taken as they are, and marked; by "
        "default a change to code that trains or scores one makes it another run",
    )
    parser.add_argument("--quick", action="store_true", help="a smoke test in under a minute: small dataset, few steps")
    return parser


if __name__ == "__main__":
    run_or_say(main)
