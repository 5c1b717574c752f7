"""Trained policies from their files, whatever wrote them."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from frl_algos.files.model_files import SUFFIX, load_model
from frl_algos.policies.adapter import adapt
from frl_env.actions import ActionSpace
from frl_env.errors import UserError

CONTACTS = "num_encounters_last_week"
"""Observation that shows whether an attempt was answered, where a dataset has it by this name."""


def load_policy(path: str | os.PathLike[str], space: ActionSpace) -> Any:
    """A trained algorithm.

    Args:
        path: A `.safetensors` file of `frl_algos.save_model`, or d3rlpy's `.d3`, which is a pickle: open one only if
            you trust where it comes from.
        space: Actions of the data that it is to be asked about.

    Raises:
        UserError: If there is no such file, or it is no policy over these actions.
    """
    file = Path(path)
    if file.suffix == SUFFIX:
        algorithm = load_model(file)
        if algorithm.action_space.nvec != space.nvec:
            raise UserError(f"{file} decides among {algorithm.action_space}, the data has {space}")
        return algorithm
    if file.suffix != ".d3":
        raise UserError(f"{file} is no trained policy; name a {SUFFIX} file of save_model, or a .d3 file of d3rlpy")
    import d3rlpy

    try:
        return adapt(d3rlpy.load_learnable(str(file)), space)
    except FileNotFoundError:
        raise UserError(f"there is no file {file}; check the path, or write one with save_model") from None


def told_by(algorithm: Any, names: Sequence[str]) -> tuple[int | None, Mapping[str, int] | None]:
    """Index of the observation that shows a response, and what indicates a level, for the valuation of a policy.

    Args:
        algorithm: Whose configuration says so; else the names decide.
        names: Of the observations.
    """
    config: Any = getattr(algorithm, "config", None)
    named = list(names).index(CONTACTS) if CONTACTS in names else None
    return getattr(config, "response", named), getattr(config, "indications", None)
