"""A dataset to a table in the schema of `schema.columns`: a row a member-week, all that the schema has a column for.

Outcomes of 30 days are sums over the four weeks after each decision, 28 days, because episodes know weeks and not days;
they are empty where an episode was cut off before. Importing the table again gives the same episodes.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import minari
import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from frl_env.capacity.effort import METADATA as EFFORT
from frl_env.datasets.table_import.cells.formulas import without_formulas
from frl_env.datasets.table_import.checking.outcomes import ONE_STEP
from frl_env.datasets.table_import.episodes import EVENT_KEYS
from frl_env.datasets.table_import.schema.columns import (
    EVENTS,
    MEMBER,
    OUTCOMES,
    PROPENSITY,
    REWARD,
    SCHEMA_KEY,
    TERMINATED,
    WEEK,
)
from frl_env.errors import UserError, system_reason, unknown_name
from frl_env.evaluation.dataset_reading.dataset_facts import (
    COMBINED,
    action_space_of,
    facts_of,
    propensities_are_logged,
)
from frl_env.files import atomic
from frl_env.files.integrity import check_intact
from frl_env.files.output_paths import check_new
from frl_env.meaning import METADATA as MEANING
from frl_env.simulator.information import LATENT_KEYS

FORMATS = (".parquet", ".csv", ".arrow")

ROWS = 1 << 16
"""Rows written at a time, about."""

WINDOW = 4
"""Weeks of an outcome of 30 days."""


def check_target(path: str | Path, *, force: bool = False) -> Path:
    """Says before any work that a table can't be written to a place.

    Args:
        path: Where to.
        force: Whether a file of that name may be replaced.

    Returns:
        The same.

    Raises:
        UserError: If the ending is of no format, there is something already, or there is no folder to write to.
    """
    file = Path(path)
    if file.suffix not in FORMATS:
        raise unknown_name("format of a table:", file.suffix or file.name, FORMATS)
    check_new(file, force=force)
    return file


def export_table(
    dataset: minari.MinariDataset,
    path: str | Path,
    *,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Writes a dataset as a table, whole or not at all.

    Propensities of others than who was recorded are left out, as are infos that only some episodes have.

    Args:
        dataset: With a `MultiDiscrete` action space and flat observations, kept in HDF5 as ours are.
        path: Where to; the ending tells the format, .parquet, .csv or .arrow.
        force: Replace a file of that name.
        progress: Called with (episodes done, episodes in all).

    Returns:
        Number of rows.

    Raises:
        UserError: If the format is unknown, the dataset is of another kind, combined from imports or damaged, there is
            a file of that name already, or it can't be written.
    """
    file = check_target(path, force=force)
    check_intact(dataset)
    source = _Source(dataset)
    rows = 0
    try:
        with atomic.whole_file(file) as aside, _writer(file.suffix, aside, source.schema) as writer:
            for batch in source.batches():
                text = without_formulas(batch) if file.suffix == ".csv" else batch
                writer.write_table(text) if file.suffix == ".parquet" else writer.write(text)
                rows += len(batch)
                if progress is not None:
                    progress(source.done, len(dataset.episode_indices))
    except OSError as problem:
        raise UserError(f"can't write {file} ({system_reason(problem)}); free space or choose another place") from None
    return rows


def _writer(ending: str, file: Path, schema: pa.Schema) -> Any:
    if ending == ".parquet":
        return pq.ParquetWriter(file, schema, compression="zstd")
    if ending == ".csv":
        return pa_csv.CSVWriter(file, schema)
    return pa.ipc.new_file(str(file), schema)


