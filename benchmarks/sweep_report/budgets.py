"""Q(B): what each policy is worth with as many staff minutes as there are, and whom it contacts."""

from functools import partial
from typing import Any

from benchmarks.charts.line_plots import Axes, Series, lines
from benchmarks.sweep.budgets import NONE, TEAM
from benchmarks.sweep.curves import point_at
from benchmarks.sweep.scorecard_tables import contact_shares
from benchmarks.sweep_report.document import Figure, Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.summary import horizon
from benchmarks.sweep_report.sweep_results import SweepResults
from benchmarks.sweep_report.value_section import REFERENCES
from frl_env.member_months import per_1000_member_months

NAMES = REFERENCES | {
    "behaviour": "the care team",
    "best_record_and_contacts": "best rule on record and own contacts",
    "upper_bound": "upper bound",
}
"""What references are called, which are known by short names elsewhere."""

DRAWN_REFERENCES = ("upper_bound", "oracle", "best_record_and_contacts", "heuristic", "random")


def budgets(results: SweepResults) -> Section:
    """Value against staff minutes, first of all figures; it is what a program with given staff has to know."""
    section = partial(Section, anchor="budgets", title="At the team's own minutes, and at others")
    entries = results.card.get("curves") or []
    if not results.has_truth:
        return section(title="Value against staff minutes", missing=words("budgets", "no_simulator"))
    limited = [entry for entry in entries if _limited(entry)]
    if not limited:
        return section(missing=words("budgets", "no_budget"))
    team, curves = _at_team(results, limited), _curves(results, limited)
    return section(parts=(*([team] if team.rows else []), curves if any(map(_finite, limited)) else curves.table))


def who(results: SweepResults) -> Section:
    """Whom each policy contacts within the team's own minutes."""
    section = partial(Section, anchor="who", title="Who gets the contacts")
    known = [entry for entry in results.card.get("curves") or [] if entry["contacted"]]
    known = [entry for entry in known if entry["policy"] != "no_program"]
    if not known:
        others = any(_limited(entry) for entry in results.card.get("curves") or [])
        why = "no_team" if others else "no_budget" if results.has_truth else "no_simulator"
        return section(missing=words("budgets", why))
    known.sort(key=lambda entry: entry["kind"] != "algorithm")  # what was trained comes before what it is beside
    return section(parts=(_shares(known), _contacted(known)))


