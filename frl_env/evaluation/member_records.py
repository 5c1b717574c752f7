"""Attributes and needs of the members of a Minari dataset, from the infos that come with their first observation."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from frl_env.errors import UserError
from frl_env.evaluation.suppression import people
from frl_env.integrity import check_intact

ATTRIBUTES = ("race_ethnicity", "gender", "age_band")
"""What groups are made of unless said otherwise."""

LATENT_NEED = "open_needs"
"""Infos of the simulator: which needs are open; their number is the latent need."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberRecords:
    """Members in the order of their episodes.

    Attributes:
        labels: By attribute; None where nothing is recorded.
        needs: By name.
        simulated: Whether the dataset was made by this project's simulator.
    """

    labels: dict[str, np.ndarray]
    needs: dict[str, Float64[np.ndarray, "member"]]
    simulated: bool


def is_simulated(dataset: Any) -> bool:
    """Whether a Minari dataset was made by this project's simulator; anything else may hold real people."""
    return "frl_recipe" in dataset.storage.metadata


def load_people(dataset: Any) -> Int64[np.ndarray, "episode"]:
    """Which person each episode is of, as numbers from 0.

    An imported record with gaps is several episodes of one person, and people are what is counted and resampled.
    """
    if "frl_import" not in dataset.storage.metadata:
        return np.arange(dataset.total_episodes)
    members = [infos["member"].reshape(-1)[0] for infos in _first_infos(dataset, ["member"], [])]
    return np.unique(np.asarray(members), return_inverse=True)[1].astype(np.int64)


def load_members(
    dataset: Any, *, attributes: Sequence[str] = ATTRIBUTES, needs: Sequence[str] | None = None
) -> MemberRecords:
    """Reads what was known of each member at the start.

    Args:
        dataset: A `minari.MinariDataset`.
        attributes: Keys of the infos. Whole numbers are names of the dataset's vocabulary, where it has one; below 0
            they mean that nothing is recorded.
        needs: Keys of the infos; of several numbers the sum is taken. By default `open_needs`, where it is there.

    Raises:
        UserError: If a key is missing, or a code is not in the vocabulary.
    """
    simulated = is_simulated(dataset)
    columns: dict[str, list[np.ndarray]] = {}
    for infos in _first_infos(dataset, attributes, needs):
        for key, value in infos.items():
            columns.setdefault(key, []).append(value.reshape(-1))
    vocabularies = dataset.storage.metadata.get("frl_vocabularies", {})
    named = [key for key in columns if key not in attributes or key in (needs or ())]
    return MemberRecords(
        labels={key: _labels(key, columns[key], vocabularies.get(key), simulated) for key in attributes},
        needs={key: np.asarray([value.astype(np.float64).sum() for value in columns[key]]) for key in named},
        simulated=simulated,
    )


def _labels(key: str, values: list[np.ndarray], vocabulary: Sequence[str] | None, simulated: bool) -> np.ndarray:
    codes = np.asarray([value[0] for value in values])
    if codes.dtype.kind == "S":
        codes = codes.astype(str)
    labels = codes.astype(object)
    if not np.issubdtype(codes.dtype, np.integer):
        return labels
    labels[codes < 0] = None
    if vocabulary is None:
        return labels
    strange = int((codes >= len(vocabulary)).sum())
    if strange:
        raise UserError(
            f"attribute {key!r} has codes that are not among its {len(vocabulary)} names, for "
            f"{people(strange, simulated=simulated)} of {len(codes):,} members; add these groups to the dataset's "
            "vocabulary, or recode them"
        )
    labels[codes >= 0] = np.asarray(vocabulary, dtype=object)[codes[codes >= 0]]
    return labels


def _first_infos(
    dataset: Any, attributes: Sequence[str], needs: Sequence[str] | None
) -> Iterator[dict[str, np.ndarray]]:
    """The wanted infos of each episode's first observation; an HDF5 file lets us leave all others unread."""

    def wanted(known: Any) -> list[str]:
        keys = [*attributes, *(needs if needs is not None else [LATENT_NEED] if LATENT_NEED in known else [])]
        missing = [key for key in keys if key not in known]
        if missing:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} has no infos {', '.join(map(repr, missing))}; "
                f"it has {', '.join(sorted(known)) or 'none'}"
            )
        return list(dict.fromkeys(keys))

    check_intact(dataset)
    file = Path(dataset.storage.data_path) / "main_data.hdf5"
    if not file.exists():
        for episode in dataset.iterate_episodes():
            known = episode.infos or {}
            yield {key: np.asarray(known[key])[0] for key in wanted(known)}
        return
    import h5py

    try:
        with h5py.File(file, "r") as store:
            keys: list[str] | None = None
            for number in dataset.episode_indices:
                if keys is None:  # every episode of a dataset has the same infos
                    episode: Any = store[f"episode_{number}"]
                    keys = wanted(episode.get("infos", {}))
                yield {key: _first(store, f"episode_{number}/infos/{key}") for key in keys}
    except (OSError, KeyError) as problem:
        raise UserError(f"dataset {dataset.spec.dataset_id!r} is damaged; build or import it again") from problem


def _first(store: Any, place: str) -> np.ndarray:
    """First row of an array in an HDF5 file, by the library's own calls: the usual ones cost several times as much."""
    import h5py

    array = h5py.h5d.open(store.id, place.encode())
    values = np.empty(array.shape, dtype=array.dtype)
    array.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return np.asarray(values[0])
