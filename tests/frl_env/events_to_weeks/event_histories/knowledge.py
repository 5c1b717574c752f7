"""What a week knows: claims that arrive late or are changed later."""

from event_histories.history import History, ed, office, stay

KNOWLEDGE = [
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
        name="parts of a line reversed one after the other, as they arrive",
        claims=[
            ed("a", "01-03", 100, received="01-05"),
            ed("a", "01-03", -40, received="01-10"),
            ed("a", "01-03", -30, received="01-17"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - -1
        01-08 0 1 0 0 0  7 100 - 0
        01-15 0 0 0 0 0 14 60  - 0
        01-22 0 0 0 0 0 21 30  - 0
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
        name="two claims count until their replacement arrives, which then counts once",
        claims=[
            ed("a", "01-03", 100, received="01-04"),
            office("b", "01-03", 50, received="01-04"),
            ed("r", "01-03", 70, received="01-10", adjusts="a", frequency="7"),
            office("r", "01-03", 10, received="01-10", adjusts="b", frequency="7"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - -1
        01-08 0 1 0 0 0  7 150 - 0
        01-15 0 0 0 0 0 14 80  - 0
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
        name="voided and replaced on one day: the replacement is known",
        claims=[
            ed("a", "01-03", 100, received="01-05"),
            ed("v", "01-03", -100, received="01-10", adjusts="a", frequency="8"),
            ed("r", "01-03", 80, received="01-10", adjusts="a", frequency="7"),
        ],
        rules={"claims": {"known": "when_received"}},
        right="""
        01-01 0 0 0 0 0  0 0   - -1
        01-08 0 1 0 0 0  7 100 - 0
        01-15 0 0 0 0 0 14 80  - 0
        01-22 0 0 0 0 0 21 80  - 0
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
]
