"""What the report of recorded members must not show: a true value, or a number about 1 to 10 people."""

import csv
import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest

from benchmarks import report, run
from benchmarks.policy_scoring.panel import UNSAID, Panel, panel_of
from benchmarks.policy_scoring.policy_behaviour import portrait
from frl_env.actions import ActionSpace, Factor
from frl_env.capacity.effort import Effort
from frl_env.capacity.logged_effort import logged_effort
from frl_env.datasets import ImportOptions, build_dataset, ensure_dataset, export_table, import_table
from frl_env.evaluation import LoggedEpisodes
from frl_env.evaluation.dataset_reading.member_records import load_people
from frl_env.evaluation.dataset_reading.people import People

pytestmark = pytest.mark.usefixtures("one_thread")

RARE_GROUP, RARE_GOAL = "65 and over", "DENTAL"


@pytest.fixture(scope="module")
def recorded(tiny_recipe, tmp_path_factory):
    """300 recorded members; few of one group, one goal given to few, some of them in two stretches of weeks."""
    folder = tmp_path_factory.mktemp("own")
    made = dataclasses.replace(tiny_recipe, dataset_id="tests/to-be-own-v0", members=300, seed=19, horizon=16)
    export_table(build_dataset(made), folder / "out.parquet")
    table = pd.read_parquet(folder / "out.parquet")
    ids = table["member_id"].unique()
    table["age_band"] = np.where(table["member_id"].isin(ids[::30]), RARE_GROUP, "18-64")
    table.loc[(table["action_goal"] == RARE_GOAL) & ~table["member_id"].isin(ids[::8]), "action_goal"] = "CARE"
    table = table[~(table["member_id"].isin(ids[::9]) & (table["week"] == 7))]
    table.to_parquet(folder / "own.parquet", index=False)
    import_table(
        folder / "own.parquet", "tests/own-report-v0", options=ImportOptions(validation_share=0.5, on_error="drop")
    )


@pytest.fixture(scope="module", params=["portrait", pytest.param("run", marks=pytest.mark.slow)])
def own(request, recorded, tmp_path_factory):
    """A folder with their results and the report of these."""
    folder = tmp_path_factory.mktemp("report")
    out = folder / "results"
    if request.param == "run":
        run.main([
            "--dataset", "tests/own-report-v0", "--algo", "factored_awr", "--steps", "20", "--jobs", "1",
            "--out", str(out),
        ])  # fmt: skip
    else:
        _write_results(out)
    report.main([str(out), "-o", str(folder / "report.html")])
    return folder


def _write_results(out):
    """What a run leaves behind, of a policy that needs no training."""
    panel = panel_of(ensure_dataset("tests/own-report-v0"), members=0, validation="tests/own-report-validation-v0")
    assert panel is not None
    about = {"algo": "even", "seed": 0, "label": "Even"}
    details = about | portrait(_Uniform(panel.episodes.action_space.n_joint), ["stochastic"], panel)
    sentence = "No headline (SNM): 6.2 of 1,506 members carry the weight (at least 100)."
    card = {
        "dataset": "tests/own-report-v0",
        "runs": [about | {"mode": "stochastic", "steps": 20, "rows": 2_383}],
        "ope": [about | {"mode": "stochastic", "headline": None, "headline_estimator": "SNM", "sentence": sentence}],
    }
    out.mkdir()
    (out / "details.json").write_text(json.dumps([details | {"curve": []}], allow_nan=False))
    (out / "scorecard.json").write_text(json.dumps(card))


def _everything(folder):
    """All that was written for readers, and what the run kept for the report."""
    files = [folder / "report.html", folder / "report.md", folder / "results" / "details.json"]
    return {file.name: file.read_text() for file in [*files, *(folder / "report-data").iterdir()]}


def test_there_is_no_truth_and_the_page_says_so(own):
    text = (own / "report.html").read_text()
    assert "There is no true value" in text
    assert "Simulated members" not in text
    values = re.search(r'<section id="values".*?</section>', text, flags=re.DOTALL)
    assert values is not None
    assert "truth</th>" not in text
    for name, content in _everything(own).items():
        if name.endswith(".csv"):
            assert "truth" not in content.splitlines()[0], name
    assert not (own / "report-data" / "true_values.csv").exists()
    assert "there is no true value to put beside them" in text.lower()
    assert (own / "report-data" / "estimated_values.csv").exists()
    assert "it takes a simulator" in text
    assert "events avoided" not in text  # nobody knows what their reward counts
    assert "estimated gain a member, in the unit of the reward" in text


