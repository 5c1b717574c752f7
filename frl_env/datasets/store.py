"""Build datasets into Minari's local store, whole or not at all.

See `placing` for how. Of a dataset of several shards an interrupted build keeps the whole ones, and the same command
goes on from there.
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import minari
import numpy as np
from minari.dataset.minari_storage import MinariStorage

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.capacity.effort import METADATA as EFFORT
from frl_env.care_effort import care_effort
from frl_env.datasets.collect import Episodes, collect
from frl_env.datasets.hdf5 import episode_columns, join_shards, shard_facts, write_shard
from frl_env.datasets.ids import parse_id
from frl_env.datasets.placing import (
    building_folder,
    check_own,
    dataset_place,
    discard,
    has_dataset,
    lock,
    make_room,
    package_version,
    put_in_place,
    read_metadata,
    stored_datasets,
    unfinished,
)
from frl_env.datasets.recipes import RECIPES, Recipe, recipe
from frl_env.env import observation_space
from frl_env.errors import UserError, nearest_names, system_reason
from frl_env.files.integrity import KEY as CHECKSUMS
from frl_env.files.integrity import REWARD_LIMITS, check_intact, file_facts
from frl_env.kinds import check_kind
from frl_env.parameters import VOCABULARIES
from frl_env.reference_returns import ceiling, reference_scores
from frl_env.simulator.state import observation_names

REFERENCE_MEMBERS = 20_000
"""Members behind the reference scores of a dataset whose world is not in the ladder."""

FEW_FILES = 8
"""Files that are compared without a bar."""

REWARDS = [-28, 0]
"""What a week's reward can be: three ED visits and a hospital stay a day, or nothing."""

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


def build_dataset(
    dataset: str | Recipe, *, force: bool = False, progress: Progress | None = None
) -> minari.MinariDataset:
    """Builds a dataset from its recipe into Minari's local store.

    Args:
        dataset: An id of `RECIPES`, or a recipe of one's own.
        force: Replace a dataset of that id; the old one stays until the new one is whole.
        progress: Called as the work goes on.

    Returns:
        The dataset, loaded.

    Raises:
        UserError: If the id is unknown, the dataset exists already, or the store can't be written.
    """
    check_kind("dataset", dataset, str | Recipe)
    made = recipe(dataset) if isinstance(dataset, str) else dataset
    try:
        with lock(made.dataset_id):
            if dataset_state(made) != "missing" and not force:
                raise UserError(f"dataset {made.dataset_id!r} exists already; add --force to build it anew")
            check_own(made.dataset_id)
            _write(made, progress or _silent)
    except OSError as problem:
        raise cannot_write(made.dataset_id, problem) from problem
    return open_dataset(made.dataset_id, check=False)


def ensure_dataset(dataset: str | Recipe, *, progress: Progress | None = None) -> minari.MinariDataset:
    """Loads a dataset from the local store, and builds it first when it has a recipe and is missing.

    Args:
        dataset: Any id of the store or of `RECIPES`, or a recipe of one's own.
        progress: Called as the work goes on.

    Raises:
        UserError: If it is neither there nor ours, is damaged, or was made by another recipe or parameter version.
    """
    check_kind("dataset", dataset, str | Recipe)
    if isinstance(dataset, Recipe):
        made: Recipe | None = dataset
        dataset_id = dataset.dataset_id
    else:
        check_dataset(dataset)
        made = RECIPES.get(dataset)
        dataset_id = dataset
    if made is not None:
        state = dataset_state(made)
        if state == "stale":
            known = dataset_id in RECIPES
            replaced = f"run 'frl build {dataset_id} --force'" if known else "call build_dataset(recipe, force=True)"
            raise UserError(f"dataset {dataset_id!r} was built by another version of its recipe; {replaced}")
        if state == "missing":
            try:
                return build_dataset(made, progress=progress)
            except UserError:
                if dataset_state(made) != "current":  # unless another process built it meanwhile
                    raise
    return open_dataset(dataset_id, progress=progress)


