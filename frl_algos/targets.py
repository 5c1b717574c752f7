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
        residuals: Credit-weighted return less what the history so far predicts, in standard deviations of the return;
            with a response, what the histories of attempts predict.
        return_mean, return_scale: Mean and standard deviation of the return, in units of reward.
        value: Weights of a linear state value on `value_features`, in standard deviations.
        value_error, history_error: Mean squared error of the state value and of the prediction from the history, as a
            share of the return's variance; 1 is no better than the mean.
        actions: Position of the logged action among the valid ones.
        attempted: Whether the logged action is anything but "do nothing".
        responses: 1 where the next observation shows a response.
        episodes: Episode of each row.
    """

    residuals: Tensor
    return_mean: float
    return_scale: float
    value: Tensor
    value_error: float
    history_error: float
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
    mean, scale = float(returns.mean()), float(returns.std()) or 1.0
    returns = (returns - mean) / scale
    features = value_features(torch.as_tensor(scaled_observations)).numpy()
    value, fitted = ridge(features, returns)
    history = history_features(scaled_observations, buffer.starts, buffer.lengths)
    history = np.concatenate([features, history, history**2], axis=1)
    residuals = returns - ridge(history, returns)[1]
    attempted = actions != position[space.ravel(space.null_action)]
    history_error = float((residuals**2).mean())
    shown = np.zeros(len(actions), dtype=bool)
    if response is not None:
        shown = buffer.next_observations[:, response] > 0
        if attempted.any():
            # Who is attempted is sicker than the history says; only differences among attempts are wanted.
            residuals[attempted] -= ridge(history[attempted], residuals[attempted])[1]
    return CriticTargets(
        residuals=torch.as_tensor(residuals, dtype=torch.float32),
        return_mean=mean,
        return_scale=scale,
        value=torch.as_tensor(value, dtype=torch.float32),
        value_error=float(((returns - fitted) ** 2).mean()),
        history_error=history_error,
        actions=torch.as_tensor(actions),
        attempted=torch.as_tensor(attempted),
        responses=torch.as_tensor(shown, dtype=torch.float32),
        episodes=torch.as_tensor(np.repeat(np.arange(len(buffer.lengths)), buffer.lengths)),
    )


def value_features(scaled_observations: Float32[Tensor, "row k"]) -> Float32[Tensor, "row feature"]:
    """One, the signed logarithm of each scaled observation, and its square; `(rows, 2 k + 1)`."""
    squashed = torch.sign(scaled_observations) * torch.log1p(scaled_observations.abs())
    return torch.cat([torch.ones_like(squashed[:, :1]), squashed, squashed**2], dim=1)


def ridge(
    features: Float32[np.ndarray, "row feature"], target: np.ndarray, penalty: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and fitted values of a ridge regression.

    Returns are so noisy here that a linear model on tamed features predicts them as well as a network does, in closed
    form and before training starts.

    Args:
        features: With a column of ones.
        target: One number a row.
        penalty: On every weight, in rows of a feature of variance 1.
    """
    x = features.astype(np.float64)
    scale = np.sqrt((x**2).mean(axis=0))
    scale[scale < 1e-12] = 1.0
    x = x / scale
    weights = np.linalg.solve(x.T @ x + penalty * np.eye(x.shape[1]), x.T @ target)
    return weights / scale, x @ weights


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
    """Mean and fading sum of the observations over the episode so far, and the time; `(rows, 2 k + 1)`.

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
    return np.concatenate([mean, faded, time], axis=2)[mask].astype(np.float32)


def _to_grid(
    values: np.ndarray, starts: np.ndarray, lengths: np.ndarray
) -> tuple[np.ndarray, Bool[np.ndarray, "episode step"]]:
    """Flat rows as one row an episode, zero after its end, and the mask that flattens it back."""
    mask = np.arange(int(lengths.max())) < np.asarray(lengths)[:, None]
    grid = np.zeros((*mask.shape, *values.shape[1:]), dtype=values.dtype)
    grid[mask] = values
    return grid, mask