def test_where_data_are_not_of_care_no_care_team_is_named(recorded, tmp_path):
    out = tmp_path / "results"
    _write_results(out)
    card = json.loads((out / "scorecard.json").read_text())
    told = {"of_care": False, "rows": [], "meaning": {"response": None}, "action_rate": None}
    (out / "scorecard.json").write_text(json.dumps(card | {"told": told}))
    report.main([str(out), "-o", str(tmp_path / "report.html")])
    for name, text in _everything(tmp_path).items():
        assert not re.search(r"\bteam\b|guide care", text, re.I), name
    assert "The behaviour policy" in (tmp_path / "report.html").read_text()
    assert "behaviour policy" in (tmp_path / "report-data" / "policy_by_factor.csv").read_text().splitlines()[0]


def test_logged_weeks_are_told_to_the_nearest_20_as_by_the_import(own):
    for name in ("report.html", "report.md"):
        told = re.search(r"about ([\d,]+) logged weeks", (own / name).read_text())
        assert told is not None, name
        assert int(told[1].replace(",", "")) % 20 == 0, name


def test_few_effective_members_are_not_said(own):
    for name, content in _everything(own).items():
        if name != "details.json":
            assert not re.search(r"(?<![\d.,])(10|\d)(\.\d+)? of [\d,]+ members", content), name
    kept = (own / "results" / "scorecard.json").read_text()
    assert ("fewer than 11 of" in (own / "report-data" / "estimated_values.csv").read_text()) == ("6.2 of" in kept)
    for name in ("clip_sweep", "diagnostics", "effective_members_by_group"):
        with (own / "report-data" / f"{name}.csv").open() as lines:
            for row in csv.DictReader(lines):
                said = row.get("effective members") or row["effective"]
                assert said == "fewer than 11" or float(said) >= 11, (name, row)


def test_no_cell_is_about_few_people(own):
    panel = panel_of(ensure_dataset("tests/own-report-v0"), members=0, validation="tests/own-report-validation-v0")
    assert panel is not None
    assert not panel.simulated
    validation = ensure_dataset("tests/own-report-validation-v0")
    assert validation.total_episodes > len(panel.episodes) == len(load_people(validation))  # some in two stretches
    for name, content in _everything(own).items():
        assert RARE_GROUP not in content, name
    space, actions = panel.episodes.action_space, panel.episodes.actions[panel.episodes.mask]
    goals = list(space)[2].levels
    level = space.joint_levels[actions, 2]
    shown = {}
    with (own / "report-data" / "policy_by_factor.csv").open() as lines:
        for row in csv.DictReader(lines):
            shown[row["factor"], row["level"]] = row["care team"]
    people = {goal: len(np.unique(panel.person[level == code])) for code, goal in enumerate(goals)}
    few = [goal for goal, count in people.items() if 0 < count < 11]
    assert RARE_GOAL in few
    for goal in few:
        assert shown["goal", goal] == "", goal
    assert any(shown["goal", goal] not in ("", "0.0") for goal in goals)
    with (own / "report-data" / "need_by_action.csv").open() as lines:
        cells = list(csv.DictReader(lines))
    assert {cell["record"] for cell in cells} <= {*panel.states}
    for cell in cells:
        inside = panel.states[cell["record"]] & (level == goals.index(cell["goal"]))
        if 0 < len(np.unique(panel.person[inside])) < 11:
            assert cell["care team"] == "", cell
    with (own / "report-data" / "effective_members_by_group.csv").open() as lines:
        groups = list(csv.DictReader(lines))
    assert all(int(group["members"]) >= 11 for group in groups)
    assert not any(
        group["attribute"] == "age band" for group in groups
    )  # the other group would give the small one away


def test_weeks_with_few_people_are_left_out(own):
    details = json.loads((own / "results" / "details.json").read_text())
    weights = details[0]["modes"]["stochastic"]["weights"]
    panel = panel_of(ensure_dataset("tests/own-report-v0"), members=0, validation="tests/own-report-validation-v0")
    assert panel is not None
    for week in weights["weeks"]:
        assert panel.episodes.mask[:, week - 1].sum() >= 11
    assert "followed" not in weights


