#!/usr/bin/env bash
# scikit-uplift 0.5.1: `qini_auc_score` divides by what a perfect ranking reaches, and makes that ranking by subtraction.
# Where outcome and treatment both are unsigned whole numbers, -1 becomes 255: those whom a treatment harms come first.
# The score has the wrong sign, so that of two models the worse one wins. `pandas.to_numeric(..., downcast="unsigned")`,
# which saves memory, makes such columns of 0 and 1.
#
# Seen:      a ranking and its reverse score 0.211, -0.211; the same numbers as unsigned bytes -1.333, 1.333
#            with `negative_effect=False` 0.571 for both; `uplift_auc_score` 0.254 for both
# For us:    our Qini curves are of staff minutes and have no perfect ranking (docs/capacity.md). Member numbers of
#            combined datasets may be unsigned, too: they are compared, not subtracted
#            (tests/frl_algos/value_models/test_spells.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check scikit-uplift==0.5.1 scikit-learn==1.9.0 numpy==2.4.6 \
  pandas==3.0.1
cd "$work"
"$work/venv/bin/python" -W ignore - <<'PYTHON'
import pandas as pd
from sklift.metrics import qini_auc_score, uplift_auc_score

cells = pd.DataFrame(
    [
        (30, 2, 1, 1), (10, 2, 1, 0), (10, 2, 0, 1), (30, 2, 0, 0),  # a high score: a visit helps half of them
        (10, 1, 1, 1), (30, 1, 1, 0), (10, 1, 0, 1), (30, 1, 0, 0),  # a low score: it helps nobody
    ],
    columns=["members", "score", "visited", "well"],
)
wide = cells.loc[cells.index.repeat(cells.members)].reset_index(drop=True)
narrow = wide.apply(pd.to_numeric, downcast="unsigned")


def scores(data):
    score = wide.score
    both = [qini_auc_score(data.well, ranking, data.visited) for ranking in (score, -score)]
    kept = qini_auc_score(data.well, score, data.visited, negative_effect=False)
    return [round(float(value), 3) for value in (*both, kept, uplift_auc_score(data.well, score, data.visited))]


before, after = scores(wide), scores(narrow)
for data, found in ((wide, before), (narrow, after)):
    print(f"{data.well.dtype}: a ranking and its reverse {found[0]}, {found[1]}; without harm {found[2]}; uplift {found[3]}")
expected = [0.211, -0.211, 0.571, 0.254], [-1.333, 1.333, 0.571, 0.254]
raise SystemExit(0 if (before, after) == expected and str(narrow.well.dtype) == "uint8" else 1)
PYTHON
