"""`frl import --worklist`: what was listed comes back beside what was done, with its chance where that is known."""

import minari
import numpy as np
import pandas as pd
import pytest
from worklist_members import frl

from frl_env.actions import MEDICAID_ACTIONS as SPACE
from frl_env.datasets import ColumnMap, ImportOptions, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.parameters import MEASURES

NOTHING = ("NONE", "NONE", "NONE", "ROUTINE")
CALL = ("PHONE_CALL", "CHW", "FOOD_INSECURITY", "ROUTINE")
VISIT = ("HOME_VISIT", "CHW", "FOOD_INSECURITY", "ROUTINE")
ACTIONS = [f"action_{factor.name}" for factor in SPACE]
WEEKS = range(10, 14)
"""Of the table; the last row of a member is no step."""


def _table(members: int = 40) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = [
        [
            f"m{member:03d}",
            week,
            *rng.integers(0, 2, 5),
            7 * week,
            10.0 * member,
            *_done(member, week),
            -member % 2,
            "w",
        ]
        for member in range(members)
        for week in WEEKS
    ]
    table = pd.DataFrame(rows, columns=["member_id", "week", *MEASURES, *ACTIONS, "reward", "gender"])
    return table.assign(reward=-(table.num_ed_visits_last_week + table.num_ip_visits_last_week).shift(-1, fill_value=0))


def _done(member: int, week: int) -> tuple[str, ...]:
    """By member: calls in weeks 11 and 12 of every fourth; else nothing."""
    return CALL if member % 4 == 0 and week in (11, 12) else NOTHING


def _listed(week: int, members: int = 40) -> pd.DataFrame:
    """A call for members 0 to 19 in week 11, a visit for members 20 to 39 in week 12; nothing for the others."""
    rows = []
    for member in range(members):
        what = CALL if week == 11 and member < 20 else VISIT if week == 12 and member >= 20 else NOTHING
        rows.append([f"m{member:03d}", str(week), *what, 0.25 if what == NOTHING else 0.5])
    return pd.DataFrame(rows, columns=["member_id", "week", *ACTIONS, "propensity"])


@pytest.fixture
def lists(tmp_path):
    folder = tmp_path / "lists"
    folder.mkdir()
    for week in (11, 12):
        _listed(week).to_parquet(folder / f"week-{week}-chances.parquet")
        (folder / f"week-{week}.html").write_text("a list")
    return folder


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "store"))
    file = tmp_path / "members.parquet"
    _table().to_parquet(file)
    return file


def _weeks(dataset_id: str) -> dict[tuple[int, int], dict[str, float]]:
    """Infos of each decision, by number of the member and week."""
    found = {}
    for episode in minari.load_dataset(dataset_id).iterate_episodes():
        for step, action in enumerate(episode.actions):
            infos = {
                key: values[step + 1, 0] for key, values in episode.infos.items() if "list" in key or "prop" in key
            }
            week = int(episode.infos["week"][step, 0])
            found[int(episode.infos["member"][0, 0]), week] = infos | {"joint": int(SPACE.ravel(action))}
    return found


def test_what_became_of_each_listed_decision(table, lists):
    imported = import_table(table, "me/loop-v0", worklists=[lists], options=ImportOptions(keep_identifiers=True))
    weeks = _weeks("me/loop-v0")
    ids = pd.read_parquet(minari.load_dataset("me/loop-v0").storage.data_path / "member_ids.parquet")
    number = {name: int(code) for code, name in zip(ids.iloc[:, 0], ids.iloc[:, 1], strict=True)}
    number = number if "m000" in number else {name: int(code) for name, code in ids.itertuples(index=False)}
    call, visit, nothing = (int(SPACE.ravel(SPACE.encode(each))) for each in (CALL, VISIT, NOTHING))
    expected = {
        ("m000", 10): (0, -1, np.nan, np.nan),  # no list for that week
        ("m000", 11): (1, call, 0.5, 0.5),  # called, as listed
        ("m001", 11): (3, call, 0.5, np.nan),  # not done
        ("m024", 11): (4, nothing, 0.25, np.nan),  # called though nothing was listed
        ("m025", 11): (1, nothing, 0.25, 0.25),  # nothing, as listed
        ("m024", 12): (2, visit, 0.5, np.nan),  # a call instead of a visit
        ("m000", 12): (4, nothing, 0.25, np.nan),
    }
    for (name, week), wanted in expected.items():
        said = weeks[number[name], week]
        found = [said[key] for key in ("listed", "listed_action", "listed_propensity", "propensity")]
        np.testing.assert_array_equal(np.asarray(found, dtype=float), np.asarray(wanted, dtype=float), err_msg=name)
    assert imported.facts[0]["worklists"]["weeks"] == {
        "no list": 80, "as listed": 35, "changed": None, "not done": 30, "added": None
    }  # fmt: skip
    assert imported.facts[0]["worklists"]["known"] == 35


