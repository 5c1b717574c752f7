"""How long the audit and the off-policy evaluation of a policy take on logged members.

audit, logged decisions       no policy is asked
audit, without values         the policy is asked once in every logged state, groups are compared
audit                         and is valued off-policy, member by member: the default
"""

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.speed.timing import Subject, time_in_turn
from benchmarks.training.awr_lines import factored_awr
from frl_algos import audit_fairness, save_model
from frl_algos.quiet import quiet_d3rlpy
from frl_env.datasets import ensure_dataset
from frl_env.evaluation.dataset_reading.dataset_facts import action_space_of, state_names_of
from frl_env.terminal import progress_bar


def audits(console: Console, *, dataset_id: str, repetitions: int) -> None:
    """Times audits of a FactoredAWR policy, from its file to the files written. It is untrained: that costs the same.

    Raises:
        UserError: If there is no such dataset.
    """
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
    with tempfile.TemporaryDirectory(prefix="frl-throughput-") as folder:
        policy, output = Path(folder) / "policy.safetensors", Path(folder) / "audit"
        write_policy(dataset_id, policy)
        subjects = [
            Subject("audit, logged decisions", 1, lambda: audit_fairness(None, dataset_id, output)),
            Subject("audit, without values", 1, lambda: audit_fairness(policy, dataset_id, output, value=False)),
            Subject("audit", 1, lambda: audit_fairness(policy, dataset_id, output)),
        ]
        rates = time_in_turn(subjects, repetitions)
    table = Table("what", "seconds", title=f"{dataset_id}: {len(dataset):,} episodes, {dataset.total_steps:,} weeks")
    for name, rate in rates.items():
        seconds = 1 / rate
        table.add_row(name, f"{np.median(seconds):.1f} ({seconds.min():.1f} to {seconds.max():.1f})")
    console.print(table)


def write_policy(dataset_id: str, file: Path) -> None:
    """Writes an untrained FactoredAWR policy for a dataset."""
    dataset = ensure_dataset(dataset_id)
    names = state_names_of(dataset)
    space = action_space_of(dataset)
    with quiet_d3rlpy():
        algorithm = replace(factored_awr(names, space), action_schema=space.to_json()).create()
        assert dataset.spec.observation_space.shape is not None
        algorithm.create_impl(dataset.spec.observation_space.shape, space.n_joint)
        save_model(algorithm, file)


def write_policy_in(store: str, dataset_id: str, file: str) -> None:
    """Writes the policy for a dataset of another Minari store, which this process uses from then on."""
    os.environ["MINARI_DATASETS_PATH"] = store
    write_policy(dataset_id, Path(file))
