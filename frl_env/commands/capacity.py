"""`frl capacity`: the reference policies with so many staff minutes, measured, searched for, kept."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from frl_env import budget_references as references
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.capacity import parse_budgets
from frl_env.errors import UserError
from frl_env.files.output_paths import FORCED_REPORT, check_new
from frl_env.search.capacity_bound import relax
from frl_env.terminal import console, progress_bar, write_atomically
from frl_env.worlds import LADDER


def capacity_command(
    budgets: Annotated[
        str, typer.Option(help="Staff minutes a member-week, 'team', 'none' or capacity files; separated by commas.")
    ] = ",".join(references.BUDGETS),
    members: Annotated[
        int, typer.Option(help="Members of each rollout.", min=1_000, max=10_000_000)
    ] = references.MEMBERS,
    search: Annotated[
        bool, typer.Option("--search", help="Search for the best rules on record and past contacts first (an hour).")
    ] = False,
    bound: Annotated[bool, typer.Option("--bound", help="Compute the upper bound anew (ten minutes).")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the tables here too, as Markdown.")] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCED_REPORT)] = False,
    store: Annotated[bool, typer.Option("--store", help="Keep the figures in the package, for a release.")] = False,
) -> None:
    """Measures what the reference policies are worth with scarce staff, in the standard worlds.

    Each must be worth more than the one before it. Exit status 1 when such a step, at the team's own minutes, is
    smaller than five standard errors.
    """
    for capacity in references.budgets_without_promises(budgets).values():
        capacity.check(MEDICAID_ACTIONS)
    if report is not None:
        check_new(report, force=force, mark="Written by `frl capacity")
    usual = tuple(budgets.split(",")) == references.BUDGETS
    if store and not usual:
        raise UserError(f"figures are kept at budgets {','.join(references.BUDGETS)}; leave --budgets out with --store")
    worlds: dict[str, Any] = {}
    capacities: dict[str, Any] = {}
    bounds: dict[str, Any] = {}
    with progress_bar() as progress:
        if search:
            console.print(f"rules: {references.search_all(progress)}")
        for name in references.WORLDS:
            world = LADDER[name]
            effects = references.effects_key(world.parameters)
            known = None if bound else references.stored_bound(world.parameters)
            if effects not in bounds:
                solved = known or relax(
                    world.parameters,
                    seed=references.SEED,
                    progress=lambda done, total: progress("upper bound", done, total),
                )
                bounds[effects] = asdict(solved)
            capacities[name] = parse_budgets(budgets, team=references.team_minutes(world))
            worlds[name] = references.measure_budget_references(
                world,
                capacities[name],
                members=members,
                relaxed=references.as_relaxed(bounds[effects]),
                progress=lambda done, total, name=name: progress(name, done, total),
            )
    for name, by_budget in worlds.items():
        for label, rows in by_budget.items():
            table = Table("policy", "value", "to behaviour", "SE", "minutes", title=f"{name}, budget {label}")
            for policy, row in rows.items():
                table.add_row(policy, *references.cells(row))
            console.print(table)
    command = f"frl capacity --members {members}" + ("" if usual else f" --budgets {shlex.quote(budgets)}")
    if report is not None:
        write_atomically(report, references.markdown(worlds, members=members, command=command))
    if store:
        console.print(f"figures: {references.store(worlds, capacities, bounds, members=members, command=command)}")
    broken = {
        name: references.broken_steps(worlds[name]["team"])
        for name in references.WORLDS
        if "team" in worlds[name] and LADDER[name].parameters.effects.strength > 0
    }
    wrong = [f"{name}: {', '.join(steps)}" for name, steps in broken.items() if steps]
    if wrong:
        console.print(f"order not shown with 5 standard errors in {'; '.join(wrong)}")
        raise typer.Exit(1)
