"""Lines over common axes: in one plot, or in a small one each."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.charts.forest import SMALL, Drawing
from benchmarks.charts.svg import (
    NARROW,
    SIZE,
    Canvas,
    Scale,
    nice_step,
    round_range,
    shortened,
    text_width,
    tick_label,
)

COLOURS = 8
"""Colours of the style sheet, classes s1 to s8; a ninth line takes the first again."""

DASHES = ("", "5 3", "1.5 3")

SHAPES = ("dot", "square", "triangle", "diamond", "wedge", "bar")
"""Marks of the first four lines, of the next four, and so on. By them those of one colour are told apart, and those of
two that some eyes see as one: no two of the first four colours are, nor of the last four."""

SPARSE = 8
"""Points between two marks, on a line whose points are not marked and whose mark is no dot."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """A line.

    Attributes:
        label: In the legend; the same label comes there once.
        xs, ys: Its points.
        lows, highs: Whiskers upwards; empty for none.
        spans: Whiskers sideways; empty for none.
        style: Number of its colour and of its mark, from 0.
        dash: Number of its dash.
        strong: Whether it is drawn in front and thick.
        marks: Whether its points are marked.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float | None]
    lows: Sequence[float | None] = ()
    highs: Sequence[float | None] = ()
    spans: Sequence[tuple[float, float]] = ()
    style: int = 0
    dash: int = 0
    strong: bool = False
    marks: bool = False


@dataclass(frozen=True, kw_only=True)
class Axes:
    """The axes of a line plot.

    Attributes:
        x, y: What they are.
        x_ticks: Places of the ticks and what is written there; found when empty.
        y_range: Limits; found when None.
        y_percent: Whether y is in percent.
        lines: Heights that are marked, with what they are.
    """

    x: str
    y: str
    x_ticks: Sequence[tuple[float, str]] = ()
    y_range: tuple[float, float] | None = None
    y_percent: bool = False
    lines: Sequence[tuple[float, str]] = ()


def lines(series: Sequence[Series], axes: Axes, *, tall: float = 300) -> Drawing:
    """Lines over common axes, with a legend below.

    Args:
        series: The lines; strong ones are drawn in front.
        axes: What they are drawn over.
        tall: Height of the plot without axes and legend, in CSS pixels.
    """

    def draw(width: int) -> tuple[str, float]:
        canvas = Canvas(width)
        _plot(canvas, series, axes, _y_range(series, axes), 0, width, 24, 24 + tall)
        return canvas.done(_legend(canvas, series, width, 24 + tall + 56))

    return draw


