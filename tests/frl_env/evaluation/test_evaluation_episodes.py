"""Logged episodes: from rows, from Minari, and what they refuse, always by the number of members."""

import numpy as np
import pytest

from frl_env.actions import MEDICAID_ACTIONS, ActionSpace
from frl_env.errors import UserError
from frl_env.evaluation import LoggedEpisodes, load_episodes, split_members

SPACE = ActionSpace.from_nvec([2, 3])


def rows(**changes):
    """Three members with 3, 1 and 2 decisions."""
    arguments = {
        "rewards": np.array([1.0, 2, 3, 4, 5, 6]),
        "actions": np.array([0, 1, 2, 3, 4, 5]),
        "lengths": np.array([3, 1, 2]),
        "observations": np.arange(12.0).reshape(6, 2),
        "propensities": np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]),
        "groups": {"age": np.array(["old", "young", "old"])},
        "reward_parts": {"ed": np.array([1.0, 2, 3, 4, 5, 6]) / 2},
        "action_space": SPACE,
    }
    return arguments | changes


def test_rows_become_padded_episodes():
    episodes = LoggedEpisodes.from_rows(**rows())
    assert len(episodes) == 3
    assert episodes.rewards.tolist() == [[1, 2, 3], [4, 0, 0], [5, 6, 0]]
    assert episodes.actions.tolist() == [[0, 1, 2], [3, 0, 0], [4, 5, 0]]
    assert episodes.propensities.tolist() == [[0.1, 0.2, 0.3], [0.4, 1, 1], [0.5, 0.6, 1]]
    assert episodes.observation_rows.tolist() == np.arange(12).reshape(6, 2).tolist()
    assert episodes.returns(0.5).tolist() == [1 + 1 + 0.75, 4, 8]
    levels = LoggedEpisodes.from_rows(**rows(actions=SPACE.unravel(np.arange(6))))
    assert np.array_equal(levels.actions, episodes.actions)


def test_what_is_after_the_end_does_not_matter():
    episodes = LoggedEpisodes.from_rows(**rows())
    rubbish = np.where(episodes.mask, episodes.rewards, np.nan)
    again = LoggedEpisodes(rewards=rubbish, lengths=episodes.lengths, actions=episodes.actions, action_space=SPACE)
    assert np.array_equal(again.rewards, episodes.rewards)


def test_a_subset_keeps_its_members_whole():
    episodes = LoggedEpisodes.from_rows(**rows()).subset(np.array([2, 0]))
    assert episodes.lengths.tolist() == [2, 3]
    assert episodes.rewards.tolist() == [[5, 6, 0], [1, 2, 3]]
    assert episodes.groups["age"].tolist() == ["old", "old"]
    assert episodes.reward_parts["ed"][0].tolist() == [2.5, 3, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"propensities": np.array([0.1, 0, 0.3, 0.4, 0.5, 0])},
            "propensity of a logged action is 0",
        ),
        ({"propensities": np.array([0.1, 0.2, 0.3, 1.4, 0.5, 0.6])}, r"not in \(0, 1\].* in some members"),
        (
            {"propensities": np.array([0.1, np.nan, 0.3, 0.4, 0.5, 0.6])},
            "not finite.* in some",
        ),
        ({"rewards": np.array([1, np.inf, 3, 4, 5, np.nan])}, "rewards are not finite, in some members"),
        ({"rewards": np.arange(5.0)}, "rewards have 5 rows, but the lengths of 3 members sum to 6"),
        ({"observations": np.full((6, 2), np.nan)}, "observations are not finite, in some members"),
        ({"observations": np.zeros(6)}, "observations have shape"),
        ({"actions": np.array([0, 1, 2, 3, 4, 6])}, r"joint indices in 0..5, in some members"),
        ({"actions": np.array([0, 1, 2, 3, 4, 0.5])}, "actions must be whole numbers"),
        ({"lengths": np.array([3, 0, 3])}, "there is no decision of some members"),
        ({"lengths": np.array([3.0, 1, 2])}, "lengths must be whole numbers"),
        ({"weeks": np.array([0, 1, 3, 7, 4, 4])}, "weeks are missing, repeated or out of order in some members"),
        ({"groups": {"age": np.array([1, 2])}}, "group 'age' has shape"),
        (
            {"reward_parts": {"ed": np.array([0, 0, 0, 0, 0, np.nan])}},
            "reward part 'ed' are not finite, in some members",
        ),
    ],
)
def test_clear_errors_that_count_members(changes, message):
    with pytest.raises(UserError, match=message):
        LoggedEpisodes.from_rows(**rows(**changes))


def test_consecutive_weeks_are_fine_wherever_they_start():
    LoggedEpisodes.from_rows(**rows(weeks=np.array([4, 5, 6, 0, 9, 10])))


def test_wrong_shapes_of_padded_arrays():
    arrays = {"rewards": np.zeros((2, 3)), "lengths": np.array([3, 2]), "actions": np.zeros((2, 3), dtype=int)}
    with pytest.raises(UserError, match="rewards have shape"):
        LoggedEpisodes(**arrays | {"rewards": np.zeros(6)}, action_space=SPACE)
    with pytest.raises(UserError, match="actions have shape"):
        LoggedEpisodes(**arrays | {"actions": np.zeros((2, 4), dtype=int)}, action_space=SPACE)
    with pytest.raises(UserError, match=r"lengths are not in 1..3, in some members"):
        LoggedEpisodes(**arrays | {"lengths": np.array([3, 4])}, action_space=SPACE)
    with pytest.raises(UserError, match="hold no observations"):
        _ = LoggedEpisodes(**arrays, action_space=SPACE).observation_rows


def test_a_minari_dataset_loads_aligned(tiny_dataset):
    parts = {"ed_visits": -1.0, "ip_stays": -1.0}
    episodes = load_episodes(tiny_dataset, groups=("race_ethnicity", "gender"), reward_parts=parts)
    stored = list(tiny_dataset.iterate_episodes())
    assert len(episodes) == len(stored)
    assert episodes.action_space.contact_factors == MEDICAID_ACTIONS.contact_factors
    for i in (0, 7, len(stored) - 1):
        length = len(stored[i].rewards)
        assert episodes.lengths[i] == length
        assert np.array_equal(episodes.observations[i, :length], stored[i].observations[:-1])
        assert np.array_equal(episodes.rewards[i, :length], stored[i].rewards.astype(np.float64))
        assert np.array_equal(episodes.actions[i, :length], MEDICAID_ACTIONS.ravel(stored[i].actions))
        assert np.array_equal(episodes.propensities[i, :length], stored[i].infos["propensity"][1:, 0])
    assert np.allclose(sum(episodes.reward_parts.values()), episodes.rewards)
    assert set(episodes.groups["gender"]) == {"FEMALE", "MALE"}


def test_a_dataset_without_propensities_has_none(tiny_dataset):
    assert load_episodes(tiny_dataset, propensity=None).propensities is None
    assert load_episodes(tiny_dataset, propensity="not_logged").propensities is None
    with pytest.raises(UserError, match="has no infos 'religion'"):
        load_episodes(tiny_dataset, groups=("religion",))


def test_folds_hold_every_member_once():
    folds = split_members(10, 3, np.random.default_rng(0))
    assert sorted(np.concatenate(folds)) == list(range(10))
    assert {len(fold) for fold in folds} == {3, 4}
    with pytest.raises(UserError, match="11 folds need"):
        split_members(10, 11, np.random.default_rng(0))
