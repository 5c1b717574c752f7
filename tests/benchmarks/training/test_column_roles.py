"""What columns mean is said and not guessed: options before the dataset before the contract's names, all on record."""

import dataclasses
import json
import re

import minari
import pandas as pd
import pytest

from benchmarks import report, run
from benchmarks.training.algorithms import ALGORITHMS, NAMED_CONTACTS, create, fitting
from benchmarks.training.awr_lines import factored_awr
from benchmarks.training.column_roles import NO_RESPONSE, told, told_of
from frl_algos.model_files.policy_files import high_touch_of, told_by
from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.datasets import ColumnMap, ImportOptions, build_dataset, export_table, import_table
from frl_env.datasets.table_import.checking.contact_response import ContactResponse
from frl_env.errors import UserError
from frl_env.parameters import MEASURES

pytestmark = pytest.mark.usefixtures("one_thread")

STATES = ("answered", *MEASURES[1:6], "paid")
RENAMED = {"answered": "num_encounters_last_week", "paid": "total_paid"}
FACTORS = {"modality": "way", "provider": "staff", "goal": "topic"}
LEVELS = {"VIDEO_VISIT": "CLINIC", "HOME_VISIT": "AT_HOME"}
OURS = {**FACTORS, **LEVELS}
SPACE = ActionSpace.from_json(
    re.sub(r'"(\w+)"', lambda word: f'"{OURS.get(word[1], word[1])}"', MEDICAID_ACTIONS.to_json())
)
SAID = {"response": "answered", "need_factor": "topic", "skill_factor": "staff", "high_touch": ["AT_HOME"]}
OPTIONS = [
    "--response", "answered", "--need-factor", "topic", "--skill-factor", "staff", "--high-touch", "AT_HOME",
    "--indications", "HYPERTENSION=num_ed_visits_last_week", "--action-rate", "0.05",
]  # fmt: skip


@pytest.fixture(scope="module")
def table(tiny_recipe, tmp_path_factory):
    """Members whose states, factors and levels have other names than the contract's."""
    folder = tmp_path_factory.mktemp("told")
    made = dataclasses.replace(tiny_recipe, dataset_id="tests/to-be-told-v0", members=200, seed=21, horizon=14)
    export_table(build_dataset(made), folder / "out.parquet")
    frame = pd.read_parquet(folder / "out.parquet")
    names = {f"action_{old}": f"action_{new}" for old, new in FACTORS.items()}
    names |= {old: new for new, old in RENAMED.items()} | {f"next_{old}": f"next_{new}" for new, old in RENAMED.items()}
    frame = frame.rename(columns=names | {f"propensity_{old}": f"propensity_{new}" for old, new in FACTORS.items()})
    frame["action_way"] = frame["action_way"].replace(LEVELS)
    frame.to_parquet(folder / "own.parquet", index=False)
    return folder / "own.parquet"


def _import(table, name, said):
    columns = ColumnMap(states=STATES, actions=SPACE, said=said)
    import_table(table, f"tests/{name}-v0", columns=columns, options=ImportOptions(validation_share=0.4))
    return minari.load_dataset(f"tests/{name}-v0")


@pytest.fixture(scope="module")
def silent(table):
    """Nothing says what its columns mean."""
    return _import(table, "silent", {})


def test_what_the_dataset_says_counts_and_not_a_name(table):
    dataset = _import(table, "said", SAID)
    known = told_of(dataset)
    config = factored_awr(known.states, SPACE, known)
    assert config.response == 0
    assert (config.need_factor, config.skill_factor) == ("topic", "staff")
    assert set(known.sources.values()) == {"the dataset says so", "the dataset names none"}
    assert known.sources["response"] == "the dataset says so"
    assert told_by(None, dataset) == (0, {})
    assert high_touch_of(dataset) == ("AT_HOME",)


