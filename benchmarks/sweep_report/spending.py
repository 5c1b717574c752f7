"""Contacts and staff minutes by level: what the care team spent, and what each policy would ask for."""

from typing import Any

from benchmarks.sweep.scorecard_tables import is_of_care, logged_sentence
from benchmarks.sweep_report.document import Section, Table, columns_of
from benchmarks.sweep_report.sentence_templates import words
from benchmarks.sweep_report.sweep_results import SweepResults


def spending(results: SweepResults) -> Section:
    """What contacts cost, on the members whose weeks are known."""
    logged = results.card.get("logged")
    if logged is None:
        return Section(anchor="spending", title="Contacts and staff minutes", missing=words("contents", "no_spending"))
    rows = _rows(f"{results.behaviour_column}, as logged", logged)
    for entry in results.details:
        for mode, said in entry.get("modes", {}).items():
            if spent := said.get("spent"):
                rows += _rows(f"{results.name((entry['algo'], mode))}, seed {entry['seed']}", spent)
    care = is_of_care(results.card)
    text = [logged_sentence(logged, of_care=care)]
    if care and logged["effort_minutes_per_week"] is None:
        text.append(words("contents", "no_minutes"))
    return Section(
        anchor="spending",
        title="Contacts and staff minutes",
        text=(*text, words("contents", "asked", dataset=results.card["dataset"], behaviour=results.behaviour)),
        parts=(
            Table(
                name="contacts_and_minutes",
                caption=words("contents", "spending"),
                columns=columns_of("who | factor | level | contacts:.4f | minutes:.3f"),
                rows=rows,
            ),
        ),
    )


def _rows(who: str, spent: dict[str, Any]) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = [
        (who, "all", "any contact", spent["contacts_per_week"], spent["effort_minutes_per_week"])
    ]
    for factor, levels in spent["by_level"].items():
        rows += [
            (who, factor, level, each["contacts_per_week"], each["minutes_per_week"]) for level, each in levels.items()
        ]
    return rows
