"""What an import says it understood, what looks odd to it, and who is lost with rows that are left out."""

import re
import sys
import tomllib
from pathlib import Path

import minari
import numpy as np
import pandas as pd
import pytest

from frl_env import MEDICAID_ACTIONS, cli
from frl_env.capacity import effort_of
from frl_env.datasets import collect, export_table
from frl_env.datasets.table_import import ColumnMap, ImportOptions, TableError, import_table
from frl_env.datasets.table_import.checking.summary import became_of_lists
from frl_env.datasets.table_import.schema.definitions import DEFINITIONS
from frl_env.errors import UserError
from frl_env.meaning import meaning_of
from frl_env.parameters import preset
from tests.frl_env.conftest import table_of

ID = "tests/understood-v0"
MAP = """
[meaning]
response = "num_calls_last_week"
need_factor = ""
high_touch = ["HOME_VISIT"]
[definitions]
num_calls_last_week = "calls that were answered; count; 7 days before the week"
[effort.modality]
PHONE_CALL = 15
HOME_VISIT = 75
[effort.provider]
PHARMACIST = 5
"""


@pytest.fixture(autouse=True)
def _own_store(empty_store):
    """Every test has a store of its own."""


@pytest.fixture(scope="module")
def many() -> pd.DataFrame:
    """Enough contacts to say something about answers."""
    table = table_of(collect(preset(), members=150, seed=5, horizon=26))
    return table[[name for name in table if not name.startswith(("next_", "propensity"))]]


def _imported(table: pd.DataFrame, tmp_path, columns=None, check_only=True, **options) -> dict:
    table.to_parquet(tmp_path / "t.parquet")
    return import_table(
        tmp_path / "t.parquet", ID, columns=columns, options=ImportOptions(**options), check_only=check_only, force=True
    ).facts[0]


