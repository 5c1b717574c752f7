"""How fast things are, side by side in one run.

    python benchmarks/speed/throughput.py env       the environment, beside gymnasium's vector CartPole
    python benchmarks/speed/throughput.py learn     training and choosing actions, beside stock d3rlpy algorithms
    python benchmarks/speed/throughput.py data      making, reading, sampling datasets, beside Minari's and d3rlpy's
    python benchmarks/speed/throughput.py audit     the fairness audit of a policy, with its parts
    python benchmarks/speed/throughput.py threads   training on one of torch's threads, beside several

Every figure is the median of several repetitions with its range, taken in turn with the others, so that a busy
machine slows all of them down alike. Only ratios within one run mean anything.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

from argparse import Namespace
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import joblib
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, command_of
from benchmarks.result_records.figures import write_figure
from benchmarks.speed.timing import Subject, fields, ratio, spread, time_in_turn
from frl_env import MEDICAID_ACTIONS
from frl_env.datasets import check_dataset
from frl_env.errors import UserError
from frl_env.parameters import preset
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.simulator.dynamics import enter, step
from frl_env.simulator.information import describe
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import State, draw_noise, observe
from frl_env.terminal import run_or_say

SIZES = (1, 64, 1_024, 20_000)
REPETITIONS = 5
UPDATES = 3_000
DATASET = "frl/medicaid-synthetic-v0"
AUDITED = "frl/medicaid-synthetic-validation-v0"
PROGRAM = "benchmarks.speed.throughput"

Figures = Mapping[str, tuple[Sequence[Mapping[str, Any]], Mapping[str, str]]]
"""Rows of each figure, and its columns."""

ENVIRONMENT = {
    "members": "{members}",
    "MedicaidCare member-weeks/s": "{care_said}",
    "CartPole steps/s": "{pole_said}",
    "ratio": "{ratio_said}",
}


def environment(console: Console, *, repetitions: int = REPETITIONS, sizes: Sequence[int] = SIZES) -> Figures:
    """Times the single and the vector environment beside gymnasium's vector CartPole, then says where time goes.

    Returns:
        Rows and columns of both tables.
    """
    subjects = [_single()]
    for n in sizes:
        subjects += [_vector(n), _cartpole(n)]
    rates = time_in_turn(subjects, repetitions)
    table = Table("members", "MedicaidCare member-weeks/s", "CartPole steps/s", "ratio", title="environment steps")
    single = rates["single"]
    table.add_row("single environment", spread(single), "", "")
    none = fields("pole", None) | fields("ratio", None)
    rows: list[dict[str, Any]] = [{"members": "single environment"} | fields("care", single) | none]
    for n in sizes:
        care, pole = rates[f"care {n}"], rates[f"cartpole {n}"]
        table.add_row(f"{n:,}", spread(care), spread(pole), ratio(care, pole))
        both = fields("care", care) | fields("pole", pole) | fields("ratio", care / pole, 2)
        rows.append({"members": f"{n:,}"} | both)
    console.print(table)
    console.print(
        "Both with random actions and autoreset. A MedicaidCare step also tells the exact propensities, joint and by\n"
        "factor, and the latent state; CartPole is four state variables and no randomness. Range: all repetitions."
    )
    shown, parts = _where_time_goes(max(sizes), repetitions)
    console.print(shown)
    return {
        "speed-env": (rows, ENVIRONMENT),
        "speed-env-parts": (parts, {"part of a step": "{part}", "ms": "{milliseconds:.2f}"}),
    }


def _random_actions(n: int) -> np.ndarray:
    joints = MEDICAID_ACTIONS.valid_joints
    return MEDICAID_ACTIONS.unravel(joints[np.random.default_rng(0).integers(0, len(joints), n)])


def _single() -> Subject:
    steps = 3_000
    env = gymnasium.make("frl_env:frl/MedicaidCare-v0", disable_env_checker=True).unwrapped
    env.reset(seed=0)
    actions = _random_actions(steps)

    def run() -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    return Subject("single", steps, run)


def _batches(n: int) -> int:
    return max(53, min(1_000, 200_000 // n))


def _vector(n: int) -> Subject:
    vector = gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=n)
    vector.reset(seed=0)
    actions, batches = _random_actions(n), _batches(n)

    def run() -> None:
        for _ in range(batches):
            vector.step(actions)

    return Subject(f"care {n}", n * batches, run)


def _cartpole(n: int) -> Subject:
    vector = gymnasium.make_vec("CartPole-v1", num_envs=n, vectorization_mode="vector_entry_point")
    vector.reset(seed=0)
    actions, batches = np.random.default_rng(0).integers(0, 2, n), _batches(n)

    def run() -> None:
        for _ in range(batches):
            vector.step(actions)

    return Subject(f"cartpole {n}", n * batches, run)


def _where_time_goes(n: int, repetitions: int) -> tuple[Table, list[dict[str, Any]]]:
    """Times the parts of a step of `n` members, beside the floor: one pass over the bytes that a step must touch."""
    world = preset()
    rng = np.random.default_rng(0)
    members = draw_members(rng, n, world)
    state = enter(members, rng, world)
    behaviour, actions, noise = BehaviourPolicy(world), _random_actions(n), draw_noise(rng, n)
    after, outcome = step(members, state, actions, noise, world)
    arrays = (
        _arrays(members) + _arrays(state) + _arrays(after) + [actions] + [getattr(noise, f) for f in noise.__slots__]
    )
    touched = sum(array.nbytes for array in arrays)
    buffer = np.empty(touched // 2, dtype=np.uint8)
    other = np.empty_like(buffer)
    parts = [
        Subject("draw the week's chances", n, lambda: draw_noise(rng, n)),
        Subject("simulate the week", n, lambda: step(members, state, actions, noise, world)),
        Subject("information: propensities, latent state", n, lambda: describe(
            members, state, actions, after, outcome, behaviour)),
        Subject("observations", n, lambda: observe(after)),
        Subject("floor: copy the same bytes once", n, lambda: np.copyto(other, buffer)),
    ]  # fmt: skip
    rates = time_in_turn(parts, max(20, repetitions))
    table = Table("part of a step", "ms", "member-weeks/s", title=f"where the time goes, {n:,} members")
    rows = []
    for part in parts:
        rate = float(np.median(rates[part.name]))
        table.add_row(part.name, f"{1000 * n / rate:.2f}", f"{rate:,.0f}")
        rows.append({"part": part.name, "milliseconds": 1000 * n / rate, "bytes": round(touched / n)})
    table.caption = (
        f"A step reads or writes at least {touched / n:,.0f} bytes a member (members, state before and after, action, "
        "chances). What is missing to the whole step is replacing members who left."
    )
    return table, rows


def _arrays(batch: Members | State) -> list[np.ndarray]:
    values = [getattr(batch, name) for name in batch.__dataclass_fields__ if name != "paid"]
    window = [*batch.paid[:1], *batch.paid[-1:]] if isinstance(batch, State) else []
    return values + window


def main(arguments: Sequence[str] | None = None) -> None:
    """Parses the command line and times what is asked for."""
    parser = Parser(description="Speed, side by side in one run.")
    parser.add_argument(
        "what",
        choices=["env", "learn", "data", "audit", "threads"],
        help="env: the environment; learn: training, choosing actions; data: making, reading, sampling datasets; "
        "audit: the audit of a policy; threads: training on one thread and on several",
    )
    parser.add_argument("--repetitions", type=int, default=REPETITIONS, help=f"of each timing (default {REPETITIONS})")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"learn, threads: of a fit (default {UPDATES})")
    parser.add_argument("--dataset", help=f"Minari id (default, learn: {DATASET}; audit: {AUDITED})")
    parser.add_argument(
        "--threads", type=int, help="of torch; learn: default 1; threads: beside one (default: one a processor)"
    )
    parser.add_argument("--figure", action="store_true", help="env, learn, threads: also write the tables for pages")
    options = parser.parse_args(arguments)
    check_at_least(options, repetitions=1, updates=2, threads=1)
    if options.figure and options.what in ("data", "audit"):
        raise UserError(f"{options.what} has no table on a page; leave --figure out")
    if options.dataset is not None:
        check_dataset(options.dataset)
    console = Console(width=None if sys.stdout.isatty() else 120)
    if options.what == "env":
        _keep(environment(console, repetitions=options.repetitions), parser, options)
        return
    # Here, as timing the environment needs no deep learning library.
    import torch

    from benchmarks.speed.auditing import audits
    from benchmarks.speed.data import data
    from benchmarks.speed.learning import learn
    from benchmarks.speed.threads import threads
    from frl_algos import training_threads

    if options.threads:
        torch.set_num_threads(options.threads)
    if options.what == "data":
        data(console, repetitions=options.repetitions)
        return
    if options.what == "audit":
        audits(console, dataset_id=options.dataset or AUDITED, repetitions=options.repetitions)
        return
    common = {
        "dataset_id": options.dataset or DATASET, "updates": options.updates, "repetitions": options.repetitions
    }  # fmt: skip
    if options.what == "threads":
        several = options.threads or joblib.cpu_count()  # torch's own number may be 1 in this surrounding
        if several < 2:
            raise UserError("one thread beside one thread says nothing: pass --threads 2, or use another machine")
        _keep(threads(console, several=several, **common), parser, options)
        return
    torch.set_num_threads(options.threads or 1)
    with training_threads(options.threads or 1):
        found = learn(console, **common)
    _keep(found, parser, options)


def _keep(found: Figures, parser: Parser, options: Namespace) -> None:
    if not options.figure:
        return
    settings = {name: each for name, each in vars(options).items() if name != "figure"}
    for study, (rows, columns) in found.items():
        write_figure(
            study, rows, columns=columns, command=command_of(PROGRAM, parser, options), programs=[PROGRAM],
            settings=settings,
        )  # fmt: skip


if __name__ == "__main__":
    run_or_say(main)