def test_a_meaning_that_a_dataset_leaves_empty_is_not_said_by_it(silent):
    rows = {label: (words, source) for label, words, source in told_of(silent).rows()}
    assert {source for words, source in rows.values() if words == "none"} <= {"the dataset names none"}


def test_options_go_before_the_dataset(table):
    dataset = _import(table, "said", SAID)
    known = told_of(dataset, json.dumps({"response": "num_calls_last_week", "need_factor": "", "skill_factor": ""}))
    assert known.response == STATES.index("num_calls_last_week")
    assert known.meaning.need_factor is None
    assert known.sources["response"] == "option --response"
    assert known.meaning.high_touch == ("AT_HOME",)
    needless = told_of(dataset, json.dumps({"need_factor": ""}))
    assert factored_awr(STATES, SPACE, needless).skill_factor is None, "skills count in what they do about needs"
    with pytest.raises(UserError, match=r"unknown option or \[meaning\] response: 'answer'; did you mean answered"):
        told_of(dataset, json.dumps({"response": "answer"}))


def test_names_that_say_nothing_are_not_guessed_at(silent):
    known = told_of(silent)
    assert known.meaning.to_json() == {
        "response": None, "need_factor": None, "skill_factor": None, "high_touch": [], "indications": {},
        "spending": None, "contact_counts": ["num_calls_last_week", "num_texts_last_week"],
    }  # fmt: skip
    assert known.lines()[-1] == NO_RESPONSE
    with pytest.raises(UserError, match="nothing says which levels of dataset 'tests/silent-v0' are high-touch"):
        high_touch_of(silent)


def test_the_usual_names_still_count():
    known = told((*MEASURES, "screened_hypertension"), MEDICAID_ACTIONS)
    assert known.response == 0
    assert known.indications == {"HYPERTENSION": len(MEASURES)}
    assert known.history == (1, 2, 5, 6, 7)
    assert set(known.sources.values()) == {"the usual column names"}
    assert create("spending_ranking", MEASURES, MEDICAID_ACTIONS).spending == MEASURES.index("total_paid")


def test_peers_that_do_not_fit_are_left_out_of_all_and_refused_by_name(silent):
    known = told_of(silent)
    kept, left_out = fitting("all", list(ALGORITHMS), SPACE, known)
    assert set(ALGORITHMS) - set(kept) == set(NAMED_CONTACTS)
    assert len(left_out) == len(NAMED_CONTACTS)
    assert any("risk_ranking can't make its contacts with these actions" in sentence for sentence in left_out)
    with pytest.raises(UserError, match="risk_ranking can't make its contacts"):
        fitting("factored_awr,risk_ranking", ["factored_awr", "risk_ranking"], SPACE, known)
    without_response = told(MEASURES[1:], MEDICAID_ACTIONS)
    kept, left_out = fitting("all", list(ALGORITHMS), MEDICAID_ACTIONS, without_response)
    assert set(ALGORITHMS) - set(kept) == {"factored_awr_same_contacts"}
    assert "they need a response" in left_out[0]


