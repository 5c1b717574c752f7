"""Broken column maps and options of an import: every one ends in a clear error, and no file is left behind."""

import pytest
from refusals import ID, nothing_left

from frl_env.datasets.table_import import ColumnMap, ImportOptions, import_table
from frl_env.errors import UserError

MAPS = {
    "not TOML": ("states = [", "is not TOML"),
    "unknown entry": ('colums = "x"', "unknown entry in .*'colums'; did you mean columns"),
    "unknown column": ('[columns]\nmember = "x"', "unknown column 'member'; did you mean member_id"),
    "a number for a name": ("[columns]\nweek = 3", "must be the name of a column, in quotes"),
    "column not there": ('[columns]\npropensity = "p"', "p: no such column"),
    "one for two": ('[columns]\nweek = "member_id"', "one column, two meanings"),
    "outcome for a state": ('[columns]\ntotal_paid = "reward"', "outcome among the states"),
    "future state": ('states = ["future_cost"]', "future_cost: outcome among the states"),
    "states not a list": ('states = "total_paid"', "'states' must be a list of names"),
    "no states": ("states = []", "at least one state column"),
    "state twice": ('states = ["total_paid", "total_paid"]', "would have two meanings"),
    "unknown level": ('[values.action_goal]\nx = "TEETH"', "unknown level of 'action_goal': 'TEETH'"),
    "unknown action": ('[values.goal]\nx = "DENTAL"', "unknown action column 'goal'; did you mean action_goal"),
    "values not a table": ("[values]\naction_goal = 3", r"\[values.action_goal\] must be a table"),
    "limits reversed": ("[limits]\ntotal_paid = [5, 1]", "limits of 'total_paid': 5 is above 1"),
    "limits of text": ('[limits]\ntotal_paid = ["a", "b"]', "must be two numbers"),
    "limits of an unknown column": ("[limits]\npaid = [0, 1]", "unknown column with limits 'paid'"),
    "no action schema": ('action_schema = "none.json"', "can't read .*none.json"),
    "broken action schema": ('action_schema = "map.toml"', "not an action schema"),
}


@pytest.mark.parametrize("fault", MAPS)
def test_a_broken_map_is_refused_in_words(fault, table, tmp_path, empty_store):
    text, said = MAPS[fault]
    table.to_parquet(tmp_path / "table.parquet")
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        import_table(tmp_path / "table.parquet", ID, columns=ColumnMap.read(tmp_path / "map.toml"))
    nothing_left(empty_store)


@pytest.mark.parametrize(
    ("dataset_id", "options", "said"),
    [
        ("no version", {}, "is no dataset id"),
        ("tests/unversioned", {}, "is no dataset id"),
        ("../up-v0", {}, "is no dataset id"),
        ("frl/medicaid-synthetic-v0", {}, "made by a recipe"),
        ("frl/medicaid-synthetic-v0", {"validation_share": 0.5}, "made by a recipe"),
        (ID, {"on_error": "ignore"}, "unknown on-error 'ignore'"),
        (ID, {"rewards": "monthly"}, "unknown rewards 'monthly'"),
        (ID, {"validation_share": 1.0}, "must lie in 0..1"),
    ],
)
def test_broken_requests_are_refused_in_words(dataset_id, options, said, table, tmp_path, empty_store):
    table.to_parquet(tmp_path / "table.parquet")
    with pytest.raises(UserError, match=said):
        import_table(tmp_path / "table.parquet", dataset_id, options=ImportOptions(**options))
    nothing_left(empty_store)


def test_a_share_for_which_nobody_is_left_is_said(table, tmp_path, empty_store):
    table.to_parquet(tmp_path / "table.parquet")
    said = "for 'tests/broken-validation-v0', of the members whom the share 0.001 puts there; choose another share"
    with pytest.raises(UserError, match=said):
        import_table(tmp_path / "table.parquet", ID, options=ImportOptions(validation_share=0.001))
    nothing_left(empty_store)
