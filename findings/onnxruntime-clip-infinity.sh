#!/usr/bin/env bash
# onnxruntime 1.32.0: `Clip` with one bound also clips at the other end, at the largest finite number: a bar of minus
# infinity under an upper bound becomes -3.4e38. torch 2.13.0 and onnx's own reference keep it; torch exports
# `clamp(max=5)` as such a `Clip`. Where everything is barred, a softmax then says 1/3 each, which is nan before export.
#
# Seen:      -inf, 0, 9 with upper bound 5: onnxruntime -3.40282e+38, 0, 5; reference -inf, 0, 5
#            softmax of three barred: onnxruntime 0.333, 0.333, 0.333; reference nan, nan, nan
# For us:    `export_gains` bars actions after its last bound (tests/frl_algos/model_files/test_export_gains.py).
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
from onnx.reference import ReferenceEvaluator

np.seterr(invalid="ignore")


def run(numbers, *then):
    """Results of both, for an upper bound of 5 and operators after it."""
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("x", "y")]
    names = [f"step{i}" for i in range(len(then))] + ["y"]
    nodes = [helper.make_node("Clip", ["x", "", "bound"], names[:1])]
    nodes += [helper.make_node(operator, [names[i]], [names[i + 1]]) for i, operator in enumerate(then)]
    bound = helper.make_tensor("bound", TensorProto.FLOAT, [], [5.0])
    graph = helper.make_graph(nodes, "bounded", ends[:1], ends[1:], initializer=[bound])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    rows = {"x": np.float32(numbers)}
    return session.run(None, rows)[0], ReferenceEvaluator(model).run(None, rows)[0]


def said(numbers, form):
    return ", ".join(f"{number:{form}}" for number in numbers)


theirs, reference = run([-np.inf, 0, 9])
print(f"-inf, 0, 9 with upper bound 5: onnxruntime {said(theirs, 'g')}; reference {said(reference, 'g')}")
shares, none = run([-np.inf] * 3, "Softmax")
print(f"softmax of three barred: onnxruntime {said(shares, '.3f')}; reference {said(none, '.3f')}")
finite = theirs[0] == np.finfo(np.float32).min and reference[0] == -np.inf
raise SystemExit(0 if finite and np.allclose(shares, 1 / 3) and np.isnan(none).all() else 1)
PYTHON
