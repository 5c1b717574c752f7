"""What the critics learn from, computed once for a whole dataset before training starts.

Targets are computed over whole episodes, so they never depend on which rows share a mini-batch.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from frl_algos.replay import FactoredReplayBuffer
from frl_env.errors import UserError


@dataclass(frozen=True, kw_only=True)
class CriticTargets:
    """One row a transition of the buffer, in its order.

    Attributes:
        returns: Credit-weighted returns, centred and scaled over the whole dataset.
        return_mean, return_scale: What was subtracted and divided by, in units of reward.
        history: Features of everything observed up to the action.
        actions: Position of the logged action among the valid ones.
        attempted: Whether the logged action is anything but "do nothing".
        responses: 1 where the next observation shows a response.
        episodes: Episode of each row.
    """

    returns: Tensor
    return_mean: float
    return_scale: float
    history: Tensor
    actions: Tensor
    attempted: Tensor
    responses: Tensor
    episodes: Tensor


def critic_targets(
    buffer: FactoredReplayBuffer,
    scaled_observations: Float32[np.ndarray, "row k"],
    *,
    decay: float,
    response: int | None,
) -> CriticTargets:
    """Targets of every transition.

    Args:
        buffer: The dataset.
        scaled_observations: Its observations as the networks see them.
        decay: Weight of a reward k steps ahead is decay ** k (discount times TD(lambda)'s lambda).
        response: Index of the observation that shows a response to an action, or None.

    Raises:
        UserError: If a logged action is not valid, or the response is not one of the observations.
    """
    space = buffer.action_space
    position = np.full(space.n_joint, -1, dtype=np.int64)
    position[space.valid_joints] = np.arange(len(space.valid_joints))
    actions = position[buffer.actions]
    if (actions < 0).any():
        raise UserError(f"{int((actions < 0).sum())} logged actions are not valid in {space}; drop or recode them")
    if response is not None and not 0 <= response < buffer.observations.shape[1]:
        raise UserError(f"response observation {response} does not exist; there are {buffer.observations.shape[1]}")
    returns = credit_returns(buffer, decay)
    mean, scale = float(returns.mean()), float(returns.std())
    null = position[space.ravel(space.null_action)]
    shown = np.zeros(len(actions)) if response is None else buffer.next_observations[:, response] > 0
    return CriticTargets(
        returns=torch.as_tensor((returns - mean) / (scale or 1.0), dtype=torch.float32),
        return_mean=mean,
        return_scale=scale or 1.0,
        history=torch.as_tensor(history_features(scaled_observations, buffer.starts, buffer.lengths)),
        actions=torch.as_tensor(actions),
        attempted=torch.as_tensor(actions != null),
        responses=torch.as_tensor(shown, dtype=torch.float32),
        episodes=torch.as_tensor(np.repeat(np.arange(len(buffer.lengths)), buffer.lengths)),
    )


def credit_returns(buffer: FactoredReplayBuffer, decay: float) -> np.ndarray:
    """Sum over the rest of the episode of decay ** k times the reward k steps ahead; `(rows,)`."""
    grid, mask = _to_grid(buffer.rewards, buffer.starts, buffer.lengths)
    returns = np.zeros_like(grid, dtype=np.float64)
    following = np.zeros(len(grid))
    for t in range(grid.shape[1] - 1, -1, -1):
        following = grid[:, t] + decay * following
        returns[:, t] = following
    return returns[mask]


def history_features(
    scaled_observations: Float32[np.ndarray, "row k"],
    starts: Int64[np.ndarray, "episode"],
    lengths: Int64[np.ndarray, "episode"],
    fading: float = 0.8,
) -> Float32[np.ndarray, "row feature"]:
    """The observation, its mean and its fading sum over the episode so far, and the time; `(rows, 3 k + 1)`.

    Args:
        scaled_observations: As the networks see them; squashed by the signed logarithm for the summaries.
        starts: First row of each episode.
        lengths: Rows of each episode.
        fading: What is kept of the fading sum from one step to the next.
    """
    squashed = np.sign(scaled_observations) * np.log1p(np.abs(scaled_observations))
    grid, mask = _to_grid(squashed, starts, lengths)
    steps = np.arange(1, grid.shape[1] + 1, dtype=np.float32)
    mean = np.cumsum(grid, axis=1) / steps[None, :, None]
    faded = np.zeros_like(grid)
    total = np.zeros_like(grid[:, 0])
    for t in range(grid.shape[1]):
        total = fading * total + (1 - fading) * grid[:, t]
        faded[:, t] = total
    time = np.broadcast_to((steps / grid.shape[1])[None, :, None], (*grid.shape[:2], 1))
    summary = np.concatenate([mean, faded, time], axis=2)[mask]
    return np.concatenate([scaled_observations, summary], axis=1).astype(np.float32)


def _to_grid(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, Bool[np.ndarray, "episode step"]]:
    """Flat rows as one row an episode, zero after its end, and the mask that flattens it back."""
    mask = np.arange(int(lengths.max())) < np.asarray(lengths)[:, None]
    grid = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    grid[mask] = values
    return grid, mask
