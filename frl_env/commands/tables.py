"""`frl import` and `frl export`: tables of your own members in and out, from the command line."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from frl_env.commands.error_screen import error_screen
from frl_env.datasets import check_dataset, ensure_dataset
from frl_env.datasets.table_import import (
    ColumnMap,
    Imported,
    ImportOptions,
    Problem,
    TableError,
    export_table,
    import_table,
)
from frl_env.datasets.table_import.checking.left_out import in_words
from frl_env.datasets.table_import.checking.summary import lists_in_words, size_in_words
from frl_env.datasets.table_import.exporting import check_target
from frl_env.datasets.table_import.table_files.source import open_table
from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.privacy.suppression import roughly
from frl_env.event_export import FORMATS, export_events
from frl_env.terminal import console, progress_bar


def import_command(
    table: Annotated[Path, typer.Argument(help="Member-weeks: a Parquet, CSV or Arrow file, or a folder of them.")],
    dataset_id: Annotated[str, typer.Option("--id", help="Of the dataset to make, for instance myorg/care-v0.")],
    map_file: Annotated[
        Path | None, typer.Option("--map", help="TOML file that says what your columns mean; see docs/own_data.md.")
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="NAME=COLUMN: our name of a column, and its name in your table; repeatable."),
    ] = None,
    action_schema: Annotated[
        Path | None,
        typer.Option(help="JSON file of your own factors of an action and their levels (ActionSpace.to_json)."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Our name of an optional column that is not to be read; repeatable.")
    ] = None,
    on_error: Annotated[
        str,
        typer.Option(help="Rows with problems: fail; drop them; or clip numbers to what is allowed and drop the rest."),
    ] = "fail",
    several: Annotated[
        str,
        typer.Option(
            help="Of several contacts in a week, which --on-error drop or clip keeps: most-minutes, first or last."
        ),
    ] = "most-minutes",
    rewards: Annotated[
        str, typer.Option(help="weekly; one-step (outcomes of 30 days); or auto: weekly where the table has it.")
    ] = "auto",
    worklist: Annotated[
        list[Path] | None,
        typer.Option(
            help="A list of frl worklist that members were contacted by, or a folder; for its chances; repeatable."
        ),
    ] = None,
    decision: Annotated[
        str,
        typer.Option(
            help="The decision of a week that is on a list: done (what was done) or listed (what the list said)."
        ),
    ] = "done",
    validation_share: Annotated[
        float, typer.Option(help="Share of the members to put into a second dataset, ...-validation, to judge by.")
    ] = 0.0,
    keep_ids: Annotated[
        bool,
        typer.Option(
            "--keep-ids", help="Keep, in the dataset's folder, which of its numbers is which of your members."
        ),
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Check the table and write nothing.")] = False,
    description: Annotated[str, typer.Option(help="A sentence about the dataset, for its metadata.")] = "",
    force: Annotated[
        bool, typer.Option("--force", help="Replace a dataset of that id; the old one stays until the new is whole.")
    ] = False,
) -> None:
    """Imports a table of member-weeks as a Minari dataset; checks all of it before anything is written."""
    columns = None
    renamed, ignored = _pairs(column or []), tuple(ignore or ())
    if map_file is not None or action_schema is not None or renamed or ignored:
        schema = open_table(table).schema
        columns = ColumnMap.read(map_file, table=schema, columns=renamed, action_schema=action_schema, ignore=ignored)
    options = ImportOptions(
        on_error=on_error,
        rewards=rewards,
        several=several,
        validation_share=validation_share,
        keep_identifiers=keep_ids,
        decision=decision,
    )
    try:
        with progress_bar() as progress:
            imported = import_table(
                table, dataset_id, columns=columns, options=options, worklists=worklist or (), description=description,
                check_only=check, force=force, progress=progress,
                tell=lambda facts: _show_understood(facts, whole=check),
            )  # fmt: skip
    except TableError as problem:
        _show_problems(problem.problems)
        if problem.unused:
            print(f"columns of the table that are not used: {problem.unused_in_words}", file=sys.stderr)
        if problem.losses:
            print(f"leaving rows out (--on-error drop) would lose {problem.losses}", file=sys.stderr)
        raise UserError(f"{table} has {problem.summary}; nothing was written") from None
    _show_imported(imported, check=check)


def export_command(
    dataset_id: Annotated[str, typer.Argument(help="A dataset in the local store, or one that can be built.")],
    table: Annotated[
        Path, typer.Argument(help="Where to: a .parquet, .csv or .arrow file; with --as events a new folder.")
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--as", help="table, of member-weeks; or events: claims and a contact log, of a recipe's members."
        ),
    ] = "table",
    form: Annotated[str, typer.Option("--format", help="Of events: flat, omop, synthea, meds or tuva.")] = "flat",
    force: Annotated[bool, typer.Option("--force", help="Replace a file of that name.")] = False,
) -> None:
    """Writes a dataset as a table of member-weeks, as 'frl import' reads it, or as raw events, as 'frl weeks' does."""
    if kind not in ("table", "events"):
        raise unknown_name("kind of export", kind, ("table", "events"))
    if form not in FORMATS:
        raise unknown_name("format of events", form, FORMATS)
    if kind == "events":
        with progress_bar() as progress:
            members = export_events(
                dataset_id, table, kind=form, progress=lambda done, total: progress("writing", done, total)
            )
        then = f"next: frl weeks {table}/spec.toml -o members.parquet"
        console.print(f"wrote {table}: {members:,} members; {then}", markup=False, soft_wrap=True)
        return
    check_target(table, force=force)
    check_dataset(dataset_id)
    with progress_bar() as progress:
        dataset = ensure_dataset(dataset_id, progress=progress)
        real = "frl_import" in dataset.storage.metadata  # of whom no exact number of steps or episodes is told
        rows = export_table(
            dataset, table, force=force,
            progress=lambda done, total: progress("writing", *((100 * done // total, 100) if real else (done, total))),
        )  # fmt: skip
    then = f"next: frl import {table} --id myorg/care-v0 --check"
    console.print(f"wrote {table}: {roughly(rows, simulated=not real)} rows; {then}", markup=False, soft_wrap=True)


def _pairs(columns: list[str]) -> dict[str, str]:
    """NAME=COLUMN, several times.

    Raises:
        UserError: If one is not of that form.
    """
    pairs = dict(text.split("=", 1) for text in columns if "=" in text)
    if len(pairs) < len(columns):
        raise UserError("--column takes NAME=COLUMN, each name once, for instance --column week=week_start")
    return pairs


def _show_problems(problems: list[Problem]) -> None:
    """A table of everything that is wrong, on standard error."""
    table = Table("column", "problem", "rows", "allowed", "way out", title="problems", title_justify="left")
    for problem in problems:
        rows = "" if problem.rows is None else f"{problem.rows:,}"
        table.add_row(*map(escape, (problem.column, problem.kind, rows, problem.allowed, problem.way_out)))
    error_screen().print(table)


def _show_understood(facts: dict[str, Any], *, whole: bool) -> None:
    """What the table was taken for, before anything is written; all of it, or what looks odd and who is lost."""
    for line in facts["understood"] if whole else []:
        print(line)
    for line in facts["odd"]:
        print(f"odd: {line}" if whole else f"warning: {line}")
    if lost := in_words(facts["left_out"]):
        print(f"left out: {lost}")


def _show_imported(imported: Imported, *, check: bool) -> None:
    """What was written, what became of the rows, and what to do next."""
    for name, facts in zip(imported.dataset_ids, imported.facts, strict=False):  # a check writes no dataset
        console.print(f"imported {name}: {size_in_words(facts)}")
    if said := imported.facts[0].get("worklists"):
        console.print(lists_in_words(said))
    _show_facts(imported.facts[0], whole=check)
    if check:
        console.print("next: the same without --check; --validation-share 0.3 keeps members to judge by", markup=False)
    else:
        run = f"python benchmarks/run.py --dataset {imported.dataset_ids[0]} --algo factored_awr"
        console.print(f"next, in the project's folder: {run}", markup=False, soft_wrap=True)
    if imported.left_alone:
        console.print(
            f"note: {imported.left_alone} is of another import; its members may be among these, so it can't be used "
            "to validate what is trained on them"
        )


def _show_facts(facts: dict[str, Any], *, whole: bool) -> None:
    """What became of the rows; where all that was understood is printed, rewards are in it."""
    if not whole:
        console.print(f"rewards: {facts['rewards']}: {facts['rewards_why']}")
    console.print(
        f"rows: {facts['rows_read']:,} read, {facts['rows_left_out']:,} left out, {facts['rows_clipped']:,} clipped"
        f"{'; nothing was written' if whole else ''}"
    )
    if facts["repairs"]:
        table = Table("column", "problem", "rows", "what was done")
        for repair in facts["repairs"]:
            table.add_row(repair["column"], repair["kind"], f"{repair['rows']:,}", repair["done"])
        console.print(table)
