"""Figures of a policy's evaluation, as SVG with text as text. They draw what was found and compute nothing."""

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from frl_algos.policy_reports.embedding_map import EmbeddingMap
from frl_env.evaluation.fairness.fairness_plots import COLOURS, svg

BARS = (("policy", "policy"), ("logged", "as logged"))


def evaluation_figures(
    actions: pd.DataFrame, values: pd.DataFrame | None, embeddings: EmbeddingMap | None, *, note: str
) -> dict[str, bytes]:
    """Figures by file name.

    Args:
        actions: Columns factor, level, policy, logged.
        values: Columns estimator, difference, difference low, difference high; None without.
        embeddings: Of the levels; None without.
        note: Above every figure.
    """
    with mpl.rc_context({"text.parse_math": False}):  # names of levels may hold dollar signs
        drawn = {"actions.svg": _actions(actions)}
        if values is not None:
            drawn["values.svg"] = _values(values)
        if embeddings is not None:
            drawn["embeddings.svg"] = _embeddings(embeddings)
        return {name: svg(figure, note) for name, figure in drawn.items()}


def _actions(actions: pd.DataFrame) -> Figure:
    factors = list(dict.fromkeys(actions["factor"]))
    heights = [int((actions["factor"] == factor).sum()) for factor in factors]
    inches = 0.28 * sum(heights) + 0.8 * len(factors)
    figure = Figure(figsize=(7, inches))
    # Placed by hand: with several panels the automatic layout differs from run to run in the last bits.
    figure.subplots_adjust(left=0.27, right=0.97, top=1 - 0.6 / inches, bottom=0.6 / inches, hspace=0.25)
    panels = figure.subplots(len(factors), 1, squeeze=False, height_ratios=heights)[:, 0]
    for axes, factor in zip(panels, factors, strict=True):
        own = actions[actions["factor"] == factor]
        for number, (column, label) in enumerate(BARS):
            places = [row + 0.38 * number - 0.19 for row in range(len(own))]
            axes.barh(places, np.nan_to_num(own[column]), height=0.36, color=COLOURS[number], label=label)
        axes.set_yticks(range(len(own)), list(own["level"]), fontsize="x-small")
        axes.invert_yaxis()
        axes.set_xscale("symlog", linthresh=1e-3)
        axes.set_xlim(0, 1)
        axes.set_title(factor, fontsize="small", loc="left")
    panels[0].legend(fontsize="small", loc="lower right")  # below the bar of doing nothing; "best" is slow, and warns
    panels[-1].set_xlabel("share of weeks (logarithmic above 0.001)")
    return figure


def _values(values: pd.DataFrame) -> Figure:
    shown = values[values["difference"].notna()]
    figure = Figure(figsize=(7, 1.2 + 0.26 * len(shown)), layout="constrained")
    axes = figure.subplots()
    rows = range(len(shown))
    axes.hlines(rows, shown["difference low"], shown["difference high"], color=COLOURS[0])
    axes.plot(shown["difference"], rows, "o", markersize=4, color=COLOURS[0])
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_yticks(rows, list(shown["estimator"]), fontsize="small")
    axes.invert_yaxis()
    reach = max(1.15 * max((abs(float(change)) for change in shown["difference"]), default=0.0), 1e-12)
    axes.set_xlim(-reach, reach)  # wider intervals are cut off: drawn in full they would hide all others
    axes.set_xlabel("estimated value less that of the logged decisions, 95% interval, cut off at the edges")
    return figure


def _embeddings(embeddings: EmbeddingMap) -> Figure:
    figure = Figure(figsize=(7, 6), layout="constrained")
    axes = figure.subplots()
    for number, (factor, own) in enumerate(embeddings.table.groupby("factor", sort=False)):
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(own["x"], own["y"], "o", markersize=5, color=colour, label=str(factor))
        for level, x, y in zip(own["level"], own["x"], own["y"], strict=True):
            axes.annotate(level, (x, y), xytext=(4, 2), textcoords="offset points", fontsize=6, color=colour)
    first, second = embeddings.explained
    axes.set_xlabel(f"first principal component ({first:.0%} of the variance)")
    axes.set_ylabel(f"second ({second:.0%})")
    figure.legend(fontsize="small", loc="outside right upper")
    return figure
