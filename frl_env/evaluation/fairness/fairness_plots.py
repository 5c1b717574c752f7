"""Figures of a fairness audit, as SVG with text as text. They draw what the audit holds and compute nothing."""

import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from frl_env.evaluation.fairness.result import FairnessAudit, Group

ROW = 0.26
"""Inches a group."""

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb")
"""Told apart by colour-blind readers as well (Tol, 2021)."""


def figures(audit: FairnessAudit) -> dict[str, bytes]:
    """All figures by file name; one for which there is nothing to draw is left out."""
    single = [group for group in audit.groups if group.attribute in audit.attributes]
    with mpl.rc_context({"text.parse_math": False}):  # names of groups may hold dollar signs
        drawn: dict[str, Figure] = {
            "high_touch.svg": _high_touch(audit, audit.groups),
            "need_ratio.svg": _need_ratio(audit, single),
        }
        if factors := _factors(audit):
            drawn["allocation.svg"] = _allocation(factors, single)
        if audit.calibration:
            drawn["calibration.svg"] = _calibration(audit)
        note = "Simulated members; not to guide care" if audit.simulated else "Small groups suppressed"
        return {name: svg(figure, note) for name, figure in drawn.items()}


def _high_touch(audit: FairnessAudit, groups: Sequence[Group]) -> Figure:
    figure, axes = _rows(groups)
    _dots(axes, groups, "high_touch", COLOURS[0])
    label = f"probability of high-touch contact a week, {audit.settings['level']:.0%} interval"
    if "high_touch" in audit.overall:  # not told where it is that of few real people
        axes.axvline(audit.overall["high_touch"].value, color="black", linewidth=0.8)
        label += "; line: everyone"
    axes.set_xlabel(label)
    return figure


def _need_ratio(audit: FairnessAudit, groups: Sequence[Group]) -> Figure:
    figure, axes = _rows(groups)
    for number, need in enumerate(audit.needs):
        _dots(axes, groups, f"need_ratio ({need})", COLOURS[number % len(COLOURS)], label=need, shift=0.22 * number)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xlabel("high-touch contact in relation to need (1: by need), by what is taken for need")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize="small", loc="best")
    return figure


def _allocation(factors: Mapping[str, Sequence[str]], groups: Sequence[Group]) -> Figure:
    figure = Figure(figsize=(2.5 + 3 * len(factors), 1.2 + ROW * len(groups)), layout="constrained")
    panels = figure.subplots(1, len(factors), sharey=True, squeeze=False)[0]
    for axes, (factor, levels) in zip(panels, factors.items(), strict=True):
        start = [0.0] * len(groups)
        for number, level in enumerate(levels):
            measured = [group.measures.get(f"{factor}: {level}") for group in groups]
            widths = [0.0 if each is None else each.value for each in measured]
            axes.barh(range(len(groups)), widths, left=start, color=COLOURS[number % len(COLOURS)], label=level)
            start = [a + b for a, b in zip(start, widths, strict=True)]
        axes.set_xlabel(f"probability a week, by {factor}")
        axes.legend(fontsize="x-small", loc="best")
    _name_rows(panels[0], groups)
    return figure


def _factors(audit: FairnessAudit) -> dict[str, list[str]]:
    """Levels by factor, from measures named "factor: level"; without factors of too many levels for a legend."""
    found: dict[str, list[str]] = {}
    for name in audit.overall:
        factor, separator, level = name.partition(": ")
        if separator:
            found.setdefault(factor, []).append(level)
    return {factor: levels for factor, levels in found.items() if len(levels) <= len(COLOURS)}


def _calibration(audit: FairnessAudit) -> Figure:
    figure = Figure(figsize=(4 * len(audit.attributes), 3.6), layout="constrained")
    panels = figure.subplots(1, len(audit.attributes), sharey=True, squeeze=False)[0]
    for axes, attribute in zip(panels, audit.attributes, strict=True):
        points = [point for point in audit.calibration if point.attribute == attribute]
        for number, name in enumerate(dict.fromkeys(point.group for point in points)):
            own = [point for point in points if point.group == name]
            colour = COLOURS[number % len(COLOURS)]
            axes.plot([p.high_touch for p in own], [p.need for p in own], marker="o", color=colour, label=name)
        axes.set_title(attribute, fontsize="medium")
        axes.set_xlabel("probability of high-touch contact a week")
        if points:
            axes.legend(fontsize="x-small", loc="best")
    panels[0].set_ylabel(f"mean need ({audit.need})")
    return figure


def _rows(groups: Sequence[Group]) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 1.2 + ROW * len(groups)), layout="constrained")
    axes = figure.subplots()
    _name_rows(axes, groups)
    return figure, axes


def _name_rows(axes: Axes, groups: Sequence[Group]) -> None:
    """A row a group; says which are not shown."""
    names = [f"{g.attribute}: {g.name}" + (f" ({g.withheld.split(':')[0]})" if g.withheld else "") for g in groups]
    axes.set_yticks(range(len(groups)), names, fontsize="small")
    axes.set_ylim(len(groups) - 0.4, -0.6)
    axes.grid(axis="x", linewidth=0.3)


def _dots(
    axes: Axes, groups: Sequence[Group], measure: str, colour: str, *, label: str | None = None, shift: float = 0.0
) -> None:
    """A row of points with intervals, one a group."""
    for row, group in enumerate(groups):
        measured = group.measures.get(measure)
        if measured is not None:
            if measured.low is not None and measured.high is not None:
                axes.plot([measured.low, measured.high], [row + shift] * 2, color=colour, linewidth=1.2)
            axes.plot([measured.value], [row + shift], marker="o", markersize=4, color=colour, label=label)
            label = None


def svg(figure: Figure, note: str) -> bytes:
    """A figure as SVG, the same bytes every time, text as text, with a note above it."""
    figure.suptitle(note, fontsize=8)
    stream = io.BytesIO()
    save: Callable[..., None] = figure.savefig
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "frl"}):
        save(stream, format="svg", metadata={"Date": None})
    return stream.getvalue()
