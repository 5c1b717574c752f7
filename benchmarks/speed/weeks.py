"""How long event tables take to become member-weeks, beside DuckDB's plain group-by of the same claims.

    python benchmarks/speed/weeks.py
    python benchmarks/speed/weeks.py --events 100000000 --folder event-speed --only ours

Members are simulated, written as flat events, and repeated under other identifiers until there are enough claim
lines. Then, each in a process of its own and one after the other: DuckDB groups the claims by member and week and
writes five sums; `frl weeks` makes member-weeks of claims, spans and contacts, with every rule and the report. Both
may use all cores, and seconds begin where both have loaded what they need. Where other jobs take their share of the
cores, seconds of the processor say more than the clock's.
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from benchmarks.command_line import Parser, check_at_least, check_writable, command_of
from benchmarks.result_records.figures import write_figure
from benchmarks.speed.importing import apart
from benchmarks.speed.timing import alone
from frl_env.datasets import Recipe
from frl_env.errors import UserError
from frl_env.event_export import export_events
from frl_env.events_to_weeks import weeks  # noqa: F401 - is measured: the figure depends on its code
from frl_env.terminal import run_or_say

pc: Any = pyarrow.compute

MEMBERS = 5_000
"""Members simulated at a time."""

MOST_SIMULATED = 4
"""How many times, before members are repeated."""

PROGRAM = "benchmarks.speed.weeks"
COLUMNS = {
    "what": "{what}",
    "rows out": "{rows:,}",
    "seconds": "{seconds:,.1f}",
    "of the processor": "{processor:,.1f}",
    "peak MB": "{megabytes:,.0f}",
}

LINES_A_MEMBER = 50
"""Claim lines of a member in a year, at the least."""

GROUPED = """
COPY (
    SELECT MEMBER_ID, (FROM_DATE - DATE '2024-01-01') // 7 AS week, count(*) AS lines, sum(PAID_AMOUNT) AS paid,
        sum(CAST(REVENUE_CODE = '0450' AS INTEGER)) AS ed, sum(CAST(BILL_TYPE = '0111' AS INTEGER)) AS stays,
        sum(CAST(STATUS = 'D' AS INTEGER)) AS denied
    FROM read_parquet('{claims}/*.parquet') GROUP BY ALL
) TO '{output}' (FORMAT parquet)
"""
"""The plain group-by: five sums, no rule."""


def make_events(folder: str, events: int) -> None:
    """Flat events with so many claim lines, and their spec."""
    place = Path(folder)
    place.mkdir(parents=True)
    needed = -(-events // (MEMBERS * LINES_A_MEMBER))
    made = Recipe(
        dataset_id="bench/events-v0",
        description="",
        members=MEMBERS * min(needed, MOST_SIMULATED),
        seed=1,
        shard=MEMBERS,
    )
    export_events(made, place / "base")
    text = (place / "base" / "spec.toml").read_text()
    lines = copies = 0
    for label in ("enrolment", "members", "claims", "contacts"):
        (place / label).mkdir()
    while lines < events:
        for part in sorted((place / "base" / "claims").iterdir()):
            if lines >= events:
                break
            for label in ("enrolment", "members", "claims", "contacts"):
                table = _renamed(pq.read_table(place / "base" / label / part.name), f"{copies:03d}-")
                lines += len(table) if label == "claims" else 0
                pq.write_table(table, place / label / f"{copies:03d}-{part.name}")
        copies += 1
    shutil.rmtree(place / "base")
    (place / "spec.toml").write_text(text)  # last: by it a later run knows that the tables are whole
    size = sum(file.stat().st_size for file in (place / "claims").iterdir())
    print(f"{lines:,} claim lines, {size / 1e6:,.0f} MB of Parquet", flush=True)


def _renamed(table: pa.Table, prefix: str) -> pa.Table:
    """The table's rows under prefixed identifiers, so that they are other people's."""
    for i, name in enumerate(table.column_names):
        if name in ("MEMBER_ID", "CLAIM_ID", "ADJUSTS_CLAIM_ID", "CONTACT_ID"):
            column = table.column(name).cast(pa.string())
            renamed = pc.binary_join_element_wise(pa.scalar(prefix), column, "")
            table = table.set_column(i, name, pc.if_else(pc.not_equal(column, ""), renamed, column))
    return table


PLAINLY = (
    """
import duckdb
events, output = sys.argv[1:]
connection = duckdb.connect()
connection.execute("SET memory_limit = '3GB'").fetchall()
""",
    f'connection.execute("""{GROUPED}""".format(claims=f"{{events}}/claims", output=output)).fetchall()',
)
"""DuckDB's own group-by of the claims, to load and to do."""

CONVERT = (
    """
import duckdb, ibis
from frl_env.events_to_weeks import weeks
events, output = sys.argv[1:]
""",
    """weeks(f"{events}/spec.toml", output, force=True)""",
)
"""Member-weeks, with every rule and the report."""

WORK = {
    "group-by": ("DuckDB's group-by of the claims: five sums, no rule", PLAINLY, "grouped.parquet"),
    "ours": ("`frl weeks`: claims, spans and contacts, every rule and the report", CONVERT, "weeks.parquet"),
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Makes the tables, measures, prints a table."""
    parser = Parser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--events", type=int, default=10_000_000, help="claim lines, at the least (default 10000000)")
    parser.add_argument(
        "--folder", type=Path, default=Path("results/events"),
        help="where tables and results go; kept, and used again (default results/events)",
    )  # fmt: skip
    parser.add_argument("--repetitions", type=int, default=1, help="of each; the fastest counts")
    parser.add_argument("--only", choices=list(WORK), help="measure this one alone")
    parser.add_argument("--figure", action="store_true", help="also write the table for pages; for both")
    options = parser.parse_args(arguments)
    check_at_least(options, events=1, repetitions=1)
    if options.figure and options.only:
        raise UserError("the table on the page compares both; leave --only out")
    folder = options.folder.resolve()
    check_writable(folder)
    events = folder / f"events-{options.events}"
    if not (events / "spec.toml").exists():
        shutil.rmtree(events, ignore_errors=True)
        apart(make_events, str(events), options.events)
    lines = pq.ParquetDataset(events / "claims")
    claims = sum(piece.count_rows() for piece in lines.fragments)
    rows: list[dict[str, Any]] = []
    for name in [options.only] if options.only else WORK:
        what, work, output = WORK[name]
        runs = [alone(*work, str(events), str(folder / output)) for _ in range(options.repetitions)]
        fastest = min(runs)
        rows.append({
            "name": name, "what": what, "claims": claims, "rows": pq.read_metadata(folder / output).num_rows,
            "seconds": fastest.seconds, "processor": fastest.processor, "megabytes": fastest.peak,
        })  # fmt: skip
        if len(rows) > 1:
            rows[-1] |= {"times": rows[1]["seconds"] / rows[0]["seconds"]}
            rows[-1] |= {"processor_times": rows[1]["processor"] / rows[0]["processor"]}
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*(cell.format(**row) for cell in COLUMNS.values()))
    console = Console(width=120)
    console.print(table)
    console.print(f"{claims:,} claim lines")
    if not options.only:
        console.print(
            "frl weeks takes {times:.1f} times as long, {processor_times:.1f} times the processor".format(**rows[1])
        )
    if options.figure:
        command = command_of(PROGRAM, parser, options)
        write_figure("speed-weeks", rows, columns=COLUMNS, command=command, programs=[PROGRAM])


if __name__ == "__main__":
    run_or_say(main)