def test_the_decision_that_was_listed_has_a_chance_everywhere(table, lists):
    options = ImportOptions(decision="listed")
    import_table(
        table, "me/intended-v0", worklists=[lists / "week-11.html", lists / "week-12-chances.parquet"], options=options
    )
    call, visit = (int(SPACE.ravel(SPACE.encode(each))) for each in (CALL, VISIT))
    weeks = _weeks("me/intended-v0")
    joints = {week: [said["joint"] for (_, own), said in sorted(weeks.items()) if own == week] for week in (11, 12)}
    assert joints[11].count(call) == 20
    assert joints[12].count(visit) == 20
    assert all(said["propensity"] == said["listed_propensity"] for (_, week), said in weeks.items() if week > 10)


def test_a_column_of_chances_counts_where_no_list_speaks(table, lists, tmp_path):
    frame = pd.read_parquet(table)
    frame["propensity"] = np.where(frame.week == 10, 0.9, np.nan)
    frame.to_parquet(table)
    import_table(table, "me/both-v0", worklists=[lists])
    known = {week: [] for week in WEEKS}
    for (_, week), said in _weeks("me/both-v0").items():
        known[week].append(said["propensity"])
    assert known[10] == [0.9] * 40
    assert set(np.asarray(known[11])[np.isfinite(known[11])]) == {0.5, 0.25}
    assert np.isnan(known[11]).any()
    with pytest.warns(UserWarning, match=r"knows the propensities of \d+\.\d% of its decisions"):
        episodes = load_episodes(minari.load_dataset("me/both-v0"))
    assert episodes.known is not None
    np.testing.assert_array_equal(episodes.propensities[:, 0], 0.9)
    assert ((episodes.propensities > 0) & (episodes.propensities <= 1)).all()
    assert episodes.subset(np.arange(5)).known.shape == (5, episodes.steps)
    again = tmp_path / "again.parquet"  # what is not known is an empty cell, there and back
    export_table(minari.load_dataset("me/both-v0"), again)
    import_table(again, "me/again-v0")
    assert np.isnan([said["propensity"] for said in _weeks("me/again-v0").values()]).any()


def test_all_known_is_exact_and_other_lists_are_another_import(table, lists):
    options = ImportOptions(decision="listed")
    frame = pd.read_parquet(table)
    frame[frame.week > 10].to_parquet(table)
    import_table(table, "me/exact-v0", worklists=[lists], options=options)
    episodes = load_episodes(minari.load_dataset("me/exact-v0"))
    assert episodes.known is None
    assert set(np.unique(episodes.propensities[episodes.mask])) <= {0.25, 0.5, 1.0}
    changed = _listed(12)
    changed["propensity"] = 0.75
    changed.to_parquet(lists / "week-12-chances.parquet")
    with pytest.raises(UserError, match="exists already"):
        import_table(table, "me/exact-v0", worklists=[lists], options=options)


