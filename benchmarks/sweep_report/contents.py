"""The whole report of a sweep, section by section, and as files.

It tells one story: what is gained in the team's own minutes, who gets it, what it is worth, and why not to trust it.
What the policy does in detail comes after that.
"""

import csv
import io
import json
from typing import Any

from benchmarks.sweep.scorecard_tables import is_of_care
from benchmarks.sweep_report.assumptions import assumptions
from benchmarks.sweep_report.behaviour import by_factor, by_state, embeddings
from benchmarks.sweep_report.budgets import budgets, who
from benchmarks.sweep_report.document import Report, Section, Table
from benchmarks.sweep_report.doubts import doubts
from benchmarks.sweep_report.evidence import clip_sweep, effective_members
from benchmarks.sweep_report.fairness import fairness
from benchmarks.sweep_report.provenance import assumed, provenance
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.spending import spending
from benchmarks.sweep_report.summary import summary
from benchmarks.sweep_report.sweep_results import SweepResults
from benchmarks.sweep_report.value_section import curves, profile, values
from frl_env.files.spreadsheets import plain_cell


def report_of(results: SweepResults, *, command: str) -> Report:
    """The report.

    Args:
        results: Of a sweep.
        command: That makes it.
    """
    card = results.card
    simulated = results.has_truth
    facts = [("Dataset", card["dataset"]), ("Policies", str(len(results.policies))), ("Seeds", str(len(results.seeds)))]
    if simulated:
        facts.append(("Evaluation members", f"{card['eval_members']:,}"))
    facts += [
        ("Data SHA-256", str(card.get("dataset_sha256") or "no hash")[:12]),
        ("Commit", str(card.get("commit") or "none")[:12]),
    ]
    sections = (
        summary(results),
        budgets(results),
        who(results),
        fairness(results),
        values(results),
        doubts(results),
        effective_members(results),
        clip_sweep(results),
        assumptions(results),
        spending(results),
        by_factor(results),
        by_state(results),
        embeddings(results),
        curves(results),
        profile(results),
        assumed(results),
    )
    return Report(
        title="What was learned, and what it is worth",
        subtitle=words(
            "contents", "subtitle", dataset=card["dataset"], policies=len(results.policies), seeds=len(results.seeds)
        ),
        warning=words("contents", "simulated" if simulated else "recorded", care=is_of_care(card)),
        facts=tuple(facts),
        sections=(*_with_content(sections), provenance(results, command)),
    )


def _with_content(sections: tuple[Section, ...]) -> tuple[Section, ...]:
    """Sections that show something; at the end, in one, which don't and why."""
    empty = [section for section in sections if not (section.parts or section.points or section.text)]
    shown = tuple(section for section in sections if section not in empty)
    if not empty:
        return shown
    points = tuple((section.title, section.missing) for section in empty)
    return (*shown, Section(anchor="left-out", title="What is not shown, and why", points=points))


def data_files(report: Report) -> dict[str, str]:
    """Every number of the report by file name: a CSV a table, and all of them as one JSON file."""
    tables = [table for section in report.sections for table in section.tables]
    files = {f"{table.name}.csv": _csv(table) for table in tables}
    everything: dict[str, Any] = {
        table.name: {
            "caption": table.caption,
            "columns": [c.name for c in table.columns],
            "rows": [*map(list, table.rows)],
        }
        for table in tables
    }
    return files | {"report.json": json.dumps(everything, indent=1, allow_nan=False, ensure_ascii=False) + "\n"}


def _csv(table: Table) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in table.columns])
    writer.writerows(["" if value is None else plain_cell(value) for value in row] for row in table.rows)
    return text.getvalue()
