#!/usr/bin/env bash
# equiboots 0.0.1a14 compares a model between groups of people by resampling. The p-value of its bootstrap test is the
# share of resampled differences below 0. It is doubled for "two-tailed", but the setting that is accepted is spelled
# "two_tailed", so it never is. A difference below 0 is turned round only where nearly all draws are below 0: with the
# groups exchanged, the same difference has a p-value close to 1. Whether a difference is significant is told by its
# interval, but by its p-value once several groups are corrected for: the correction makes it significant.
#
# Seen:      draws 3.6 % of which are on the other side of 0: p 0.036 one way, 0.964 the other; two-tailed it is 0.072
#            not significant; with a second group and Holm's correction p 0.036, significant
# Read:      `calc_p_value_bootstrap` and `get_ci_bounds` in equiboots/StatisticalTester.py
# For us:    gaps between groups are tested by permutation, by their size whatever their sign, before and after Holm's
#            correction alike (frl_env/evaluation/fairness/contrasts.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check equiboots==0.0.1a14 numpy==2.2.4 pandas==2.2.3 \
  scipy==1.15.2 scikit-learn==1.8.0 statsmodels==0.14.4 matplotlib==3.10.1 seaborn==0.13.2
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import numpy as np
from equiboots.StatisticalTester import StatisticalTester
from scipy.stats import norm

around_0 = norm.ppf((np.arange(5000) + 0.5) / 5000)  # as many draws as it wants, spread as a normal distribution
config = {
    "test_type": "bootstrap_test", "alpha": 0.05, "confidence_level": 0.95, "tail_type": "two_tailed",
    "metrics": ["Recall_diff"],
}


def tested(correction, **centres):
    """The p-value of each group's difference from the reference, and whether it is called significant."""
    draws = [
        {group: {"Recall_diff": float(draw + centre) / 100} for group, centre in centres.items()} for draw in around_0
    ]
    results = StatisticalTester().analyze_metrics(
        draws, reference_group="reference", test_config={**config, "adjust_method": correction}, differences=draws
    )
    found = {group: result["Recall_diff"] for group, result in results.items()}
    return {group: (round(float(each.p_value), 3), each.is_significant) for group, each in found.items()}


above, below = tested("none", A=1.8)["A"], tested("none", A=-1.8)["A"]
both = tested("holm", A=1.8, B=8.0)
right = round(2 * float((around_0 + 1.8 < 0).mean()), 3)
print(f"above 0: p {above[0]}, significant {above[1]}; below 0: p {below[0]}, significant {below[1]}; it is {right}")
print(f"with a second group and Holm's correction: p {both['A'][0]}, significant {both['A'][1]}")
same = (above, below, right) == ((0.036, False), (0.964, False), 0.072)
raise SystemExit(0 if same and both["A"][0] == 0.036 and both["A"][1] else 1)
PYTHON
