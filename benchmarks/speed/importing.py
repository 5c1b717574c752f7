"""How long a large table takes to import, and how much memory, beside pandas reading the same file.

    python benchmarks/speed/importing.py --rows 10000000 --folder rows
    python benchmarks/speed/importing.py --rows 1000000 --folder rows --before COMMIT

Members are simulated, and repeated under other identifiers until there are enough rows; by default the rows come week
by week over all members, so that no two rows of a member stand together. Every figure is of a process of its own, from
where it has loaded what it needs. With `--before`, the packages as they were at that commit import the same file in the
same run, by the same lines.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import multiprocessing
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_writable, command_of
from benchmarks.result_records.checkout import checked_out
from benchmarks.result_records.figures import write_figure
from benchmarks.speed.timing import Run, alone
from frl_algos import load_replay_buffer  # noqa: F401 - is measured: the figure depends on its code
from frl_env import MEDICAID_ACTIONS
from frl_env.datasets import collect, import_table  # noqa: F401 - likewise
from frl_env.errors import UserError
from frl_env.parameters import AGE_BANDS, GENDERS, MEASURES, RACES, preset
from frl_env.terminal import run_or_say

SIMULATED = 5_000
"""Members simulated at a time."""

MOST_SIMULATED = 4
"""How many times, before members are repeated."""

ORDERS = ("week", "member")
DATASET = "bench/rows-v0"
PROGRAM = "benchmarks.speed.importing"
COLUMNS = {
    "what": "{what}",
    "seconds": "{seconds:,.1f}",
    "of the processor": "{processor:,.1f}",
    "rows/s": "{rate:,.0f}",
    "peak MB": "{megabytes:,.0f}",
}


def simulate(seed: int) -> pd.DataFrame:
    """Member-weeks in the published schema, with a weekly reward and demographics."""
    episodes = collect(preset(), members=SIMULATED, seed=(seed, 1))
    mask = episodes.mask
    member = np.repeat(np.arange(SIMULATED), episodes.lengths)
    week = np.broadcast_to(np.arange(mask.shape[1]), mask.shape)[mask]
    columns = {"member": member, "week": week}
    columns |= {name: episodes.observations[:, :-1][mask][:, i] for i, name in enumerate(MEASURES)}
    names = MEDICAID_ACTIONS.decode(episodes.actions[mask])
    columns |= {f"action_{factor.name}": names[:, i] for i, factor in enumerate(MEDICAID_ACTIONS)}
    columns["reward"] = episodes.rewards[mask]
    columns["terminated"] = (week == episodes.lengths[member] - 1) & episodes.terminated[member]
    columns["propensity"] = episodes.information["propensity"][:, 1:][mask][:, 0]
    for name, groups in (("age_band", AGE_BANDS), ("gender", GENDERS), ("race_ethnicity", RACES)):
        columns[name] = np.asarray(groups, dtype=object)[episodes.information[name][:, :-1][mask][:, 0]]
    return pd.DataFrame(columns)


def write_rows(file: Path, rows: int, order: str) -> int:
    """Writes a table of so many rows; returns the number of members."""
    whole = [simulate(seed) for seed in range(min(MOST_SIMULATED, -(-rows // (SIMULATED * 52))))]
    base = pd.concat([part.assign(member=part["member"] + i * SIMULATED) for i, part in enumerate(whole)])
    base = base.sort_values(["week", "member"] if order == "week" else ["member", "week"], ignore_index=True)
    people = len(whole) * SIMULATED
    copies = -(-rows // len(base))
    names = np.random.default_rng(0).permutation(copies * people)
    left = rows
    writer = None
    members: set[int] = set()
    # By week: the first weeks of all copies, then the next; by member: one copy after the other.
    cuts = np.flatnonzero(np.diff(base["week"], prepend=-1)) if order == "week" else np.array([0])
    for start, end in zip(cuts, [*cuts[1:], len(base)], strict=True):
        for copy in range(copies):
            part = base.iloc[start : min(end, start + left)]
            if part.empty:
                break
            who = names[part["member"].to_numpy() + copy * people]
            members.update(who.tolist())
            part = part.drop(columns="member").assign(member_id=[f"M{number:08d}" for number in who])
            table = pa.Table.from_pandas(part, preserve_index=False)
            writer = writer or pq.ParquetWriter(file, table.schema)
            writer.write_table(table)
            left -= len(part)
    if writer is not None:
        writer.close()
    return len(members)


def apart(work: Callable[..., None], *arguments: object) -> None:
    """Does something in a new process: a process that is measured later would inherit its peak of memory.

    Raises:
        UserError: If it fails.
    """
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        raise UserError(f"{work.__name__} failed; see above")


def make_table(file: str, rows: int, order: str) -> None:
    """Writes the table and says what it is; apart, because a new process inherits the peak memory of its parent."""
    members = write_rows(Path(file), rows, order)
    print(f"{rows:,} rows of {members:,} members, {Path(file).stat().st_size / 1e6:,.0f} MB of Parquet", flush=True)


PANDAS = ("import sys; import pandas", "pandas.read_parquet(sys.argv[1])")
"""What most people would do first, to load and to do."""

IMPORT = (
    """
