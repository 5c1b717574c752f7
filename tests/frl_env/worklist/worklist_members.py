"""Simulated members and policies for the tests of worklists."""

import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from frl_env import cli
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity import Capacity, Effort
from frl_env.parameters import MEASURES
from frl_env.worklist import make_worklist, read_caseload

EFFORT = Effort.of_levels(SPACE, {"modality": {"PHONE_CALL": 15, "SMS_TEXT": 2, "HOME_VISIT": 75, "VIDEO_VISIT": 30}})
SHORT = tuple({"modality": each} for each in ("PHONE_CALL", "SMS_TEXT", "EHR_COMMUNICATION"))
VISITED = ("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")
VISIT = int(SPACE.ravel(SPACE.encode(VISITED)))
NOTHING = int(SPACE.ravel(SPACE.null_action))


class ByRisk:
    """Gains by last week's events; remembers how many weeks it saw, and rests nobody."""

    def start_memory(self, members: int) -> np.ndarray:
        return np.zeros((members, 1), dtype=np.float32)

    def remember(self, memory: np.ndarray, observations: np.ndarray, joints: np.ndarray) -> np.ndarray:
        assert len(memory) == len(observations) == len(joints)
        return memory + 1

    def gains(self, observations: np.ndarray, memory: np.ndarray) -> np.ndarray:
        base = 0.01 + 0.05 * observations[:, 1] + 0.1 * observations[:, 2]
        gains = np.zeros((len(observations), len(SPACE.valid_joints)), dtype=np.float32)
        gains[:, 1:] = base[:, None] * EFFORT.minutes[SPACE.valid_joints][None, 1:] / 75
        return gains


class Explained(ByRisk):
    """The same, which also says what its gains are made of."""

    def predict_gains(self, observations: np.ndarray, *, memory: np.ndarray) -> SimpleNamespace:
        gains = self.gains(observations, memory)
        return SimpleNamespace(
            gains=gains,
            standard_error=gains / 4,
            expected_events=1.0 + observations[:, 1],
            similar_contacts=np.arange(gains.shape[1]),
        )


def member_table(members: int = 60, weeks: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = []
    for member in range(members):
        for week in range(weeks):
            acts = rng.random() < 0.2
            action = (
                ("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE") if acts else ("NONE", "NONE", "NONE", "ROUTINE")
            )
            state = [0, int(rng.random() < 0.1), int(rng.random() < 0.05), 0, 0, 7 * week + 30, 100.0 * member]
            group = ("White", "Black", "Other")[0 if member < 35 else 1 if member < 57 else 2]
            rows.append([f"m{member:03d}", week + 10, *state, *action, group])
    names = ["member_id", "week", *MEASURES, *(f"action_{factor.name}" for factor in SPACE), "race_ethnicity"]
    return pd.DataFrame(rows, columns=names)


def worklist_of(table, capacity: Capacity, **options):
    return make_worklist(
        read_caseload(table, ByRisk()), ByRisk(), EFFORT, capacity, np.random.default_rng(1), **options
    )


def frl(*arguments: object) -> int:
    """The exit status of the command `frl` with these arguments."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frl", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)
