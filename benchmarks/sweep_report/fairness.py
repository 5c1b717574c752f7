"""Fairness: what each group would get, with intervals, and what a smaller gap costs."""

from collections.abc import Mapping
from typing import Any

from benchmarks.charts.forest import Row, forest
from benchmarks.charts.line_plots import Axes, Series, lines
from benchmarks.result_records.figures import is_of_today
from benchmarks.sweep_report.document import Figure, Section, Table, attribute_name, columns_of, readable
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults

DRAWN = "high_touch"
"""The measure that is drawn; all others are in the table."""

TEAM = ("behaviour", "reference")
"""Algorithm and mode of the care team itself."""

_GROUP = ("attribute", "group", "members", "measure", "value", "low", "high")
"""What is told of a group, in the order of the columns."""


def fairness(results: SweepResults) -> Section:
    """Bars by group, pairs of groups, and the frontier."""
    audits = [entry for entry in results.card.get("fairness", []) if entry.get("groups")]
    parts: list[Figure | Table] = []
    missing = []
    if audits:
        parts += [_bars(results, audits), *_pairs(results, audits)]
    else:
        said = [entry["sentence"] for entry in results.card.get("fairness", []) if entry.get("sentence")]
        missing.append(said[0] if said else words("fairness", "no_audit"))
    if results.frontier.get("points"):
        parts.append(_frontier(results))
    else:
        missing.append(words("fairness", "no_frontier"))
    return Section(anchor="fairness", title="Fairness", parts=tuple(parts), missing=" ".join(missing))


def _bars(results: SweepResults, audits: list[Mapping[str, Any]]) -> Figure:
    """Figure of high-touch care by group, the leading policy beside the care team."""
    known = {(entry["algo"], entry["mode"], entry["seed"]): entry for entry in reversed(audits)}
    own = [key for key in known if key[:2] == results.leading] or list(known)
    algo, mode, seed = min(own, key=lambda key: key[2])
    entry = known[algo, mode, seed]
    team = {
        (group["attribute"], group["group"]): group["value"]
        for key, each in known.items()
        for group in each["groups"]
        if key[:2] == TEAM and group["measure"] == DRAWN
    }
    withheld = [(each["attribute"], each["group"]) for each in entry.get("withheld", [])]
    measured = [group for group in entry["groups"] if group["measure"] == DRAWN]
    columns = columns_of("policy | seed:d | attribute | group | members:,d | measure | value:.4f | low:.4f | high:.4f")
    cells = [
        (_policy(results, each), each["seed"], *(group[name] for name in _GROUP))
        for each in [entry, *(other for other in audits if other is not entry)]
        for group in each["groups"]
    ]
    return Figure(
        title=words("fairness", "bars_title", policy=_policy(results, entry), seed=seed),
        description=words("fairness", "bars_description", bars=len(measured)),
        draw=forest(_drawn(measured, withheld, team), axis="probability a week", percent=True),
        table=Table(
            name="fairness_by_group",
            caption="High-touch contact of each group.",
            columns=columns,
            rows=[
                (*row[:2], attribute_name(row[2]), str(row[3]), row[4], _measure(row[5]), *row[6:])
                for row in cells
                if row[0] == _policy(results, entry) and row[1] == seed and row[5] == DRAWN
            ],
        ),
        notes=(
            words(
                "fairness",
                "bars_note",
                team=bool(team),
                privacy=entry.get("privacy", ""),
                need=str(entry.get("need", "not known")).replace("_", " "),
            ),
        ),
        more=(
            Table(name="fairness", caption="Every measure of every group.", columns=columns, rows=cells, shown=False),
        ),
    )


