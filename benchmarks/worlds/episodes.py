"""What follows from a world: logged episodes, their flat rows, the true value of a policy, and what it is worth.

score = 100 (value - random) / (optimum - random)         0 for random actions, 100 for the best policy known
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, Int64

from benchmarks.worlds.world import World
from frl_env.datasets import Episodes

Policy = Callable[[Float32[np.ndarray, "episode k"], np.random.Generator], Int64[np.ndarray, "episode f"]]
"""Observations to levels, as `frl_algos.LearnedPolicy` is one."""

EPISODES = 10_000
"""Of a true value."""


@dataclass(frozen=True, kw_only=True)
class References:
    """Mean returns of an episode.

    Attributes:
        random: Of uniformly random actions.
        logged: Of the logging policy.
        best: Of the best policy known.
    """

    random: float
    logged: float
    best: float

    def score(self, value: float) -> float:
        """A value on the scale from random actions, 0, to the best policy, 100."""
        return 100 * (value - self.random) / (self.best - self.random)


def log_rows(world: World, *, rows: int, seed: int) -> Episodes:
    """Episodes under the logging policy, of so many rows in all; the last one is cut off there.

    Args:
        world: Any.
        rows: At least 1.
        seed: Of everything in the episodes.
    """
    episodes = roll_out(world, None, episodes=-(-rows // world.horizon), seed=(seed, 0), noisy=True)
    more = 0
    while episodes.lengths.sum() < rows:
        more += 1
        short = rows - int(episodes.lengths.sum())
        extra = roll_out(world, None, episodes=-(-short // world.horizon), seed=(seed, more), noisy=True)
        episodes = _joined(episodes, extra)
    ends = episodes.lengths.cumsum()
    kept = int(np.searchsorted(ends, rows)) + 1
    lengths, terminated = episodes.lengths[:kept].copy(), episodes.terminated[:kept].copy()
    if ends[kept - 1] > rows:
        lengths[-1] -= ends[kept - 1] - rows
        terminated[-1] = False
    return Episodes(
        observations=episodes.observations[:kept],
        actions=episodes.actions[:kept],
        rewards=episodes.rewards[:kept],
        lengths=lengths,
        terminated=terminated,
    )


def flat(episodes: Episodes) -> dict[str, Any]:
    """Rows one after the other, as `frl_algos.FactoredReplayBuffer` takes them."""
    mask = episodes.mask
    return {
        "observations": episodes.observations[:, :-1][mask],
        "actions": episodes.actions[mask],
        "rewards": episodes.rewards[mask],
        "next_observations": episodes.observations[:, 1:][mask],
        "lengths": episodes.lengths,
        "terminated": episodes.terminated,
    }


def true_returns(
    world: World, policy: Policy, *, episodes: int = EPISODES, seed: int = 0
) -> Float[np.ndarray, "episode"]:
    """Undiscounted return of each episode under a policy, without the noise of rewards.

    Args:
        world: Any.
        policy: Observations to levels.
        episodes: How many.
        seed: The same chances, as far as that goes, for every policy.
    """
    return roll_out(world, policy, episodes=episodes, seed=(seed, 1_000_003), noisy=False).rewards.sum(axis=1)


def references(world: World, *, episodes: int = EPISODES, seed: int = 0) -> References:
    """Returns of random actions, of the logging policy and of the best one known."""
    chances = (seed, 1_000_003)

    def mean(choose: Any) -> float:
        rolled = roll_out(world, None, episodes=episodes, seed=chances, noisy=False, choose=choose)
        return float(rolled.rewards.sum(axis=1, dtype=np.float64).mean())

    return References(
        random=mean(lambda state, rng: world.at_random(len(state), rng)),
        logged=mean(world.log),
        best=mean(lambda state, rng: world.best(state)),
    )


def roll_out(
    world: World,
    policy: Policy | None,
    *,
    episodes: int,
    seed: int | tuple[int, ...],
    noisy: bool,
    choose: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None = None,
) -> Episodes:
    """Episodes under a policy.

    Args:
        world: Any.
        policy: Observations to levels; None for one that sees the state.
        episodes: How many.
        seed: Of everything.
        noisy: Whether rewards carry the world's noise.
        choose: State to levels, without a policy; the logging policy by default.
    """
    rng, decisions = (np.random.default_rng((*np.atleast_1d(seed), stream)) for stream in (0, 1))
    choose = choose or world.log
    steps, factors = world.horizon, len(world.nvec)
    state = world.start(episodes, rng)
    observations = np.zeros((episodes, steps + 1, world.observation_size), dtype=np.float32)
    observations[:, 0] = world.observe(state)
    actions = np.zeros((episodes, steps, factors), dtype=np.int64)
    rewards = np.zeros((episodes, steps), dtype=np.float32)
    lengths = np.full(episodes, steps, dtype=np.int64)
    terminated = np.zeros(episodes, dtype=bool)
    for step in range(steps):
        here = np.flatnonzero(~terminated)
        if not len(here):
            break
        levels = choose(state[here], decisions) if policy is None else policy(observations[here, step], decisions)
        done = world.step(state[here], levels, rng)
        state[here] = done.state
        noise = rng.normal(0.0, world.noise, len(here)) if noisy and world.noise else 0.0
        actions[here, step] = levels
        rewards[here, step] = done.rewards + noise
        observations[here, step + 1] = world.observe(done.state)
        terminated[here] = done.ended
        lengths[here[done.ended]] = step + 1
    return Episodes(observations=observations, actions=actions, rewards=rewards, lengths=lengths, terminated=terminated)


def _joined(first: Episodes, second: Episodes) -> Episodes:
    names = ("observations", "actions", "rewards", "lengths", "terminated")
    return Episodes(**{name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in names})