def _limited(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Points within a budget."""
    return [point for point in entry["points"] if point["budget"] != NONE]


def _finite(entry: dict[str, Any]) -> list[dict[str, Any]]:
    """Points within a number of minutes, by minutes spent; a capacity file may limit more than minutes."""
    points = [point for point in _limited(entry) if point["budget"] == TEAM or not isinstance(point["budget"], str)]
    return sorted(points, key=lambda point: point["minutes"])


def _curves(results: SweepResults, entries: list[dict[str, Any]]) -> Figure:
    references = results.card["references"]
    team = references["behaviour"]["effort_minutes_per_week"]
    start = references["no_program"]["difference_to_behaviour"]
    series, rows = [], []
    shown = [entry for entry in entries if _is_drawn(results, entry) and _finite(entry)]
    files = any(len(_finite(entry)) < len(_limited(entry)) for entry in entries)
    for number, entry in enumerate(shown):
        points = _finite(entry)
        series.append(
            Series(
                label=_name(entry),
                xs=[0.0, *(point["minutes"] for point in points)],
                ys=[start, *(point["gain"] for point in points)],
                lows=[None, *(point["interval"][0] for point in points)],
                highs=[None, *(point["interval"][1] for point in points)],
                style=number,
                dash=1 if entry["kind"] in ("reference", "bound") else 0,
                strong=entry["policy"] == results.leading[0],
                marks=True,
            )
        )
    for entry in entries:
        for point in entry["points"]:
            cells = (str(point["budget"]), point["minutes"], point["gain"], *point["interval"])
            rows.append((_name(entry), entry["allocated"], *cells, entry["area"]))
    best = next((entry for entry in entries if entry["kind"] == "algorithm" and point_at(entry)), None)
    point = best and point_at(best)
    said = {"best": _name(best), "gain": point["gain"]} if best and point else {"best": None}
    return Figure(
        title="Gain over the care team against staff minutes, Q(B)",
        description=words("budgets", "description", team=team, **said),
        draw=lines(
            series,
            Axes(
                x="staff minutes a member-week",
                y="events avoided",
                lines=[(0.0, f"the care team ({team:.1f} minutes)")],
            ),
        ),
        table=Table(
            name="value_against_minutes",
            caption=words("budgets", "caption"),
            columns=columns_of(
                "policy | contacts are | budget | minutes:.2f | gain:+.4f | low:+.4f | high:+.4f | area:+.4f"
            ),
            rows=rows,
        ),
        notes=(words("budgets", "note", files=files),),
    )


def _is_drawn(results: SweepResults, entry: dict[str, Any]) -> bool:
    """One line an algorithm: the mode that is best at the team's own minutes, which comes first."""
    if entry["kind"] in ("reference", "bound"):
        return entry["policy"] in DRAWN_REFERENCES
    own = [other for other in results.card["curves"] if other["policy"] == entry["policy"]]
    return own[0] is entry


def _at_team(results: SweepResults, entries: list[dict[str, Any]]) -> Table:
    """One line a policy: what is gained with the minutes that the team has."""
    weeks = results.card["references"]["behaviour"]["weeks_per_member"]
    rows = []
    for entry in entries:
        point = point_at(entry)
        if point is not None:
            paired = (entry.get("main_leads"), *(entry.get("main_interval") or (None, None)))
            rate = per_1000_member_months(point["gain"], weeks)
            rows.append((_name(entry), point["gain"], *point["interval"], rate, *paired))
    return Table(
        name="team_minutes",
        caption=words(
            "budgets",
            "at_team",
            team=results.card["references"]["behaviour"]["effort_minutes_per_week"],
            over=horizon(results),
        ),
        columns=columns_of(
            "policy | gain:+.4f | low:+.4f | high:+.4f | per 1,000 member-months:+.2f"
            " | FactoredAWR less this:+.4f | its low:+.4f | its high:+.4f"
        ),
        rows=rows,
    )


def _shares(entries: list[dict[str, Any]]) -> Table:
    """One line a policy: how many contacts, and which share of them goes where it may do most."""
    races = [*entries[0]["contacted"]["race_ethnicity"]]
    rows: list[tuple[Any, ...]] = []
    for entry in entries:
        told = entry["contacted"]
        by_race = (told["race_ethnicity"][race]["contacts_per_week"] for race in races)
        rows.append((_name(entry), *contact_shares(told), *by_race))
    columns = " | ".join(f"{race.lower()}:.3f" for race in races)
    return Table(
        name="contacted_shares",
        caption=words("budgets", "shares", several=_several(entries)),
        columns=columns_of(f"policy | contacts a week:.3f | with open need:.0% | at high risk:.0% | {columns}"),
        rows=rows,
    )


def _contacted(entries: list[dict[str, Any]]) -> Table:
    rows = [
        (
            _name(entry),
            kind.replace("_", " "),
            group,
            each["contacts_per_week"],
            each["share_of_contacts"],
            each["share_of_weeks"],
        )
        for entry in entries
        for kind, groups in entry["contacted"].items()
        for group, each in groups.items()
    ]
    return Table(
        name="contacted",
        caption=words("budgets", "contacted", budget=TEAM, several=_several(entries)),
        columns=columns_of(
            "policy | by | group | contacts a week:.4f | share of contacts:.3f | share of member-weeks:.3f"
        ),
        rows=rows,
        shown=False,
    )


def _several(entries: list[dict[str, Any]]) -> bool:
    """Whether a policy was trained with several seeds; whom it contacts is kept of the first."""
    return any(entry["seeds"] > 1 for entry in entries)


def _name(entry: dict[str, Any]) -> str:
    label = NAMES.get(entry["policy"], entry["label"])
    return label if entry["kind"] != "algorithm" else f"{label}, {entry['mode']}"
