"""Seconds and peak memory of whole jobs, each in a process of its own: datasets built, audits, a week's list.

    python benchmarks/speed/jobs.py                           all of them, about a quarter of an hour
    python benchmarks/speed/jobs.py --jobs build-v0,audit

A job is the function that its command calls, from an empty folder to finished files. Seconds are by the clock, so they
are those of whatever else the machine did then.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, command_of
from benchmarks.result_records.figures import write_figure
from benchmarks.speed.importing import apart
from frl_env.datasets import ensure_dataset
from frl_env.errors import unknown_name
from frl_env.terminal import run_or_say

PROGRAM = "benchmarks.speed.jobs"
AUDITED = "frl/medicaid-synthetic-v0"
LISTED, WEEKS = 200_000, 13

JOBS = {
    "build-v0": "`frl build frl/medicaid-synthetic-v0`: 5,000 members",
    "build-large-v0": "`frl build frl/medicaid-synthetic-large-v0`: 96,136 members",
    "audit-logged": "audit of logged decisions, 5,000 members",
    "audit-groups": "audit of a policy, 5,000 members, without its off-policy value",
    "audit": "audit of a policy, 5,000 members, with its off-policy value",
    "worklist": f"a week's list of {LISTED:,} members with {WEEKS} weeks each",
}
COLUMNS = {"job": "{what}", "seconds": "{seconds:,.0f}", "peak memory, MB": "{megabytes:,.0f}"}


# A job's process imports this file: what only some need is imported in the functions, or all would be as large.


def build(dataset_id: str, store: str) -> None:
    """Builds a dataset in an empty store."""
    os.environ["MINARI_DATASETS_PATH"] = store
    ensure_dataset(dataset_id)


def audit(store: str, policy: str | None, out: str, value: bool) -> None:
    """Audits a policy, or logged decisions, on the dataset of a store."""
    from frl_algos import audit_fairness

    os.environ["MINARI_DATASETS_PATH"] = store
    audit_fairness(None if policy is None else Path(policy), AUDITED, Path(out), value=value)


def measure(name: str, folder: Path) -> dict[str, Any]:
    """Seconds and megabytes of one job, what it needs being made before."""
    from benchmarks.speed import worklists
    from benchmarks.speed.auditing import write_policy_in

    store, policy, out = (str(folder / part) for part in ("store", "policy.safetensors", "out"))
    if name.startswith("build"):
        found = apart(build, f"frl/medicaid-synthetic-{name.removeprefix('build-')}", store)
    elif name == "worklist":
        table, listed = str(folder / "members.parquet"), str(folder / "worklist.html")
        apart(worklists.prepare, table, policy, LISTED, WEEKS)
        found = apart(worklists.make_list, table, policy, listed)
    else:
        apart(build, AUDITED, store)
        apart(write_policy_in, store, AUDITED, policy)
        found = apart(audit, store, None if name == "audit-logged" else policy, out, name == "audit")
    return {"name": name, "what": JOBS[name], "seconds": found[0], "megabytes": found[1]}


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
