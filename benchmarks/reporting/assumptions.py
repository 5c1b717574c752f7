"""What the estimate of the leading policy hangs on, in one figure: a row an analysis; where the conclusion turns."""

from typing import Any

import pandas as pd

from benchmarks.drawing.forest import Row, forest
from benchmarks.reporting.document import Figure, Section, Table, columns_of
from benchmarks.reporting.sweep_results import SweepResults
from benchmarks.reporting.words import words
from frl_env.evaluation.turning import BASE, turning_points, turning_sentence

KINDS = (("WDR clip ", "cut-off"), ("WIS clip ", "cut-off"), ("MDR", "memory"), ("MIS", "memory"))
"""How names of estimators begin, and what these vary."""

WIDEST = 4.0
"""Times as far from 0 as the headline's interval: what lies further is drawn on the edge."""


def assumptions(results: SweepResults) -> Section:
    """The section; without off-policy estimates it says why there is none."""
    section = Section(anchor="assumptions", title="What the estimate hangs on")
    found = next(
        (e for e in results.card["ope"] if (e["algo"], e["mode"]) == results.leading and e.get("results")), None
    )
    if found is None:
        return Section(anchor=section.anchor, title=section.title, missing=words("assumptions", "nothing"))
    table = analyses(found)
    turned = turning_points(table)
    base = table.iloc[0]
    reach = WIDEST * max(abs(base["low"]), abs(base["high"]), 1e-12)
    rows, heading = [], ""
    for each in table.to_dict("records"):
        if each["what"] != heading:
            heading = each["what"]
            rows.append(Row(label=heading))
        rows.append(
            Row(
                label=each["setting"],
                value=each["difference"],
                low=each["low"],
                high=each["high"],
                colour=2 if each["setting"] in turned.get(heading, ()) else 1,
                said=f"{each['difference']:+.3f}".replace("-", "\N{MINUS SIGN}"),
            )
        )
    name = results.name(results.leading)
    figure = Figure(
        title=words("assumptions", "title", policy=name),
        description=words("assumptions", "description", rows=len(table)),
        draw=forest(rows, axis="events avoided a member", lines=[(0.0, "the care team")], limits=(-reach, reach)),
        table=Table(
            name="assumptions",
            caption=words("assumptions", "caption", policy=name),
            columns=columns_of("what | setting | difference:+.4f | low:+.4f | high:+.4f | turns"),
            rows=[
                (
                    r["what"],
                    r["setting"],
                    r["difference"],
                    r["low"],
                    r["high"],
                    r["setting"] in turned.get(r["what"], ()),
                )
                for r in table.to_dict("records")
            ],
        ),
        notes=(words("assumptions", "note"),),
    )
    return Section(
        anchor=section.anchor,
        title=section.title,
        text=(f"{turning_sentence(table, turned)}", words("assumptions", "beyond")),
        parts=(figure,),
    )


def analyses(entry: dict[str, Any]) -> pd.DataFrame:
    """A policy's estimates as rows: what is varied, and how; the headline's estimator first.

    Args:
        entry: Of the scorecard's `ope`.
    """
    chosen = entry["headline_estimator"]
    rows = [_row(BASE, chosen, entry["results"][chosen])]
    others = {name: each for name, each in entry["results"].items() if name != chosen}
    for start, what in KINDS:
        for name in [name for name in others if name.startswith(start)]:
            rows.append(_row(what, name, others.pop(name)))
    return pd.DataFrame([*rows, *(_row("estimator", name, each) for name, each in others.items())])


def _row(what: str, setting: str, result: dict[str, Any]) -> dict[str, Any]:
    limits = result["difference_interval"]
    return {
        "what": what,
        "setting": setting,
        "difference": result["difference"],
        "low": limits["low"],
        "high": limits["high"],
    }
