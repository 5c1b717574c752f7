"""What a conversion needs before it counts anything: columns for its rules, rows, shared members, a place of its own.

Each function here raises one clear error; faults of single cells are counted elsewhere.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.faults import Fault
from frl_env.events_to_weeks.rules import Rules


def check_output(spec: Spec, output: Path) -> None:
    """Refuses to write over a table that is read, or among its files.

    Raises:
        UserError: If so.
    """
    target = output.resolve()
    for label, table in spec.tables.items():
        place = table.path.resolve()
        if target == place or (place in target.parents and place.is_dir()):
            raise UserError(f"{output} would be written where table {label} is read from ({table.path}); name another")


def check_columns(has: Mapping[str, Any], rules: Rules) -> None:
    """Refuses tables without the columns that the contract or a rule needs.

    Args:
        has: The readings of tables, by label.
        rules: How is counted.

    Raises:
        UserError: If one is missing.
    """
    if "outcome" not in has["contacts"].has:
        raise UserError(
            "table contacts needs outcome (whether the member was reached): without it a log of attempts and one of "
            "reached contacts look the same; name its column, or a constant under [tables.contacts.constants]"
        )
    people = has["members"].has if "members" in has else frozenset()
    ages = rules.enrolment.min_age > 0 or rules.enrolment.max_age < 120
    for rule, wanted, table, column, known in (
        ("dual", rules.enrolment.dual == "left_out", "enrolment", "dual", has["enrolment"].has),
        ("min_age and max_age", ages, "members", "birth", people),
    ):
        if wanted and column not in known:
            raise UserError(
                f"{rule} under [rules.enrolment] can't be followed without the column {column} of table {table}; name "
                "it, or leave the rule out"
            )


def check_rows(seen: Mapping[str, Mapping[str, Any]], rules: Rules) -> None:
    """Refuses empty tables, and adjustments of no claim.

    Args:
        seen: What the first pass over each table has seen, by label.
        rules: How is counted.

    Raises:
        UserError: If there are such.
    """
    for label in ("enrolment", "contacts"):
        if not seen[label]["rows"]:
            raise UserError(f"table {label} has no rows; check path in the spec")
    if not any(seen[label]["rows"] for label in ("claims", "encounters") if label in seen):
        raise UserError("claims or encounters have no rows; check path in the spec")
    if seen.get("claims", {}).get("orphans") and rules.claims.adjustments == "net":
        raise UserError(
            f"claims: {int(seen['claims']['orphans']):,} replacements or voids don't say which claim they adjust; name "
            'the column adjusts, or set adjustments = "ignored" under [rules.claims]'
        )


def check_members(seen: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuses tables of other people: their identifiers are written otherwise, and every row would be dropped.

    Args:
        seen: What the first pass over each table has seen, by label.

    Raises:
        UserError: If a table shares no member with the spans.
    """
    for label in ("claims", "encounters", "contacts"):
        if label in seen and seen[label]["rows"] and not seen[label]["met"]:
            raise UserError(
                f"no row of table {label} is about a member of table enrolment; write identifiers alike in both (are "
                "leading zeros lost?), and check the column member in the spec"
            )


def one_row_a_member(engine: Any, people: Any) -> list[Fault]:
    """Members with rows that contradict each other.

    Args:
        engine: Where.
        people: The canonical table `members`; None without.
    """
    if people is None:
        return []
    again = people.group_by("member").aggregate(rows=people.count())
    again = again.filter(again.rows > 1)
    twice = int(engine.row(again.aggregate(rows=again.rows.sum().fill_null(0)))["rows"])
    return [Fault(table="members", column="member", kind="two rows for one member", rows=twice)] if twice else []
