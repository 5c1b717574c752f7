"""Several weeks of history as one observation: the newest week first, so that indices of observations stay.

row t of an episode, 3 weeks      [ o_t | o_{t-1} | o_{t-2} ],      before the first week: o_0 again
"""

import numpy as np
from jaxtyping import Float32, Int64

from frl_algos.logged_data.episode_grid import to_grid
from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_algos.policies.policy import LearnedPolicy
from frl_env.errors import UserError


def stack_history(buffer: FactoredReplayBuffer, steps: int) -> FactoredReplayBuffer:
    """A buffer whose observations are those of the last `steps` steps, the newest first, `steps * k` wide.

    Names of states say how many steps before they were seen.

    Raises:
        UserError: If `steps` is below 1.
    """
    if steps < 1:
        raise UserError(f"a history has at least 1 step, not {steps}")
    grid, mask = to_grid(buffer.observations, buffer.starts, buffer.lengths)
    following, _ = to_grid(buffer.next_observations, buffer.starts, buffer.lengths)
    longest = grid.shape[1]
    before = [grid[:, np.maximum(np.arange(longest) - lag, 0)] for lag in range(steps)]
    observations = np.concatenate(before, axis=2)
    stacked = FactoredReplayBuffer(
        observations=observations[mask],
        actions=buffer.action_space.unravel(buffer.actions),
        rewards=buffer.rewards,
        next_observations=np.concatenate([following, *before[: steps - 1]], axis=2)[mask],
        lengths=buffer.lengths,
        terminated=buffer.terminated,
        action_space=buffer.action_space,
        seed=buffer.seed,
        groups=buffer.groups,
        need=buffer.need,
        people=buffer.people,
        since=buffer.since,
        simulated=buffer.simulated,
    )
    stacked.effort = buffer.effort
    stacked.state_names = tuple(f"{name}{_before(lag)}" for lag in range(steps) for name in buffer.state_names)
    return stacked


def _before(lag: int) -> str:
    return f", {lag} {'step' if lag == 1 else 'steps'} before" if lag else ""


class HistoryPolicy:
    """A policy that remembers: for one rollout, in which it is called once a step with the same members.

    Args:
        policy: Of an algorithm trained on `stack_history`.
        steps: The same as there.
    """

    def __init__(self, policy: LearnedPolicy, steps: int) -> None:
        """Starts without memory."""
        self.policy = policy
        self.steps = steps
        self._seen: list[np.ndarray] = []

    def __call__(
        self, observations: Float32[np.ndarray, "n k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "n factor"]:
        """Decides for many members from this step's observations and those it saw before."""
        self._seen = [observations, *(self._seen or [observations] * (self.steps - 1))][: self.steps]
        return self.policy(np.concatenate(self._seen, axis=1), rng)
