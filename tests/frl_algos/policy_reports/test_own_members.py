"""From a table with names of its own to a trained policy: the whole path."""

import d3rlpy
import minari
import numpy as np
import pandas as pd
import pytest

from frl_algos import FactoredAWRConfig, load_replay_buffer
from frl_algos.logged_data import memory_map as flat
from frl_algos.logged_data import minari_loading
from frl_env.datasets import ColumnMap, ImportOptions, TableError, export_table, import_table
from frl_env.errors import UserError

RENAMED = {
    "member_id": "MBR_KEY", "week": "WEEK_NO", "num_ed_visits_last_week": "ed 7d", "total_paid": "paid90",
    "action_modality": "CHANNEL", "action_goal": "TOPIC", "reward": "minus_events", "next_total_paid": "paid90_after",
    "gender": "SEX", "propensity": "p",
}  # fmt: skip


@pytest.fixture(scope="module")
def imported(tiny_dataset, tmp_path_factory):
    """The tiny dataset, out as a table, renamed and shuffled, and in again."""
    folder = tmp_path_factory.mktemp("tables")
    export_table(tiny_dataset, folder / "out.parquet")
    table = pd.read_parquet(folder / "out.parquet").rename(columns=RENAMED)
    table.sample(frac=1, random_state=0).sample(frac=1, axis=1, random_state=1).to_csv(folder / "own.csv", index=False)
    with pytest.raises(TableError, match="member_id: no such column"):
        import_table(folder / "own.csv", "tests/own-v0")
    (folder / "map.toml").write_text(
        "[columns]\n" + "".join(f'{name} = "{column}"\n' for name, column in RENAMED.items())
    )
    return import_table(folder / "own.csv", "tests/own-v0", columns=ColumnMap.read(folder / "map.toml")).load()


def _fit(buffer):
    d3rlpy.seed(0)
    algorithm = FactoredAWRConfig(response=0, batch_size=64).create()
    quiet = {"show_progress": False, "logger_adapter": d3rlpy.logging.NoopAdapterFactory()}
    algorithm.fit(buffer, n_steps=20, **quiet)
    return algorithm


def test_the_whole_path(imported, tiny_buffer):
    buffer = load_replay_buffer(imported, seed=1)
    for name, array in vars(tiny_buffer).items():
        if isinstance(array, np.ndarray):
            np.testing.assert_array_equal(array, getattr(buffer, name), err_msg=name)
    one, two = _fit(tiny_buffer), _fit(buffer)
    states = buffer.observations[:50]
    np.testing.assert_array_equal(one.predict_probabilities(states), two.predict_probabilities(states))
    assert two.predict_names(states).shape == (50, 4)


def test_arrays_are_mapped_not_read(imported):
    buffer = load_replay_buffer(imported)
    for name in ("observations", "next_observations", "actions", "rewards", "terminals", "next_actions"):
        array = getattr(buffer, name)
        assert isinstance(array.base, np.memmap), name
        assert not array.flags.writeable
    assert len(buffer.episodes) == imported.total_episodes
    assert buffer.episodes[-1].observations.shape == (imported[-1].rewards.shape[0], 7)
    assert [len(e) for e in buffer.episodes[2:4]] == [len(imported[2].rewards), len(imported[3].rewards)]


def test_parts_of_a_dataset_are_read_from_its_episodes(imported):
    part = imported.filter_episodes(lambda episode: len(episode) == 12)
    assert 0 < part.total_episodes < imported.total_episodes
    buffer = load_replay_buffer(part)
    assert set(buffer.lengths.tolist()) == {12}
    np.testing.assert_array_equal(buffer.observations[:12], next(iter(part.iterate_episodes())).observations[:-1])


def test_both_ways_of_reading_agree_on_one_step_problems(empty_store, tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    rows = 60
    table = pd.DataFrame({
        "member_id": np.repeat(range(6), 10), "week": np.tile(np.arange(10), 6), "x": rng.normal(size=rows),
        "action_modality": "NONE", "action_provider": "NONE", "action_goal": "NONE", "action_urgency": "ROUTINE",
        "future_ed_30d": rng.integers(0, 3, rows), "future_ip_30d": 0,
    })  # fmt: skip
    table.to_parquet(tmp_path / "t.parquet")
    columns = ColumnMap(states=("x",))
    dataset = import_table(tmp_path / "t.parquet", "tests/one-v0", columns=columns, options=ImportOptions()).load()
    assert dataset.total_episodes == 6
    mapped = load_replay_buffer(dataset)
    assert mapped.size() == 60
    assert (mapped.terminals == 1).all()
    assert (mapped.next_actions == 0).all()
    np.testing.assert_array_equal(mapped.rewards, -table["future_ed_30d"])
    monkeypatch.setattr(minari_loading, "map_arrays", lambda dataset: None)
    read = load_replay_buffer(dataset)
    for name, array in vars(mapped).items():
        if isinstance(array, np.ndarray):
            np.testing.assert_array_equal(array, getattr(read, name), err_msg=name)


def test_damaged_arrays_are_not_trained_on(empty_store, tmp_path, tiny_recipe, monkeypatch):
    from frl_env.datasets import build_dataset, store

    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)
    export_table(build_dataset(tiny_recipe), tmp_path / "out.parquet")
    dataset = import_table(tmp_path / "out.parquet", "tests/own-v0").load()
    folder = empty_store / "tests/own-v0/data"
    file = folder / "flat/actions.npy"
    content = file.read_bytes()
    file.write_bytes(content[:-8] + b"\1" + content[-7:])
    with pytest.raises(UserError, match=r"is damaged: flat/actions.npy was changed since it was written"):
        load_replay_buffer(dataset)
    file.unlink()
    with pytest.raises(UserError, match="is damaged"):
        load_replay_buffer(dataset)
    file.write_bytes(content)
    assert flat.map_arrays(dataset) is not None
    episode = next(iter(dataset.iterate_episodes()))
    dataset.storage.update_episodes([minari.data_collector.EpisodeBuffer(
        observations=episode.observations, actions=episode.actions, rewards=episode.rewards,
        terminations=episode.terminations, truncations=episode.truncations, infos=episode.infos,
    )])  # fmt: skip
    grown = minari.load_dataset("tests/own-v0")
    assert flat.map_arrays(grown) is None
    assert load_replay_buffer(grown).size() == 61
