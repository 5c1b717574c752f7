"""The other kinds of figures: pairs of shares by level, tables of colour, and places in a plane."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.charts.forest import SMALL, Drawing
from benchmarks.charts.line_plots import COLOURS
from benchmarks.charts.svg import NARROW, Canvas, Scale, nice_step, round_range, shortened, text_width, tick_label

DARKEST = 0.72
"""Opacity of the largest value, so that a number on it can be read."""


@dataclass(frozen=True)
class Pair:
    """The shares of one level; None for what is not known or must not be shown."""

    label: str
    first: float | None
    second: float | None


def pairs(groups: Sequence[tuple[str, Sequence[Pair]]], *, first: str, second: str, axis: str) -> Drawing:
    """Two shares a level, joined by a line: a full mark and a ring.

    Args:
        groups: Name of each factor, and its levels.
        first: What the full mark is.
        second: What the ring is.
        axis: What the axis is.
    """
    known = [n for _, each in groups for p in each for n in (p.first, p.second) if n is not None]

    def draw(width: int) -> tuple[str, float]:
        canvas, narrow = Canvas(width), width <= NARROW
        names = max(text_width(pair.label) for _, each in groups for pair in each) + 12
        names = min(names, (0.42 if narrow else 0.34) * width)
        scale = Scale(0.0, max([*known, 1e-9]), names + 6, width - 12)
        canvas.mark(6, 10, "dot", "f1", 4.4)
        canvas.text(16, 14, first, "ink")
        x = 16 + text_width(first) + 24
        below = x + text_width(second) + 16 > width
        x, y = (6.0, 30.0) if below else (x, 10.0)
        canvas.mark(x, y, "ring", "f8", 4.4)
        canvas.text(x + 10, y + 4, second, "ink")
        y += 16
        top = y
        spans = []
        for title, each in groups:
            y += 24
            spans.append((title, y, each))
            y += 19 * len(each)
        step = nice_step(scale.high / (2 if narrow else 5))
        for tick in scale.ticks(2 if narrow else 5):
            canvas.line(scale(tick), top, scale(tick), y + 4, "gridline")
            canvas.text(scale(tick), y + 19, tick_label(tick, step, percent=True), "muted", anchor="middle", size=SMALL)
        canvas.text(scale.end, y + 35, axis, "muted", anchor="end", size=SMALL)
        for title, start, each in spans:
            canvas.text(0, start - 5, title, "ink", bold=True)
            for number, pair in enumerate(each):
                _pair(canvas, pair, scale, start + 19 * number + 10, names)
        return canvas.done(y + 42)

    return draw


def _pair(canvas: Canvas, pair: Pair, scale: Scale, y: float, names: float) -> None:
    canvas.text(0, y + 4, shortened(pair.label, names - 8), "ink")
    if pair.first is not None and pair.second is not None:
        canvas.line(scale(pair.first), y, scale(pair.second), y, "axis", wide=1.2)
    if pair.second is not None:
        canvas.mark(scale(pair.second), y, "ring", "f8", 4.2)
    if pair.first is not None:
        canvas.mark(scale(pair.first), y, "dot", "f1", 4.2)


def heatmap(
    tables: Sequence[tuple[str, Sequence[Sequence[float | None]]]], *, rows: Sequence[str], columns: Sequence[str]
) -> Drawing:
    """Tables of shares as tables of colour, one below the other, with one scale for all.

    Args:
        tables: Title and values of each, `[row][column]`.
        rows: Their names.
        columns: Theirs.
    """
    largest = max([value for _, table in tables for row in table for value in row if value is not None] + [1e-9])

    def draw(width: int) -> tuple[str, float]:
        canvas, narrow = Canvas(width), width <= NARROW
        size = 10.0 if narrow else 11.5
        names = min(max(text_width(row, size) for row in rows) + 8, (0.33 if narrow else 0.24) * width)
        last = text_width(columns[-1], size) * 0.55
        cell = (width - names - last) / len(columns)
        high = max(16.0, min(cell, 21.0))
        heads = max(text_width(shortened(column, 150, size), size) for column in columns) * 0.86 + 10
        y = 0.0
        for title, table in tables:
            canvas.text(0, y + 14, title, "ink", bold=True)
            y += 14 + heads
            for number, column in enumerate(columns):
                x = names + (number + 0.5) * cell
                canvas.text(x, y - 5, shortened(column, 150, size), "muted", size=size, turn=-58)
            for name, row in zip(rows, table, strict=True):
                canvas.text(0, y + high / 2 + 4, shortened(name, names - 4, size), "ink", size=size)
                for number, value in enumerate(row):
                    _cell(canvas, value, names + number * cell, y, cell, high, largest, numbers=cell > 24)
                y += high
            y += 30
        return canvas.done(_colour_key(canvas, y - 14, largest))

    return draw


def _cell(
    canvas: Canvas, value: float | None, x: float, y: float, wide: float, high: float, largest: float, *, numbers: bool
) -> None:
    canvas.box(x + 0.5, y + 0.5, wide - 1, high - 1, "ground")
    if value is None:
        canvas.text(x + wide / 2, y + high / 2 + 4, "\N{MULTIPLICATION SIGN}", "muted on", anchor="middle", size=SMALL)
        return
    if value > 0:
        canvas.box(x + 0.5, y + 0.5, wide - 1, high - 1, "heat", strength=DARKEST * (value / largest) ** 0.5)
    if numbers:
        canvas.text(x + wide / 2, y + high / 2 + 3.5, _short_percent(value), "ink on", anchor="middle", size=9.5)


def _short_percent(value: float) -> str:
    """A share in percent with two digits at most; nothing for what rounds to nothing."""
    percent = 100 * value
    if percent < 0.05:
        return ""
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def _colour_key(canvas: Canvas, y: float, largest: float) -> float:
    canvas.text(0, y + 12, "0 %", "muted", size=SMALL)
    for step in range(12):
        canvas.box(30 + step * 12, y + 2, 12, 12, "ground")
        canvas.box(30 + step * 12, y + 2, 12, 12, "heat", strength=max(DARKEST * (step / 11) ** 0.5, 0.001))
    canvas.text(180, y + 12, f"{100 * largest:.1f} % of the weeks", "muted", size=SMALL)
    return y + 24


@dataclass(frozen=True)
class Place:
    """A named point of a kind."""

    label: str
    kind: str
    x: float
    y: float


MARKS = ("dot", "square", "triangle", "diamond", "ring", "cross")


def plane(places: Sequence[Place], *, x: str, y: str) -> Drawing:
    """Named points in a plane; colour and mark say of what kind. One unit is as long along both axes.

    Args:
        places: The points; a name that has no room beside its point is left out.
        x: What the horizontal axis is.
        y: What the vertical axis is.
    """
    kinds = list(dict.fromkeys(place.kind for place in places))

    def draw(width: int) -> tuple[str, float]:
        canvas = Canvas(width)
        low_x, high_x = round_range([p.x for p in places], room=0.12)
        low_y, high_y = round_range([p.y for p in places], room=0.08)
        size = 10.0 if width <= NARROW else 11.5
        tall = min(max(width * (high_y - low_y) / (high_x - low_x), 0.55 * width), 1.1 * width)
        unit = min(width / (high_x - low_x), tall / (high_y - low_y))
        middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
        left, top = 0.0, 26.0
        for number, kind in enumerate(kinds):
            canvas.mark(left + 6, 9, MARKS[number % len(MARKS)], _colour(number, MARKS[number % len(MARKS)]), 4.2)
            canvas.text(left + 16, 13, kind, "ink")
            left += 16 + text_width(kind) + 18
        canvas.box(0, top, width, tall, "ground", strength=0.6)
        placed: list[tuple[float, float, float, float]] = []
        for place in places:
            number = kinds.index(place.kind)
            px, py = width / 2 + (place.x - middle_x) * unit, top + tall / 2 - (place.y - middle_y) * unit
            mark = MARKS[number % len(MARKS)]
            canvas.mark(px, py, mark, _colour(number, mark), 4.2)
            placed.append((px - 5, py - 5, px + 5, py + 5))
        for place in places:
            px, py = width / 2 + (place.x - middle_x) * unit, top + tall / 2 - (place.y - middle_y) * unit
            _name(canvas, place.label, px, py, size, width, placed)
        canvas.text(width, top + tall + 16, f"{x}; {y}", "muted", anchor="end", size=SMALL)
        return canvas.done(top + tall + 24)

    return draw


def _colour(number: int, mark: str) -> str:
    kind = "s" if mark == "cross" else "f"
    return f"{kind}{number % COLOURS + 1}"


def _name(
    canvas: Canvas,
    label: str,
    x: float,
    y: float,
    size: float,
    width: float,
    placed: list[tuple[float, float, float, float]],
) -> None:
    """Writes a name beside its point where nothing else is; not at all where there is no room."""
    wide = text_width(label, size) * 0.95
    for anchor, dx, dy in (
        ("start", 8, 4),
        ("end", -8, 4),
        ("middle", 0, -8),
        ("middle", 0, 17),
        ("start", 8, -6),
        ("start", 8, 14),
        ("end", -8, -6),
        ("end", -8, 14),
    ):
        # The width is a guess: with an anchor the name keeps off its own mark, whatever it comes out at.
        left = x + dx - {"start": 0.0, "middle": wide / 2, "end": wide}[anchor]
        own = (left, y + dy - size, left + wide, y + dy + 2)
        free = all(own[2] < o[0] or own[0] > o[2] or own[3] < o[1] or own[1] > o[3] for o in placed)
        if free and own[0] >= 0 and own[2] <= width:
            canvas.text(x + dx, y + dy, label, "ink", anchor=anchor, size=size)
            placed.append(own)
            return
