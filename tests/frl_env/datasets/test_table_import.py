"""What stands in a table arrives in the dataset, whatever form the file has; members are split whole."""

import json

import minari
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.feather
import pytest
from own_tables import ID, content_of, episodes_of, facts_of, imported, write

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.table_import import ImportOptions, import_table
from frl_env.datasets.table_import.checking import partition
from frl_env.datasets.table_import.checking.outcomes import COLUMN
from frl_env.datasets.table_import.table_files import data_file
from frl_env.parameters import GENDERS, MEASURES, RACES

pytestmark = pytest.mark.usefixtures("empty_store")


def test_every_number_arrives_where_it_was(simulated, table, tmp_path):
    dataset = imported(table.sample(frac=1, random_state=0), tmp_path)
    assert len(set(simulated.lengths.tolist())) > 1, "unequal episodes are the point"
    assert dataset.total_steps == simulated.lengths.sum()
    for i, episode in enumerate(episodes_of(dataset)):
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
    dataset = imported(table, tmp_path)
    metadata = dataset.storage.metadata
    assert metadata["frl_observation_names"] == list(MEASURES)
    assert metadata["frl_action_schema"] == json.loads(MEDICAID_ACTIONS.to_json())
    assert metadata["frl_vocabularies"]["race_ethnicity"] == list(RACES)
    assert dataset.spec.observation_space.contains(episodes_of(dataset)[0].observations[0])
    facts = facts_of(dataset)
    assert facts["rewards"] == COLUMN
    assert (facts["members"], facts["episodes"], facts["steps"]) == (30, 30, len(table))
    assert facts["rows_left_out"] == facts["rows_clipped"] == 0
    assert facts["repairs"] == []
    assert "tests/own-v0" in minari.list_local_datasets()
    assert str(tmp_path) not in json.dumps(metadata, default=str), "no machine path"


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "feather", "folder", "hive", "dictionary", "shuffled"])
def test_the_form_of_the_table_changes_nothing(kind, table, tmp_path):
    expected = content_of(imported(table, tmp_path))
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
    assert content_of(result.load()) == expected


def test_small_files_of_rows_give_the_same_members(table, tmp_path, monkeypatch):
    """Members sorted out into several files: the same episodes in another order, linked shard by shard."""
    one = {tuple(e.infos["propensity"][1:, 0]): e for e in episodes_of(imported(table, tmp_path))}
    monkeypatch.setattr(partition, "ROWS", 50)
    dataset = imported(table.sample(frac=1, random_state=2), tmp_path, "tests/many-v0")
    assert len(list((dataset.storage.data_path).glob("episodes-*.hdf5"))) == 7
    several = episodes_of(dataset)
    assert [episode.id for episode in several] == list(range(30))
    assert {int(episode.infos["member"][0, 0]) for episode in several} == set(range(30))
    for episode in several:
        same = one.pop(tuple(episode.infos["propensity"][1:, 0]))
        np.testing.assert_array_equal(episode.observations, same.observations)
        np.testing.assert_array_equal(episode.actions, same.actions)
    assert not one


def test_the_last_week_is_an_observation_where_nothing_else_is_known(plain_table, simulated, tmp_path):
    episodes = episodes_of(imported(plain_table, tmp_path))
    assert [len(e) for e in episodes] == [n - 1 for n in simulated.lengths if n > 1]
    first = episodes[0]
    np.testing.assert_array_equal(first.observations, simulated.observations[0, : simulated.lengths[0]])
    assert first.truncations[-1]


def test_members_are_split_never_their_rows(table, tmp_path):
    both = import_table(write(table, tmp_path), ID, options=ImportOptions(validation_share=0.3, keep_identifiers=True))
    assert both.dataset_ids == (ID, "tests/own-validation-v0")
    parts = [minari.load_dataset(dataset_id) for dataset_id in both.dataset_ids]
    members = [set(pd.read_parquet(part.storage.data_path / "member_ids.parquet")["member_id"]) for part in parts]
    assert not members[0] & members[1]
    assert members[0] | members[1] == set(table["member_id"])
    assert 3 <= len(members[1]) <= 16
    assert sum(part.total_steps for part in parts) == len(table)
    again = import_table(write(table.iloc[::-1], tmp_path), ID, options=ImportOptions(validation_share=0.3), force=True)
    assert [facts["members"] for facts in again.facts] == [len(own) for own in members]


def test_identifiers_are_kept_only_when_asked(table, tmp_path):
    table["member_id"] = ["secret" + str(member) for member in table["member_id"]]
    dataset = imported(table, tmp_path)
    content = b"".join(f.read_bytes() for f in dataset.storage.data_path.rglob("*") if f.is_file())
    assert b"secret" not in content
    kept = pd.read_parquet(imported(table, tmp_path, keep_identifiers=True).storage.data_path / "member_ids.parquet")
    assert kept["member"].tolist() == list(range(30))
    assert kept["member_id"].tolist() == sorted(set(table["member_id"]))


def test_unknown_groups_have_a_name(table, tmp_path):
    table.loc[table["member_id"] == 1000, "gender"] = None
    vocabulary = imported(table, tmp_path).storage.metadata["frl_vocabularies"]["gender"]
    assert vocabulary == [*GENDERS, "UNKNOWN"]


def test_where_parts_are_cut_shows_nowhere(table, tmp_path, monkeypatch):
    """Spells of a person stay together: all that is told is the same of one part of the rows and of many."""
    members = sorted(table["member_id"].unique())
    rng = np.random.default_rng(0)
    missing = table["member_id"].isin(members[:14]) & (rng.random(len(table)) < 0.2)
    table = table[~missing].assign(gender=lambda rows: np.where(rows["member_id"].isin(members[:3]), "X", "FEMALE"))
    table.loc[table["member_id"].isin(members[4:7]), "total_paid"] = -1.0
    again = table[table["member_id"].isin(members[8:11])].iloc[::3]
    shuffled = pd.concat([table, again]).sample(frac=1, random_state=4)
    found = []
    for rows, batch in ((400_000, 1 << 17), (40, 1 << 17), (11, 7)):
        monkeypatch.setattr(partition, "ROWS", rows)
        monkeypatch.setattr(partition, "AT_ONCE", batch)
        monkeypatch.setattr(data_file, "BATCH", batch)
        kept = imported(shuffled, tmp_path, f"tests/cut-{rows}-v0", on_error="drop", validation_share=0.3)
        facts = {key: value for key, value in facts_of(kept).items() if key not in ("made_of", "table", "split")}
        people = {}
        for episode in episodes_of(kept):
            own = tuple(np.asarray(each).tobytes() for each in (episode.observations, episode.actions, episode.rewards))
            people.setdefault(int(episode.infos["member"][0, 0]), []).append(own)
        found.append((facts, sorted(map(tuple, people.values()))))
    assert found[0][0]["episodes"] > 12, "several spells a person"
    assert found[0] == found[1] == found[2]
