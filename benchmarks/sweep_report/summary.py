"""The summary in plain words: what was tried, what was found, what it is worth."""

import json

from benchmarks.sweep.curves import point_at
from benchmarks.sweep.scorecard_tables import rate_of
from benchmarks.sweep_report.document import Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults
from benchmarks.training.algorithms import PEERS
from frl_env.evaluation.privacy.suppression import rough
from frl_env.member_months import per_1000_member_months, span


def summary(results: SweepResults) -> Section:
    """The first section."""
    found, worth = _found(results) if results.has_truth else _estimated(results)
    points = (
        ("What was tried", _tried(results)),
        ("What was found", found),
        ("What it is worth", worth),
        ("Before you rely on it", words("summary", "before")),
    )
    parts = (_glance(results),) if results.has_truth and results.card["summary"] else ()
    return Section(anchor="summary", title="Summary", points=points, parts=parts)


def horizon(results: SweepResults) -> str:
    """How long a member is followed, in words."""
    try:
        weeks = json.loads(results.card["environment"])["kwargs"]["horizon"]
    except (KeyError, TypeError, ValueError):
        weeks = None
    return words("summary", "over", weeks=weeks)


def _tried(results: SweepResults) -> str:
    """The sentence on what was trained, on which data."""
    card = results.card
    rows = sorted({row["rows"] for row in card["runs"] if row.get("rows")})
    learners = [row for row in card["runs"] if row["algo"] not in PEERS]
    updates = sorted({row["steps"] for row in learners if row.get("steps")})
    return words(
        "summary",
        "tried",
        policies=_names(list(results.labels.values())),
        dataset=card["dataset"],
        rows=rough(rows[0], simulated=results.has_truth) if rows else None,
        seeds=len(results.seeds),
        learners=bool(learners),
        rankings=len(learners) < len(card["runs"]),
        updates=" and ".join(f"{count:,}" for count in updates),
        members=card["eval_members"] if results.has_truth else None,
        behaviour=results.behaviour,
    )


def _found(results: SweepResults) -> tuple[str, str]:
    card = results.card
    if not card["summary"]:
        if all(row["algo"] in PEERS for row in card["runs"]):
            return words("summary", "only_rankings"), words("summary", "simulated")
        return words("summary", "not_comparable"), words("summary", "nothing_yet")
    first = card["summary"][0]
    low, high = first["interval"]
    facts = {
        "policy": results.name(results.leading),
        "gain": first["difference_to_behaviour"],
        "low": low,
        "high": high,
    }
    verdict = "better" if low > 0 else "worse" if high < 0 else "undecided"
    said = [_at_team(results), words("summary", verdict, over=horizon(results), **facts), _lead(results)]
    said.append(words("summary", "one_seed") if results.seeds_compared == 1 else "")
    return " ".join(filter(None, said)), _worth(results)


def _at_team(results: SweepResults) -> str:
    """What is gained with the care team's own staff minutes: what a program can have without more staff."""
    entries = [entry for entry in results.card.get("curves") or [] if entry["kind"] == "algorithm" and point_at(entry)]
    if not entries:
        return ""
    point = point_at(entries[0])
    assert point is not None
    low, high = point["interval"]
    team = results.card["references"]["behaviour"]["effort_minutes_per_week"]
    policy = f"{entries[0]['label']}, {entries[0]['mode']}"
    weeks = results.card["references"]["behaviour"]["weeks_per_member"]
    rate = per_1000_member_months(point["gain"], weeks)
    facts = {"policy": policy, "gain": point["gain"], "low": low, "high": high, "rate": rate}
    above = next(
        (
            (entry["label"], at)
            for entry in results.card["curves"]
            if entry["kind"] == "peer" and (at := point_at(entry)) and at["gain"] > point["gain"]
        ),
        None,
    )
    ranking = {"ranking": above and above[0]}
    if above:
        ranking |= {"ranked": above[1]["gain"], "ranked_low": above[1]["interval"][0]}
        ranking |= {"ranked_high": above[1]["interval"][1]}
    return words("summary", "within_team", team=team, over=horizon(results), **facts, **ranking)


def _lead(results: SweepResults) -> str:
    """The lead over the best policy of another algorithm."""
    others = [row for row in results.card["summary"] if row["algo"] != results.leading[0]]
    if not others:
        return ""
    row = others[0]
    low, high = row["lead_interval"]
    name = results.name((row["algo"], row["mode"]))
    return words("summary", "next_one", policy=name, lead=row["lead_of_first"], low=low, high=high)


def _worth(results: SweepResults) -> str:
    """Sentences on the size of the gain: on the scale of the references, and in staff minutes."""
    first, references = results.card["summary"][0], results.card["references"]
    score = first["normalized_score"]
    said = []
    if score is not None:
        known = {
            name: row["normalized_score"]
            for name, row in references.items()
            if name in ("behaviour", "heuristic") and row["normalized_score"] is not None
        }
        said.append(words("summary", "scale", score=score, known=known, searched=results.searched))
    rows = [row for seed in results.seeds if (row := results.run(results.leading, seed))]
    minutes = [row["effort_minutes_per_week"] for row in rows if "effort_minutes_per_week" in row]
    if minutes and "behaviour" in references:
        ends = dict.fromkeys(f"{end:.1f}" for end in (min(minutes), max(minutes)))
        team = references["behaviour"]["effort_minutes_per_week"]
        said.append(words("summary", "minutes", spent=" to ".join(ends), team=team))
    return " ".join([*said, words("summary", "simulated")])


def _estimated(results: SweepResults) -> tuple[str, str]:
    """Sentences on what logged members say: how many policies they can value, and what the best is worth."""
    entries = results.card["ope"]
    valued = [entry for entry in entries if entry.get("headline")]
    found = words("summary", "supported", policies=len(entries), valued=len(valued), seeds=len(results.seeds))
    if not valued:
        return found, words("summary", "no_estimate")
    best = max(valued, key=lambda entry: entry["headline"]["difference"])
    rate = rate_of(best["headline"])
    worth = words(
        "summary",
        "estimated",
        policy=results.name((best["algo"], best["mode"])),
        seed=best["seed"],
        behaviour=results.behaviour,
        difference=best["headline"]["difference"],
        over=span(best["weeks"]) if best.get("weeks") else "a member",
        rate="" if rate == "-" else rate,
        valued=len(valued),
        **best["headline"]["difference_interval"],
    )
    return found, worth


def _glance(results: SweepResults) -> Table:
    within = {
        (entry["policy"], entry["mode"]): point["gain"]
        for entry in results.card.get("curves") or []
        if entry["kind"] == "algorithm" and (point := point_at(entry))
    }
    return Table(
        name="summary",
        caption=words("summary", "caption"),
        columns=columns_of(
            "policy | seeds:d | team's minutes:+.4f | no limit:+.4f | low:+.4f"
            " | high:+.4f | score:.1f | behind the first:.4f | beaten by it:.2f"
        ),
        rows=[
            (
                results.name((row["algo"], row["mode"])),
                row["seeds"],
                within.get((row["algo"], row["mode"])),
                row["difference_to_behaviour"],
                *row["interval"],
                row["normalized_score"],
                row["lead_of_first"],
                row["probability_that_first_is_better"] if row["seeds"] > 1 else None,
            )
            for row in results.card["summary"]
        ],
    )


def _names(labels: list[str]) -> str:
    if len(labels) == 1:
        return labels[0]
    return f"{', '.join(labels[:-1])} and {labels[-1]}"
