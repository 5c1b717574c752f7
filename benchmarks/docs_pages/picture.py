"""Draws README's picture, gain over the care team against staff minutes, from the leaderboard's numbers.

python benchmarks/docs_pages/picture.py            part of make pages
python benchmarks/docs_pages/picture.py --check    part of make lint
"""

import sys

sys.path.insert(0, __file__.rpartition("benchmarks")[0])

import benchmarks  # isort: skip  # noqa: F401 - first of all: Ctrl-C while the rest is imported is one line

import hashlib
import io
import re
from collections.abc import Sequence

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Plot

from benchmarks.command_line import Parser
from benchmarks.result_records.code_key import ROOT
from benchmarks.result_records.figures import Figure, read_figure
from frl_env.errors import UserError
from frl_env.terminal import run_or_say, write_atomically

PICTURE = ROOT / "docs" / "figures" / "minutes.svg"
LINES = (
    ("v0x5 best_record_and_contacts", "best rule, found on the simulator", "#6b7280", "--"),
    ("v0x5 risk_ranking_history gains", "risk ranking, told its contacts", "#b45309", "-"),
    ("v0x5 factored_awr_same_contacts stochastic", "FactoredAWR, told the same", "#1d4ed8", "-"),
    ("v0x5 factored_awr stochastic", "FactoredAWR", "#60a5fa", "-"),
    ("v0x5 risk_ranking_team_contacts gains", "risk ranking, the team's contacts", "#f59e0b", "-"),
    ("v0x5 random", "random", "#9ca3af", "--"),
)
"""Rows of the leaderboard, what to call them, colour and dash."""

SIZE = (5.5, 4.4)
"""Inches; of the same form as the worklist beside it, at half the width of a page."""

MADE_FROM = re.compile(r"<!-- made from ([0-9a-f]{16}) -->")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draws the picture, or with `--check` says whether it is of today's numbers."""
    parser = Parser(description="README's picture.")
    parser.add_argument("--check", action="store_true", help="write nothing; an error where the numbers are others")
    options = parser.parse_args(arguments)
    figure = read_figure("leaderboard")
    made_from = hashlib.sha256(repr(_points(figure)).encode()).hexdigest()[:16]
    if not options.check:
        write_atomically(PICTURE, f"{draw(figure)}<!-- made from {made_from} -->\n")
        return
    # The numbers are compared, not the bytes: another Matplotlib draws the same a little differently.
    there = MADE_FROM.search(PICTURE.read_text()) if PICTURE.exists() else None
    if there is None or there[1] != made_from:
        raise UserError("docs/figures/minutes.svg shows other numbers than the leaderboard; make pages draws it anew")


def _points(figure: Figure) -> list[tuple[str, str, str, list[tuple[float, float, float, float]]]]:
    """Minutes, gain and its limits of every line."""
    found = []
    for row_name, label, colour, dash in LINES:
        row = figure.row(row_name)
        budgets = [(float(str(row["minutes"])), "")]
        budgets += [(float(key[3:-5]), key[:-4]) for key in row if re.fullmatch(r"at_[\d.]+_gain", key)]
        points = [
            (minutes, *(float(str(row[f"{before}{part}"])) for part in ("gain", "low", "high")))
            for minutes, before in sorted(budgets)
            if row[f"{before}gain"] is not None
        ]
        found.append((label, colour, dash, points))
    return found


def draw(figure: Figure) -> str:
    """The picture as SVG; the same numbers give the same bytes with the same Matplotlib."""
    with matplotlib.rc_context({"svg.hashsalt": "frl", "font.size": 10, "svg.fonttype": "none"}):
        plot = Plot(figsize=SIZE, layout="constrained")
        axes = plot.add_subplot()
        team = float(str(figure.row(LINES[0][0])["minutes"]))
        axes.axhline(0, color="#111827", linewidth=0.8)
        axes.axvline(team, color="#111827", linewidth=0.8, linestyle=":")
        axes.annotate("the care team's own", (team, axes.get_ylim()[0]), xytext=(4, 4), textcoords="offset points")
        for label, colour, dash, points in _points(figure):
            minutes, gains, lows, highs = zip(*points, strict=True)
            errors = [[g - low for g, low in zip(gains, lows, strict=True)],
                      [high - g for g, high in zip(gains, highs, strict=True)]]  # fmt: skip
            axes.errorbar(minutes, gains, errors, label=label, color=colour, linestyle=dash, marker="o", markersize=3.5)
        axes.set_xlabel("staff minutes a member and week")
        axes.set_ylabel("events avoided a member and year,\nbeyond the care team")
        axes.spines[["top", "right"]].set_visible(False)
        plot.legend(loc="outside lower center", ncols=2, frameon=False, fontsize=9, columnspacing=1.2)
        out = io.StringIO()
        FigureCanvasSVG(plot).print_svg(out, metadata={"Date": None, "Creator": None})
    return out.getvalue().replace("<svg ", '<svg style="background: white" ', 1)


if __name__ == "__main__":
    run_or_say(main)
