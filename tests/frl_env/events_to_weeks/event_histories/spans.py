"""Spans of coverage: gaps, death, leaving, age."""

from event_histories.history import LEFT_ON_20_FOR_GOOD, QUIET, History, ed

SPANS = [
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
        name="gone for good, and died later: the end is the last covered day, gaps kept or not",
        spans=[("01-01", "01-10")],
        person={"death": "01-26"},
        rules={"enrolment": {"gaps": "kept", "gone_after_days": 14}},
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
]
