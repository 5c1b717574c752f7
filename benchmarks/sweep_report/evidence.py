"""How far the logged weeks speak about the policies: effective members by week, and what the cut-off decides."""

from functools import partial
from typing import Any

from benchmarks.charts.line_plots import Axes, Series, lines, panels
from benchmarks.sweep_report.document import Column, Figure, Section, Table, columns_of
from benchmarks.sweep_report.doubts import weights_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import Policy, SweepResults

KINDS = {
    "cumulative": "products of all weeks (WIS, WDR)",
    "cumulative, clip 30": "the same, cut off at 30",
    "marginal": "last week and the state before (MIS, MDR)",
}
"""What kinds of weights are called."""

EFFECTIVE = "policy | seed:d | weights | week:d | effective share:.4f"
"""Columns of the tables of effective members."""

Weighed = tuple[Policy, int, dict[str, Any]]
"""A policy, and seed and diagnostics of `weights_of`."""


def effective_members(results: SweepResults) -> Section:
    """Effective members by week."""
    section = partial(Section, anchor="effective", title="Effective sample size by week")
    found = [(policy, *seen) for policy in results.policies if (seen := weights_of(results, policy))]
    if not found:
        return section(missing=results.why_missing(words("evidence", "not_exact")))
    # Of fewer than 11 people nothing is told week by week.
    found = [entry for entry in found if entry[2]["by_week"].get("cumulative")]
    if not found:
        return section(missing=words("evidence", "too_few"))
    limit = found[0][2]["limits"]["week_share"]
    axes = Axes(
        x="week",
        y="effective members, of those followed",
        y_range=(0, 1),
        y_percent=True,
        lines=[(limit, words("evidence", "asked_for", limit=100 * limit))],
    )
    rows = [
        (results.name(policy), seed, kind, week, share)
        for policy, seed, w in found
        for kind, shares in w["by_week"].items()
        for week, share in zip(w["weeks"], shares, strict=True)
    ]
    return section(
        text=(words("evidence", "re_weighed"),),
        parts=(_by_policy(results, found, rows, axes), _by_kind(results, found[0], rows, axes)),
    )


def _by_policy(results: SweepResults, found: list[Weighed], rows: list[tuple[Any, ...]], axes: Axes) -> Figure:
    """A line a policy, of cumulative weights."""
    first, _, weights = found[0]
    seeds = sorted({seed for _, seed, _ in found})
    drawn = [
        Series(
            label=results.name(policy),
            xs=w["weeks"],
            ys=w["by_week"]["cumulative"],
            style=results.style(policy)[0],
            dash=results.style(policy)[1],
            strong=policy == results.leading,
        )
        for policy, _, w in found
    ]
    facts = {"at_end": weights["by_week"]["cumulative"][-1], "limit": weights["limits"]["week_share"]}
    return Figure(
        title="Share of the members followed that carry the weight",
        description=words("evidence", "weeks_description", policy=results.name(first), **facts),
        draw=lines(drawn, axes),
        table=Table(
            name="effective_members_by_week",
            caption="Effective members as a share of those followed.",
            columns=columns_of(EFFECTIVE),
            rows=[row for row in rows if row[2] == "cumulative"],
        ),
        notes=(words("evidence", "weeks_note", source=weights["panel"]["source"], seeds=seeds),),
    )


def _by_kind(results: SweepResults, first: Weighed, rows: list[tuple[Any, ...]], axes: Axes) -> Figure:
    """A line a kind of weights, of the first policy."""
    policy, _, weights = first
    drawn = [
        Series(label=said, xs=weights["weeks"], ys=weights["by_week"][kind], style=number, dash=number)
        for number, (kind, said) in enumerate(KINDS.items())
        if kind in weights["by_week"]
    ]
    return Figure(
        title=words("evidence", "kinds_title", policy=results.name(policy)),
        description=words("evidence", "kinds_description", kinds=[line.label for line in drawn]),
        draw=lines(drawn, axes, tall=200),
        table=Table(
            name="effective_members_by_kind",
            caption="Effective members as a share of those followed, by kind of weights.",
            columns=columns_of(EFFECTIVE),
            rows=[row for row in rows if row[0] == results.name(policy)],
        ),
        notes=(words("evidence", "kinds_note"),),
    )


