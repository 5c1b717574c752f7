"""A module of torch as a file that runs without this project, and mostly without torch: ONNX or TorchScript."""

import importlib
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from frl_env.errors import UserError, unknown_name

FORMATS = {".onnx": "onnx", ".pt": "torchscript"}


class Exported(Protocol):
    """What a module says of itself.

    Attributes:
        inputs: Names of its inputs, and one example of each, with two rows.
        outputs: Names of its outputs.
        metadata: Texts that go with the file.
    """

    inputs: Mapping[str, Tensor]
    outputs: Sequence[str]
    metadata: dict[str, str]


def chosen_format(file: Path, format: str | None) -> str:
    """The format by its name, or by the file's suffix when None.

    Raises:
        UserError: If there is no such.
    """
    if format is None and file.suffix not in FORMATS:
        raise UserError(f"can't tell the format of {file}; end it in {' or '.join(FORMATS)}, or say which format")
    chosen = FORMATS[file.suffix] if format is None else format
    if chosen not in FORMATS.values():
        raise unknown_name("export format", chosen, FORMATS.values())
    return chosen


def file_content(module: Exported, format: str) -> bytes:
    """The file, for any number of rows.

    Raises:
        UserError: If the format needs a package that is missing.
    """
    # `Exported` says what a module must offer besides; torch needs to know that it is one.
    assert isinstance(module, nn.Module)
    return _onnx(module) if format == "onnx" else _torchscript(module)


def _torchscript(module: nn.Module) -> bytes:
    stream = io.BytesIO()
    with torch.no_grad(), _quiet():
        traced = torch.jit.trace(module, tuple(module.inputs.values()), check_trace=False)
        torch.jit.save(traced, stream, _extra_files=module.metadata)
    return stream.getvalue()


def _onnx(module: nn.Module) -> bytes:
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError:
            raise UserError(
                f"ONNX files need the package {package}, which is not installed; "
                "install the extra: pip install 'frl-medicaid[export]'"
            ) from None
    rows = torch.export.Dim("batch")
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module,
            tuple(module.inputs.values()),
            input_names=list(module.inputs),
            output_names=list(module.outputs),
            dynamic_shapes=tuple({0: rows} for _ in module.inputs),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    program.model.metadata_props.update(module.metadata)
    content = program.model_proto
    for node in content.graph.node:  # the exporter notes where each comes from: paths on this machine
        node.ClearField("metadata_props")
    _logs_of_small_chances(content.graph)
    return content.SerializeToString()


def _logs_of_small_chances(graph: Any) -> None:
    """Log(Sigmoid(x)), as torch exports log sigma(x), becomes -Softplus(-x), in place.

    onnxruntime's Sigmoid is right to 6e-8, not to seven digits, and exactly 0 from -18 on; its Softplus is right.
    """
    make_node = importlib.import_module("onnx.helper").make_node
    chances = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Sigmoid"}
    nodes = []
    for node in graph.node:
        if node.op_type == "Log" and node.input[0] in chances:
            (name,) = node.output
            nodes += [
                make_node("Neg", [chances[node.input[0]]], [f"{name}_against"]),
                make_node("Softplus", [f"{name}_against"], [f"{name}_lost"]),
                make_node("Neg", [f"{name}_lost"], [name]),
            ]
        else:
            nodes.append(node)
    read = {name for node in nodes for name in node.input} | {output.name for output in graph.output}
    nodes = [node for node in nodes if node.op_type != "Sigmoid" or node.output[0] in read]
    del graph.node[:]
    graph.node.extend(nodes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch's exporters say at every use: none of it is about the policy."""
    # One log line for each operator of torchvision, which is not needed.
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`torch\.jit\.\w+` is deprecated", DeprecationWarning)
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
            # Over the sizes of weights, which don't change.
            warnings.filterwarnings("ignore", "Using len to get tensor shape")
            warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean")
            # Several inputs share the axis; the exporter takes its name from the first.
            warnings.filterwarnings("ignore", ".*The axis name: batch will not be used")
            yield
    finally:
        registration.setLevel(level)
