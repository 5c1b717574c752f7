"""What the reference policies are worth with so many staff minutes, in each named world.

    no program < heuristic < best on record and past contacts < oracle <= upper bound

Policies that only act (random, heuristic, best observation-only) lose contacts at random; the best on record and past
contacts is `RecordRule` with searched numbers; the oracle takes contacts by what they prevent a minute, with full
information; the upper bound is no policy (`frl_env.search.capacity_bound`). `frl capacity` measures them again.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from frl_env.capacity import Budgeted, Capacity, parse_budget, parse_budgets
from frl_env.care_effort import care_effort
from frl_env.errors import UserError
from frl_env.files import atomic
from frl_env.parameters import VERSION, Parameters
from frl_env.reference_returns import SEED, reference_scores
from frl_env.references import Heuristic, NoProgram, Oracle, Policy, UniformRandom
from frl_env.rollout import HORIZON, Returns, rollout, standard_error
from frl_env.search.capacity_bound import Relaxed
from frl_env.search.oracle_gains import OracleGains
from frl_env.search.policy_search import best_observation_only, search_key
from frl_env.search.record_rule import RecordRule
from frl_env.search.rule_search import CANDIDATES, search_rule
from frl_env.search.rule_search import MEMBERS as SEARCH_MEMBERS
from frl_env.search.rule_search import SEED as SEARCH_SEED
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.worlds import LADDER, World, environment_id

BUDGETS = ("1.0", "team", "7.0")
"""Budgets at which figures are kept."""

WORLDS = ("frl/MedicaidCare-v0", "frl/MedicaidCareScreened-v0", "frl/MedicaidCareNull-v0")
"""Worlds of which figures are kept."""

SEARCH_WORLD = "frl/MedicaidCare-v0"
SEARCHES = (("team", 20), ("7.0", 8), ("1.0", 8))
"""Budget and generations of each search for a rule; each starts where the one before it ended."""

MEMBERS = 20_000
"""Members on whom each reference is measured."""

BOUND = "upper_bound"
ORDER = ("no_program", "heuristic", "best_record_and_contacts", "oracle")
"""Policies that are promised to be in this order at the team's own minutes, where contacts do something."""

_RULES, _FIGURES = "data/best_record_and_contacts.json", "data/budget_references.json"


def team_minutes(world: World) -> float:
    """Staff minutes a member-week of the care team that made the data of a world."""
    return reference_scores(world, horizon=HORIZON, members=MEMBERS)["behaviour"]["effort_minutes_per_week"]


def budgets_without_promises(budgets: str) -> dict[str, Capacity]:
    """Budgets that reference policies can keep to, by what was typed; to be asked before any work begins.

    Args:
        budgets: Separated by commas; see `frl_env.capacity.parse_budgets`. A team has no minutes here: what they are
            differs from world to world.

    Raises:
        UserError: If one is no budget, or promises groups a least chance.
    """
    found = parse_budgets(budgets, team=0.0)
    for label, capacity in found.items():
        if capacity.least_chance:
            raise UserError(
                f"budget {label!r} promises groups a least chance, which references that only act can't keep; leave "
                "[least_chance] out"
            )
    return found


def budget_policies(world: World, capacity: Capacity) -> dict[str, Policy]:
    """The reference policies of a world within a capacity, in their order; without the behaviour policy.

    With no limit the oracle is the unbudgeted one, and a rule that only ranks contacts takes every one that gains.
    """
    parameters = world.parameters
    effort = care_effort(parameters)
    policies: dict[str, Any] = {"no_program": NoProgram(), "random": UniformRandom(), "heuristic": Heuristic()}
    found = best_observation_only(world)
    if found is not None:
        policies["best_observation_only"] = found
    rule = best_record_and_contacts(parameters, capacity.minutes)
    if rule is not None:
        policies["best_record_and_contacts"] = rule
    policies["oracle"] = Oracle(parameters) if capacity.unlimited else OracleGains(parameters)
    return {name: Budgeted(policy, effort, capacity) for name, policy in policies.items()}


def best_record_and_contacts(parameters: Parameters, minutes: float | None) -> RecordRule | None:
    """The rule that search found for such a world at the nearest budget, or None when none was searched for.

    Where screening results are observed the same rule reads them, with weights that were not searched for. Without a
    limit there is none: a rule that was searched under a budget ranks contacts, and says nothing about where to stop.

    Raises:
        UserError: If it was found for another version of the parameters.
    """
    stored = _read(_RULES)
    if stored["parameters_version"] != VERSION:
        raise UserError("the stored rules are of another parameter version; run 'frl capacity --search'")
    rules = stored["rules"]
    if minutes is None or not rules:
        return None
    nearest = min(rules, key=lambda known: abs(np.log(float(known) / max(minutes, 1e-3))))
    return replace(RecordRule.from_json(rules[nearest]), screening=parameters.recording.screening > 0)


