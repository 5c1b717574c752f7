"""The published figures that the simulator must meet, each with the range it has to fall into.

A range is the source's own interval where it has one, and says so. Elsewhere it is our judgement, and the note says
what it rests on: how far sources disagree, how far this population differs from theirs, or plain tolerance. Base rates
were tuned to these targets, so meeting them shows that the simulator is consistent, not that it predicts.
"""

from typing import NamedTuple


class Anchor(NamedTuple):
    """One published figure.

    Attributes:
        key: Name of the measurement.
        what: What is compared, in words.
        target: The published figure.
        low, high: Range that the simulation has to fall into.
        certainty: H read in the source itself, M read with a caveat, D derived from H, A an assumption.
        source: Where the figure stands.
        note: Why the range is what it is.
    """

    key: str
    what: str
    target: float
    low: float
    high: float
    certainty: str
    source: str
    note: str = ""


_USE = (
    # Name, what, published figure, lowest, highest, certainty, source, why this range.
    Anchor("ed_per_1000_months", "ED visits per 1,000 member-months", 79, 71, 87, "H", "NHAMCS 1997-2007", "10 %"),
    Anchor(
        "high_risk_ip",
        "hospital stays per 1,000 person-years, tiers HIGH and SUPER",
        645,
        420,
        870,
        "H",
        "IMPaCT controls",
        "35 %: trial patients were chosen in hospital, these tiers are not",
    ),
    Anchor(
        "ed_shape",
        "negative-binomial shape of yearly ED visits",
        0.30,
        0.22,
        0.38,
        "D",
        "Texas, Oklahoma",
        "tolerance 0.08: two sources, fitted by hand",
    ),
    Anchor(
        "any_ed",
        "members with an ED visit in the year",
        0.31,
        0.26,
        0.41,
        "H",
        "Delcher 2017",
        "Oklahoma 0.26; a mean of 0.95 visits at shape 0.30 implies 0.37, plus 4 points",
    ),
    Anchor(
        "three_ed", "members with 3 or more ED visits", 0.085, 0.06, 0.11, "H", "Delcher 2017", "tolerance 2.5 points"
    ),
    Anchor("three_ed_share", "their share of visits", 0.60, 0.54, 0.66, "H", "Delcher 2017", "tolerance 6 points"),
    Anchor(
        "ten_ed_share",
        "share of visits by members with 10 or more",
        0.155,
        0.10,
        0.21,
        "H",
        "Delcher 2017",
        "tolerance 5.5 points: few members",
    ),
    Anchor("ed_revisit_14", "ED revisit within 14 days", 0.126, 0.10, 0.155, "H", "Montoy", "weeks, not days"),
    Anchor("ip_return_7", "readmission within 7 days", 0.079, 0.06, 0.10, "M", "HCUP SB115", "7.6 and 8.1 % by age"),
    Anchor("ip_return_14", "readmission within 14 days", 0.134, 0.11, 0.16, "M", "HCUP SB115", "12.5 and 14.2 %"),
    Anchor(
        "ip_return_30", "readmission within 30 days (4 weeks)", 0.226, 0.20, 0.255, "M", "HCUP SB115", "20.8, 24.4 %"
    ),
    Anchor(
        "super_return_180",
        "readmission within 180 days (26 weeks), tier SUPER",
        0.617,
        0.52,
        0.72,
        "H",
        "Camden trial",
        "usual-care arm 62.3 %",
    ),
    Anchor(
        "season_amplitude", "yearly wave of ED visits", 0.06, 0.03, 0.09, "D", "BMC MIDM 5:4", "half to one and a half"
    ),
    Anchor("season_peak", "week of its peak", 4, 0, 8, "H", "ojem.2016.42007", "late January"),
    Anchor(
        "fall_without_program",
        "ED visits of members with 2 or more in 13 weeks: next 13 weeks against those",
        0.62,
        0.0,
        0.62,
        "H",
        "Camden trial",
        "both arms fell by 38 points: at least that",
    ),
)
_MONEY = (
    # Name, what, published figure, lowest, highest, certainty, source, why this range.
    Anchor("paid_a_year", "US dollars a member and year", 7593, 6800, 8400, "H", "KFF 2021", "10 %"),
    Anchor("top_5", "share of spending, top 5 %", 0.48, 0.43, 0.53, "H", "GAO-15-460", "tolerance 5 points"),
    Anchor("bottom_half", "share of spending, lower half", 0.08, 0.0, 0.08, "H", "GAO-15-460", "'under 8 %'"),
    Anchor(
        "zero_spending",
        "members without spending in the year",
        0.12,
        0.08,
        0.16,
        "H",
        "GAO-15-460",
        "tolerance 4 points",
    ),
)
_PEOPLE = (
    # Name, what, published figure, lowest, highest, certainty, source, why this range.
    Anchor("black", "members who are Black", 0.21, 0.20, 0.22, "H", "KFF", "1 point: drawn from it"),
    Anchor("hispanic", "members who are Hispanic", 0.25, 0.24, 0.26, "H", "KFF", "1 point: drawn from it"),
    Anchor("black_ed_ratio", "ED rate ratio, Black to White", 1.47, 1.25, 1.7, "H", "Agarwal 2016", "0.22: unadjusted"),
    Anchor(
        "hispanic_ed_ratio",
        "ED rate ratio, Hispanic to White",
        1.63,
        1.3,
        1.8,
        "H",
        "Agarwal 2016",
        "0.33 down: see the limits",
    ),
    Anchor("mental_illness", "any mental illness", 0.35, 0.30, 0.45, "H", "KFF 2025", "managed members"),
    Anchor("serious_mental_illness", "serious mental illness", 0.10, 0.07, 0.13, "H", "KFF 2025", "3 points"),
    Anchor("chronic_1", "one or more chronic conditions", 0.75, 0.68, 0.84, "H", "KFF 2025", "five are simulated"),
    Anchor("food", "food insecurity, open at entry", 0.42, 0.33, 0.52, "H", "JAND 2021, PMC7518813", "51 and 33 %"),
    Anchor("not_adherent", "medication adherence open at entry", 0.45, 0.35, 0.55, "H", "PMC5546648", "43 to 55 %"),
    Anchor("hypertension", "hypertension", 0.41, 0.36, 0.46, "A", "panel-scale working value", "5 points"),
    Anchor("diabetes", "diabetes", 0.28, 0.23, 0.33, "A", "panel-scale working value", "5 points"),
    Anchor("depression", "depression or anxiety", 0.36, 0.31, 0.41, "A", "panel-scale working value", "5 points"),
    Anchor(
        "transport", "transport need, open at entry", 0.22, 0.17, 0.27, "A", "panel-scale working value", "5 points"
    ),
    Anchor("housing", "housing need, open at entry", 0.12, 0.08, 0.16, "A", "panel-scale working value", "4 points"),
    Anchor("lung", "asthma or COPD", 0.19, 0.15, 0.23, "A", "panel-scale working value", "4 points"),
)
_REACH = (
    # Name, what, published figure, lowest, highest, certainty, source, why this range.
    Anchor(
        "reach_phone",
        "phone calls answered, rested members",
        0.31,
        0.26,
        0.36,
        "H",
        "APHA 2011; Chaiyachati",
        "26.5 and 35 %",
    ),
    Anchor("reach_sms", "text messages answered", 0.178, 0.15, 0.21, "H", "hedis-outreach-quality", "3 points"),
    Anchor(
        "reach_video",
        "video visits that take place",
        0.30,
        0.20,
        0.40,
        "A",
        "none found",
        "10 points; see sensitivity.md",
    ),
    Anchor(
        "reach_home",
        "home visits that take place",
        0.50,
        0.40,
        0.60,
        "A",
        "none found",
        "10 points; see sensitivity.md",
    ),
    Anchor("reach_ehr", "EHR messages answered", 0.10, 0.06, 0.14, "A", "none found", "4 points"),
    Anchor(
        "video_black",
        "video reach, Black to White",
        0.87,
        0.82,
        0.92,
        "D",
        "ASPE HP-2022-04",
        "53.6 / 61.9 %; 5 points",
    ),
    Anchor(
        "video_young", "video reach, youngest to oldest band", 1.67, 1.4, 1.9, "D", "ASPE HP-2022-04", "72.5 / 43.5 %"
    ),
    Anchor("sms_black", "SMS reach, Black to White", 0.95, 0.80, 0.999, "M", "PMC7598235", "'lower': below 1"),
    # The rct team acts in the world whose effects are those of randomised trials.
    Anchor(
        "engaged",
        "members with two or more completed contacts in a year of the rct team",
        0.40,
        0.25,
        0.45,
        "H",
        "Annals 2022; HSR 2026",
        "40 and 31 %; what counts as engaged differs",
    ),
)
_EFFECTS = (
    # Name, what, published figure, lowest, highest, certainty, source, why this range.
    Anchor(
        "rct_ed", "rct: care team against no program, ED", 0.96, 0.91, 1.00, "H", "Contra Costa trial", "its interval"
    ),
    Anchor(
        "rct_ip",
        "rct: care team against no program, stays",
        0.89,
        0.81,
        0.98,
        "H",
        "Contra Costa trial",
        "its interval",
    ),
    Anchor(
        "program_all",
        "program: care team against no program, ED + stays",
        0.77,
        0.74,
        0.80,
        "M",
        "Waymark 2024",
        "the preset was tuned to it: 3 points",
    ),
    Anchor(
        "null_z",
        "null: difference to no program in standard errors",
        0.0,
        -1.0,
        1.0,
        "D",
        "definition",
        "exactly 0 under common random numbers",
    ),
    Anchor(
        "telephone_all",
        "rct: telephone-only program (a call every fourth week), ED + stays",
        1.0,
        0.96,
        1.0,
        "H",
        "telephone-only trials are null",
        "4 % is our judgement of what such trials could have missed",
    ),
    Anchor(
        "intensive_ip",
        "rct: a home visit every other week, stays",
        0.66,
        0.60,
        0.85,
        "H",
        "IMPaCT pooled",
        "hospital days 0.66 of control among enrolled patients; here all members, reached or not",
    ),
    Anchor(
        "transition_30",
        "rct: an urgent home visit in the week after discharge, 30-day readmission",
        0.80,
        0.72,
        0.95,
        "H",
        "NC Medicaid",
        "observational, and over a year",
    ),
)

