"""The simulator's own staff minutes, as `frl_env.capacity.Effort`."""

from functools import lru_cache
from typing import Any

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity.effort import Effort, effort_of
from frl_env.capacity.logged_effort import LoggedEffort, logged_effort
from frl_env.evaluation.dataset_reading.dataset_facts import is_simulated
from frl_env.evaluation.dataset_reading.member_records import load_people
from frl_env.evaluation.dataset_reading.minari_episodes import load_actions
from frl_env.parameters import Parameters, preset


@lru_cache(maxsize=32)
def care_effort(parameters: Parameters) -> Effort:
    """Minutes of every action in a simulated world; they depend on the modality alone."""
    levels = MEDICAID_ACTIONS["modality"].levels
    minutes = dict(zip(levels, parameters.outreach.minutes, strict=True))
    return Effort(MEDICAID_ACTIONS, {"modality": {name: amount for name, amount in minutes.items() if amount > 0}})


def dataset_effort(dataset: Any, action_space: ActionSpace) -> Effort | None:
    """Minutes of a dataset's actions: as its metadata say, else the simulator's for a dataset of ours; else None.

    Raises:
        UserError: If the metadata can't be read.
    """
    known = effort_of(dataset, action_space)
    if known is None and "frl_recipe" in dataset.storage.metadata and action_space.nvec == MEDICAID_ACTIONS.nvec:
        return care_effort(preset())  # built before minutes were kept beside the actions; no dial changes them
    return known


def dataset_logged_effort(dataset: Any, action_space: ActionSpace) -> LoggedEffort:
    """What the policy that made a dataset spent: minutes (None where they are not known) and contacts by level.

    Raises:
        UserError: If the dataset is empty or damaged.
    """
    joints, lengths = load_actions(dataset, action_space)
    effort = dataset_effort(dataset, action_space)
    simulated = is_simulated(dataset)
    people = None if simulated else load_people(dataset).person
    return logged_effort(joints, lengths, action_space, effort, simulated=simulated, people=people)
