"""All algorithms on small worlds of other people's kinds, one setting each: one table, one command.

    python benchmarks/elsewhere.py --seeds 3

Each algorithm has its defaults everywhere, the same rows, updates, batch and network. `--algo factored_iql@beta=30` has
another value of one setting instead, everywhere as well. A trained policy's value is its true mean return, on a scale
from random actions (0) to the best policy known (100). Seed k is training seed k on rows logged with seed k. Finished
runs are kept and not repeated; `--figure` writes what the pages show.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_folder_can_be_made, check_writable
from benchmarks.result_records.figures import write_figure
from benchmarks.result_records.kept_results import Kept
from benchmarks.training.algorithms import ALGORITHMS, check_fits, create, label, parse_names, program_of
from benchmarks.training.train import train
from benchmarks.worlds.dataset import ensure_world_dataset
from benchmarks.worlds.episodes import EPISODES, References, references, true_returns
from benchmarks.worlds.registry import CONTROL, CONTROL_EPISODES, SMALL, WORLDS, world_entry
from frl_algos import LearnedPolicy, load_replay_buffer
from frl_algos.policies.adapter import modes
from frl_env.actions import ActionSpace
from frl_env.errors import UserError, shorten
from frl_env.terminal import progress_bar, run_or_say

COMPARED = (
    "factored_awr_told_nothing", "discrete_bc", "cql", "bcq", "dqn", "iql", "awac", "factored_iql",
    "autoregressive_iql", "decoupled_cql",
)  # fmt: skip
"""Those that learn from any factored dataset."""

RESULTS = Kept("benchmarks.elsewhere")
Cell = str | float | None
WORDS = {"stochastic": "drawn", "greedy": "greedy"}
QUICK_ROWS, QUICK_STEPS, QUICK_EPISODES = 2_000, 50, 500


def main(arguments: Sequence[str] | None = None) -> None:
    """Trains what is missing, prints the table, and keeps it if asked."""
    options = _options(arguments)
    worlds = [name.strip() for name in options.worlds.split(",")]
    entries = {name: world_entry(name) for name in worlds}
    names = _names(options.algo)
    for name in names:
        for entry in entries.values():
            check_fits(name.partition("@")[0], entry.make().space)
            _made(name, 1, entry.make().space)
    check_writable(options.out)
    runs: list[dict[str, Any]] = []
    with progress_bar() as progress:
        for world in worlds:
            for seed in range(options.seeds):
                for name in names:
                    runs.append(run(name, world, seed, options, progress))
    known = {world: references(entry.make(), episodes=entry.episodes) for world, entry in entries.items()}
    rows = [logged_row(known), *table_rows(runs, names, known)]
    show(rows, worlds)
    if options.figure:
        write_figure(
            _figure(worlds, names),
            rows,
            columns={"policy": "{policy}"}
            | {world: f"{{{field(world)}}}" for world in worlds}
            | {"mean": "{mean}", "lowest": "{lowest}"},
            command=f"python benchmarks/elsewhere.py --worlds {options.worlds} --algo {options.algo} "
            f"--seeds {options.seeds} --steps {options.steps}"
            f"{'' if options.episodes is None else f' --episodes {options.episodes}'} --figure",
            programs=["benchmarks.elsewhere"],
            settings={"seeds": options.seeds, "updates": options.steps}
            | {f"episodes of {world}": episodes_of(world, options) for world in worlds},
        )


def run(name: str, world: str, seed: int, options: argparse.Namespace, progress: Any) -> dict[str, Any]:
    """One training and its true values, from the folder where it is there already.

    Returns:
        `algo`, `world`, `seed`, `updates`, `seconds`, and the mean return of each mode, `drawn` or `greedy`.
    """
    facts = {"algo": name, "world": world, "seed": seed, "steps": options.steps, "rows": options.rows}
    make = partial(_trained, name, world, seed, options, progress)
    label = f"{world}-{name.replace(':', '.')}-seed{seed}"
    kept = RESULTS.of(program_of(name.partition("@")[0]), chosen_by="benchmarks.training.algorithms")
    return facts | kept.json(options.out, label, make, **facts, episodes=episodes_of(world, options))


def episodes_of(world: str, options: argparse.Namespace) -> int:
    """Episodes of a true value: as many as asked for, else the world's own."""
    own = world_entry(world).episodes
    return options.episodes or (min(QUICK_EPISODES, own) if options.quick else own)


def _trained(name: str, world: str, seed: int, options: argparse.Namespace, progress: Any) -> dict[str, Any]:
    buffer = load_replay_buffer(ensure_world_dataset(world, seed=seed, rows=options.rows), seed=seed)
    space = buffer.action_space
    what = f"{world}: {_label(name)}, seed {seed}"
    algorithm = _made(name, buffer.observations.shape[1], space)
    trained = train(
        algorithm, buffer, steps=options.steps, seed=seed, progress=lambda done: progress(what, done, options.steps)
    )
    progress(what, options.steps, options.steps)
    found: dict[str, Any] = {"updates": trained.updates, "seconds": trained.wall_s}
    for mode in modes(algorithm):
        returns = true_returns(
            world_entry(world).make(), LearnedPolicy(algorithm, space, mode), episodes=episodes_of(world, options)
        )
        found[WORDS[mode]] = float(returns.mean(dtype=np.float64))
    return found


def _names(text: str) -> list[str]:
    """Names of algorithms, each once, some with a number for one setting: `name@setting=number`."""
    names: list[str] = []
    for each in text.split(","):
        base, at, setting = each.strip().partition("@")
        names += [f"{name}{at}{setting}" for name in parse_names(base)]
    return list(dict.fromkeys(names))