ANCHORS = {"Use": _USE, "Spending": _MONEY, "Who": _PEOPLE, "Reach": _REACH, "What programs achieve": _EFFECTS}
"""Every anchor, by the section of the report it stands in."""

NOT_TESTED = (
    (
        "Top 1 % of members make at least 25 % of spending (GAO-15-460)",
        "a little short: the tail of a stay's cost is too light; frozen with it. Top 5 % and lower half are anchors",
        "top_1",
    ),
    (
        "Any acute event in 90 days, managed panel: 7.28 % (medicaid-acute-care-ascertainment)",
        "cannot be met together with 79 ED visits per 1,000 member-months at the published concentration",
        "any_acute_90",
    ),
    ("Members with 6 or more ED visits: 1.1 % (Oklahoma, all ages)", "children included there", "six_ed"),
    (
        "ED revisit within 14 days, odds ratio of frequent visitors (3 or more a year): 3.06 (Montoy)",
        "frequent is defined here by the same year, there by the year before",
        "frequent_odds",
    ),
    (
        "ED per 100: all 47, Black 91 (NCHS DB503)",
        "all payers; the Medicaid ratios are anchors",
        "black_to_all",
    ),
    ("ED rate ratios: complex illness 3.33, polypharmacy 1.89 (Agarwal 2016)", "neither is simulated", None),
    (
        "Any health-related social need: 37 % (Accountable Health Communities)",
        "contradicts food insecurity alone at 33 to 51 %; the food figure is used",
        "social_need",
    ),
    ("Three or more chronic conditions: 33 % (KFF 2025)", "only five conditions are simulated", "chronic_3"),
    (
        "No contact in the 30 days after a completed contact: 28.8 % (medicaid-care-management-disengagement)",
        "measured in an intensive program; the simulated team contacts rarely",
        "silent_30",
    ),
    ("Disengaged within 90 days of a completed contact: 18.5 % (same)", "disengagement is not simulated", None),
    ("Avoidable stays 0.72 (Contra Costa), 0.52 (Waymark)", "stays are not classed as avoidable", None),
    ("Detroit CHW trial: ED 0.96, stays null", "the Contra Costa trial, ten times as large, is the anchor", None),
    ("Denver supportive housing: ED 15.2 to 9.2", "supportive housing is not an action", None),
    ("Pharmacist review, blood pressure control: odds ratio 3.50", "a series of visits there; one contact here", None),
    (
        "Not published: attempts a member and year of the rct team",
        "an assumption, chosen with the effects to meet the trial",
        "attempts",
    ),
    ("Not published: home attempts among them", "the same", "home_attempts"),
    ("Not published: share of attempts by phone or text", "the same", "distant_share"),
    ("Not published: share of completed contacts that match an open need", "the same", "matched_share"),
    (
        "Not published: how much there is to learn from. z of the best unconfounded estimate of the effect of a home "
        "attempt from the 5,000 members of -v0",
        "a power calculation, not a fact about the world",
        "home_z",
    ),
)
"""Figures shown without a verdict: the figure, the reason, and the measurement if there is one."""
