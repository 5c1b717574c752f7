"""The page of a conversion's report, from figures as they are told."""

from pathlib import Path

import pytest

pytest.importorskip("jinja2")

from frl_env.events_to_weeks import MemberWeeks, Rules
from frl_env.events_to_weeks.report import write_page

TOLD = {"2024-01": 1_760, "2024-02": None, "2024-03": 40}


def _page(rows: dict, file: Path) -> str:
    figures = {name: {} for name in ("enrolment", "claims", "events", "contacts", "rows")}
    figures |= {
        "months": {"rows in force": rows},
        "response": {"after_attempt": 0.31, "without_attempt": 0.05, "warnings": []},
    }
    spec = {"simulated": False, "rules": Rules().facts()}
    facts = {"spec": spec, "figures": figures, "complete_through": "2024-02-20"}
    write_page(MemberWeeks(path=None, facts=facts), file)
    return file.read_text()


def test_a_month_that_is_not_told_does_not_look_empty(tmp_path):
    page = _page(TOLD, tmp_path / "report.html")
    assert page.count(">?</text>") == 1
    assert "Months with ? are not shown" in page


def test_where_all_months_are_told_nothing_is_said_of_others(tmp_path):
    page = _page(TOLD | {"2024-02": 1_700}, tmp_path / "report.html")
    assert "?</text>" not in page
    assert "Months with ?" not in page
