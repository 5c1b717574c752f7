"""Whole episodes from an environment, in the form of the offline buffer."""

from typing import Any

import numpy as np
import torch

from frl_algos.logged_data.replay import FactoredReplayBuffer
from frl_env.actions import ActionSpace


class Collector:
    """Steps through an environment and keeps whole episodes.

    Args:
        env: Takes joint indices.
        space: The actions they stand for.
    """

    def __init__(self, env: Any, space: ActionSpace) -> None:
        """Starts the first episode, seeded by torch's global generator."""
        self.env, self.space = env, space
        self.finished: list[tuple[list[Any], list[int], list[float], bool]] = []
        self.observation, _ = env.reset(seed=int(torch.randint(2**31 - 1, ())))
        self._start()

    def _start(self) -> None:
        self.seen, self.joints, self.rewards = [self.observation], list[int](), list[float]()

    def step(self, joint: int) -> float | None:
        """Takes a step; the return of the episode when it ended with it."""
        self.observation, reward, terminated, truncated, _ = self.env.step(joint)
        self.seen.append(self.observation)
        self.joints.append(joint)
        self.rewards.append(float(reward))
        if not (terminated or truncated):
            return None
        total = sum(self.rewards)
        self.finished.append((self.seen, self.joints, self.rewards, bool(terminated)))
        self.observation, _ = self.env.reset()
        self._start()
        return total

    def buffer(self, offline: FactoredReplayBuffer | None, seed: int) -> FactoredReplayBuffer | None:
        """Offline and all finished episodes; None as long as there are neither.

        Who the offline episodes are of stays known, and what actions cost. Each finished episode is of another person,
        and since nobody says who stands behind an environment, of real ones.
        """
        if not self.finished:
            return offline
        old = [] if offline is None else [offline]
        new = len(self.finished)
        beyond = 0 if offline is None else int(offline.people.max(initial=-1)) + 1

        def joined(name: str, online: list[Any]) -> np.ndarray:
            return np.concatenate([*(getattr(buffer, name) for buffer in old), *(np.asarray(part) for part in online)])

        together = FactoredReplayBuffer(
            observations=joined("observations", [seen[:-1] for seen, *_ in self.finished]),
            actions=self.space.unravel(joined("actions", [joints for _, joints, *_ in self.finished])),
            rewards=joined("rewards", [rewards for _, _, rewards, _ in self.finished]),
            next_observations=joined("next_observations", [seen[1:] for seen, *_ in self.finished]),
            lengths=joined("lengths", [[len(joints) for _, joints, *_ in self.finished]]),
            terminated=joined("terminated", [[ended for *_, ended in self.finished]]),
            action_space=self.space,
            seed=seed,
            people=joined("people", [beyond + np.arange(new)]),
            since=joined("since", [np.zeros(new, dtype=np.int64)]),
        )
        if offline is not None:
            together.effort, together.state_names = offline.effort, offline.state_names
        return together