def test_check_says_in_a_screenful_what_was_understood(many, tmp_path, monkeypatch, capsys):
    many.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(sys, "argv", ["frl", "import", str(tmp_path / "t.parquet"), "--id", ID, "--check"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if "━" not in line]
    assert len(lines) == 12, "ten, what became of the rows, and what comes next"
    assert lines[-2].endswith("; nothing was written")
    assert lines[-1].startswith("next: the same without --check")
    said = "\n".join(lines)
    contacts = (many["action_modality"] != "NONE").sum()
    assert f"people: {many['member_id'].nunique()} members in 150 spells" in said
    assert f"about {20 * round(len(many) / 20):,} member-weeks, weeks 0 to 25" in said
    told = 20 * round(contacts / 20)
    assert f"contacts: about {told:,} ({told / len(many):.0%} of member-weeks): PHONE_CALL" in said
    assert f"events: about {20 * round(-many['reward'].sum() / 20):,.0f} (sum of minus the reward)" in said
    assert "states, US dollars; 13 weeks (91 days) before the week: total_paid = paid claims" in said
    assert "num_ed_visits_last_week = emergency department visits | num_ip_visits_last_week = hospital stays" in said
    assert "a member's answer shows in num_encounters_last_week; need: goal; skill: provider" in said
    assert "odd:" not in said


def test_small_counts_are_not_told(many, tmp_path):
    few = many[many["member_id"] < 1006]
    facts = _imported(few, tmp_path)
    assert facts["understood"][0].startswith("people: fewer than 11 members in fewer than 11 spells")
    texts = many.index[(many["action_modality"] == "SMS_TEXT")]
    table = many.assign(action_modality=many["action_modality"].where(~many.index.isin(texts[3:]), "PHONE_CALL"))
    gap = table.drop(index=table.index[(table["member_id"] == 1003) & (table["week"] == 5)])
    people, contacts, *_ = _imported(gap, tmp_path, on_error="drop")["understood"]
    assert people.startswith("people: 150 members in a few more spells than members (a spell is")
    assert contacts.count("not told") >= 2, "one hidden level would follow from the sum"
    assert "SMS_TEXT not told" in contacts


def test_states_of_ones_own_that_nobody_defines_are_asked_for(many, tmp_path):
    table = many.rename(columns={"num_calls_last_week": "phq9", "num_texts_last_week": "bmi"})
    states = tuple(table.columns[2:9])
    said = {"phq9": "PHQ-9 score; points; last visit"}
    lines = "\n".join(_imported(table, tmp_path, columns=ColumnMap(states=states, definitions=said))["understood"])
    assert "states, not defined; say what, unit and window under [definitions] in the map: bmi\n" in lines
    assert "states, points; last visit: phq9 = PHQ-9 score\n" in lines
    assert "reward = minus (emergency department visits + hospital stays), as nothing else is said" in lines


def test_how_few_had_a_gap_is_not_printed(many, tmp_path, monkeypatch, capsys):
    gap = many.drop(index=many.index[(many["member_id"] == 1003) & (many["week"] == 5)])
    gap.to_parquet(tmp_path / "t.parquet")
    monkeypatch.setattr(sys, "argv", ["frl", "import", str(tmp_path / "t.parquet"), "--id", ID, "--on-error", "drop"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "150 members" in (said := capsys.readouterr().out)
    assert "steps in a few more episodes than members" in said


def test_a_log_of_reached_contacts_is_called_one(many, tmp_path):
    answered = many.groupby("member_id")["num_encounters_last_week"].shift(-1)
    contact = many["action_modality"] != "NONE"
    assert _imported(many, tmp_path)["odd"] == []
    reached = many.copy()
    reached.loc[contact & (answered == 0), [f"action_{f.name}" for f in MEDICAID_ACTIONS]] = [
        "NONE", "NONE", "NONE", "ROUTINE",
    ]  # fmt: skip
    assert any("log of reached contacts only" in line for line in _imported(reached, tmp_path)["odd"])
    visits = many.assign(num_encounters_last_week=np.random.default_rng(0).random(len(many)) < 0.7)
    visits["num_encounters_last_week"] = visits["num_encounters_last_week"].astype(float)
    assert any("looks like medical visits" in line for line in _imported(visits, tmp_path)["odd"])


def test_groups_that_differ_in_capital_letters_are_named(many, tmp_path):
    half = many["member_id"] % 2 == 0
    table = many.assign(gender=np.where(half, "FEMALE", "Female"))
    said = "gender: 'FEMALE' and 'Female' differ in capital letters only"
    assert any(said in line for line in _imported(table, tmp_path)["odd"])
    merged = ColumnMap(values={"gender": {"Female": "FEMALE"}})
    assert _imported(table, tmp_path, columns=merged)["odd"] == []
    rare = many.assign(gender=np.where(many["member_id"] == 1003, "Zebulon", "ZEBULON"))
    odd = _imported(rare, tmp_path)["odd"]
    assert any("gender: 2 groups differ" in line for line in odd)
    assert "Zebulon" not in str(odd), "a group of one is not named"


def test_words_columns_and_ends_that_were_assumed_are_said(many, tmp_path):
    table = many.assign(
        gender=many["gender"].where(many["member_id"] != 1003, "NA"),
        terminated=many["terminated"].map({True: "1", False: ""}),
        action_goal=many["action_goal"].str.lower(),
    )
    odd = "\n".join(_imported(table, tmp_path)["odd"])
    assert "gender: 26 rows hold a word like NA or None; kept as a group" in odd
    assert "terminated: " in odd
    assert "taken for no" in odd
    assert "action_goal: " in odd
    assert "spell levels in other letters" in odd


def test_who_is_lost_is_said_before_rows_are_left_out(many, tmp_path):
    contact = np.flatnonzero(many["action_modality"] != "NONE")
    lost = contact[:30]
    table = many.copy()
    table.iloc[lost, table.columns.get_loc("action_provider")] = "NURSE"
    with pytest.raises(TableError) as caught:
        _imported(table, tmp_path)
    whole = 20 * round(len(contact) / 20)
    share = round(len(lost) / len(contact), 2)
    for said in (str(caught.value), caught.value.losses):
        assert f"30 of about {whole:,} weeks with a contact ({share:.0%}), 0 of about " in said
        assert "contacts are lost far more often" in said
    facts = _imported(table, tmp_path, on_error="drop")["left_out"]
    assert facts["contacts"] == {"left_out": 30, "of": whole, "share": share}
    assert facts["other_weeks"]["left_out"] == 0
    gone = -table.iloc[lost]["reward"].sum() / -table["reward"].sum()
    assert facts["share_of_events"] == pytest.approx(gone, abs=0.005)
    rows = many.index.get_indexer(table.index[lost])
    inside = [
        row for row in rows
        if 0 < row < len(many) - 1 and many["member_id"].iloc[row - 1] == many["member_id"].iloc[row + 1]
    ]  # fmt: skip
    assert 0 < facts["episodes_cut"] <= len(inside)


@pytest.mark.parametrize("rule", ["most-minutes", "first", "last"])
def test_one_of_two_contacts_in_a_week_is_kept_by_rule(rule, many, tmp_path):
    inside = many["member_id"] == many["member_id"].shift(-1)  # the last week is an observation and no step
    contact = many[(many["action_modality"] == "PHONE_CALL") & inside].iloc[:12]
    visits = contact.assign(action_modality="HOME_VISIT")
    texts = contact.assign(action_modality="SMS_TEXT")
    table = pd.concat([texts, many, visits.iloc[:6]])
    with pytest.raises(TableError, match="several contacts in one week in 18 rows"):
        _imported(table, tmp_path)
    facts = _imported(table, tmp_path, on_error="drop", several=rule, check_only=False)
    assert facts["repairs"] == [
        {"column": "week", "kind": "several contacts in one week", "rows": 18, "done": "one kept"}
    ]
    assert facts["left_out"]["episodes_cut"] == 0
    kept = _modalities(tmp_path)
    _imported(many, tmp_path, check_only=False)
    plain = _modalities(tmp_path)
    homes, phones = kept["HOME_VISIT"] - plain["HOME_VISIT"], kept["PHONE_CALL"] - plain["PHONE_CALL"]
    assert (homes, phones) == {"most-minutes": (6, -6), "first": (0, -12), "last": (6, -6)}[rule]


def test_of_two_contacts_the_usable_one_is_kept(many, tmp_path):
    contact = many[many["action_modality"] == "PHONE_CALL"].iloc[:12]
    table = pd.concat([contact.assign(action_modality="PIGEON"), many])
    facts = _imported(table, tmp_path, on_error="drop", several="first")
    assert facts["rows_left_out"] == 12
    assert facts["left_out"]["episodes_cut"] == 0
    contacts = (many["action_modality"] != "NONE").sum()
    assert facts["left_out"]["contacts"] == {"left_out": 0, "of": 20 * round(contacts / 20), "share": 0.0}


def test_of_several_rows_for_the_last_week_none_is_after_the_end(many, tmp_path):
    last = many[many["terminated"] & (many["action_modality"] != "NONE")]
    if last.empty:
        last = many[many["terminated"]].assign(
            action_modality="SMS_TEXT", action_provider="CHW", action_goal="CARE", action_urgency="ROUTINE"
        )
    visits = last.assign(action_modality="HOME_VISIT")
    table = pd.concat([many.drop(index=last.index), last, visits])
    facts = _imported(table, tmp_path, on_error="drop")
    assert len(last)
    assert [(repair["kind"], repair["rows"]) for repair in facts["repairs"]] == [
        ("several contacts in one week", len(last))
    ]
    assert facts["rows_left_out"] == len(last)


def test_what_columns_mean_and_take_is_kept(many, tmp_path):
    (tmp_path / "map.toml").write_text(MAP)
    facts = _imported(many, tmp_path, columns=ColumnMap.read(tmp_path / "map.toml"), check_only=False)
    assert any(
        "answer shows in num_calls_last_week; need: no factor; skill: provider" in s for s in facts["understood"]
    )
    dataset = _load()
    meaning = dataset.storage.metadata["frl_meaning"]
    assert meaning["response"] == "num_calls_last_week"
    assert meaning["need_factor"] is None
    assert meaning["high_touch"] == ["HOME_VISIT"]
    assert meaning["definitions"]["num_calls_last_week"].startswith("calls that were answered")
    read = meaning_of(dataset, tuple(dataset.storage.metadata["frl_observation_names"]), MEDICAID_ACTIONS)
    assert (read.response, read.need_factor, read.skill_factor) == ("num_calls_last_week", None, "provider")
    assert read.high_touch == ("HOME_VISIT",)
    effort = effort_of(dataset, MEDICAID_ACTIONS)
    assert effort is not None
    call = MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(("HOME_VISIT", "PHARMACIST", "CARE", "ROUTINE")))
    assert effort.minutes[call] == 80
    export_table(dataset, tmp_path / "again.parquet")
    again = import_table(tmp_path / "again.parquet", "tests/again-v0").load()
    assert again.storage.metadata["frl_effort"] == dataset.storage.metadata["frl_effort"]
    told = again.storage.metadata["frl_meaning"]
    assert told.pop("definitions").items() >= meaning.pop("definitions").items()
    assert told == meaning


def test_without_a_map_the_contracts_own_names_count_and_no_minutes_are_made_up(many, tmp_path):
    _imported(many, tmp_path, check_only=False)
    metadata = _load().storage.metadata
    assert metadata["frl_meaning"]["response"] == "num_encounters_last_week"
    assert "frl_effort" not in metadata


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[meaning]\nresponse = "calls"', r"unknown \[meaning\] response: 'calls'; did you mean num_calls_last_week"),
        ('[meaning]\nneed_factor = "topic"', r"unknown \[meaning\] need_factor: 'topic'"),
        ('[meaning]\nhigh_touch = "HOME_VISIT"', "high_touch must be a list of levels"),
        ('[meaning]\nhigh_touch = ["OFFICE"]', "unknown level in .meaning. high_touch"),
        ('[meaning]\nanswer = "x"', r"unknown entry in \[meaning\]: 'answer'"),
        ('[definitions]\ncalls = "x"', "unknown column to define 'calls'"),
        ("[definitions]\nreward = 3", r"\[definitions\] reward must be a sentence, in quotes"),
        ("[effort.modality]\nPIGEON = 3", "unknown level of factor 'modality': 'PIGEON'"),
        ("[effort.mode]\nPHONE_CALL = 3", "unknown factor 'mode'"),
        ("[effort.modality]\nPHONE_CALL = -3", "minutes of PHONE_CALL must be a number in 0..10080"),
        ("[effort]\nmodality = 3", "effort of 'modality' must be a table"),
        ('ignore = ["total_paid"]', "'total_paid' is required and can't be ignored"),
        ('ignore = ["gendre"]', "unknown column to ignore 'gendre'; did you mean gender"),
    ],
)
def test_mistakes_in_a_map_are_one_line(text, said, tmp_path):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        ColumnMap.read(tmp_path / "map.toml")


