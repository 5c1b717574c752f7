"""How long FactoredAWR prepares on much data before its first update, and how much memory it takes.

    python benchmarks/speed/preparing.py --rows 4700000
    python benchmarks/speed/preparing.py --rows 4700000 --before COMMIT --repetitions 3

Members are simulated, and repeated until there are enough rows, which lie memory-mapped on the disk as those of a
dataset do. Every figure is of a process of its own. With `--before`, the packages as they were at that commit prepare
on the same rows, in turn with today's. Processor seconds are said beside the clock's: on a busy machine they tell more.
Each repetition is kept: a stopped command goes on with the next.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import functools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_records.checkout import checked_out
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.study import Study, Unit
from benchmarks.speed.importing import SIMULATED
from benchmarks.speed.timing import alone
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer  # noqa: F401 - are measured: the figure depends on them
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import collect
from frl_env.errors import UserError
from frl_env.parameters import preset
from frl_env.terminal import run_or_say

COLUMNS = {
    "packages": "{packages}",
    "seconds": "{seconds:,.0f}",
    "of the processor": "{processor:,.0f}",
    "peak memory, MB": "{peak:,.0f}",
    "above the start": "{above:,.0f}",
    "bytes a row above start and map": "{bytes:,.0f}",
}

STUDY = Study(
    Kept("benchmarks.speed.preparing"),
    "Time and memory of what FactoredAWR does before its first update.",
    {
        "rows": (4_700_000, 100, "to prepare on, or a few more: whole members"),
        "repetitions": (1, 1, "of each build, in turn"),
    },
    lambda parser: parser.add_argument("--before", help="a commit whose packages prepare on the same rows"),
    name="speed-preparing",
)

LOAD = """
import numpy as np
from frl_algos import FactoredAWRConfig, FactoredReplayBuffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.care_effort import care_effort
from frl_env.parameters import preset

FlatArrays = sys.modules[FactoredReplayBuffer.__module__].FlatArrays  # rooms have other names in other commits
arrays = {name: np.load(f"{sys.argv[1]}/{name}.npy", mmap_mode="r") for name in FlatArrays.__dataclass_fields__}
buffer = FactoredReplayBuffer.from_arrays(FlatArrays(**arrays), MEDICAID_ACTIONS)
buffer.effort = care_effort(preset())
algorithm = FactoredAWRConfig(response=0, need_factor="goal", skill_factor="provider").create()
"""
"""What is at hand before it is measured; it runs on the packages of any commit that can map arrays."""

PREPARE = "algorithm.build_with_dataset(buffer)"


def write_rows(folder: Path, rows: int) -> int:
    """Writes flat arrays of so many rows or a few more (whole members); returns the number."""
    episodes = collect(preset(), members=SIMULATED, seed=(0, 1))
    mask = episodes.mask
    copies = -(-rows // int(mask.sum()))
    joints = MEDICAID_ACTIONS.ravel(episodes.actions[mask])
    last = np.zeros(mask.shape, dtype=bool)
    last[np.arange(len(mask)), episodes.lengths - 1] = episodes.terminated
    following = np.append(joints[1:], 0)
    ends = np.cumsum(episodes.lengths) - 1
    following[ends] = 0
    flat = {
        "observations": episodes.observations[:, :-1][mask],
        "next_observations": episodes.observations[:, 1:][mask],
        "actions": joints,
        "next_actions": following,
        "rewards": episodes.rewards[mask].astype(np.float32),
        "terminals": last[mask].astype(np.float32),
        "lengths": episodes.lengths.astype(np.int64),
        "terminated": episodes.terminated,
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in flat.items():
        shape = (len(array) * copies, *array.shape[1:])
        written = np.lib.format.open_memmap(folder / f"{name}.npy", mode="w+", dtype=array.dtype, shape=shape)
        for copy in range(copies):
            written[copy * len(array) : (copy + 1) * len(array)] = array
        written.flush()
    return len(joints) * copies


def prepare(packages: Path, folder: Path) -> dict[str, float]:
    """Figures of preparing in a new process, with the packages of some folder, and the memory of one that only loads.

    Raises:
        UserError: If it fails.
    """
    rows = str(folder.resolve())
    start, took = (alone(LOAD, work, rows, packages=packages) for work in ("", PREPARE))
    return {"seconds": took.seconds, "processor": took.processor, "start": start.peak, "peak": took.peak}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepares on the rows, and prints the figures."""
    options = STUDY.options(arguments)
    if options.figure and not options.before:
        raise UserError("the table on the page compares with an earlier build; name its commit with --before")
    names = [*([options.before] if options.before else []), "today"]

    @functools.cache
    def at_hand() -> tuple[dict[str, Path], int]:
        packages = {options.before: checked_out(options.before, options.out / "before")} if options.before else {}
        packages["today"] = Path(__file__).resolve().parents[2]
        return packages, write_rows(options.out / "flat", options.rows)

    def measured() -> dict[str, Any]:
        packages, rows = at_hand()
        place = options.out / "flat"
        mapped = sum(file.stat().st_size for file in place.iterdir()) / 1e6
        return {"rows": rows, "mapped": mapped, "runs": {name: prepare(packages[name], place) for name in names}}

    units = [
        Unit(f"repetition{number}", measured, {"rows": options.rows, "before": options.before, "repetition": number})
        for number in range(options.repetitions)
    ]
    try:
        found = STUDY.each(units, options, "prepared")
    finally:
        shutil.rmtree(options.out / "flat", ignore_errors=True)
        shutil.rmtree(options.out / "before", ignore_errors=True)
    rows, mapped = found[0]["rows"], found[0]["mapped"]
    table = summed_up({name: [each["runs"][name] for each in found] for name in names}, rows, mapped)
    STUDY.tell(table, COLUMNS, options, title=f"{rows:,} rows, {mapped:,.0f} MB mapped")
    if options.before:
        print(
            "today takes {time_share:.2f} of the time ({time_least:.2f} to {time_most:.2f} in {pairs} pairs), "
            "{processor_share:.2f} of the processor's time, {peak_share:.3f} of the peak memory ({above_share:.3f} of "
            "what is above the start)".format(**table[-1])
        )


def summed_up(found: Mapping[str, Sequence[Mapping[str, float]]], rows: int, mapped: float) -> list[dict[str, Any]]:
    """Medians of each build, a row each; the last one also says what it takes of what the first one does.

    Args:
        found: By build, `prepare` of each repetition; the earlier build first, today's last.
        rows: That were prepared on.
        mapped: Their size on the disk, MB.
    """
    table = []
    for name, own in found.items():
        row: dict[str, Any] = {"packages": name}
        row |= {key: float(np.median([each[key] for each in own])) for key in own[0]}
        row["above"] = row["peak"] - row["start"]
        table.append(row | {"bytes": max(row["above"] - mapped, 0) * 1e6 / rows})
    if len(table) > 1:
        before, today = table[0], table[-1]
        shares = {"time": "seconds", "processor": "processor", "peak": "peak", "above": "above"}
        for share, key in shares.items():
            today[f"{share}_share"] = today[key] / max(before[key], 1e-9)
        first, *_, last = found.values()
        times = [new["seconds"] / old["seconds"] for old, new in zip(first, last, strict=True)]
        today |= {"time_least": min(times), "time_most": max(times), "pairs": len(times)}
        today |= {"rows": rows, "mapped": mapped}
    return table


if __name__ == "__main__":
    run_or_say(main)
