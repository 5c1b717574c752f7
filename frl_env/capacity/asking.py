"""What a policy can say about contacts, and the one place where it is asked.

| Kind            | Method                              | Returns                                               |
|-----------------|-------------------------------------|-------------------------------------------------------|
| "gains"         | `gains(observations)`               | gains of the valid actions over doing nothing         |
|                 | `gains(observations, memory)`       | the same, for a policy with a memory (`start_memory`) |
|                 | `gains_at(members, state)`          | the same, for a policy that sees the simulator        |
| "probabilities" | `probabilities(observations)`       | probabilities of all joint actions                    |
|                 | `joint_probabilities(members, state)` | the same, for a policy that sees the simulator      |
| "actions"       | `act(members, state, rng)`          | levels, one row a member                              |
|                 | `policy(observations, rng)`         | the same                                              |

A policy that has a method but can't answer says so with a false attribute `offers_gains` or `offers_probabilities`.
A policy that offers gains for some actions only names their joint indices, ascending, in an attribute `joints`.

A memory is an array `(members, m)` of whatever the policy wants to know next week. `start_memory(members)` makes it,
and after each week's decisions `remember(memory, observations, joints)` returns the next one. It is kept by whoever
runs the policy, so that the policy itself stays the same for everybody.
"""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.errors import UserError, unknown_name

GAINS, PROBABILITIES, ACTIONS = "gains", "probabilities", "actions"
_METHODS = {GAINS: ("gains_at", "gains"), PROBABILITIES: ("joint_probabilities", "probabilities"), ACTIONS: ("act",)}


def says(policy: Any, by: str | None = None) -> str:
    """What a policy is asked for: the most it can say, or what is wished.

    Raises:
        UserError: If the wish is unknown or the policy can't fulfil it, or it can say nothing at all.
    """
    if by is not None and by not in _METHODS:
        raise unknown_name("way to ask a policy", by, _METHODS)
    for kind, methods in _METHODS.items():
        able = any(callable(getattr(policy, name, None)) for name in methods) or (kind == ACTIONS and callable(policy))
        able = able and getattr(policy, f"offers_{kind}", True)
        if able and by in (None, kind):
            return kind
    wish = f"no {by}" if by else "neither gains nor probabilities nor actions"
    raise UserError(f"{type(policy).__name__} offers {wish}; see docs/capacity.md for what a policy can offer")


def has_memory(policy: Any) -> bool:
    """Whether a policy keeps something in mind from week to week."""
    return callable(getattr(policy, "start_memory", None))


def sees_simulator(policy: Any, kind: str) -> bool:
    """Whether it is asked with members and state instead of observations."""
    return kind != ACTIONS and callable(getattr(policy, _METHODS[kind][0], None))


def as_table(what: str, given: Any) -> np.ndarray:
    """An array with a row for each member.

    Raises:
        UserError: If it is something else.
    """
    try:
        table = np.asarray(given)
    except ValueError:
        raise UserError(f"{what} are no array: their rows differ in length; give a row for each member") from None
    if table.ndim == 0:
        raise UserError(f"{what} must be an array with a row for each member, not {type(given).__name__}")
    return table


def check_rows(what: str, answer: Any, members: int) -> np.ndarray:
    """What a policy answered as an array, a row for each member it was asked about.

    Raises:
        UserError: If it is something else.
    """
    table = as_table(what, answer)
    if len(table) != members:
        raise UserError(
            f"{what} have shape {table.shape} where {members} members were asked about; give a row for each"
        )
    return table


def check_memory(policy: Any, memory: Any, members: int) -> np.ndarray:
    """A memory as an array, as the policy itself starts one.

    Raises:
        UserError: If it is of other members, or of another policy.
    """
    table = check_rows("memories", memory, members)
    wanted = np.asarray(policy.start_memory(1)).shape[1:]
    if table.shape[1:] != wanted or not np.issubdtype(table.dtype, np.number):
        raise UserError(
            f"memories are {table.dtype} of shape {table.shape}, not numbers of shape {(members, *wanted)}; they come "
            "from start_memory(members) and remember(memory, observations, joints) of the same policy"
        )
    return table


def check_observes(policy: Any, kind: str) -> None:
    """Says so where a policy has to be asked with members and state, and there are observations alone.

    Raises:
        UserError: If so.
    """
    able = callable(policy) if kind == ACTIONS else callable(getattr(policy, kind, None))
    if not able:
        wanted = "a function of observations and a generator" if kind == ACTIONS else f"{kind}(observations)"
        raise UserError(
            f"{type(policy).__name__} is asked with simulated members and their state, which are not known here; "
            f"{wanted} is needed (Budgeted runs it on the simulator)"
        )


def joints_of(policy: Any) -> Int64[np.ndarray, "action"] | None:
    """Actions for which a policy offers gains; None means the valid ones."""
    own = getattr(policy, "joints", None)
    return None if own is None else np.asarray(own)


def gains_of(
    policy: Any, observations: np.ndarray, memory: Float64[np.ndarray, "member m"] | None
) -> Float64[np.ndarray, "member action"]:
    """Asks for gains, with the memory if there is one."""
    return policy.gains(observations) if memory is None else policy.gains(observations, memory)
