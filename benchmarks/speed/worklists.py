"""How long a week's list takes for a large caseload, and how much memory, by its parts.

    python benchmarks/speed/worklists.py --members 200000 --weeks 13

Members are simulated, and repeated under other identifiers until there are enough. A policy is trained on some of them.
The list is then made by the functions that `frl worklist` calls, in a process of its own.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.command_line import Parser, check_at_least, check_writable
from benchmarks.speed import importing
from benchmarks.speed.timing import alone
from benchmarks.training.simulated import buffer_of
from benchmarks.training.train import train
from frl_algos import FactoredAWRConfig, load_model, save_model
from frl_env.capacity import Capacity, Effort
from frl_env.care_effort import care_effort
from frl_env.datasets import collect
from frl_env.parameters import preset
from frl_env.terminal import run_or_say
from frl_env.worklist import make_worklist, read_caseload, write_worklist

MINUTES = 2.9
"""Staff minutes a member-week, about what the simulated care team spends."""

EXPLORE = 0.1
"""Share of the minutes that is drawn by lot."""


def write_caseload(file: Path, members: int, weeks: int) -> int:
    """Writes the last weeks of so many members, week by week; returns the number of rows."""
    base = importing.simulate(0)
    base = base[base["week"] < weeks]
    staying = base.loc[base["week"] == weeks - 1, "member"].to_numpy()
    base = base[base["member"].isin(staying)].sort_values(["week", "member"], ignore_index=True)
    copies = -(-members // len(staying))
    names = np.random.default_rng(0).permutation(copies * importing.SIMULATED)
    rows, writer = 0, None
    for week in range(weeks):
        own = base[base["week"] == week]
        for copy in range(copies):
            part = own.iloc[: min(len(own), members - copy * len(staying))]
            who = names[part["member"].to_numpy() + copy * importing.SIMULATED]
            part = part.drop(columns="member").assign(member_id=[f"M{number:08d}" for number in who])
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
            rows += len(table)
    if writer is not None:
        writer.close()
    return rows


def train_policy(file: Path) -> None:
    """Trains a policy that offers gains on simulated members, and keeps it."""
    episodes = collect(preset(), members=importing.SIMULATED, seed=(0, 1), horizon=26)
    buffer = buffer_of(episodes)
    buffer.effort = care_effort(preset())
    algorithm = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider").create()
    train(algorithm, buffer, steps=10, seed=0)
    save_model(algorithm, file)


def make_list(table: str, model: str, out: str) -> None:
    """The list, with the seconds that each part took."""
    before = time.perf_counter()

    def told(what: str) -> None:
        nonlocal before
        print(f"  {what}: {time.perf_counter() - before:.1f} s", flush=True)
        before = time.perf_counter()

    policy = load_model(model)
    told("model")
    caseload = read_caseload(table, policy)
    told(f"{len(caseload):,} members read")
    effort = Effort.from_json(policy.config.effort, policy.action_space)
    rng = np.random.default_rng(0)
    worklist = make_worklist(caseload, policy, effort, Capacity(minutes=MINUTES), rng, explore=EXPLORE)
    told(f"{len(worklist.rows):,} listed")
    write_worklist(worklist, Path(out), force=True)
    told("written")
    print(f"  processor: {time.process_time():.1f} s", flush=True)


def prepare(table: str, model: str, members: int, weeks: int) -> None:
    """Table and policy; apart, because a new process inherits the peak memory of its parent."""
    rows = write_caseload(Path(table), members, weeks)
    train_policy(Path(model))
    print(f"{rows:,} rows of {members:,} members, {Path(table).stat().st_size / 1e6:,.0f} MB of Parquet", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes table and policy, then the list, and prints seconds and memory."""
    parser = Parser(description="Time and memory of a week's list for a large caseload.")
    parser.add_argument("--members", type=int, default=200_000, help="default 200000")
    parser.add_argument("--weeks", type=int, default=13, help="weeks of each member (default 13)")
    parser.add_argument("--folder", default="results/worklists", help="for table and list (default results/worklists)")
    options = parser.parse_args(arguments)
    check_at_least(options, members=100, weeks=1)
    folder = Path(options.folder).resolve()
    check_writable(folder)
    table, model, out = (str(folder / name) for name in ("members.parquet", "policy.safetensors", "worklist.html"))
    importing.apart(prepare, table, model, options.members, options.weeks)
    load, work = "from benchmarks.speed.worklists import make_list", "make_list(*sys.argv[1:])"
    took = alone(load, work, table, model, out)
    print(f"list of {options.members:,} members: {took.seconds:,.1f} s, peak memory {took.peak:,.0f} MB")


if __name__ == "__main__":
    run_or_say(main)
