#!/usr/bin/env bash
# scope-rl 0.2.1: with a discount, the value that a policy earns in the environment, which estimates are judged by, and
# the estimates of a whole distribution of returns discount the first reward, too. The other estimates do not. With a
# discount of 0.5 an exact estimate of a value is twice what it is compared with. In the environment it is only so where
# every trajectory starts anew; with `evaluate_on_stationary_distribution=True` the first reward counts in full.
#
# Seen:      three steps, a reward of 1 each, discount 0.5: 1 + 0.5 + 0.25 = 1.75
#            in the environment 0.875; with evaluate_on_stationary_distribution 1.75
#            DirectMethod, TrajectoryWiseImportanceSampling, PerDecisionImportanceSampling, DoublyRobust 1.75
#            CumulativeDistributionTIS: all returns are at most 0.88
# Read:      `rollout_policy_online` in scope_rl/ope/online.py counts a step before it discounts;
#            `_aggregate_trajectory_wise_statistics_discrete` in scope_rl/ope/estimators_base.py
# For us:    every return counts its first reward in full, estimates and environment alike
#            (frl_env/evaluation/estimating/estimators.py; tests/frl_env/evaluation/test_evaluation_estimators.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scope-rl==0.2.1 d3rlpy==2.8.1 gym==0.26.2 \
  gymnasium==1.0.0 torch==2.13.0 numpy==1.26.4 pandas==3.0.6 scikit-learn==1.9.1 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import gym
import numpy as np
from d3rlpy.algos import DiscreteRandomPolicyConfig
from scope_rl.ope.discrete import (
    CumulativeDistributionTIS, DirectMethod, DoublyRobust, PerDecisionImportanceSampling,
    TrajectoryWiseImportanceSampling,
)
from scope_rl.ope.online import calc_on_policy_policy_value

DISCOUNT, STEPS, MEMBERS = 0.5, 3, 40


class Weeks(gym.Env):
    """A reward of 1 a week, whatever is done."""

    observation_space = gym.spaces.Box(0.0, float(STEPS), (1,), np.float32)
    action_space = gym.spaces.Discrete(2)

    def reset(self, seed=None, options=None):
        self.week = 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.week += 1
        return np.float32([self.week]), 1.0, self.week == STEPS, False, {}


env = Weeks()
policy = DiscreteRandomPolicyConfig().create()
policy.build_with_env(env)
earned = [
    calc_on_policy_policy_value(
        env, policy, n_trajectories=5, step_per_trajectory=STEPS, gamma=DISCOUNT,
        evaluate_on_stationary_distribution=stationary, random_state=0,
    )
    for stationary in (False, True)
]
rows = MEMBERS * STEPS
logged = {  # by the same policy
    "step_per_trajectory": STEPS, "gamma": DISCOUNT, "action": np.arange(rows) % 2, "reward": np.ones(rows),
    "pscore": np.full(rows, 0.5), "evaluation_policy_action_dist": np.full((rows, 2), 0.5),
    "state_action_value_prediction": np.tile([[1.75] * 2, [1.5] * 2, [1.0] * 2], (MEMBERS, 1)),
}
basic = {
    kind.__name__: float(kind().estimate_policy_value(**logged))
    for kind in (DirectMethod, TrajectoryWiseImportanceSampling, PerDecisionImportanceSampling, DoublyRobust)
}
at_most = dict(zip((0.0, 0.88, 1.76), CumulativeDistributionTIS().estimate_cumulative_distribution_function(
    **logged, reward_scale=np.array([0.0, 0.88, 1.76])
).tolist()))
print(f"in the environment {earned[0]}; with evaluate_on_stationary_distribution {earned[1]}")
print(", ".join(f"{name} {value}" for name, value in basic.items()))
print("CumulativeDistributionTIS: " + ", ".join(f"{share} at most {value}" for value, share in at_most.items()))
right = 1.75
halved = np.isclose(earned[0], right / 2) and np.isclose(earned[1], right) and np.allclose(list(basic.values()), right)
raise SystemExit(0 if halved and at_most == {0.0: 0.0, 0.88: 1.0, 1.76: 1.0} else 1)
PYTHON
