"""The flat arrays of an imported dataset, read by memory map: memory does not grow with rows.

They lie in the folder `flat` of the dataset, one `.npy` file an array, and the metadata have a checksum of each under
`frl_files`. Every file is compared with it once; until it is touched again, it is read by memory map alone.
"""

import dataclasses
import mmap
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float32, Int64

from frl_env.errors import UserError
from frl_env.files.integrity import check_intact


@dataclasses.dataclass(frozen=True, kw_only=True)
class FlatArrays:
    """All that a replay buffer holds; a row a step, but the last two a row an episode.

    Attributes:
        observations, next_observations: Before and after the action; raw units.
        actions, next_actions: Joint indices; the next one is 0 after the last step of an episode.
        rewards: Of each step.
        terminals: 1 where an episode ended for good, else 0.
        lengths: Steps of each episode.
        terminated: Whether it ended for good.
    """

    observations: Float32[np.ndarray, "row k"]
    next_observations: Float32[np.ndarray, "row k"]
    actions: Int64[np.ndarray, "row"]
    next_actions: Int64[np.ndarray, "row"]
    rewards: Float32[np.ndarray, "row"]
    terminals: Float32[np.ndarray, "row"]
    lengths: Int64[np.ndarray, "episode"]
    terminated: Bool[np.ndarray, "episode"]


def map_arrays(dataset: Any) -> tuple[FlatArrays, Int64[np.ndarray, "episode"]] | None:
    """Maps the flat arrays of a dataset into memory, and the number of the member of each episode.

    Args:
        dataset: A `minari.MinariDataset`.

    Returns:
        Read-only arrays; None where the dataset has none, is a part of one or in another order (they are in stored
        order), or has grown since they were written.

    Raises:
        UserError: If a file is damaged or missing.
    """
    metadata = dataset.storage.metadata
    files = metadata.get("frl_files", {})
    names = {
        name: f"flat/{name}.npy" for name in [*(field.name for field in dataclasses.fields(FlatArrays)), "members"]
    }
    if not files.keys() >= set(names.values()):
        return None
    if not np.array_equal(dataset.episode_indices, np.arange(metadata["total_episodes"])):
        return None
    if metadata["total_steps"] != metadata.get("frl_import", {}).get("steps"):
        return None
    check_intact(dataset)
    arrays = {}
    for name, file in names.items():
        try:
            arrays[name] = np.asarray(np.load(Path(dataset.storage.data_path) / file, mmap_mode="r"))
        except (OSError, ValueError) as problem:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} is damaged ({file}); build or import it again"
            ) from problem
    members = arrays.pop("members")
    return FlatArrays(**arrays), members


def release(*arrays: np.ndarray) -> None:
    """Lets go of the pages of read-only memory maps that were read; who reads them again gets them from the disk.

    After a pass over all rows, or the pages that it read would count as memory of this process until it ends. Arrays
    that are no such maps stay as they are.
    """
    for array in arrays:
        base: Any = array
        while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
            base = base.base
        # Pages of a map that is written to, or copied on writing, may hold what is nowhere else.
        if isinstance(base, np.memmap) and base.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
            base._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined] - numpy's only way to its map
