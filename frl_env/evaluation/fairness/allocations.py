"""What a member can get from a policy, as sums over joint actions: high-touch contact, each modality, each provider."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float32

from frl_env.actions import ActionSpace
from frl_env.errors import unknown_name

HIGH_TOUCH = ("VIDEO_VISIT", "HOME_VISIT")
"""Levels whose contacts are face to face: scarce, and what members gain most from."""

DIGITAL = ("SMS_TEXT", "VIDEO_VISIT", "EHR_COMMUNICATION")
"""Levels that need a device."""


def joints_with(space: ActionSpace, levels: Sequence[str]) -> Bool[np.ndarray, "joint"]:
    """Which joint actions have one of these levels.

    Args:
        space: The actions.
        levels: Names, of any factor.

    Raises:
        UserError: If no factor has a level of that name.
    """
    found = np.zeros(space.n_joint, dtype=bool)
    for level in levels:
        factors = [number for number, factor in enumerate(space) if level in factor.levels]
        if not factors:
            raise unknown_name("action level", level, {name for factor in space for name in factor.levels})
        for number in factors:
            code = list(space)[number].levels.index(level)
            found |= space.joint_levels[:, number] == code
    return found


def allocation_table(space: ActionSpace, high_touch: Sequence[str]) -> dict[str, Float32[np.ndarray, "joint"]]:
    """Named sums over joint actions, so that probabilities times a column is the probability of that allocation.

    Args:
        space: The actions.
        high_touch: Names of levels.

    Returns:
        "high_touch"; "contact" where the space has an action that does nothing; "digital" where it has such levels; and
        "factor: level" for every level, without null levels of factors of which a contact has none.

    Raises:
        UserError: If a high-touch level does not exist.
    """
    table = {"high_touch": joints_with(space, high_touch)}
    known = {name for factor in space for name in factor.levels}
    if space.contact_factors:
        table["contact"] = (space.joint_levels != space.null_action).any(axis=1)
    if digital := [level for level in DIGITAL if level in known]:
        table["digital"] = joints_with(space, digital)
    for number, factor in enumerate(space):
        for code, level in enumerate(factor.levels):
            if factor.name not in space.contact_factors or code != factor.null_level:
                table[f"{factor.name}: {level}"] = space.joint_levels[:, number] == code
    return {name: column.astype(np.float32) for name, column in table.items()}
