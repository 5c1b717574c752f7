"""Trained models as files that hold numbers and JSON only: loading one runs nothing that is in it.

A model file is one `.safetensors` file: every weight under its name in the networks ("clone.gate.weight"), and in the
metadata of its header, as JSON under the key "frl_model":

    format_version       7
    type                 "factored_awr"
    observation_shape    [k]
    settings             `FactoredAWRConfig`, observation scaler and action schema among them
    scaler_dtypes        of the numbers of the observation scaler

Where the policy is in closed form, the actor *is* the clone and is stored once. The state of the optimiser is not kept:
a loaded model predicts what the saved one did, bit for bit; trained further, it starts with fresh momenta.
"""

import dataclasses
import json
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from frl_algos.factored_awr.algorithm import FactoredAWR, FactoredAWRConfig
from frl_algos.factored_awr.updating.update import FactoredAWRImpl
from frl_env.errors import UserError
from frl_env.files import atomic

SUFFIX = ".safetensors"
KEY = "frl_model"  # one key: safetensors writes several in an order that changes from run to run
FORMAT_VERSION = 7
"""Raised whenever a file of the version before would be read wrongly: settings or tensors that come, go or change."""


def save_model(algorithm: FactoredAWR, path: str | os.PathLike[str]) -> None:
    """Writes a trained model, whole or not at all; a file of that name stays as it is until the new one is whole.

    Args:
        algorithm: Trained; any device.
        path: Ends in `.safetensors`.

    Raises:
        UserError: If the algorithm is of another kind or not trained, or the file can't be written.
    """
    if not isinstance(algorithm, FactoredAWR):
        raise UserError(f"save_model writes FactoredAWR, not {type(algorithm).__name__}; use that algorithm's own save")
    file = Path(path)
    if file.suffix != SUFFIX:
        raise UserError(f"a model file ends in {SUFFIX}; write to {file.with_suffix(SUFFIX)} instead of {file}")
    impl = algorithm._require_impl()
    model = {
        "format_version": FORMAT_VERSION,
        "type": algorithm.config.get_type(),
        "observation_shape": list(impl.observation_shape),
        "settings": json.loads(algorithm.config.serialize()),
        "scaler_dtypes": {name: str(array.dtype) for name, array in _scaler_arrays(algorithm.config).items()},
    }
    tensors = {name: tensor.cpu().contiguous() for name, tensor in _tensors(impl).items()}
    write_whole(file, save(tensors, {KEY: json.dumps(model)}))


def load_model(path: str | os.PathLike[str], device: bool | int | str = False) -> FactoredAWR:
    """Reads what `save_model` wrote; no pickle is involved, and torch's random state stays as it is.

    Args:
        path: A `.safetensors` file.
        device: As d3rlpy's: True or a number for a GPU, or torch's name of a device.

    Returns:
        The algorithm, ready to predict.

    Raises:
        UserError: If there is no such file, or it is not a whole model file that this version reads.
    """
    file = Path(path)
    description, tensors = _read(file)
    algorithm = _build(file, description, device)
    wanted = _tensors(algorithm._require_impl())
    for kind, names in (("lacks", wanted.keys() - tensors.keys()), ("has unknown", tensors.keys() - wanted.keys())):
        if names:
            raise UserError(f"{file} {kind} tensors ({_some(names)}); save the model again with save_model")
    for name, tensor in wanted.items():
        read = tensors[name]
        if (read.shape, read.dtype) != (tensor.shape, tensor.dtype):
            raise UserError(
                f"{file}: tensor {name} is {_kind(read)} where its settings ask for {_kind(tensor)}; "
                "save the model again with save_model"
            )
        learned = not name.startswith("statistics.")  # of which some are NaN until they are estimated
        if learned and read.is_floating_point() and not bool(read.isfinite().all()):
            raise UserError(f"{file}: tensor {name} holds numbers that are not finite; save or train the model again")
    for name, tensor in wanted.items():
        tensor.copy_(tensors[name])
    return algorithm


def write_whole(file: Path, content: bytes) -> None:
    """Writes a file whole or not at all.

    Raises:
        UserError: If the folder can't be written or the disk is full.
    """
    try:
        atomic.write_bytes(file, content)
    except OSError as problem:
        raise UserError(
            f"can't write {file} ({problem.strerror}); name a file in a folder that exists and can be written, "
            f"with {len(content):,} bytes free"
        ) from problem


