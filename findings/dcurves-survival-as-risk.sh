#!/usr/bin/env bash
# dcurves 1.1.7 weighs whom a model would treat against who has the event. A score of another scale is named in
# `models_to_prob` to become a risk first, of a logistic regression, or of a Cox regression where times are given. Of a
# Cox regression the chance of no event is taken for the risk: those who are at the lowest risk are treated first. A
# score that ranks well has a lower net benefit than treating nobody, and than treating everybody. The same risk as a
# column of its own has the right one, as has the same score where no times are given.
#
# Seen:      score 0: 20 of 100 have the event in a year, score 1: 70; nobody is lost before
#            treated at a risk of 0.5: with times 10 % treated have the event and 40 % don't, net benefit -0.3
#            risk of lifelines' Cox regression, or no times: 35 % have the event and 15 % don't, net benefit 0.2
#            all treated -0.1, none 0
# Read:      `_calc_surv_risks` in dcurves/risks.py returns the survival function
# For us:    there are no decision curves; forecast events are counted against those that came, by bins of the forecast
#            (benchmarks/studies/forecast.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check dcurves==1.1.7 lifelines==0.30.3 statsmodels==0.15.0 \
  pandas==2.3.3 numpy==2.4.6 scipy==1.17.1 matplotlib==3.11.2
cd "$work"
"$work/venv/bin/python" -W ignore - 2>/dev/null <<'PYTHON'
from importlib.metadata import version

import numpy as np
import pandas as pd
from dcurves import dca
from lifelines import CoxPHFitter

YEAR, THRESHOLD = 1.0, 0.5
table = pd.DataFrame(  # those without the event are followed for two years
    [
        (score, (person + 1) / (events + 1) if person < events else 2.0, int(person < events))
        for score, events in ((0, 20), (1, 70))
        for person in range(100)
    ],
    columns=["score", "years", "event"],
)
cox = CoxPHFitter().fit(table, "years", "event")
table["risk"] = 1 - cox.predict_survival_function(table[["score"]], times=YEAR).to_numpy()[0]
times = {"time": YEAR, "time_to_outcome_col": "years"}


def curve(name, **settings):
    found = dca(data=table, outcome="event", modelnames=[name], thresholds=[THRESHOLD], **settings).set_index("model")
    rates = {model: found.loc[model, ["tp_rate", "fp_rate", "net_benefit"]] for model in (name, "all", "none")}
    return {model: [round(float(rate), 4) for rate in row] for model, row in rates.items()}


print(f"dcurves {version('dcurves')}, lifelines {version('lifelines')}")
risks = table.groupby("score").risk.first().round(2).tolist()
print(f"risk of lifelines' Cox regression: {risks[0]} of score 0, {risks[1]} of score 1")
score, risk = curve("score", models_to_prob=["score"], **times), curve("risk", **times)
logistic = curve("score", models_to_prob=["score"])
for name, found in (
    ("with times", score["score"]), ("its risk as a column", risk["risk"]), ("no times", logistic["score"]),
    ("all", score["all"]), ("none", score["none"]),
):
    print(f"{name}: treated with the event {found[0]}, without {found[1]}, net benefit {found[2]}")
right = all(np.allclose(found, [0.35, 0.15, 0.2]) for found in (risk["risk"], logistic["score"]))
others = np.allclose(score["all"], [0.45, 0.55, -0.1]) and np.allclose(score["none"], 0)
turned = np.allclose(score["score"], [0.1, 0.4, -0.3])
raise SystemExit(0 if right and others and turned else 1)
PYTHON
