import datetime
import json
import shutil

import minari
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.feather
import pytest

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace, Factor
from frl_env.datasets import tabular
from frl_env.datasets.tabular import ColumnMap, ImportOptions, import_table
from frl_env.datasets.tabular.checking import partition
from frl_env.datasets.tabular.checking.outcomes import COLUMN, COUNTS, ONE_STEP
from frl_env.errors import UserError
from frl_env.parameters import GENDERS, MEASURES, RACES

ID = "tests/own-v0"


@pytest.fixture(autouse=True)
def _own_store(empty_store):
    """Every test has a store of its own."""


def _import(table: pd.DataFrame, tmp_path, dataset_id=ID, columns=None, **options) -> minari.MinariDataset:
    file = tmp_path / "table.parquet"
    table.to_parquet(file)
    return import_table(file, dataset_id, columns=columns, options=ImportOptions(**options), force=True).load()


def _facts(dataset) -> dict:
    return dataset.storage.metadata["frl_import"]


def _content(dataset) -> str:
    return dataset.storage.metadata["frl_content_sha256"]


def _episodes(dataset) -> list:
    return list(dataset.iterate_episodes())


def test_every_number_arrives_where_it_was(simulated, table, tmp_path):
    dataset = _import(table.sample(frac=1, random_state=0), tmp_path)
    assert len(set(simulated.lengths.tolist())) > 1, "unequal episodes are the point"
    assert dataset.total_steps == simulated.lengths.sum()
    for i, episode in enumerate(_episodes(dataset)):
        length = simulated.lengths[i]
        np.testing.assert_array_equal(episode.observations, simulated.observations[i, : length + 1])
        np.testing.assert_array_equal(episode.actions, simulated.actions[i, :length])
        np.testing.assert_array_equal(episode.rewards, simulated.rewards[i, :length])
        assert episode.terminations[-1] == simulated.terminated[i]
        assert episode.truncations[-1] == (not simulated.terminated[i])
        assert not (episode.terminations[:-1] | episode.truncations[:-1]).any()
        for key in ("propensity", "factor_propensities"):
            np.testing.assert_array_equal(episode.infos[key], simulated.information[key][i, : length + 1])
        for key in ("age_band", "gender", "race_ethnicity"):
            np.testing.assert_array_equal(episode.infos[key][:-1], simulated.information[key][i, :length])
        np.testing.assert_array_equal(episode.infos["week"][:, 0], np.arange(length + 1))
        assert (episode.infos["member"] == i).all()
        assert "EpisodeData" in repr(episode)


def test_metadata_say_what_learners_and_readers_need(table, tmp_path):
    dataset = _import(table, tmp_path)
    metadata = dataset.storage.metadata
    assert metadata["frl_observation_names"] == list(MEASURES)
    assert metadata["frl_action_schema"] == json.loads(MEDICAID_ACTIONS.to_json())
    assert metadata["frl_vocabularies"]["race_ethnicity"] == list(RACES)
    assert dataset.spec.observation_space.contains(_episodes(dataset)[0].observations[0])
    facts = _facts(dataset)
    assert facts["rewards"] == COLUMN
    assert (facts["members"], facts["episodes"], facts["steps"]) == (30, 30, len(table))
    assert facts["rows_left_out"] == facts["rows_clipped"] == 0
    assert facts["repairs"] == []
    assert "tests/own-v0" in minari.list_local_datasets()
    assert str(tmp_path) not in json.dumps(metadata, default=str), "no machine path"


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "feather", "folder", "hive", "dictionary", "shuffled"])
def test_the_form_of_the_table_changes_nothing(kind, table, tmp_path):
    expected = _content(_import(table, tmp_path))
    path = tmp_path / f"table.{kind}"
    if kind in ("csv", "csv.gz"):
        table.to_csv(path, index=False)
    elif kind == "tsv":
        table.to_csv(path, index=False, sep="\t")
    elif kind == "feather":
        pyarrow.feather.write_feather(pa.Table.from_pandas(table), str(path))
    elif kind == "folder":
        path.mkdir()
        for part, rows in enumerate(np.array_split(np.arange(len(table)), 3)):
            table.iloc[rows].to_parquet(path / f"part-{part}.parquet")
        (path / "_SUCCESS").touch()
    elif kind == "hive":
        pa_dataset.write_dataset(
            pa.Table.from_pandas(table, preserve_index=False), path, format="parquet",
            partitioning=["gender"], partitioning_flavor="hive",
        )  # fmt: skip
    else:
        path = tmp_path / "other.parquet"
        changed = table.sample(frac=1, random_state=1)[table.columns[::-1]]
        if kind == "dictionary":
            texts = [name for name in table if table[name].dtype.kind not in "ifb"]
            changed = table.astype(dict.fromkeys(texts, "category"))
        changed.to_parquet(path)
    result = import_table(path, "tests/other-v0")
    assert _content(result.load()) == expected


