"""Who is left out with the rows that have problems, in words, before it happens.

Rows that are left out are told as problems are, exactly; of how many they are, and shares, are told roughly, as all
numbers of contacts are.
"""

from collections import Counter
from typing import Any

from frl_env.evaluation.privacy.suppression import SECRET, count, part, people, rough

UNEVEN = 1.5
"""So many times as often, contacts or other weeks are left out, before it is called uneven."""

LEAST = 0.01
"""Share of the weeks of either kind below which nothing is called uneven."""

UNDECIDED, OPEN, ENDS = "undecided_weeks", "open_weeks", "ends"
"""Entries of what is lost, where there are any: weeks whose decision is empty; members' last weeks without a reward;
and for how many of the members who died or left for good, that they did."""

KINDS = ("contact", "other")
"""Of weeks: with a contact, and without."""

_STATE = "its state is lost here, and 'frl worklist' reads it from the table"
_NOT_OVER = {
    UNDECIDED: f"whose decision is empty (a week that is not over has none yet; {_STATE})",
    OPEN: f"that are a member's last and have no reward (a week that is not over has none yet; {_STATE})",
}


def without_outcomes(tally: dict[str, Any]) -> int:
    """Rows without all outcomes of 30 days, that nothing else is wrong with.

    Args:
        tally: Facts of a tally.
    """
    return sum(tally["counts"].get(f"{name} weeks without outcomes", 0) for name in KINDS)


def losses(read: dict[str, Any], tally: dict[str, Any], *, one_step: bool) -> dict[str, Any]:
    """Rows left out, by whether something was done in them, events, cuts through episodes, and members' ends.

    Args:
        read: Facts of the read stage.
        tally: Facts of a tally.
        one_step: Whether rewards are outcomes of 30 days, so that a row without them is left out, too.
    """
    counts = Counter(tally["counts"])
    nowhere = read["without_place"]
    found = {}
    for name in KINDS:
        without = counts[f"{name} weeks without outcomes"] if one_step else 0
        left_out = counts[f"{name} weeks left out"] + nowhere[name]
        found[name] = _part(left_out + without, counts[f"{name} weeks kept"] - without)
    events = tally["events"]
    left_out = events["left out"] + nowhere["events"]
    whole = events["kept"] + left_out
    unsaid = {UNDECIDED: counts["undecided weeks left out"] + nowhere["undecided"], OPEN: counts["open weeks left out"]}
    all_ends = counts["ends"]
    ends = all_ends - counts["ends kept"]
    return {
        "contacts": found["contact"],
        "other_weeks": found["other"],
        "share_of_events": round(left_out / whole, 2) if whole else 0.0,
        "episodes_cut": counts["cuts"],
        "members_lost": people(counts["members lost"], simulated=False),
        **{name: weeks for name, weeks in unsaid.items() if weeks},
        **({ENDS: {"left_out": part(ends, all_ends), "of": count(all_ends, simulated=False)}} if ends else {}),
    }


def in_words(lost: dict[str, Any]) -> str:
    """One sentence; empty if nobody is lost.

    Args:
        lost: Of `losses`.
    """
    contacts, others = lost["contacts"], lost["other_weeks"]
    not_over = [f"{lost[name]:,} {meaning}, " for name, meaning in _NOT_OVER.items() if name in lost]
    if not (contacts["left_out"] or others["left_out"] or not_over):
        return ""
    shares = [kind["share"] for kind in (contacts, others)]
    events = f"{lost['share_of_events']:.0%}" if lost["share_of_events"] else "under 1%"
    said = (
        f"{_of(contacts)} weeks with a contact ({_percent(contacts)}), {_of(others)} without ({_percent(others)}), "
        f"{''.join(not_over)}{events} of events; episodes cut at {lost['episodes_cut']:,} places"
    )
    if ends := lost.get(ENDS):
        said += (
            f"; that a member died or left for good is lost for {ends['left_out']} of {ends['of']}, as if the table "
            "only ended there"
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


def _of(kind: dict[str, Any]) -> str:
    whole = f"about {kind['of']:,}" if kind["of"] else SECRET
    return f"{kind['left_out']:,} of {whole}"


def _percent(kind: dict[str, Any]) -> str:
    return "under 1%" if kind["left_out"] and not kind["share"] else f"{kind['share']:.0%}"
