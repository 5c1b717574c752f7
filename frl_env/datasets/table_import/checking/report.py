"""One report of everything that is wrong with a table, or the list of what was done about it."""

from typing import Any

from frl_env.datasets.table_import.checking.outcomes import ONE_STEP
from frl_env.datasets.table_import.checking.reader import MOST_GROUPS
from frl_env.datasets.table_import.checking.rewards import misread
from frl_env.datasets.table_import.schema.columns import MEMBER, OUTCOMES, WEEK
from frl_env.datasets.table_import.schema.layout import Layout
from frl_env.datasets.table_import.schema.problems import KINDS, Findings, Problem

OF_SEQUENCES = ("gap", "time runs backwards")
"""Kinds that say nothing where every step stands for itself."""


def judge(
    read: dict[str, Any],
    checked: dict[str, Any],
    layout: Layout,
    *,
    source: str,
    on_error: str,
    gaps_are_meant: bool = False,
) -> tuple[list[Problem], list[dict[str, Any]]]:
    """Sorts what was found into problems and repairs.

    Args:
        read: Facts of the read stage.
        checked: Facts of the check stage.
        layout: The columns.
        source: Where rewards are taken from.
        on_error: One of `ON_ERROR`.
        gaps_are_meant: Whether a missing week is no mistake: the episode ends there, and another starts.

    Returns:
        What stands in the way; and column, kind, number of rows and what became of them, of everything else.
    """
    values, members = Findings.from_json(read["findings"]), Findings.from_json(checked["findings"])
    problems = [Problem(column=layout.show(column), kind=kind) for column, kind in read["leaks"]]
    problems += [
        Problem(column=layout.show(name), kind="too many categories", allowed=f"at most {MOST_GROUPS}")
        for name, groups in read["groups"].items()
        if len(groups) > MOST_GROUPS
    ]
    if read["rows"] == 0:
        problems.append(Problem(column="table", kind="no rows"))
    repairs = []
    for (column, kind), rows in [*values.rows.items(), *members.rows.items()]:
        if kind in OF_SEQUENCES and source == ONE_STEP:
            continue
        if kind == "missing" and column in OUTCOMES and source != ONE_STEP:
            continue
        kind = misread(read["signs"], column) if kind == "out of range" else kind
        repair = KINDS[kind].repair
        if kind == "gap" and gaps_are_meant:
            repairs.append({"column": column, "kind": kind, "rows": rows, "done": "split"})
            continue
        if on_error == "fail" or repair is None:
            allowed = _allowed(column, kind, layout, values)
            where, everywhere = layout.show(column), rows == read["rows"]
            problems.append(Problem(column=where, kind=kind, rows=rows, allowed=allowed, everywhere=everywhere))
        else:
            repairs.append({"column": column, "kind": kind, "rows": rows, "done": repair[on_error]})
    return problems, repairs


def _allowed(column: str, kind: str, layout: Layout, findings: Findings) -> str:
    """What would be allowed, with the nearest levels where some are unknown."""
    if column == "lines":
        return ""
    if column == "action":
        return f"nothing at all, or {', '.join(layout.map.actions.contact_factors)} all something"
    if column == WEEK and kind not in ("missing", "not a week"):
        return "one row in seven days, no week left out"
    if column == MEMBER and kind.startswith("too"):
        return "one identifier a member"
    if kind == "unknown level" and findings.nearest.get(column):
        return f"nearest: {', '.join(findings.nearest[column])}; all: {layout.allowed(column)}"
    if kind in ("time runs backwards", "not the next row's state", "next state of another time", "after the end"):
        return ""
    return layout.allowed(column)
