"""How long the loop runs, in which arms, and what a replicate may be told."""

from dataclasses import dataclass

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.capacity.effort import null_joint

HISTORY = 26
"""Weeks that the care team logs before the first list."""

QUARTER = 13
"""Weeks of a quarter."""

QUARTERS = 4
QUARTERS_A_YEAR = 4

ARMS = ("team", "loop", "no exploration", "never relearns")

NOTHING = null_joint(SPACE)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of one replicate.

    Attributes:
        members: Of the caseload at the start.
        explore: Share of the minutes that is drawn by lot.
        copies: Runs of every member by which the next policy's true value is found.
    """

    members: int
    explore: float
    copies: int
