"""What the reference policies are worth in each named world: measured once, kept in the package.

    no program < behaviour < heuristic < best observation-only < oracle

`frl references` measures them again. The zero of a normalised score is no program, "what would have happened anyway";
its hundred is the best policy on the observations that search found, because no learner that sees only the record can
be asked for more.
"""

import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

from frl_env.errors import UserError
from frl_env.files import atomic
from frl_env.parameters import VERSION
from frl_env.references import Heuristic, NoProgram, Oracle, Policy, UniformRandom
from frl_env.rollout import HORIZON, Returns, rollout, standard_error
from frl_env.search.policy_search import best_observation_only
from frl_env.simulator.behaviour import BehaviourPolicy
from frl_env.worlds import LADDER, World, environment_id

MEMBERS = 50_000
"""Members on whom each reference is measured."""

SEED = 977
"""Members and seed of the stored figures; no dataset is collected with this seed."""

FLOOR = "no_program"

LEAST_STEP = 5.0
"""Standard errors by which each policy of the order has to be above the one before it."""

ORDERED = ("frl/MedicaidCare-v0", "frl/MedicaidCareScreened-v0")
"""Worlds where the order is promised."""


def reference_policies(world: World) -> dict[str, Policy]:
    """The reference policies of a world, worst first; the searched one only where one was searched for."""
    parameters = world.parameters
    policies: dict[str, Policy] = {
        "no_program": NoProgram(),
        "random": UniformRandom(),
        "behaviour": BehaviourPolicy(parameters),
        "heuristic": Heuristic(),
    }
    found = best_observation_only(world)
    if found is not None:
        policies["best_observation_only"] = found
    return policies | {"oracle": Oracle(parameters)}


def ceiling(references: Mapping[str, Any]) -> str:
    """Name of the reference that scores 100."""
    return "best_observation_only" if "best_observation_only" in references else "oracle"


def measure_references(
    world: World,
    *,
    members: int = MEMBERS,
    seed: int = SEED,
    horizon: int = HORIZON,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, float]]:
    """True values of the reference policies, on the same members and chances.

    Returns:
        For each policy what `Returns.summary` says, `members`, `above_behaviour` and `above_behaviour_se` (paired), and
        `above_previous` and `above_previous_se` against the policy before it in the list.
    """
    policies = reference_policies(world)
    returns: dict[str, Returns] = {}
    for done, (name, policy) in enumerate(policies.items(), start=1):
        returns[name] = rollout(policy, world.parameters, members=members, seed=seed, horizon=horizon)
        if progress is not None:
            progress(done, len(policies))
    scores: dict[str, dict[str, float]] = {}
    previous = FLOOR
    for name, result in returns.items():
        scores[name] = result.summary() | {"members": members}
        for against, key in (("behaviour", "above_behaviour"), (previous, "above_previous")):
            difference = result.value - returns[against].value
            scores[name] |= {key: float(difference.mean()), f"{key}_se": standard_error(difference)}
        # Random is no rung: it may be better or worse than the care team.
        previous = previous if name == "random" else name
    return scores


def reference_scores(world: World, *, horizon: int, members: int) -> dict[str, dict[str, float]]:
    """The stored figures of a named world, or freshly measured ones of any other.

    Args:
        world: The world.
        horizon: Weeks an episode lasts at most.
        members: Members, if they have to be measured.
    """
    stored = _stored()
    name = environment_id(world)
    if world.parameters == LADDER[name].parameters and horizon == HORIZON and stored["parameters_version"] == VERSION:
        return stored["worlds"][name]
    return measure_references(world, members=members, horizon=horizon)


def store(worlds: Mapping[str, Mapping[str, Mapping[str, float]]], *, members: int, command: str) -> Path:
    """Writes the figures into the package, for the next release; returns where.

    Raises:
        UserError: If the package's folder can't be written.
    """
    place = Path(str(resources.files("frl_env").joinpath("data/reference_returns.json")))
    rounded = {
        world: {name: {key: float(f"{value:.6g}") for key, value in row.items()} for name, row in rows.items()}
        for world, rows in worlds.items()
    }
    content = {"parameters_version": VERSION, "members": members, "seed": SEED, "command": command, "worlds": rounded}
    try:
        atomic.write_text(place, json.dumps(content, indent=1) + "\n")
    except OSError as problem:
        raise UserError(f"can't write {place} ({problem.strerror}); --store is for a checkout") from problem
    _stored.cache_clear()
    return place


def markdown(worlds: Mapping[str, Mapping[str, Mapping[str, float]]], *, members: int, command: str) -> str:
    """The figures as a page that names the command which wrote it."""
    lines = [
        "# True values of the reference policies",
        "",
        f"Written by `{command}`; don't edit.",
        f"Parameters {VERSION}, {members:,} members a policy, common random numbers.",
        "",
        "Value: mean undiscounted return of a member, minus ED visits and hospital stays in at most 52 weeks.",
        "The last two columns are paired differences with their standard errors: to the care team's policy,",
        "and to the policy before it (random left out). A dash: the difference is exactly 0.",
    ]
    for world, rows in worlds.items():
        lines += ["", f"## `{world}`", ""]
        lines.append(
            "| policy | value | SE | ED | IP | attempts a week | minutes a week | to behaviour | to the one before |"
        )
        lines.append("|---|---|---|---|---|---|---|---|---|")
        for name, row in rows.items():
            lines.append(
                f"| {name} | {row['value']:.4f} | {row['se']:.4f} | {row['ed_per_1000_member_months']:.1f} "
                f"| {row['ip_per_1000_member_months']:.1f} | {row['contacts_per_week']:.3f} "
                f"| {row['effort_minutes_per_week']:.1f} | {_difference(row, 'above_behaviour')} "
                f"| {_difference(row, 'above_previous')} |"
            )
        rungs = ladder_check(rows)
        if rungs:
            lines += ["", rungs]
    return "\n".join([*lines, "", "ED, IP: per 1,000 member-months."]) + "\n"


def broken_steps(rows: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Steps of the order that are smaller than `LEAST_STEP`, in standard errors."""
    steps = {
        name: row["above_previous"] / row["above_previous_se"] if row["above_previous_se"] > 0 else 0.0
        for name, row in rows.items()
        if name not in (FLOOR, "random")
    }
    return {name: step for name, step in steps.items() if step < LEAST_STEP}


def ladder_check(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Says whether the order of the policies holds, and how much of the gap to the oracle observations allow."""
    if "best_observation_only" not in rows:
        return ""
    broken = broken_steps(rows)
    if broken:
        named = ", ".join(f"{name} ({step:+.1f} standard errors)" for name, step in broken.items())
        words = f"The order does not hold here: not above the policy before it: {named}."
    else:
        words = f"Every step of the order is at least {LEAST_STEP:.0f} standard errors."
    share = rows["best_observation_only"]["above_behaviour"] / (rows["oracle"]["above_behaviour"] or float("nan"))
    if share < 0:
        return f"{words}\nThe care team, which sees part of the latent state, beats the best policy on observations."
    return f"{words}\nBest observation-only closes {100 * share:.0f} % of the way from behaviour to oracle."


def _difference(row: Mapping[str, float], key: str) -> str:
    return f"{row[key]:+.4f} ({row[f'{key}_se']:.4f})" if row[f"{key}_se"] > 0 else "-"


@lru_cache(maxsize=1)
def _stored() -> dict[str, Any]:
    place = resources.files("frl_env").joinpath("data/reference_returns.json")
    return json.loads(place.read_text())