def panels(
    each: Sequence[tuple[str, Sequence[Series]]], axes: Axes, *, tall: float = 120, shared: bool = True
) -> Drawing:
    """A small plot for each name, so that lines of different names don't cross.

    Args:
        each: Name and lines of each plot.
        axes: What they are drawn over.
        tall: Height of a plot without its axes, in CSS pixels.
        shared: Whether all plots have the same range of y.
    """

    def draw(width: int) -> tuple[str, float]:
        canvas = Canvas(width)
        across = 1 if width <= NARROW else 3
        across = min(across, len(each))
        gap, every = 20.0, [line for _, own in each for line in own]
        wide = min((width - gap * (across - 1)) / across, 380)
        block = tall + 90
        for number, (title, own) in enumerate(each):
            left, top = (number % across) * (wide + gap), (number // across) * block + 38
            size = SIZE if text_width(title) * 1.1 <= wide else 10.0
            canvas.text(left, top - 24, shortened(title, wide / 1.1, size), "ink", bold=True, size=size)
            span = _y_range(every if shared else own, axes)
            _plot(canvas, own, axes, span, left, left + wide, top, top + tall, first=number % across == 0)
        return canvas.done(-(-len(each) // across) * block + 6)

    return draw


def _y_range(series: Sequence[Series], axes: Axes) -> tuple[float, float]:
    known = [y for line in series for y in (*line.ys, *line.lows, *line.highs) if y is not None]
    return axes.y_range or round_range(known or [0.0], include=[height for height, _ in axes.lines])


def _plot(
    canvas: Canvas,
    series: Sequence[Series],
    axes: Axes,
    span: tuple[float, float],
    left: float,
    right: float,
    top: float,
    bottom: float,
    *,
    first: bool = True,
) -> None:
    """Draws one plot between these edges; only the first of a row has its y axis labelled."""
    most = max(3, int((bottom - top) / 42))
    ys = Scale(*span, bottom, top)
    step = nice_step((ys.high - ys.low) / most)
    labels = [tick_label(tick, step, percent=axes.y_percent) for tick in ys.ticks(most)]
    left += max(text_width(label, SMALL) for label in labels) + 8
    xs = [x for line in series for x in (*line.xs, *(end for span in line.spans for end in span))]
    x_scale = Scale(min(xs), max(xs), left + 8, right - 16)
    for tick, label in zip(ys.ticks(most), labels, strict=True):
        canvas.line(left, ys(tick), right, ys(tick), "gridline")
        canvas.text(left - 6, ys(tick) + 4, label, "muted", anchor="end", size=SMALL)
    ticks = axes.x_ticks or ([(xs[0], f"{xs[0]:,.10g}")] if len(set(xs)) == 1 else _x_ticks(x_scale))
    for place, label in ticks:
        canvas.line(x_scale(place), bottom, x_scale(place), bottom + 4, "axis")
        canvas.text(x_scale(place), bottom + 17, label, "muted", anchor="middle", size=SMALL)
    canvas.line(left, bottom, right, bottom, "axis")
    canvas.text((left + right) / 2, bottom + 34, axes.x, "muted", anchor="middle", size=SMALL)
    if first:
        canvas.text(left - 6 if left > 60 else 0, top - 9, axes.y, "muted", size=SMALL)
    for height, name in axes.lines:
        canvas.line(left, ys(height), right, ys(height), "inkline", dash="2 3")
        canvas.text(right, ys(height) - 4, name, "ink", anchor="end", size=SMALL)
    for line in sorted(series, key=lambda each: each.strong):
        _draw_line(canvas, line, x_scale, ys)


def _x_ticks(scale: Scale) -> list[tuple[float, str]]:
    most = max(2, int((scale.end - scale.start) / 70))
    return [(tick, f"{tick:,.10g}") for tick in scale.ticks(most)]


def _draw_line(canvas: Canvas, line: Series, xs: Scale, ys: Scale) -> None:
    """Draws a line, broken where a value is missing, with its intervals and marks."""
    colour, dash = line.style % COLOURS + 1, DASHES[line.dash % len(DASHES)]
    part: list[tuple[float, float]] = []
    for x, y in [*zip(line.xs, line.ys, strict=True), (0.0, None)]:
        if y is not None:
            part.append((xs(x), ys(y)))
        elif part:
            canvas.path(part, f"s{colour}", dash=dash, wide=2.6 if line.strong else 1.5)
            part = []
    for x, low, high in zip(line.xs, line.lows, line.highs, strict=False):
        if low is not None and high is not None:
            canvas.line(xs(x), ys(low), xs(x), ys(high), f"s{colour}", wide=1.3)
    for (low, high), y in zip(line.spans, line.ys, strict=False):
        if y is not None:
            canvas.line(xs(low), ys(y), xs(high), ys(y), f"s{colour}", wide=1.3)
    shape = _shape(line)
    sparse = bool(line.label) and shape != SHAPES[0]
    for number, (x, y) in enumerate(zip(line.xs, line.ys, strict=True)):
        if y is not None and (line.marks or (sparse and number % SPARSE == 0)):
            canvas.mark(xs(x), ys(y), shape, f"f{colour}", 3.2)


def _shape(line: Series) -> str:
    return SHAPES[line.style // (COLOURS // 2) % len(SHAPES)]


def _legend(canvas: Canvas, series: Sequence[Series], width: float, top: float) -> float:
    """Samples of the lines with their names, in as many rows as needed; returns where it ends."""
    x, y = 0.0, top
    seen: set[str] = set()
    for line in series:
        if not line.label or line.label in seen:
            continue
        seen.add(line.label)
        label = shortened(line.label, width - 34, SIZE - 0.5)
        wide = 28 + text_width(label, SIZE - 0.5) + 16
        if x and x + wide > width:
            x, y = 0.0, y + 20
        dash = DASHES[line.dash % len(DASHES)]
        canvas.line(
            x, y - 4, x + 22, y - 4, f"s{line.style % COLOURS + 1}", dash=dash, wide=2.6 if line.strong else 1.8
        )
        if _shape(line) != SHAPES[0]:
            canvas.mark(x + 11, y - 4, _shape(line), f"f{line.style % COLOURS + 1}", 3.2)
        canvas.text(x + 28, y, label, "ink", size=SIZE - 0.5)
        x += wide
    return y + 12
