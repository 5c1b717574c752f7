"""Which shares of the logged actions are not told of real people."""

import numpy as np
from jaxtyping import Bool, Int

from frl_env.actions import ActionSpace
from frl_env.evaluation.privacy.suppression import hidden_levels


def hidden_actions(
    person: Int[np.ndarray, "row"], joints: Int[np.ndarray, "row"], space: ActionSpace, position: int
) -> Bool[np.ndarray, "level"]:
    """Levels of a factor whose share of all decisions is not told.

    To do nothing is the same decisions in every factor of a contact: where it is hidden in one, it is in all.

    Args:
        person: Whose each decision is.
        joints: Joint index of each.
        space: The actions.
        position: Of the factor.
    """
    rows = space.joint_levels[joints]
    nothing = [[f.null_level] if f.name in space.contact_factors and f.null_level is not None else [] for f in space]

    def hidden(k: int, *, force: bool) -> np.ndarray:
        also = nothing[k] if force else []
        return hidden_levels(person, rows[:, k], space.nvec[k], keep=nothing[k], also=also)

    force = any(hidden(k, force=False)[each].any() for k, each in enumerate(nothing) if each)
    return hidden(position, force=force)
