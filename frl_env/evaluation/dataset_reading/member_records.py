"""Attributes and needs of the members of a Minari dataset, from the infos that come with their first observation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float64

from frl_env.errors import UserError
from frl_env.evaluation.dataset_reading.dataset_facts import COMBINED, VOCABULARIES, facts_of, is_simulated
from frl_env.evaluation.dataset_reading.minari_reading import read_arrays
from frl_env.evaluation.dataset_reading.people import MEMBER, WEEK, People, people_of
from frl_env.evaluation.privacy.suppression import people

ATTRIBUTES = ("race_ethnicity", "gender", "age_band")
"""What groups are made of unless said otherwise."""

LATENT_NEED = "open_needs"
"""Infos of the simulator: which needs are open; their number is the latent need."""


@dataclass(frozen=True, kw_only=True, eq=False)
class MemberRecords:
    """Members in the order of their episodes, or of the persons of these.

    Attributes:
        labels: By attribute; None where nothing is recorded.
        needs: By name.
        simulated: Whether the dataset was made by this project's simulator.
    """

    labels: dict[str, np.ndarray]
    needs: dict[str, Float64[np.ndarray, "member"]]
    simulated: bool

    def of(self, people: People) -> "MemberRecords":
        """One entry a person, in the order of `load_episodes`: what was known at the start of the first spell."""
        return replace(
            self,
            labels={name: column[people.first] for name, column in self.labels.items()},
            needs={name: column[people.first] for name, column in self.needs.items()},
        )


def load_people(dataset: Any) -> People:
    """Which person each episode is of; an imported record with gaps is several episodes of one person.

    Raises:
        UserError: If episodes of a member overlap in time.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for arrays in read_arrays(dataset, (), [f"infos/{MEMBER}", f"infos/{WEEK}"]):
        for key, values in arrays.items():
            columns.setdefault(key, []).append(values)
    return people_of(dataset, columns)


def load_members(
    dataset: Any, *, attributes: Sequence[str] = ATTRIBUTES, needs: Sequence[str] | None = None
) -> MemberRecords:
    """Reads what was known of the member of each episode at its start; `MemberRecords.of` makes it one entry a person.

    Args:
        dataset: A `minari.MinariDataset`.
        attributes: Keys of the infos. Whole numbers are names of the dataset's vocabulary, where it has one; below 0
            they mean that nothing is recorded.
        needs: Keys of the infos; of several numbers the sum is taken. By default `open_needs`, where it is there.

    Raises:
        UserError: If a key is missing, or a code is not in the vocabulary.
    """
    columns: dict[str, list[np.ndarray]] = {}
    for infos in _first_infos(dataset, attributes, needs):
        for key, value in infos.items():
            columns.setdefault(key, []).append(value.reshape(-1))
    named = [key for key in columns if key not in attributes or key in (needs or ())]
    return MemberRecords(
        labels=read_labels(dataset, {key: [value[0] for value in columns[key]] for key in attributes}),
        needs={
            key: np.asarray([value.astype(np.float64).sum() for value in columns[key]])
            for key in named
            if len(columns[key]) == dataset.total_episodes  # of a combined dataset perhaps only some have it
        },
        simulated=is_simulated(dataset),
    )


def read_labels(dataset: Any, stored: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """Labels by attribute, as names; None where nothing is recorded.

    Args:
        dataset: A `minari.MinariDataset`.
        stored: What it holds of each episode's start, by attribute.

    Raises:
        UserError: If a code is not in the vocabulary, or what it means was lost.
    """
    facts = facts_of(dataset)
    vocabularies = facts.get(VOCABULARIES, {})
    arrays = {key: np.asarray(values) for key, values in stored.items()}
    lost = [
        k for k, codes in arrays.items() if COMBINED in facts and k not in vocabularies and codes.dtype.kind in "iu"
    ]
    if lost:
        raise UserError(
            f"dataset {dataset.spec.dataset_id!r} was combined from {', '.join(map(str, facts[COMBINED]))}, and the "
            f"names behind the numbers of {', '.join(map(repr, lost))} were lost with it; read the parts one by one"
        )
    return {key: _named(key, codes, vocabularies.get(key), is_simulated(dataset)) for key, codes in arrays.items()}


def _named(key: str, codes: np.ndarray, vocabulary: Sequence[str] | None, simulated: bool) -> np.ndarray:
    if codes.dtype.kind == "S":
        codes = codes.astype(str)
    labels = codes.astype(object)
    if not np.issubdtype(codes.dtype, np.integer):
        return labels
    labels[codes < 0] = None
    if vocabulary is None:
        return labels if (codes < 0).any() else codes
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
    """The wanted infos of each episode's first observation."""
    keys = [f"infos/{key}" for key in dict.fromkeys([*attributes, *(needs or ())])]
    optional = [f"infos/{LATENT_NEED}"] if needs is None and LATENT_NEED not in attributes else []
    for arrays in read_arrays(dataset, keys, optional):
        yield {key.removeprefix("infos/"): values[0] for key, values in arrays.items()}
