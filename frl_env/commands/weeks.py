"""`frl weeks`: event tables to member-weeks, from the command line."""

from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from frl_env.commands.error_screen import error_screen
from frl_env.datasets.table_import.provenance import for_lists
from frl_env.errors import UserError, unknown_name
from frl_env.evaluation.privacy.suppression import roughly
from frl_env.events_to_weeks import EventTablesError, Spec, weeks
from frl_env.events_to_weeks.checks import check_output
from frl_env.events_to_weeks.engine import ENGINES
from frl_env.events_to_weeks.event_tables.spec import SOURCES
from frl_env.files.output_paths import check_apart, check_new
from frl_env.terminal import console, progress_bar, write_atomically


def weeks_command(
    spec: Annotated[
        Path | None, typer.Argument(help="A TOML file: tables, words and rules; --init writes one.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The table of member-weeks to write: a .parquet file.")
    ] = None,
    init: Annotated[
        str | None, typer.Option(help="Write a commented spec to start from: flat, omop, synthea, meds or tuva.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Report, and write no member-weeks.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write the report as an HTML page, too.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files of these names.")] = False,
    engine: Annotated[str, typer.Option(help="What does the work: duckdb, within this process; or spark.")] = "duckdb",
    master: Annotated[str, typer.Option(help="Where Spark runs, for instance spark://host:7077.")] = "local[*]",
    memory: Annotated[str, typer.Option(help="Memory that DuckDB may take before it writes to disk.")] = "3GB",
) -> None:
    """Turns enrolment, claims or encounters, and a contact log into the member-weeks that 'frl import' takes."""
    if init is not None:
        if output is not None or report is not None or check:
            raise UserError(
                "--init writes a spec and nothing else; leave out -o, --check and --report, and name the spec itself: "
                f"frl weeks myplan.toml --init {init}"
            )
        _write_spec(init, spec or Path(f"{init}.toml"), force=force)
        return
    if spec is None:
        raise UserError("name a spec, or write one to start from with --init flat, omop, synthea, meds or tuva")
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    from frl_env.events_to_weeks.report import MARK, show_report, write_page

    if report is not None:
        check_apart(output=None if check else output, report=report)
        check_new(report, force=force, mark=MARK)
        check_output(Spec.read(spec), report)
        if report.exists() and report.samefile(spec):
            raise UserError(f"{report} is the spec, and the report would replace it; name another")
    try:
        with progress_bar() as progress:
            made = weeks(
                spec, output, check_only=check, force=force, engine=engine, master=master, memory=memory,
                progress=progress,
            )  # fmt: skip
    except EventTablesError as problem:
        _show_faults(problem)
        raise
    show_report(made, console)
    if report is not None:
        write_page(made, report)
        console.print(f"report: {report}", markup=False)
    if made.path is None:
        written = "nothing was written" if report is None else "no member-weeks were written"
        console.print(f"{written}; next: frl weeks {spec} -o weeks.parquet", markup=False)
    else:
        then = f"frl import {made.path} --id myorg/care-v0"
        if for_lists(made.facts):
            then = f"frl worklist --model policy.safetensors --members {made.path} --capacity 2.9 -o worklist.html"
        rows = roughly(made.facts["rows"], simulated=made.facts["spec"]["simulated"])
        console.print(f"wrote {made.path}: {rows} member-weeks; next: {then}", markup=False)


def _write_spec(source: str, file: Path, *, force: bool) -> None:
    """A spec to start from.

    Raises:
        UserError: If there is none for the source, or the file is there already.
    """
    if source not in SOURCES:
        raise unknown_name("source", source, SOURCES)
    check_new(file, force=force)
    text = resources.files("frl_env.events_to_weeks").joinpath("specs", f"{source}.toml").read_text(encoding="utf-8")
    write_atomically(file, text)
    console.print(f"wrote {file}: put in your paths, columns and words, then: frl weeks {file} --check", markup=False)


def _show_faults(problem: EventTablesError) -> None:
    """All faults, and words that have no level yet, on standard error."""
    screen = error_screen()
    table = Table("table", "column", "fault", "rows", "allowed", title="faults", title_justify="left")
    for fault in problem.faults:
        table.add_row(*map(escape, (fault.table, fault.column, fault.kind, f"{fault.rows:,}", fault.allowed)))
    screen.print(table)
    if problem.words:
        words = Table("crosswalk", "word", "rows", title="words without a target", title_justify="left")
        for column, word, rows in problem.words:
            words.add_row(*map(escape, (column, word or '"" (an empty cell)', f"{rows:,}")))
        screen.print(words)
        column, word, _ = problem.words[0]
        screen.print(
            f'give each one of the allowed targets in the spec, as "{word}" = "..." under [crosswalk.{column}]; only '
            "words in at least 11 rows of 11 members are shown",
            markup=False,
        )
