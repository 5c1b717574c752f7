"""What the critics learn from, computed once for a whole dataset before training starts.

Targets are computed over whole episodes, so they never depend on which rows share a mini-batch. What needs many columns
a row is made part by part, so that memory does not grow with the data beyond a few numbers a row.
"""

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from frl_algos.effects.terms import null_position
from frl_algos.logged.member_parts import parts
from frl_algos.logged.replay import FactoredReplayBuffer, to_grid
from frl_env.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Targets:
    """One row a transition of the buffer, in its order; returns in units of reward.

    Attributes:
        returns: Credit-weighted return.
        history: What the history so far predicts of it.
        residuals: The difference.
        value_weights: Weights of a linear state value on `value_features`.
        value_error, history_error: Mean squared error of the state value and of the prediction from the history, as a
            share of the return's variance; 1 is no better than the mean.
        sign: 1 or -1 where rewards are all of that sign, as counts of events are; else 0.
        actions: Position of the logged action among the valid ones.
        attempted: Whether the logged action is anything but "do nothing".
        responses: 1 where the next observation shows a response.
        episodes: Episode of each row.
        halves: Half of the people of each row, 0 or 1: what is estimated from one is judged by the other.
    """

    returns: np.ndarray
    history: np.ndarray
    residuals: np.ndarray
    value_weights: np.ndarray
    value_error: float
    history_error: float
    sign: int
    actions: np.ndarray
    attempted: np.ndarray
    responses: np.ndarray
    episodes: np.ndarray
    halves: np.ndarray

    def of(self, rows: Int64[np.ndarray, "some_rows"]) -> "Targets":
        """The targets of some rows."""
        by_row = ("returns", "history", "residuals", "actions", "attempted", "responses", "episodes", "halves")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in by_row})


def compute_targets(
    buffer: FactoredReplayBuffer,
    scaled_observations: Float32[np.ndarray, "row k"],
    *,
    decay: float,
    response: int | None,
) -> Targets:
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
    null = null_position(space)
    if response is not None and not 0 <= response < buffer.observations.shape[1]:
        raise UserError(f"response observation {response} does not exist; there are {buffer.observations.shape[1]}")
    if response is not None and null is None:
        raise UserError(
            f"a response needs an action that does nothing, and {space} has none; name the factors that are null "
            "without a contact in contact_factors of the actions, or set response to None"
        )
    returns = credit_returns(buffer, decay)
    value, fitted, predicted = _predict(scaled_observations, buffer.lengths, returns)
    spread = float(returns.var()) or 1.0
    rewards = buffer.rewards
    return Targets(
        returns=returns,
        history=predicted,
        residuals=returns - predicted,
        value_weights=value,
        value_error=float(((returns - fitted) ** 2).mean()) / spread,
        history_error=float(((returns - predicted) ** 2).mean()) / spread,
        sign=int(bool(rewards.any())) * (int(bool((rewards >= 0).all())) - int(bool((rewards <= 0).all()))),
        actions=actions,
        attempted=np.ones(len(actions), dtype=bool) if null is None else actions != null,
        responses=np.zeros(len(actions)) if response is None else buffer.next_observations[:, response] > 0.0,
        episodes=np.repeat(np.arange(len(buffer.lengths)), buffer.lengths),
        halves=np.repeat(np.unique(buffer.people, return_inverse=True)[1] % 2, buffer.lengths),
    )