def test_an_ignored_column_is_not_read(many, tmp_path):
    facts = _imported(many.assign(terminated="?!"), tmp_path, columns=ColumnMap(ignore=("terminated",)))
    assert facts["repairs"] == []


def _load() -> minari.MinariDataset:
    return minari.load_dataset(ID)


def _modalities(tmp_path) -> pd.Series:
    dataset = _load()
    file = tmp_path / f"{dataset.total_steps}-{dataset.storage.metadata['frl_import']['rows_read']}.parquet"
    export_table(dataset, file)
    return pd.read_parquet(file)["action_modality"].value_counts()


def test_the_page_has_every_level_and_definition():
    page = (Path(__file__).parents[3] / "docs/own_data.md").read_text()
    for factor in MEDICAID_ACTIONS:
        assert f"| `action_{factor.name}` | {', '.join(factor.levels)} |" in page
    for name, definition in DEFINITIONS.items():
        assert f"| `{name}` | {definition} |" in page
    (mapped,) = re.findall(r"```toml\n(.*?)```", page, flags=re.DOTALL)
    said = tomllib.loads(mapped)
    assert set(said) >= {"columns", "values", "limits", "meaning", "definitions", "effort"}
    columns = ColumnMap(
        columns=said["columns"], demographics=tuple(said["demographics"]), values=said["values"], said=said["meaning"],
        limits=said["limits"], definitions=said["definitions"], effort=said["effort"],
    )  # fmt: skip
    assert columns.meaning == ColumnMap().meaning, "the page shows what is assumed without a map"


