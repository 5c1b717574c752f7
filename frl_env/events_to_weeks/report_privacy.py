"""Which figures of a report may be told: those that at least 11 people stand behind, however many rows they have.

    stays of January    40 rows of 3 people    not told
                        40 rows of 30          told, to the nearest 20

A spec that is marked as simulated tells all.
"""

from collections.abc import Callable
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.evaluation.privacy.suppression import SECRET, SMALLEST, hidden_cells, rough
from frl_env.events_to_weeks.event_tables.spec import Spec


def people_behind(engine: Any, spec: Spec, rows: ir.Table, /, **masks: Any) -> dict[str, int]:
    """How many people have rows of each kind.

    Args:
        engine: Where.
        spec: Nobody is counted where people are simulated.
        rows: With `who`, null for strangers, who are not counted.
        masks: Which of the rows are of a kind.
    """
    if spec.simulated:
        return dict.fromkeys(masks, SMALLEST)
    counted = {name: ibis.ifelse(mask, rows.who, None).nunique() for name, mask in masks.items()}
    return {name: int(people) for name, people in engine.row(rows.aggregate(**counted)).items()}


def told(number: int, people: int, spec: Spec) -> int | str:
    """A number of rows or of people, as it may be told.

    Args:
        number: Of rows.
        people: Who have them.
        spec: Whether they are simulated.
    """
    few = not spec.simulated and number > 0 and min(number, people) < SMALLEST
    return SECRET if few else rough(number, simulated=spec.simulated)


def told_by_group(engine: Any, spec: Spec, rows: ir.Table, name: Callable[[int], str]) -> dict[str, int | None]:
    """Numbers of rows by group; None where few people have them, and for what would give such away.

    Args:
        engine: Where.
        spec: Whether people are simulated.
        rows: `who` and `group`, a whole number.
        name: Of a group; where people are simulated, several may have one.
    """
    people = {} if spec.simulated else {"people": rows.who.nunique()}
    found = engine.rows(rows.group_by("group").aggregate(rows=rows.count(), **people))
    found = sorted(found, key=lambda row: row["group"])
    if spec.simulated:
        counts: dict[str, int | None] = {}
        for row in found:
            counts[name(row["group"])] = (counts.get(name(row["group"])) or 0) + int(row["rows"])
        return counts
    groups = {name(row["group"]): row["group"] for row in found}
    people_of = {name(row["group"]): int(row["people"]) for row in found}
    rows_of = {name(row["group"]): int(row["rows"]) for row in found}
    hidden = hidden_cells(rows_of) | hidden_cells(people_of) if found else set[str]()
    while hidden and (open_ := sorted(people_of.keys() - hidden)):
        # One person has rows of several groups: who is in any of the hidden ones follows from the total.
        of_hidden = rows.filter(rows.group.isin(sorted(groups[each] for each in hidden)))
        if engine.row(of_hidden.aggregate(people=of_hidden.who.nunique()))["people"] >= SMALLEST:
            break
        hidden.add(min(open_, key=lambda each: people_of[each]))
    return {each: None if each in hidden else rough(number, simulated=False) for each, number in rows_of.items()}
