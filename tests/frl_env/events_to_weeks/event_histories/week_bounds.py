"""Where a week begins, and which weeks a payment counts in."""

from event_histories.history import History, ed, office

WEEK_BOUNDS = [
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
]