def test_levels_without_minutes_are_named(many, tmp_path):
    minutes = {"modality": {"PHONE_CALL": 15, "HOME_VISIT": 75}, "provider": {"PHARMACIST": 5}}
    (said,) = _imported(many, tmp_path, columns=ColumnMap(effort=minutes))["odd"]
    assert said.startswith("staff minutes: none are said for SMS_TEXT, VIDEO_VISIT, EHR_COMMUNICATION, so that")
    minutes["modality"] |= {"SMS_TEXT": 0, "VIDEO_VISIT": 30, "EHR_COMMUNICATION": 0}
    assert _imported(many, tmp_path, columns=ColumnMap(effort=minutes))["odd"] == [], "a 0 that is said is meant"
    assert _imported(many, tmp_path, columns=ColumnMap(effort=None))["odd"] == []


def test_weeks_of_few_people_on_a_list_are_not_told():
    weeks = {"no list": 80, "as listed": 60, "changed": 0, "not done": 30, "added": 0}
    members = {"members no list": 40, "members as listed": 35, "members not done": 3}
    told = became_of_lists({"counts": {**weeks, **members, "chances known": 60}}, "done")
    assert told["weeks"] == {"no list": 80, "as listed": None, "changed": 0, "not done": None, "added": 0}
    assert "known" not in told, "it is the number as listed"
    many = became_of_lists({"counts": {**weeks, **members, "members not done": 20, "chances known": 60}}, "done")
    assert many["weeks"] == weeks