def _tensors(impl: FactoredAWRImpl) -> dict[str, Tensor]:
    """The live tensors of a model, by name."""
    modules = impl.modules
    parts = {"clone": modules.clone, "critic": modules.critic, "statistics": modules.statistics}
    if modules.actor is not modules.clone:
        parts["actor"] = modules.actor
    if modules.tilt is not None:
        parts["tilt"] = modules.tilt
    if modules.gains is not None:
        parts["gains"] = modules.gains
    return {f"{part}.{name}": tensor for part, module in parts.items() for name, tensor in module.state_dict().items()}


def _scaler_arrays(config: FactoredAWRConfig) -> dict[str, np.ndarray]:
    """The numbers of the observation scaler; d3rlpy's JSON forgets of what kind they are."""
    fields = {} if config.observation_scaler is None else vars(config.observation_scaler)
    return {name: value for name, value in fields.items() if isinstance(value, np.ndarray)}


def _read(file: Path) -> tuple[str, dict[str, Tensor]]:
    """Description and tensors of a model file.

    Raises:
        UserError: If it is not one, or not whole.
    """
    try:
        with file.open("rb") as stream:
            start = stream.read(9)
    except FileNotFoundError:
        raise UserError(f"there is no model file {file}; check the path, or write one with save_model") from None
    except OSError as problem:
        raise UserError(f"can't read {file} ({problem.strerror}); name a {SUFFIX} file that save_model wrote") from None
    if start[8:] != b"{":  # a safetensors file starts with the length of its header, 8 bytes, and the header's JSON
        if file.suffix == ".d3" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5"):
            raise UserError(
                f"{file} is a pickle, which can run any code when it is opened; only if you trust where it comes from, "
                f"load it with d3rlpy.load_learnable and write a {SUFFIX} file with save_model"
            )
        raise UserError(f"{file} is not a safetensors file, or cut off at its start; name one that save_model wrote")
    try:
        with safe_open(file, framework="pt") as content:
            description = (content.metadata() or {}).get(KEY)
            if description is None:
                raise UserError(f"{file} holds tensors but no model of this project; name one that save_model wrote")
            return description, {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as problem:
        raise UserError(f"{file} is cut off or damaged ({problem}); copy it again or save the model again") from None


def _build(file: Path, text: str, device: bool | int | str) -> FactoredAWR:
    """An algorithm with the settings of a model file and weights of its own.

    Raises:
        UserError: If the settings are not those of a model.
    """
    try:
        model = json.loads(text)
        if (version := model["format_version"]) != FORMAT_VERSION:
            raise UserError(
                f"has format version {version!r}, and this version of frl-medicaid reads {FORMAT_VERSION}; "
                "load it with the version that wrote it"
            )
        if model["type"] != FactoredAWRConfig.get_type():
            raise UserError(f"holds a model of type {model['type']!r}; {FactoredAWRConfig.get_type()!r} is known")
        known = {field.name for field in dataclasses.fields(FactoredAWRConfig)}
        if strange := known ^ model["settings"].keys():
            raise UserError(f"has settings of another version ({_some(strange)}); load it with that version")
        config: Any = FactoredAWRConfig.deserialize_from_dict(model["settings"])
        for name, array in _scaler_arrays(config).items():
            setattr(config.observation_scaler, name, array.astype(model["scaler_dtypes"][name]))
        algorithm: FactoredAWR = config.create(device)
        (size,) = model["observation_shape"]
        with torch.random.fork_rng(devices=[]):  # the weights drawn here are replaced
            algorithm.create_impl((size,), algorithm.action_space.n_joint)
        if algorithm._scaled(np.zeros((1, size), dtype=np.float32)).shape != (1, size):
            raise UserError(f"scales another number of observations than its {size}; save the model again")
        return algorithm
    except UserError as problem:
        raise UserError(f"{file} {problem}") from None
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RuntimeError, MemoryError) as problem:
        raise UserError(
            f"{file} has settings that make no model ({type(problem).__name__}); save the model again with save_model"
        ) from problem


def _some(names: Collection[str]) -> str:
    first = sorted(names)[:3]
    return ", ".join(first) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _kind(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
