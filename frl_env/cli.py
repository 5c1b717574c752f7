"""`frl`: datasets, tables of your own members, weekly lists, and checks of the simulator, from the command line.

Commands that take many options have a file of their own in `frl_env.commands`.
"""

import sys
from itertools import pairwise
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Column, Table

from frl_env import reference_returns
from frl_env.calibration import judge, markdown, measure
from frl_env.calibration.report import show as show_number
from frl_env.calibration.sensitivity import sweep, sweep_markdown
from frl_env.commands.capacity import capacity_command
from frl_env.commands.load import load_and_show, show_dataset
from frl_env.commands.tables import export_command, import_command
from frl_env.commands.weeks import weeks_command
from frl_env.commands.worklist import worklist_command
from frl_env.datasets import (
    RECIPES,
    build_dataset,
    check_dataset,
    dataset_state,
    delete_dataset,
    ensure_dataset,
    recipe,
    stored_parts,
)
from frl_env.datasets.placing import stored_datasets
from frl_env.errors import UserError, shorten
from frl_env.files.output_paths import FORCED_REPORT, check_new
from frl_env.search import policy_search
from frl_env.terminal import console, progress_bar, run_or_say, write_atomically
from frl_env.worlds import LADDER, World

MOST_MEMBERS = 10_000_000
"""Of a rollout."""

app = typer.Typer(
    help="Datasets of the offline RL benchmark for care management, and of your own members.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they may show local variables, which may hold a member's data
)


@app.command("build")
def build(
    dataset_id: Annotated[str, typer.Argument(help="For instance frl/medicaid-synthetic-v0; 'frl list' shows all.")],
    force: Annotated[
        bool, typer.Option("--force", help="Build it anew if it exists; the old one stays until the new is whole.")
    ] = False,
) -> None:
    """Builds a dataset from its recipe into Minari's local store."""
    recipe(dataset_id)
    with progress_bar() as progress:
        dataset = build_dataset(dataset_id, force=force, progress=progress)
    console.print(f"built {dataset_id}: {dataset.total_episodes:,} members, {dataset.total_steps:,} weeks")


@app.command("list")
def list_datasets() -> None:
    """Lists the datasets that can be built, which are there, and which were imported."""
    rows = [
        (dataset_id, f"{item.members:,}", _dials(item.world), dataset_state(item), item.description)
        for dataset_id, item in RECIPES.items()
    ]
    for dataset_id, metadata in stored_datasets().items():
        if "frl_import" in metadata:
            imported = metadata["frl_import"].get("members", 0)
            members = imported if isinstance(imported, str) else f"{imported:,}"
            rows.append((dataset_id, members, "", "imported", escape(str(metadata.get("description", "")))))
        elif not metadata and dataset_id not in RECIPES:
            rows.append((dataset_id, "", "", "damaged", "its metadata can't be read; import it again"))
    longest = max(len(row[0]) for row in rows)  # it is what one has to type
    table = Table(Column("dataset", no_wrap=True, min_width=longest), "members", "dials", "here", "what for")
    for row in rows:
        table.add_row(*row)
    console.print(table)


@app.command("load")
def load(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store, or one that can be built.")],
) -> None:
    """Loads a dataset: builds it when it is one of ours and missing, compares checksums, says where it lies."""
    load_and_show(dataset_id)


@app.command("show")
def show(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store, or one that can be built.")],
) -> None:
    """Shows what a dataset holds and where it lies; builds it when it is one of ours and missing."""
    check_dataset(dataset_id)
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
    show_dataset(dataset)


