"""The functions of the published code, with the same arguments, built on this package.

`actor, critic = train_awr_factored(states=states, actions=actions, rewards=rewards, beta=1.0, num_epochs=50)`
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from d3rlpy.logging import NoopAdapterFactory
from jaxtyping import Float32

from frl_algos.factored_awr.algorithm import FactoredAWR, FactoredAWRConfig
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.quiet import quiet_d3rlpy
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError, check_whole


class StateValue:
    """The value of states that advantages were measured against.

    Args:
        algorithm: Trained with critic "returns".
    """

    def __init__(self, algorithm: FactoredAWR) -> None:
        """Keeps the algorithm."""
        self.algorithm = algorithm

    def __call__(self, states: np.ndarray) -> Float32[np.ndarray, "n"]:
        """Values of `(n, k)` states in raw units, in units of reward."""
        # With this critic no action has an estimated advantage of its own, so that any will do.
        action = np.full(len(states), self.algorithm.action_space.valid_joints[0])
        return self.algorithm.predict_value(states, action)


def train_awr_factored(
    states: np.ndarray | Sequence[Sequence[float]],
    actions: np.ndarray | Sequence[Sequence[Any]],
    rewards: np.ndarray | Sequence[float],
    action_space: ActionSpace | None = None,
    beta: float = 1.0,
    num_epochs: int = 50,
    *,
    episode_lengths: np.ndarray | Sequence[int] | None = None,
    seed: int = 42,
    show_progress: bool = False,
    **settings: Any,
) -> tuple[FactoredAWR, StateValue]:
    """Trains a policy by advantage-weighted regression with the published settings, `FactoredAWRConfig.seed_preset`.

    The advantage is the reward, or with episodes the credit-weighted return, less a linear value of the state. What
    FactoredAWR does by default is better here (`docs/factored_awr.md`); this is for comparison with the paper.

    Args:
        states: `(rows, k)`, raw units.
        actions: `(rows, factors)`: tuples of level names, or of codes.
        rewards: `(rows,)`.
        action_space: Names and validity of the actions; those of care management when None.
        beta: Temperature of the weights exp(advantage / beta).
        num_epochs: Passes over the rows.
        episode_lengths: Rows of each episode, in order; None: every row stands for itself, as in the published code.
        seed: Seed of everything drawn.
        show_progress: Whether to show progress bars.
        settings: Others of `FactoredAWRConfig` to change.

    Returns:
        The policy, a `FactoredAWR` with all it can do (`predict_names`, `predict_probabilities`, `save_model`), and the
        state value, a function of states.

    Raises:
        UserError: If shapes disagree, a name is unknown, a number is not finite, or a setting is out of range.
    """
    check_whole("num_epochs", num_epochs, low=1, high=1_000_000)
    check_whole("seed", seed, low=0, high=2**32 - 1)
    space = action_space or MEDICAID_ACTIONS
    config = FactoredAWRConfig.seed_preset(temperature=beta, **settings)
    buffer = _buffer(states, actions, rewards, episode_lengths, space, seed)
    per_epoch = -(-buffer.transition_count // config.batch_size)
    algorithm = config.create()
    with torch.random.fork_rng(devices=[]), quiet_d3rlpy():
        torch.manual_seed(seed)
        algorithm.fit(
            buffer,
            n_steps=num_epochs * per_epoch,
            n_steps_per_epoch=per_epoch,
            logger_adapter=NoopAdapterFactory(),
            show_progress=show_progress,
        )
    return algorithm, StateValue(algorithm)


def _buffer(
    states: Any, actions: Any, rewards: Any, episode_lengths: Any, space: ActionSpace, seed: int
) -> FactoredReplayBuffer:
    """Rows as a replay buffer.

    Raises:
        UserError: If they don't fit together.
    """
    try:
        observations = np.asarray(states, dtype=np.float32)
        returns = np.asarray(rewards, dtype=np.float32)
    except (ValueError, TypeError):
        raise UserError("states must be numbers, the same number in every row, and rewards one number a row") from None
    if observations.ndim != 2 or not observations.shape[1]:
        raise UserError(f"states must have shape (rows, measures), not {observations.shape}")
    if returns.ndim != 1 and returns.shape[1:] != (1,):
        raise UserError(f"rewards must be one number a row, not of shape {returns.shape}")
    returns = returns.reshape(-1)
    named = np.asarray(actions, dtype=object)
    by_name = named.size > 0 and isinstance(named.flat[0], str)
    levels = space.encode(named) if by_name else space.check(actions)
    if len(levels) != len(observations) or len(returns) != len(observations):
        raise UserError(f"there are {len(observations)} states, {len(levels)} actions and {len(returns)} rewards")
    alone = episode_lengths is None
    try:
        lengths = np.ones(len(observations), dtype=np.int64) if alone else np.asarray(episode_lengths)
    except ValueError:  # lists of unequal lengths
        raise UserError("episode lengths must be one whole number an episode, and some are lists") from None
    if lengths.dtype.kind not in "iu":
        raise UserError(f"episode lengths must be whole numbers, not {lengths.dtype} values")
    lengths = lengths.astype(np.int64)
    if lengths.ndim != 1 or (lengths < 1).any() or lengths.sum() != len(observations):
        raise UserError(f"episode lengths must be at least 1 and add up to the {len(observations)} rows")
    following = np.zeros_like(observations)
    following[:-1] = observations[1:]
    following[np.cumsum(lengths) - 1] = 0
    return FactoredReplayBuffer(
        observations=observations,
        actions=levels,
        rewards=returns,
        next_observations=following,
        lengths=lengths,
        terminated=np.full(len(lengths), alone),
        action_space=space,
        seed=seed,
    )
