"""Scarce staff: who gets the few contacts there are.

*Effort* says how many staff minutes an action takes, *capacity* how many there are in a week. An *allocation* spends
them on the members who gain most by the minute. *Budgeted* makes any policy keep within capacity.
"""

from frl_env.capacity.allocation import Allocation, allocate
from frl_env.capacity.budgeted import Budgeted
from frl_env.capacity.capacity import Capacity, Limits, parse_budget, parse_budgets
from frl_env.capacity.deciding import decide_within
from frl_env.capacity.effort import METADATA, Effort, effort_of
from frl_env.capacity.held_price import HeldPrice
from frl_env.capacity.logged_effort import (
    LoggedEffort,
    ValueAtPrice,
    held_policy,
    held_price,
    logged_effort,
    logged_memory,
    remembered,
    value_at_price,
)

__all__ = [
    "METADATA",
    "Allocation",
    "Budgeted",
    "Capacity",
    "Effort",
    "HeldPrice",
    "Limits",
    "LoggedEffort",
    "ValueAtPrice",
    "allocate",
    "decide_within",
    "effort_of",
    "held_policy",
    "held_price",
    "logged_effort",
    "logged_memory",
    "parse_budget",
    "parse_budgets",
    "remembered",
    "value_at_price",
]
