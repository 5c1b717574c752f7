"""How far the logged weeks speak about the policies: effective members by week, and what the cut-off decides."""

from functools import partial

from benchmarks.drawing.line_plots import Axes, Series, lines, panels
from benchmarks.reporting.document import Column, Figure, Section, Table, columns_of
from benchmarks.reporting.doubts import weights_of
from benchmarks.reporting.sweep_results import SweepResults

KINDS = {
    "cumulative": "products of all weeks (WIS, WDR)",
    "cumulative, clip 30": "the same, cut off at 30",
    "marginal": "last week and the state before (MIS, MDR)",
}
NOT_EXACT = "No trained policy has exact probabilities of its actions, or no propensities are known."


def effective_members(results: SweepResults) -> Section:
    """Effective members by week."""
    section = partial(Section, anchor="effective", title="Effective sample size by week")
    found = [(policy, *seen) for policy in results.policies if (seen := weights_of(results, policy))]
    if not found:
        return section(missing=results.why_missing(NOT_EXACT))
    # Of fewer than 11 people nothing is told week by week.
    found = [entry for entry in found if entry[2]["by_week"].get("cumulative")]
    if not found:
        return section(missing="Too few members validate to tell anything of them week by week.")
    first, seed, weights = found[0]
    limit = weights["limits"]["week_share"]
    axes = Axes(
        x="week",
        y="effective members, of those followed",
        y_range=(0, 1),
        y_percent=True,
        lines=[(limit, f"a headline asks for {100 * limit:.0f} %")],
    )
    by_policy = [
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
    by_kind = [
        Series(label=said, xs=weights["weeks"], ys=weights["by_week"][kind], style=number, dash=number)
        for number, (kind, said) in enumerate(KINDS.items())
        if kind in weights["by_week"]
    ]
    columns = columns_of("policy | seed:d | weights | week:d | effective share:.4f")
    rows = [
        (results.name(policy), own_seed, kind, week, share)
        for policy, own_seed, w in found
        for kind, shares in w["by_week"].items()
        for week, share in zip(w["weeks"], shares, strict=True)
    ]
    at_end = weights["by_week"]["cumulative"][-1]
    return section(
        text=(
            "An off-policy estimate re-weighs logged members so that they look as if the policy had decided. After "
            "some "
            "weeks few of them still look like it, and the estimate is about these few.",
        ),
        parts=(
            Figure(
                title="Share of the members followed that carry the weight",
                description=f"Lines falling over the weeks, one a policy; that of {results.name(first)} ends at "
                f"{at_end or 0:.1%}. A dotted line marks {limit:.0%}.",
                draw=lines(by_policy, axes),
                table=Table(
                    name="effective_members_by_week",
                    caption="Effective members as a share of those followed.",
                    columns=columns,
                    rows=[row for row in rows if row[2] == "cumulative"],
                ),
                notes=(f"On {weights['panel']['source']}; seed {seed}. Uncut products of weekly ratios.",),
            ),
            Figure(
                title=f"The same for {results.name(first)}, by kind of weights",
                description=f"{len(by_kind)} lines over the weeks: {'; '.join(line.label for line in by_kind)}.",
                draw=lines(by_kind, axes, tall=200),
                table=Table(
                    name="effective_members_by_kind",
                    caption="Effective members as a share of those followed, by kind of weights.",
                    columns=columns,
                    rows=[row for row in rows if row[0] == results.name(first)],
                ),
                notes=(
                    "A cut-off buys effective members with bias; marginal weights buy them with the assumption that "
                    "last "
                    "week's record holds all of the past that matters.",
                ),
            ),
        ),
    )


def clip_sweep(results: SweepResults) -> Section:
    """What the cut-off does to the estimate."""
    section = partial(Section, anchor="clip", title="How much the cut-off of the weights decides")
    found = [(policy, *seen) for policy in results.policies if (seen := weights_of(results, policy))]
    if not found:
        return section(missing=results.why_missing(NOT_EXACT))
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
    beside = " Dashed: the true value." if results.has_truth else " No true value is known."
    figure = Figure(
        title="Estimated difference to the care team, by cut-off",
        description=f"{len(each)} panels, one a policy: the estimate by weighted importance sampling with its interval "
        "at each cut-off of the weights" + (", and the true value as a dashed line." if results.has_truth else "."),
        draw=panels(each, Axes(x="cut-off", y="events avoided a member", x_ticks=ticks, lines=[(0.0, "")])),
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
        notes=(
            f"On {found[0][2]['panel']['source']}. Weighted importance sampling without a model.{beside} Where a line "
            "moves, the cut-off is the estimate; where its interval misses the truth, the few members it rests on "
            "are not "
            "like the others. These estimates are here to be doubted, and are no headline.",
        ),
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
    caption = f"The same sweep for the weighted doubly robust estimator, on the validation members: {name}."
    everything = "The sweep of the weighted doubly robust estimator, all policies."
    return [
        Table(name="clip_sweep_doubly_robust", caption=caption, columns=columns, rows=leading),
        Table(name="clip_sweep_doubly_robust_all", caption=everything, columns=columns, rows=rows, shown=False),
    ]
