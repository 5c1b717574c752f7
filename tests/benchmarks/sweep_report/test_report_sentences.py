"""Whether each sentence of the report is true of the numbers beside it: few seeds, rankings, withheld, other data."""

import csv
import json
import re
from types import SimpleNamespace

import pytest
from report_files import alter, written

from benchmarks import run
from benchmarks.charts.forest import Row, forest
from benchmarks.charts.svg import NARROW, text_width
from benchmarks.docs_pages import leaderboard, leaderboard_page
from benchmarks.result_records.figures import code_of
from benchmarks.sweep_report import evidence
from benchmarks.sweep_report.budgets import budgets
from benchmarks.sweep_report.document import NO_VALUE, Column, Report, Section, Table
from benchmarks.sweep_report.markdown import markdown
from benchmarks.sweep_report.sweep_results import read_results
from benchmarks.sweep_report.value_section import curves
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

TINY = ["--dataset", "tests/tiny-v0", "--steps", "20", "--eval-members", "80", "--jobs", "1"]


@pytest.fixture(scope="module")
def swept(tiny_dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("results")
    run.main([*TINY, "--algo", "factored_awr,risk_ranking", "--out", str(out)])
    return out


def _said(results):
    """The report in Markdown."""
    return written(results)[1]


def _row(text, start):
    return [
        cell.strip() for cell in next(line for line in text.splitlines() if line.startswith(start)).split("|")[1:-1]
    ]


def test_a_gain_in_the_teams_minutes_is_beyond_the_teams_and_over_the_horizon(results):
    text = _said(results)
    assert re.search(r"events avoided a member in 12 weeks, beyond what the team itself avoids", text)
    assert "Events avoided a member in 12 weeks, more than the care team avoids" in text
    assert "in a year" not in text


def test_a_ranking_that_avoids_more_is_named_beside_the_best_trained_policy(results):
    def rank(gain):
        def change(card):
            for entry in card["curves"]:
                if entry["kind"] == "peer":
                    point = next(point for point in entry["points"] if point["budget"] == "team")
                    point.update(gain=gain, interval=[gain - 0.01, gain + 0.01])

        return change

    alter(results / "scorecard.json", rank(9.0))
    assert "A ranking avoids more in the same minutes: Risk ranking" in _said(results)
    alter(results / "scorecard.json", rank(-9.0))
    assert "A ranking avoids more" not in _said(results)


def test_rankings_have_no_updates(results, swept, tmp_path):
    assert "20 updates each; rankings are fitted in one go" in _said(results)
    run.main([*TINY, "--algo", "risk_ranking", "--out", str(tmp_path / "rankings")])
    text = _said(tmp_path / "rankings")
    assert "Only rankings were tried" in text
    assert "updates each" not in text
    assert _row(text[text.index("Of each training.") :], "| Risk ranking")[2:5:2] == [NO_VALUE, NO_VALUE]
    assert "No seed has a run of every algorithm" not in text


def test_the_best_policy_is_undecided_and_nothing_is_said_of_the_others(results):
    def change(card):
        card["summary"][0].update(difference_to_behaviour=0.0, interval=[-0.1, 0.1])
        card["summary"][1].update(difference_to_behaviour=-0.5, interval=[-0.6, -0.4])

    alter(results / "scorecard.json", change)
    text = _said(results)
    assert "No policy can be told apart" not in text
    assert "The best policy can't be told apart" in text


def test_seeds_are_those_that_were_compared(results):
    def change(card):
        again = [dict(row) | {"seed": 1} for row in card["runs"] if row["algo"] == "factored_awr"]
        card["runs"] += again[:1]  # the other mode has no second seed

    alter(results / "scorecard.json", change)
    text = _said(results)
    assert read_results(results).seeds == [0, 1]
    assert "One seed says nothing about" in text
    assert "With one seed, the interval is over the members" in text
    assert "One seed has no profile" in text
    assert "Some algorithms lack runs of some of the 2 seeds." in text[text.index("## Why not") :]
    assert "over those that all have: 1 without a limit on staff, 1 within budgets." in text
    assert "Rings are of 2 seeds, the mean of the 1 that every algorithm has." in text


def test_where_all_seeds_are_compared_nothing_is_said_of_others(results):
    text = _said(results)
    assert "Not all seeds are compared" not in text
    assert "Rings are of" not in text
    assert "Policies that act without a limit, over the seeds that all algorithms have." in text


def test_two_algorithms_that_call_themselves_the_same_are_told_apart(results):
    def change(card):
        for row in card["runs"]:
            row["label"] = "Mine"
        for entry in card["curves"]:
            if entry["kind"] in ("algorithm", "peer"):
                entry["label"] = "Mine"

    alter(results / "scorecard.json", change)
    text = _said(results)
    assert "Mine (factored_awr) and Mine (risk_ranking) on " in text.replace("\\_", "_")
    found = read_results(results)
    names = [found.name(policy) for policy in found.policies]
    assert len(set(names)) == len(names)
    section = budgets(found)
    within = [row[0] for row in next(table for table in section.tables if table.name == "team_minutes").rows]
    assert len(set(within)) == len(within)
    assert {entry["label"] for entry in found.details} == {"Mine (factored_awr)", "Mine (risk_ranking)"}


def test_what_is_scored_within_a_capacity_file_is_no_point_of_a_line(results):
    """A file may forbid contacts or limit a provider: its minutes say nothing of the others on the line."""
    before = budgets(read_results(results)).parts[-1]

    def change(card):
        for entry in card["curves"]:
            if entry["kind"] == "algorithm":
                interval = [-5.0, 5.0]
                entry["points"].append({"budget": "nurse.toml", "minutes": 0.5, "gain": 0.0, "interval": interval})

    alter(results / "scorecard.json", change)
    after = budgets(read_results(results)).parts[-1]
    assert after.draw(760) == before.draw(760)
    assert "Capacity files may limit more than minutes" in after.notes[0]
    assert "Capacity files" not in before.notes[0]
    assert "nurse.toml" in {row[2] for row in after.table.rows}

    def only(card):
        for entry in card["curves"]:
            entry["points"] = [point for point in entry["points"] if point["budget"] in ("none", "nurse.toml")]

    alter(results / "scorecard.json", only)
    (table,) = budgets(read_results(results)).parts
    assert table.name == "value_against_minutes"


def test_effective_members_name_every_seed_that_they_are_of(results):
    def change(details):
        other = json.loads(json.dumps(details[0])) | {"algo": "risk_ranking", "seed": 3}
        other["modes"] = {"gains": other["modes"]["greedy"]}
        details.append(other)

    assert "; seed 0, of each policy the lowest." in _said(results)
    alter(results / "details.json", change)
    assert "; seed 0, 3, of each policy the lowest." in _said(results)


def test_one_seed_has_no_chance_that_a_run_is_better(results):
    assert _row(_said(results), "| FactoredAWR, ")[-1] == NO_VALUE

    def change(card):
        for row in card["summary"]:
            row.update(seeds=2, probability_that_first_is_better=0.75)

    alter(results / "scorecard.json", change)
    assert _row(_said(results), "| FactoredAWR, ")[-1] == "0.75"


def test_runs_by_earlier_code_are_doubted(results):
    assert "earlier code" not in _said(results)
    alter(results / "scorecard.json", lambda card: card.update(older=["factored_awr"]))
    text = _said(results)
    assert "Those of FactoredAWR were trained and scored by earlier code" in text[text.index("## Why not") :]


def test_the_hundred_of_the_score_is_what_it_is(results):
    assert "the best policy known on the same observations 100" in _said(results)
    alter(results / "scorecard.json", lambda card: card["references"].pop("best_observation_only"))
    assert "an oracle that sees open needs 100" in _said(results)


def test_whom_a_policy_contacts_is_of_the_first_seed(results):
    assert "Of several seeds it is the first" not in _said(results)
    alter(results / "scorecard.json", lambda card: [entry.update(seeds=3) for entry in card["curves"]])
    assert "Of several seeds it is the first" in _said(results)


def test_what_factored_awr_avoids_more_is_numbers(results):
    _said(results)
    with (results.parent / "report-data" / "team_minutes.csv").open() as lines:
        row = next(row for row in csv.DictReader(lines) if row["policy"].startswith("Risk ranking"))
    ends = [float(row[name]) for name in ("its low", "FactoredAWR less this", "its high")]
    assert ends == sorted(ends)


def test_a_long_heading_is_cut_where_the_drawing_ends():
    drawn, _ = forest([Row(label="module:Name" * 20), Row(label="a", value=1.0)], axis="x")(NARROW)
    heading = re.findall(r'font-weight="600">([^<]*)<', drawn)[0]
    assert heading.endswith("…")
    assert text_width(heading) * 1.1 <= NARROW + 10


def test_two_folders_of_one_dataset_have_no_place_on_the_leaderboard(results, swept, tmp_path):
    with pytest.raises(UserError, match="two folders hold `tests/tiny-v0`, 1 seed: name one of them"):
        leaderboard.main([str(results), str(swept), "-o", str(tmp_path / "page.md")])


def test_what_has_no_limit_on_staff_says_so(results):
    text = _said(results)
    for title in ("## Fairness", "## What the policy does, by factor"):
        section = text[text.index(title) + 4 :]
        assert re.search(r"(no|a) limit on staff", section[: section.index("\n## ")]), title


@pytest.mark.parametrize(
    ("dataset", "said"), [("tests/tiny-v0", ""), ("a/other-v0", "a/other-v0"), (None, "not known")]
)
def test_a_frontier_of_other_data_says_so(results, dataset, said):
    gap = {"value": 0.03, "low": 0.02, "high": 0.04}
    point = {"setting": "weight 0", "gap": gap, "value": -1.0, "cost": 0.0, "cost_se": 0.0}
    (results / "fairness").mkdir()
    frontier = {"points": [point, point | {"setting": "weight 9"}]} | ({"dataset": dataset} if dataset else {})
    (results / "fairness" / "frontier.json").write_text(json.dumps(frontier))
    text = _said(results)
    note = text[text.index("Left is a smaller gap") :].partition("\n\n")[0]
    assert ("other data than those of this page" in note) == (dataset == "a/other-v0")
    assert said in note


@pytest.mark.parametrize("changed", [{}, {"code": "0" * 16}, {"code": None}, {"data_sha256": "0" * 64}])
def test_a_frontier_of_earlier_code_or_of_earlier_data_of_its_name_says_so(results, changed):
    gap = {"value": 0.03, "low": 0.02, "high": 0.04}
    point = {"setting": "weight 0", "gap": gap, "value": -1.0, "cost": 0.0, "cost_se": 0.0}
    card = json.loads((results / "scorecard.json").read_text())
    program = "benchmarks.studies.fairness_frontier"
    frontier = {"points": [point, point | {"setting": "weight 9"}], "dataset": card["dataset"], "programs": [program]}
    frontier |= {"data_sha256": card["dataset_sha256"], "code": code_of([program])} | changed
    (results / "fairness").mkdir()
    (results / "fairness" / "frontier.json").write_text(
        json.dumps({key: fact for key, fact in frontier.items() if fact is not None})
    )
    text = _said(results)
    note = text[text.index("Left is a smaller gap") :].partition("\n\n")[0]
    assert ("measured by other code than that of today" in note) == ("code" in changed)
    assert ("other data than those of this page" in note) == ("data_sha256" in changed)


def test_a_share_that_is_withheld_is_not_zero():
    results = SimpleNamespace(
        policies=[("a", "stochastic")],
        leading=("a", "stochastic"),
        name=lambda policy: "A",
        style=lambda policy: (0, 0),
    )
    told = {
        "limits": {"week_share": 0.25}, "weeks": [1, 2], "by_week": {"cumulative": [0.5, None]},
        "panel": {"source": "members"},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evidence, "weights_of", lambda results, policy: (0, told))
        figure = evidence.effective_members(results).parts[0]
    assert "ends at what must not be shown" in figure.description
    assert "0.0" not in figure.description


def test_an_algorithm_that_logs_no_loss_has_no_curve():
    point = {"step": 10, "watched": None, "metrics": {"seconds": 1.0}}
    results = SimpleNamespace(details=[{"algo": "a", "seed": 0, "label": "A", "curve": [point]}], labels={"a": "A"})
    section = curves(results)
    assert not section.parts
    assert "log no loss" in section.missing


def test_learning_curves_name_the_mode_that_was_watched(results):
    text = _said(results)
    assert "One panel an algorithm (FactoredAWR, stochastic)" in text


@pytest.mark.parametrize("name", ["a\nb", "a `b|c` d", "a\r\n| b |"])
def test_no_name_breaks_a_row_of_markdown(name):
    table = Table(name="t", caption="c", columns=(Column("who"), Column("n", ".1f")), rows=[(name, 1.0)])
    section = Section(anchor="a", title="t", parts=(table,))
    text = markdown(Report(title="t", subtitle="", warning="", sections=(section,)), files="f")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 3
    assert len(re.findall(r"(?<!\\)\|", rows[2])) == 3


def _estimated(results, headlines):
    def change(card):
        card["references"], card["summary"] = {}, []
        card["ope"] = [
            {"algo": "factored_awr", "mode": "greedy", "seed": seed, "headline": headline, "headline_estimator": "SNM",
             "sentence": "No headline: thin."}
            for seed, headline in enumerate(headlines)
        ]  # fmt: skip
        rows = [row for row in card["runs"] if row["algo"] == "factored_awr"]
        card["runs"] += [rows[0] | {"seed": seed} for seed in range(1, len(headlines))]

    alter(results / "scorecard.json", change)
    return _said(results)


def test_estimates_are_counted_as_they_are(results):
    headline = {"difference": 0.1, "difference_interval": {"low": 0.0, "high": 0.2}}
    text = _estimated(results, [headline])
    assert "Of 1 policies, 1 has an estimate that the data supports." in text
    assert "part of it is luck" not in text


def test_estimates_of_several_seeds_are_counted_apart(results):
    headline = {"difference": 0.1, "difference_interval": {"low": 0.0, "high": 0.2}}
    text = _estimated(results, [headline, headline, None])
    assert "Of 3 policies, those of each seed counted apart, 2 have an estimate" in text
    assert "for the others the estimate is withheld" in text
    assert "It is the largest of 2, so that part of it is luck." in text


def test_without_the_teams_minutes_it_is_not_said_that_there_was_no_budget(results):
    def change(card):
        for entry in card["curves"]:
            entry["contacted"] = None
            for point in entry["points"]:
                point["budget"] = 7.0 if point["budget"] == "team" else point["budget"]

    alter(results / "scorecard.json", change)
    text = _said(results)
    left_out = text[text.index("## What is not shown") :]
    assert "without them (`--budget team`)" in left_out
    assert "Nothing was scored within a budget" not in left_out


def test_a_table_of_the_leading_policy_is_not_shown_empty(results):
    estimate = {"difference": 0.1, "difference_interval": {"low": 0.0, "high": 0.2}}
    leading = read_results(results).leading[1]
    other = {"stochastic": "greedy", "greedy": "stochastic"}[leading]
    about = {"algo": "factored_awr", "seed": 0, "headline": None, "headline_estimator": "WDR clip 30", "sentence": "!"}
    entry = about | {"mode": other, "results": {"WDR clip 30": estimate}}
    alter(results / "scorecard.json", lambda card: card.update(ope=[entry]))
    text = _said(results)
    assert "weighted doubly robust estimator, on the validation members" not in text
    assert "all policies. See" in text


def test_the_leaderboard_is_headed_as_its_program_heads_it():
    text = leaderboard.PAGE.read_text()
    assert "\n".join(leaderboard_page.SHORT) in text
    assert "\n".join(leaderboard_page.READING) in text
    assert "With several seeds they are over draws of the data, too" in " ".join(leaderboard_page.SHORT)