def open_dataset(dataset_id: str, *, check: bool = True, progress: Progress | None = None) -> minari.MinariDataset:
    """Opens a dataset of the local store.

    Args:
        dataset_id: In the store.
        check: Whether to compare its files with their checksums; those that were compared before and have not been
            touched since are not read again.
        progress: Called as files are read.

    Raises:
        UserError: If it is not there, or is damaged.
    """
    place = dataset_place(dataset_id)
    if not has_dataset(dataset_id):
        raise _unknown(dataset_id)
    try:
        dataset = minari.MinariDataset(place / "data")
    except (OSError, ValueError, KeyError, AssertionError, TypeError, AttributeError, RecursionError) as problem:
        raise UserError(
            f"dataset {dataset_id!r} is damaged: its metadata can't be read ({type(problem).__name__}); "
            f"{_remedy(dataset_id)}"
        ) from problem
    if check:
        tell = progress or _silent
        check_intact(
            dataset,
            remedy=_remedy(dataset_id),
            progress=lambda done, total: tell("comparing checksums", done, total) if total > FEW_FILES else None,
        )
    return dataset


def check_dataset(dataset_id: str) -> None:
    """Says early when a dataset is neither in the store nor ours to build.

    Raises:
        UserError: If so; names the nearest.
    """
    if dataset_id not in RECIPES and not has_dataset(_valid(dataset_id)):
        raise _unknown(dataset_id)


def delete_dataset(dataset_id: str) -> None:
    """Deletes a dataset, and what unfinished builds of it left, from the local store.

    Raises:
        UserError: If there is neither, what is there is no dataset, or not all of it can be deleted.
    """
    stored_parts(dataset_id)
    place = dataset_place(dataset_id)
    try:
        with lock(dataset_id):
            check_deletable(dataset_id)
            for folder in [*unfinished(place), place]:
                discard(folder, place)
    except OSError as problem:
        raise UserError(
            f"can't delete all of dataset {dataset_id!r} ({system_reason(problem)}); check the permissions of "
            f"{place.parent} and try again"
        ) from problem


def cannot_write(dataset_id: str, problem: OSError) -> UserError:
    """Error for a dataset that the store has no room for, or may not be written to."""
    return UserError(
        f"can't write dataset {dataset_id!r}: {system_reason(problem)}; free space, or set MINARI_DATASETS_PATH"
    )


def check_deletable(dataset_id: str) -> None:
    """Refuses to delete what its metadata do not call a dataset.

    Raises:
        UserError: If so.
    """
    place = dataset_place(dataset_id)
    check_own(dataset_id)
    if (place / "data").exists() and not read_metadata(place):
        raise UserError(
            f"the metadata of dataset {dataset_id!r} can't be read, so nothing says that {place} is one; "
            f"{_remedy(dataset_id)}, or remove the folder by hand"
        )


def stored_parts(dataset_id: str) -> list[Path]:
    """Folders of a dataset and of unfinished builds of it.

    Raises:
        UserError: If there are none, or what is there is no dataset.
    """
    place = dataset_place(_valid(dataset_id))
    parts = unfinished(place) + ([place] if has_dataset(dataset_id) else [])
    if not parts:
        raise UserError(f"dataset {dataset_id!r} is not in the local store; 'frl list' shows what can be built")
    check_deletable(dataset_id)
    return parts


def verify_dataset(dataset: minari.MinariDataset, *, progress: Progress | None = None) -> bool:
    """Compares all files of a dataset with the checksums kept when it was made, whatever was compared before.

    Args:
        dataset: Which.
        progress: Called as files are read.

    Returns:
        Whether there are any; datasets of other people have none.

    Raises:
        UserError: If a file is missing or differs.
    """
    tell = progress or _silent
    return check_intact(
        dataset,
        remedy=_remedy(dataset.spec.dataset_id),
        anew=True,
        progress=lambda done, total: tell("comparing checksums", done, total),
    )


def dataset_state(made: Recipe) -> str:
    """Whether the store holds it: "missing", "current", "stale" (another recipe or version), or "damaged"."""
    if not has_dataset(made.dataset_id):
        return "missing"
    metadata = read_metadata(dataset_place(made.dataset_id))
    if not metadata:
        return "damaged"
    return "current" if metadata.get("frl_recipe") == made.fingerprint() else "stale"


def content_hash(episodes: Episodes) -> str:
    """SHA-256 over every array of the episodes; says whether two builds are the same."""
    digest = hashlib.sha256()
    for name in ("observations", "actions", "rewards", "lengths", "terminated"):
        digest.update(np.ascontiguousarray(getattr(episodes, name)).tobytes())
    for key in sorted(episodes.information):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(episodes.information[key]).tobytes())
    return digest.hexdigest()


