"""A trained algorithm under a budget is asked for what it can say."""

import numpy as np
import pytest

from frl_algos.policies.policy import LearnedPolicy
from frl_env import MEDICAID_ACTIONS, World
from frl_env.capacity import Budgeted, Capacity
from frl_env.care_effort import care_effort
from frl_env.rollout import rollout

WORLD = World().parameters
EFFORT = care_effort(WORLD)


@pytest.mark.parametrize(("mode", "kind"), [("stochastic", "probabilities"), ("greedy", "actions")])
def test_probabilities_get_a_price_and_greedy_choices_are_thinned(trained, mode, kind):
    policy = Budgeted(LearnedPolicy(trained, MEDICAID_ACTIONS, mode), EFFORT, Capacity(minutes=1.0))
    assert policy.kind == kind
    spent = []

    def record(week, who, before, levels, after, outcome):
        spent.append((EFFORT.minutes[MEDICAID_ACTIONS.ravel(levels)].sum(), (before.active & ~before.gap).sum()))

    rollout(policy, WORLD, members=200, seed=1, horizon=3, record=record)
    minutes, enrolled = np.asarray(spent).T
    assert (minutes <= enrolled + 1e-6).all()


@pytest.mark.parametrize("mode", ["stochastic", "greedy"])
def test_nobody_to_decide_about_is_no_error(trained, mode):
    policy = LearnedPolicy(trained, MEDICAID_ACTIONS, mode)
    assert policy(np.zeros((0, 7), np.float32), np.random.default_rng(0)).shape == (0, 4)