@pytest.mark.long
def test_a_silent_dataset_says_what_follows_and_shows_no_headline_of_answers(silent, tmp_path, capsys):
    few = ["--dataset", "tests/silent-v0", "--steps", "10", "--jobs", "1", "--algo", "factored_awr"]
    run.main([*few, "--out", str(tmp_path / "silent")])
    shown = capsys.readouterr().out
    assert NO_RESPONSE in shown
    assert shown.index("assumed of the columns") < shown.index("training")
    card = json.loads((tmp_path / "silent" / "scorecard.json").read_text())
    assert card["told"]["meaning"]["response"] is None
    assert {entry["headline_estimator"] for entry in card["ope"]} == {"WDR clip 30"}
    assert all("--high-touch" in entry["sentence"] for entry in card["fairness"])
    report.main([str(tmp_path / "silent"), "-o", str(tmp_path / "report.html")])
    assert "Nothing says which state shows that a member answered" in (tmp_path / "report.md").read_text()
    twin = (tmp_path / "report.md").read_text()
    assert "the map of the import has no `[effort]`" in twin
    assert " a member over " in shown
    assert "weeks" in shown
    assert {row["effort_minutes_per_week"] for row in card["runs"]} == {None}
    run.main([*few, *OPTIONS, "--out", str(tmp_path / "told")])
    shown = capsys.readouterr().out
    assert NO_RESPONSE not in shown
    assert "a member's answer shows in: answered (option --response)" in shown
    card = json.loads((tmp_path / "told" / "scorecard.json").read_text())
    assert card["told"]["meaning"]["need_factor"] == "topic"
    assert card["told"]["action_rate"] == 0.05
    assert {row["settings"]["action_rate"] for row in card["runs"]} == {0.05}
    # So few decisions without an attempt say too little of the response for SNM to be the headline.
    assert {entry["headline_estimator"] for entry in card["ope"]} == {"WDR clip 30"}
    assert "SNM is not the headline" in json.dumps(card["ope"])
    assert "no observation shows whether an attempt was answered" not in json.dumps(card["ope"])
    assert all(any(gap["measure"] == "high_touch" for gap in entry["gaps"]) for entry in card["fairness"])


def test_contacts_and_minutes_stand_by_level_in_scorecard_and_report(table, tmp_path):
    columns = ColumnMap(states=STATES, actions=SPACE, said=SAID, effort={"way": {"AT_HOME": 75, "PHONE_CALL": 15}})
    import_table(table, "tests/paid-v0", columns=columns, options=ImportOptions(validation_share=0.4))
    run.main([
        "--dataset", "tests/paid-v0", "--steps", "10", "--jobs", "1", "--algo", "discrete_bc", "--out", str(tmp_path)
    ])  # fmt: skip
    card = json.loads((tmp_path / "scorecard.json").read_text())
    for spent in (card["logged"]["by_level"], *(row["spent_by_level"] for row in card["runs"])):
        call = spent["way"]["PHONE_CALL"]
        assert call["minutes_per_week"] == pytest.approx(15 * call["contacts_per_week"])
    for row in card["runs"]:
        levels = row["spent_by_level"]["way"].values()
        assert sum(each["contacts_per_week"] for each in levels) == pytest.approx(row["contacts_per_week"], rel=1e-4)
        assert sum(each["minutes_per_week"] for each in levels) == pytest.approx(row["effort_minutes_per_week"])
    report.main([str(tmp_path), "-o", str(tmp_path / "report.html")])
    lines = (tmp_path / "report-data" / "contacts_and_minutes.csv").read_text().splitlines()
    assert lines[0] == "who,factor,level,contacts,minutes"
    assert any(line.startswith('"care team, as logged",way,PHONE_CALL,') for line in lines)
    assert any("DiscreteBC" in line and ",way,AT_HOME," in line for line in lines)
    assert "per 1,000 member-months" in (tmp_path / "report-data" / "estimated_values.csv").read_text().splitlines()[0]


def test_mistakes_in_options_are_one_line(silent, tmp_path):
    few = ["--dataset", "tests/silent-v0", "--steps", "10", "--out", str(tmp_path)]
    for options, said in (
        (["--response", "answerd"], "unknown option or .meaning. response: 'answerd'; did you mean answered"),
        (["--indications", "HYPERTENSION"], "LEVEL=STATE is needed"),
        (["--high-touch", "HOME_VISIT"], "unknown level in option or .meaning. high_touch"),
        (["--skill-factor", "staff"], "--skill-factor 'staff' needs a need factor"),
        (["--action-rate", "2"], "--action-rate must be a number in"),
    ):
        with pytest.raises(UserError, match=said):
            run.main([*few, *options])


def test_a_suspicious_response_is_named_as_the_map_names_it():
    (sentence,) = ContactResponse(attempts=200, answered=140, others=200, encounters=144, response="visits").warnings()
    assert sentence.startswith("visits looks like medical visits")
