"""The canonical tables between readers and rules: what each column is called, holds, and may leave out.

Every reader, whatever its source, ends in these tables, and everything after the readers knows only them:

    enrolment    spans of coverage                     members      who people are, when they died or left for good
    claims       claim lines, adjustments, voids       encounters   visits and stays, where the source has grouped them
    contacts     attempts of the care program, with their outcome

A source has `enrolment`, `contacts`, and `claims` or `encounters` or both; `members` may be missing.
"""

from dataclasses import dataclass

ID, DAY, MOMENT, MONEY, WORD, CODE, FLAG = "identifier", "day", "moment", "amount", "word", "code", "flag"
"""Kinds of columns: identifiers are text or whole numbers; days are days since 1970-01-01; moments are seconds of local
time since then; amounts are cents; words go through a crosswalk; codes are compared after trimming, in capitals."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """A column of a canonical table.

    Args:
        name: In specs and in expressions.
        kind: One of the kinds above.
        means: In half a sentence, for people.
        required: Whether a source must have the column.
        empty: Whether a row may leave it empty.
    """

    name: str
    kind: str
    means: str
    required: bool = False
    empty: bool = True


def _key(name: str, kind: str, means: str) -> Field:
    return Field(name=name, kind=kind, means=means, required=True, empty=False)


def _may(name: str, kind: str, means: str) -> Field:
    return Field(name=name, kind=kind, means=means)


_MEMBER = _key("member", ID, "who; the same identifier in every table")

TABLES: dict[str, tuple[Field, ...]] = {
    "enrolment": (
        _MEMBER,
        _key("start", DAY, "first covered day"),
        Field(name="end", kind=DAY, means="last covered day; empty while coverage lasts", required=True),
        _may("dual", FLAG, "whether Medicare covers the member as well"),
    ),
    "members": (
        _MEMBER,
        _may("birth", DAY, "date of birth"),
        _may("death", DAY, "date of death"),
        _may("left", DAY, "last day before the member left for good"),
        _may("gender", WORD, "group for audits"),
        _may("race_ethnicity", WORD, "group for audits"),
    ),
    "claims": (
        _MEMBER,
        _key("claim", ID, "identifier of the claim, on each of its lines"),
        _key("start", DAY, "first day of service"),
        _may("end", DAY, "last day of service; the first if empty"),
        _may("received", DAY, "day on which the plan received or paid it"),
        _may("adjusts", ID, "claim that this one replaces or voids"),
        _may("frequency", WORD, "original, replacement or void"),
        _may("status", WORD, "paid, denied or reversed"),
        _may("bill_type", CODE, "type of bill"),
        _may("revenue", CODE, "revenue code"),
        _may("hcpcs", CODE, "procedure code"),
        _may("place", CODE, "place of service"),
        _may("discharge", CODE, "discharge status"),
        _may("paid", MONEY, "US dollars paid; negative on a reversal"),
    ),
    "encounters": (
        _MEMBER,
        _key("start", DAY, "first day"),
        _may("end", DAY, "last day; the first if empty"),
        _may("received", DAY, "day on which the plan knew of it"),
        Field(name="kind", kind=WORD, means="ed, stay, ed_stay, observation or other", required=True),
        _may("discharge", CODE, "discharge status"),
        _may("paid", MONEY, "US dollars paid"),
    ),
    "contacts": (
        _MEMBER,
        _may("contact", ID, "identifier of the contact; rows of one day and channel with the same are one"),
        _key("time", MOMENT, "when it was tried; a day, or a point in time"),
        _may("outcome", WORD, "reached, attempted, planned or ignore"),
        _may("direction", WORD, "outbound or inbound"),
    ),
}
"""Columns by table; `contacts` has one more for each factor of the action, by the factor's name."""