def clip_sweep(results: SweepResults) -> Section:
    """What the cut-off does to the estimate."""
    section = partial(Section, anchor="clip", title="How much the cut-off of the weights decides")
    found = [(policy, *seen) for policy in results.policies if (seen := weights_of(results, policy))]
    if not found:
        return section(missing=results.why_missing(words("evidence", "not_exact")))
    each, rows = [], []
    for policy, seed, w in found:
        clips = w["clips"]
        xs = list(range(len(clips)))
        true = results.run(policy, seed).get("difference_to_behaviour") if results.has_truth else None
        own = [
            Series(
                label="estimate",
                xs=xs,
                ys=[c["difference"] for c in clips],
                lows=[c["low"] for c in clips],
                highs=[c["high"] for c in clips],
                marks=True,
            )
        ]
        if true is not None:
            own.append(Series(label="truth", xs=[xs[0], xs[-1]], ys=[true, true], style=1, dash=1))
        each.append((results.name(policy), own))
        rows += [
            (
                results.name(policy),
                seed,
                _cut(c["clip"]),
                c["difference"],
                c["low"],
                c["high"],
                c["members"],
                c["clipped"],
                *([true] if results.has_truth else []),
            )
            for c in clips
        ]
    ticks = [(x, _cut(clip["clip"])) for x, clip in enumerate(found[0][2]["clips"])]
    figure = Figure(
        title=f"Estimated difference to {results.behaviour}, by cut-off",
        description=words("evidence", "clip_description", panels=len(each), truth=results.has_truth),
        draw=panels(each, Axes(x="cut-off", y=results.gained, x_ticks=ticks, lines=[(0.0, "")])),
        table=Table(
            name="clip_sweep",
            caption="Weighted importance sampling by cut-off.",
            columns=(
                *columns_of(
                    "policy | seed:d | cut-off | difference:+.4f"
                    " | low:+.4f | high:+.4f | effective members:,.1f | cut off:.1%"
                ),
                *([Column("truth", "+.4f")] if results.has_truth else []),
            ),
            rows=rows,
        ),
        notes=(words("evidence", "clip_note", source=found[0][2]["panel"]["source"], truth=results.has_truth),),
    )
    return section(parts=(figure, *_doubly_robust(results)))


def _cut(clip: float | None) -> str:
    return "none" if clip is None else f"{clip:g}"


def _doubly_robust(results: SweepResults) -> list[Table]:
    """The sweep of the doubly robust estimator, where the sweep was run with off-policy estimates."""
    rows = [
        (
            results.name((entry["algo"], entry["mode"])),
            entry["seed"],
            name.rpartition(" ")[2],
            each["difference"],
            each["difference_interval"]["low"],
            each["difference_interval"]["high"],
        )
        for entry in results.card["ope"]
        for name, each in entry.get("results", {}).items()
        if name.startswith("WDR clip ")
    ]
    if not rows:
        return []
    columns = columns_of("policy | seed:d | cut-off | difference:+.4f | low:+.4f | high:+.4f")
    name = results.name(results.leading)
    leading = [row for row in rows if row[0] == name]
    caption = words("evidence", "doubly_robust", policy=name)
    everything = words("evidence", "doubly_robust_all")
    own = [Table(name="clip_sweep_doubly_robust", caption=caption, columns=columns, rows=leading)] if leading else []
    return [
        *own,
        Table(name="clip_sweep_doubly_robust_all", caption=everything, columns=columns, rows=rows, shown=False),
    ]
