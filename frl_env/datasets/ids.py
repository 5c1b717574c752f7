"""Ids of datasets: which will do, said once for every command and function that takes one.

    team/care-v0            namespace "team", name "care", version 0
    team/north/care-v1      namespaces may be nested
    care-v0                 or absent

An id is also a path in Minari's store. So it must name one place there and no other: no `..`, no empty part, no second
spelling of the same version, and no part that Minari would take for a dataset of its own.
"""

import unicodedata
from dataclasses import dataclass

from minari.dataset.minari_dataset import gen_dataset_id, parse_dataset_id

from frl_env.errors import UserError, shorten

LONGEST_PART, LONGEST_ID = 200, 1_000
"""Bytes of one part, which is a file name with room for what stands beside it, and of the whole."""


@dataclass(frozen=True)
class DatasetId:
    """The parts of an id.

    Attributes:
        namespace: Folders above the dataset; None where there are none.
        name: Of the dataset.
        version: Its number.
    """

    namespace: str | None
    name: str
    version: int

    def __str__(self) -> str:
        """The id itself."""
        return gen_dataset_id(self.namespace, self.name, self.version)

    @property
    def validation(self) -> str:
        """Id of the dataset that holds the validation members of this one."""
        return gen_dataset_id(self.namespace, f"{self.name}-validation", self.version)


def parse_id(dataset_id: object) -> DatasetId:
    """The parts of an id.

    Args:
        dataset_id: As it was given.

    Raises:
        UserError: If it is none, or names no place of its own in a store.
    """
    text = str(dataset_id)
    shown = shorten(text)
    if not isinstance(dataset_id, str) or not _fits(text):
        raise UserError(
            f"{shown!r} is no dataset id; write letters, digits, - and _ and a version, like myorg/care-v0 "
            f"(parts up to {LONGEST_PART} bytes)"
        )
    try:
        parsed = DatasetId(*parse_dataset_id(text))
    except (ValueError, TypeError):
        raise UserError(f"{shown!r} is no dataset id; write it like myorg/care-v0") from None
    if str(parsed) != text:
        raise UserError(f"{shown!r} is no dataset id; write its version as a plain number, like {str(parsed)!r}")
    for part in (parsed.namespace or "").split("/"):
        if part == "data" or _is_version(part):
            raise UserError(
                f"{shown!r} is no dataset id: Minari would take the folder {part!r} for a dataset; "
                "choose another namespace"
            )
    return parsed


def _fits(text: str) -> bool:
    """Whether it could be a path of the store, as far as letters and lengths tell."""
    parts = text.split("/")
    return (
        text.isprintable()
        and unicodedata.is_normalized("NFC", text)
        and len(text.encode("utf-8", "surrogatepass")) <= LONGEST_ID
        and all(part and len(part.encode("utf-8", "surrogatepass")) <= LONGEST_PART for part in parts)
    )


def _is_version(part: str) -> bool:
    """Whether a folder of that name could be a dataset."""
    name, mark, number = part.rpartition("-v")
    return bool(name and mark and number.isdecimal())