def _write(made: Recipe, progress: Progress) -> None:
    """Makes a dataset beside its place, and puts it there once it is whole."""
    place = dataset_place(made.dataset_id)
    building = building_folder(made.dataset_id, made.fingerprint())
    try:
        make_room(building, place)
        shutil.rmtree(building / "data", ignore_errors=True)  # a killed build may have left it half-finished
        (building / "data").mkdir()
        content, steps = _write_episodes(made, building, progress)
        storage = MinariStorage.new(
            building / "data",
            observation_space=observation_space(made.world),
            action_space=MEDICAID_ACTIONS.gym_space(),
            env_spec=made.env_spec(),
            data_format="hdf5",
        )
        (building / "joined.hdf5").replace(building / "data" / "main_data.hdf5")
        storage.update_metadata(_metadata(made, content))
        storage.update_metadata({CHECKSUMS: file_facts(building / "data", ["main_data.hdf5"])})
        storage.update_metadata(
            {"total_episodes": made.members, "total_steps": steps, "dataset_size": storage.get_size()}
        )
        put_in_place((building, place))
    except BaseException:
        # Whole shards stay for the next try (`frl delete` drops them), and nothing else does.
        shutil.rmtree(building / "data", ignore_errors=True)
        (building / "joined.hdf5").unlink(missing_ok=True)
        if len(made.shards) == 1 or not any(building.glob("shard-*.hdf5")):
            shutil.rmtree(building, ignore_errors=True)
        raise


def _write_episodes(made: Recipe, building: Path, progress: Progress) -> tuple[str, int]:
    """Writes what is missing of the episodes; returns their content hash and number of steps."""
    files, hashes, steps, first = [], [], 0, 0
    for number, members in enumerate(made.shards):
        file = building / f"shard-{number:04d}.hdf5"
        if not file.exists():
            # A pair that ends in 0 would be the plain seed again: shards count from 1.
            seed = made.seed if len(made.shards) == 1 else (made.seed, number + 1)
            episodes = collect(made.parameters, members=members, seed=seed, horizon=made.horizon)
            progress("writing", first + members, made.members)
            write_shard(file, episode_columns(episodes), first=first, content=content_hash(episodes))
        content, length = shard_facts(file)
        hashes.append(content)
        files.append(file)
        steps += length
        first += members
    join_shards(files, building / "joined.hdf5", progress=lambda done: progress("joining", done, made.members))
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(), steps


def _metadata(made: Recipe, content: str) -> dict[str, Any]:
    """What Minari and this package keep beside the data."""
    scores = reference_scores(made.world, horizon=made.horizon, members=REFERENCE_MEMBERS)
    low, high = scores["no_program"]["value"], scores[ceiling(scores)]["value"]
    # Where no policy changes anything there is no scale, and Minari would divide by zero.
    scale = {"ref_min_score": low, "ref_max_score": high} if high > low else {}
    return scale | {
        "dataset_id": made.dataset_id,
        "description": made.description,
        "author": {"The FRL authors"},
        "author_email": {"frl@users.noreply.github.com"},
        "code_permalink": f"frl_env/datasets/recipes.py, package frl-medicaid {package_version()}",
        "algorithm_name": "BehaviourPolicy (simulated care team)",
        "minari_version": importlib.metadata.version("minari"),
        "requirements": ["frl-medicaid"],
        "eval_env_spec": made.env_spec().to_json(),
        "num_episodes_average_score": int(scores["no_program"]["members"]),
        "frl_reference_scores": scores,
        "frl_recipe": made.fingerprint(),
        "frl_content_sha256": content,
        "frl_observation_names": list(observation_names(**made.world.seen)),
        REWARD_LIMITS: REWARDS,
        # The action mask of the contract is the same in every step: it follows from the schema's validity rule.
        "frl_action_schema": json.loads(MEDICAID_ACTIONS.to_json()),
        EFFORT: care_effort(made.parameters).to_json(),
        "frl_vocabularies": VOCABULARIES,
    }


def _valid(dataset_id: str) -> str:
    """The id, if it is one.

    Raises:
        UserError: If not; names the nearest.
    """
    try:
        parse_id(dataset_id)
    except UserError as problem:
        near = nearest_names(dataset_id, RECIPES)
        raise UserError(f"{problem}; did you mean {near}?" if near else str(problem)) from None
    return dataset_id


def _unknown(dataset_id: str) -> UserError:
    try:
        recipe(dataset_id)
    except UserError as problem:
        local = ", ".join(sorted(stored_datasets())) or "none"
        return UserError(f"{problem}; in the local store: {local}")
    return UserError(f"dataset {dataset_id!r} is not in the local store; run 'frl build {dataset_id}'")


def _remedy(dataset_id: str) -> str:
    """What to do about a damaged dataset."""
    return f"run 'frl build {dataset_id} --force'" if dataset_id in RECIPES else "import it again"


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
