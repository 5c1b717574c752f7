"""Q(B): one training, many budgets; what is spent; no limit is no limit; where nothing has an effect, exactly 0."""

import io
import json
import re

import numpy as np
import pytest
from rich.console import Console

from benchmarks import report, run
from benchmarks.docs_pages import leaderboard
from benchmarks.policy_scoring.true_values import Evaluation
from benchmarks.result_records.figures import read_figure
from benchmarks.sweep import curves
from benchmarks.sweep.budgets import budget_policy, budgets_of, capacities, finite, mode_and_budget, slot
from benchmarks.sweep.scorecard_tables import NOT_SCORED, show
from benchmarks.training import algorithms
from benchmarks.training.train import train
from frl_algos.policies.policy import LearnedPolicy
from frl_env.actions import MEDICAID_ACTIONS
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.datasets import Recipe, build_dataset
from frl_env.errors import UserError
from frl_env.worlds import World

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = ["--steps", "4", "--eval-members", "100", "--jobs", "1"]
ALL = ["--algo", "factored_awr,discrete_bc,risk_ranking,iql"]
FEW = ["--algo", "discrete_bc,risk_ranking"]
ORDER = ["team", 1.0, 7.0, "none"]


@pytest.fixture(scope="module")
def swept(tiny_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("budgets")
    run.main(["--dataset", "tests/tiny-v0", *TINY, *ALL, "--budget", "1.0,team,7.0,none", "--out", str(folder)])
    return json.loads((folder / "scorecard.json").read_text()), folder


def test_every_row_says_its_budget_and_keeps_within_it(swept):
    card, _ = swept
    team = card["references"]["behaviour"]["effort_minutes_per_week"]
    limits = {1.0: 1.0, 7.0: 7.0}
    found = set()
    for row in [*card["runs"], *card["references"].values()]:
        found.add(row["budget"])
        if row["budget"] in limits:
            assert row["effort_minutes_per_week"] <= limits[row["budget"]]
        if row["budget"] == "team":
            # The stored minutes of 50,000 members, not those of these few.
            assert row["effort_minutes_per_week"] <= 1.25 * team
    assert found == {*ORDER}
    assert len({row["wall_s"] for row in card["runs"] if row["algo"] == "discrete_bc"}) == 1, "one training"
    how = {(row["algo"], row["mode"]): row["allocated"] for row in card["runs"] if row["budget"] == "team"}
    assert how == {
        ("factored_awr", "stochastic"): "by gain a minute",
        ("discrete_bc", "stochastic"): "at a price a minute",
        ("discrete_bc", "greedy"): "dropped at random",
        ("risk_ranking", "gains"): "by gain a minute",
        ("iql", "stochastic"): "dropped at random",
        ("iql", "greedy"): "dropped at random",
    }


def test_the_table_says_why_a_form_was_not_scored(swept, capsys):
    card, _ = swept
    said = show_screen(card, capsys)
    assert re.search(r"factored_awr greedy +│ +-", said)
    assert " ".join(NOT_SCORED.split()) in " ".join(said.split())
    scored = [entry for entry in card["curves"] if entry["kind"] == "algorithm" and curves.point_at(entry)]
    assert "not scored" not in show_screen(card | {"curves": scored}, capsys)


def show_screen(card: dict, capsys) -> str:
    """The scorecard as it is printed."""
    show(card)
    return capsys.readouterr().out


def test_curves_are_sorted_by_the_gain_at_the_teams_minutes(swept):
    card, _ = swept
    gains = [curves.gain_at(entry) for entry in card["curves"]]
    known = [gain for gain in gains if gain is not None]
    assert known == sorted(known, reverse=True)
    assert gains[: len(known)] == known, "what was not scored comes last"
    rows = {(row["algo"], row["mode"], row["budget"]): row for row in card["runs"]}
    for entry in card["curves"]:
        for point in entry["points"]:
            assert point["interval"][0] <= point["gain"] <= point["interval"][1]
            if entry["kind"] in ("algorithm", "peer"):
                row = rows[entry["policy"], entry["mode"], point["budget"]]
                assert point["gain"] == pytest.approx(row["difference_to_behaviour"], abs=1e-6)
                assert point["minutes"] == row["effort_minutes_per_week"]
    by_name = {entry["policy"]: entry for entry in card["curves"]}
    own = next(gain for entry, gain in zip(card["curves"], gains, strict=True) if entry["policy"] == "factored_awr")
    for entry in card["curves"]:
        if entry["kind"] in ("algorithm", "peer") and entry["policy"] != "factored_awr" and curves.point_at(entry):
            assert entry["main_leads"] == pytest.approx(own - curves.gain_at(entry))
            assert entry["main_interval"][0] <= entry["main_leads"] <= entry["main_interval"][1]
        else:
            assert entry["main_leads"] is None
    assert by_name["no_program"]["area"] == 0
    assert curves.gain_at(by_name["behaviour"]) == 0
    assert by_name["risk_ranking"]["tried"]["without_truth"] == 1
    assert by_name["risk_ranking"]["kind"] == "peer"


def test_the_area_is_that_of_trapezoids_from_no_program():
    gains = np.asarray([[0.1], [0.3], [-0.1]])  # at 1 and at 3 minutes; last no program
    assert curves._area([(1.0, 0), (3.0, 1)], gains) == pytest.approx((0.1 + 0.6) / 3)


def test_a_capacity_that_limits_more_than_minutes_is_no_point_of_the_area():
    """Its gain is that of other rules as well, so that it does not lie on the curve of minutes."""
    own = Capacity(minutes=2.0, forbidden=({"modality": "HOME_VISIT"},))
    said = {"none": Capacity(), "own.toml": own, "7.0": Capacity(minutes=7.0), "team": Capacity(minutes=2.9)}
    assert finite(said) == {"team": 2.9, "7.0": 7.0}


def test_who_is_contacted_adds_up(swept):
    card, _ = swept
    for entry in card["curves"]:
        if curves.point_at(entry) is None or entry["kind"] == "bound":
            assert entry["contacted"] is None
            continue
        row = next(
            row
            for row in [*card["runs"], *card["references"].values()]
            if (row.get("algo", row.get("policy")), row["budget"]) == (entry["policy"], "team")
            and row.get("mode", "reference") == entry["mode"]
        )
        for groups in entry["contacted"].values():
            rate = sum(each["contacts_per_week"] * each["share_of_weeks"] for each in groups.values())
            assert rate == pytest.approx(row["contacts_per_week"], abs=1e-9)
            assert sum(each["share_of_weeks"] for each in groups.values()) == pytest.approx(1)


def test_without_a_limit_nothing_changes(swept, tiny_dataset, tiny_buffer, tmp_path):
    card, _ = swept
    run.main(["--dataset", "tests/tiny-v0", *TINY, *FEW, "--budget", "none", "--out", str(tmp_path)])
    alone = json.loads((tmp_path / "scorecard.json").read_text())
    assert alone["curves"] == []
    same = [row for row in card["runs"] if row["budget"] == "none" and row["algo"] in ("discrete_bc", "risk_ranking")]
    assert [row["value"] for row in alone["runs"]] == [row["value"] for row in same]
    evaluation = Evaluation.of_dataset(tiny_dataset, members=60)
    made = algorithms.create("discrete_bc", (), tiny_buffer.action_space)
    train(made, tiny_buffer, steps=3, seed=0)
    effort = care_effort(evaluation.world.parameters)
    free = evaluation.score(Budgeted(LearnedPolicy(made, tiny_buffer.action_space), effort, Capacity()))
    plain = evaluation.score_decisions(LearnedPolicy(made, tiny_buffer.action_space))
    np.testing.assert_array_equal(free.value, plain.value)


@pytest.mark.long
def test_where_nothing_has_an_effect_every_gain_is_exactly_0(tmp_path):
    recipe = Recipe(
        dataset_id="tests/nothing-v0", description="for tests", members=60, seed=3, horizon=12,
        world=World(effects="null"),
    )  # fmt: skip
    build_dataset(recipe)
    run.main(["--dataset", "tests/nothing-v0", *TINY, *FEW, "--budget", "team,none", "--out", str(tmp_path)])
    card = json.loads((tmp_path / "scorecard.json").read_text())
    assert {entry["kind"] for entry in card["curves"]} >= {"algorithm", "peer", "reference"}
    for entry in card["curves"]:
        assert {point["gain"] for point in entry["points"]} == {0.0}, entry["policy"]
        assert {end for point in entry["points"] for end in point["interval"]} == {0.0} or entry["kind"] == "bound"
        assert entry["area"] in (0.0, None)


def test_page_and_report_show_it(swept, tmp_path):
    _, folder = swept
    leaderboard.main([str(folder), "-o", str(tmp_path / "page.md")])
    page = (tmp_path / "page.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| ")]
    first = next(line for line in table if "| # | policy | contacts are | team | 1.0 | 7.0 | no limit" in line)
    assert table[0].startswith("| dataset | FactoredAWR | best risk ranking"), "what it says comes first"
    assert table.index(first) == 2, "sorted by the gain at the team's own minutes, before all other tables"
    row = next(line for line in table if line.startswith(f"| `{swept[0]['dataset']}`"))
    ranking = next(entry for entry in swept[0]["curves"] if entry["policy"] == "risk_ranking")
    assert row.endswith(
        f"| {ranking['main_leads']:+.3f} [{ranking['main_interval'][0]:+.3f}, {ranking['main_interval'][1]:+.3f}] |"
    )
    assert "Who is contacted at the team's own minutes" in page
    card = json.loads((folder / "scorecard.json").read_text())
    kept = tmp_path / "figures/leaderboard.json"
    kept.parent.mkdir()
    kept.write_text(leaderboard.kept_figures([card], kept))
    assert leaderboard.kept_figures([card], kept) == kept.read_text()
    figure = read_figure("leaderboard", tmp_path / "figures")
    for entry in card["curves"]:
        mode = "" if entry["kind"] in ("reference", "bound") else f" {entry['mode']}"
        row = figure.row(
            f"{card['dataset'].rpartition('/')[2].removeprefix('medicaid-synthetic-')} {entry['policy']}{mode}"
        )
        for point in entry["points"]:
            before = {"team": "", "none": "none_"}.get(point["budget"], f"at_{point['budget']}_".replace(".0_", "_"))
            assert row[f"{before}gain"] == point["gain"]
    assert "Risk ranking" in page
    report.main([str(folder), "-o", str(tmp_path / "report.html")])
    text = (tmp_path / "report.html").read_text()
    assert text.index('id="budgets"') < text.index('id="who"') < text.index('id="values"') < text.index('id="doubts"')
    assert "FactoredAWR less this" in text
    assert text.index("<figure>") > text.index('id="budgets"')
    assert "the best trained policy is" in text


