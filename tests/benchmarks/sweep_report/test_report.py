"""The report page: what it shows, and what it must not show."""

import csv
import html
import json
import re
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
from report_files import alter, written

from benchmarks.result_records.code_key import ROOT
from benchmarks.sweep_report import evidence
from benchmarks.sweep_report.contents import report_of
from benchmarks.sweep_report.document import Figure
from benchmarks.sweep_report.markdown import markdown
from benchmarks.sweep_report.page import page
from benchmarks.sweep_report.sweep_results import read_results

pytestmark = pytest.mark.usefixtures("one_thread")

ANCHORS = [
    "summary", "budgets", "who", "fairness", "values", "doubts", "effective", "clip", "spending", "factors", "needs",
    "embeddings", "learning", "assumed", "left-out", "provenance",
]  # fmt: skip
"""Of one seed: there is no profile, and the last but one says so."""


def _table(folder, name):
    with (folder / f"{name}.csv").open() as lines:
        return list(csv.DictReader(lines))


class _Outline(HTMLParser):
    """Headings' sections, tags, links and identifiers of a page; complains about tags that don't match."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _outline(text):
    outline = _Outline()
    outline.feed(text)
    assert not outline.open
    return outline


def test_sections_come_in_order_and_the_summary_sends_to_the_doubts(results):
    text, twin, _ = written(results)
    outline = _outline(text)
    assert [a["id"] for tag, a in outline.attributes if tag == "section"] == ANCHORS
    summary = text[text.index('id="summary"') : text.index('id="budgets"')]
    assert "Why not to trust this" in summary, "what stands in the way is named before any figure"
    assert len(re.findall(r"(?m)^## ", twin)) == len(ANCHORS)
    assert "Simulated members. Not to guide care." in text
    assert "Simulated members. Not to guide care." in twin


def test_the_page_needs_no_network_and_no_script(results):
    text, _, _ = written(results)
    outline = _outline(text)
    assert not {"script", "img", "iframe", "object", "embed"} & set(outline.tags)
    links = [value for _, a in outline.attributes for name, value in a.items() if name in ("href", "src")]
    assert all(link.startswith(("#", "data:,")) for link in links)
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert len(text.encode()) < 5 * 2**20


def test_every_figure_has_names_and_a_table(results):
    text, _, folder = written(results)
    outline = _outline(text)
    names = [a.get("id") for _, a in outline.attributes if a.get("id")]
    assert len(names) == len(set(names))
    drawings = [a for tag, a in outline.attributes if tag == "svg"]
    assert len(drawings) == 2 * outline.tags.count("figure") > 10
    for drawing in drawings:
        assert drawing["role"] == "img"
        assert set(drawing["aria-labelledby"].split()) <= set(names)
    for figure in re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL):
        assert figure.count("<desc") == 2
        assert "<details>" in figure
        assert figure.count("</table>") == 1
    everything = json.loads((folder / "report.json").read_text())
    assert {f"{name}.csv" for name in everything} == {file.name for file in folder.glob("*.csv")}
    for table in everything.values():
        assert len(table["columns"]) == len(set(table["columns"]))
        assert all(len(row) == len(table["columns"]) for row in table["rows"])
    for table in (a for tag, a in outline.attributes if a.get("class") == "scroll"):
        assert table["tabindex"] == "0"
        assert table["aria-labelledby"] in names


def test_numbers_are_those_of_the_results(results):
    _, _, folder = written(results)
    card = json.loads((results / "scorecard.json").read_text())
    details = json.loads((results / "details.json").read_text())
    shown = {row["policy"]: row for row in _table(folder, "true_values")}
    for entry in card["summary"]:
        row = shown[f"{entry['label']}, {entry['mode']}"]
        assert float(row["difference"]) == entry["difference_to_behaviour"]
        assert [float(row["low"]), float(row["high"])] == entry["interval"]
    assert float(shown["hand-written rule"]["difference"]) == card["references"]["heuristic"]["difference_to_behaviour"]
    own = next(entry for entry in details if entry["algo"] == "factored_awr")
    weights = own["modes"]["greedy"]["weights"]
    weekly = [
        float(row["effective share"])
        for row in _table(folder, "effective_members_by_week")
        if row["policy"] == "FactoredAWR, greedy"
    ]
    assert weekly == weights["by_week"]["cumulative"]
    factors = [row for row in _table(folder, "all_policies_by_factor") if row["policy"] == "FactoredAWR, greedy"]
    assert [(row["level"], float(row["share"])) for row in factors] == [
        (row["level"], row["policy"]) for row in own["modes"]["greedy"]["by_factor"]
    ]
    points = [row for row in _table(folder, "learning_curves") if row["algorithm"] == "FactoredAWR"]
    assert [float(p["difference"]) for p in points] == [p["watched"]["difference"] for p in own["curve"]]
    assert len(_table(folder, "embeddings")) == 31


def test_a_changed_number_changes_the_drawing(results):
    before = written(results)[0]
    alter(results / "scorecard.json", lambda card: card["summary"][0].update(interval=[-0.5, 0.5]))
    after = written(results)[0]
    assert _figure(before, "Events avoided") != _figure(after, "Events avoided")
    assert "can't be told apart from the care team" in html.unescape(after)


def _figure(text, title):
    return next(f for f in re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL) if title in f)


@pytest.mark.parametrize(
    ("interval", "said"),
    [([0.01, 0.2], "fewer ED visits"), ([-0.2, -0.01], "best policy is worse"), ([-0.1, 0.1], "told apart")],
)
def test_the_summary_says_what_the_interval_says(results, interval, said):
    def change(card):
        card["summary"][0].update(interval=interval, difference_to_behaviour=sum(interval) / 2)

    alter(results / "scorecard.json", change)
    text = written(results)[1]
    assert said in text[: text.index("## Why not to trust this")]


def test_the_same_results_give_the_same_bytes(results, tmp_path):
    first = written(results)
    kept = {file.name: file.read_bytes() for file in first[2].iterdir()}
    second = written(results)
    assert first[:2] == second[:2]
    assert kept == {file.name: file.read_bytes() for file in second[2].iterdir()}
    assert str(tmp_path) not in first[0] + first[1]


def test_strange_names_are_text(results):
    strange = 'a<script>alert("&")</script> | `b` *c*'
    for name in ("scorecard.json", "details.json"):
        file = results / name
        file.write_text(file.read_text().replace('"FactoredAWR"', json.dumps(strange)))
    text, twin, _ = written(results)
    _outline(text)
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "<script" not in twin.replace("\\<script", "")
    for line in twin.splitlines():  # a pipe in a name opens no column
        if line.startswith("| a\\<script"):
            assert " \\| " in line


def test_older_results_say_what_is_missing_and_why(results):
    (results / "details.json").unlink()
    text, twin, folder = written(results)
    absent = ("effective", "clip", "factors", "needs", "embeddings", "learning")
    anchors = [a["id"] for tag, a in _outline(text).attributes if tag == "section"]
    assert anchors == [anchor for anchor in ANCHORS if anchor not in absent]
    left_out = re.search(r'<section id="left-out".*?</section>', text, flags=re.DOTALL)
    assert left_out is not None
    assert left_out[0].count("written before runs kept it") == len(absent)
    assert "Need by action" in left_out[0]
    assert "written before runs kept it" in twin
    assert (folder / "true_values.csv").exists()
    assert not (folder / "clip_sweep.csv").exists()


def test_estimates_stand_beside_the_truth(results):
    def change(card):
        headline = {"difference": 0.02, "difference_interval": {"low": -0.1, "high": 0.15}}
        card["ope"] = [
            {"algo": "factored_awr", "seed": 0, "mode": "greedy", "headline": headline, "headline_estimator": "SNM"},
            {
                "algo": "factored_awr",
                "seed": 0,
                "mode": "stochastic",
                "headline": None,
                "sentence": "No headline: thin.",
            },
        ]

    alter(results / "scorecard.json", change)
    text, _, folder = written(results)
    rows = _table(folder, "estimated_values")
    card = json.loads((results / "scorecard.json").read_text())
    true = {row["mode"]: row["difference_to_behaviour"] for row in card["runs"] if row["budget"] == "none"}
    assert {float(row["truth"]) for row in rows} == set(true.values())
    assert {row["difference"] for row in rows} == {"0.02", ""}
    assert any(row["why it is withheld"] == "No headline: thin." for row in rows)
    assert "withheld" in _figure(text, "beside the truth")


def test_fairness_and_frontier_are_drawn_where_they_are(results):
    measured = {
        (entry["mode"], group["group"]): group["value"]
        for entry in json.loads((results / "scorecard.json").read_text())["fairness"]
        for group in entry.get("groups", ())
        if entry["algo"] == "factored_awr" and group["measure"] == "high_touch"
    }
    mode = read_results(results).leading[1]
    first = written(results)[2]
    assert measured
    assert {row["group"]: float(row["value"]) for row in _table(first, "fairness_by_group")} == {
        group: value for (own, group), value in measured.items() if own == mode
    }
    alter(results / "scorecard.json", lambda card: card.pop("fairness"))
    assert "no fairness audit" in written(results)[0]
    group = {"attribute": "gender", "group": "FEMALE", "members": 40, "measure": "high_touch"}
    audit = {
        "groups": [group | {"value": 0.3, "low": 0.2, "high": 0.4}],
        "withheld": [{"attribute": "gender", "group": "MALE", "why": "too few"}],
        "gaps": [{"attribute": "gender", "measure": "high_touch", "first": "FEMALE", "second": "MALE"}
                 | {"difference": 0.1, "low": 0.0, "high": 0.2}],
    }  # fmt: skip
    leading = read_results(results).leading
    about = {"algo": leading[0], "mode": leading[1], "seed": 0}
    alter(results / "scorecard.json", lambda card: card.update(fairness=[about | audit]))
    gap = {"value": 0.03, "low": 0.02, "high": 0.04}
    point = {"setting": "weight 0", "gap": gap, "value": -1.0, "cost": 0.0, "cost_se": 0.0}
    (results / "fairness").mkdir()
    (results / "fairness" / "frontier.json").write_text(
        json.dumps({"points": [point, point | {"setting": "weight 9"}]})
    )
    text, _, folder = written(results)
    assert "30.00 %" in _figure(text, "by group")
    assert "not shown" in _figure(text, "by group")
    assert _table(folder, "fairness_by_group")[0]["value"] == "0.3"
    gaps = _table(folder, "fairness_gaps")[0]
    assert (gaps["difference"], gaps["first"], gaps["measure"]) == ("0.1", "FEMALE", "high touch")
    assert [row["setting"] for row in _table(folder, "frontier")] == ["weight 0", "weight 9"]
    assert "no fairness audit" not in text


def test_the_page_about_the_report_has_every_section_by_its_title_and_in_order(results):
    made = report_of(read_results(results), command="x")
    titles = [section.title for section in made.sections if section.anchor != "left-out"]
    left_out = [title for section in made.sections if section.anchor == "left-out" for title, _ in section.points]
    table = (ROOT / "docs" / "report.md").read_text().partition("| Section | What | From |")[2].partition("\n\n")[0]
    rows = re.findall(r"(?m)^\| (\w[^|]*) \|", table)
    assert [row for row in rows if row not in left_out] == titles
    assert set(left_out) <= set(rows)


def test_all_drawings_are_whole_at_any_width(results):
    made = report_of(read_results(results), command="x")
    figures = [part for section in made.sections for part in section.parts if isinstance(part, Figure)]
    for figure in figures:
        for width in (760, 340):
            inner, height = figure.draw(width)
            assert 40 < height < 3_000
            assert not re.search(r'="[^"]*\b(nan|inf)\b', inner)
            for x in re.findall(r' (?:x|x1|x2|cx)="([-\d.]+)"', inner):
                assert -1 <= float(x) <= width + 1, figure.title
    assert page(made, files="f").count("<svg") == 2 * len(figures)
    assert markdown(made, files="f").count("\n### ") == len(figures)


def test_so_few_that_no_week_is_told_are_said():
    results = SimpleNamespace(
        policies=[("factored_awr", "stochastic")], leading=None, name=str, style=lambda policy: (0, 0)
    )
    told = {"limits": {"week_share": 0.05}, "weeks": [], "by_week": {"cumulative": []}, "panel": {"source": "members"}}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "weights_of", lambda results, policy: (0, told))
        section = evidence.effective_members(results)
    assert "Too few members validate" in section.missing