class _Uniform:
    def __init__(self, joints):
        self.joints = joints

    def predict_probabilities(self, observations):
        return np.full((len(observations), self.joints), 1 / self.joints, dtype=np.float32)

    def predict(self, observations):
        return np.zeros(len(observations), dtype=np.int64)


def _panel(actions, people, *, simulated):
    space = ActionSpace(factors=(Factor(name="kind", levels=("NONE", "A", "B", "C"), null="NONE"),))
    spells, whose = len(actions), People.of(np.asarray(people))
    episodes = LoggedEpisodes.from_rows(
        observations=np.zeros((spells, 1), dtype=np.float32),
        actions=np.asarray(actions),
        rewards=np.zeros(spells),
        lengths=np.ones(spells, dtype=np.int64),
        action_space=space,
        propensities=np.full(spells, 0.25),
        groups={"gender": np.where(np.arange(spells) % 2, "F", UNSAID)},
        people=whose,
        simulated=simulated,
    )
    states = {"all": np.ones(spells, dtype=bool), "few": whose.order < 5}
    return Panel(
        source="made by hand", simulated=simulated, episodes=episodes, propensities=episodes.propensities,
        states=states, state_kind="record",
    )  # fmt: skip


def test_small_cells_are_counted_in_people_and_not_in_decisions():
    actions = [0] * 40 + [1] * 20 + [2] * 30 + [3] * 12
    people = [*range(40), *range(20), *([0, 1, 2] * 10), *range(12)]  # B: 30 decisions of 3 people
    said = portrait(_Uniform(4), ["stochastic"], _panel(actions, people, simulated=False))["modes"]["stochastic"]
    shares = {row["level"]: row["behaviour"] for row in said["by_factor"]}
    assert shares["B"] is None
    assert sum(share is None for share in shares.values()) >= 2  # one alone would follow from the others
    assert shares["NONE"] == pytest.approx(40 / 102, rel=1e-4)
    assert said["by_state"]["rows"] == ["all"]
    assert said["by_state"]["hidden_rows"] == 1
    assert [group["group"] for group in said["weights"]["groups"]] == ["F"]
    open_ = portrait(_Uniform(4), ["stochastic"], _panel(actions, people, simulated=True))["modes"]["stochastic"]
    assert {row["level"]: row["behaviour"] for row in open_["by_factor"]}["B"] == pytest.approx(30 / 102, rel=1e-4)
    assert open_["by_state"]["rows"] == ["all", "few"]


def test_minutes_of_a_policy_that_leaves_nothing_to_chance_tell_not_whom_it_visits():
    class Visits(_Uniform):
        few = 0

        def predict(self, observations):
            return np.repeat([2, 1, 0], [self.few, 60, len(observations) - 60 - self.few])

    panel, policy = _panel([0, 1, 2, 3] * 25, np.arange(100), simulated=False), Visits(4)
    effort = Effort(panel.episodes.action_space, {"kind": {"A": 15, "B": 60, "C": 20}})
    told = set()
    for policy.few in range(1, 11):
        told.add(json.dumps(portrait(policy, ["greedy"], panel, effort=effort)["modes"]["greedy"]["spent"]))
    assert len(told) <= 3


def test_the_shares_of_the_policy_are_its_probabilities():
    actions = [0] * 20 + [1] * 20 + [2] * 20 + [3] * 20
    said = portrait(_Uniform(4), ["stochastic", "greedy"], _panel(actions, np.arange(80), simulated=False))
    assert [row["policy"] for row in said["modes"]["stochastic"]["by_factor"]] == [0.25] * 4
    assert [row["policy"] for row in said["modes"]["greedy"]["by_factor"]] == [1.0, 0.0, 0.0, 0.0]
    weights = said["modes"]["stochastic"]["weights"]
    assert weights["members"] == 80
    assert weights["by_week"]["cumulative"] == [1.0]
    assert weights["unsupported"] == 0
    assert [clip["clip"] for clip in weights["clips"]] == [1.0, 3.0, 10.0, 30.0, 100.0, None]
    assert said["embeddings"] is None


