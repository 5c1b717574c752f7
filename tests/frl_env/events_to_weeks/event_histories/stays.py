"""Stays: transfers, interim bills, and observation."""

from event_histories.history import ONE_STAY, QUIET, History, stay

STAYS = [
    History(
        name="a transfer is one stay",
        claims=[stay("a", "01-10", "01-11", discharge="02"), stay("b", "01-11", "01-14")],
        right=ONE_STAY,
    ),
    History(
        name="interim bills of one long stay",
        claims=[
            stay("a", "01-10", "01-14", frequency="2"),
            stay("b", "01-15", "01-21", frequency="3"),
            stay("c", "01-22", "01-24", frequency="4"),
        ],
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
]
