#!/usr/bin/env bash
# fairlearn 0.15.0: where a metric is undefined for a group (a hit rate where nobody has an event), `MetricFrame.difference`
# and `.ratio` pass over the group. With one group left they say 0 and 1, as if both were known to be treated alike.
#
# Seen:      by group A 0.5, B nan; difference 0.0, ratio 1.0, also with errors="raise"
# For us:    the fairness audit takes only `by_group` from it, and makes gaps and their intervals itself.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check fairlearn==0.15.0 scikit-learn==1.9.0 numpy pandas
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
from fairlearn.metrics import MetricFrame


def hit_rate(truth, predicted):
    return float(predicted[truth == 1].mean()) if (truth == 1).any() else float("nan")


frame = MetricFrame(
    metrics=hit_rate, y_true=np.array([1, 1, 0, 0]), y_pred=np.array([1, 0, 1, 0]),
    sensitive_features=["A", "A", "B", "B"],
)
a, b = frame.by_group["A"], frame.by_group["B"]
difference, ratio, strict = frame.difference(), frame.ratio(), frame.difference(errors="raise")
print(f'by group A {a}, B {b}; difference {difference}, ratio {ratio}, with errors="raise" {strict}')
raise SystemExit(0 if np.isnan(b) and (difference, ratio, strict) == (0.0, 1.0, 0.0) else 1)
PYTHON
