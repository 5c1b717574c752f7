"""Why a member is on the list, in words that are true of the row.

Every clause states what the record shows or what the policy computed; none says that a contact causes anything.
"""

from collections.abc import Sequence

import numpy as np

from frl_env.evaluation.privacy.suppression import SMALLEST, roughly
from frl_env.worklist.caseload import Caseload
from frl_env.worklist.past import WINDOW

EVENTS = {
    "num_ip_visits_last_week": ("hospital stay", "hospital stays"),
    "num_ed_visits_last_week": ("ED visit", "ED visits"),
}
"""States that count events of a week, as people call them."""

DRAWN = "drawn by lot, to learn from"
NO_GAIN = "no gain is expected of it"
NEW = "the week before is not on record"


def reasons(
    caseload: Caseload,
    rows: Sequence[int],
    *,
    relative: np.ndarray,
    drawn: np.ndarray,
    worth: np.ndarray,
    similar: np.ndarray | None,
) -> list[str]:
    """One line a member.

    Args:
        caseload: Of the week.
        rows: Members to say it of.
        relative: Expected events of each member of the caseload over the caseload's mean; NaN where not known.
        drawn: Who of the caseload was drawn.
        worth: Gain of the contact listed, a number a row.
        similar: Answered contacts like the one listed, a number a row: of real people to the nearest 20, and 1 for
            those of fewer than 11 of them, who may have answered more. None where not known.
    """
    lines = []
    for place, row in enumerate(rows):
        clauses = [DRAWN] if drawn[row] else []
        if not worth[place] > 0:
            clauses.append(NO_GAIN)
        for state, (one, many) in EVENTS.items():
            if state not in caseload.states:
                continue
            at = caseload.states.index(state)
            last, total = int(caseload.observations[row, at]), int(caseload.sums[row, at])
            weeks = min(int(caseload.weeks_known[row]) + 1, WINDOW)
            if last:
                clauses.append(f"{last} {one if last == 1 else many} last week")
            if total > last:
                clauses.append(f"{total} {one if total == 1 else many} in {weeks} weeks")
        if np.isfinite(relative[row]):
            clauses.append(f"expected to have {relative[row]:.1f} times as many events as the average member here")
        since, known = int(caseload.since_contact[row]), int(caseload.weeks_known[row])
        if known == 0:
            clauses.append(NEW)
        if since >= 0:  # 0 where it stands in a row that begins within the seven days before
            weeks = f"{since} week{'s' if since > 1 else ''} ago" if since else "less than a week ago"
            clauses.append(f"last contact {weeks}" if since <= known else f"last contact on record {weeks}")
        elif known:
            clauses.append("no contact in the one week on record" if known == 1 else f"no contact in {known} weeks")
        if similar is not None:
            clauses.append(_rests_on(int(similar[place])))
        lines.append("; ".join(clauses))
    return lines


def _rests_on(similar: int) -> str:
    """What a gain was learned from."""
    if not similar:
        return "no answered contact like this one to go by"
    if similar < SMALLEST:
        return f"rests on contacts like this one that fewer than {SMALLEST} members answered"
    return f"rests on {roughly(similar)} answered contacts like this one"
