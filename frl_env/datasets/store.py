"""Build datasets into Minari's local store, whole or not at all.

A dataset is written into a hidden folder beside its place and renamed when it is complete, under a file lock: two
builds of one id end well, and an interrupted one leaves nothing behind that Minari would list. Of a dataset of several
shards the whole ones are kept, and the same command goes on from there.
"""

import hashlib
import importlib.metadata
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import minari
import numpy as np
from filelock import FileLock
from minari.dataset.minari_storage import MinariStorage
from minari.storage import get_dataset_path

from frl_env.actions import MEDICAID_ACTIONS
from frl_env.datasets.collect import Episodes, collect
from frl_env.datasets.hdf5 import join_shards, shard_facts, write_shard
from frl_env.datasets.recipes import RECIPES, Recipe, recipe
from frl_env.env import observation_space
from frl_env.errors import UserError
from frl_env.parameters import AGE_BANDS, GENDERS, NEED_NAMES, RACES, TIERS
from frl_env.reference_returns import ceiling, reference_scores
from frl_env.state import observation_names

REFERENCE_MEMBERS = 20_000
"""Members behind the reference scores of a dataset whose world is not in the ladder."""

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
    made = recipe(dataset) if isinstance(dataset, str) else dataset
    try:
        with _lock(made.dataset_id):
            if dataset_state(made) != "missing" and not force:
                raise UserError(f"dataset {made.dataset_id!r} exists already; add --force to build it anew")
            _write(made, progress or _silent)
    except OSError as problem:
        raise UserError(f"can't write dataset {made.dataset_id!r}: {problem.strerror or problem}") from problem
    return minari.load_dataset(made.dataset_id)


def ensure_dataset(dataset: str | Recipe, *, progress: Progress | None = None) -> minari.MinariDataset:
    """Loads a dataset from the local store, and builds it first when it has a recipe and is missing.

    Args:
        dataset: Any id of the store or of `RECIPES`, or a recipe of one's own.
        progress: Called as the work goes on.

    Raises:
        UserError: If it is neither there nor ours, is broken, or was made by another recipe or parameter version.
    """
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
            raise UserError(
                f"dataset {dataset_id!r} was built by another version of its recipe; "
                f"run 'frl build {dataset_id} --force' to replace it"
            )
        if state == "missing":
            try:
                return build_dataset(made, progress=progress)
            except UserError:
                if dataset_state(made) != "current":  # unless another process built it meanwhile
                    raise
    try:
        return minari.load_dataset(dataset_id)
    except (OSError, ValueError, KeyError, AssertionError) as problem:
        hint = f"run 'frl build {dataset_id} --force'" if made else "import it again"
        raise UserError(f"dataset {dataset_id!r} can't be read ({type(problem).__name__}); {hint}") from problem


def dataset_place(dataset_id: str = "") -> Path:
    """Folder of a dataset in Minari's local store, or of the store itself.

    Raises:
        UserError: If the store can't be used.
    """
    try:
        return get_dataset_path(dataset_id)
    except OSError as problem:
        raise UserError(
            f"Minari's store can't be used ({problem.strerror}); set MINARI_DATASETS_PATH to a folder you can write"
        ) from problem


def check_dataset(dataset_id: str) -> None:
    """Says early when a dataset is neither in the store nor ours to build.

    Raises:
        UserError: If so; names the nearest.
    """
    if dataset_id not in RECIPES and not (dataset_place(dataset_id) / "data").exists():
        raise _unknown(dataset_id)


def delete_dataset(dataset_id: str) -> None:
    """Deletes a dataset, or what an unfinished build of it left, from the local store.

    Raises:
        UserError: If there is neither.
    """
    for folder in stored_parts(dataset_id):
        shutil.rmtree(folder)


def stored_parts(dataset_id: str) -> list[Path]:
    """Folders of a dataset and of unfinished builds of it.

    Raises:
        UserError: If there are none.
    """
    place = dataset_place(dataset_id)
    parts = list(place.parent.glob(f".{place.name}.building-*")) + ([place] if (place / "data").exists() else [])
    if not parts:
        raise UserError(f"dataset {dataset_id!r} is not in the local store; 'frl list' shows what can be built")
    return parts


