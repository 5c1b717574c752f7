"""The words of the report are in templates, each used, each filled."""

import ast
import re
from pathlib import Path

import jinja2
import pytest
from jinja2 import meta

from benchmarks.sweep_report import doubts, sentence_templates
from benchmarks.sweep_report.document import Column, Report, Section, Table
from benchmarks.sweep_report.page import page
from benchmarks.sweep_report.spending import spending
from benchmarks.sweep_report.sweep_results import SweepResults

FOLDER = Path(sentence_templates.__file__).parent
BLOCK = re.compile(r"{% block (\w+) %}(.*?){% endblock %}", flags=re.DOTALL)
CHOSEN = {
    "doubts": {*doubts.SIMULATED, *doubts.RECORDED, "no_commit", "changed"},
    "summary": {"better", "worse", "undecided"},
    "contents": {"simulated", "recorded"},
    "budgets": {"no_team", "no_budget", "no_simulator"},
}
"""Blocks whose names are not written where they are asked for."""

SAYING = {"words", "named", "say"}


def _blocks() -> dict[str, dict[str, set[str]]]:
    """Names of what each block is filled with, by template and block."""
    parse = jinja2.Environment().parse
    return {
        file.stem: {name: meta.find_undeclared_variables(parse(text.replace("| f(", "| format("))) for name, text in
                    BLOCK.findall(file.read_text())}
        for file in sentence_templates.FOLDER.glob("*.txt")
    }  # fmt: skip


def _calls() -> list[tuple[str, str, set[str | None]]]:
    """Template, block and names given, of every call that says both."""
    found = []
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in SAYING:
                named = [arg.value for arg in node.args if isinstance(arg, ast.Constant)]
                given = {keyword.arg for keyword in node.keywords}
                if getattr(node.func, "id", "") == "say":
                    found.append(("doubts", named[0], given | {"policy", "limits"}))
                elif len(named) == 2:
                    found.append((*named, given))
    return found


def test_every_sentence_that_is_asked_for_is_there_and_is_given_its_facts():
    blocks = _blocks()
    assert len(_calls()) > 60
    for section, block, given in _calls():
        assert block in blocks[section], f"{section}.txt has no {block}"
        if None not in given:
            assert blocks[section][block] <= given, f"{section}.{block} lacks {blocks[section][block] - given}"


def test_no_sentence_is_dead():
    asked = {(section, block) for section, block, _ in _calls()}
    asked |= {(section, block) for section, chosen in CHOSEN.items() for block in chosen}
    assert {(section, block) for section, each in _blocks().items() for block in each} == asked


def test_what_is_filled_in_is_escaped_on_the_page_and_stays_as_it_is_in_words():
    said = sentence_templates.words("behaviour", "factors_title", policy="<b>A & B</b>", seed=1, behaviour="them")
    assert said == "<b>A & B</b>, seed 1, against them"
    table = Table(name="t", caption="<i>`x<y`</i>", columns=(Column("<u>"), Column("n", ".1f")), rows=[("<s>", 1.0)])
    section = Section(anchor="a", title=said, text=("<script>",), parts=(table,), missing="<q>")
    shown = page(
        Report(title="<t>", subtitle="", warning="", sections=(section,), facts=(("<n>", "<v>"),)), files="<f>"
    )
    for raw in ("<b>", "<i>", "<u>", "<s>", "<q>", "<t>", "<n>", "<v>", "<f>", "<script>"):
        assert raw not in shown, raw
    assert "&lt;i&gt;<code>x&lt;y</code>&lt;/i&gt;" in shown
    assert '<td class="n">1.0</td>' in shown


def test_a_fact_that_is_not_given_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="seed"):
        sentence_templates.words("behaviour", "factors_title", policy="A")


def test_whose_contacts_are_told_is_said():
    """The care team's are of the members trained on, a policy's of others: their shares differ for that alone."""
    logged = {"contacts_per_week": 0.1, "effort_minutes_per_week": 2.0, "by_level": {}}
    said = spending(SweepResults(card={"dataset": "own/care-v0", "runs": [], "logged": logged})).text[-1]
    assert "The care team's numbers are of own/care-v0, which the policies learned from." in said
    assert "in the weeks of members whom it did not learn from" in said
    assert "told in steps of 20" in said