def test_small_files_of_rows_give_the_same_members(table, tmp_path, monkeypatch):
    """Members sorted out into several files: the same episodes in another order, linked shard by shard."""
    one = {tuple(e.infos["propensity"][1:, 0]): e for e in _episodes(_import(table, tmp_path))}
    monkeypatch.setattr(partition, "ROWS", 50)
    dataset = _import(table.sample(frac=1, random_state=2), tmp_path, "tests/many-v0")
    assert len(list((dataset.storage.data_path).glob("episodes-*.hdf5"))) == 7
    several = _episodes(dataset)
    assert [episode.id for episode in several] == list(range(30))
    assert {int(episode.infos["member"][0, 0]) for episode in several} == set(range(30))
    for episode in several:
        same = one.pop(tuple(episode.infos["propensity"][1:, 0]))
        np.testing.assert_array_equal(episode.observations, same.observations)
        np.testing.assert_array_equal(episode.actions, same.actions)
    assert not one


def test_the_last_week_is_an_observation_where_nothing_else_is_known(plain_table, simulated, tmp_path):
    episodes = _episodes(_import(plain_table, tmp_path))
    assert [len(e) for e in episodes] == [n - 1 for n in simulated.lengths if n > 1]
    first = episodes[0]
    np.testing.assert_array_equal(first.observations, simulated.observations[0, : simulated.lengths[0]])
    assert first.truncations[-1]


def test_weekly_rewards_come_back_from_outcomes_of_30_days(outcome_table, simulated, tmp_path):
    dataset = _import(outcome_table, tmp_path)
    facts = _facts(dataset)
    assert facts["rewards"] == COUNTS
    assert facts["rewards_evidence"]["checked"] > 250
    assert facts["rewards_evidence"]["disagree"] == 0
    kept = [i for i, length in enumerate(simulated.lengths) if length > 1]
    for i, episode in zip(kept, _episodes(dataset), strict=True):
        np.testing.assert_array_equal(episode.rewards, simulated.rewards[i, : len(episode)])
        np.testing.assert_array_equal(-episode.rewards, (episode.infos["ed_visits"] + episode.infos["ip_stays"])[1:, 0])
    assert sum(episode.rewards.sum() for episode in _episodes(dataset)) < -3, "there are events"


def test_the_last_window_of_who_left_is_the_last_week(outcome_table, whole_table, simulated, tmp_path):
    """After the end nothing is recorded, so that the window holds the events of the last week alone."""
    outcome_table["terminated"] = whole_table["terminated"]
    assert simulated.terminated.any()
    for i, episode in enumerate(_episodes(_import(outcome_table, tmp_path))):
        length = simulated.lengths[i] if simulated.terminated[i] else simulated.lengths[i] - 1
        np.testing.assert_array_equal(episode.rewards, simulated.rewards[i, :length])
        assert episode.terminations[-1] == simulated.terminated[i]
        if simulated.terminated[i]:
            assert not episode.observations[-1].any(), "the state after the end is not known"


