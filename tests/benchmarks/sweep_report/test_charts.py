"""What a drawing says by colour, mark and arrow is so."""

import itertools
import re

import numpy as np
import pytest

from benchmarks.charts import line_plots
from benchmarks.charts.forest import Row, forest
from benchmarks.charts.line_plots import Axes, Series, lines
from benchmarks.charts.svg import NARROW, WIDE
from benchmarks.sweep_report.sentence_templates import FOLDER


@pytest.mark.parametrize("marks", [True, False])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_no_two_lines_of_a_plot_look_alike(marks, width):
    """`--algo all` draws more lines than there are colours."""
    points = list(range(12))
    drawn = [
        lines([Series(label="A", xs=points, ys=points, style=style, marks=marks)], Axes(x="", y=""))(width)[0]
        for style in range(24)
    ]
    assert len(set(drawn)) == len(drawn)


COLOURS = {
    scheme: re.findall(r"--c\d: (#[0-9a-f]{6});", part)[:8]
    for scheme, part in zip(("light", "dark"), (FOLDER / "page.css").read_text().split(":root")[1:3], strict=True)
}


def _seen(colour, red_green_blind):
    """Lightness and two opponent colours (CIE Lab) of a colour, as seen by eyes with or without green cones."""
    parts = np.asarray([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    rgb = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    if red_green_blind:  # Machado et al., 2009, all of the way
        blind = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]]
        rgb = np.clip(np.asarray(blind) @ rgb, 0, 1)
    white = np.asarray([0.95047, 1.0, 1.08883])
    xyz = np.asarray([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ rgb / white
    x, y, z = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.asarray([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("scheme", COLOURS)
@pytest.mark.parametrize("red_green_blind", [False, True])
def test_lines_are_told_apart_by_colour_or_by_mark(scheme, red_green_blind):
    seen = [_seen(colour, red_green_blind) for colour in COLOURS[scheme]]
    assert len(seen) == line_plots.COLOURS
    marks = [line_plots._shape(Series(label="", xs=[], ys=[], style=style)) for style in range(len(seen))]
    for i, j in itertools.combinations(range(len(seen)), 2):
        assert marks[i] != marks[j] or np.linalg.norm(seen[i] - seen[j]) > 10, (i, j)


def test_a_line_without_a_name_has_no_marks_of_its_own():
    path = Series(label="", xs=[0, 1], ys=[0, 1], style=7)
    assert '<path class="f8"' not in lines([path], Axes(x="", y=""))(WIDE)[0]


def test_the_legend_shows_the_mark_where_it_is_needed():
    def legend(style):
        inner = lines([Series(label="A", xs=[0, 1], ys=[0, 1], style=style, marks=True)], Axes(x="", y=""))(WIDE)[0]
        return inner[inner.rindex("<line") :]

    assert "<path" not in legend(0)
    assert '<path class="f1"' in legend(8)


@pytest.mark.parametrize(("value", "edge"), [(9.0, 760), (-9.0, 0)])
def test_an_interval_beyond_the_axis_points_to_where_it_lies(value, edge):
    """Both its arrows stand on the edge beyond which it is, and no mark claims a place on the axis."""
    row = Row(label="", value=value, low=value - 1, high=value + 1)
    inner, _ = forest([row], axis="", limits=(-4.0, 4.0))(760)
    arrows = re.findall(r'<path class="s1 line" d="M([\d.-]+) [\d.-]+L([\d.-]+)', inner)
    assert len(arrows) == 3
    for tail, tip in arrows:
        assert (float(tip) > float(tail)) == (value > 0)
        assert abs(float(tip) - edge) < 40
    assert "<circle" not in inner


def test_an_interval_on_the_axis_has_its_mark_and_one_arrow():
    inner, _ = forest([Row(label="", value=1.0, low=-9.0, high=2.0)], axis="", limits=(-4.0, 4.0))(760)
    ((tail, tip),) = re.findall(r'<path class="s1 line" d="M([\d.-]+) [\d.-]+L([\d.-]+)', inner)
    assert float(tip) < float(tail)
    assert inner.count("<circle") == 1
