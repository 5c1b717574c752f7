#!/usr/bin/env bash
# skl2onnx 1.20.0 with onnxruntime 1.32.0: an imputer that says what was missing (`SimpleImputer(add_indicator=True)`)
# is converted without what it says. The logistic regression after it now has more coefficients than its input has
# columns. onnxruntime takes them in the order they lie, so that one of the two chances is made with the coefficients of
# other columns. Nothing is refused: who is likeliest to have an event changes, and a member's two chances do not sum
# to 1.
#
# Seen:      food insecure no, yes, not asked: events 10, 20, 80 %; scikit-learn 0.100, 0.200, 0.800
#            onnxruntime 0.100, 0.005, 0.022; both chances together 1.000, 0.805, 0.879
# For us:    ONNX files are made of torch networks (`frl_algos/model_files/frozen.py`), and tests compare their chances
#            with the networks' own (tests/frl_algos/model_files/test_export.py). No scikit-learn model leaves as ONNX.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check skl2onnx==1.20.0 onnx==1.23.2 onnxruntime==1.32.0 \
  scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1
cd "$work"
OMP_NUM_THREADS=1 "$work/venv/bin/python" -W error - <<'PYTHON'
import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

answers = np.array([[0.0], [1.0], [np.nan]], np.float32)
insecure = np.repeat(answers, 400, axis=0)
event = np.concatenate([np.arange(400) < number for number in (40, 80, 320)])

model = make_pipeline(SimpleImputer(add_indicator=True), LogisticRegression(C=1e6)).fit(insecure, event.astype(int))
network = to_onnx(model, insecure[:1], options={"zipmap": False}).SerializeToString()
session = onnxruntime.InferenceSession(network, providers=["CPUExecutionProvider"])
(chances,) = session.run(["probabilities"], {session.get_inputs()[0].name: answers})
own, sums = model.predict_proba(answers)[:, 1], chances.sum(axis=1)


def said(numbers):
    return ", ".join(f"{number:.3f}" for number in numbers)


print(f"food insecure no, yes, not asked: scikit-learn {said(own)};")
print(f"onnxruntime {said(chances[:, 1])}; both chances together {said(sums)}")
seen = np.allclose(own, [0.1, 0.2, 0.8], atol=1e-3) and np.allclose(chances[:, 1], [0.1, 0.005, 0.022], atol=1e-3)
raise SystemExit(0 if seen and np.allclose(sums, [1.0, 0.805, 0.879], atol=1e-3) else 1)
PYTHON