@app.command("delete")
def delete(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Deletes a dataset, or what an unfinished build of it left, from the local store."""
    stored_parts(dataset_id)
    if not yes and not typer.confirm(f"delete {dataset_id}?"):
        return
    delete_dataset(dataset_id)
    console.print(f"deleted {dataset_id}")


app.command("import")(import_command)
app.command("export")(export_command)
app.command("capacity")(capacity_command)
app.command("weeks")(weeks_command)
app.command("worklist")(worklist_command)


@app.command("calibrate")
def calibrate(
    members: Annotated[int, typer.Option(help="Members of each rollout.", min=1_000, max=MOST_MEMBERS)] = 60_000,
    report: Annotated[Path | None, typer.Option(help="Write the report here too, as Markdown.")] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCED_REPORT)] = False,
) -> None:
    """Compares the simulator with every published number that it must meet (an anchor).

    Exit status 1 when one is missed.
    """
    _check_target(report, "frl calibrate", force=force)
    with progress_bar() as progress:
        measured = measure(members=members, seed=1, progress=lambda done, total: progress("simulating", done, total))
    verdicts = judge(measured)
    table = Table("what", "published", "range", "simulated", Column("met", min_width=6))
    for verdict in verdicts:
        anchor, simulated = verdict.anchor, verdict.simulated
        span = f"{show_number(anchor.low)} to {show_number(anchor.high)}"
        table.add_row(
            anchor.what, show_number(anchor.target), span, show_number(simulated), "yes" if verdict.met else "MISSED"
        )
    console.print(table)
    if report is not None:
        command = f"frl calibrate --members {members} --report {report}"
        write_atomically(report, markdown(verdicts, measured, command=command))
    missed = [verdict.anchor.what for verdict in verdicts if not verdict.met]
    console.print(f"{len(verdicts) - len(missed)} of {len(verdicts)} anchors met")
    if missed:
        raise typer.Exit(1)


@app.command("references")
def references(
    members: Annotated[
        int, typer.Option(help="Members of each rollout.", min=1_000, max=MOST_MEMBERS)
    ] = reference_returns.MEMBERS,
    search: Annotated[
        bool, typer.Option("--search", help="Search for the best observation-only policies first (15 minutes).")
    ] = False,
    report: Annotated[Path | None, typer.Option(help="Write the tables here too, as Markdown.")] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCED_REPORT)] = False,
    store: Annotated[bool, typer.Option("--store", help="Keep the figures in the package, for a release.")] = False,
) -> None:
    """Measures the true values of the reference policies in every world of the ladder.

    Each must be worth more than the one before it. Exit status 1 when such a step is smaller than five standard errors.
    """
    _check_target(report, "frl references", force=force)
    with progress_bar() as progress:
        if search:
            console.print(f"policies: {policy_search.search_all(progress)}")
        worlds = {}
        for name, world in LADDER.items():
            worlds[name] = reference_returns.measure_references(
                world, members=members, progress=lambda done, total, name=name: progress(name, done, total)
            )
    for name, rows in worlds.items():
        table = Table("policy", "value", "SE", "to behaviour", "to the one before", title=name, title_justify="left")
        for policy, row in rows.items():
            steps = (f"{row[key]:+.4f} ({row[f'{key}_se']:.4f})" for key in ("above_behaviour", "above_previous"))
            table.add_row(policy, f"{row['value']:.4f}", f"{row['se']:.4f}", *steps)
        console.print(table)
        console.print(reference_returns.ladder_check(rows))
    command = f"frl references --members {members}" + (f" --report {report}" if report else "")
    if report is not None:
        write_atomically(report, reference_returns.markdown(worlds, members=members, command=command))
    if store:
        console.print(f"figures: {reference_returns.store(worlds, members=members, command=command)}")
    broken = [name for name in reference_returns.ORDERED if reference_returns.broken_steps(worlds[name])]
    if broken:
        console.print(f"order not shown with 5 standard errors in: {', '.join(broken)}")
        raise typer.Exit(1)


@app.command("sensitivity")
def sensitivity(
    members: Annotated[int, typer.Option(help="Members of each rollout.", min=1_000, max=MOST_MEMBERS)] = 20_000,
    report: Annotated[Path | None, typer.Option(help="Write the table here too, as Markdown.")] = None,
    force: Annotated[bool, typer.Option("--force", help=FORCED_REPORT)] = False,
) -> None:
    """Moves the assumptions that matter most, one at a time, and shows what becomes of effects and order."""
    _check_target(report, "frl sensitivity", force=force)
    with progress_bar() as progress:
        rows = sweep(members=members, progress=lambda done, total: progress("simulating", done, total))
    table = Table("assumption", "ED ratio", "stays ratio", "heuristic over team", "order kept")
    for row in rows:
        table.add_row(*row.cells())
    console.print(table)
    if report is not None:
        write_atomically(report, sweep_markdown(rows, members=members, report=str(report)))


def _dials(world: World) -> str:
    return ", ".join(f"{name} {value}" for name, value in world.dials().items())


def _check_target(report: Path | None, command: str, *, force: bool) -> None:
    """Says before any long work that a report can't be written, or would replace a file that is none of these."""
    if report is not None:
        check_new(report, force=force, mark=f"Written by `{command}")


def main() -> None:
    """Entry point of `frl`."""
    run_or_say(_run)


def _run() -> None:
    """Runs the command; before that, refuses empty arguments."""
    for before, argument in pairwise(sys.argv):
        name, mark, value = argument.partition("=")
        option = name if mark else before
        if not (value if mark and name.startswith("-") else argument) and option != "--description":
            what = name if mark else f"what follows {shorten(Path(before).name)}"
            raise UserError(f"{what} is empty, as of a shell variable that is not set; write a value")
    # Without its standalone mode click hands an exit status back instead of leaving with it; 130 is Ctrl-C.
    code = app(standalone_mode=False)
    if code == 130:
        raise KeyboardInterrupt
    sys.exit(code)


if __name__ == "__main__":
    main()
