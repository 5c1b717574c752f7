#!/usr/bin/env bash
# scikit-learn 1.9.1: `partial_dependence` of a gradient boosting by histograms is no average of its predictions. It
# averages what the trees add up to: the constant that the model starts from is left out, and so is the exponential of
# a model of counts (`loss="poisson"`), whose averages come out below 0. Asked for each member's curve, too
# (`kind="both"`), or for the same average with weights of 1, it averages predictions. Its documentation says that the
# other gradient boosting leaves its constant out, and that this one does not. `PartialDependenceDisplay` draws the
# same numbers.
#
# Seen:      0.1 events a week without a former visit, 0.4 with one; predicted 0.1, 0.4 by both models
#            loss="poisson": average -0.916, 0.470; with each member's curve, or weights of 1, 0.1, 0.4
#            loss="squared_error": average -0.15, 0.15; with each member's curve, or weights of 1, 0.1, 0.4
# For us:    nothing here draws or reports partial dependence: boosted models are asked for predictions only
#            (`frl_algos/member_rankings/ranking.py`, `frl_algos/member_rankings/uplift.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.inspection import partial_dependence

visit = np.repeat([[0.0], [1.0]], 500, axis=0)
events = np.concatenate([np.arange(500) < 50, np.arange(500) < 200]).astype(float)


def average(model, **asked):
    return partial_dependence(model, visit, [0], **asked)["average"][0]


def said(pair):
    return ", ".join(f"{number:.3f}" for number in pair)


right, seen = [0.1, 0.4], True
print(f"events a week without a former visit, with one: {said([events[:500].mean(), events[500:].mean()])}")
for loss, wrong in (("poisson", np.log(right) - np.log(0.25)), ("squared_error", np.subtract(right, 0.25))):
    model = HistGradientBoostingRegressor(loss=loss, early_stopping=False).fit(visit, events)
    predicted, plain = model.predict([[0.0], [1.0]]), average(model)
    curves, weighted = average(model, kind="both"), average(model, sample_weight=np.ones(len(visit)))
    print(f'loss="{loss}": predicted {said(predicted)}; average {said(plain)}; with curves {said(curves)}; '
          f"with weights of 1 {said(weighted)}")
    seen &= all(np.allclose(pair, right, atol=1e-3) for pair in (predicted, curves, weighted))
    seen &= np.allclose(plain, wrong, atol=1e-3)
raise SystemExit(0 if seen else 1)
PYTHON