def _drawn(
    measured: list[dict[str, Any]], withheld: list[tuple[str, Any]], team: dict[tuple[str, Any], float]
) -> list[Row]:
    """Under a heading for each attribute, a bar for each group, and the groups that are not shown.

    Args:
        measured: Groups of an audit, by one measure.
        withheld: Attribute and group of those not shown.
        team: The care team's value, by attribute and group.
    """
    rows: list[Row] = []
    for attribute in dict.fromkeys([g["attribute"] for g in measured] + [attribute for attribute, _ in withheld]):
        rows.append(Row(label=attribute_name(attribute).capitalize()))
        for group in measured:
            if group["attribute"] == attribute:
                beside = team.get((attribute, group["group"]))
                rows.append(
                    Row(
                        label=str(group["group"]),
                        value=group["value"],
                        low=group["low"],
                        high=group["high"],
                        points=() if beside is None else (beside,),
                        said=f"{100 * group['value']:.2f} %",
                        bar=True,
                    )
                )
        rows += [Row(label=str(name), said="not shown") for kind, name in withheld if kind == attribute]
    return rows


def _pairs(results: SweepResults, audits: list[Mapping[str, Any]]) -> list[Table]:
    rows = [
        (
            _policy(results, entry),
            entry["seed"],
            gap["attribute"],
            gap["first"],
            gap["second"],
            gap["measure"],
            gap["difference"],
            gap["low"],
            gap["high"],
        )
        for entry in audits
        for gap in entry.get("gaps", [])
    ]
    columns = columns_of(
        "policy | seed:d | attribute | first | second | measure | difference:+.4f | low:+.4f | high:+.4f"
    )
    leading = results.name(results.leading)
    shown = [
        (*row[:2], attribute_name(row[2]), str(row[3]), str(row[4]), _measure(row[5]), *row[6:])
        for row in rows
        if row[0] == leading and row[5] == DRAWN
    ]
    tables = [
        Table(
            name="fairness_gaps",
            caption="High touch: difference between two groups, with its interval.",
            columns=columns,
            rows=shown,
        ),
        Table(name="fairness_all_gaps", caption="All policies and measures.", columns=columns, rows=rows, shown=False),
    ]
    return [table for table in tables if table.rows]


def _frontier(results: SweepResults) -> Figure:
    """Figure and table of what closing the gap between groups costs, a point a setting of the penalty."""
    content = results.frontier
    points = content["points"]
    rows, series = [], []
    for number, point in enumerate(points):
        gap = point["gap"]
        rows.append(
            (point["setting"], gap["value"], gap["low"], gap["high"], point["value"], point["cost"], point["cost_se"])
        )
        series.append(
            Series(
                label=point["setting"],
                xs=[100 * gap["value"]],
                ys=[point["cost"]],
                style=number,
                spans=((100 * gap["low"], 100 * gap["high"]),),
                marks=True,
            )
        )
    path = Series(label="", xs=[100 * p["gap"]["value"] for p in points], ys=[p["cost"] for p in points], style=7)
    what = readable(str(content.get("high_touch", "high touch"))).lower()
    group = attribute_name(str(content.get("attribute", "group")))
    return Figure(
        title="What a smaller gap costs",
        description=words("fairness", "frontier_description", points=len(points), group=group),
        draw=lines([path, *series], Axes(x=f"gap in {what}, points of probability", y="events a member more")),
        table=Table(
            name="frontier",
            caption="Gap and cost by setting.",
            columns=columns_of("setting | gap:.4f | low:.4f | high:.4f | value:.4f | cost:+.4f | standard error:.4f"),
            rows=rows,
        ),
        notes=(
            words(
                "fairness",
                "frontier_note",
                group=group,
                seeds=content.get("seeds", "?"),
                command=content.get("command", ""),
                dataset=content.get("dataset"),
                other=_is_of_other_data(content, results.card),
                today=is_of_today(content.get("code", ""), content.get("programs", ())),
            ),
        ),
    )


def _is_of_other_data(frontier: Mapping[str, Any], card: Mapping[str, Any]) -> bool:
    """Whether a frontier is of another dataset than a scorecard, or of one that its name had before."""
    contents = {frontier.get("data_sha256"), card.get("dataset_sha256")} - {None}
    return frontier.get("dataset") != card["dataset"] or len(contents) > 1


def _measure(name: str) -> str:
    return name.replace("_", " ")


def _policy(results: SweepResults, entry: Mapping[str, Any]) -> str:
    policy = (entry["algo"], entry["mode"])
    return "the care team" if policy == TEAM else results.name(policy) if policy[0] in results.labels else policy[0]