def test_outcomes_that_contradict_the_counts_make_one_step_problems(outcome_table, tmp_path):
    outcome_table["future_ed_30d"] = outcome_table["future_ed_30d"].sample(frac=1, random_state=0).to_numpy()
    dataset = _import(outcome_table, tmp_path)
    facts = _facts(dataset)
    assert facts["rewards"] == ONE_STEP
    assert "contradict" in facts["rewards_why"]
    assert dataset.total_steps == len(outcome_table)
    row = 0
    for episode in _episodes(dataset):
        assert episode.terminations.all()
        assert not episode.truncations.any()
        table = outcome_table.iloc[row : row + len(episode)]
        np.testing.assert_array_equal(episode.rewards, -(table["future_ed_30d"] + table["future_ip_30d"]))
        np.testing.assert_array_equal(episode.observations[:-1], table[list(MEASURES)].to_numpy(np.float32))
        row += len(episode)


def test_what_rewards_are_made_of_can_be_asked_for(outcome_table, plain_table, tmp_path):
    assert _facts(_import(outcome_table, tmp_path, rewards="one-step"))["rewards"] == ONE_STEP
    outcome_table["future_ed_30d"] += 50
    assert _facts(_import(outcome_table, tmp_path, rewards="weekly"))["rewards"] == COUNTS
    with pytest.raises(UserError, match="one-step rewards need the columns future_ed_30d"):
        _import(plain_table, tmp_path, rewards="one-step")
    other = ColumnMap(states=("enrolled_days",))
    assert _facts(_import(outcome_table, tmp_path, columns=other))["rewards"] == ONE_STEP
    with pytest.raises(UserError, match="weekly rewards need a reward column, or the states num_ed"):
        _import(outcome_table, tmp_path, columns=other, rewards="weekly")


def test_rows_far_apart_are_one_step_problems(outcome_table, tmp_path):
    dataset = _import(outcome_table[outcome_table["week"] % 3 == 0], tmp_path)
    assert _facts(dataset)["rewards"] == ONE_STEP
    assert "next week is known in" in _facts(dataset)["rewards_why"]


def test_a_missing_outcome_leaves_out_its_row_only_where_it_matters(outcome_table, tmp_path):
    outcome_table.loc[3, "future_ed_30d"] = np.nan
    assert _facts(_import(outcome_table, tmp_path))["repairs"] == []
    with pytest.raises(UserError, match="future_ed_30d: missing in 1 row "):
        _import(outcome_table, tmp_path, rewards="one-step")
    dataset = _import(outcome_table, tmp_path, rewards="one-step", on_error="drop")
    assert dataset.total_steps == len(outcome_table) - 1
    first, second = _episodes(dataset)[:2]
    assert len(first) == 3
    np.testing.assert_array_equal(first.observations[3], outcome_table.loc[3, list(MEASURES)].to_numpy(np.float32))
    np.testing.assert_array_equal(second.observations[0], outcome_table.loc[4, list(MEASURES)].to_numpy(np.float32))


def test_dropped_rows_are_counted_and_end_episodes(plain_table, tmp_path):
    plain_table.loc[3, "num_ed_visits_last_week"] = 379
    plain_table.loc[5, "total_paid"] = -1
    dataset = _import(plain_table, tmp_path, on_error="drop")
    facts = _facts(dataset)
    assert facts["repairs"] == [
        {"column": "num_ed_visits_last_week", "kind": "out of range", "rows": 1, "done": "dropped"},
        {"column": "total_paid", "kind": "out of range", "rows": 1, "done": "dropped"},
    ]
    assert facts["rows_left_out"] == 2
    episodes = _episodes(dataset)
    assert [len(e) for e in episodes[:2]] == [2, 5], "rows 0-2, one alone, 6-11"
    assert [int(e.infos["member"][0, 0]) for e in episodes[:3]] == [0, 0, 1]
    assert episodes[1].infos["week"][0, 0] == 6


