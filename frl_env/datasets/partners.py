"""Training and validation members that never mix: which two datasets may be used together.

A policy is valued on members it was not trained on. `frl import --validation-share` draws them from the same table, and
both datasets keep a fingerprint of that one import. Where one of them was imported anew without the other, members may
be in both; nothing in the data shows it, but the fingerprints differ.
"""

from typing import Any

from frl_env.datasets.ids import parse_id
from frl_env.errors import UserError


def split_facts(ids: tuple[str, ...], dataset_id: str, fingerprint: str) -> dict[str, Any]:
    """What the metadata of an imported dataset say of the one that holds the other members of its table.

    Args:
        ids: Of the training members and, where there is a split, of the validation members.
        dataset_id: The one of them that is being written.
        fingerprint: Of the import.
    """
    if len(ids) == 1:
        return {}
    part, partner = ("training", ids[1]) if dataset_id == ids[0] else ("validation", ids[0])
    return {"split": {"part": part, "partner": partner, "fingerprint": fingerprint}}


def check_partners(training: Any, validation: Any) -> None:
    """Refuses validation members who may be among those that were trained on.

    Args:
        training: A `minari.MinariDataset`.
        validation: Another.

    Raises:
        UserError: If both are one dataset, parts of different imports of what was to be one split, whole imports of one
            table, or drawn from one seed.
    """
    ids = training.spec.dataset_id, validation.spec.dataset_id
    if ids[0] == ids[1]:
        raise UserError(
            f"the validation data are the training data, {ids[0]!r}; policies are valued on members they were not "
            "trained on"
        )
    first, second = training.storage.metadata, validation.storage.metadata
    if "frl_import" in first and "frl_import" in second:
        _check_imports(ids, first["frl_import"], second["frl_import"])
    seeds = [metadata.get("frl_recipe", {}).get("seed") for metadata in (first, second)]
    if seeds[0] is not None and seeds[0] == seeds[1] and is_simulated(first) and is_simulated(second):
        raise UserError(
            f"datasets {ids[0]!r} and {ids[1]!r} hold the same simulated members (both have seed {seeds[0]}); "
            "validate on members of another seed"
        )


def is_simulated(metadata: Any) -> bool:
    """Whether metadata are those of a dataset of this project's simulator."""
    return "parameters_version" in metadata.get("frl_recipe", {})


def _check_imports(ids: tuple[str, str], training: dict[str, Any], validation: dict[str, Any]) -> None:
    """Compares what two imports say of themselves."""
    if _fingerprint(training) is not None and _fingerprint(training) == _fingerprint(validation):
        return
    named = {ids[1], ids[0]}
    belong = str(parse_id(ids[0]).validation) == ids[1] or any(
        facts.get("split", {}).get("partner") in named for facts in (training, validation)
    )
    same_table = "table" in training and training["table"] == validation.get("table")
    if belong or same_table:
        raise UserError(
            f"datasets {ids[0]!r} and {ids[1]!r} are not of one split: members of one may be in the other; "
            f"import {ids[0]!r} again with --validation-share and --force, or name other members with --validation"
        )


def _fingerprint(facts: dict[str, Any]) -> str | None:
    """Hash that tells by which import a table was split into partners; None for an import of a whole table."""
    if "split" in facts:
        return str(facts["split"]["fingerprint"])
    return str(facts.get("made_of")) if facts.get("validation_share") else None
