"""Who is left out with the rows that have problems, in words, before it happens.

Rows that are left out are told as problems are, exactly; of how many they are, and shares, are told roughly, as all
numbers of contacts are.
"""

from collections import Counter
from typing import Any

from frl_env.evaluation.privacy.suppression import people, rough

UNEVEN = 1.5
"""So many times as often, contacts or other weeks are left out, before it is called uneven."""

LEAST = 0.01
"""Share of the weeks of either kind below which nothing is called uneven."""

UNDECIDED = "undecided_weeks"
"""Entry of what is lost: weeks whose decision is empty, where there are any."""

_OPEN = (
    "whose decision is empty (a week that is not over has none yet; its state is lost here, and 'frl worklist' reads "
    "it from the table)"
)


def losses(read: dict[str, Any], tally: dict[str, Any]) -> dict[str, Any]:
    """Rows left out, by whether something was done in them, events, and cuts through episodes.

    Args:
        read: Facts of the read stage.
        tally: Facts of a tally.
    """
    counts = Counter(tally["counts"])
    nowhere = read["without_place"]
    found = {
        name: _part(counts[f"{name} weeks left out"] + nowhere[name], counts[f"{name} weeks kept"])
        for name in ("contact", "other")
    }
    undecided = counts["undecided weeks left out"] + nowhere["undecided"]
    events = tally["events"]
    left_out = events["left out"] + nowhere["events"]
    whole = events["kept"] + left_out
    return {
        "contacts": found["contact"],
        "other_weeks": found["other"],
        "share_of_events": round(left_out / whole, 2) if whole else 0.0,
        "episodes_cut": counts["cuts"],
        "members_lost": people(counts["members lost"], simulated=False),
        **({UNDECIDED: undecided} if undecided else {}),
    }


def in_words(lost: dict[str, Any]) -> str:
    """One sentence; empty if nobody is lost.

    Args:
        lost: Of `losses`.
    """
    contacts, others = lost["contacts"], lost["other_weeks"]
    undecided = lost.get(UNDECIDED, 0)
    if not contacts["left_out"] + others["left_out"] + undecided:
        return ""
    shares = [part["share"] for part in (contacts, others)]
    events = f"{lost['share_of_events']:.0%}" if lost["share_of_events"] else "under 1%"
    said = (
        f"{contacts['left_out']:,} of about {contacts['of']:,} weeks with a contact ({_percent(contacts)}), "
        f"{others['left_out']:,} of about {others['of']:,} without ({_percent(others)}), "
        f"{f'{undecided:,} {_OPEN}, ' if undecided else ''}"
        f"{events} of events; episodes cut at {lost['episodes_cut']:,} places"
    )
    if max(shares) >= LEAST and max(shares) >= UNEVEN * min(shares):
        more = "contacts" if shares[0] > shares[1] else "weeks without a contact"
        said += f"; {more} are lost far more often, which biases whatever is learnt from the rest"
    return said


def _part(left_out: int, kept: int) -> dict[str, Any]:
    """Rows of a kind that are left out, of how many, and which share."""
    whole = left_out + kept
    share = round(left_out / whole, 2) if whole else 0.0
    return {"left_out": left_out, "of": rough(whole, simulated=False), "share": share}


def _percent(part: dict[str, Any]) -> str:
    return "under 1%" if part["left_out"] and not part["share"] else f"{part['share']:.0%}"