def budget_references(
    world: World, label: str, capacity: Capacity, *, horizon: int = HORIZON, members: int = MEMBERS
) -> dict[str, dict[str, Any]]:
    """The stored figures of a named world at a budget, or freshly measured ones of any other.

    Args:
        world: The world.
        label: What the budget is called: "team", "none", or the number as typed.
        capacity: What it comes to.
        horizon: Weeks an episode lasts at most.
        members: Members, if they have to be measured.

    Returns:
        For each policy what `Returns.summary` says, `members`, `budget`, `above_behaviour` and `above_behaviour_se`
        (paired), and for those of `ORDER` `above_previous` and its standard error. For `upper_bound` only value, its
        standard error and the distance to the behaviour policy.
    """
    name = environment_id(world)
    figures = _read(_FIGURES)
    known = figures["worlds"].get(name, {}).get(label)
    same = known is not None and figures["parameters_version"] == VERSION and horizon == HORIZON
    if same and world.parameters == LADDER[name].parameters and known["capacity"] == _rounded(capacity.to_json()):
        return known["references"]
    return measure_budget_references(world, {label: capacity}, horizon=horizon, members=members)[label]


def measure_budget_references(
    world: World,
    budgets: Mapping[str, Capacity],
    *,
    members: int = MEMBERS,
    seed: int = SEED,
    horizon: int = HORIZON,
    relaxed: Relaxed | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """True values of the reference policies at each budget, on the same members and chances.

    Args:
        world: The world.
        budgets: Capacities by what they are called.
        members: Members of each rollout.
        seed: Of members and chances.
        horizon: Weeks an episode lasts at most.
        relaxed: The relaxed problem, for the bound; the stored one unless given, and where there is none, no bound.
        progress: Called with (rollouts done, rollouts in all).
    """
    parameters = world.parameters

    def run(policy: Policy) -> Returns:
        return rollout(policy, parameters, members=members, seed=seed, horizon=horizon)

    behaviour, nothing = run(BehaviourPolicy(parameters)), run(NoProgram())
    relaxed = relaxed or stored_bound(parameters, horizon)
    plans = {label: budget_policies(world, capacity) for label, capacity in budgets.items()}
    total, done = sum(map(len, plans.values())), 0
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for label, policies in plans.items():
        rows: dict[str, dict[str, Any]] = {}
        previous = nothing
        for name, policy in policies.items():
            returns = run(policy)
            rows[name] = returns.summary() | _difference("above_behaviour", returns, behaviour)
            rows[name] |= {"members": members, "budget": label}
            if name in ORDER:
                rows[name] |= _difference("above_previous", returns, previous)
                previous = returns
            done += 1
            if progress is not None:
                progress(done, total)
        capacity = budgets[label]
        if relaxed is not None and not capacity.weekly_minutes and not capacity.weekly_contacts:
            rows[BOUND] = _bound_row(relaxed, capacity.minutes, nothing, behaviour) | {"budget": label}
        results[label] = rows
    return results


def stored_bound(parameters: Parameters, horizon: int = HORIZON) -> Relaxed | None:
    """The relaxed problem of a world with these effects, if it was solved and kept."""
    figures = _read(_FIGURES)
    said = figures.get("bounds", {}).get(effects_key(parameters))
    if said is None or said["horizon"] != horizon or figures["parameters_version"] != VERSION:
        return None
    return as_relaxed(said)


def as_relaxed(said: Mapping[str, Any]) -> Relaxed:
    """The relaxed problem from its fields as JSON has them."""
    return Relaxed(**{key: tuple(value) if isinstance(value, list) else value for key, value in said.items()})


def search_all(progress: Callable[[str, int, int], None], *, members: int = SEARCH_MEMBERS) -> Path:
    """Searches for the best rules, as `SEARCHES` says; writes into the package.

    Raises:
        UserError: If the package's folder can't be written.
    """
    world = LADDER[SEARCH_WORLD]
    rules: dict[str, Any] = {}
    tried: dict[str, int] = {}
    start = None
    for label, generations in SEARCHES:
        minutes = round(parse_budget(label, team=team_minutes(world)).minutes or 0.0, 1)
        rule = search_rule(
            world.parameters, Capacity(minutes=minutes), members=members, generations=generations, start=start,
            progress=lambda done, total, what=f"rule for {minutes} minutes": progress(what, done, total),
        )  # fmt: skip
        rules[str(minutes)] = rule.to_json()
        tried[str(minutes)] = generations * CANDIDATES
        start = rule.numbers
    return store_rules(rules, members=members, tried=tried)


def store_rules(rules: Mapping[str, Any], *, members: int, tried: Mapping[str, int]) -> Path:
    """Writes searched rules into the package."""
    content = {
        "parameters_version": VERSION,
        "seed": SEARCH_SEED,
        "members": members,
        "policies_tried": tried,
        "rules": rules,
    }
    return _write(_RULES, content)


def store(
    worlds: Mapping[str, Mapping[str, Mapping[str, Any]]],
    capacities: Mapping[str, Mapping[str, Capacity]],
    bounds: Mapping[str, Any],
    *,
    members: int,
    command: str,
) -> Path:
    """Writes figures into the package, for the next release."""
    content = {
        "parameters_version": VERSION,
        "members": members,
        "seed": SEED,
        "command": command,
        "bounds": bounds,
        "worlds": {
            world: {
                label: {"capacity": capacities[world][label].to_json(), "references": rows}
                for label, rows in budgets.items()
            }
            for world, budgets in worlds.items()
        },
    }
    return _write(_FIGURES, _rounded(content))


def cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Value, distance to the behaviour policy with its standard error, and minutes, for a table."""
    minutes = f"{row['effort_minutes_per_week']:.2f}" if "effort_minutes_per_week" in row else ""
    return f"{row['value']:.4f}", f"{row['above_behaviour']:+.4f}", f"{row['above_behaviour_se']:.4f}", minutes


def markdown(worlds: Mapping[str, Mapping[str, Mapping[str, Mapping[str, Any]]]], *, members: int, command: str) -> str:
    """The figures as a page that names the command which wrote it."""
    lines = [
        "# True values of the reference policies with scarce staff",
        "",
        f"Written by `{command}`; don't edit.",
        f"Parameters {VERSION}, {members:,} members a policy, common random numbers.",
        "What the policies are, and what the bound bounds: [capacity.md](capacity.md).",
        "",
        "Value: mean undiscounted return of a member. Next to it the paired difference to the care team, with",
        "its standard error, and the staff minutes a member-week that were used.",
    ]
    for world, by_budget in worlds.items():
        for label, rows in by_budget.items():
            lines += ["", f"## `{world}`, budget {label}", "", "| policy | value | to behaviour | SE | minutes |"]
            lines.append("|---|---|---|---|---|")
            lines += [f"| {name} | {' | '.join(cells(row))} |" for name, row in rows.items()]
    return "\n".join(lines) + "\n"


def broken_steps(rows: Mapping[str, Mapping[str, Any]], least: float = 5.0) -> dict[str, float]:
    """Steps of the promised order that are smaller than `least`, in standard errors of their paired difference.

    The bound has to be no lower than the oracle.
    """
    steps = {
        name: rows[name]["above_previous"] / max(rows[name]["above_previous_se"], 1e-12)
        for name in ORDER[1:]
        if name in rows
    }
    broken = {name: float(step) for name, step in steps.items() if step < least}
    if BOUND in rows and rows[BOUND]["above_behaviour"] < rows["oracle"]["above_behaviour"]:
        broken[BOUND] = float(rows[BOUND]["above_behaviour"] - rows["oracle"]["above_behaviour"])
    return broken


def _difference(name: str, returns: Returns, other: Returns) -> dict[str, float]:
    difference = returns.value - other.value
    return {name: float(difference.mean()), f"{name}_se": standard_error(difference)}


def _bound_row(relaxed: Relaxed, minutes: float | None, nothing: Returns, behaviour: Returns) -> dict[str, Any]:
    """The upper bound as a row among the references: value and difference to behaviour, with errors."""
    spared, error = relaxed.at(minutes)
    difference = nothing.value - behaviour.value
    return {
        "value": float(nothing.value.mean()) + spared,
        "se": float(np.hypot(standard_error(nothing.value), error)),
        "above_behaviour": float(difference.mean()) + spared,
        "above_behaviour_se": float(np.hypot(standard_error(difference), error)),
    }


def effects_key(parameters: Parameters) -> str:
    """What the bound depends on: how strong the effects are."""
    return search_key(parameters).split(",")[0]


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


@lru_cache(maxsize=2)
def _read(file: str) -> dict[str, Any]:
    place = resources.files("frl_env").joinpath(file)
    try:
        return json.loads(place.read_text())
    except FileNotFoundError:
        return {"parameters_version": VERSION, "rules": {}, "worlds": {}}


def _write(file: str, content: Mapping[str, Any]) -> Path:
    place = Path(str(resources.files("frl_env").joinpath(file)))
    try:
        atomic.write_text(place, json.dumps(content, indent=1) + "\n")
    except OSError as problem:
        raise UserError(f"can't write {place} ({problem.strerror}); --store is for a checkout") from problem
    _read.cache_clear()
    return place
