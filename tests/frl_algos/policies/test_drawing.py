"""Draws follow probabilities, and what are none is said."""

import numpy as np
import pytest

from frl_algos.policies.policy import draw_from
from frl_env.errors import UserError


def test_draws_follow_the_probabilities():
    uniform = np.random.default_rng(0).random(20_000, dtype=np.float32)
    drawn = draw_from(np.tile(np.float32([0.1, 0.0, 0.6, 0.3]), (len(uniform), 1)), uniform)
    np.testing.assert_allclose(np.bincount(drawn, minlength=4) / len(drawn), [0.1, 0.0, 0.6, 0.3], atol=0.01)


@pytest.mark.parametrize("wrong", [[np.nan, 0.5], [np.inf, 0.5], [0.0, 0.0], [-1.0, 0.5]])
def test_what_are_no_probabilities_is_said(wrong):
    rows = np.float32([[0.5, 0.5], wrong, wrong])
    with pytest.raises(UserError, match="probabilities are not finite, or all 0, in 2 of 3 states"):
        draw_from(rows, np.float32([0.1, 0.1, 0.1]))
