#!/usr/bin/env bash
# aif360 0.6.1: the generalised entropy index says how unequally a benefit is spread, and has no unit. With `alpha=0`,
# the mean log deviation, it is divided once more by the mean benefit: the same minutes of care are sixty times as
# unequal in hours. Of predictions (benefit 1 + predicted - true) it comes out too small where more are predicted than
# happen, which looks fairer. With `alpha=1`, the Theil index, each ratio is raised to the benefit: large benefits
# overflow, and give inf. The documentation has both formulas right, and an `alpha` close to 0 or 1 gives what they say.
#
# Seen:      10, 20, 30, 60 minutes; alpha=0.000001: 0.20273 in minutes, hours and seconds
#            alpha=0: 0.00676 in minutes, 0.40547 in hours, 0.00011 in seconds
#            alpha=1: 0.18745 in minutes and hours, inf in seconds; alpha=1.000001: 0.18745 in all
#            two of eight falsely predicted: between the groups 0.02041 at alpha=0.000001, 0.01633 at alpha=0
# Read:      `generalized_entropy_index` in aif360/sklearn/metrics/metrics.py; `ClassificationMetric` has the same lines
# For us:    the fairness audit has no such index: its measures are quotients of sums over members
#            (frl_env/evaluation/fairness/measures.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check aif360==0.6.1 numpy==2.4.6 pandas==3.1.1 \
  scikit-learn==1.9.1 scipy==1.17.1 matplotlib==3.11.2
cd "$work"
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
import logging

logging.disable()
import numpy as np
import pandas as pd
from aif360.datasets import BinaryLabelDataset
from aif360.metrics import ClassificationMetric
from aif360.sklearn.metrics import generalized_entropy_index

minutes = np.array([10.0, 20.0, 30.0, 60.0])
units = {"minutes": minutes, "hours": minutes / 60, "seconds": minutes * 60}


def index(alpha):
    return [round(float(generalized_entropy_index(benefit, alpha=alpha)), 5) for benefit in units.values()]


def dataset(label):
    table = pd.DataFrame({"group": [0] * 4 + [1] * 4, "event": label})
    return BinaryLabelDataset(
        df=table, label_names=["event"], protected_attribute_names=["group"], favorable_label=1, unfavorable_label=0
    )


truth, predicted = dataset([1, 1, 0, 0] * 2), dataset([1, 1, 1, 1, 1, 1, 0, 0])
metric = ClassificationMetric(truth, predicted, unprivileged_groups=[{"group": 0}], privileged_groups=[{"group": 1}])
near_log, log, theil, near_theil = (index(alpha) for alpha in (1e-6, 0, 1, 1 + 1e-6))
groups = [round(float(metric.between_group_generalized_entropy_index(alpha=alpha)), 5) for alpha in (1e-6, 0)]
for name, found in (("0.000001", near_log), ("0", log), ("1", theil), ("1.000001", near_theil)):
    print(f"alpha={name}: " + ", ".join(f"{value} in {unit}" for unit, value in zip(units, found)))
print(f"between groups: {groups[0]} at alpha=0.000001, {groups[1]} at alpha=0")
mean_log_deviation = -np.log(minutes / minutes.mean()).mean()
theil_index = (minutes / minutes.mean() * np.log(minutes / minutes.mean())).mean()
means = minutes.mean() * np.array([1, 1 / 60, 60])
right = np.allclose(near_log, mean_log_deviation, atol=1e-5) and np.allclose(near_theil, theil_index, atol=1e-5)
times = np.allclose(np.array(log) * means, mean_log_deviation, rtol=0.05)
overflow = np.allclose(theil[:2], theil_index, atol=1e-5) and np.isinf(theil[2])
raise SystemExit(0 if right and times and overflow and groups == [0.02041, 0.01633] else 1)
PYTHON
