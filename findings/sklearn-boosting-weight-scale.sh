#!/usr/bin/env bash
# scikit-learn 1.9.1: gradient boosting by histograms divides no node whose second derivatives sum to less than 0.001, a
# number that is no setting of the estimators and stands in units of `sample_weight`. For a chance p that is the sum of
# weight times p (1 - p). Weights that sum to 1, as self-normalised importance weights do, thus give one chance for
# everybody where an event is rare, without a warning; the same weights times the number of rows do not.
#
# Seen:      one event in 500 weeks of the frail, none of others: weights 1 each: 0.00000 and 0.00200;
#            weights that sum to 1: 0.00100 and 0.00100
# For us:    the uplift ranking weighs by the square of its exposure: at least 0.0001, with 500 rows a leaf, which is well
#            above (`frl_algos/member_rankings/uplift.py`). No other such model here takes weights.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier

weeks = 40_000
frail = np.repeat([[0.0], [1.0]], weeks // 2, axis=0)
event = np.arange(weeks) >= weeks - weeks // 2 // 500


def chances(weight):
    model = HistGradientBoostingClassifier(early_stopping=False).fit(frail, event, sample_weight=np.full(weeks, weight))
    return model.predict_proba([[0.0], [1.0]])[:, 1]


def said(pair):
    return " and ".join(f"{chance:.5f}" for chance in pair)


each, shares = chances(1.0), chances(1 / weeks)
print(f"one event in 500 weeks of the frail, none of others: weights 1 each: {said(each)};")
print(f"weights that sum to 1: {said(shares)}")
raise SystemExit(0 if np.allclose(each, [0, 0.002], atol=1e-5) and np.allclose(shares, 0.001, atol=1e-9) else 1)
PYTHON
