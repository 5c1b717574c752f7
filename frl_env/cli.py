"""`frl`: build, list, show datasets from the command line."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import minari
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from frl_env.datasets import RECIPES, build_dataset, dataset_place, dataset_state, ensure_dataset
from frl_env.errors import UserError

app = typer.Typer(
    help="Datasets of the offline RL benchmark for care management.", no_args_is_help=True, add_completion=False
)
console = Console()


@app.command("build")
def build(
    dataset_id: Annotated[str, typer.Argument(help="For instance frl/medicaid-synthetic-v0; 'frl list' shows all.")],
    force: Annotated[
        bool, typer.Option("--force", help="Replace it; the old one stays until the new is whole.")
    ] = False,
) -> None:
    """Builds a dataset from its recipe into Minari's local store."""
    with progress_bar() as progress:
        dataset = build_dataset(dataset_id, force=force, progress=progress)
    console.print(f"built {dataset_id}: {dataset.total_episodes:,} members, {dataset.total_steps:,} weeks")


@app.command("list")
def list_datasets() -> None:
    """Lists the datasets that can be built, and which are there."""
    table = Table("dataset", "members", "effects", "here", "what for")
    for dataset_id, item in RECIPES.items():
        table.add_row(dataset_id, f"{item.members:,}", item.effects, dataset_state(item), item.description)
    console.print(table)


@app.command("show")
def show(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store, or one that can be built.")],
) -> None:
    """Shows what a dataset holds and where it lies; builds it when it is one of ours and missing."""
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
    table = Table(show_header=False)
    table.add_row("id", dataset_id)
    table.add_row("members", f"{dataset.total_episodes:,}")
    table.add_row("weeks", f"{dataset.total_steps:,}")
    table.add_row("observations", str(dataset.spec.observation_space))
    table.add_row("actions", str(dataset.spec.action_space))
    table.add_row("content SHA-256", str(dataset.storage.metadata.get("frl_content_sha256", "not recorded")))
    table.add_row("path", str(dataset.spec.data_path))
    console.print(table)


@app.command("delete")
def delete(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
) -> None:
    """Deletes a dataset from the local store."""
    dataset_place()
    if dataset_id not in minari.list_local_datasets():
        raise UserError(f"dataset {dataset_id!r} is not in the local store; 'frl list' shows what can be built")
    if not yes and not typer.confirm(f"delete {dataset_id}?"):
        return
    minari.delete_dataset(dataset_id)
    console.print(f"deleted {dataset_id}")


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar on standard error, one line for each kind of work."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    with Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as bar:
        tasks: dict[str, TaskID] = {}

        def report(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done)

        yield report


def run_or_say(command: Callable[[], object]) -> None:
    """Runs a command; what a person can put right becomes one line on standard error and exit status 2."""
    try:
        command()
    except UserError as problem:
        print(f"error: {problem}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, typer.Abort):
        print("error: stopped; nothing half-written was kept, run the same command again", file=sys.stderr)
        raise SystemExit(2) from None
    except Exception as problem:
        # Errors of usage, from whichever copy of click typer brings along.
        message = getattr(problem, "format_message", None)
        if message is None:
            raise
        if message():  # empty after the help that a bare `frl` prints
            print(f"error: {message()} Try 'frl --help'.", file=sys.stderr)
        raise SystemExit(2) from None


def main() -> None:
    """Entry point of `frl`."""
    run_or_say(lambda: app(standalone_mode=False))