def _spoiled(what: str, frame: pd.DataFrame) -> pd.DataFrame:
    if what == "column":
        return frame.drop(columns="action_goal")
    if what == "level":
        return frame.assign(action_goal="JUGGLING")
    if what == "chance":
        return frame.assign(propensity=0.0)
    if what == "text":
        return frame.assign(propensity="often")
    if what == "empty":
        return frame.iloc[:0]
    if what == "cell":
        return frame.assign(week=None)
    if what == "week":
        return frame.assign(week=["12"] * 30 + ["soon"] * 10)
    if what == "few twice":
        return pd.concat([frame, frame.iloc[:3]])
    return pd.concat([frame, frame])


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("column", "lacks action_goal"),
        ("level", "levels of 'goal' that the table does not have, in 40 rows"),
        ("chance", "not above 0 and at most 1 in 40 rows"),
        ("text", "not above 0 and at most 1 in 40 rows"),
        ("empty", "has no row"),
        ("cell", "empty cells in 40 rows"),
        ("week", "weeks that are none in fewer than 11 rows"),
        ("twice", "40 members have two decisions for one week"),
        ("few twice", "fewer than 11 members have two decisions for one week"),
    ],
)
def test_a_bad_list_is_one_line_and_nothing_is_written(table, lists, what, said, tmp_path):
    _spoiled(what, _listed(12)).to_parquet(lists / "week-12-chances.parquet")
    with pytest.raises(UserError) as problem:
        import_table(table, "me/bad-v0", worklists=[lists])
    assert said in str(problem.value)
    assert "\n" not in str(problem.value)
    assert "m0" not in str(problem.value)
    assert not (tmp_path / "store" / "me" / "bad-v0").exists()


def test_lists_that_are_not_there_or_of_other_weeks(table, lists, tmp_path):
    with pytest.raises(UserError, match="writes the chances of its decisions beside each list"):
        import_table(table, "me/bad-v0", worklists=[tmp_path / "gone.html"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no file ends in -chances\.parquet"):
        import_table(table, "me/bad-v0", worklists=[tmp_path / "empty"])
    with pytest.raises(UserError, match="only with a worklist"):
        import_table(table, "me/bad-v0", options=ImportOptions(decision="listed"))
    for file in lists.glob("*.parquet"):
        pd.read_parquet(file).assign(week="2026-12-07").iloc[:20].to_parquet(file)
        break
    with pytest.raises(UserError, match="some worklists count weeks by number and some by date"):
        import_table(table, "me/bad-v0", worklists=[lists])
    with pytest.raises(UserError, match="counts weeks by date and the table by number"):
        import_table(table, "me/bad-v0", worklists=[file])
    (lists / "week-12-chances.parquet").write_bytes(b"PAR1 no table")
    with pytest.raises(UserError, match=r"can't be read|damaged|can't read"):
        import_table(table, "me/bad-v0", worklists=[lists / "week-12.html"])


def test_the_command_says_how_much_is_known_and_no_small_number(table, lists, capsys):
    assert frl("import", table, "--id", "me/said-v0", "--worklist", lists) == 0
    said = capsys.readouterr().out.replace("\n", " ")
    assert "not done 30" in said
    assert "as listed 35, changed not told" in said
    assert "with --decision listed every chance is exact" in said
    assert frl("import", table, "--id", "me/other-v0", "--worklist", lists / "gone.csv") == 2
    assert frl("import", table, "--id", "me/other-v0", "--worklist", lists, "--decision", "wished") == 2


def test_an_empty_cell_is_a_level_only_where_the_map_says_so(table, tmp_path):
    frame = pd.read_parquet(table).replace({"action_modality": {"NONE": ""}, "action_goal": {"NONE": None}})
    frame.to_csv(tmp_path / "extract.csv", index=False)
    with pytest.raises(UserError, match="action_modality: missing in"):
        import_table(tmp_path / "extract.csv", "me/empty-v0")
    values = {name: {"": "NONE"} for name in ("action_modality", "action_goal")}
    import_table(tmp_path / "extract.csv", "me/empty-v0", columns=ColumnMap(values=values))
    import_table(table, "me/whole-v0")
    assert [each["joint"] for each in _weeks("me/empty-v0").values()] == [
        each["joint"] for each in _weeks("me/whole-v0").values()
    ]
