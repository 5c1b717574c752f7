"""What a history is, short words for its claims, and member-weeks that many of them share."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened to one member, and the member-weeks that are right for it.

    Weeks start on Mondays; 1 January 2024 is one. Unless a history says otherwise, claims are complete through
    28 January (four weeks) and a state counts claims from the day of service on. Days are month-day of 2024 unless a
    year is given.

    A row of `right` reads: week, encounters, ED visits, stays, calls, texts, enrolled days, dollars paid, decision,
    reward, and x where the member's record ends for good.
    """

    name: str
    right: str
    spans: list[tuple[str, str]] = field(default_factory=lambda: [("01-01", "")])
    claims: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[tuple[str, ...]] = field(default_factory=list)
    person: dict[str, str] = field(default_factory=dict)
    rules: dict[str, dict[str, Any]] = field(default_factory=dict)


def ed(claim: str, start: str, paid: float = 0, **more: Any) -> dict[str, Any]:
    return {"claim": claim, "start": start, "revenue": "0450", "paid": paid} | more


def stay(claim: str, start: str, end: str, paid: float = 0, **more: Any) -> dict[str, Any]:
    return {"claim": claim, "start": start, "end": end, "bill_type": "0111", "paid": paid} | more


def office(claim: str, start: str, paid: float, **more: Any) -> dict[str, Any]:
    return {"claim": claim, "start": start, "hcpcs": "99213", "place": "11", "paid": paid} | more


QUIET = """
01-01 0 0 0 0 0  0 0 - 0
01-08 0 0 0 0 0  7 0 - 0
01-15 0 0 0 0 0 14 0 - 0
01-22 0 0 0 0 0 21 0 - 0
"""
ONE_ED = """
01-01 0 0 0 0 0  0 0 - 0
01-08 0 0 0 0 0  7 0 - -1
01-15 0 1 0 0 0 14 0 - 0
01-22 0 0 0 0 0 21 0 - 0
"""
ONE_STAY = """
01-01 0 0 0 0 0  0 0 - 0
01-08 0 0 0 0 0  7 0 - -1
01-15 0 0 1 0 0 14 0 - 0
01-22 0 0 0 0 0 21 0 - 0
"""
TWO_ED = """
01-01 0 0 0 0 0  0 0 - 0
01-08 0 0 0 0 0  7 0 - -2
01-15 0 2 0 0 0 14 0 - 0
01-22 0 0 0 0 0 21 0 - 0
"""
LEFT_ON_20 = """
01-01 0 0 0 0 0  0 0 - 0
01-08 0 0 0 0 0  7 0 - 0
01-15 0 0 0 0 0 14 0 - 0
"""
LEFT_ON_20_FOR_GOOD = LEFT_ON_20.rstrip() + " x"
CALL = "PHONE_CALL/CHW/CARE/ROUTINE"
