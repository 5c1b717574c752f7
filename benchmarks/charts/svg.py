"""Drawings in SVG, of a few shapes.

Colours are classes of the page's style sheet, so that one drawing serves light, dark and print.
"""

import math
from collections.abc import Sequence
from html import escape

WIDE, NARROW = 760, 340
"""Widths that figures are drawn for, in CSS pixels: a page of paper or a desktop, and a telephone."""

SIZE = 12.5
"""Of ordinary text, in CSS pixels."""

_WIDTHS = {"i": 0.28, "l": 0.28, "j": 0.28, "t": 0.4, "f": 0.36, "r": 0.41, " ": 0.32, ".": 0.32, ",": 0.32}
_WIDTHS |= {"m": 0.97, "w": 0.82, "%": 0.95}


def text_width(text: str, size: float = SIZE) -> float:
    """About how wide a text is in an ordinary sans-serif face; rather too wide than too narrow."""
    return size * sum(_WIDTHS.get(c, 0.7 if c.isupper() else 0.65 if c.isdigit() else 0.61) for c in text)


def shortened(text: str, width: float, size: float = SIZE) -> str:
    """The text, cut with an ellipsis where it is wider than `width` at the font size `size`, in CSS pixels."""
    if text_width(text, size) <= width:
        return text
    while text and text_width(text + "…", size) > width:
        text = text[:-1]
    return text.rstrip() + "…"


class Canvas:
    """A drawing in the making.

    Coordinates and sizes are in CSS pixels, y downwards. Of all methods `colour` is a class of the style sheet, `wide`
    the width of a line, and `dash` lengths of strokes and gaps as SVG takes them ("5 3"), empty for none.

    Args:
        width: Of the drawing.
    """

    def __init__(self, width: float) -> None:
        """An empty one."""
        self.width = width
        self._parts: list[str] = []

    def done(self, height: float) -> tuple[str, float]:
        """The inner SVG and its height."""
        return "".join(self._parts), height

    def line(self, x1: float, y1: float, x2: float, y2: float, colour: str, *, dash: str = "", wide: float = 1) -> None:
        """A straight line."""
        self._parts.append(
            f'<line class="{colour}" x1="{_n(x1)}" y1="{_n(y1)}" x2="{_n(x2)}" y2="{_n(y2)}"'
            f' stroke-width="{_n(wide)}"{_dash(dash)}/>'
        )

    def path(self, points: Sequence[tuple[float, float]], colour: str, *, dash: str = "", wide: float = 1.6) -> None:
        """Straight lines from point to point."""
        places = "L".join(f"{_n(x)} {_n(y)}" for x, y in points)
        self._parts.append(f'<path class="{colour} line" d="M{places}" stroke-width="{_n(wide)}"{_dash(dash)}/>')

    def box(self, x: float, y: float, width: float, height: float, colour: str, *, strength: float = 1) -> None:
        """A filled box; `strength` is its opacity."""
        faint = "" if strength >= 1 else f' fill-opacity="{strength:.3f}"'
        size = f'width="{_n(max(width, 0))}" height="{_n(height)}"'
        self._parts.append(f'<rect class="{colour}" x="{_n(x)}" y="{_n(y)}" {size}{faint}/>')

    def mark(self, x: float, y: float, kind: str, colour: str, size: float = 4) -> None:
        """A mark: "dot", "ring", "diamond", "square", "triangle", "wedge" (on its point), "bar" or "cross"."""
        if kind in ("dot", "ring"):
            extra = " hollow" if kind == "ring" else ""
            self._parts.append(f'<circle class="{colour}{extra}" cx="{_n(x)}" cy="{_n(y)}" r="{_n(size)}"/>')
            return
        shapes = {
            "diamond": [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
            "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            "triangle": [(0, -1.2), (1.1, 0.9), (-1.1, 0.9)],
            "wedge": [(0, 1.2), (1.1, -0.9), (-1.1, -0.9)],
            "bar": [(-1.3, -0.5), (1.3, -0.5), (1.3, 0.5), (-1.3, 0.5)],
        }
        if kind == "cross":
            d = size * 0.9
            for sign in (1, -1):
                self.line(x - d, y - sign * d, x + d, y + sign * d, colour, wide=1.6)
            return
        corners = "L".join(f"{_n(x + size * dx)} {_n(y + size * dy)}" for dx, dy in shapes[kind])
        self._parts.append(f'<path class="{colour}" d="M{corners}Z"/>')

    def text(
        self,
        x: float,
        y: float,
        text: str,
        colour: str = "ink",
        *,
        anchor: str = "start",
        size: float = SIZE,
        bold: bool = False,
        turn: float = 0,
    ) -> None:
        """Text with its baseline at y; `turn` in degrees around its start."""
        turned = f' transform="rotate({_n(turn)} {_n(x)} {_n(y)})"' if turn else ""
        heavy = ' font-weight="600"' if bold else ""
        where = "" if anchor == "start" else f' text-anchor="{anchor}"'
        self._parts.append(
            f'<text class="{colour}" x="{_n(x)}" y="{_n(y)}" font-size="{_n(size)}"{where}{heavy}{turned}>'
            f"{escape(text)}</text>"
        )


class Scale:
    """From numbers to places on a line.

    Args:
        low, high: Of the numbers.
        start, end: Of the places.
    """

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        """Spreads out a range of nothing."""
        if not high > low:
            low, high = low - 0.5, high + 0.5
        self.low, self.high, self.start, self.end = low, high, start, end

    def __call__(self, number: float) -> float:
        """The place of a number; one outside is put on the edge."""
        inside = min(max(number, self.low), self.high)
        return self.start + (inside - self.low) / (self.high - self.low) * (self.end - self.start)

    def holds(self, number: float) -> bool:
        """Whether a number is in the range."""
        return self.low <= number <= self.high

    def ticks(self, most: int = 6) -> list[float]:
        """Round numbers in the range."""
        step = nice_step((self.high - self.low) / max(most, 1))
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(least: float) -> float:
    """The smallest of 1, 2, 5 times a power of ten that is no less."""
    power = 10 ** math.floor(math.log10(least))
    return next(power * times for times in (1, 2, 5, 10) if power * times >= least * (1 - 1e-9))


def round_range(numbers: Sequence[float], *, include: Sequence[float] = (), room: float = 0.06) -> tuple[float, float]:
    """Least and largest of the numbers and of those to include, with room on both sides as a share of the range."""
    known = [*numbers, *include]
    low, high = min(known), max(known)
    margin = (high - low) * room or abs(high) * room or 1.0
    return low - margin, high + margin


def tick_label(value: float, step: float, *, percent: bool = False) -> str:
    """A tick as short as its step allows; a share in percent where asked for."""
    scaled, step = (100 * value, 100 * step) if percent else (value, step)
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    text = f"{scaled:.{decimals}f}"
    if float(text) == 0:
        text = f"{0:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") + (" %" if percent else "")


def _n(number: float) -> str:
    """A coordinate as SVG has it, to a tenth."""
    return f"{number:.1f}".rstrip("0").rstrip(".")


def _dash(dash: str) -> str:
    return f' stroke-dasharray="{dash}"' if dash else ""
