#!/usr/bin/env bash
# onnxruntime 1.32.0 (x86-64 CPU): `Sigmoid` of float32 is right to about 6e-8, not to its seven digits. Small chances
# come in steps of that size: some fall where they should rise, and from -18 on all are exactly 0. torch exports
# `logsigmoid` as Log(Sigmoid), so that a log-probability of -20 becomes minus infinity. `Softplus` is right.
#
# Seen:      at -17, -16.5, -16 chances 8.9e-08, 8.9e-08, 6.0e-08, which should be 4.1e-08, 6.8e-08, 1.1e-07;
#            at -20 exactly 0; logarithm at -20 of Sigmoid -inf, by Softplus -20
# For us:    "do nothing" or its opposite is a sigmoid in `export_policy`; ONNX files have Softplus in its place
#            (tests/frl_algos/model_files/test_export.py, small chances).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnxruntime
from onnx import TensorProto, helper


def run(operator, numbers):
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node(operator, ["x"], ["y"])], "one", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": np.float32(numbers)})[0]


def said(chances):
    return ", ".join(f"{chance:.1e}" for chance in chances)


odds = np.float32([-17, -16.5, -16])
chances, right = run("Sigmoid", odds), 1 / (1 + np.exp(-odds.astype(float)))
none = run("Sigmoid", [-20])[0]
with np.errstate(divide="ignore"):
    logarithm, by_softplus = np.log(none), -run("Softplus", [20])[0]
print(f"at -17, -16.5, -16 chances {said(chances)}, which should be {said(right)}")
print(f"at -20 exactly {none:g}; logarithm at -20 of Sigmoid {logarithm:g}, by Softplus {by_softplus:g}")
fall = chances[0] > 2 * right[0] and chances[2] < chances[1]
raise SystemExit(0 if fall and none == 0 and np.isneginf(logarithm) and abs(by_softplus + 20) < 1e-5 else 1)
PYTHON
