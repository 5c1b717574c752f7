import gymnasium
import minari
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from minari.data_collector import EpisodeBuffer

from frl_env import MEDICAID_ACTIONS, World
from frl_env.datasets import Recipe, build_dataset, store
from frl_env.datasets.table_import import ImportOptions, export_table, import_table
from frl_env.errors import UserError
from frl_env.parameters import MEASURES


@pytest.fixture
def built(empty_store, monkeypatch):
    """A dataset of the simulator, built small."""
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 200)

    def build(**changes) -> minari.MinariDataset:
        made = {"dataset_id": "tests/built-v0", "description": "", "members": 30, "seed": 3, "horizon": 12}
        return build_dataset(Recipe(**(made | changes)))

    return build


def test_the_table_holds_what_the_schema_has_a_column_for(built, tmp_path, table):
    dataset = built()
    assert export_table(dataset, tmp_path / "out.parquet") == dataset.total_steps
    exported = pd.read_parquet(tmp_path / "out.parquet")
    exported["member_id"] += 1000
    outcomes = ["future_ed_30d", "future_ip_30d"]
    assert set(exported.columns) - set(outcomes) == set(table.columns)
    pd.testing.assert_frame_equal(exported[table.columns], table, check_dtype=False)
    assert not [name for name in exported if name in ("risk_tier", "acuity", "open_needs", "covered")], "latent"


@pytest.mark.parametrize("ending", ["parquet", "csv", "arrow"])
def test_out_and_in_again_gives_the_same_episodes(built, tmp_path, ending):
    dataset = built()
    file = tmp_path / f"out.{ending}"
    export_table(dataset, file)
    again = import_table(file, "tests/again-v0", options=ImportOptions(keep_identifiers=True)).load()
    assert again.total_steps == dataset.total_steps
    for one, two in zip(dataset.iterate_episodes(), again.iterate_episodes(), strict=True):
        for name in ("observations", "actions", "rewards", "terminations", "truncations"):
            np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
            assert getattr(one, name).dtype == getattr(two, name).dtype
        for key in ("propensity", "factor_propensities"):
            np.testing.assert_array_equal(one.infos[key][1:], two.infos[key][1:])
        for key in ("age_band", "gender", "race_ethnicity"):
            np.testing.assert_array_equal(one.infos[key][:-1], two.infos[key][:-1])
    other = tmp_path / f"again.{ending}"
    export_table(again, other)
    if ending == "csv":  # where identifiers are text
        pd.testing.assert_frame_equal(pd.read_csv(file), pd.read_csv(other))
    elif ending == "arrow":
        pd.testing.assert_frame_equal(pd.read_feather(file), pd.read_feather(other))
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(file), pd.read_parquet(other))
        assert pq.read_schema(file).equals(pq.read_schema(other))


def test_windows_are_four_weeks_and_empty_where_cut_off(built, tmp_path):
    dataset = built()
    export_table(dataset, tmp_path / "out.parquet")
    table = pd.read_parquet(tmp_path / "out.parquet")
    ends = 0
    for number, episode in enumerate(dataset.iterate_episodes()):
        own = table[table["member_id"] == number]
        events = episode.infos["ed_visits"][1:, 0]
        for week, window in enumerate(own["future_ed_30d"]):
            if week + 4 <= len(events) or episode.terminations[-1]:
                assert window == events[week : week + 4].sum()
            else:
                assert np.isnan(window)
                ends += 1
    assert ends > 20


def test_other_measures_travel_with_the_table(built, tmp_path):
    dataset = built(world=World(screening=1.0))
    export_table(dataset, tmp_path / "out.parquet")
    again = import_table(tmp_path / "out.parquet", "tests/again-v0").load()
    assert again.spec.observation_space.shape == (22,)
    first, second = next(iter(dataset.iterate_episodes())), next(iter(again.iterate_episodes()))
    np.testing.assert_array_equal(first.observations, second.observations)


