"""A policy with gains and a budget, for one caseload: who is contacted this week, and what is remembered of it."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from frl_env.capacity.allocation import Allocation
from frl_env.capacity.capacity import Capacity
from frl_env.capacity.deciding import decide_within
from frl_env.capacity.effort import Effort


class CaseloadPolicy:
    """Decides week by week for the same members, within capacity; called once a week.

    Args:
        policy: Offers gains, with a memory.
        effort: Staff minutes of each action.
        capacity: Of every week.
    """

    def __init__(self, policy: Any, effort: Effort, capacity: Capacity) -> None:
        """Checks that the capacity fits."""
        capacity.check(effort.action_space)
        self.policy, self.effort, self.capacity = policy, effort, capacity
        self.memory: Float32[np.ndarray, "member m"] | None = None

    def start(self, members: int) -> "CaseloadPolicy":
        """The same policy for so many members of whom nothing is known yet."""
        started = CaseloadPolicy(self.policy, self.effort, self.capacity)
        started.memory = self.policy.start_memory(members)
        return started

    def decide(self, observations: Float32[np.ndarray, "member k"], rng: np.random.Generator) -> Allocation:
        """This week's contacts, with the propensity of each; the memory takes them as done.

        Args:
            observations: Of the same members in the same order every week. With another number of members the memory
                starts anew, and nothing is known of anybody.
            rng: For ties.
        """
        if self.memory is None or len(self.memory) != len(observations):
            self.memory = self.policy.start_memory(len(observations))
        decided = decide_within(self.policy, self.effort, self.capacity, observations, rng, memory=self.memory)
        self.memory = self.policy.remember(self.memory, observations, decided.joints)
        return decided

    def __call__(
        self, observations: Float32[np.ndarray, "member k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "member factor"]:
        """Levels of this week's contacts."""
        return self.effort.action_space.unravel(self.decide(observations, rng).joints)
