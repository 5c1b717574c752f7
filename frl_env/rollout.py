"""Run a policy on the simulator and count what happened: true values, under common random numbers.

Members, the world's chances and the policy's own draws come from three separate streams of one seed. Two policies
that are rolled out with the same seed meet the same members and the same chances, so that their difference has a far
smaller standard error than either value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError, check_count, check_whole
from frl_env.kinds import check_kind
from frl_env.member_months import per_1000_member_months
from frl_env.parameters import Parameters
from frl_env.references import Policy
from frl_env.simulator.dynamics import effort, enter, step
from frl_env.simulator.population import Members, draw_members
from frl_env.simulator.state import Outcome, State, draw_noise

HORIZON = 52
"""Weeks an episode lasts at most."""

LONGEST = 5_200
"""Weeks that an episode may be asked to last: weeks are counted in 16 bits."""

Recorder = Callable[[int, Members, State, np.ndarray, State, Outcome], None]
"""Called after each week with (week, members, state before, levels, state after, outcome)."""


@dataclass(frozen=True, kw_only=True)
class Returns:
    """Per-member totals of one rollout; one entry a member in every array.

    Attributes:
        value: Undiscounted return, minus (ED visits + hospital stays).
        ed, ip: Events.
        weeks: Weeks as a member, gaps in coverage included.
        contacts: Attempted contacts.
        reached: Contacts that reached the member.
        minutes: Staff minutes.
        cost: Staff cost, US dollars.
    """

    value: Float64[np.ndarray, "member"]
    ed: Float64[np.ndarray, "member"]
    ip: Float64[np.ndarray, "member"]
    weeks: Float64[np.ndarray, "member"]
    contacts: Float64[np.ndarray, "member"]
    reached: Float64[np.ndarray, "member"]
    minutes: Float64[np.ndarray, "member"]
    cost: Float64[np.ndarray, "member"]

    def summary(self) -> dict[str, float]:
        """Mean value with its standard error, and rates people know."""
        weeks = self.weeks.sum()
        return {
            "value": float(self.value.mean()),
            "se": standard_error(self.value),
            "weeks_per_member": float(weeks / len(self.weeks)),
            "ed_per_1000_member_months": per_1000_member_months(float(self.ed.sum()), float(weeks)),
            "ip_per_1000_member_months": per_1000_member_months(float(self.ip.sum()), float(weeks)),
            "contacts_per_week": float(self.contacts.sum() / weeks),
            "reached_per_week": float(self.reached.sum() / weeks),
            "effort_minutes_per_week": float(self.minutes.sum() / weeks),
            "cost_per_week": float(self.cost.sum() / weeks),
        }


def standard_error(values: Float64[np.ndarray, "member"]) -> float:
    """Standard error of the mean over members."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def rollout(
    policy: Policy,
    parameters: Parameters,
    *,
    members: int,
    seed: int | tuple[int, int],
    horizon: int = HORIZON,
    record: Recorder | None = None,
) -> Returns:
    """Runs a policy on freshly drawn members.

    Args:
        policy: Decides for all members at once. If it has a method `start(members)`, that returns the policy for this
            rollout, with an empty memory.
        parameters: The simulated world.
        members: How many members to draw.
        seed: Seed of members, chances and the policy's draws; share it to compare policies. A pair is a seed and the
            number of a shard.
        horizon: Weeks an episode lasts at most.
        record: Called after every week, for those who want more than totals.

    Returns:
        Totals by member.

    Raises:
        UserError: If a number makes no sense, or the policy returns anything but a level a factor for every member.
    """
    check_asked(parameters, members, horizon)
    for part in () if seed is None else seed if isinstance(seed, tuple | list) else (seed,):
        check_count("seed", part)
    who, world, own = (np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3))
    drawn = draw_members(who, members, parameters)
    state = enter(drawn, world, parameters)
    # A policy that keeps something in mind from week to week starts anew with every rollout.
    start = getattr(policy, "start", None)
    running: Any = start(members) if callable(start) else policy
    if not callable(getattr(running, "act", None)):
        raise UserError(
            f"a rollout asks act(members, state, rng), which {type(running).__name__} does not have; "
            "ObservationPolicy(policy) makes it of a function of observations"
        )
    names = ("value", "ed", "ip", "weeks", "contacts", "reached", "minutes", "cost")
    totals = {name: np.zeros(members) for name in names}
    for week in range(horizon):
        levels = _checked(running.act(drawn, state, own), members)
        after, outcome = step(drawn, state, levels, draw_noise(world, members), parameters)
        minutes, cost = effort(levels, outcome.attempted, parameters)
        weekly = (
            outcome.reward,
            outcome.ed,
            outcome.ip,
            state.active,
            outcome.attempted,
            outcome.reached,
            minutes,
            cost,
        )
        for name, amount in zip(names, weekly, strict=True):
            totals[name] += amount
        if record is not None:
            record(week, drawn, state, levels, after, outcome)
        state = after
    return Returns(**totals)


def check_asked(parameters: Parameters, members: int, horizon: int) -> None:
    """Says before any work that such a rollout can't be had.

    Raises:
        UserError: If a number makes no sense, or the parameters are none.
    """
    check_kind("parameters", parameters, Parameters)
    check_whole("members", members, low=1, high=2**31)
    check_whole("horizon", horizon, low=1, high=LONGEST)


def _checked(levels: Any, members: int) -> Int[np.ndarray, "member factor"]:
    """What a policy decided, as whole numbers."""
    table = MEDICAID_ACTIONS.check(levels)
    wanted = (members, len(MEDICAID_ACTIONS.nvec))
    if table.shape != wanted:
        raise UserError(f"the policy returned levels of shape {table.shape} for {members} members; {wanted} is needed")
    invalid = int((~MEDICAID_ACTIONS.is_valid(table)).sum())
    if invalid:
        raise UserError(
            f"the policy took {invalid:,} actions that are not valid, for {members:,} members; choose among "
            "action_space.valid_joints, and give no other a probability"
        )
    return table