def test_budgets_are_read_once_and_kept(tmp_path):
    file = tmp_path / "staff.toml"
    file.write_text('minutes = 2.0\n[[forbidden]]\nmodality = "SMS_TEXT"\n')
    said = budgets_of(f"none,3,{file}", World(), horizon=52, members=10)
    kept = capacities(said)
    assert list(kept) == ["3", str(file)]
    assert kept["3"] == Capacity(minutes=3.0)
    assert kept[str(file)] == Capacity.from_toml(file)
    assert mode_and_budget(slot("greedy", "team")) == ("greedy", "team")
    assert slot("greedy", "none") == "greedy"
    for wrong, says in (("2,two", "'two' is no number"), ("team,team", "twice")):
        with pytest.raises(UserError, match=says):
            budgets_of(wrong, World(), horizon=52, members=10)
    file.write_text("[weekly_contacts.modality]\nFAX = 3")
    with pytest.raises(UserError, match=r"staff.toml: unknown level of factor 'modality': 'FAX'"):
        budgets_of(str(file), World(), horizon=52, members=10)


@pytest.mark.parametrize("name", ["factored_awr", "my_own_algorithms:AnAlgorithmWithRatherALongName"])
@pytest.mark.parametrize("width", [80, 100])
def test_no_number_is_cut_off_on_a_narrow_screen(swept, width, name):
    card = json.loads(json.dumps(swept[0]))
    for row in card["runs"]:
        row["algo"] = name
    shown = io.StringIO()
    show(card, Console(width=width, file=shown, force_terminal=True, color_system=None))
    text = shown.getvalue()
    assert "\N{HORIZONTAL ELLIPSIS}" not in text
    assert max(map(len, text.splitlines())) <= width
    for row in card["runs"]:
        assert f"{row['difference_to_behaviour']:+.4f}" in text
    said = "columns left out on this narrow screen: SE, ED, IP"
    assert (said in text) == (width == 80)


