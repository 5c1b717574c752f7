"""What worklists decided, joined to a table by member and week: done as listed, changed, or not done.

A worklist writes the chances of its decisions beside it (`...-chances.parquet`): a row a member of the caseload, also
those for whom nothing was listed. So whoever was on the caseload has a decision with a known chance:

    listed     in the table    what became of it    chance of what was done
    call       call            as listed            that of the list
    nothing    nothing         as listed            that of the list
    call       visit           changed              not known: staff decided, for reasons of their own
    call       nothing         not done             not known
    nothing    call            added                not known
    no list    anything        no list              the table's own, if it has one
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float64, Int64

from frl_env.actions import ActionSpace
from frl_env.datasets.table_import.cells.week_formats import to_days, week_kind
from frl_env.datasets.table_import.schema.columns import MEMBER, PROPENSITY, WEEK
from frl_env.datasets.table_import.table_files.source import open_table
from frl_env.errors import UserError, system_reason
from frl_env.evaluation.privacy.suppression import people
from frl_env.files import atomic

CHANCES = "-chances.parquet"
"""How the file of everybody's chances ends; a list `x.html` has `x-chances.parquet` beside it."""

LISTED, LISTED_ACTION, LISTED_PROPENSITY = "listed", "listed_action", "listed_propensity"
"""Information that is kept of each week: what became of the list, its action as a joint index, and its chance."""

OUTCOMES_OF_LISTS = ("no list", "as listed", "changed", "not done", "added")
NO_LIST, AS_LISTED, CHANGED, NOT_DONE, ADDED = range(5)
"""Codes of what became of a listed decision."""

DECISIONS = ("done", "listed")
"""Which decision of a listed week is recorded: what the table says was done, or what the list said."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Listed:
    """Decisions of worklists.

    Attributes:
        files: Where they were read from.
        space: The actions.
        decision: One of `DECISIONS`.
        dates: Whether weeks are dates, not numbers.
        members: Identifiers, each once.
        days: First day of each week, ascending, as the table's reader counts them.
        keys: Number of the member times the number of weeks, plus the number of the week; ascending.
        joints: Joint index of each decision.
        chances: Of it.
    """

    files: tuple[Path, ...]
    space: ActionSpace
    decision: str
    dates: bool
    members: pd.Index
    days: Int64[np.ndarray, "week"]
    keys: Int64[np.ndarray, "row"]
    joints: Int64[np.ndarray, "row"]
    chances: Float64[np.ndarray, "row"]

    def fingerprint(self) -> list[list[Any]]:
        """What tells these lists from changed ones."""
        return [[file.name, file.stat().st_size, file.stat().st_mtime_ns] for file in self.files]

    def join(
        self, identifiers: pa.Array, days: Int64[np.ndarray, "row"], joints: Int64[np.ndarray, "row"], *, dates: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Looks rows of a table up.

        Args:
            identifiers: Of the members, as text.
            days: First day of each row's week.
            joints: What was done.
            dates: Whether the table's weeks are dates.

        Returns:
            What became of the list (its codes), its joint index (-1 without a list) and its chance (NaN without).

        Raises:
            UserError: If the lists count weeks otherwise than the table.
        """
        if dates != self.dates:
            kinds = ("by number", "by date")
            raise UserError(
                f"the worklist counts weeks {kinds[self.dates]} and the table {kinds[dates]}; make the list from a "
                "table that counts them as this one does"
            )
        member = self.members.get_indexer(pd.Index(identifiers.to_pandas()))
        place = np.minimum(np.searchsorted(self.days, days), len(self.days) - 1)
        known = (member >= 0) & (self.days[place] == days)
        wanted = np.where(known, member * len(self.days) + place, -1)
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        known &= self.keys[at] == wanted
        listed = np.where(known, self.joints[at], -1)
        chances = np.where(known, self.chances[at], np.nan)
        nothing = int(self.space.ravel(self.space.null_action))
        became = np.select(
            [~known, listed == joints, joints == nothing, listed == nothing],
            [NO_LIST, AS_LISTED, NOT_DONE, ADDED],
            CHANGED,
        )
        return became.astype(np.int8), listed.astype(np.int32), chances


