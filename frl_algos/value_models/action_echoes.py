"""Observations that only echo the last action: calls made last week, texts sent last week.

Under another policy they are another's, so nothing that is to hold under another policy may be learned from them.
"""

import numpy as np
from jaxtyping import Float

from frl_algos.value_models.histories import Histories

ECHO = 0.8
"""An observation echoes the last action when the action explains so much of its variance."""


def action_echoes(
    rows: Histories, levels: Float[np.ndarray, "valid level"], *, besides: int | None = None
) -> dict[int, Float[np.ndarray, "valid"]]:
    """Observations that the last action all but decides, with their value after each valid action.

    Args:
        rows: The logged decisions.
        levels: Indicators of the levels of the valid actions.
        besides: An observation to leave out.
    """
    known = ~rows.unfollowed
    indicators = np.concatenate([np.ones((len(levels), 1)), levels], axis=1)
    # The columns of a row are those of its action, so all sums are over actions.
    actions = rows.actions[known]
    times = np.bincount(actions, minlength=len(levels))
    squares = (indicators * times[:, None]).T @ indicators + 1e-6 * np.eye(indicators.shape[1])
    found = {}
    for observation in range(rows.observations.shape[1]):
        following = rows.next_values(observation)[known].astype(np.float64)
        if observation == besides or following.var() == 0:
            continue
        sums = np.bincount(actions, following, minlength=len(levels))
        weights = np.linalg.solve(squares, indicators.T @ sums)
        if 1 - (following - (indicators @ weights)[actions]).var() / following.var() > ECHO:
            values = indicators @ weights
            whole = bool((following == np.rint(following)).all())
            found[observation] = (np.rint(values) if whole else values).astype(np.float32)
    return found
