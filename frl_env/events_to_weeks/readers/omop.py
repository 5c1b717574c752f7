"""OMOP 5.4: `person`, `observation_period`, `visit_occurrence`, and if they are there `cost` and `death`.

    visit_occurrence: 17, concept 262, 2024-01-03, 2024-01-06   ->   encounters: 17, ed_stay, 2024-01-03 to 2024-01-06

Concept 9201 is a stay, 9203 an ED visit, 262 an ED visit and stay. OMOP knows no contact log of a care program, so
that lies beside, as [tables.contacts].
"""

from functools import partial
from typing import Any

import ibis
import ibis.expr.types as ir

from frl_env.errors import UserError
from frl_env.events_to_weeks.event_tables.reading import columns_as_named
from frl_env.events_to_weeks.event_tables.spec import Spec
from frl_env.events_to_weeks.facts import cell_parsing

HISPANIC = 38003563
"""OMOP's concept of the ethnicity "Hispanic or Latino"."""


def read_omop(engine: Any, spec: Spec) -> dict[str, ir.Table]:
    """Raw tables with our column names.

    Raises:
        UserError: If a table or a column is missing.
    """
    opened = partial(columns_as_named, engine, spec)
    period = opened("observation_period", "person_id", "observation_period_start_date", "observation_period_end_date")
    visit = opened("visit_occurrence", "person_id", "visit_occurrence_id", "visit_concept_id", "visit_start_date",
                   "visit_end_date")  # fmt: skip
    paid: Any = ibis.literal(None, "float64")
    if "cost" in spec.tables:
        visit = visit.mutate(event=_identifier("visit_occurrence", "visit_occurrence_id", visit.visit_occurrence_id))
        sums = engine.keep("paid_of_visits", _paid(opened("cost", "cost_event_id", "cost_domain_id", "total_paid")))
        met = sums.semi_join(visit, "event")
        if (
            engine.row(sums.aggregate(rows=sums.count()))["rows"]
            and not engine.row(met.aggregate(rows=met.count()))["rows"]
        ):
            raise UserError(
                "no row of table cost is about a visit of visit_occurrence; write cost_event_id as visit_occurrence_id "
                "is written, or leave the table out"
            )
        visit = visit.left_join(sums, "event")
        paid = visit.paid
    return {
        "enrolment": period.select(
            member="person_id", start="observation_period_start_date", end="observation_period_end_date"
        ),
        "members": _people(engine, spec, opened),
        "encounters": visit.select(
            member="person_id", start="visit_start_date", end="visit_end_date",
            kind=visit.visit_concept_id.cast("int64").cast("string"), paid=paid,
        ),
    }  # fmt: skip


def _people(engine: Any, spec: Spec, opened: Any) -> ir.Table:
    """Who the members are, from `person` and `death`."""
    person = opened(
        "person", "person_id", "gender_concept_id", "year_of_birth", "month_of_birth", "day_of_birth",
        "race_concept_id", "ethnicity_concept_id",
    )  # fmt: skip
    # Who has a year of birth only is taken as born in the middle of it.
    year, month, day = (
        text.lpad(width, "0")
        for text, width in (
            (_whole(person.year_of_birth), 4),
            (_whole(person.month_of_birth).fill_null("7"), 2),
            (_whole(person.day_of_birth).fill_null("1"), 2),
        )
    )
    hispanic = (person.ethnicity_concept_id.cast("int64") == HISPANIC).fill_null(False)
    race = ibis.ifelse(hispanic, ibis.literal(str(HISPANIC)), _whole(person.race_concept_id))
    birth = (year + "-" + month + "-" + day).try_cast("date")
    people = person.select(
        member="person_id", birth=birth, gender=_whole(person.gender_concept_id), race_ethnicity=race
    )
    if "death" not in spec.tables:
        return people
    death = opened("death", "person_id", "death_date").select(dead="person_id", death="death_date")
    return people.left_join(death, people.member == death.dead).drop("dead")


def _whole(column: Any) -> Any:
    return column.cast("int64").cast("string")


def _paid(cost: ir.Table) -> ir.Table:
    """Dollars paid for each visit: NaN where an amount is no number, too many where one is out of range."""
    parsed = cell_parsing.amount(cost.total_paid)
    if parsed is None:
        raise UserError(f"table cost: total_paid must be numbers, not a column of type {cost.total_paid.type()}")
    of_visits = (cost.cost_domain_id.cast("string").strip().lower() == "visit").fill_null(False)
    event = _identifier("cost", "cost_event_id", cost.cost_event_id)
    kinds = ("not a number", "out of range")
    wrong, far = (ibis.ifelse(parsed.faults[kind], 1, 0).cast("int64") for kind in kinds)
    rows = cost.select(event=event, cents=parsed.value, wrong=wrong, far=far, kept=of_visits & event.notnull())
    rows = rows.filter(rows.kept)
    sums = rows.group_by("event").aggregate(cents=rows.cents.sum(), wrong=rows.wrong.sum(), far=rows.far.sum())
    dollars = sums.cents.cast("float64") / 100
    paid = ibis.cases(
        (sums.wrong > 0, ibis.literal(float("nan"), "float64")),
        (sums.far > 0, ibis.literal(float(cell_parsing.MOST_CENTS), "float64")),
        else_=dollars,
    )
    return sums.select("event", paid=paid)


def _identifier(label: str, name: str, column: Any) -> Any:
    """Text of a whole number, however it is written: "2", 2, 2.0 and "2.0" are one."""
    parsed = cell_parsing.identifier(column)
    if parsed is None:
        raise UserError(
            f"table {label}: {name} must be whole numbers, not a column of type {column.type()}; convert it"
        )
    return cell_parsing.without_fraction(parsed.value)
