"""The summary in plain words: what was tried, what was found, what it is worth."""

import json
from typing import Any

from benchmarks.reporting.document import Section, Table, columns_of
from benchmarks.reporting.sweep_results import SweepResults
from benchmarks.sweep.curves import point_at
from benchmarks.sweep.scorecard import rate_of
from frl_env.member_months import span


def summary(results: SweepResults) -> Section:
    """The first section."""
    found, worth = _found(results) if results.has_truth else _estimated(results)
    points = (("What was tried", _tried(results)), ("What was found", found), ("What it is worth", worth))
    parts = (_glance(results),) if results.has_truth and results.card["summary"] else ()
    return Section(anchor="summary", title="Summary", points=points, parts=parts)


def horizon(results: SweepResults) -> str:
    """How long a member is followed, in words."""
    try:
        weeks = json.loads(results.card["environment"])["kwargs"]["horizon"]
    except (KeyError, TypeError, ValueError):
        return "over the follow-up"
    return "in a year" if weeks == 52 else f"in {weeks} weeks"


def _tried(results: SweepResults) -> str:
    card, labels = results.card, list(results.labels.values())
    rows = sorted({row["rows"] for row in card["runs"] if row.get("rows")})
    updates = sorted({row["steps"] for row in card["runs"] if row.get("steps")})
    seeds = len(results.seeds)
    weeks = f", about {rows[0]:,} logged weeks" if rows else ""
    often = " and ".join(f"{count:,}" for count in updates) or "an unknown number of"
    scored = (
        f"Every policy that came out was then tried on {card['eval_members']:,} new simulated members, "
        "the same ones and the same chances for all."
        if results.has_truth
        else "There is no simulator of these members, so that the policies could be valued only by what the care team "
        "did with other members."
    )
    return (
        f"{_names(labels)} on {card['dataset']}{weeks}, with {seeds} "
        f"{'seeds' if seeds > 1 else 'seed'} "
        f"and {often} updates each. {scored}"
    )


def _found(results: SweepResults) -> tuple[str, str]:
    card = results.card
    if not card["summary"]:
        return "No seed has a run of every algorithm, so that they can't be compared.", "Nothing can be said yet."
    first = card["summary"][0]
    low, high = first["interval"]
    gain = first["difference_to_behaviour"]
    name = results.name(results.leading)
    if low > 0:
        verdict = (
            f"Under {name}, a member has {gain:.3f} fewer ED visits and hospital stays {horizon(results)} than under "
            "the "
            f"care team whose records it learned from (95 % interval {low:.3f} to {high:.3f}): "
            f"{1000 * gain:.0f} fewer per 1,000 members."
        )
    elif high < 0:
        verdict = (
            f"No policy is better than the care team: the best, {name}, has {-gain:.3f} more ED visits and hospital "
            "stays "
            f"a member {horizon(results)} (95 % interval {-high:.3f} to {-low:.3f})."
        )
    else:
        verdict = (
            f"No policy can be told apart from the care team: the best, {name}, differs by {gain:+.3f} ED visits and "
            f"hospital stays avoided a member {horizon(results)} (95 % interval {low:+.3f} to {high:+.3f})."
        )
    return f"{_at_team(results)}{verdict}{_lead(results)}{_draws(results)}", _worth(results)


def _at_team(results: SweepResults) -> str:
    """With as many staff minutes as the team spends: what a program can have without more staff."""
    entries = [entry for entry in results.card.get("curves") or [] if entry["kind"] == "algorithm" and point_at(entry)]
    if not entries:
        return ""
    point = point_at(entries[0])
    assert point is not None
    low, high = point["interval"]
    team = results.card["references"]["behaviour"]["effort_minutes_per_week"]
    return (
        f"Within the care team's own {team:.1f} staff minutes a member and week, the best trained policy is "
        f"{entries[0]['label']}, {entries[0]['mode']}: {point['gain']:+.3f} events avoided a member "
        f"{horizon(results)} (95 % interval {low:+.3f} to {high:+.3f}). Without a limit on staff: "
    )


def _draws(results: SweepResults) -> str:
    """What an interval from one seed leaves out."""
    if len(results.seeds) > 1:
        return ""
    return " With one seed, the interval is over the members of the evaluation: another draw of the data is not in it."


