"""Where joint actions stand among the valid ones: learners score valid actions alone, by position."""

import numpy as np
from jaxtyping import Int

from frl_env.actions import ActionSpace


def valid_positions(space: ActionSpace) -> Int[np.ndarray, "joint"]:
    """Position of each joint action among the valid ones; -1 where it is none of them."""
    position = np.full(space.n_joint, -1, dtype=np.int64)
    position[space.valid_joints] = np.arange(len(space.valid_joints))
    return position
