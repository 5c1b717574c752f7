"""What the estimate of the leading policy hangs on, in one figure: a row an analysis; where the conclusion turns."""

from functools import partial
from typing import Any

import pandas as pd

from benchmarks.charts.forest import Row, forest
from benchmarks.sweep_report.document import Figure, Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults
from frl_env.evaluation.sensitivity.turning import BASE, turning_points, turning_sentence

KINDS = (("WDR clip ", "cut-off"), ("WIS clip ", "cut-off"), ("MDR", "memory"), ("MIS", "memory"))
"""How names of estimators begin, and what these vary."""

OWN = (("propensities",), ("hidden confounding",), ("run-out", "reward"))
"""Kinds of rows by estimators of their own, on some of the members; in the first row of each nothing is varied."""

NUMBERS = ("difference", "low", "high")

WIDEST = 4.0
"""Times as far from 0 as the headline's interval: what lies further is drawn on the edge."""


def assumptions(results: SweepResults) -> Section:
    """The section; without off-policy estimates it says why there is none."""
    section = partial(Section, anchor="assumptions", title="What the estimate hangs on")
    found = _leading_estimate(results)
    if found is None:
        return section(missing=words("assumptions", "nothing"))
    table = analyses(found)
    turned = turning_points(table, OWN)
    base = table.iloc[0]
    reach = WIDEST * max(abs(base["low"]), abs(base["high"]), 1e-12)
    rows = [each | {"turns": each["setting"] in turned.get(each["what"], ())} for each in table.to_dict("records")]
    name = f"{results.name(results.leading)}, seed {found['seed']}"
    told = () if found.get("headline") else (words("assumptions", "withheld"),)
    figure = Figure(
        title=words("assumptions", "title", policy=name),
        description=words("assumptions", "description", rows=len(table), behaviour=results.behaviour),
        draw=forest(_drawn(rows), axis=results.gained, lines=[(0.0, results.behaviour)], limits=(-reach, reach)),
        table=Table(
            name="assumptions",
            caption=words("assumptions", "caption", policy=name),
            columns=columns_of("what | setting | difference:+.4f | low:+.4f | high:+.4f | turns"),
            rows=[(r["what"], r["setting"], _estimate(r), r["low"], r["high"], r["turns"]) for r in rows],
        ),
        notes=(words("assumptions", "note"),),
    )
    return section(text=(*told, turning_sentence(table, turned, OWN), words("assumptions", "beyond")), parts=(figure,))


def _drawn(rows: list[dict[str, Any]]) -> list[Row]:
    """A heading for each kind of analysis, and under it its rows; those that turn the conclusion in another colour."""
    drawn, heading = [], ""
    for each in rows:
        if each["what"] != heading:
            heading = each["what"]
            drawn.append(Row(label=heading))
        drawn.append(
            Row(
                label=each["setting"],
                value=_estimate(each),
                low=each["low"],
                high=each["high"],
                colour=2 if each["turns"] else 1,
                said=_said(each),
            )
        )
    return drawn


def _estimate(row: dict[str, Any]) -> float | None:
    """A row's difference; None where it has bounds only."""
    return None if pd.isna(row["difference"]) else row["difference"]


def _leading_estimate(results: SweepResults) -> dict[str, Any] | None:
    """An estimate of the leading policy: without a truth that of the seed by which it leads, else of the first."""
    own = [e for e in results.card["ope"] if (e["algo"], e["mode"]) == results.leading and e.get("results")]
    told = [] if results.has_truth else [entry for entry in own if entry.get("headline")]
    if told:
        return max(told, key=lambda entry: entry["headline"]["difference"])
    return own[0] if own else None


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
    rows += [_row("estimator", name, each) for name, each in others.items()]
    return pd.DataFrame([*rows, *_varied(entry.get("sensitivity"))])


def _varied(found: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What no other estimate varies: the kinds of `OWN` together, as evaluated first."""
    if not found:
        return []
    kept = {what: [row for row in found["rows"] if row["what"] == what] for kinds in OWN for what in kinds}
    base = next(row for row in found["rows"] if row["what"] == BASE)
    kept["propensities"].insert(0, base | {"what": "propensities", "setting": f"as they are, by {base['setting']}"})
    return [{key: row[key] for key in ("what", "setting", *NUMBERS)} for rows in kept.values() for row in rows]


def _said(row: dict[str, Any]) -> str:
    """A row's number in words; of bounds the limits."""
    bounds = pd.isna(row["difference"])
    told = f"{row['low']:+.2f} to {row['high']:+.2f}" if bounds else f"{row['difference']:+.3f}"
    return told.replace("-", "\N{MINUS SIGN}")


def _row(what: str, setting: str, result: dict[str, Any]) -> dict[str, Any]:
    limits = result["difference_interval"]
    return {
        "what": what,
        "setting": setting,
        "difference": result["difference"],
        "low": limits["low"],
        "high": limits["high"],
    }
