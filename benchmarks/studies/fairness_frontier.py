"""What a fairness penalty costs and buys: the true value of FactoredAWR against the gap between groups.

    python benchmarks/studies/fairness_frontier.py                      as much high-touch care for each group
    python benchmarks/studies/fairness_frontier.py --target need        as much as it needs

Trains once a seed and fits the penalty to the trained policy for each weight (`FactoredAWR.balance`); "slack" rows ask
for a gap instead of a weight. Every policy of a seed is rolled out on the same new members under the same chances, and
every seed has other members: the gap is that of the policy's exact probabilities in the states that *it* leads to, the
value the true one. A rollout is kept as soon as it is done; the same command goes on where a stopped one was. To the
folder of `--out` go the table (CSV), the same as JSON with intervals, and the figure.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import argparse
import dataclasses
from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any

import pandas as pd
import torch

from benchmarks.command_line import check_writable, command_of, numbers
from benchmarks.policy_scoring.member_table import roll_out
from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.result_records.figures import code_of
from benchmarks.result_records.kept_results import Kept
from benchmarks.result_records.run_key import content_of_dataset
from benchmarks.result_records.study import Study, Tell, Unit
from benchmarks.studies import frontier_table
from benchmarks.studies.frontier_table import Setting
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.train import train
from frl_algos import FactoredAWR, load_replay_buffer
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.errors import unknown_name
from frl_env.evaluation.dataset_reading.dataset_facts import state_names_of
from frl_env.evaluation.dataset_reading.member_records import ATTRIBUTES, LATENT_NEED
from frl_env.evaluation.fairness.allocations import joints_with
from frl_env.terminal import progress_bar, run_or_say

RESULTS = Kept("benchmarks.studies.fairness_frontier", shown_by=("benchmarks.studies.frontier_table",))
DATASET = "frl/medicaid-synthetic-v0"
WEIGHTS = (0.0, 10.0, 100.0, 300.0, 1_000.0, 10_000.0)
SLACKS = (0.001,)


def _more(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--target", choices=("parity", "need"), default="parity", help="default parity")
    parser.add_argument("--attribute", default="race_ethnicity", help="whose groups (default race_ethnicity)")
    parser.add_argument("--high-touch", default="HOME_VISIT", help="levels by comma (default HOME_VISIT)")
    parser.add_argument("--weights", default=",".join(f"{w:g}" for w in WEIGHTS), help="of the penalty, by comma")
    parser.add_argument("--slacks", default=",".join(f"{s:g}" for s in SLACKS), help="gaps allowed, by comma; or none")
    parser.add_argument("--dataset", default=DATASET, help=f"Minari id (default {DATASET})")


STUDY = Study(
    RESULTS,
    "The frontier of true value and fairness.",
    {
        "seeds": (3, 1, "training seeds 0..N-1"),
        "steps": (3_000, 1, "updates a training"),
        "eval_members": (10_000, 100, "members of every rollout"),
    },
    _more,
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs what is not there yet, and shows the frontier."""
    options = STUDY.options(arguments)
    if options.attribute not in ATTRIBUTES:
        raise unknown_name("attribute", options.attribute, ATTRIBUTES)
    settings = [Setting(weight) for weight in sorted({0.0, *numbers(options.weights, "--weights")})]
    slacks = [] if options.slacks == "none" else numbers(options.slacks, "--slacks")
    settings += [Setting(0.0, slack) for slack in slacks]
    joints_with(MEDICAID_ACTIONS, options.high_touch.split(","))
    check_dataset(options.dataset)
    out = options.out
    check_writable(out)
    torch.set_num_threads(1)
    with progress_bar() as tell:
        dataset = ensure_dataset(options.dataset, progress=tell)
        tables = [_rollouts(dataset, settings, seed, options, tell) for seed in range(options.seeds)]
    points = frontier_table.measure(
        {s: list(each) for s, *each in zip(settings, *tables, strict=True)}, options.attribute
    )
    content = {
        "command": command_of(RESULTS.program, STUDY.parser(), options),
        **{name: getattr(options, name) for name in ("dataset", "target", "attribute", "high_touch", "steps", "seeds")},
        "members": options.seeds * options.eval_members,
        "data_sha256": content_of_dataset(dataset),
        "programs": [RESULTS.program],
        "code": code_of([RESULTS.program]),
        "points": points,
    }
    frontier_table.write(content, out)
    STUDY.tell(
        frontier_table.rows(points),
        frontier_table.COLUMNS,
        options,
        part=options.target + options.dataset.removeprefix(DATASET[:-3]).removesuffix("-v0"),
        title=f"{options.dataset}: {options.high_touch} by {options.attribute}, target {options.target}",
        caption=frontier_table.CAPTION.format(**content),
    )
    print(f"table, JSON and figure: {out}")


def _rollouts(
    dataset: Any, settings: Sequence[Setting], seed: int, options: argparse.Namespace, tell: Tell
) -> list[pd.DataFrame]:
    """Rollouts of all settings of one seed; trains only when one is missing."""
    evaluation = Evaluation.of_dataset(dataset, members=options.eval_members, draw=seed)
    columns = {"high_touch": joints_with(MEDICAID_ACTIONS, options.high_touch.split(",")).astype("float32")}
    trained = lru_cache(maxsize=1)(lambda: _trained(dataset, seed, options, tell))

    def table(setting: Setting) -> pd.DataFrame:
        algorithm = trained()
        algorithm.balance(weight=setting.weight, slack=setting.slack)
        what = f"seed {seed}, {setting.name}"
        return roll_out(
            evaluation, algorithm.predict_probabilities, columns, lambda week, weeks: tell(what, week, weeks)
        )

    names = ("steps", "target", "attribute", "high_touch")
    facts = {
        "data": content_of_dataset(dataset),
        "seed": seed,
        "evaluation": dataclasses.asdict(evaluation),
        "options": {name: getattr(options, name) for name in names},
    }
    units = [
        Unit(f"seed{seed}", partial(table, setting), {"setting": dataclasses.asdict(setting)} | facts)
        for setting in settings
    ]
    return STUDY.each(units, options, f"seed {seed}", tell=tell, kind="table")


def _trained(dataset: Any, seed: int, options: argparse.Namespace, tell: Tell) -> FactoredAWR:
    buffer = load_replay_buffer(dataset, groups=[options.attribute], need=LATENT_NEED)
    names = state_names_of(dataset)
    config = dataclasses.replace(
        factored_awr(names, buffer.action_space),
        fairness=options.target,
        fairness_weight=0.0,
        high_touch=options.high_touch.split(","),
    )
    algorithm = config.create()
    what = f"seed {seed}, training"
    train(algorithm, buffer, steps=options.steps, seed=seed, progress=lambda done: tell(what, done, options.steps))
    return algorithm


if __name__ == "__main__":
    run_or_say(main)
