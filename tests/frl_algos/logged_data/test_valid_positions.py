"""Positions among the valid actions lead back to the joint actions."""

import numpy as np

from frl_algos.logged_data.valid_positions import valid_positions
from frl_env.actions import MEDICAID_ACTIONS


def test_positions_lead_back_and_invalid_actions_have_none():
    position = valid_positions(MEDICAID_ACTIONS)
    assert position.dtype == np.int64
    assert position[MEDICAID_ACTIONS.valid_joints].tolist() == list(range(len(MEDICAID_ACTIONS.valid_joints)))
    assert np.flatnonzero(position >= 0).tolist() == MEDICAID_ACTIONS.valid_joints.tolist()
    assert set(position[~MEDICAID_ACTIONS.valid].tolist()) <= {-1}
