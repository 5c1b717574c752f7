"""A policy with gains and a budget, for one caseload: who is contacted this week, and what is remembered of it."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from frl_env.capacity.allocation import Allocation
from frl_env.capacity.capacity import Capacity, as_capacity
from frl_env.capacity.deciding import decide_within
from frl_env.capacity.effort import Effort, check_effort
from frl_env.errors import UserError


class CaseloadPolicy:
    """Decides week by week for the same members, within capacity; called once a week.

    Args:
        policy: Offers gains, with a memory.
        effort: Staff minutes of each action.
        capacity: Of every week, or staff minutes a member-week.

    Raises:
        UserError: If the capacity makes no sense.
    """

    def __init__(self, policy: Any, effort: Effort, capacity: Capacity | float) -> None:
        """Checks that the capacity fits."""
        capacity = as_capacity(capacity)
        check_effort(effort)
        capacity.check(effort.action_space)
        self.policy, self.effort, self.capacity = policy, effort, capacity
        self.memory: Float32[np.ndarray, "member m"] | None = None

    def start(self, members: int) -> "CaseloadPolicy":
        """A copy of the policy for `members` members of whom nothing is known yet."""
        started = CaseloadPolicy(self.policy, self.effort, self.capacity)
        started.memory = self.policy.start_memory(members)
        return started

    def decide(self, observations: Float32[np.ndarray, "member k"], rng: np.random.Generator) -> Allocation:
        """This week's contacts, with the propensity of each; the memory takes them as done.

        Args:
            observations: Of the same members in the same order every week.
            rng: For ties.

        Raises:
            UserError: If there are more or fewer members than in the week before, or a shape is wrong.
        """
        members = len(observations)
        if self.memory is not None and len(self.memory) != members:
            raise UserError(
                f"{members} members are to be decided about, and {len(self.memory)} are remembered: they must be the "
                "same ones in the same order. Call start(members) for another caseload; where members come and go, "
                "keep a memory of your own and pass it to frl_env.capacity.decide_within"
            )
        memory = self.policy.start_memory(members) if self.memory is None else self.memory
        decided = decide_within(self.policy, self.effort, self.capacity, observations, rng, memory=memory)
        self.memory = self.policy.remember(memory, observations, decided.joints)
        return decided

    def __call__(
        self, observations: Float32[np.ndarray, "member k"], rng: np.random.Generator
    ) -> Int64[np.ndarray, "member factor"]:
        """Levels of this week's contacts."""
        return self.effort.action_space.unravel(self.decide(observations, rng).joints)