def test_one_step_problems_come_back(outcome_table, tmp_path, empty_store):
    outcome_table["week"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(outcome_table["week"] * 7, unit="D")
    outcome_table.to_parquet(tmp_path / "in.parquet")
    options = ImportOptions(rewards="one-step", keep_identifiers=True)
    dataset = import_table(tmp_path / "in.parquet", "tests/one-v0", options=options).load()
    export_table(dataset, tmp_path / "out.parquet")
    exported = pd.read_parquet(tmp_path / "out.parquet")
    assert "reward" not in exported
    exported["week"] = pd.to_datetime(exported["week"])
    pd.testing.assert_frame_equal(exported, outcome_table[exported.columns], check_dtype=False)
    assert set(exported.columns) == set(outcome_table.columns)


def test_states_alone_give_outcomes_too(plain_table, tmp_path, empty_store):
    plain_table.to_parquet(tmp_path / "in.parquet")
    export_table(import_table(tmp_path / "in.parquet", "tests/plain-v0").load(), tmp_path / "out.parquet")
    exported = pd.read_parquet(tmp_path / "out.parquet")
    own = exported[exported["member_id"] == 0]
    np.testing.assert_array_equal(
        own["future_ed_30d"].dropna(), plain_table[MEASURES[1]].iloc[1:12].rolling(4).sum().dropna()
    )


def _recorded(dataset, infos=(), start=0, **made):
    """The same episodes as others would record them: some infos, one number a week, and nothing of ours beside."""
    keys = ("observations", "rewards", "terminations", "truncations")
    buffers = [
        EpisodeBuffer(
            **{key: getattr(each, key) for key in keys},
            actions=each.actions + start,
            infos={key: each.infos[key].squeeze() for key in infos},
        )
        for each in dataset.iterate_episodes()
    ]
    about = {"author": "a", "author_email": "a@b.c", "code_permalink": "c", "algorithm_name": "a", "description": "d"}
    return minari.create_dataset_from_buffers("tests/recorded-v0", buffers, **made, **about)


def test_propensities_of_others_than_who_was_recorded_are_left_out(built, tmp_path):
    """The environment reports those of its care team, whoever acts in it."""
    env = gymnasium.make("frl_env:frl/MedicaidCare-v0")
    export_table(
        _recorded(built(), ["propensity", "factor_propensities"], env=env, eval_env=env), tmp_path / "out.parquet"
    )
    exported = pd.read_parquet(tmp_path / "out.parquet")
    assert exported["action_modality"].isin(MEDICAID_ACTIONS["modality"].levels).all()
    assert not [name for name in exported if "propensity" in name]


@pytest.mark.filterwarnings("ignore:env_spec is None", "ignore:`eval_env` is set to None")
def test_levels_that_do_not_start_at_0_and_infos_of_one_number_a_week(built, tmp_path):
    dataset = built()
    space = gymnasium.spaces.MultiDiscrete(MEDICAID_ACTIONS.nvec, start=[1, 1, 1, 1])
    spaces = {"observation_space": dataset.spec.observation_space, "action_space": space}
    export_table(_recorded(dataset, ["propensity"], start=1, **spaces), tmp_path / "out.parquet")
    exported = pd.read_parquet(tmp_path / "out.parquet")
    levels = np.concatenate([episode.actions[:, 0] for episode in dataset.iterate_episodes()])
    assert exported["action_factor_0"].tolist() == [f"L{level}" for level in levels]
    chances = np.concatenate([episode.infos["propensity"][1:, 0] for episode in dataset.iterate_episodes()])
    assert exported["propensity"].tolist() == chances.tolist()


def test_of_combined_imports_the_parts_are_to_be_exported(table, tmp_path, empty_store):
    table.to_parquet(tmp_path / "all.parquet")
    table[[name for name in table if "propensity" not in name]].to_parquet(tmp_path / "some.parquet")
    parts = [import_table(tmp_path / f"{name}.parquet", f"tests/{name}-v0").load() for name in ("all", "some")]
    both = minari.combine_datasets(parts, "tests/both-v0")
    with pytest.raises(UserError, match=r"combined from tests/all-v0, tests/some-v0, .*; export each of these"):
        export_table(both, tmp_path / "out.parquet")


def test_a_failed_export_leaves_what_was_there(built, tmp_path):
    dataset = built()
    file = tmp_path / "out.parquet"
    file.write_text("old")
    with pytest.raises(UserError, match=r"unknown format of a table: '.xlsx'"):
        export_table(dataset, tmp_path / "out.xlsx")
    with pytest.raises(UserError, match="can't write"):
        export_table(dataset, tmp_path / "none" / "out.parquet")

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export_table(dataset, file, force=True, progress=stop)
    main = dataset.storage.data_path / "main_data.hdf5"
    main.write_bytes(main.read_bytes()[:1000])
    with pytest.raises(UserError, match="is damaged"):
        export_table(dataset, file, force=True)
    assert file.read_text() == "old"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["out.parquet", "store"]
