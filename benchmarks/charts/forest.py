"""Rows of estimates with intervals over one axis. Narrow drawings put names above what they name, not beside it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.charts.svg import NARROW, Canvas, Scale, nice_step, round_range, shortened, text_width, tick_label

Drawing = Callable[[int], tuple[str, float]]

HEADING = 31
"""Height of a row that is a heading."""

SMALL = 11.0
"""Size of ticks and numbers."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a forest plot; every mark but its label may be missing.

    Attributes:
        label: Its name; a row with nothing else is a heading.
        value, low, high: An estimate and its interval.
        points: Values of the single runs.
        truth: The true value.
        said: Written at its end.
        colour: 1 to 8.
        mark: Of the value.
        bar: Whether a bar goes from 0 to the value.
    """

    label: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    points: tuple[float, ...] = ()
    truth: float | None = None
    said: str = ""
    colour: int = 1
    mark: str = "dot"
    bar: bool = False


def forest(
    rows: Sequence[Row],
    *,
    axis: str,
    lines: Sequence[tuple[float, str]] = (),
    percent: bool = False,
    limits: tuple[float, float] | None = None,
) -> Drawing:
    """Rows of estimates with intervals over one axis.

    Args:
        rows: From top to bottom.
        axis: What the axis is.
        lines: Places on the axis that are marked, with what they are.
        percent: Whether ticks are in percent.
        limits: Of the axis; an arrow on its edge says where something lies outside.
    """
    numbers = [n for r in rows for n in (r.value, r.low, r.high, r.truth, *r.points) if n is not None]
    numbers += [0.0] if any(row.bar for row in rows) else []
    span = limits or round_range(numbers or [0.0], include=[place for place, _ in lines])

    def draw(width: int) -> tuple[str, float]:
        canvas, narrow = Canvas(width), width <= NARROW
        labels = 0.0 if narrow else min(max(text_width(row.label) for row in rows) + 16, 0.36 * width)
        ends = 0.0 if narrow else max(text_width(row.said, SMALL) for row in rows) + 14
        scale = Scale(*span, labels + 6, width - ends - 6)
        top, step = (26 if any(name for _, name in lines) else 8), (38 if narrow else 25)
        bottom = top + sum(step if _full(row) else HEADING for row in rows)
        _vertical_axis_lines(canvas, scale, top, bottom, percent, axis)
        for place, name in lines:
            x = scale(place)
            canvas.line(x, top - 4, x, top if narrow else bottom, "inkline", wide=1.2)
            half = text_width(name, SMALL) / 2
            canvas.text(min(max(x, half), width - half), top - 9, name, "ink", anchor="middle", size=SMALL)
        y = float(top)
        for row in rows:
            if not _full(row):
                canvas.text(0, y + HEADING - 8, shortened(row.label, width / 1.1), "ink", bold=True)
                y += HEADING
                continue
            if narrow:
                said = text_width(row.said, SMALL)
                canvas.text(0, y + 13, shortened(row.label, width - said - 10), "ink")
                canvas.text(width, y + 13, row.said, "muted", anchor="end", size=SMALL)
                for place, _ in lines:  # not through the names
                    canvas.line(scale(place), y + 18, scale(place), y + step - 2, "inkline", wide=1.2)
            else:
                canvas.text(0, y + step / 2 + 4, shortened(row.label, labels - 10), "ink")
                canvas.text(width, y + step / 2 + 4, row.said, "muted", anchor="end", size=SMALL)
            _estimate(canvas, row, scale, y + (26 if narrow else step / 2))
            y += step
        return canvas.done(bottom + 38)

    return draw


def _full(row: Row) -> bool:
    return row.value is not None or row.truth is not None or bool(row.said) or bool(row.points)


def _estimate(canvas: Canvas, row: Row, scale: Scale, y: float) -> None:
    """Draws a row's estimate: interval, point, single runs and truth, as far as it has them."""
    if row.bar and row.value is not None:
        start, end = sorted((scale(0.0), scale(row.value)))
        canvas.box(start, y - 6, end - start, 12, f"f{row.colour}", strength=0.35)
    if row.low is not None and row.high is not None:
        low, high = scale(row.low), scale(row.high)
        canvas.line(low, y, high, y, f"s{row.colour}", wide=2.2)
        for place, number in ((low, row.low), (high, row.high)):
            if scale.holds(number):
                canvas.line(place, y - 3.5, place, y + 3.5, f"s{row.colour}", wide=1.6)
            else:
                _beyond(canvas, number, scale, y, f"s{row.colour}")
    for point in row.points:
        canvas.mark(scale(point), y, "ring", "f8", 3)
    if row.value is not None and not scale.holds(row.value):  # a mark on the edge would say that it lies there
        _beyond(canvas, row.value, scale, y, f"s{row.colour}")
    elif row.value is not None and not row.bar:
        canvas.mark(scale(row.value), y, row.mark, f"f{row.colour}", 4.6)
    if row.truth is not None:
        canvas.mark(scale(row.truth), y, "diamond", "ink", 4)


def _beyond(canvas: Canvas, number: float, scale: Scale, y: float, colour: str) -> None:
    """Draws an arrow on the edge beyond which a number lies."""
    place, sign = scale(number), 1 if number > scale.high else -1
    canvas.path([(place - 5 * sign, y - 4), (place, y), (place - 5 * sign, y + 4)], colour)


def _vertical_axis_lines(canvas: Canvas, scale: Scale, top: float, bottom: float, percent: bool, axis: str) -> None:
    most = max(2, int((scale.end - scale.start) / 62))
    ticks = scale.ticks(most)
    step = nice_step((scale.high - scale.low) / most)
    for tick in ticks:
        canvas.line(scale(tick), top, scale(tick), bottom, "gridline")
        label = tick_label(tick, step, percent=percent)
        canvas.text(scale(tick), bottom + 15, label, "muted", anchor="middle", size=SMALL)
    canvas.line(scale.start, bottom, scale.end, bottom, "axis")
    middle = (scale.start + scale.end) / 2
    half = text_width(axis, SMALL) / 2
    canvas.text(max(half, min(middle, canvas.width - half)), bottom + 32, axis, "muted", anchor="middle", size=SMALL)
