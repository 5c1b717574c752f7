#!/usr/bin/env bash
# scope-rl 0.2.1: of the four kinds of interval that its off-policy estimates can have, two are not what they are named.
# Hoeffding's (`ci="hoeffding"`) is multiplied by the root of the number of trajectories, where it has to be divided by
# it, as its documentation does: more data make it wider. Student's (`ci="ttest"`) leaves 5 % out at *each* end, so that
# what is named 95 % is a 90 % interval.
#
# Seen:      half of the members have an event (value 0.5), interval named "95.0% CI"
#            hoeffding of 100 trajectories -13.081 to 14.081, of 10000 -135.31 to 136.31; it should be 0.364 to 0.636,
#            and 0.486 to 0.514
#            ttest of 100 trajectories 0.417 to 0.583; Student's 90 % 0.417 to 0.583, 95 % 0.4 to 0.6
# Read:      `estimate_confidence_interval_by_hoeffding` and `..._by_t_test` in scope_rl/utils.py
# For us:    our intervals are quantiles of resamples or the normal one, and their coverage is measured
#            (frl_env/evaluation/estimating/intervals.py; docs/evaluation_measured.md).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scope-rl==0.2.1 d3rlpy==2.8.1 gym==0.26.2 \
  gymnasium==1.0.0 torch==2.13.0 numpy==1.26.4 pandas==3.0.6 scikit-learn==1.9.1 scipy==1.17.1
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import numpy as np
from scipy.stats import t
from scope_rl.ope.discrete import TrajectoryWiseImportanceSampling


def ends(members, kind):
    """The interval of a policy that does what was logged: all weights are 1, a trajectory is one step."""
    found = TrajectoryWiseImportanceSampling().estimate_interval(
        step_per_trajectory=1, action=np.zeros(members, int), reward=events(members), pscore=np.ones(members),
        evaluation_policy_action_dist=np.tile([1.0, 0.0], (members, 1)), ci=kind, alpha=0.05,
    )
    return np.array([found["95.0% CI (lower)"], found["95.0% CI (upper)"]])


def events(members):
    return (np.arange(members) % 2).astype(float)


def bound(members):
    """Of rewards from 0 to 1."""
    return 0.5 + np.array([-1, 1]) * np.sqrt(np.log(2 / 0.05) / (2 * members))


def student(members, level):
    reward = events(members)
    return np.array(t.interval(level, members - 1, reward.mean(), reward.std(ddof=1) / np.sqrt(members)))


few, many, named = ends(100, "hoeffding"), ends(10_000, "hoeffding"), ends(100, "ttest")
for name, found in (
    ("hoeffding of 100", few), ("of 10000", many), ("right of 100", bound(100)), ("right of 10000", bound(10_000)),
    ("ttest of 100", named), ("Student's 90 %", student(100, 0.9)), ("Student's 95 %", student(100, 0.95)),
):
    print(f"{name}: {found[0]:.3f} to {found[1]:.3f}")
wider = np.allclose((few - 0.5) / 100, bound(100) - 0.5) and np.allclose((many - 0.5) / 10_000, bound(10_000) - 0.5)
raise SystemExit(0 if wider and np.allclose(named, student(100, 0.9)) else 1)
PYTHON