def test_clipped_numbers_stay_and_are_counted(plain_table, tmp_path):
    plain_table.loc[3, "num_ed_visits_last_week"] = 379
    plain_table.loc[4, "action_modality"] = "NONE"
    plain_table.loc[4, "action_goal"] = "DENTAL"
    plain_table.loc[9, "num_ip_visits_last_week"] = np.nan
    dataset = _import(plain_table, tmp_path, on_error="clip")
    first = _episodes(dataset)[0]
    assert first.observations[3, 1] == 21
    assert (first.actions[4] == 0).all()
    assert len(first) == 8
    facts = _facts(dataset)
    assert facts["rows_clipped"] == 2
    assert {(r["kind"], r["done"]) for r in facts["repairs"]} == {
        ("out of range", "clipped"), ("impossible action", "clipped"), ("missing", "dropped"),
    }  # fmt: skip


def test_gaps_duplicates_and_disputes(plain_table, tmp_path):
    rows = plain_table[plain_table["member_id"] == 1000].copy()
    assert len(rows) == 12
    twice, disputed = rows.iloc[[1]], rows.iloc[[3]].assign(num_calls_last_week=9.0)
    other = plain_table[plain_table["member_id"] != 1000]
    broken = pd.concat([rows.drop(index=[6, 7]), twice, disputed, other])
    dataset = _import(broken, tmp_path, on_error="drop")
    repairs = {r["kind"]: (r["rows"], r["done"]) for r in _facts(dataset)["repairs"]}
    assert repairs == {"same row twice": (1, "dropped"), "two rows for one week": (2, "dropped"), "gap": (2, "split")}
    own = [e for e in _episodes(dataset) if e.infos["member"][0, 0] == 0]
    assert [e.infos["week"][:, 0].tolist() for e in own] == [[0, 1, 2], [4, 5], [8, 9, 10, 11]]


def test_weeks_may_be_dates(plain_table, tmp_path):
    numbers = _content(_import(plain_table, tmp_path))
    start = datetime.date(2024, 1, 1)
    plain_table["week"] = [start + datetime.timedelta(weeks=int(week)) for week in plain_table["week"]]
    dataset = _import(plain_table, tmp_path)
    assert _facts(dataset)["week"] == "date"
    assert _episodes(dataset)[0].infos["week"][:3, 0].tolist() == [19723, 19730, 19737]
    assert _content(dataset) != numbers
    text = plain_table.assign(week=plain_table["week"].astype(str))
    assert _content(_import(text, tmp_path)) == _content(dataset)
    text.loc[0, "week"] = "first week"  # the kind is told by most of them
    with pytest.raises(UserError, match="week: not a week in 1 row"):
        _import(text, tmp_path)
    stamps = plain_table.assign(week=pd.to_datetime(plain_table["week"]))
    assert _content(_import(stamps, tmp_path)) == _content(dataset)


def test_actions_by_code_alias_and_own_spelling(plain_table, tmp_path):
    expected = _content(_import(plain_table, tmp_path))
    for number, factor in enumerate(MEDICAID_ACTIONS):
        name = f"action_{factor.name}"
        plain_table[name] = factor.encode(plain_table[name])
        assert _content(_import(plain_table, tmp_path)) == expected, number
    goal = MEDICAID_ACTIONS["goal"]
    own = goal.decode(plain_table["action_goal"].to_numpy()).astype(object)
    own[own == "MENTAL_HEALTH"] = "OTHER_MENTAL_BEHAVIORAL"
    own[own == "MEDICATION_ADHERENCE"] = "pills"
    assert {"OTHER_MENTAL_BEHAVIORAL", "pills"} <= set(own)
    columns = ColumnMap(values={"action_goal": {"pills": "MEDICATION_ADHERENCE"}})
    assert _content(_import(plain_table.assign(action_goal=own), tmp_path, columns=columns)) == expected


