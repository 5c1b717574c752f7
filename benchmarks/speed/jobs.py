"""Seconds and peak memory of whole jobs, each in a process of its own: datasets, audits, a week's list, large calls.

    python benchmarks/speed/jobs.py                           all of them
    python benchmarks/speed/jobs.py --jobs build-v0,audit

A job is the function that its command calls, from an empty folder to finished files, in a process that has loaded what
it needs and no more. Two are one call on arrays that are there: the week's allocation, and all estimates of a value.
Seconds are by the clock, so they are those of whatever else the machine did then.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, command_of
from benchmarks.result_records.figures import write_figure
from benchmarks.speed import large_inputs  # noqa: F401 - the figure depends on its code
from benchmarks.speed.importing import apart
from benchmarks.speed.timing import alone
from frl_algos import audit_fairness  # noqa: F401 - is measured: the figure depends on its code
from frl_env.capacity import allocate  # noqa: F401 - likewise
from frl_env.datasets import ensure_dataset  # noqa: F401 - likewise
from frl_env.errors import unknown_name
from frl_env.evaluation import evaluate  # noqa: F401 - likewise
from frl_env.terminal import run_or_say

PROGRAM = "benchmarks.speed.jobs"
AUDITED = "frl/medicaid-synthetic-v0"
LISTED, WEEKS = 200_000, 13
ALLOCATED = 100_000
EVALUATED = 5_000, 52
"""Members and their weeks."""

JOBS = {
    "build-v0": "`frl build frl/medicaid-synthetic-v0`: 5,000 members",
    "build-large-v0": "`frl build frl/medicaid-synthetic-large-v0`: 96,136 members",
    "audit-logged": "audit of logged decisions, 5,000 members",
    "audit-groups": "audit of a policy, 5,000 members, without its off-policy value",
    "audit": "audit of a policy, 5,000 members, with its off-policy value",
    "worklist": f"a week's list of {LISTED:,} members with {WEEKS} weeks each",
    "allocate": f"`allocate`: {ALLOCATED:,} members, 681 actions, one limit",
    "evaluate": "`evaluate`: {:,} members, {} weeks, 1,080 actions, 1,000 resamples".format(*EVALUATED),
}
COLUMNS = {"job": "{what}", "seconds": "{seconds:,.0f}", "peak memory, MB": "{megabytes:,.0f}"}


BUILD = (
    """
dataset, store = sys.argv[1:]
os.environ["MINARI_DATASETS_PATH"] = store
from frl_env.datasets import ensure_dataset
""",
    "ensure_dataset(dataset)",
)
"""Builds a dataset in an empty store."""

AUDIT = (
    """
policy, dataset, out, value, store = sys.argv[1:]
os.environ["MINARI_DATASETS_PATH"] = store
from frl_algos import audit_fairness
""",
    "audit_fairness(policy or None, dataset, out, value=value == 'with')",
)
"""Audits a policy, or logged decisions, on the dataset of a store."""

LIST = (
    "from benchmarks.speed.worklists import make_list",
    "make_list(*sys.argv[1:])",
)
"""A week's list; its policy is torch's, and so is what the file imports."""

ALLOCATE = (
    """
import numpy as np
from benchmarks.speed.large_inputs import care_gains
from frl_env.capacity import Capacity, allocate
gains, effort = care_gains(int(sys.argv[1]))
""",
    "allocate(gains, effort, Capacity(minutes=2.9), np.random.default_rng(1))",
)
"""Whom to contact this week, by gains that are there."""

EVALUATE = (
    """
import numpy as np
from benchmarks.speed.large_inputs import random_weeks
from frl_env.evaluation import evaluate
episodes, target, tilt = random_weeks(*map(int, sys.argv[1:]))
""",
    "evaluate(episodes, target, rng=np.random.default_rng(0), q_values=lambda observations: observations @ tilt)",
)
"""All estimators with their intervals; policy and Q are matrix products."""


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Seconds and megabytes of one job, what it needs being made before."""
    from benchmarks.speed import worklists
    from benchmarks.speed.auditing import write_policy_in

    store, policy, out = (str(folder / part) for part in ("store", "policy.safetensors", "out"))
    if name.startswith("build"):
        found = alone(*BUILD, f"frl/medicaid-synthetic-{name.removeprefix('build-')}", store)
    elif name == "worklist":
        table, listed = str(folder / "members.parquet"), str(folder / "worklist.html")
        apart(worklists.prepare, table, policy, LISTED, WEEKS)
        found = alone(*LIST, table, policy, listed)
    elif name == "allocate":
        found = alone(*ALLOCATE, str(ALLOCATED))
    elif name == "evaluate":
        found = alone(*EVALUATE, *map(str, EVALUATED))
    else:
        alone(*BUILD, AUDITED, store)
        apart(write_policy_in, store, AUDITED, policy)
        asked = "" if name == "audit-logged" else policy
        found = alone(*AUDIT, asked, AUDITED, out, "with" if name == "audit" else "without", store)
    return {"name": name, "what": JOBS[name], "seconds": found.seconds, "megabytes": found.peak}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the table."""
    parser = Parser(description="Seconds and peak memory of whole jobs.")
    parser.add_argument("--jobs", default=",".join(JOBS), help=f"by comma (default {','.join(JOBS)})")
    parser.add_argument("--figure", action="store_true", help="also write the table for pages; for all jobs only")
    options = parser.parse_args(arguments)
    names = options.jobs.split(",")
    for name in names:
        if name not in JOBS:
            raise unknown_name("job", name, list(JOBS))
    if options.figure and set(names) != {*JOBS}:
        parser.error("--figure is for all jobs; leave --jobs out")
    rows = []
    for name in names:
        folder = Path(tempfile.mkdtemp(prefix="frl-jobs-"))
        try:
            rows.append(measure(name, folder))
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{name}: {rows[-1]['seconds']:,.1f} s, {rows[-1]['megabytes']:,.0f} MB", flush=True)
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(cell.format(**row) for cell in COLUMNS.values()))
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    if options.figure:
        command = command_of(PROGRAM, parser, options)
        write_figure("speed-jobs", rows, columns=COLUMNS, command=command, programs=[PROGRAM])


if __name__ == "__main__":
    run_or_say(main)
