"""The learned policy as one file that runs without this project: ONNX or TorchScript.

    observations   (n, k) float32, raw units: the observation scaler is inside
    probabilities  (n, joint) float32: exact probability of every joint action, 0 for invalid ones; rows sum to 1
    greedy         (n,) int64: joint index of the greedy action

Any n will do. A row with NaN or an infinite number has NaN probabilities and the greedy action -1, never advice. A
joint index is the C-order index of the levels, `numpy.unravel_index(joint, [number of levels of each factor])`; the
factors, the names of their levels and those of the k observations are in the file, under the names in `METADATA`:

    onnxruntime.InferenceSession(path).get_modelmeta().custom_metadata_map["frl_action_schema"]

    extra = {"frl_action_schema": ""}
    torch.jit.load(path, _extra_files=extra)     # fills in the text

A TorchScript file also names, for messages of errors, where this package was installed; an ONNX file does not.
"""

import copy
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from d3rlpy.preprocessing import StandardObservationScaler
from jaxtyping import Float, Int
from torch import Tensor, nn

from frl_algos.factored_awr.algorithm import FactoredAWR
from frl_algos.factored_awr.extraction import likeliest_best, supported
from frl_algos.model_files.frozen import chosen_format, file_content
from frl_algos.model_files.saving import write_whole
from frl_env.errors import UserError

METADATA: tuple[str, ...] = ("frl_format_version", "frl_action_schema", "frl_observation_scaler", "frl_state_names")
"""Texts in each file: "1"; `ActionSpace.to_json`; JSON of mean, std and eps or null, which is applied inside; a JSON
list of the names of the observations, in order, empty where the training data had none."""


def export_policy(algorithm: FactoredAWR, path: str | os.PathLike[str], format: str | None = None) -> None:
    """Writes the policy of a trained algorithm, whole or not at all.

    Args:
        algorithm: Trained; it stays as it is.
        path: Where to.
        format: "onnx" (needs the extra 'export') or "torchscript"; by the suffix, `.onnx` or `.pt`, when None.

    Raises:
        UserError: If the format is unknown, a package is missing, the algorithm is not trained or of another kind, or
            the file can't be written.
    """
    file = Path(path)
    chosen = chosen_format(file, format)
    if not isinstance(algorithm, FactoredAWR):
        raise UserError(f"export_policy takes FactoredAWR, not {type(algorithm).__name__}")
    write_whole(file, file_content(ExportedPolicy(algorithm), chosen))


class ExportedPolicy(nn.Module):
    """Scaler, networks and formula of a trained policy in one module, apart from the algorithm.

    Args:
        algorithm: Trained; its networks are copied to the processor.

    Raises:
        UserError: If it is not trained, or its observation scaler is not a standard one.
    """

    mean: Tensor
    spread: Tensor
    shift: Tensor
    threshold: Tensor
    scale: Tensor
    unit: Tensor
    columns: Tensor
    joints: Tensor

    def __init__(self, algorithm: FactoredAWR) -> None:
        """Copies what it needs."""
        super().__init__()
        impl, config = algorithm._require_impl(), algorithm.config
        scaler = config.observation_scaler
        mean, spread = np.zeros(1), np.ones(1)
        if isinstance(scaler, StandardObservationScaler) and scaler.mean is not None and scaler.std is not None:
            mean, spread = scaler.mean, scaler.std + scaler.eps  # in its own precision, as the algorithm has it
        elif scaler is not None:
            raise UserError(
                f"export knows a fitted StandardObservationScaler, not {type(scaler).__name__}; train with that one"
            )
        self.inputs = {"observations": torch.zeros(2, impl.observation_shape[0])}
        self.outputs = ("probabilities", "greedy")
        self.support_threshold = config.support_threshold
        # Whether the greedy action is the likeliest, or the one with the largest advantage; as the algorithm has it.
        self.by_policy = impl._decisions._by_policy
        self.policy = copy.deepcopy(impl.modules.actor)
        self.critic = None if config.extraction == "regression" else copy.deepcopy(impl.modules.critic)
        self.tilt = copy.deepcopy(impl.modules.tilt)
        statistics, joints = impl.modules.statistics, impl.joints
        columns = torch.full((impl.action_size,), len(joints))
        columns[joints.cpu()] = torch.arange(len(joints))
        numbers = {
            "mean": torch.as_tensor(mean),
            "spread": torch.as_tensor(spread),
            "shift": statistics.shift,
            "threshold": statistics.threshold,
            "scale": statistics.advantage_scale * statistics.temperature,
            "unit": statistics.unit,
            "columns": columns,
            "joints": joints,
        }
        for name, value in numbers.items():
            self.register_buffer(name, value.clone())
        schema, names = algorithm.action_space.to_json(), json.dumps(config.state_names)
        texts = ("1", schema, json.dumps(_describe(scaler)), names)
        self.metadata: dict[str, str] = dict(zip(METADATA, texts, strict=True))
        self.cpu().eval().requires_grad_(False)

    def forward(
        self, observations: Float[Tensor, "batch k"]
    ) -> tuple[Float[Tensor, "batch joint"], Int[Tensor, "batch"]]:
        """Probabilities of all joint actions, and the greedy one, from raw observations."""
        scaled = ((observations - self.mean) / self.spread).float()
        hidden = self.policy.encode(scaled)
        gate = self.policy.gate_logits(hidden)
        gate = None if gate is None else gate + self.shift
        what = self.policy.log_what(hidden)
        # `what`: log-probabilities of the actions given that something is done; `gate`: log odds of doing anything.
        log_what = scores = what
        if self.critic is not None:
            what = supported(what, self.support_threshold)
            advantages = self.critic(scaled) * self.unit
            scores = torch.where(torch.isfinite(what), advantages, what)
            what = torch.log_softmax(what + advantages / self.scale, dim=1)
            scores = what if self.by_policy else scores
        if self.tilt is not None:
            what, gate, lift = self.tilt(scaled, what, gate)
            scores = scores + (lift if self.by_policy else lift * self.scale)
        best = likeliest_best(scores, log_what)
        if gate is not None and self.policy.null is not None:
            best = torch.where(gate > self.threshold, best, self.policy.null)
        valid = self.policy.joint(what, gate).exp()
        everything = torch.cat([valid, torch.zeros_like(valid[:, :1])], dim=1)[:, self.columns]
        finite = torch.isfinite(observations).all(dim=1)
        return everything.masked_fill(~finite[:, None], float("nan")), torch.where(finite, self.joints[best], -1)


def _describe(scaler: StandardObservationScaler | None) -> dict[str, Any] | None:
    if scaler is None:
        return None
    return {"mean": np.asarray(scaler.mean).tolist(), "std": np.asarray(scaler.std).tolist(), "eps": scaler.eps}
