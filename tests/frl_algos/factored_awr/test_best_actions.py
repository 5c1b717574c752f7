"""The most probable actions and the names of the greedy ones."""

import numpy as np
import pytest

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.errors import UserError


@pytest.mark.parametrize("k", [1, 5, 681])
def test_top_k_is_the_head_of_all_joint_actions(trained, observations, k):
    levels, probabilities = trained.top_k(observations, k)
    assert (levels.shape, levels.dtype) == ((50, k, 4), np.int64)
    assert (probabilities.shape, probabilities.dtype) == ((50, k), np.float32)
    everything = trained.predict_probabilities(observations)
    np.testing.assert_array_equal(probabilities, -np.sort(-everything, axis=1)[:, :k])
    joints = MEDICAID_ACTIONS.ravel(levels)
    np.testing.assert_array_equal(np.take_along_axis(everything, joints, axis=1), probabilities)
    assert MEDICAID_ACTIONS.valid[joints].all()
    assert all(len(set(row)) == k for row in joints)


def test_no_observations_have_no_actions(trained, observations):
    levels, probabilities = trained.top_k(observations[:0], 3)
    assert (levels.shape, probabilities.shape) == ((0, 3, 4), (0, 3))
    assert trained.predict_names(observations[:0]).shape == (0, 4)


@pytest.mark.parametrize("k", [0, -1, 682, 2.0, True])
def test_k_is_a_number_of_valid_actions(trained, observations, k):
    with pytest.raises(UserError, match=r"k must be a whole number in 1\.\.681"):
        trained.top_k(observations, k)


def test_names_are_those_of_the_greedy_actions(trained, observations):
    names = trained.predict_names(observations)
    assert names.shape == (50, 4)
    np.testing.assert_array_equal(MEDICAID_ACTIONS.ravel(MEDICAID_ACTIONS.encode(names)), trained.predict(observations))
    with pytest.raises(UserError, match="shape"):
        trained.predict_names(observations[0])
