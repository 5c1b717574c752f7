"""The two stages before anything is written: read every value, then look at every member's weeks.

What they find is kept in a file each, so that an interrupted import does not do them again.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from frl_env.datasets.table_import.cells.conventions import Conventions
from frl_env.datasets.table_import.checking.outcomes import Evidence
from frl_env.datasets.table_import.checking.partition import (
    MOST_ROWS,
    partition,
    partition_file,
    partition_files,
    read_partition,
)
from frl_env.datasets.table_import.checking.reader import Reader
from frl_env.datasets.table_import.checking.tally import Tally
from frl_env.datasets.table_import.checking.weeks import KINDS, Sorted, SortedRows, Weeks, order_weeks, sort_rows
from frl_env.datasets.table_import.schema.columns import MEMBER
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.listed import Listed
from frl_env.datasets.table_import.schema.problems import Findings
from frl_env.datasets.table_import.table_files.source import Table
from frl_env.errors import UserError
from frl_env.evaluation.threads import one_ahead
from frl_env.files import atomic

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


def read_stage(
    table: Table,
    layout: Layout,
    folder: Path,
    *,
    clip: bool,
    progress: Progress,
    listed: Listed | None = None,
    undecided: bool = False,
) -> dict[str, Any]:
    """Reads and checks every value, and sorts the rows out by member.

    Args:
        table: What to read.
        layout: Its columns.
        folder: Where rows are kept meanwhile.
        clip: Whether numbers out of range move to the nearest one allowed.
        progress: Called as rows are read.
        listed: Decisions of worklists; None without.
        undecided: Whether rows may lack a decision; see `Reader`.

    Returns:
        What was learnt: `Reader.facts`, and the rows of each file.

    Raises:
        UserError: If the table is damaged, or changes meanwhile.
        OSError: If the rows can't be kept.
    """
    memory = folder / "read.json"
    if memory.exists():
        return json.loads(memory.read_text())
    folder.mkdir(parents=True, exist_ok=True)
    before, size, expected = table.fingerprint(), table.size(), table.expected_rows()

    def batches(reader: Reader) -> Iterator[pa.RecordBatch]:
        for batch in one_ahead(table.batches(layout.columns)):
            yield reader.read(batch)
            progress("reading", reader.rows, max(expected, reader.rows))
        progress("reading", reader.rows, reader.rows)

    conventions = Conventions()
    while True:
        reader = Reader(layout, clip=clip, conventions=conventions, listed=listed, undecided=undecided)
        rows = partition(batches(reader), layout.kept, partition_files(folder, size))
        if table.fingerprint() != before:
            raise UserError(f"{table.path} changed while it was being read; run the same command again")
        if conventions != Conventions() or reader.seen.conventions() == conventions:
            break
        conventions = reader.seen.conventions()
    for name, some in reader.seen.undecided().items():
        reader.findings.add(name, "commas in some numbers", some)
        reader.findings.add(name, "not a number", -some)
    reader.rows += table.unreadable
    reader.findings.add("lines", "unreadable line", table.unreadable)
    facts = {**reader.facts(), "files": rows}
    atomic.write_text(memory, json.dumps(facts))
    return facts


def check_stage(facts: dict[str, Any], layout: Layout, folder: Path, *, progress: Progress) -> dict[str, Any]:
    """Looks at every member's weeks.

    Args:
        facts: Of the read stage.
        layout: The columns.
        folder: Where the rows are.
        progress: Called as files are looked at.

    Returns:
        Findings, evidence for where rewards come from, runs of weeks and a tally of what there is, JSON-able.
    """
    memory = folder / "check.json"
    if memory.exists():
        return json.loads(memory.read_text())
    findings, evidence, tally, runs = Findings(), Evidence(), Tally(layout), 0
    most = max(MOST_ROWS, 4 * sum(facts["files"]) // len(facts["files"]))
    some = [number for number, rows in enumerate(facts["files"]) if 0 < rows <= most]
    in_order = one_ahead(sorted_rows(folder, number) for number in some)
    for number, rows in enumerate(facts["files"]):
        if rows > most:
            findings.add(MEMBER, "too large a member", rows)
        elif rows:
            weeks = order_weeks(next(in_order), layout, findings, tally.look_at_rows)
            evidence.add(weeks, layout)
            tally.look_at_weeks(weeks)
            runs += len(weeks.starts)
        progress("checking", number + 1, len(facts["files"]))
    findings.order(KINDS, layout.map.next_states)
    found = {"findings": findings.to_json(), "evidence": evidence.facts(), "runs": runs, "tally": tally.facts()}
    atomic.write_text(memory, json.dumps(found))
    return found


def forget_stages(folder: Path) -> None:
    """Removes the rows; first of all what says that they are there."""
    for name in ("check.json", "read.json"):
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder)


def sorted_rows(folder: Path, number: int) -> SortedRows:
    """The rows of one file in order.

    Args:
        folder: Where the rows are.
        number: Of the file.
    """
    return sort_rows(read_partition(partition_file(folder, number)))


def ordered_weeks(folder: Path, number: int, layout: Layout, look: Callable[[Sorted], None]) -> Weeks:
    """The members of one file, their weeks in order.

    Args:
        folder: Where the rows are.
        number: Of the file.
        layout: The columns.
        look: Called with all rows, also those that are left out.
    """
    return order_weeks(sorted_rows(folder, number), layout, Findings(), look)