def _made(name: str, observations: int, space: ActionSpace) -> Any:
    """An algorithm, untrained, with its defaults but for the setting that its name tells.

    Raises:
        UserError: If it has no such setting, or what is said is no number.
    """
    base, at, text = name.partition("@")
    make = partial(create, base, [f"x{i}" for i in range(observations)], space)
    if not at:
        return make({})
    if base not in ALGORITHMS:
        raise UserError(f"--algo: settings of {shorten(base)} are its own; offer another object with {shorten(text)}")
    setting, _, value = text.partition("=")
    try:
        return make({setting: _number(name, value)})
    except TypeError:
        raise UserError(f"--algo: {base} has no setting {shorten(setting)}") from None


def _number(name: str, text: str) -> int | float:
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if math.isfinite(number):
            return number
    raise UserError(f"--algo: {shorten(name)} is not like factored_iql@beta=30")


def _label(name: str) -> str:
    """What to call an algorithm and its setting in a table."""
    base, _, setting = name.partition("@")
    return f"{label(base)}{', ' if setting else ''}{setting.replace('=', ' ')}"


def _figure(worlds: Sequence[str], names: Sequence[str]) -> str:
    if set(worlds) & set(CONTROL):
        return "elsewhere-control"
    return "elsewhere-settings" if any("@" in name for name in names) else "elsewhere"


def logged_row(known: Mapping[str, References]) -> dict[str, Cell]:
    """The logging policy on the scale, by world."""
    return {"policy": "what was logged"} | _cells(list(known), [[each.score(each.logged)] for each in known.values()])


def table_rows(
    runs: Sequence[Mapping[str, Any]], names: Sequence[str], known: Mapping[str, References]
) -> list[dict[str, Cell]]:
    """A row an algorithm and mode: mean score of its seeds and, of several, the lowest and highest.

    Over all worlds it has the mean and the lowest of these means, and None where it has no value in one of them.
    """
    rows: list[dict[str, Cell]] = []
    for name in names:
        for word in WORDS.values():
            own = [each for each in runs if each["algo"] == name and word in each]
            scores = [
                [scale.score(each[word]) for each in own if each["world"] == world] for world, scale in known.items()
            ]
            if any(scores):
                rows.append({"policy": f"{_label(name)}, {word}"} | _cells(list(known), scores))
    return rows


def field(world: str) -> str:
    """Name of a world's field in a row."""
    return world.replace("-", "_")


def show(rows: Sequence[Mapping[str, Any]], worlds: Sequence[str]) -> None:
    """Prints the table."""
    table = Table(
        "policy",
        *worlds,
        "mean",
        "lowest",
        title="true value: 0 random actions, 100 the best policy known (lowest, highest)",
    )
    for row in rows:
        table.add_row(row["policy"], *(row[field(world)] or "-" for world in [*worlds, "mean", "lowest"]))
    console = Console()
    if not console.is_terminal:
        console.width = 160
    console.print(table)


def _cells(worlds: Sequence[str], scores: Sequence[Sequence[float]]) -> dict[str, Cell]:
    """A cell a world, and what comes of all; means that are not rounded beside those that are shown."""
    means = [float(np.mean(each)) for each in scores if each]
    whole = len(means) == len(worlds)
    cells: dict[str, Cell] = {}
    for world, each in zip(worlds, scores, strict=True):
        cells |= {field(world): _cell(each), f"{field(world)}_mean": float(np.mean(each)) if each else None}
    return cells | {
        "mean": str(round(float(np.mean(means)))) if whole else None,
        "lowest": str(round(min(means))) if whole else None,
    }


def _cell(scores: Sequence[float]) -> str | None:
    if not scores:
        return None
    spread = f" ({round(min(scores))}, {round(max(scores))})" if len(scores) > 1 else ""
    return f"{round(float(np.mean(scores)))}{spread}"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = Parser(description="All algorithms on small worlds, one setting each.")
    parser.add_argument("--worlds", default=",".join(SMALL), help=f"by comma, of {', '.join(WORLDS)} (default: five)")
    parser.add_argument(
        "--algo",
        default=",".join(COMPARED),
        help="names by comma, as benchmarks/run.py takes them; factored_iql@beta=30 changes a setting",
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0..N-1, of training and of what is logged")
    parser.add_argument("--steps", type=int, help="updates a run (default 3000)")
    parser.add_argument(
        "--episodes", type=int,
        help=f"of a policy's true value (default {EPISODES:,}; of the tasks of DM Control {CONTROL_EPISODES}); "
        "random actions and the best policy, between which it lies, have the default",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="folder of finished runs (default results-elsewhere)")
    parser.add_argument("--figure", action="store_true", help="also write what the pages show")
    parser.add_argument("--quick", action="store_true", help="a smoke test: few rows, updates and episodes")
    options = parser.parse_args(arguments)
    check_at_least(options, seeds=1, steps=1, episodes=2)
    if options.quick and options.figure:
        raise UserError("--quick measures nothing; leave out --figure")
    options.steps = options.steps or (QUICK_STEPS if options.quick else 3_000)
    options.rows = QUICK_ROWS if options.quick else None
    options.out = options.out or Path("results-elsewhere-quick" if options.quick else "results-elsewhere")
    check_folder_can_be_made(options.out)
    return options


if __name__ == "__main__":
    run_or_say(main)
