"""What algorithms are given, checked in the same words by all of them."""

from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from frl_env.actions import ActionSpace
from frl_env.errors import UserError, check_whole
from frl_env.evaluation.privacy.suppression import people as number_of_people

MOST_UPDATES = 2**31


def checked_observations(observations: Any, size: int) -> Float32[np.ndarray, "n k"]:
    """Observations as numbers of single precision, so many of each state.

    Raises:
        UserError: If the shape is wrong or a number is not finite.
    """
    try:
        array = np.asarray(observations, dtype=np.float32)
    except (TypeError, ValueError):  # rows of different lengths, or no numbers
        raise UserError(f"observations must be numbers of shape (n, {size})") from None
    if array.ndim != 2 or array.shape[1] != size:
        raise UserError(f"observations must have shape (n, {size}), not {array.shape}")
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise UserError(
            f"{int(bad.sum())} of {len(array)} observations hold NaN or infinite numbers; fill or drop them"
        )
    return array


def checked_for(impl: Any, observations: Any) -> Float32[np.ndarray, "n k"]:
    """Observations for one of d3rlpy's implementations, None where nothing is trained; raises as above."""
    if impl is None:
        raise UserError("the algorithm is not trained yet; call fit or load a model first")
    return checked_observations(observations, int(np.prod(impl.observation_shape)))


def checked_joints(actions: Any, states: int, space: ActionSpace) -> Int64[np.ndarray, "n"]:
    """Joint indices of valid actions, one a state; d3rlpy's mini-batches, and so its evaluators, hold them as floats.

    Raises:
        UserError: If they are of another shape or no whole numbers, or an action does not exist or is not valid.
    """
    joints = np.asarray(actions)
    if np.issubdtype(joints.dtype, np.floating) and np.array_equal(joints, np.floor(joints)):
        joints = joints.astype(np.int64)
    if joints.shape not in ((states,), (states, 1)):
        raise UserError(f"actions must be {states} joint indices, one a state, not shape {joints.shape}")
    space.unravel(joints)
    invalid = int(np.count_nonzero(~space.valid[joints]))
    if invalid:
        raise UserError(
            f"{number_of_people(invalid, simulated=False)} actions are not valid; their value is not defined"
        )
    return joints.reshape(-1)


def checked_uniform(uniform: Any, states: int) -> Float[np.ndarray, "n 2"]:
    """Two numbers in 0..1 a state, by which actions are drawn.

    Raises:
        UserError: If they are not.
    """
    numbers = np.asarray(uniform)
    if numbers.shape != (states, 2):
        raise UserError(f"uniform numbers must have shape ({states}, 2), not {numbers.shape}")
    if not ((numbers >= 0) & (numbers <= 1)).all():
        raise UserError("uniform numbers must lie in 0..1; numpy's Generator.random makes them")
    return numbers


def check_updates(n_steps: object, n_steps_per_epoch: object) -> None:
    """Says so where updates, in all or an epoch, are no whole number from 1.

    Raises:
        UserError: If so.
    """
    check_whole("n_steps", n_steps, low=1, high=MOST_UPDATES)
    check_whole("n_steps_per_epoch", n_steps_per_epoch, low=1, high=MOST_UPDATES)
