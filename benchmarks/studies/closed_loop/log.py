"""What was seen and done week by week, as the next policy and its estimators take it."""

from dataclasses import dataclass, field, fields

import numpy as np
from jaxtyping import Bool

from benchmarks.studies.closed_loop.settings import QUARTERS_A_YEAR
from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.evaluation import LoggedEpisodes


@dataclass(kw_only=True, eq=False)
class Log:
    """What was seen and done, a list entry a week, all members in every array.

    Attributes:
        observations: Before the decision.
        joints: Decisions.
        propensities: Of them.
        rewards: Of the week after.
        active: Who was a member; who was without coverage is one, and is on no list.
        gap: Who was without coverage.
        expected: Events that were to be expected, for true values only.
        minutes: Staff minutes of attempts.
    """

    observations: list[np.ndarray] = field(default_factory=list)
    joints: list[np.ndarray] = field(default_factory=list)
    propensities: list[np.ndarray] = field(default_factory=list)
    rewards: list[np.ndarray] = field(default_factory=list)
    active: list[np.ndarray] = field(default_factory=list)
    gap: list[np.ndarray] = field(default_factory=list)
    expected: list[np.ndarray] = field(default_factory=list)
    minutes: list[np.ndarray] = field(default_factory=list)

    def copy(self) -> "Log":
        """A copy that can go on with other weeks than the original."""
        return Log(**{each.name: list(getattr(self, each.name)) for each in fields(self)})

    def value(self, weeks: slice) -> float:
        """Minus the events that were to be expected in some weeks, a member-year of those who were there."""
        return -float(np.sum(self.expected[weeks], axis=0).mean()) * QUARTERS_A_YEAR

    def episodes(self, members: Bool[np.ndarray, "member"], weeks: slice, last: np.ndarray | None) -> LoggedEpisodes:
        """The logged weeks of some members, from the first of the weeks on.

        Args:
            members: Whose; those who were not there in the first of the weeks are left out.
            weeks: Which.
            last: Numbers of every member-week to append to the observations, `(week, member, m)`.
        """
        active = np.stack(self.active[weeks], axis=1)
        who = members & active[:, 0]
        observations = np.stack(self.observations[weeks], axis=1)
        if last is not None:
            observations = np.concatenate((observations, np.swapaxes(last[weeks], 0, 1)), axis=2)
        return LoggedEpisodes(
            rewards=np.where(active, np.stack(self.rewards[weeks], axis=1), 0.0)[who],
            lengths=active.sum(axis=1)[who],
            actions=np.stack(self.joints[weeks], axis=1)[who],
            action_space=SPACE,
            observations=observations[who],
            propensities=np.stack(self.propensities[weeks], axis=1)[who],
            simulated=True,
        )
