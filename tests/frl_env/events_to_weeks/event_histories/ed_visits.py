"""ED visits: what is one, and what of one on the way to a stay."""

from event_histories.history import ONE_ED, ONE_STAY, QUIET, TWO_ED, History, ed, office, stay

ED_VISITS = [
    History(name="an ED visit by revenue code", claims=[ed("a", "01-10")], right=ONE_ED),
    History(name="a revenue code that lost its zero", claims=[ed("a", "01-10", revenue="450")], right=ONE_ED),
    History(
        name="codes that a table of fractions has made 450.0, 23.0 and 99284.0",
        claims=[
            ed("a", "01-10", revenue="450.0"),
            {"claim": "b", "start": "01-11", "place": "23.0"},
            {"claim": "c", "start": "01-13", "hcpcs": "99284.0"},
        ],
        right=TWO_ED.replace("- -2", "- -3").replace("0 2 0", "0 3 0"),
    ),
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
]
