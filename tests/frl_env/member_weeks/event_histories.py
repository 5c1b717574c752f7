"""Forty and more short histories of spans, claims and contacts, and the member-weeks that are right for each.

Weeks start on Mondays; 1 January 2024 is one. Unless a history says otherwise, claims are complete through 28 January
(four weeks) and a state counts claims from the day of service on. Days are month-day of 2024 unless a year is given.

A row of `right` reads: week, encounters, ED visits, stays, calls, texts, enrolled days, dollars paid, decision,
reward, and x where the member's record ends for good.
"""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class History:
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

HISTORIES = [
    # ED visits
    History(name="an ED visit by revenue code", claims=[ed("a", "01-10")], right=ONE_ED),
    History(name="a revenue code that lost its zero", claims=[ed("a", "01-10", revenue="450")], right=ONE_ED),
    History(
        name="an ED visit by procedure code",
        claims=[{"claim": "a", "start": "01-10", "hcpcs": "99284 ", "paid": 0}],
        right=ONE_ED,
    ),
    History(name="an ED visit by place", claims=[{"claim": "a", "start": "01-10", "place": "23"}], right=ONE_ED),
    History(
        name="three claims for one ED visit",
        claims=[ed("a", "01-10"), ed("b", "01-10"), {"claim": "c", "start": "01-10", "hcpcs": "G0382"}],
        right=ONE_ED,
    ),
    History(name="two ED visits on two days", claims=[ed("a", "01-10"), ed("b", "01-11")], right=TWO_ED),
    History(
        name="two claims on one day, each counted by rule",
        claims=[ed("a", "01-10"), ed("a", "01-10"), ed("b", "01-10")],
        rules={"events": {"ed_days": "each_claim"}},
        right=TWO_ED,
    ),
    History(name="an office visit is no event", claims=[office("a", "01-10", 0)], right=QUIET),
    # ED to stay
    History(
        name="an ED visit on the day of admission",
        claims=[ed("a", "01-10"), stay("b", "01-10", "01-12")],
        right=ONE_STAY,
    ),
    History(
        name="an ED visit on the eve of admission",
        claims=[ed("a", "01-10"), stay("b", "01-11", "01-12")],
        right=ONE_STAY,
    ),
    History(
        name="an ED visit on Sunday, admission on Monday: the stay's week",
        claims=[ed("a", "01-07"), stay("b", "01-08", "01-09")],
        right=ONE_STAY,
    ),
    History(
        name="ED charges on the claim of the stay",
        claims=[stay("b", "01-10", "01-12", revenue="0450"), stay("b", "01-10", "01-12", revenue="0120")],
        right=ONE_STAY,
    ),
    History(
        name="an ED visit two days before a stay is another event",
        claims=[ed("a", "01-09"), stay("b", "01-11", "01-12")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - -2
        01-15 0 1 1 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="both events by rule",
        claims=[ed("a", "01-10"), stay("b", "01-10", "01-12")],
        rules={"events": {"ed_to_stay": "both"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - -2
        01-15 0 1 1 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    # Stays
    History(
        name="a transfer is one stay",
        claims=[stay("a", "01-10", "01-11", discharge="02"), stay("b", "01-11", "01-14")],
        right=ONE_STAY,
    ),
    History(
        name="interim bills of one long stay",
        claims=[stay("a", "01-10", "01-14"), stay("b", "01-15", "01-21"), stay("c", "01-22", "01-24")],
        right=ONE_STAY,
    ),
    History(
        name="stays two days apart are two",
        claims=[stay("a", "01-08", "01-09"), stay("b", "01-11", "01-12")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - -2
        01-15 0 0 2 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="a short stay within a long one",
        claims=[stay("a", "01-10", "01-20"), stay("b", "01-12", "01-13"), stay("c", "01-19", "01-22")],
        right=ONE_STAY,
    ),
    History(
        name="a transfer two days later, by rule",
        claims=[stay("a", "01-08", "01-09", discharge="2"), stay("b", "01-11", "01-12")],
        rules={"events": {"transfer_days": 2}},
        right=ONE_STAY,
    ),
    History(name="a bill type of three digits", claims=[stay("a", "01-10", "01-12", bill_type="121")], right=ONE_STAY),
    History(
        name="a stay counts in the week of admission",
        claims=[stay("a", "01-14", "01-25")],
        right=ONE_STAY,
    ),
    History(name="observation is neither", claims=[{"claim": "a", "start": "01-10", "revenue": "0762"}], right=QUIET),
    History(
        name="observation as a stay, by rule",
        claims=[{"claim": "a", "start": "01-10", "revenue": "762"}],
        rules={"events": {"observation": "stay"}},
        right=ONE_STAY,
    ),
    # Voids, replacements, reversals
    History(
        name="a void",
        claims=[
            ed("a", "01-10", 100, received="02-01"),
            ed("v", "01-10", -100, received="03-01", adjusts="a", frequency="8"),
        ],
        right=QUIET,
    ),
    History(
        name="a void of a void",
        claims=[
            ed("a", "01-10", 100, received="02-01"),
            ed("v", "01-10", -100, received="03-01", adjusts="a", frequency="8"),
            ed("w", "01-10", 100, received="04-01", adjusts="v", frequency="8"),
        ],
        right=ONE_ED.replace("14 0 -", "14 100 -").replace("21 0 -", "21 100 -"),
    ),
    History(
        name="a void of a void of a void",
        claims=[
            ed("a", "01-10", 100),
            ed("v", "01-10", 100, adjusts="a", frequency="8"),
            ed("w", "01-10", 100, adjusts="v", frequency="8"),
            ed("x", "01-10", 100, adjusts="w", frequency="8"),
        ],
        right=QUIET,
    ),
    History(
        name="a replacement on another day and of another amount",
        claims=[ed("a", "01-10", 100), ed("r", "01-16", 80, adjusts="a", frequency="7")],
        right="""
        01-01 0 0 0 0 0  0 0  - 0
        01-08 0 0 0 0 0  7 0  - 0
        01-15 0 0 0 0 0 14 0  - -1
        01-22 0 1 0 0 0 21 80 - 0
        """,
    ),
    History(
        name="a replacement of a replacement",
        claims=[
            ed("a", "01-10", 100),
            ed("r", "01-10", 80, adjusts="a", frequency="7"),
            ed("s", "01-10", 70, adjusts="r", frequency="7"),
        ],
        right=ONE_ED.replace("14 0 -", "14 70 -").replace("21 0 -", "21 70 -"),
    ),
    History(
        name="a replacement that is voided",
        claims=[
            ed("a", "01-10", 100),
            ed("r", "01-10", 80, adjusts="a", frequency="7"),
            ed("v", "01-10", -80, adjusts="r", frequency="8"),
        ],
        right=QUIET,
    ),
    History(
        name="voided and billed again",
        claims=[
            ed("a", "01-10", 100),
            ed("v", "01-10", -100, adjusts="a", frequency="8"),
            ed("b", "01-11", 90),
        ],
        right=ONE_ED.replace("14 0 -", "14 90 -").replace("21 0 -", "21 90 -"),
    ),
    History(
        name="a reversal under the same number",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", -100)],
        right=QUIET,
    ),
    History(
        name="reversed and paid anew under the same number",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", -100), ed("a", "01-10", 60)],
        right=ONE_ED.replace("14 0 -", "14 60 -").replace("21 0 -", "21 60 -"),
    ),
    History(
        name="one of two lines reversed",
        claims=[ed("a", "01-10", 100), office("a", "01-10", 40), ed("a", "01-10", -100)],
        right=QUIET.replace("14 0 -", "14 40 -").replace("21 0 -", "21 40 -"),
    ),
    History(name="a denied claim", claims=[ed("a", "01-10", 0, status="Denied")], right=QUIET),
    History(
        name="every row counts, by rule",
        claims=[ed("a", "01-10", 100), ed("v", "01-11", -100, adjusts="a", frequency="8")],
        rules={"claims": {"adjustments": "ignored"}},
        right=TWO_ED,
    ),
    History(
        name="a reversal after the cut still takes back",
        claims=[
            ed("a", "01-10", 100, received="01-20"),
            ed("v", "01-10", 0, received="09-01", adjusts="a", frequency="8"),
        ],
        right=QUIET,
    ),
    History(
        name="a void that the extract does not know yet",
        claims=[
            ed("a", "01-10", 100, received="01-20"),
            ed("v", "01-10", 0, received="09-01", adjusts="a", frequency="8"),
        ],
        rules={"claims": {"as_of": "2024-06-30"}},
        right=ONE_ED.replace("14 0 -", "14 100 -").replace("21 0 -", "21 100 -"),
    ),
    History(
        name="a void dated on a day without coverage",
        spans=[("01-01", "01-20")],
        claims=[ed("a", "01-10", 100), ed("v", "02-10", -100, adjusts="a", frequency="8")],
        right=LEFT_ON_20,
    ),
    History(
        name="a replacement that moves a claim to a day without coverage",
        spans=[("01-01", "01-20")],
        claims=[ed("a", "01-10", 100), ed("r", "02-10", 100, adjusts="a", frequency="7")],
        right=LEFT_ON_20,
    ),
    History(
        name="a reversal that says so in words, its amount above zero, and paid anew",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", 100, status="reversed"), ed("a", "01-10", 60)],
        right=ONE_ED.replace("14 0 -", "14 60 -").replace("21 0 -", "21 60 -"),
    ),
    # What a week knows
    History(
        name="a claim marked as reversed, without the one that it reverses",
        claims=[ed("a", "01-03", 100, status="reversed", received="01-05"), office("b", "01-03", 40, received="01-05")],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0  - 0
        01-08 0 0 0 0 0  7 40 - 0
        01-15 0 0 0 0 0 14 40 - 0
        01-22 0 0 0 0 0 21 40 - 0
        """,
    ),
    History(
        name="reversed twice: one line is taken back",
        claims=[
            ed("a", "01-03", 100, received="01-05"),
            ed("a", "01-03", 100, status="reversed", received="01-10"),
            ed("a", "01-03", -100, received="01-17"),
            office("b", "01-03", 40, received="01-05"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - 0
        01-08 0 1 0 0 0  7 140 - 0
        01-15 0 0 0 0 0 14 40  - 0
        01-22 0 0 0 0 0 21 40  - 0
        """,
    ),
    History(
        name="an ED visit on Sunday does not know of the admission on Monday",
        claims=[ed("a", "01-07", received="01-07"), stay("b", "01-08", "01-09", received="01-10")],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 1 0 0 0  7 0 - -1
        01-15 0 0 1 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="a claim counts in its week until its replacement moves it to the next",
        claims=[
            ed("a", "01-03", 100, received="01-04"),
            ed("r", "01-10", 80, received="01-12", adjusts="a", frequency="7"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - 0
        01-08 0 1 0 0 0  7 100 - -1
        01-15 0 1 0 0 0 14 80  - 0
        01-22 0 0 0 0 0 21 80  - 0
        """,
    ),
    History(
        name="a claim that arrives two weeks later",
        claims=[ed("a", "01-03", 100, received="01-16")],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - -1
        01-08 0 0 0 0 0  7 0   - 0
        01-15 0 0 0 0 0 14 0   - 0
        01-22 0 0 0 0 0 21 100 - 0
        """,
    ),
    History(
        name="a claim that arrives at once",
        claims=[ed("a", "01-03", 100, received="01-07")],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - -1
        01-08 0 1 0 0 0  7 100 - 0
        01-15 0 0 0 0 0 14 100 - 0
        01-22 0 0 0 0 0 21 100 - 0
        """,
    ),
    History(
        name="a void becomes known: no event, but the state had it",
        claims=[
            ed("a", "01-03", 100, received="01-05"),
            ed("v", "01-03", -100, received="01-16", adjusts="a", frequency="8"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - 0
        01-08 0 1 0 0 0  7 100 - 0
        01-15 0 0 0 0 0 14 100 - 0
        01-22 0 0 0 0 0 21 0   - 0
        """,
    ),
    # Spans
    History(
        name="touching and overlapping spans are one",
        spans=[("01-01", "01-10"), ("01-11", "01-20"), ("01-05", "01-08"), ("01-15", "")],
        right=QUIET,
    ),
    History(
        name="a gap is not observed, and no end",
        spans=[("01-01", "01-10"), ("01-20", "")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-22 0 0 0 0 0 12 0 - 0
        """,
    ),
    History(
        name="a gap that is kept",
        spans=[("01-01", "01-10"), ("01-20", "")],
        rules={"enrolment": {"gaps": "kept"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 10 0 - 0
        01-22 0 0 0 0 0 12 0 - 0
        """,
    ),
    History(
        name="a gap that is bridged",
        spans=[("01-01", "01-10"), ("01-20", "")],
        rules={"enrolment": {"bridge_days": 9}},
        right=QUIET,
    ),
    History(
        name="a gap within a week, and days since the first",
        spans=[("01-01", "01-09"), ("01-12", "")],
        rules={"state": {"enrolled_days": "since_first"}},
        right=QUIET,
    ),
    History(
        name="a claim in a gap does not count",
        spans=[("01-01", "01-09"), ("01-12", "")],
        claims=[ed("a", "01-10", 50)],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 12 0 - 0
        01-22 0 0 0 0 0 19 0 - 0
        """,
    ),
    History(
        name="death ends it",
        person={"death": "01-17"},
        claims=[ed("a", "01-16")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 14 0 - -1 x
        """,
    ),
    History(
        name="death in a gap: the end is the last covered week",
        spans=[("01-01", "01-12"), ("03-01", "")],
        person={"death": "01-20"},
        right="""
        01-01 0 0 0 0 0 0 0 - 0
        01-08 0 0 0 0 0 7 0 - 0 x
        """,
    ),
    History(
        name="death in a gap that is kept: the end is the day of death",
        spans=[("01-01", "01-12")],
        person={"death": "01-20"},
        rules={"enrolment": {"gaps": "kept"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 12 0 - 0 x
        """,
    ),
    History(name="left for good: spans that go on don't count", person={"left": "01-20"}, right=LEFT_ON_20_FOR_GOOD),
    History(
        name="left for good in a gap: the end is the last covered week",
        spans=[("01-01", "01-20")],
        person={"left": "01-25"},
        right=LEFT_ON_20_FOR_GOOD,
    ),
    History(
        name="left for good, and died later: gaps are kept up to the day of leaving",
        spans=[("01-01", "01-10")],
        person={"left": "01-20", "death": "01-26"},
        rules={"enrolment": {"gaps": "kept"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 10 0 - 0 x
        """,
    ),
    History(
        name="gone for good after so many days",
        spans=[("01-01", "01-10")],
        rules={"enrolment": {"gone_after_days": 14}},
        right="""
        01-01 0 0 0 0 0 0 0 - 0
        01-08 0 0 0 0 0 7 0 - 0 x
        """,
    ),
    History(
        name="away, but not known to be gone",
        spans=[("01-01", "01-10")],
        right="""
        01-01 0 0 0 0 0 0 0 - 0
        01-08 0 0 0 0 0 7 0 - 0
        """,
    ),
    History(
        name="Medicare spans left out, by rule",
        spans=[("01-01", "01-14"), ("01-15", "", "yes")],
        rules={"enrolment": {"dual": "left_out"}},
        right="""
        01-01 0 0 0 0 0 0 0 - 0
        01-08 0 0 0 0 0 7 0 - 0
        """,
    ),
    History(
        name="a child turns eighteen",
        person={"birth": "2006-01-15"},
        rules={"enrolment": {"min_age": 18}},
        right="""
        01-15 0 0 0 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="born on 29 February: a birthday on 1 March",
        spans=[("2023-02-20", "2023-03-26")],
        person={"birth": "2004-02-29"},
        rules={"enrolment": {"min_age": 19, "gone_after_days": 3660}, "weeks": {"starts": "tuesday"}},
        right="""
        2023-03-07 0 0 0 0 0 15 0 - 0
        2023-03-14 0 0 0 0 0 22 0 - 0
        2023-03-21 0 0 0 0 0 29 0 - 0
        """,
    ),
    # Weeks
    History(
        name="weeks that start on Thursday",
        claims=[ed("a", "01-10"), ed("b", "01-11")],
        rules={"weeks": {"starts": "thursday"}},
        right="""
        01-04 0 0 0 0 0  3 0 - -1
        01-11 0 1 0 0 0 10 0 - -1
        01-18 0 1 0 0 0 17 0 - 0
        """,
    ),
    History(
        name="weeks that start at the member's first day",
        spans=[("01-03", "")],
        claims=[ed("a", "01-09"), ed("b", "01-10")],
        rules={"weeks": {"starts": "member"}},
        right="""
        01-03 0 0 0 0 0  0 0 - -1
        01-10 0 1 0 0 0  7 0 - -1
        01-17 0 1 0 0 0 14 0 - 0
        """,
    ),
    History(
        name="the boundary of a week: Sunday and Monday",
        claims=[ed("a", "01-14"), ed("b", "01-15")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - -1
        01-15 0 1 0 0 0 14 0 - -1
        01-22 0 1 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="leap day and the turn of a year",
        spans=[("2023-12-30", "2024-03-10")],
        claims=[ed("a", "2023-12-31", 10), ed("b", "02-29", 20)],
        rules={
            "claims": {"complete_through": "2024-03-10"},
            "weeks": {"first_day": "2024-02-20"},
            "state": {"paid_weeks": 8},
        },
        right="""
        02-26 0 0 0 0 0 58 0  - -1
        03-04 0 1 0 0 0 65 20 - 0
        """,
    ),
    History(
        name="spending of the weeks before, no more",
        claims=[office("a", "01-03", 10), office("b", "01-09", 20), office("c", "01-16", 40.5)],
        rules={"state": {"paid_weeks": 2}},
        right="""
        01-01 0 0 0 0 0  0 0    - 0
        01-08 0 0 0 0 0  7 10   - 0
        01-15 0 0 0 0 0 14 30   - 0
        01-22 0 0 0 0 0 21 60.5 - 0
        """,
    ),
    # Contacts
    History(
        name="two tries on a day are one attempt, reached if one was",
        contacts=[("01-09 10:00", CALL, "attempted"), ("01-09 16:00", CALL, "reached")],
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 1 0 0 1 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="each try counts, by rule",
        contacts=[("01-09 10:00", CALL, "attempted"), ("01-09 16:00", CALL, "attempted")],
        rules={"contacts": {"repeats": "each"}},
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 0 0 0 2 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="several in a week: the first",
        contacts=[
            ("01-12", "HOME_VISIT/CHW/CARE/URGENT", "reached"),
            ("01-10", "SMS_TEXT/CHW/CARE/ROUTINE", "attempted"),
        ],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 SMS_TEXT/CHW/CARE/ROUTINE 0
        01-15 1 0 0 0 1 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="several in a week: the last",
        contacts=[
            ("01-12", "HOME_VISIT/CHW/CARE/URGENT", "attempted"),
            ("01-10", "SMS_TEXT/CHW/CARE/ROUTINE", "reached"),
        ],
        rules={"contacts": {"several": "last"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 HOME_VISIT/CHW/CARE/URGENT 0
        01-15 1 0 0 0 1 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="several in a week: the most intensive",
        contacts=[("01-10", "SMS_TEXT/CHW/CARE/ROUTINE", "reached"), ("01-12", CALL, "attempted")],
        rules={"contacts": {"several": "most_intensive"}},
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 1 0 0 1 1 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="several in a week: who was reached first",
        contacts=[("01-10", "SMS_TEXT/CHW/CARE/ROUTINE", "attempted"), ("01-12", CALL, "reached")],
        rules={"contacts": {"several": "reached_first"}},
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 1 0 0 1 1 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="midnight is the day that begins",
        contacts=[("01-15T00:00:00", CALL, "attempted"), ("01-21 23:59:59", "SMS_TEXT/CHW/CARE/ROUTINE", "reached")],
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 0 0 0 0 0 14 0 {CALL} 0
        01-22 1 0 0 1 1 21 0 - 0
        """,
    ),
    History(
        name="points in time become days of the plan's zone",
        contacts=[
            ("01-15T04:59:59Z", CALL, "attempted"),
            ("01-15T05:00:00+00:00", "SMS_TEXT/CHW/CARE/ROUTINE", "attempted"),
        ],
        rules={"contacts": {"time_zone": "America/New_York"}},
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 0 0 0 1 0 14 0 SMS_TEXT/CHW/CARE/ROUTINE 0
        01-22 0 0 0 0 1 21 0 - 0
        """,
    ),
    History(
        name="summer time: an hour less",
        spans=[("2024-03-04", "")],
        contacts=[("2024-03-11T03:59:59Z", CALL, "attempted"), ("2024-03-18T04:00:00Z", CALL, "attempted")],
        rules={"contacts": {"time_zone": "America/New_York"}, "claims": {"complete_through": "2024-03-24"}},
        right=f"""
        03-04 0 0 0 0 0  0 0 {CALL} 0
        03-11 0 0 0 1 0  7 0 - 0
        03-18 0 0 0 0 0 14 0 {CALL} 0
        """,
    ),
    History(
        name="a member who calls is an encounter, and no decision",
        contacts=[("01-09", CALL, "reached", "inbound")],
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 - 0
        01-15 1 0 0 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="planned and never tried: a decision, no attempt",
        contacts=[("01-09", CALL, "planned")],
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 0 0 0 0 0 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="what the crosswalk ignores is nothing",
        contacts=[("01-09", CALL, "ignore")],
        right=QUIET,
    ),
]
