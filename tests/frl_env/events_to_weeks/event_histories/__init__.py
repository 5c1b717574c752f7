"""Short histories of spans, claims and contacts, and the member-weeks that are right for each.

`history.py` says how one is written; the other files hold one subject each.
"""

from event_histories.adjustments import ADJUSTMENTS
from event_histories.contacts import CONTACTS
from event_histories.ed_visits import ED_VISITS
from event_histories.history import History
from event_histories.knowledge import KNOWLEDGE
from event_histories.spans import SPANS
from event_histories.stays import STAYS
from event_histories.week_bounds import WEEK_BOUNDS

HISTORIES = [*ED_VISITS, *STAYS, *ADJUSTMENTS, *KNOWLEDGE, *SPANS, *WEEK_BOUNDS, *CONTACTS]

__all__ = ["HISTORIES", "History"]
