"""Contacts: attempts, several in a week, time zones, who called whom."""

from event_histories.history import CALL, QUIET, History

CONTACTS = [
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
        name="the last of a week may be a second try of its day",
        contacts=[
            ("01-12 09:00", CALL, "attempted"),
            ("01-12 10:00", "SMS_TEXT/CHW/CARE/ROUTINE", "reached"),
            ("01-12 16:00", CALL, "attempted"),
        ],
        rules={"contacts": {"several": "last"}},
        right=f"""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 {CALL} 0
        01-15 1 0 0 1 1 14 0 - 0
        01-22 0 0 0 0 0 21 0 - 0
        """,
    ),
    History(
        name="reached first is who was reached before a second try of the day reached, too",
        contacts=[
            ("01-12 09:00", CALL, "attempted"),
            ("01-12 10:00", "SMS_TEXT/CHW/CARE/ROUTINE", "reached"),
            ("01-12 16:00", CALL, "reached"),
        ],
        rules={"contacts": {"several": "reached_first"}},
        right="""
        01-01 0 0 0 0 0  0 0 - 0
        01-08 0 0 0 0 0  7 0 SMS_TEXT/CHW/CARE/ROUTINE 0
        01-15 2 0 0 1 1 14 0 - 0
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
            ("01-15 05:00:00.123+00", "SMS_TEXT/CHW/CARE/ROUTINE", "attempted"),
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
