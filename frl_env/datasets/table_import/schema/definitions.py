"""What each column of the contract holds, in one sentence: for the check of a table, its metadata, and the pages."""

from frl_env.meaning import PAID_WEEKS

DEFINITIONS = {
    "num_encounters_last_week": (
        "contacts that took place: those of the care program that reached the member, and those by the member; count; "
        "7 days before the week"
    ),
    "num_ed_visits_last_week": "emergency department visits; count; 7 days before the week",
    "num_ip_visits_last_week": "hospital stays that began; count; 7 days before the week",
    "num_calls_last_week": "calls to the member, answered or not; count; 7 days before the week",
    "num_texts_last_week": "text messages to the member; count; 7 days before the week",
    "enrolled_days": "days with coverage; days; all before the week",
    "total_paid": f"paid claims; US dollars; {PAID_WEEKS} weeks ({7 * PAID_WEEKS} days) before the week",
    "reward": "minus (emergency department visits + hospital stays); count; the week after the decision",
    "future_ed_30d": "emergency department visits; count; 30 days after the decision",
    "future_ip_30d": "hospital stays; count; 30 days after the decision",
    "terminated": "died or left for good; yes or no; in the week after the decision",
}
"""What it holds; unit; window."""