def dataset_state(made: Recipe) -> str:
    """Whether the store holds the dataset: "missing", "current", or "stale" (another recipe or version)."""
    folder = dataset_place(made.dataset_id)
    if not folder.exists():
        return "missing"
    try:
        metadata = MinariStorage.read_raw_metadata(folder / "data")
    except (OSError, ValueError):
        return "stale"
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
    place = dataset_place(made.dataset_id)
    building = _building(made)
    retired = place.parent / f".{place.name}.retired"
    if not place.exists() and retired.exists():
        retired.rename(place)  # a replacement was killed between its two renames
    shutil.rmtree(retired, ignore_errors=True)
    for leftover in place.parent.glob(f".{place.name}.building-*"):
        if leftover != building:
            shutil.rmtree(leftover, ignore_errors=True)
    try:
        (building / "data").mkdir(parents=True, exist_ok=True)
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
        storage.update_metadata(
            {"total_episodes": made.members, "total_steps": steps, "dataset_size": storage.get_size()}
        )
        _namespace(place.parent)
        if place.exists():
            place.rename(retired)
        building.rename(place)
        shutil.rmtree(retired, ignore_errors=True)
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
            write_shard(
                file,
                episodes,
                first=first,
                content=content_hash(episodes),
                progress=lambda done: progress("writing", done, made.members),
            )
        content, length = shard_facts(file)
        hashes.append(content)
        files.append(file)
        steps += length
        first += members
    join_shards(files, building / "joined.hdf5", progress=lambda done: progress("joining", done, made.members))
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest(), steps


def _building(made: Recipe) -> Path:
    """Where the dataset is written before it is whole; an interrupted build of the same recipe is found again."""
    place = dataset_place(made.dataset_id)
    recipe_hash = hashlib.sha256(json.dumps(made.fingerprint(), sort_keys=True).encode()).hexdigest()
    return place.parent / f".{place.name}.building-{recipe_hash[:12]}"


def _metadata(made: Recipe, content: str) -> dict[str, Any]:
    scores = reference_scores(made.world, horizon=made.horizon, members=REFERENCE_MEMBERS)
    low, high = scores["no_program"]["value"], scores[ceiling(scores)]["value"]
    # Where no policy changes anything there is no scale, and Minari would divide by zero.
    scale = {"ref_min_score": low, "ref_max_score": high} if high > low else {}
    return scale | {
        "dataset_id": made.dataset_id,
        "description": made.description,
        "author": {"The FRL authors"},
        "author_email": {"frl@users.noreply.github.com"},
        "code_permalink": f"frl_env/datasets/recipes.py, package frl-medicaid {_package_version()}",
        "algorithm_name": "BehaviourPolicy (simulated care team)",
        "minari_version": importlib.metadata.version("minari"),
        "requirements": ["frl-medicaid"],
        "eval_env_spec": made.env_spec().to_json(),
        "num_episodes_average_score": int(scores["no_program"]["members"]),
        "frl_reference_scores": scores,
        "frl_recipe": made.fingerprint(),
        "frl_content_sha256": content,
        "frl_observation_names": list(observation_names(screening=made.world.observes_screening)),
        # The action mask of the contract is the same in every step: it follows from the schema's validity rule.
        "frl_action_schema": json.loads(MEDICAID_ACTIONS.to_json()),
        "frl_vocabularies": {
            "risk_tier": list(TIERS),
            "age_band": list(AGE_BANDS),
            "gender": list(GENDERS),
            "race_ethnicity": list(RACES),
            "open_needs": list(NEED_NAMES),
        },
    }


def _package_version() -> str:
    try:
        return importlib.metadata.version("frl-medicaid")
    except importlib.metadata.PackageNotFoundError:
        return "0.0.0"


def _namespace(folder: Path) -> None:
    """Marks the folder as a Minari namespace, as `minari.namespace.create_namespace` does."""
    marker = folder / "namespace_metadata.json"
    if folder != dataset_place() and not marker.exists():
        marker.write_text("{}")


@contextmanager
def _lock(dataset_id: str) -> Iterator[None]:
    place = dataset_place(dataset_id)
    place.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(place.parent / f".{place.name}.lock"):
        yield


def _unknown(dataset_id: str) -> UserError:
    try:
        recipe(dataset_id)
    except UserError as problem:
        local = ", ".join(sorted(minari.list_local_datasets())) or "none"
        return UserError(f"{problem}; in the local store: {local}")
    raise AssertionError("only called for ids without a recipe")


def _silent(what: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""
