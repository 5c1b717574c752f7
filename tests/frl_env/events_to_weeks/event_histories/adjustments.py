"""Claims that are voided, replaced, reversed, denied or billed again."""

from event_histories.history import LEFT_ON_20, ONE_ED, QUIET, TWO_ED, History, ed, office

ADJUSTMENTS = [
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
        name="a replacement of two claims",
        claims=[
            ed("a", "01-10", 100),
            ed("b", "01-11", 50),
            ed("r", "01-10", 70, adjusts="a", frequency="7"),
            office("r", "01-10", 10, adjusts="b", frequency="7"),
        ],
        right=ONE_ED.replace("14 0 -", "14 80 -").replace("21 0 -", "21 80 -"),
    ),
    History(
        name="a void of two claims",
        claims=[
            ed("a", "01-10", 100),
            ed("b", "01-11", 50),
            ed("v", "01-10", -100, adjusts="a", frequency="8"),
            ed("v", "01-11", -50, adjusts="b", frequency="8"),
        ],
        right=QUIET,
    ),
    History(
        name="a void of two claims that is voided",
        claims=[
            ed("a", "01-10", 100),
            ed("b", "01-11", 50),
            ed("v", "01-10", -100, adjusts="a", frequency="8"),
            ed("v", "01-11", -50, adjusts="b", frequency="8"),
            ed("w", "01-11", 150, adjusts="v", frequency="8"),
        ],
        right=TWO_ED.replace("14 0 -", "14 150 -").replace("21 0 -", "21 150 -"),
    ),
    History(
        name="a replacement of a claim and its replacement, both named",
        claims=[
            ed("a", "01-10", 100),
            ed("r", "01-10", 80, adjusts="a", frequency="7"),
            ed("s", "01-10", 50, adjusts="r", frequency="7"),
            office("s", "01-10", 20, adjusts="a", frequency="7"),
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
        name="voided and replaced on one day: the replacement, whatever its number",
        claims=[
            ed("a", "01-10", 100, received="02-01"),
            ed("v", "01-10", -100, received="03-01", adjusts="a", frequency="8"),
            ed("r", "01-10", 80, received="03-01", adjusts="a", frequency="7"),
        ],
        right=ONE_ED.replace("14 0 -", "14 80 -").replace("21 0 -", "21 80 -"),
    ),
    History(
        name="taken back by another claim below zero, whose frequency says nothing",
        claims=[ed("a", "01-10", 100), ed("v", "01-10", -100, adjusts="a", frequency="1")],
        right=QUIET,
    ),
    History(
        name="a replacement with a line below zero, whose frequency says nothing",
        claims=[ed("a", "01-10", 100), ed("r", "01-10", 90, adjusts="a"), office("r", "01-10", -20, adjusts="a")],
        right=ONE_ED.replace("14 0 -", "14 70 -").replace("21 0 -", "21 70 -"),
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
    History(
        name="a part of a line reversed: the event stands",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", -40)],
        right=ONE_ED.replace("14 0 -", "14 60 -").replace("21 0 -", "21 60 -"),
    ),
    History(
        name="a line reversed in two parts",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", -40), ed("a", "01-10", 60, status="reversed")],
        right=QUIET,
    ),
    History(
        name="one of two alike lines reversed, and a part of the other",
        claims=[ed("a", "01-10", 100), ed("a", "01-10", 100), ed("a", "01-10", -100), ed("a", "01-10", -40)],
        right=ONE_ED.replace("14 0 -", "14 60 -").replace("21 0 -", "21 60 -"),
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
]
