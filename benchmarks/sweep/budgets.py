"""Budgets of a sweep: one training, scored with as many staff minutes as each budget has.

A *slot* names what was scored: a mode ("greedy"), or a mode within a budget ("greedy @ team"). Without a budget there
is always a slot: scores and fairness are of it.
"""

import json
from collections.abc import Mapping
from typing import Any

from frl_algos.policies.adapter import modes
from frl_algos.policies.policy import GainPolicy, LearnedPolicy, has_gains, has_probabilities
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.capacity import Capacity, parse_budgets
from frl_env.capacity.asking import ACTIONS, GAINS, PROBABILITIES, has_memory
from frl_env.reference_returns import reference_scores
from frl_env.worlds import World

NONE, TEAM = "none", "team"
BETWEEN = " @ "

ALLOCATED = {GAINS: "by gain a minute", PROBABILITIES: "at a price a minute", ACTIONS: "dropped at random"}
"""How a policy keeps within a budget, in words."""


def slot(mode: str, budget: str) -> str:
    """What a mode within a budget is called."""
    return mode if budget == NONE else f"{mode}{BETWEEN}{budget}"


def mode_and_budget(name: str) -> tuple[str, str]:
    """The mode and the budget of a slot."""
    mode, _, budget = name.partition(BETWEEN)
    return mode, budget or NONE


def amount(budget: str) -> str | float:
    """A budget as the scorecard says it: a number where it is one, else the word or the file."""
    try:
        return float(budget)
    except ValueError:
        return budget


def team_minutes(world: World, *, horizon: int, members: int) -> float:
    """Staff minutes a member-week of the care team: as published for a named world, else measured."""
    return reference_scores(world, horizon=horizon, members=members)["behaviour"]["effort_minutes_per_week"]


def budgets_of(text: str, world: World, *, horizon: int, members: int) -> str:
    """The budgets as a run keeps them, JSON: what was typed, and what it comes to.

    Args:
        text: After `--budget`.
        world: Whose team is meant by "team".
        horizon: Weeks an episode lasts at most.
        members: Members, if the team's minutes have to be measured.

    Raises:
        UserError: If one is no budget, or names what the actions don't have.
    """
    parsed = parse_budgets(text, team=team_minutes(world, horizon=horizon, members=members))
    for capacity in parsed.values():  # before anything is trained
        capacity.check(MEDICAID_ACTIONS)
    return json.dumps({label: capacity.to_json() for label, capacity in parsed.items() if not capacity.unlimited})


def capacities(said: str) -> dict[str, Capacity]:
    """Capacities by what was typed, from `budgets_of`."""
    found = {}
    for label, fields in json.loads(said).items():
        forbidden = tuple(fields.get("forbidden", ()))
        found[label] = Capacity(**{**fields, "forbidden": forbidden})
    return found


def budget_policy(algorithm: Any, space: ActionSpace, mode: str) -> tuple[Any, str] | None:
    """An algorithm as `frl_env.capacity.Budgeted` asks it, and what it is asked for; None where a mode adds nothing.

    One that offers gains is asked for them, in its first mode only: they are the same in every mode.
    """
    if mode == GAINS:
        return algorithm, GAINS
    if has_gains(algorithm):
        if mode != modes(algorithm)[0]:
            return None
        return (GainPolicy(algorithm, space, mode) if has_memory(algorithm) else algorithm), GAINS
    asked = PROBABILITIES if mode == "stochastic" and has_probabilities(algorithm) else ACTIONS
    return LearnedPolicy(algorithm, space, mode), asked


def finite(said: Mapping[str, Capacity]) -> dict[str, float]:
    """Minutes of the budgets that are a number of minutes and nothing else, fewest first."""
    minutes = {
        label: each.minutes
        for label, each in said.items()
        if each.minutes is not None and each == Capacity(minutes=each.minutes)
    }
    return dict(sorted(minutes.items(), key=lambda item: item[1]))