class _Source:
    """Rows of a dataset.

    Args:
        dataset: Which.

    Attributes:
        groups: Names of the groups of each attribute.
        keys: Infos that are written.
        outcomes: Where outcomes of 30 days come from: "given", "events" or "states" of the weeks after, or "none".
        identifiers: The members' own, where the import kept them.
    """

    def __init__(self, dataset: minari.MinariDataset) -> None:
        """Finds out what the dataset knows."""
        self.dataset = dataset
        self.done = 0
        metadata = facts_of(dataset)
        self.file = Path(dataset.storage.data_path) / "main_data.hdf5"
        shape, nvec = dataset.spec.observation_space.shape, getattr(dataset.spec.action_space, "nvec", None)
        if not self.file.exists() or shape is None or len(shape) != 1 or nvec is None or nvec.ndim != 1:
            raise UserError(
                f"dataset {dataset.spec.dataset_id!r} has no flat observations and factored actions in HDF5; "
                "only such datasets can be written as a table"
            )
        self.actions = action_space_of(dataset)
        self.states = metadata.get("frl_observation_names") or [f"observation_{i}" for i in range(shape[0])]
        facts = metadata.get("frl_import", {})
        said = dict(metadata.get(MEANING, {}))
        self.definitions = said.pop("definitions", {})
        self.meaning = said
        self.effort = metadata.get(EFFORT)
        self.one_step = facts.get("rewards") == ONE_STEP
        self.dates = facts.get("week") == "date"
        infos = self._infos(metadata.get(COMBINED, ()))
        if not propensities_are_logged(dataset):
            infos -= {"propensity", "factor_propensities"}
        vocabularies = metadata.get("frl_vocabularies", {})
        self.groups = {name: words for name, words in vocabularies.items() if name in infos.difference(LATENT_KEYS)}
        self.keys = [
            key for key in ("propensity", "factor_propensities", "member", "week", *self.groups) if key in infos
        ]
        self.outcomes = "given" if infos >= set(OUTCOMES) else "none"
        if self.outcomes == "given":
            self.keys += OUTCOMES
        elif infos >= set(EVENT_KEYS):
            self.outcomes = "events"
            self.keys += EVENT_KEYS
        elif set(EVENTS) <= set(self.states):
            self.outcomes = "states"
        names = Path(dataset.storage.data_path) / "member_ids.parquet"
        self.identifiers = self._identifiers(names) if names.exists() else None
        self.schema = self._schema(facts.get("limits", {}))

    def batches(self) -> Iterator[pa.Table]:
        """The rows, some episodes at a time."""
        waiting: list[dict[str, np.ndarray]] = []
        rows = 0
        try:
            with self._opened() as store:
                for number in self.dataset.episode_indices:
                    waiting.append(self._episode(store[f"episode_{number}"], int(number)))
                    rows += len(waiting[-1][WEEK])
                    self.done += 1
                    if rows >= ROWS:
                        yield self._table(waiting)
                        waiting, rows = [], 0
                if waiting:
                    yield self._table(waiting)
        except KeyError:
            raise self._damaged() from None

    def _infos(self, parts: Sequence[str]) -> set[str]:
        """Infos that every episode has; episodes of one import or recipe all have the same.

        Args:
            parts: The datasets that this one was combined from.
        """
        numbers = self.dataset.episode_indices if parts else self.dataset.episode_indices[:1]
        with self._opened() as store:
            every = [set(store[f"episode_{number}"].get("infos", ())) for number in numbers]
        if parts and any("member" in infos for infos in every):
            raise UserError(
                f"dataset {self.dataset.spec.dataset_id!r} was combined from {', '.join(map(str, parts))}, which have "
                "the same numbers for different members, and lost what weeks and rewards mean; export each of these"
            )
        return set.intersection(*every)

    def _identifiers(self, names: Path) -> pa.Array:
        """Which member each number stands for."""
        try:
            return pq.read_table(names).column(MEMBER).combine_chunks()
        except (OSError, pa.ArrowException, KeyError):
            raise self._damaged() from None

    def _opened(self) -> Any:
        try:
            return h5py.File(self.file, "r")
        except OSError:
            raise self._damaged() from None

    def _damaged(self) -> UserError:
        return UserError(f"dataset {self.dataset.spec.dataset_id!r} is damaged; build or import it again")

    def _schema(self, limits: dict[str, Any]) -> pa.Schema:
        """Columns of the table, in the order of the contract."""
        text, number = pa.string(), pa.float32()
        kinds: dict[str, pa.DataType] = {MEMBER: pa.int64() if self.identifiers is None else self.identifiers.type}
        kinds |= {WEEK: pa.date32() if self.dates else pa.int64()}
        kinds |= dict.fromkeys(self.states, number)
        kinds |= {f"action_{factor.name}": text for factor in self.actions}
        if not self.one_step:
            kinds |= {REWARD: number, TERMINATED: pa.bool_()}
        if self.outcomes != "none":
            kinds |= dict.fromkeys(OUTCOMES, number)
        if "propensity" in self.keys:
            kinds |= {PROPENSITY: pa.float64()}
        if "factor_propensities" in self.keys:
            kinds |= {f"{PROPENSITY}_{factor.name}": pa.float64() for factor in self.actions}
        kinds |= dict.fromkeys(self.groups, text)
        if not self.one_step:
            kinds |= {f"next_{name}": number for name in self.states}
        columns = {
            "states": list(self.states),
            "demographics": list(self.groups),
            "action_schema": self.actions.to_json(),
            "limits": limits,
            "meaning": self.meaning,
            "definitions": self.definitions,
            "effort": self.effort,
        }
        return pa.schema(list(kinds.items()), metadata={SCHEMA_KEY: json.dumps(columns)})

    def _episode(self, group: Any, number: int) -> dict[str, np.ndarray]:
        """Columns of one episode, as numbers."""
        observations, actions, rewards = (group[key][()] for key in ("observations", "actions", "rewards"))
        ended = group["terminations"][()]
        infos = {key: group[f"infos/{key}"][()].reshape(len(observations), -1) for key in self.keys}
        actions = actions - self.dataset.spec.action_space.start  # type: ignore[attr-defined]
        steps = len(rewards)
        columns = {
            MEMBER: infos["member"][:-1, 0] if "member" in infos else np.full(steps, number),
            WEEK: infos["week"][:-1, 0] if "week" in infos else np.arange(steps),
            REWARD: rewards,
            TERMINATED: ended,
        }
        columns |= {name: observations[:-1, i] for i, name in enumerate(self.states)}
        columns |= {f"next_{name}": observations[1:, i] for i, name in enumerate(self.states)}
        columns |= {f"action_{factor.name}": actions[:, i] for i, factor in enumerate(self.actions)}
        if "propensity" in infos:
            columns[PROPENSITY] = infos["propensity"][1:, 0]
        if "factor_propensities" in infos:
            chances = infos["factor_propensities"][1:]
            columns |= {f"{PROPENSITY}_{factor.name}": chances[:, i] for i, factor in enumerate(self.actions)}
        columns |= {name: infos[name][:-1, 0] for name in self.groups}
        for outcome, key, state in zip(OUTCOMES, EVENT_KEYS, EVENTS, strict=True):
            if self.outcomes == "given":
                columns[outcome] = infos[outcome][1:, 0]
            elif self.outcomes == "events":
                columns[outcome] = _windows(infos[key][1:, 0], ended=bool(ended[-1]))
            elif self.outcomes == "states":
                columns[outcome] = _windows(observations[1:, self.states.index(state)], ended=bool(ended[-1]))
        return columns

    def _table(self, episodes: list[dict[str, np.ndarray]]) -> pa.Table:
        """Episodes one after the other, with names for codes."""
        columns: dict[str, Any] = {
            name: np.concatenate([episode[name] for episode in episodes]) for name in self.schema.names
        }
        for factor in self.actions:
            columns[f"action_{factor.name}"] = factor.decode(columns[f"action_{factor.name}"])
        for name, words in self.groups.items():
            columns[name] = np.asarray(words, dtype=object)[columns[name]]
        if self.identifiers is not None:
            columns[MEMBER] = self.identifiers.take(pa.array(columns[MEMBER]))
        if self.dates:
            columns[WEEK] = columns[WEEK].astype("datetime64[D]")
        arrays = [
            pa.array(columns[field.name], from_pandas=field.name in OUTCOMES).cast(field.type) for field in self.schema
        ]
        return pa.Table.from_arrays(arrays, schema=self.schema)


def _windows(events: np.ndarray, *, ended: bool) -> np.ndarray:
    """Events of each week and the three after it; NaN where the episode was cut off before."""
    padded = np.pad(events.astype(np.float64), (0, WINDOW - 1), constant_values=0.0 if ended else np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW).sum(axis=1)