def read_listed(paths: Sequence[Path], space: ActionSpace, decision: str) -> Listed:
    """Reads the chances of worklists.

    Args:
        paths: Worklists, files of chances, or folders of them.
        space: The table's actions.
        decision: One of `DECISIONS`.

    Raises:
        UserError: If one is not there, is no such file, or two speak of the same member and week.
    """
    files = tuple(dict.fromkeys(file for path in paths for file in _files_of(Path(path))))
    tables = [_read(file, space) for file in files]
    kinds = {kind for *_, kind in tables}
    if len(kinds) > 1:
        raise UserError("some worklists count weeks by number and some by date; import them apart")
    names = pd.Index(np.concatenate([ids for ids, *_ in tables]))
    codes, members = names.factorize()
    day = np.concatenate([days for _, days, *_ in tables])
    weeks, number = np.unique(day, return_inverse=True)
    keys = codes.astype(np.int64) * len(weeks) + number
    order = np.argsort(keys, kind="stable")
    twice = int((np.diff(keys[order]) == 0).sum())
    if twice:
        raise UserError(
            f"{people(twice, simulated=False)} members have two decisions for one week among {len(files)} worklist "
            f"file{'s' if len(files) > 1 else ''}; give one list a week"
        )
    return Listed(
        files=files,
        space=space,
        decision=decision,
        dates=kinds == {"date"},
        members=pd.Index(members),
        days=weeks,
        keys=keys[order],
        joints=np.concatenate([joints for _, _, joints, *_ in tables])[order],
        chances=np.concatenate([chances for *_, chances, _ in tables])[order],
    )


def finish_lists(folder: Path) -> None:
    """Finishes what a killed writer of a list began: list and chances get their names together.

    Raises:
        UserError: If it can't be finished.
    """
    try:
        for journal, moves in atomic.journals(folder).items():
            if any(name.endswith(CHANCES) for name in moves.values()):
                atomic.settle(journal)
    except OSError as problem:
        raise UserError(
            f"the writing of a worklist in {folder} was stopped and can't be finished ({system_reason(problem)}); make "
            "the folder writable"
        ) from None


def _files_of(path: Path) -> list[Path]:
    """Files of chances that a path stands for.

    Raises:
        UserError: If there is none, or the writing of one was stopped and can't be finished.
    """
    finish_lists(path if path.is_dir() else path.parent)
    if path.is_dir():
        found = sorted(each for each in path.glob(f"*{CHANCES}") if not each.name.startswith("."))
        if not found:
            raise UserError(f"folder {path} holds no worklist: no file ends in {CHANCES}")
        return found
    file = path if path.name.endswith(CHANCES) else path.with_name(f"{path.stem}{CHANCES}")
    if not file.is_file():
        raise UserError(
            f"there is no {file}; 'frl worklist' writes the chances of its decisions beside each list, keep both"
        )
    return [file]


def _read(file: Path, space: ActionSpace) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, str]:
    """Identifiers, days, joint indices, chances and how weeks are written.

    Raises:
        UserError: If the file is no list of chances for these actions.
    """
    columns = [MEMBER, WEEK, *(f"action_{factor.name}" for factor in space), PROPENSITY]
    table = open_table(file)
    lacking = [name for name in columns if name not in table.schema.names]
    if lacking:
        raise UserError(
            f"{file} is no file of chances for these actions: it lacks {', '.join(lacking)}; give the file that "
            "'frl worklist' wrote with the same map"
        )
    batches = [batch.select(columns) for batch in table.batches(columns)]
    rows = pa.Table.from_batches(batches).to_pandas() if batches else pd.DataFrame(columns=columns)
    if rows.empty:
        raise UserError(f"{file} has no row; make the list again")
    if (missing := int(rows.isna().any(axis=1).sum())) > 0:
        raise UserError(f"{file} has empty cells in {people(missing, simulated=False)} rows; make the list again")
    levels = np.zeros((len(rows), len(space.nvec)), dtype=np.int64)
    for number, factor in enumerate(space):
        codes = pd.Index(factor.levels).get_indexer(pd.Index(rows[f"action_{factor.name}"]))
        if (strange := int((codes < 0).sum())) > 0:
            raise UserError(
                f"{file} names levels of {factor.name!r} that the table does not have, in "
                f"{people(strange, simulated=False)} rows; use the map that the list was made with"
            )
        levels[:, number] = codes
    chances = pd.to_numeric(rows[PROPENSITY], errors="coerce").to_numpy(dtype=np.float64)
    if (wrong := int((~((chances > 0) & (chances <= 1))).sum())) > 0:
        raise UserError(
            f"{file} has chances that are not above 0 and at most 1 in {people(wrong, simulated=False)} rows; make the "
            "list again"
        )
    text = pa.array(rows[WEEK].astype(str))
    kind = week_kind(text) or "number"
    days, missing_week, garbled = to_days(text, kind)
    if (wrong := int((missing_week | garbled).sum())) > 0:
        raise UserError(f"{file} has weeks that are none in {people(wrong, simulated=False)} rows; make the list again")
    identifiers = rows[MEMBER].astype(str).to_numpy(dtype=object)
    return identifiers, days, space.ravel(levels), chances, "number" if kind == "number" else "date"
