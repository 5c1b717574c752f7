"""Small cells of real people's data are not published, nor what would let them be worked out.

The rule of the US Centers for Medicare & Medicaid Services: no cell of 1 to 10 people, and no other number from which
such a cell follows. So a table hides its small cells (primary suppression) and, since totals are published, further
cells until no small one can be computed (secondary suppression):

              FEMALE   MALE    all               FEMALE   MALE    all
    BLACK        7      413    420      BLACK       -        -    420      else 7 = 420 - 413
    WHITE       96      804    900  ->  WHITE       -        -    900      else 7 = 103 - 96
    all        103    1,217  1,320      all       103    1,217  1,320

Nothing tells a primary cell from a secondary one. Zeros stay: that nobody is there says nothing of anybody.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int

SMALLEST = 11
"""People that a published cell holds at least."""

SECRET = "fewer than 11"
"""What stands in for a number of people from 1 to 10."""

JOINED = ", "
"""Between the two labels of a joint group."""


def people(number: int, *, simulated: bool) -> str:
    """A number of people in words, for messages; a small number of real people is not said."""
    return SECRET if not simulated and 0 < number < SMALLEST else f"{number:,}"


def hidden_cells(counts: Mapping[str, int]) -> set[str]:
    """Names of the cells that must not be published beside the others and their total."""
    row = np.asarray(list(counts.values()), dtype=np.int64)[None]
    hidden = hide(row, row_totals=np.ones(1, dtype=bool), column_totals=np.zeros(row.shape[1], dtype=bool))[0]
    return {name for name, out in zip(counts, hidden, strict=True) if out}


def coarse_steps(counts: Int[np.ndarray, "week"]) -> Int[np.ndarray, "week"]:
    """Numbers of people that fall week by week, told in steps of 0 or at least 11; a last rest of 1 to 10 is told as 0.

    Nobody learns in which week a few people left.
    """
    shown = []
    for count in counts.tolist():
        last = shown[-1] if shown else None
        rounded = 0 if count < SMALLEST else count
        shown.append(last if last is not None and last - rounded < SMALLEST else rounded)
    return np.asarray(shown, dtype=np.int64)


def hidden_groups(
    labels: Mapping[str, np.ndarray], intersections: Sequence[tuple[str, str]] = ()
) -> dict[tuple[str, ...], set[str]]:
    """Groups of which nothing must be published, so that the sizes of all others and of the whole may be.

    Where all groups of an attribute or of an intersection are hidden, not even their names must be published.

    Args:
        labels: One label a member, by attribute.
        intersections: Pairs of attributes whose joint groups are published as well.

    Returns:
        For each attribute, and each pair, the names of its hidden groups.
    """
    found: dict[tuple[str, ...], set[str]] = {}
    for attribute, column in labels.items():
        names, counts = np.unique(column, return_counts=True)
        found[(attribute,)] = hidden_cells({str(name): int(count) for name, count in zip(names, counts, strict=True)})
    for first, second in intersections:
        (rows, row), (columns, column) = (np.unique(labels[name], return_inverse=True) for name in (first, second))
        counts = np.zeros((len(rows), len(columns)), dtype=np.int64)
        np.add.at(counts, (row, column), 1)
        row_totals = np.asarray([str(name) not in found[(first,)] for name in rows])
        column_totals = np.asarray([str(name) not in found[(second,)] for name in columns])
        hidden = hide(counts, row_totals=row_totals, column_totals=column_totals, of_hidden_total=True)
        found[first, second] = {f"{rows[i]}{JOINED}{columns[j]}" for i, j in zip(*np.nonzero(hidden), strict=True)}
    return found


def hide(
    counts: Int[np.ndarray, "row column"],
    *,
    row_totals: Bool[np.ndarray, "row"],
    column_totals: Bool[np.ndarray, "column"],
    of_hidden_total: bool = False,
) -> Bool[np.ndarray, "row column"]:
    """Cells to hide, so that neither a cell nor a sum of hidden cells of 1 to 10 people follows from what is shown.

    Args:
        counts: People in each cell.
        row_totals: Which totals of rows are published.
        column_totals: Which totals of columns are.
        of_hidden_total: Whether the other totals are hidden, so that no cells may be shown that add up to one.
    """
    occupied = counts > 0
    hidden = occupied & (counts < SMALLEST)
    if of_hidden_total:
        hidden |= occupied & ~(row_totals[:, None] & column_totals)
    while (line := _too_open(counts, hidden, row_totals, column_totals)) is not None:
        candidates = np.argwhere(occupied & ~hidden & line)
        if not len(candidates):
            candidates = np.argwhere(occupied & ~hidden)
        if not len(candidates):
            return occupied
        hidden[tuple(candidates[np.argmin(counts[tuple(candidates.T)])])] = True
    return hidden


def _too_open(
    counts: np.ndarray, hidden: np.ndarray, row_totals: np.ndarray, column_totals: np.ndarray
) -> Bool[np.ndarray, "row column"] | None:
    """A line of the table that gives something away, one more cell of which has to be hidden; None without one."""
    lines = [np.ones(counts.shape, dtype=bool)]  # the number of all members is always published
    for index in np.flatnonzero(row_totals):
        lines.append(np.zeros(counts.shape, dtype=bool))
        lines[-1][index] = True
    for index in np.flatnonzero(column_totals):
        lines.append(np.zeros(counts.shape, dtype=bool))
        lines[-1][:, index] = True
    known = _follows(hidden, lines)
    for line in lines:
        rest = line & hidden & ~known
        if (known & line & (counts < SMALLEST)).any() or 0 < counts[rest].sum() < SMALLEST:
            return line
    return None


def _follows(hidden: np.ndarray, lines: Sequence[np.ndarray]) -> Bool[np.ndarray, "row column"]:
    """Hidden cells that follow from the totals: no change that keeps all totals would move them."""
    cells = np.flatnonzero(hidden)
    known = np.zeros(hidden.shape, dtype=bool)
    if not len(cells) or not lines:
        return known
    equations = np.asarray([line.ravel()[cells] for line in lines], dtype=np.float64)
    _, singular, basis = np.linalg.svd(equations)
    changes = basis[int((singular > 1e-9).sum()) :]
    known.flat[cells[(np.abs(changes) < 1e-9).all(axis=0)]] = True
    return known