def test_where_no_action_does_nothing_every_decision_is_a_contact():
    panel = _panel([0] * 60 + [1] * 20, np.arange(80), simulated=True)
    said = portrait(_Uniform(4), ["stochastic"], panel)["modes"]["stochastic"]
    assert said["spent"]["contacts_per_week"] == 1.0
    assert said["spent"]["by_level"]["kind"]["NONE"]["contacts_per_week"] == 0.25
    assert not any(row["nothing"] for row in said["by_factor"])
    logged = logged_effort(
        panel.episodes.actions[panel.episodes.mask], panel.episodes.lengths, panel.episodes.action_space, None,
        simulated=True,
    )  # fmt: skip
    assert logged.contacts == 1.0
    assert logged.levels["kind"]["NONE"]["contacts_per_week"] == 0.75


class _RareForSeven(_Uniform):
    """Does something that hardly anybody got with the first seven members."""

    def predict(self, observations):
        return np.where(np.arange(len(observations)) < 7, 3, 0)


def test_decisions_that_nobody_got_are_told_to_the_nearest_twenty():
    actions, people = [0] * 78 + [3] * 2, np.arange(80)
    for simulated, told in ((True, 7 / 80), (False, 0)):
        panel = _panel(actions, people, simulated=simulated)
        said = portrait(_RareForSeven(4), ["greedy"], panel)["modes"]["greedy"]["weights"]
        assert said["unsupported"] == pytest.approx(told, rel=1e-4)


@pytest.mark.parametrize("headline", [None, {"difference": 0.1, "difference_interval": {"low": 0.0, "high": 0.2}}])
def test_whether_a_value_is_withheld_has_one_source(recorded, headline, tmp_path):
    _write_results(tmp_path / "results")
    file = tmp_path / "results" / "scorecard.json"
    card = json.loads(file.read_text())
    card["ope"][0] |= {"headline": headline, "headline_estimator": "SNM"}
    file.write_text(json.dumps(card))
    details = json.loads((tmp_path / "results" / "details.json").read_text())
    assert details[0]["modes"]["stochastic"]["weights"]["reasons"]  # the weights' own evaluation is refused either way
    report.main([str(tmp_path / "results"), "-o", str(tmp_path / "report.html")])
    summary = (tmp_path / "report.md").read_text()
    with (tmp_path / "report-data" / "diagnostics.csv").open() as lines:
        assert [row["withheld"] for row in csv.DictReader(lines)] == ["no" if headline else "yes"]
    assert f"Of 1 policies, {1 if headline else 0} ha" in summary


def test_groups_that_differ_in_case_stay_apart_under_their_own_names(recorded, tmp_path):
    _write_results(tmp_path / "results")
    file = tmp_path / "results" / "scorecard.json"
    card = json.loads(file.read_text())
    groups = ["WHITE", "White", "AIAN"]
    measured = {"measure": "high_touch", "value": 0.1, "low": 0.0, "high": 0.2}
    pairs = [("WHITE", "White"), ("WHITE", "AIAN"), ("White", "AIAN")]
    about = {"algo": "even", "seed": 0, "mode": "stochastic"}
    card["fairness"] = [
        about
        | {
            "groups": [{"attribute": "race_ethnicity", "group": g, "members": 50} | measured for g in groups],
            "withheld": [],
            "gaps": [
                {"attribute": "race_ethnicity", "measure": "high_touch", "first": a, "second": b}
                | {"difference": 0.1, "low": 0.0, "high": 0.2}
                for a, b in pairs
            ],
        }
    ]
    file.write_text(json.dumps(card))
    report.main([str(tmp_path / "results"), "-o", str(tmp_path / "report.html")])
    with (tmp_path / "report-data" / "fairness_by_group.csv").open() as lines:
        assert [row["group"] for row in csv.DictReader(lines)] == groups
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert all(re.search(rf"\b{group}\b", text) for group in groups), name
        assert "Aian" not in text
    found = []
    for file in (tmp_path / "report-data").glob("fairness*.csv"):
        with file.open() as lines:
            found += [(r["first"], r["second"]) for r in csv.DictReader(lines) if "first" in r and "second" in r]
    assert all(first != second for first, second in found)
    assert {*pairs} <= {*found}
