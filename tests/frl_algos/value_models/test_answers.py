"""Whoever asks a policy for probabilities checks its answer, and says the same of a wrong one."""

import numpy as np
import pytest

from frl_algos.value_models.allocations import member_allocations
from frl_algos.value_models.answers import checked_probabilities
from frl_algos.value_models.histories import as_episodes
from frl_env.errors import UserError


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_good_answers_are_handed_back_as_they_are(kind):
    good = np.full((3, 4), 0.25, dtype=kind)
    assert checked_probabilities(good, 3, 4) is good


@pytest.mark.parametrize(
    "row", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0], [np.inf, 0.0], [np.inf, -np.inf], [0.998, 0.0]]
)
def test_wrong_answers_are_counted(row):
    with pytest.raises(UserError, match="negative, not finite or don't sum to 1 in 1 of 2 decisions"):
        checked_probabilities(np.asarray([row, [0.5, 0.5]]), 2, 2)


def test_means_over_members_weeks_say_how_many_answers_are_wrong(tiny_buffer):
    episodes = as_episodes(tiny_buffer)
    joints = episodes.action_space.n_joint

    def twice(observations):
        return np.full((len(observations), joints), 2 / joints, dtype=np.float32)

    with pytest.raises(UserError, match=r"sum to 1 in (\d+) of \1 decisions; normalise"):
        member_allocations(twice, episodes, ("HOME_VISIT",))