def _predict(
    scaled_observations: Float32[np.ndarray, "row k"], lengths: Int64[np.ndarray, "episode"], returns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights of the state value, and what it and the history predict of the returns, by ridge regressions.

    The state value's columns are the first of the history's, so that one pass gathers the sums of both.
    """
    state = 2 * scaled_observations.shape[1] + 1
    total = state + 2 * state
    squares, products = np.zeros((total, total)), np.zeros(total)
    for rows, own in parts(lengths, total):
        x = _columns(scaled_observations[rows], own, int(lengths.max()))
        squares += x.T @ x
        products += x.T @ returns[rows]
    value = _weights(squares[:state, :state], products[:state], len(returns))
    history = _weights(squares, products, len(returns))
    fitted, predicted = np.empty(len(returns)), np.empty(len(returns))
    for rows, own in parts(lengths, total):
        x = _columns(scaled_observations[rows], own, int(lengths.max()))
        fitted[rows], predicted[rows] = x[:, :state] @ value, x @ history
    return value, fitted, predicted


def _columns(
    scaled_observations: Float32[np.ndarray, "row k"], lengths: Int64[np.ndarray, "episode"], longest: int
) -> np.ndarray:
    features = value_features(scaled_observations)
    history = history_features(scaled_observations, np.cumsum(lengths) - lengths, lengths, longest=longest)
    return np.concatenate([features, history, history**2], axis=1, dtype=np.float64)


def _weights(squares: np.ndarray, products: np.ndarray, rows: int) -> np.ndarray:
    """Ridge weights from X'X and X'y, penalised as if each column had variance 1."""
    scale = np.sqrt(np.diagonal(squares) / rows)
    scale = np.where(scale < 1e-12, 1.0, scale)
    return ridge_weights(squares / np.outer(scale, scale), products / scale) / scale


def value_features(scaled_observations: Float32[np.ndarray, "row k"]) -> Float32[np.ndarray, "row feature"]:
    """One, the signed logarithm of each scaled observation, and its square; `(rows, 2 k + 1)`."""
    squashed = np.sign(scaled_observations) * np.log1p(np.abs(scaled_observations))
    return np.concatenate([np.ones_like(squashed[:, :1]), squashed, squashed**2], axis=1)


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
    weights = ridge_weights(x.T @ x, x.T @ target, penalty)
    return weights / scale, x @ weights


def ridge_weights(squares: np.ndarray, products: np.ndarray, penalty: float = 10.0) -> np.ndarray:
    """Weights of a ridge regression from X'X and X'y."""
    return np.linalg.solve(squares + penalty * np.eye(len(squares)), products)


def credit_returns(buffer: FactoredReplayBuffer, decay: float) -> np.ndarray:
    """Sum over the rest of the episode of decay ** k times the reward k steps ahead; `(rows,)`."""
    found = np.empty(len(buffer.rewards))
    for rows, lengths in parts(buffer.lengths, 4):
        grid, mask = to_grid(buffer.rewards[rows], np.cumsum(lengths) - lengths, lengths)
        returns = np.zeros_like(grid, dtype=np.float64)
        following = np.zeros(len(grid))
        for t in range(grid.shape[1] - 1, -1, -1):
            following = grid[:, t] + decay * following
            returns[:, t] = following
        found[rows] = returns[mask]
    return found


def history_features(
    scaled_observations: Float32[np.ndarray, "row k"],
    starts: Int64[np.ndarray, "episode"],
    lengths: Int64[np.ndarray, "episode"],
    fading: float = 0.8,
    longest: int | None = None,
) -> Float32[np.ndarray, "row feature"]:
    """Mean and fading sum of the observations over the episode so far, and the time; `(rows, 2 k + 1)`.

    Args:
        scaled_observations: As the networks see them; squashed by the signed logarithm for the summaries.
        starts: First row of each episode.
        lengths: Rows of each episode.
        fading: What is kept of the fading sum from one step to the next.
        longest: Steps that count as time 1; by default those of the longest episode here.
    """
    squashed = np.sign(scaled_observations) * np.log1p(np.abs(scaled_observations))
    grid, mask = to_grid(squashed, starts, lengths)
    steps = np.arange(1, grid.shape[1] + 1, dtype=np.float32)
    mean = np.cumsum(grid, axis=1) / steps[None, :, None]
    faded = np.zeros_like(grid)
    total = np.zeros_like(grid[:, 0])
    for t in range(grid.shape[1]):
        total = fading * total + (1 - fading) * grid[:, t]
        faded[:, t] = total
    time = np.broadcast_to((steps / (longest or grid.shape[1]))[None, :, None], (*grid.shape[:2], 1))
    return np.concatenate([mean, faded, time], axis=2)[mask].astype(np.float32)
