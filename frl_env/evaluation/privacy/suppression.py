"""Small cells of real people's data are not published, nor what would let them be worked out.

The rule of the US Centers for Medicare & Medicaid Services: no cell of 1 to 10 people, and no other number from which
such a cell follows. So a table hides its small cells (primary suppression) and, since totals are published, further
cells until no small one can be computed (secondary suppression):

              FEMALE   MALE    all               FEMALE   MALE    all
    BLACK        7      413    420      BLACK       -        -    420      else 7 = 420 - 413
    WHITE       96      804    900  ->  WHITE       -        -    900      else 7 = 103 - 96
    all        103    1,217  1,320      all       103    1,217  1,320

Nothing tells a primary cell from a secondary one. Zeros stay: that nobody is there says nothing of anybody.

What is counted are people, however many decisions or spells each of them has: a level that 3 people got 30 times is
about 3 people (`hidden_levels`). Other numbers of real people give counts away, too:

    effective members       are no count, but where all weights are alike they are: not told below 11
    a share of n people     times n is a count, however it came about: two decimals, and not told where it stands for
                            fewer than 11 of them (`share`)
    two columns             whose quotient is the number followed each week: only one of the two is told
    a mean                  times the size of its group is a sum: not told where 1 to 10 people make it up
                            (`rests_on_few`)
    a part of the members   less of it than of the whole by 1 to 10 people tells these (`part_of`)
    a number of rows        of the whole, less that of a part, is a number of rows of the rest, who may be few: told to
                            the nearest 20 wherever the same rows are told of a part, or in another way, too (`rough`)
    a sum over rows        (minutes) with their number tells how many were of which size: likewise (`rough_amount`)
    what a policy would do  where it leaves nothing to chance, is a number of rows: told so, too (`rough_share`)
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Int

SMALLEST = 11
"""People that a published cell holds at least."""

SECRET = "fewer than 11"
"""What stands in for a number of people from 1 to 10."""

COARSE = 20
"""Numbers of rows are told in steps of this."""

JOINED = ", "
"""Between the two labels of a joint group."""


def people(number: int, *, simulated: bool) -> str:
    """A number of people in words, for messages; a small number of real people is not said."""
    return SECRET if not simulated and 0 < number < SMALLEST else f"{number:,}"


def count(number: int, *, simulated: bool) -> int | str:
    """A number of people for a file; a small number of real people is not said."""
    return people(number, simulated=False) if not simulated and 0 < number < SMALLEST else number


def among(number: int, whole: int, *, simulated: bool) -> str:
    """How many of all members, in words for a message."""
    if not simulated and whole < SMALLEST:
        return "some members"
    return f"{people(number, simulated=simulated)} of {whole:,} members"


def rough(number: float, *, simulated: bool) -> int:
    """A number of rows of real people (contacts, events) to the nearest 20, so that no difference of two tells of few.

    From 1 to 10 it is 0: whoever tells it in words says `roughly`.
    """
    return int(number) if simulated else COARSE * round(number / COARSE)


def rough_amount(amount: float, each: float, *, simulated: bool) -> float:
    """A sum over rows of real people (minutes of contacts) to the nearest 20 rows of a usual size.

    Told exactly, it says with the number of the rows how many of them were of which size.

    Args:
        amount: The sum.
        each: Usual size of a row, as it is known without the data.
        simulated: Whether nobody real stands behind it.
    """
    step = COARSE * each
    return float(amount) if simulated or not step else step * round(amount / step)


def rough_share(part: float, whole: float, *, simulated: bool) -> float:
    """A share of rows of real people, of a number of them to the nearest 20."""
    return rough(part * whole, simulated=simulated) / whole if whole and not simulated else part


def roughly(number: float, *, simulated: bool = False) -> str:
    """A number of people as text, rough on real data; 1 to 10 are not told."""
    if simulated or not number:
        return f"{number:,.0f}"
    return SECRET if number < SMALLEST else f"about {rough(number, simulated=False):,}"


def part(number: int, whole: int) -> int | str:
    """How many of all real people are in a part of them that is told beside the whole; neither part may be small."""
    return f"all but {SECRET}" if 0 < whole - number < SMALLEST <= number else count(number, simulated=False)


def hidden_counts(met: Int[np.ndarray, "level"]) -> Bool[np.ndarray, "level"]:
    """Which levels to hide where only their numbers of people are known: small ones, and one large beside these.

    The large one keeps a small one from following as the total less the others. `hidden_levels` does it by person.

    Args:
        met: People with any row of each level.
    """
    hidden = (met > 0) & (met < SMALLEST)
    large = np.flatnonzero(met >= SMALLEST)
    if hidden.any() and len(large):
        hidden[large[np.argmin(met[large])]] = True
    return hidden


def effective(members: float, *, simulated: bool) -> float | None:
    """Effective members; None where they are fewer than 11 real ones, since they may be a count."""
    return members if simulated or members >= SMALLEST else None


def share(value: float, of: float, *, simulated: bool) -> float | None:
    """A share of some people; of real ones with two decimals, and None where it stands for fewer than 11 of them."""
    if simulated:
        return value
    return round(value, 2) if value * of >= SMALLEST else None


def part_of(whole: int, most: int) -> int:
    """How many of all members to look at, so that these and all of them never differ by 1 to 10.

    Args:
        whole: All of them.
        most: To look at, at most.
    """
    return whole if whole <= most else min(most, whole - SMALLEST)


def rests_on_few(terms: Float[np.ndarray, "member"]) -> bool:
    """Whether a mean over real people tells of 1 to 10 of them: all others have 0 or, of shares, all others have 1."""
    with_any = np.count_nonzero(terms)
    without = np.count_nonzero(terms != 1) if len(terms) and terms.min() >= 0 and terms.max() <= 1 else 0
    return 0 < with_any < SMALLEST or 0 < without < SMALLEST


def hidden_levels(
    person: Int[np.ndarray, "row"],
    level: Int[np.ndarray, "row"],
    levels: int,
    *,
    total: bool = True,
    keep: Sequence[int] = (),
    also: Sequence[int] | np.ndarray = (),
) -> Bool[np.ndarray, "level"]:
    """Levels whose share of the rows must not be told beside those of the others.

    Unlike cells of a table, levels overlap: one person has rows of several. So it is people that are counted, in each
    level and in all hidden ones together; the rest of a total tells the latter.

    Args:
        person: Whose each row is.
        level: Of each row.
        levels: How many there are.
        total: Whether the rows of all levels together are told, as they are where shares add up to 1.
        keep: Levels that are hidden last.
        also: Levels that are hidden for other reasons.
    """
    met = np.unique(np.stack([level, person]), axis=1)
    counts = np.bincount(met[0], minlength=levels)
    hidden = (counts > 0) & (counts < SMALLEST)
    hidden[list(also)] = True
    while total and hidden.any():
        together = len(np.unique(met[1][hidden[met[0]]]))
        if together >= SMALLEST and hidden.sum() > 1:
            break
        open_ = np.flatnonzero((counts > 0) & ~hidden).tolist()
        if not open_:
            break
        hidden[min(open_, key=lambda k: (k in keep, counts[k], k))] = True
    return hidden


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
