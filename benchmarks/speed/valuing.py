"""How long values and an audit of many members take, and how much memory.

    python benchmarks/speed/valuing.py --members 5000,20000
    python benchmarks/speed/valuing.py --dataset frl/medicaid-synthetic-large-v0
    python benchmarks/speed/valuing.py --members 5000 --before COMMIT

A FactoredAWR policy (untrained: that costs the same) is valued by every estimator (`evaluate_policy`), then audited
(`audit_fairness`), from its file to the files written. Every figure is of a process of its own. With `--before`, the
packages as they were at that commit do the same on the same members, in turn with today's.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.command_line import Parser, check_at_least, check_writable, command_of
from benchmarks.result_records.checkout import checked_out
from benchmarks.result_records.figures import write_figure
from benchmarks.result_records.study import show
from benchmarks.speed.auditing import write_policy
from benchmarks.speed.timing import alone
from frl_algos import audit_fairness, evaluate_policy  # noqa: F401 - are measured: the figure depends on their code
from frl_env.datasets import Recipe, check_dataset, ensure_dataset
from frl_env.errors import UserError
from frl_env.terminal import progress_bar, run_or_say

LOAD = "import inspect; from frl_algos import audit_fairness, evaluate_policy; policy, dataset, output = sys.argv[1:]"
WORK = {
    "values": """
known = inspect.signature(evaluate_policy).parameters
evaluate_policy(policy, dataset, output, **({"sensitivity": False} if "sensitivity" in known else {}))
""",
    "audit": "audit_fairness(policy, dataset, output)",
}
"""What is measured; it runs on the packages of any commit that have both."""

PROGRAM = "benchmarks.speed.valuing"
COLUMNS = {
    "job": "{job}",
    "seconds": "{seconds:,.0f}",
    "of the processor": "{processor:,.0f}",
    "peak memory, MB": "{peak:,.0f}",
}


def measured(what: str, packages: Path, policy: Path, dataset_id: str) -> dict[str, float]:
    """Seconds, processor seconds and peak memory in MB of one of `WORK`, with the packages of some folder.

    Raises:
        UserError: If it fails.
    """
    with tempfile.TemporaryDirectory(prefix="frl-valuing-") as output:
        took = alone(LOAD, WORK[what], str(policy.resolve()), dataset_id, f"{output}/out", packages=packages)
    return {"seconds": took.seconds, "processor": took.processor, "peak": took.peak}


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the members, values and audits, and prints the figures."""
    parser = Parser(description="Time and memory of values and an audit of many members.")
    parser.add_argument("--members", default="5000", help="by comma, simulated (default 5000)")
    parser.add_argument("--dataset", help="these members instead, by Minari id")
    parser.add_argument("--folder", default="results/valuing", help="for what is made (default results/valuing)")
    parser.add_argument("--before", help="a commit whose packages do the same, for comparison")
    parser.add_argument("--repetitions", type=int, default=1, help="of each, in turn (default 1)")
    parser.add_argument("--figure", action="store_true", help="also write the table for pages")
    options = parser.parse_args(arguments)
    check_at_least(options, repetitions=1)
    if not all(size.isdigit() and int(size) >= 100 for size in options.members.split(",")):
        raise UserError(f"--members must be whole numbers from 100 on, by comma, not {options.members!r}")
    if options.dataset is not None:
        check_dataset(options.dataset)
    folder = Path(options.folder)
    check_writable(folder)
    subjects = {"today": Path(__file__).resolve().parents[2]}
    if options.before:
        subjects = {options.before: checked_out(options.before, folder / "before")} | subjects
    rows = []
    for dataset_id in [options.dataset] if options.dataset else [made(int(n)) for n in options.members.split(",")]:
        policy = folder / "policy.safetensors"
        write_policy(dataset_id, policy)
        members = len(ensure_dataset(dataset_id))
        for what in WORK:
            found: dict[str, list[dict[str, float]]] = {name: [] for name in subjects}
            for _ in range(options.repetitions):
                for name, packages in subjects.items():
                    found[name].append(measured(what, packages, policy, dataset_id))
            for packages_of, each in found.items():
                own = {key: float(np.median([one[key] for one in each])) for key in each[0]}
                when = "" if packages_of == "today" else f", at {packages_of}"
                rows.append({"job": f"{what} of {members:,} members{when}"} | own)
    show(rows, COLUMNS)
    if options.figure:
        command = command_of(PROGRAM, parser, options)
        write_figure("speed-values", rows, columns=COLUMNS, command=command, programs=[PROGRAM])
    if options.before:
        shutil.rmtree(subjects[options.before])


def made(members: int) -> str:
    """Id of a simulated dataset of so many members, built where it is missing."""
    recipe = Recipe(dataset_id=f"valuing/members-{members}-v0", description="to be valued", members=members, seed=7)
    with progress_bar() as progress:
        ensure_dataset(recipe, progress=progress)
    return recipe.dataset_id


if __name__ == "__main__":
    run_or_say(main)
