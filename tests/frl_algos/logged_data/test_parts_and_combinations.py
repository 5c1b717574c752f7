"""Parts of a dataset in any order, and combined ones: whose groups, which names, and what propensities."""

import minari
import numpy as np
import pandas as pd
import pytest
from minari.data_collector import EpisodeBuffer

from frl_algos import load_replay_buffer
from frl_env import MEDICAID_ACTIONS
from frl_env.datasets import Recipe, build_dataset, export_table, import_table
from frl_env.errors import UserError
from frl_env.evaluation import action_space_of, load_episodes
from frl_env.evaluation.dataset_reading.dataset_facts import facts_of, is_simulated
from frl_env.evaluation.dataset_reading.member_records import load_members

pytestmark = pytest.mark.filterwarnings("ignore:`eval_env` is set to None", "ignore:env_spec is None")


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    file = tmp_path_factory.mktemp("parts") / "members.parquet"
    made = Recipe(dataset_id="tests/to-be-parted-v0", description="for tests", members=60, seed=5, horizon=6)
    export_table(build_dataset(made), file)
    return file


@pytest.fixture(scope="module")
def imported(table):
    return import_table(table, "tests/parted-v0").load()


@pytest.fixture(scope="module")
def other(table):
    """The same without propensities."""
    rows = pd.read_parquet(table)
    rows[[name for name in rows if "propensity" not in name]].to_parquet(table.with_name("other.parquet"))
    return import_table(table.with_name("other.parquet"), "tests/parted-other-v0").load()


def test_groups_of_a_shuffled_part_are_those_of_its_members(imported):
    part = minari.split_dataset(imported, [imported.total_episodes], seed=0)[0]
    buffer = load_replay_buffer(part, groups=["race_ethnicity"])
    assert buffer.size() == 60
    own = load_members(part, attributes=["race_ethnicity"]).labels["race_ethnicity"]
    assert buffer.groups["race_ethnicity"].tolist() == own.tolist()
    for number, episode in enumerate(part.iterate_episodes()):
        np.testing.assert_array_equal(buffer.observations[buffer.starts[number]], episode.observations[0])


@pytest.mark.long
def test_combined_imports_keep_the_names_while_their_parts_are_there(imported, other):
    both = minari.combine_datasets([imported, other], "tests/parted-both-v0")
    assert load_replay_buffer(both).action_space == action_space_of(imported)
    assert facts_of(both)["frl_observation_names"] == facts_of(imported)["frl_observation_names"]
    assert not is_simulated(both)
    for parts, name in (([imported, other], "tests/parted-one-v0"), ([other, imported], "tests/parted-two-v0")):
        with pytest.warns(UserWarning, match="propensities in 60 of 120 episodes only"):
            assert load_episodes(minari.combine_datasets(parts, name)).propensities is None


def test_what_was_lost_is_said_and_can_be_given(imported, table):
    import_table(table, "tests/parted-gone-v0")
    gone = minari.load_dataset("tests/parted-gone-v0")
    both = minari.combine_datasets([imported, gone], "tests/parted-lost-v0")
    minari.delete_dataset("tests/parted-gone-v0")
    with pytest.raises(UserError, match=r"combined from tests/parted-v0, tests/parted-gone-v0.*pass action_space="):
        load_replay_buffer(both)
    with pytest.raises(UserError, match=r"pass action_space="):
        load_episodes(both)
    assert load_replay_buffer(both, action_space=action_space_of(imported)).size() == 120
    with pytest.raises(UserError, match="names behind the numbers of 'gender' were lost"):
        load_members(both, attributes=["gender"])
    with pytest.raises(UserError, match="names behind the numbers of 'gender' were lost"):
        load_episodes(both, action_space=action_space_of(imported), groups=("gender",))


def test_episodes_recorded_in_the_environment_have_its_names_and_not_the_teams_propensities():
    import gymnasium

    env = gymnasium.make("frl_env:frl/MedicaidCare-v0", horizon=4)
    rng, buffers = np.random.default_rng(0), []
    for seed in range(3):
        observation, info = env.reset(seed=seed)
        buffer = {"observations": [observation], "actions": [], "rewards": [], "ends": [], "infos": [info]}
        over = False
        while not over:
            action = MEDICAID_ACTIONS.unravel(rng.choice(MEDICAID_ACTIONS.valid_joints))
            observation, reward, terminated, truncated, info = env.step(action)
            over = terminated or truncated
            for key, value in zip(buffer, (observation, action, reward, (terminated, truncated), info), strict=True):
                buffer[key].append(value)
        ends = np.asarray(buffer["ends"])
        buffers.append(EpisodeBuffer(
            observations=np.stack(buffer["observations"]), actions=np.stack(buffer["actions"]),
            rewards=np.asarray(buffer["rewards"]), terminations=ends[:, 0], truncations=ends[:, 1],
            infos={"propensity": np.stack([np.atleast_1d(each["propensity"]) for each in buffer["infos"]])},
        ))  # fmt: skip
    made = minari.create_dataset_from_buffers(
        "tests/recorded-v0", buffers, env=env, author="a", author_email="a@b.c", code_permalink="c",
        algorithm_name="a", description="d",
    )  # fmt: skip
    assert load_replay_buffer(made).action_space.valid.sum() == 681
    assert len(facts_of(made)["frl_observation_names"]) == 7
    assert is_simulated(made)
    with pytest.warns(UserWarning, match="to the simulated care team, which need not be who was recorded"):
        assert load_episodes(made).propensities is None
