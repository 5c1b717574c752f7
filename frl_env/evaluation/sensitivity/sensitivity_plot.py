"""All that an estimate hangs on in one figure: a row a setting, with the interval of the difference to behaviour."""

import matplotlib as mpl
from matplotlib.figure import Figure

from frl_env.evaluation.fairness.fairness_plots import COLOURS, svg
from frl_env.evaluation.sensitivity.assumptions import Sensitivity

HEIGHT = 0.24
"""Inches a row."""


def sensitivity_figure(found: Sensitivity, *, note: str) -> bytes:
    """The figure, as SVG. Rows with another conclusion than the row they are compared with are drawn in red.

    Args:
        found: What to draw.
        note: Above the figure.
    """
    with mpl.rc_context({"text.parse_math": False}):  # names of parts of the reward may hold dollar signs
        return svg(_drawn(found), note)


def _drawn(found: Sensitivity) -> Figure:
    rows = found.table.reset_index(drop=True)
    turned = {(what, setting) for what, settings in found.turning.items() for setting in settings}
    figure = Figure(figsize=(7.5, 1.4 + HEIGHT * len(rows)), layout="constrained")
    axes = figure.subplots()
    for place, row in rows.iterrows():
        colour = COLOURS[1] if (row["what"], row["setting"]) in turned else COLOURS[0]
        axes.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.2)
        ends = [row.get("lowest"), row.get("highest")]
        if ends[0] == ends[0] and ends[0] is not None:  # bounds: no single estimate
            axes.plot(ends, [place, place], color=colour, linewidth=4, alpha=0.5, solid_capstyle="butt")
        else:
            axes.plot(row["difference"], place, "o", markersize=4, color=colour)
    axes.axvline(0, color="black", linewidth=0.8)
    names = [f"{what}: {setting}" for what, setting in zip(rows["what"], rows["setting"], strict=True)]
    axes.set_yticks(range(len(rows)), names, fontsize="x-small")
    axes.invert_yaxis()
    base = rows.iloc[0]
    reach = 4 * max(abs(base["low"]), abs(base["high"]), 1e-12)
    axes.set_xlim(-reach, reach)  # bounds can be so wide that all else would be a dot
    axes.set_xlabel("difference to behaviour, 95% interval, cut off at the edges; red: turns the conclusion")
    return figure
