"""Does the contact log reach over all weeks that are rows? Where it does not, nobody seems to have been contacted.

    coverage and claims   2022 |-----------------------------| cut
    contact log                          2023 |------|              the rest looks like "no contact"

A log reaches from the week by which 11 members had been tried to the week from which on 11 still were: single rows with
a wrong date are no log, and a date that is told is not one person's. Before and after, the log's own pace says how many
attempts would be expected; where that is far more than the ten there can be, it does not reach.
"""

from collections import Counter
from datetime import timedelta

import numpy as np

from frl_env.evaluation.privacy.suppression import SMALLEST
from frl_env.events_to_weeks.facts.assemble import Weeks
from frl_env.events_to_weeks.facts.coverage import EPOCH

EXPECTED = 30.0
"""Attempts expected by which a stretch of weeks counts as missing: to see ten or fewer has chance 2 in 100,000."""


class LogReach:
    """Sums over member-weeks, for the warnings."""

    def __init__(self) -> None:
        """Nothing is added yet."""
        self._rows: Counter[int] = Counter()  # by first day
        self._attempts: Counter[int] = Counter()
        self._first, self._last = np.empty(0, np.int64), np.empty(0, np.int64)

    def add(self, weeks: Weeks, nothing: int) -> None:
        """Adds member-weeks of other members.

        Args:
            weeks: Of some members.
            nothing: Joint index of no contact.
        """
        attempt = weeks.decided & (weeks.joint != nothing)
        for counts, days in ((self._rows, weeks.start), (self._attempts, weeks.start[attempt])):
            first = int(days.min()) if len(days) else 0
            numbers = np.bincount(days - first)
            for place in np.flatnonzero(numbers):
                counts[first + int(place)] += int(numbers[place])
        # Days of the first and last attempts of members; from 11 members on such a day may be told.
        who, start = weeks.who[attempt], weeks.start[attempt].astype(np.int64)
        firsts, lasts = np.diff(who, prepend=-1) != 0, np.diff(who, append=-1) != 0
        self._first = np.sort(np.concatenate([self._first, start[firsts]]))[:SMALLEST]
        self._last = np.sort(np.concatenate([self._last, start[lasts]]))[-SMALLEST:]

    def warnings(self) -> tuple[str, ...]:
        """A sentence for each end that the log does not reach."""
        if len(self._first) < SMALLEST:
            return ()
        since, until = int(self._first[-1]), int(self._last[0])
        attempts = sum(number for day, number in self._attempts.items() if since <= day <= until)
        rows = sum(number for day, number in self._rows.items() if since <= day <= until)
        all_rows = sum(self._rows.values())
        said = []
        for before, rule, day in ((True, "first_day", since), (False, "last_day", until + 6)):
            missed = sum(number for each, number in self._rows.items() if (each < since if before else each > until))
            if not rows or missed * attempts < EXPECTED * rows:
                continue
            when = (EPOCH + timedelta(days=day)).isoformat()
            said.append(
                f"{missed / all_rows:.0%} of member-weeks {'start before' if before else 'end after'} {when}, where "
                f"the contact log {'begins' if before else 'ends'}, and count as weeks without a contact: if nobody "
                f"could be contacted then, or the log does not reach so far, set {rule} = {when} under [rules.weeks]"
            )
        return tuple(said)
