"""Columns and words of other programs: names, dates, codes, spellings, vocabularies."""

import datetime
import json
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from own_tables import content_of, episodes_of, facts_of, imported

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.datasets.table_import import ColumnMap, TableError
from frl_env.datasets.table_import.schema.columns import SCHEMA_KEY
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_store")


def test_weeks_may_be_dates(plain_table, tmp_path):
    numbers = content_of(imported(plain_table, tmp_path))
    start = datetime.date(2024, 1, 1)
    plain_table["week"] = [start + datetime.timedelta(weeks=int(week)) for week in plain_table["week"]]
    dataset = imported(plain_table, tmp_path)
    assert facts_of(dataset)["week"] == "date"
    assert episodes_of(dataset)[0].infos["week"][:3, 0].tolist() == [19723, 19730, 19737]
    assert content_of(dataset) != numbers
    text = plain_table.assign(week=plain_table["week"].astype(str))
    assert content_of(imported(text, tmp_path)) == content_of(dataset)
    text.loc[0, "week"] = "first week"  # the kind is told by most of them
    with pytest.raises(UserError, match="week: not a week in 1 row"):
        imported(text, tmp_path)
    stamps = plain_table.assign(week=pd.to_datetime(plain_table["week"]))
    assert content_of(imported(stamps, tmp_path)) == content_of(dataset)


def test_actions_by_code_alias_and_own_spelling(plain_table, tmp_path):
    expected = content_of(imported(plain_table, tmp_path))
    for number, factor in enumerate(MEDICAID_ACTIONS):
        name = f"action_{factor.name}"
        plain_table[name] = factor.encode(plain_table[name])
        assert content_of(imported(plain_table, tmp_path)) == expected, number
    goal = MEDICAID_ACTIONS["goal"]
    own = goal.decode(plain_table["action_goal"].to_numpy()).astype(object)
    own[own == "MENTAL_HEALTH"] = "OTHER_MENTAL_BEHAVIORAL"
    own[own == "MEDICATION_ADHERENCE"] = "pills"
    assert {"OTHER_MENTAL_BEHAVIORAL", "pills"} <= set(own)
    columns = ColumnMap(values={"action_goal": {"pills": "MEDICATION_ADHERENCE"}})
    assert content_of(imported(plain_table.assign(action_goal=own), tmp_path, columns=columns)) == expected


def test_columns_by_a_map_file_and_flags(plain_table, tmp_path):
    expected = content_of(imported(plain_table, tmp_path))
    renamed = {"member_id": "MBR", "week": "wk", "num_calls_last_week": "calls 7d", "action_goal": "GOAL_CD"}
    plain_table["notes"] = "free text that is never read"
    file = tmp_path / "map.toml"
    lines = [f'{name} = "{column}"' for name, column in renamed.items() if name != "week"]
    file.write_text("\n".join(["[columns]", *lines, 'week = "wrong"', "[limits]", "total_paid = [0, 2_000_000]"]))
    columns = ColumnMap.read(file, columns={"week": "wk"})
    assert columns.limit("total_paid") == (0, 2_000_000)
    assert columns.limit("next_total_paid") == (0, 2_000_000)
    shuffled = plain_table.rename(columns=renamed).sample(frac=1, axis=1, random_state=0)
    assert content_of(imported(shuffled, tmp_path, columns=columns)) == expected


def test_other_vocabularies_and_measures(tmp_path):
    """A program that has nothing in common with this one but the form of its decisions."""
    space = ActionSpace(
        factors=(Factor(name="drug", levels=("none", "a", "b")), Factor(name="dose", levels=("none", "low", "high"))),
        contact_factors=("drug", "dose"),
    )
    (tmp_path / "actions.json").write_text(space.to_json())
    (tmp_path / "map.toml").write_text(
        'states = ["glucose", "weight"]\ndemographics = ["site"]\naction_schema = "actions.json"\n'
        '[columns]\nreward = "minus_admissions"\n[limits]\nglucose = [0, 1000]\nreward = [-100, 100]\n'
    )
    rng = np.random.default_rng(0)
    rows = 40
    drug = rng.integers(0, 3, rows)
    table = pd.DataFrame({
        "member_id": np.repeat(["x", "y"], 20), "week": np.tile(np.arange(20), 2),
        "glucose": rng.normal(100, 9, rows), "weight": rng.normal(80, 5, rows),
        "action_drug": np.array(["none", "a", "b"])[drug],
        "action_dose": np.where(drug == 0, "none", "low"), "minus_admissions": rng.normal(size=rows),
        "site": np.repeat(["north", "south"], 20),
    })  # fmt: skip
    dataset = imported(table, tmp_path, columns=ColumnMap.read(tmp_path / "map.toml"))
    assert dataset.spec.action_space.nvec.tolist() == [3, 3]
    assert dataset.spec.observation_space.shape == (2,)
    assert dataset.storage.metadata["frl_observation_names"] == ["glucose", "weight"]
    assert dataset.storage.metadata["frl_vocabularies"] == {"site": ["north", "south"]}
    first = episodes_of(dataset)[0]
    np.testing.assert_allclose(first.observations[:, 0], table["glucose"][:20], rtol=1e-6)
    np.testing.assert_array_equal(first.actions[:, 0], drug[:19])


