#!/usr/bin/env bash
# uncertainty-toolbox 0.1.1 says which share of the truth is at or below a predicted quantile, and recalibrates
# quantiles by it. It subtracts the truth from the prediction, not the prediction from the truth, and so counts those at
# or above the quantile's mirror image. Predictions that are too low look too high, and recalibration moves them further
# down: the median is twice as far from the truth's as before. Calibration errors and intervals, which are of both
# sides, are not touched, and where as many errors are above as below nothing shows.
#
# Seen:      predictions of 0 with a deviation of 1, a truth with a mean of 1 and a deviation of 1
#            16 % of the truth are at or below the predicted median, it says 84 %
#            recalibrated on the same truth the median is -1, with 2 % at or below; it should be 1, with 50 %
#            the quantile of 90 % is 0.28, with 24 % at or below, and 1.28, with 61 %, without recalibration
# Read:      `get_proportion_under_quantile`, `get_proportion_lists_vectorized` and `get_proportion_lists` in
#            uncertainty_toolbox/metrics_calibration.py; `get_quantile_recalibrator` in recalibration.py
# For us:    what calibrates estimated propensities is tested by whether they come closer to what was done
#            (frl_env/evaluation/nuisances/propensities.py; tests/frl_env/evaluation/test_evaluation_propensities.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check uncertainty-toolbox==0.1.1 numpy==2.4.6 \
  scipy==1.17.1 scikit-learn==1.9.1 matplotlib==3.11.2 tqdm==4.70.1
cd "$work"
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
from importlib.metadata import version

import numpy as np
from scipy.stats import norm
from uncertainty_toolbox.metrics_calibration import (
    get_proportion_lists_vectorized, get_proportion_under_quantile, get_quantile,
)
from uncertainty_toolbox.recalibration import get_quantile_recalibrator

ROWS = 1000
predicted, deviation = np.zeros(ROWS), np.ones(ROWS)
truth = 1 + norm.ppf((np.arange(ROWS) + 0.5) / ROWS)


def below(quantile):
    return round(float(np.mean(truth <= quantile)), 2)


print(f"uncertainty-toolbox {version('uncertainty-toolbox')}")
levels, shares = get_proportion_lists_vectorized(predicted, deviation, truth, num_bins=101, prop_type="quantile")
said = [
    round(float(share), 2)
    for share in (get_proportion_under_quantile(predicted, deviation, truth, 0.5), shares[np.isclose(levels, 0.5)][0])
]
median = below(get_quantile(predicted, deviation, 0.5))
print(f"at or below the predicted median: {median}, it says {said[0]} and {said[1]}")
recalibrated = get_quantile_recalibrator(predicted, deviation, truth)
found = {}
for level in (0.5, 0.9):
    before, after = (
        round(float(quantile(predicted, deviation, level)[0]), 2) for quantile in (get_quantile, recalibrated)
    )
    found[level] = before, below(before), after, below(after)
    print(
        f"quantile of {level}: {before} with {below(before)} at or below, recalibrated {after} with {below(after)}, "
        f"of the truth {np.quantile(truth, level):.2f}"
    )
right = {0.5: (0.0, 0.16, -1.0, 0.02), 0.9: (1.28, 0.61, 0.28, 0.24)}
raise SystemExit(0 if median == 0.16 and said == [0.84, 0.84] and found == right else 1)
PYTHON