def test_columns_by_a_map_file_and_flags(plain_table, tmp_path):
    expected = _content(_import(plain_table, tmp_path))
    renamed = {"member_id": "MBR", "week": "wk", "num_calls_last_week": "calls 7d", "action_goal": "GOAL_CD"}
    plain_table["notes"] = "free text that is never read"
    file = tmp_path / "map.toml"
    lines = [f'{name} = "{column}"' for name, column in renamed.items() if name != "week"]
    file.write_text("\n".join(["[columns]", *lines, 'week = "wrong"', "[limits]", "total_paid = [0, 2_000_000]"]))
    columns = ColumnMap.read(file, columns={"week": "wk"})
    assert columns.limit("total_paid") == (0, 2_000_000)
    assert columns.limit("next_total_paid") == (0, 2_000_000)
    shuffled = plain_table.rename(columns=renamed).sample(frac=1, axis=1, random_state=0)
    assert _content(_import(shuffled, tmp_path, columns=columns)) == expected


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
    dataset = _import(table, tmp_path, columns=ColumnMap.read(tmp_path / "map.toml"))
    assert dataset.spec.action_space.nvec.tolist() == [3, 3]
    assert dataset.spec.observation_space.shape == (2,)
    assert dataset.storage.metadata["frl_observation_names"] == ["glucose", "weight"]
    assert dataset.storage.metadata["frl_vocabularies"] == {"site": ["north", "south"]}
    first = _episodes(dataset)[0]
    np.testing.assert_allclose(first.observations[:, 0], table["glucose"][:20], rtol=1e-6)
    np.testing.assert_array_equal(first.actions[:, 0], drug[:19])


def test_members_are_split_never_their_rows(table, tmp_path):
    both = import_table(_file(table, tmp_path), ID, options=ImportOptions(validation_share=0.3, keep_identifiers=True))
    assert both.dataset_ids == (ID, "tests/own-validation-v0")
    parts = [minari.load_dataset(dataset_id) for dataset_id in both.dataset_ids]
    members = [set(pd.read_parquet(part.storage.data_path / "member_ids.parquet")["member_id"]) for part in parts]
    assert not members[0] & members[1]
    assert members[0] | members[1] == set(table["member_id"])
    assert 3 <= len(members[1]) <= 16
    assert sum(part.total_steps for part in parts) == len(table)
    again = import_table(_file(table.iloc[::-1], tmp_path), ID, options=ImportOptions(validation_share=0.3), force=True)
    assert [facts["members"] for facts in again.facts] == [len(own) for own in members]


def test_one_dataset_of_a_split_comes_back_alone(table, tmp_path, empty_store):
    both = import_table(_file(table, tmp_path), ID, options=ImportOptions(validation_share=0.3))
    for missing in both.dataset_ids:
        minari.delete_dataset(missing)
        assert import_table(_file_again(tmp_path), ID, options=ImportOptions(validation_share=0.3)) == both
        assert sorted(minari.list_local_datasets()) == sorted(both.dataset_ids)
        assert not list((empty_store / "tests").glob(".*building*"))


def test_identifiers_are_kept_only_when_asked(table, tmp_path):
    table["member_id"] = ["secret" + str(member) for member in table["member_id"]]
    dataset = _import(table, tmp_path)
    content = b"".join(f.read_bytes() for f in dataset.storage.data_path.rglob("*") if f.is_file())
    assert b"secret" not in content
    kept = pd.read_parquet(_import(table, tmp_path, keep_identifiers=True).storage.data_path / "member_ids.parquet")
    assert kept["member"].tolist() == list(range(30))
    assert kept["member_id"].tolist() == sorted(set(table["member_id"]))


def test_unknown_groups_have_a_name(table, tmp_path):
    table.loc[table["member_id"] == 1000, "gender"] = None
    vocabulary = _import(table, tmp_path).storage.metadata["frl_vocabularies"]["gender"]
    assert vocabulary == [*GENDERS, "UNKNOWN"]


