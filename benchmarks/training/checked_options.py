"""What options say of the columns, compared with a dataset before it is built or read."""

import json

from benchmarks.training.column_roles import told, told_of
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets import RECIPES, open_dataset
from frl_env.datasets.store import has_dataset
from frl_env.simulator.state import observation_names


def check_said(dataset_id: str, said: str) -> None:
    """Says before any work that an option names what the dataset does not have.

    Args:
        dataset_id: One that exists, or that can be built.
        said: By options, from `benchmarks.training.column_roles.options_said`.

    Raises:
        UserError: If a state, factor or level does not exist.
    """
    if has_dataset(dataset_id):
        told_of(open_dataset(dataset_id, check=False), said)
    elif dataset_id in RECIPES:
        told(observation_names(**RECIPES[dataset_id].world.seen), MEDICAID_ACTIONS, said=json.loads(said))
