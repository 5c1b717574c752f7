"""The problem: weekly care management of Medicaid members as an offline reinforcement learning benchmark.

Importing this package registers the environments with gymnasium, so `gymnasium.make("frl_env:frl/MedicaidCare-v0")` and
`gymnasium.make_vec("frl_env:frl/MedicaidCare-v0", num_envs=1_000)` work without an import.
"""

import frl_env.starting  # isort: skip  # noqa: F401 - Ctrl-C while the rest is imported is one line
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.datasets import build_dataset, generate_synthetic_data
from frl_env.env import MedicaidCareEnv, register
from frl_env.errors import UserError
from frl_env.events_to_weeks import weeks
from frl_env.joint import JointActions
from frl_env.vector import MedicaidCareVectorEnv
from frl_env.worlds import LADDER, World

__all__ = [
    "LADDER",
    "MEDICAID_ACTIONS",
    "ActionSpace",
    "Factor",
    "JointActions",
    "MedicaidCareEnv",
    "MedicaidCareVectorEnv",
    "UserError",
    "World",
    "build_dataset",
    "generate_synthetic_data",
    "weeks",
]

register()
