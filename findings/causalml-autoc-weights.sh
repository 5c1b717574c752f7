#!/usr/bin/env bash
# causalml 0.18.0: `rate_score(weighting="autoc")` says how well a rule ranks members for a treatment. The area that has
# this name elsewhere is the integral, over the share q of members who come first, of how much more these gain than all
# do. Here it is weighted by 1/q, with weights that sum to 1. The integral of 1/q has no limit: with more rows, more of
# the weight lies on the very first of the ranking. The same population has a higher score the more rows it has, and a
# rule that is worse than chance, but has the few who gain most first, beats a good one. The documentation names the
# weights, and says that the order of models is kept.
#
# Seen:      visits help 5 % by 8 days, 45 % by 4, half of them not at all; one rule: 8, 0, 4; the other: 4, 8, 0
#            of 20 members 1.51 and 1.33, of 2000 members of the same kind 3.54 and 1.55; the areas are -0.12 and 1.33
# Read:      `_compute_rate_from_toc` in causalml/metrics/rate.py; the area without weights is the AUTOC of Yadlowsky et al.
#            (2021, "Evaluating treatment prioritization rules via rank-weighted average treatment effects")
# For us:    rankings are compared by what they gain with the staff there is (docs/capacity.md).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps causalml==0.18.0 xgboost==3.2.0
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-warn-conflicts numpy==2.4.6 pandas==3.1.1 scipy==1.17.1 \
  scikit-learn==1.9.1 matplotlib==3.11.2 seaborn==0.13.2 lightgbm==4.7.0 statsmodels==0.15.0 shap==0.51.0 \
  tqdm==4.70.1 packaging==26.3
cd "$work"
"$work/venv/bin/python" - 2>/dev/null <<'PYTHON'
import numpy as np
import pandas as pd
from causalml.metrics import get_toc, rate_score


def scores(times):
    """By causalml, and the area, of both rules."""
    days = np.repeat([8.0, 4.0, 0.0], np.array([1, 9, 10]) * times)
    members = pd.DataFrame({
        "tau": days,
        "few": np.select([days == 8, days == 0], [3, 2], 1),
        "broad": np.select([days == 4, days == 8], [3, 2], 1),
    })
    given, gain = rate_score(members, treatment_effect_col="tau", weighting="autoc"), get_toc(members)
    areas = [np.trapezoid(gain[rule], gain.index) for rule in ("few", "broad")]
    return [round(float(value), 2) for value in (given["few"], given["broad"], *areas)]


small, large = scores(1), scores(100)
for members, found in ((20, small), (2000, large)):
    print(f"{members} members: causalml {found[0]}, {found[1]}; areas {found[2]}, {found[3]}")
raise SystemExit(0 if small[:2] == [1.51, 1.33] and large == [3.54, 1.55, -0.12, 1.33] else 1)
PYTHON
