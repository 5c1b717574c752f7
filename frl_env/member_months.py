"""Weeks and months of members: the one place where a value of a member becomes a rate that people know.

A member's value is a sum over the weeks that the member is followed, so that it grows with them: the same program has
a third more of it over 52 weeks than over 39. Per 1,000 member-months it is the same. A year is 52 weeks here, as in
the simulator, so that a month is 52 / 12 = 4.33 weeks (the calendar's 365.25 days are 0.3 % more).
"""

WEEKS_A_MONTH = 52 / 12


def per_1000_member_months(a_member: float, weeks: float) -> float:
    """A sum over a member's weeks as a rate.

    Args:
        a_member: Mean over members, for instance events avoided.
        weeks: Mean number of weeks that a member is followed.
    """
    return 1000 * a_member / weeks * WEEKS_A_MONTH


def of_a_group(rate: float, *, simulated: bool) -> float:
    """The rate of a group; of real people with two digits, since value over rate is how long its members are followed.

    Told exactly, one member of a small group who left a week early would show.
    """
    return rate if simulated else float(f"{rate:.2g}")


def span(weeks: float) -> str:
    """The time that a value of a member is about, in words."""
    return f"a member over {weeks:.1f} weeks"
