"""What a policy answers when it is asked for probabilities, checked before anything is computed of it."""

import numpy as np

from frl_env.errors import UserError

ROUNDING = 1e-3
"""How far from 1 probabilities of single precision may sum."""


def checked_probabilities(probabilities: np.ndarray, rows: int, joints: int) -> np.ndarray:
    """The probabilities of all joint actions, as they are.

    Args:
        probabilities: One row a decision.
        rows: Decisions that were asked about.
        joints: Joint actions.

    Raises:
        UserError: If the shape is wrong, or they are negative, not finite or don't sum to 1.
    """
    probabilities = np.asarray(probabilities)
    if probabilities.shape != (rows, joints):
        raise UserError(
            f"the policy's probabilities have shape {probabilities.shape}; {(rows, joints)} (decisions, joint actions) "
            "is needed"
        )
    with np.errstate(invalid="ignore"):  # infinities of both signs
        sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = ~(np.abs(sums - 1) < ROUNDING) | (probabilities < 0).any(axis=1)
    if wrong.any():
        raise UserError(
            f"the policy's probabilities are negative, not finite or don't sum to 1 in {int(wrong.sum())} of {rows} "
            "decisions; normalise them over all joint actions"
        )
    return probabilities
