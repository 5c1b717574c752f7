"""What the critics learn from, computed once for a whole dataset before training starts.

Targets are computed over whole episodes, so they never depend on which rows share a mini-batch. What needs many columns
a row is made part by part, so that memory does not grow with the data beyond a few numbers a row.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int, Int64

from frl_algos.action_effects.terms import null_position
from frl_algos.logged_data.episode_grid import to_grid
from frl_algos.logged_data.member_parts import parts
from frl_algos.logged_data.memory_map import release
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.logged_data.scaled_rows import Rows, mean_and_spread
from frl_algos.logged_data.signed_logarithm import squash
from frl_algos.logged_data.valid_positions import valid_positions
from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import people as number_of_people
from frl_env.evaluation.threads import one_ahead


@dataclass(frozen=True, kw_only=True)
class Targets:
    """One row a transition of the buffer, in its order; returns in units of reward.

    Attributes:
        returns: Credit-weighted return.
        history: What the history so far predicts of it.
        value_weights: Weights of a linear state value on `value_features`.
        value_error, history_error: Mean squared error of the state value and of the prediction from the history, as a
            share of the return's variance; 1 is no better than the mean.
        sign: 1 or -1 where rewards are all of that sign, as counts of events are; else 0.
        actions: Position of the logged action among the valid ones.
        attempted: Whether the logged action is anything but "do nothing".
        responses: 1 where the next observation shows a response.
        episodes: Episode of each row.
        halves: Half of the people of each row, 0 or 1: what is estimated from one is judged by the other.
        people: Person of each episode, numbered from 0.
    """

    returns: np.ndarray
    history: np.ndarray
    value_weights: np.ndarray
    value_error: float
    history_error: float
    sign: int
    actions: np.ndarray
    attempted: np.ndarray
    responses: np.ndarray
    episodes: np.ndarray
    halves: np.ndarray
    people: np.ndarray

    @property
    def residuals(self) -> np.ndarray:
        """Returns less what the history predicts; made anew each time."""
        return self.returns - self.history

    def of(self, rows: slice | Int[np.ndarray, "some_rows"]) -> "Targets":
        """The targets of some rows."""
        by_row = ("returns", "history", "actions", "attempted", "responses", "episodes", "halves")
        return dataclasses.replace(self, **{name: getattr(self, name)[rows] for name in by_row})


def compute_targets(
    buffer: FactoredReplayBuffer,
    scaled_observations: Rows,
    *,
    decay: float,
    response: int | None,
    like: Targets | None = None,
) -> Targets:
    """Targets of every transition.

    Args:
        buffer: The dataset.
        scaled_observations: Its observations as the networks see them.
        decay: Weight of a reward k steps ahead is decay ** k (discount times TD(lambda)'s lambda).
        response: Index of the observation that shows a response to an action, or None.
        like: Targets of the same rows with another decay: what does not depend on it is theirs, without a copy.

    Raises:
        UserError: If a logged action is not valid, or the response is not one of the observations.
    """
    space = buffer.action_space
    actions = positions_of(buffer) if like is None else like.actions
    if (invalid := int(np.count_nonzero(actions < 0))) > 0:
        number = number_of_people(invalid, simulated=buffer.simulated)
        raise UserError(f"{number} logged actions are not valid in {space}; drop or recode them")
    null = null_position(space)
    if response is not None and not 0 <= response < buffer.observations.shape[1]:
        raise UserError(f"response observation {response} does not exist; there are {buffer.observations.shape[1]}")
    if response is not None and null is None:
        raise UserError(
            f"a response needs an action that does nothing, and {space} has none; name the factors that are null "
            "without a contact in contact_factors of the actions, or set response to None"
        )
    returns = credit_returns(buffer, decay)
    value, predicted, errors = _predict(scaled_observations, buffer.lengths, returns)
    spread = float(mean_and_spread(len(returns), returns.__getitem__)[1]) ** 2 or 1.0
    rewards = buffer.rewards
    shared = like or _shared(buffer, actions, null, response)
    sign = int(bool(rewards.any())) * (int(bool((rewards >= 0).all())) - int(bool((rewards <= 0).all())))
    release(buffer.next_observations, buffer.actions, rewards)
    return dataclasses.replace(
        shared,
        returns=returns,
        history=predicted,
        value_weights=value,
        value_error=errors[0] / spread,
        history_error=errors[1] / spread,
        sign=sign,
    )


def positions_of(buffer: FactoredReplayBuffer) -> Int[np.ndarray, "row"]:
    """Position of each logged action among the valid ones; -1 where it is none of them."""
    # Of half the bytes, as there is one a row.
    return valid_positions(buffer.action_space).astype(np.int32)[buffer.actions]


def _shared(
    buffer: FactoredReplayBuffer, actions: Int[np.ndarray, "row"], null: int | None, response: int | None
) -> Targets:
    """What does not depend on the decay; each number takes no more bytes than it needs, as there is one a row."""
    none = np.zeros(0)
    lengths = buffer.lengths
    people = np.unique(buffer.people, return_inverse=True)[1].astype(np.int32)
    return Targets(
        returns=none, history=none, value_weights=none, value_error=0.0, history_error=0.0, sign=0,
        actions=actions,
        attempted=np.ones(len(actions), dtype=bool) if null is None else actions != null,
        responses=np.zeros(len(actions), dtype=bool) if response is None else _responses(buffer, response),
        episodes=np.repeat(np.arange(len(lengths), dtype=np.int32), lengths),
        halves=np.repeat((people % 2).astype(np.int8), lengths),
        people=people,
    )  # fmt: skip


def _responses(buffer: FactoredReplayBuffer, response: int) -> np.ndarray:
    return buffer.next_observations[:, response] > 0.0


def _predict(
    scaled_observations: Rows, lengths: Int64[np.ndarray, "episode"], returns: np.ndarray
) -> tuple[np.ndarray, np.ndarray, tuple[float, float]]:
    """Weights of the state value, what the history predicts of the returns, and mean squared errors of both.

    By ridge regressions: returns are so noisy here that a linear model on tamed features predicts them as well as a
    network does, in closed form and before training starts. The state value's columns are the first of the history's,
    so that one pass gathers the sums of both.
    """
    state = 2 * scaled_observations.shape[1] + 1
    total = state + 2 * state
    squares, products = np.zeros((total, total)), np.zeros(total)
    longest = int(lengths.max())

    def columns() -> Iterator[tuple[slice, np.ndarray]]:
        for rows, own in parts(lengths, total):
            yield rows, _columns(scaled_observations[rows], own, longest)

    for rows, x in one_ahead(columns()):
        squares += x.T @ x
        products += x.T @ returns[rows]
    value = _weights(squares[:state, :state], products[:state], len(returns))
    history = _weights(squares, products, len(returns))
    predicted, errors = np.empty(len(returns)), np.zeros(2)
    for rows, x in one_ahead(columns()):
        predicted[rows] = x @ history
        errors += ((returns[rows] - x[:, :state] @ value) ** 2).sum(), ((returns[rows] - predicted[rows]) ** 2).sum()
    return value, predicted, tuple((errors / len(returns)).tolist())


def _columns(
    scaled_observations: Float32[np.ndarray, "row k"], lengths: Int64[np.ndarray, "episode"], longest: int
) -> np.ndarray:
    """What returns are predicted from: the state's features, a summary of the history, and its square."""
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
    squashed = squash(scaled_observations)
    return np.concatenate([np.ones_like(squashed[:, :1]), squashed, squashed**2], axis=1)


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
    squashed = squash(scaled_observations)
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