def _file_again(tmp_path):
    return tmp_path / "table.parquet"


def _file(table, tmp_path):
    table.to_parquet(tmp_path / "table.parquet")
    return tmp_path / "table.parquet"


def test_an_import_that_is_there_is_left_alone(table, tmp_path, empty_store):
    file = _file(table, tmp_path)
    first = import_table(file, ID)
    before = (empty_store / ID / "data/metadata.json").stat().st_mtime_ns
    assert import_table(file, ID) == first
    assert (empty_store / ID / "data/metadata.json").stat().st_mtime_ns == before
    other = tmp_path / "other.parquet"
    table.iloc[12:].to_parquet(other)
    with pytest.raises(UserError, match="exists already; choose another id, or add --force"):
        import_table(other, ID)
    import_table(other, ID, force=True)
    assert minari.load_dataset(ID).total_episodes == 29


def test_checking_writes_nothing(table, tmp_path, empty_store):
    facts = import_table(_file(table, tmp_path), ID, check_only=True)
    assert facts.dataset_ids == ()
    assert facts.facts[0]["rows_read"] == len(table)
    assert [f.name for f in empty_store.rglob("*") if f.is_file()] == [".own-v0.lock"]


def test_an_interrupted_import_goes_on_where_it_was(table, tmp_path, empty_store, monkeypatch):
    monkeypatch.setattr(partition, "ROWS", 50)
    file = _file(table, tmp_path)
    whole = _content(import_table(file, "tests/whole-v0").load())

    def stop(after):
        def progress(what, done, total):
            if what == after[0] and done > after[1]:
                raise KeyboardInterrupt

        return progress

    read = []
    original = tabular.checking.reader.Reader.read
    monkeypatch.setattr(tabular.checking.reader.Reader, "read", lambda self, b: read.append(1) or original(self, b))
    for after in (("checking", 3), ("writing", 10), ("writing", 20)):
        with pytest.raises(KeyboardInterrupt):
            import_table(file, ID, progress=stop(after))
        assert not (empty_store / ID).exists()
    written = []
    add = tabular.writing.Draft.add
    monkeypatch.setattr(tabular.writing.Draft, "add", lambda self, part: written.append(1) or add(self, part))
    dataset = import_table(file, ID).load()
    assert len(read) == 1, "the table is not read again"
    assert len(written) < 7, "whole files are not written again"
    assert _content(dataset) == whole
    assert sorted(p.name for p in (empty_store / "tests").iterdir() if not p.name.endswith(".lock")) == [
        "namespace_metadata.json", "own-v0", "whole-v0",
    ]  # fmt: skip
    assert not (empty_store / ID / "description").exists()


def test_another_table_does_not_go_on_from_this_one(table, tmp_path, empty_store, monkeypatch):
    monkeypatch.setattr(partition, "ROWS", 100)

    def stop(what, done, total):
        if what == "checking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_table(_file(table, tmp_path), ID, progress=stop)
    assert len(list((empty_store / "tests").glob(".own-v0.building-*"))) == 1
    table.loc[0, "total_paid"] += 1
    dataset = import_table(_file(table, tmp_path), ID).load()
    assert not list((empty_store / "tests").glob(".own-v0.building-*"))
    assert table["total_paid"][0] in {e.observations[0, 6] for e in _episodes(dataset)}


def test_a_table_that_changes_meanwhile_is_refused(table, tmp_path, empty_store):
    file = _file(table, tmp_path)

    def change(what, done, total):
        if what == "reading":
            shutil.copy(file, tmp_path / "copy")
            shutil.copy(tmp_path / "copy", file)

    with pytest.raises(UserError, match="changed while it was being read"):
        import_table(file, ID, progress=change)
    assert not list(empty_store.rglob("*.arrow"))