def test_gains_are_asked_once(trained, tiny_buffer):
    assert budget_policy(trained, tiny_buffer.action_space, "stochastic")[1] == "gains"
    assert budget_policy(trained, tiny_buffer.action_space, "greedy") is None


class Says:
    """Somebody else's algorithm, trained: gains by the last observation for visits, nothing kept in mind."""

    def __init__(self, space):
        self.space = space

    def predict(self, x):
        return np.zeros(len(x), dtype=np.int64)

    def gains(self, observations):
        gains = np.zeros((len(observations), len(self.space.valid_joints)), dtype=np.float32)
        gains[:, 1:] = observations[:, -1:] + 1
        return gains


class SaysAndDraws(Says):
    def predict_probabilities(self, observations):
        return np.tile((self.space.valid / self.space.valid.sum()).astype(np.float32), (len(observations), 1))


@pytest.mark.parametrize(("kind", "first"), [(Says, "greedy"), (SaysAndDraws, "stochastic")])
def test_anybodys_gains_spend_a_budget(kind, first, tiny_dataset):
    evaluation = Evaluation.of_dataset(tiny_dataset, members=50)
    space = MEDICAID_ACTIONS
    policy, asked = budget_policy(kind(space), space, first)
    assert asked == "gains"
    assert first == "greedy" or budget_policy(kind(space), space, "greedy") is None, "once"
    effort = care_effort(evaluation.world.parameters)
    budgeted = Budgeted(policy, effort, Capacity(minutes=3.0), by=asked, **evaluation.world.seen)
    spent = evaluation.score(budgeted)
    assert 1.0 < spent.minutes.sum() / spent.weeks.sum() <= 3.0


def test_promises_to_groups_are_refused_before_data_are_looked_at(tmp_path):
    file = tmp_path / "promises.toml"
    file.write_text("minutes = 2.0\n[least_chance.race_ethnicity]\nBLACK = 0.02\n")
    with pytest.raises(UserError, match="promises groups a least chance, which references that only act can't keep"):
        run.main(["--dataset", "tests/tiny-v0", *TINY, "--budget", f"1.0,{file}", "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
