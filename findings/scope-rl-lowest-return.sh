#!/usr/bin/env bash
# scope-rl 0.2.1: `CumulativeDistributionTIS` and `CumulativeDistributionSNTIS` estimate how likely each return of a
# policy is, over steps of returns that a user may give (`use_custom_reward_scale=True`). The weight of the trajectory
# with the lowest return is put into the lowest step, however far below that return it is. Mean, tail and quantiles
# change with where the steps begin, though nothing lies there. `CumulativeDistributionTDR` has it right.
#
# Seen:      weeks at home 6, 7, 7, 8, 8, 8, 9, 9, 9, 9; the member of 6 has weight 5, the others 5/9: 7.11 on average
#            steps from 5.5: up to 6.5 half of them, mean 7.61 (each counts as its step's end), worst 5 % 6.5
#            steps from 0.5: up to 1.5 half of them, mean 5.11, worst 5 % 1.5; by TDR none up to 5.5, worst 5 % 6.5
# Read:      `estimate_cumulative_distribution_function` in scope_rl/ope/discrete/cumulative_distribution_estimators.py;
#            the one for continuous actions has the same lines
# For us:    estimates are means over members; nothing here puts returns into steps
#            (frl_env/evaluation/estimating/estimators.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scope-rl==0.2.1 d3rlpy==2.8.1 gym==0.26.2 \
  gymnasium==1.0.0 torch==2.13.0 numpy==1.26.4 pandas==3.0.6 scikit-learn==1.9.1 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import numpy as np
from scope_rl.ope.discrete import (
    CumulativeDistributionSNTIS, CumulativeDistributionTDR, CumulativeDistributionTIS, TrajectoryWiseImportanceSampling,
)

home = np.array([6, 7, 7, 8, 8, 8, 9, 9, 9, 9], dtype=float)
visited = (home == 6).astype(int)  # one of ten, as the propensity of 0.1 says
logged = {
    "step_per_trajectory": 1, "reward": home, "action": visited, "pscore": np.where(visited == 1, 0.1, 0.9),
    "evaluation_policy_action_dist": np.full((10, 2), 0.5),  # the target policy visits half of them
    "state_action_value_prediction": np.full((10, 2), 8.0),
}
value = float(TrajectoryWiseImportanceSampling().estimate_policy_value(**logged))


def found(kind, start):
    """Shares up to 1.5, 5.5 and 6.5; mean; worst 5 %."""
    edges, estimator = np.arange(start, 11.0), kind()
    shares = dict(zip(edges, estimator.estimate_cumulative_distribution_function(**logged, reward_scale=edges)))
    mean = estimator.estimate_mean(**logged, reward_scale=edges)
    worst = estimator.estimate_conditional_value_at_risk(**logged, reward_scale=edges, alphas=np.array([0.05]))[0]
    numbers = (shares.get(1.5, 0.0), shares[5.5], shares[6.5], mean, worst)
    return [round(float(number), 2) for number in numbers]


print(f"mean by weights: {value:.2f}")
seen = {}
for kind in (CumulativeDistributionTIS, CumulativeDistributionSNTIS, CumulativeDistributionTDR):
    for start in (5.5, 0.5):
        seen[kind, start] = shares = found(kind, start)
        print(
            f"{kind.__name__}, steps from {start}: up to 1.5 {shares[0]}, to 5.5 {shares[1]}, to 6.5 {shares[2]}; "
            f"mean {shares[3]}, worst 5 % {shares[4]}"
        )
near, far = [0.0, 0.0, 0.5, 7.61, 6.5], [0.5, 0.5, 0.5, 5.11, 1.5]
plain, normalised = CumulativeDistributionTIS, CumulativeDistributionSNTIS
weighted = all((seen[kind, 5.5], seen[kind, 0.5]) == (near, far) for kind in (plain, normalised))
robust = seen[CumulativeDistributionTDR, 0.5]
raise SystemExit(0 if round(value, 2) == 7.11 and weighted and robust[1] == 0.0 and robust[4] == 6.5 else 1)
PYTHON