def _lead(results: SweepResults) -> str:
    """Against the best policy of another algorithm."""
    others = [row for row in results.card["summary"] if row["algo"] != results.leading[0]]
    if not others:
        return ""
    row = others[0]
    low, high = row["lead_interval"]
    name = results.name((row["algo"], row["mode"]))
    size = f"{row['lead_of_first']:.3f} (95 % interval {low:.3f} to {high:.3f})"
    if low > 0:
        return f" The next algorithm, {name}, is {size} behind."
    return f" The next algorithm, {name}, is behind by {size}, which may be chance."


def _worth(results: SweepResults) -> str:
    first, references = results.card["summary"][0], results.card["references"]
    score = first["normalized_score"]
    said = []
    if score is not None:
        known = [
            f"{_reference(name)} {row['normalized_score']:.0f}"
            for name, row in references.items()
            if name in ("behaviour", "heuristic") and row["normalized_score"] is not None
        ]
        said.append(
            f"On a scale where no program is 0 and the best policy known on the same observations 100, it scores "
            f"{score:.0f} ({', '.join(known)})."
        )
    minutes = [row["effort_minutes_per_week"] for row in _rows(results) if "effort_minutes_per_week" in row]
    if minutes and "behaviour" in references:
        least, most = min(minutes), max(minutes)
        spent = f"{least:.1f}" if f"{least:.1f}" == f"{most:.1f}" else f"{least:.1f} to {most:.1f}"
        team = references["behaviour"]["effort_minutes_per_week"]
        said.append(
            f"It asks for {spent} staff minutes a member and week; the care team spent {team:.1f}. Staff time is not "
            "part "
            "of the value."
        )
    said.append("All of this is about simulated members. It says how methods compare, and nothing about whom to call.")
    return " ".join(said)


def _rows(results: SweepResults) -> list[Any]:
    return [row for seed in results.seeds if (row := results.run(results.leading, seed))]


def _estimated(results: SweepResults) -> tuple[str, str]:
    entries = results.card["ope"]
    valued = [entry for entry in entries if entry.get("headline")]
    found = (
        f"Of {len(entries)} policies, {len(valued)} "
        f"{'has' if len(valued) == 1 else 'have'} an estimate that the data supports; for the others the estimate is "
        "withheld, and the reason is given below."
    )
    if not valued:
        return (
            found,
            "Nothing can be said. The logged weeks do not speak about what these policies would do. "
            "That is a result, and not a fault of the software.",
        )
    best = max(valued, key=lambda entry: entry["headline"]["difference"])
    change = best["headline"]["difference_interval"]
    chance = " That may be nothing: the interval holds 0." if change["low"] <= 0 <= change["high"] else ""
    return (
        found,
        f"The largest estimated difference to the care team is that of "
        f"{results.name((best['algo'], best['mode']))} (seed {best['seed']}): {best['headline']['difference']:+.4f} "
        f"{span(best['weeks']) if best.get('weeks') else 'a member'} "
        f"(95 % interval {change['low']:+.4f} to {change['high']:+.4f}){_rate(best['headline'])}, "
        "if the assumptions below hold."
        f"{chance} It is the largest of {len(valued)}, so that part of it is luck. It is an estimate; the true value "
        "of these policies is not known.",
    )


def _rate(headline: Any) -> str:
    """The same per 1,000 member-months, where it was kept."""
    said = rate_of(headline)
    return "" if said == "-" else f", per 1,000 member-months {said}"


def _glance(results: SweepResults) -> Table:
    return Table(
        name="summary",
        caption="All policies over all seeds, best first. Difference: ED visits and hospital stays of a member, fewer "
        "than under the care team.",
        columns=columns_of(
            "policy | seeds:d | difference:+.4f | low:+.4f"
            " | high:+.4f | score:.1f | behind the first:.4f | chance the first beats it:.2f"
        ),
        rows=[
            (
                results.name((row["algo"], row["mode"])),
                row["seeds"],
                row["difference_to_behaviour"],
                *row["interval"],
                row["normalized_score"],
                row["lead_of_first"],
                row["probability_that_first_is_better"],
            )
            for row in results.card["summary"]
        ],
    )


def _names(labels: list[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} and {labels[-1]}"


def _reference(name: str) -> str:
    return {"behaviour": "the care team", "heuristic": "a hand-written rule"}[name]