def test_a_map_adds_to_what_a_table_says_of_itself(tmp_path):
    own = ColumnMap(
        limits={"total_paid": (0, 9), "reward": (-5, 0)}, said={"response": "num_calls_last_week", "spending": ""},
        definitions={"total_paid": "net"}, effort={"modality": {"PHONE_CALL": 7}, "provider": {"PHARMACIST": 3}},
    )  # fmt: skip
    schema = pa.schema([], metadata={SCHEMA_KEY: json.dumps(own.facts())})
    assert ColumnMap.read(table=schema).facts() == own.facts() == ColumnMap.of_table(schema).facts()
    (tmp_path / "map.toml").write_text(
        '[limits]\ntotal_paid = [-1, 20]\n[meaning]\nspending = "total_paid"\n[effort.modality]\nHOME_VISIT = 60\n'
    )
    found = ColumnMap.read(tmp_path / "map.toml", table=schema, columns={"week": "wk"}, ignore=["terminated"])
    assert (found.limit("total_paid"), found.limit("reward")) == ((-1, 20), (-5, 0))
    assert (found.meaning.response, found.meaning.spending) == ("num_calls_last_week", "total_paid")
    assert found.definition("total_paid") == "net"
    assert found.effort == {"modality": {"HOME_VISIT": 60}, "provider": {"PHARMACIST": 3}}, "a factor at a time"
    assert (found.in_table("week"), found.ignore) == ("wk", ("terminated",))
    (tmp_path / "anew.toml").write_text('demographics = ["county"]\n')
    anew = ColumnMap.read(tmp_path / "anew.toml", table=schema)
    assert (anew.effort, anew.definitions, anew.meaning) == (None, {}, ColumnMap().meaning)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("[limits]\ntotal_paid = [5, 3]", "5 is above 3"),
        ("[limits]\ntotal_paid = [nan, 3]", "must be two numbers"),
        ("[limits]\ntotal_paid = [true, 3]", "must be two numbers"),
        ('[columns]\nnope = "a"', "unknown column 'nope'"),
        ('[meaning]\nresponse = "nope"', "unknown .meaning. response"),
        ('[effort.modality]\nHOME_VISIT = "a"', "minutes of HOME_VISIT must be a number"),
        ("action_schema = 3", "'action_schema' must be the name of a file, in quotes"),
    ],
)
def test_a_map_file_is_named_whatever_is_wrong_in_it(said, words, tmp_path):
    file = tmp_path / "map.toml"
    file.write_text(said)
    with pytest.raises(UserError, match=rf"{re.escape(str(file))}: .*{words}"):
        ColumnMap.read(file)


def test_a_file_of_actions_is_named_whatever_is_wrong_in_it(tmp_path):
    file = tmp_path / "actions.json"
    file.write_text("[")
    with pytest.raises(UserError, match=rf"{re.escape(str(file))}: not an action schema"):
        ColumnMap.read(action_schema=file)


def test_a_code_that_a_map_of_own_codes_leaves_out_is_not_ours(plain_table, tmp_path):
    own = {"NONE": 9, "PHONE_CALL": 1, "SMS_TEXT": 2, "HOME_VISIT": 3, "VIDEO_VISIT": 4, "EHR_COMMUNICATION": 5}
    codes = {str(code): level for level, code in own.items()}
    table = plain_table.assign(action_modality=plain_table["action_modality"].map(own))
    visits = int((plain_table["action_modality"] == "HOME_VISIT").sum())
    columns = ColumnMap(values={"action_modality": codes})
    assert content_of(imported(table, tmp_path, columns=columns)) == content_of(imported(plain_table, tmp_path))
    del codes["3"]  # which is our code of a video visit
    with pytest.raises(TableError) as caught:
        imported(table, tmp_path, columns=ColumnMap(values={"action_modality": codes}))
    (problem,) = caught.value.problems
    assert (problem.kind, problem.rows) == ("unknown level", visits)
    assert problem.allowed.endswith("EHR_COMMUNICATION, or the codes in the map")


def test_identifiers_that_their_type_can_not_tell_apart_are_none(plain_table, tmp_path):
    """Floats of 32 bits hold whole numbers up to 2 to the 24th; beyond it 16777217 is kept as 16777216."""
    small = plain_table.assign(member_id=plain_table["member_id"].astype("float32"))
    assert content_of(imported(small, tmp_path)) == content_of(imported(plain_table, tmp_path))
    large = plain_table.assign(member_id=(plain_table["member_id"] + 2**24).astype("float32"))
    with pytest.raises(TableError) as caught:
        imported(large, tmp_path)
    assert [(each.column, each.kind, each.rows) for each in caught.value.problems] == [
        ("member_id", "not an identifier", len(large))
    ]