file, store, dataset = sys.argv[1:]
os.environ["MINARI_DATASETS_PATH"] = store
from frl_env.datasets import import_table
""",
    """
said = set()

def tell(what, done, total):
    if done >= total and what not in said:
        said.add(what)
        print(f"  {what}: done after {time.perf_counter() - clock:.0f} s")

import_table(file, dataset, progress=tell)
""",
)
"""The import, with the seconds at which its parts ended; it runs on the packages of any commit."""

LOAD = (
    """
store, dataset = sys.argv[1:]
os.environ["MINARI_DATASETS_PATH"] = store
import minari
from frl_algos import load_replay_buffer
""",
    """
buffer = load_replay_buffer(minari.load_dataset(dataset))
for _ in range(1_000):
    buffer.sample_transition_batch(512)
""",
)
"""The replay buffer, and 1,000 mini-batches from it."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the table, imports it, reads it with pandas, and prints the figures."""
    parser = Parser(description="Time and memory of importing a large table.")
    parser.add_argument("--rows", type=int, default=10_000_000, help="default 10000000")
    parser.add_argument("--order", choices=ORDERS, default="week", help="of the rows (default week)")
    parser.add_argument("--folder", default="results/rows", help="for table and dataset (default results/rows)")
    parser.add_argument("--before", help="a commit whose packages import the same file, for comparison")
    parser.add_argument("--figure", action="store_true", help="also write the table for pages; with --before")
    options = parser.parse_args(arguments)
    check_at_least(options, rows=100)
    if options.figure and not options.before:
        raise UserError("the table on the page compares with an earlier build; name its commit with --before")
    folder = Path(options.folder).resolve()
    check_writable(folder)
    file, store = folder / f"{options.order}-{options.rows}.parquet", folder / "store"
    packages = checked_out(options.before, folder / "before") if options.before else None
    apart(make_table, str(file), options.rows, options.order)
    rows = [_row("pandas.read_parquet", options.rows, alone(*PANDAS, str(file)))]
    asked = (*IMPORT, str(file), str(store), DATASET)
    if packages:
        rows.append(_row(f"frl import, as of {options.before}", options.rows, alone(*asked, packages=packages)))
        shutil.rmtree(store)
    rows.append(_row("frl import", options.rows, alone(*asked)))
    size = sum(f.stat().st_size for f in store.rglob("*") if f.is_file()) / 1e6
    rows[-1] |= {"table_rows": options.rows, "table": file.stat().st_size / 1e6, "dataset": size}
    if packages:
        before, ours = rows[-2:]
        ours["faster"] = before["seconds"] / ours["seconds"]
        ours["less"] = before["processor"] / ours["processor"]
    what = "load_replay_buffer, 1,000 batches of 512"
    rows.append(_row(what, options.rows, alone(*LOAD, str(store), DATASET)))
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(cell.format(**row) for cell in COLUMNS.values()))
    Console(width=100).print(table)
    print(f"dataset: {size:,.0f} MB")
    if packages:
        faster, less = (next(row[name] for row in rows if name in row) for name in ("faster", "less"))
        print(f"frl import: {faster:.1f} times as fast as at {options.before}, 1/{less:.1f} of the processor's time")
        shutil.rmtree(packages)
    shutil.rmtree(store)
    file.unlink()
    if options.figure:
        command = command_of(PROGRAM, parser, options)
        write_figure("speed-import", rows, columns=COLUMNS, command=command, programs=[PROGRAM])


def _row(what: str, rows: int, took: Run) -> dict[str, Any]:
    return {
        "what": what, "seconds": took.seconds, "processor": took.processor, "rate": rows / took.seconds,
        "megabytes": took.peak,
    }  # fmt: skip


if __name__ == "__main__":
    run_or_say(main)
