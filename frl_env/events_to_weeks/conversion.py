"""`frl_env.weeks`: from a spec to a table of member-weeks, read and checked first, then written whole or not at all.

read      open every table, count all faults in one pass each; stop at any
convert   coverage, claims in force, events, contacts; stages are kept beside the result
report    what was counted and left out, and the checks that catch a wrong contact log
write     one Parquet file, sorted by member and week, with all rules in its metadata
"""

import gc
import glob
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from frl_env.datasets.placing import package_version
from frl_env.errors import UserError, in_file, system_reason
from frl_env.events_to_weeks.checks import check_output
from frl_env.events_to_weeks.engine import Engine, load_ibis, open_engine, table_files
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.files.output_paths import check_new

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""

RUNNING = "running"
"""File in the folder of the stages that is locked by the run that uses them."""


@dataclass(frozen=True, kw_only=True)
class MemberWeeks:
    """What a conversion came to.

    Attributes:
        path: The table; None if it was only checked.
        facts: What its metadata say: rules, counts, figures of the report; JSON-able.
    """

    path: Path | None
    facts: dict[str, Any]


def weeks(
    spec: str | Path | Spec,
    output: str | Path | None = None,
    *,
    check_only: bool = False,
    force: bool = False,
    engine: str = "duckdb",
    master: str = "local[*]",
    memory: str = "3GB",
    progress: Progress | None = None,
) -> MemberWeeks:
    """Turns event tables into the table of member-weeks that `import_table` takes.

    Args:
        spec: A TOML file, or what was read from one.
        output: The Parquet file to write.
        check_only: Report, and write nothing.
        force: Replace a file of that name; the old one stays until the new one is whole.
        engine: "duckdb" or "spark".
        master: Of Spark, for instance "local[4]" or "spark://host:7077".
        memory: What DuckDB may take before it writes to disk.
        progress: Called as the work goes on.

    Returns:
        What it came to.

    Raises:
        EventTablesError: If rows make no sense; nothing was written.
        UserError: If the spec, a table or the output is no good, there is a file of that name already, or what the
            engine needs is not installed.
    """
    load_ibis()
    read = spec if isinstance(spec, Spec) else Spec.read(Path(spec))
    beside = Path(output) if output is not None else Path(spec if not isinstance(spec, Spec) else "members.parquet")
    if output is None and not check_only:
        raise UserError("name the table to write with -o members.parquet, or ask for --check")
    if not check_only and beside.suffix != ".parquet":
        raise UserError(f"the table of member-weeks is a Parquet file; {beside.name} ends otherwise")
    if not beside.parent.is_dir():
        raise UserError(f"can't write into {beside.parent}; name a folder that exists")
    if not check_only:
        check_output(read, beside)
        check_new(beside, force=force)
    with in_file(read.file):
        folder = beside.with_name(f".{beside.name}.weeks-{_digest(read, engine)}")
    report = progress or (lambda what, done, total: None)
    kept = folder.exists()  # of an interrupted conversion, or of one that is running
    try:
        _clear_others(folder, beside, None if isinstance(spec, Spec) else Path(spec))
        with _alone_in(folder):
            try:
                made = open_engine(engine, folder, master=master, memory=memory)
                kept = False
                try:
                    with _uncollected():
                        return _convert(made, read, None if check_only else beside, folder, report)
                except KeyboardInterrupt:
                    kept = True
                    made.save()
                    raise
                finally:
                    made.close()
            finally:
                if not kept:
                    shutil.rmtree(folder, ignore_errors=True)
    except OSError as problem:
        raise UserError(
            f"can't write beside {beside}: {system_reason(problem)}; free space or choose another place"
        ) from None


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """No other run of the same command meanwhile: both would write, and clear away, the same stages.

    Raises:
        UserError: If there is one.
    """
    folder.mkdir(exist_ok=True)
    lock = FileLock(folder / RUNNING)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UserError("the same command is running already; wait for it, or end it") from None
    try:
        yield
    finally:
        lock.release()


def _clear_others(folder: Path, *beside: Path | None) -> None:
    """Removes stages, which hold members' rows, that killed runs of another spec or other tables left.

    Args:
        folder: Of this run, which stays.
        beside: Files that stages lie beside: the result, or the spec if it was only checked.
    """
    for file in filter(None, beside):
        for other in file.parent.glob(f".{glob.escape(file.name)}.weeks-*"):
            if other == folder or not (other / RUNNING).is_file():
                continue
            lock = FileLock(other / RUNNING)
            with suppress(Timeout, OSError):  # one that is running keeps its own
                lock.acquire(timeout=0)
                try:
                    shutil.rmtree(other, ignore_errors=True)
                finally:
                    lock.release()


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles meanwhile: expressions are many small objects that stay, and it would take a tenth."""
    searched = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if searched:
            gc.enable()


def _convert(engine: Engine, spec: Spec, output: Path | None, folder: Path, progress: Progress) -> MemberWeeks:
    from frl_env.events_to_weeks import steps  # imports Ibis, which was looked for

    def done(step: int) -> None:
        progress("converting", step, steps.STEPS)

    progress("reading", 0, steps.STEPS)
    tables = steps.read_tables(engine, spec)
    done(1)
    cut = steps.last_day(tables, spec.rules)
    made = steps.make_facts(engine, spec, tables, cut, done)
    facts = steps.write_table(engine, spec, tables, made, cut=cut, output=output, folder=folder, done=done)
    done(steps.STEPS)
    return MemberWeeks(path=output, facts=facts)


def _digest(spec: Spec, engine: str) -> str:
    """Says whether stages of an interrupted conversion are of this one."""
    files = []
    for label, table in sorted(spec.tables.items()):
        for file in table_files(label, table)[0]:
            stat = file.stat()
            files.append([label, str(file), table.table, stat.st_size, stat.st_mtime_ns])
    made_of = [spec.facts(), files, engine, package_version()]
    return hashlib.sha256(json.dumps(made_of, sort_keys=True).encode()).hexdigest()[:12]
