"""A table of members to a Minari dataset: read, check, and only then write.

    read     every value checked; rows sorted out by member into files that fit into memory
    check    file by file: order, duplicates, gaps, where rewards come from; then one report of everything
    write    file by file: episodes for Minari, flat arrays for training

All of it happens in a hidden folder beside the dataset's place, which gets the name when it is complete; of training
and validation members, both get their names or none. An import that was interrupted goes on: after reading, after
checking, and after every file that was written.
"""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import minari
import numpy as np
import pyarrow as pa

from frl_env.capacity.effort import METADATA as EFFORT
from frl_env.datasets.ids import parse_id
from frl_env.datasets.partners import split_facts
from frl_env.datasets.placing import (
    building_folder,
    check_own,
    dataset_place,
    has_dataset,
    is_under_way,
    lock,
    make_room,
    package_version,
    put_in_place,
    read_metadata,
)
from frl_env.datasets.store import cannot_write, open_dataset
from frl_env.datasets.table_import.checking.left_out import in_words, losses, without_outcomes
from frl_env.datasets.table_import.checking.outcomes import (
    ONE_STEP,
    Evidence,
    choose_rewards,
    describe,
    reward_limits,
)
from frl_env.datasets.table_import.checking.partition import shares
from frl_env.datasets.table_import.checking.report import judge
from frl_env.datasets.table_import.checking.stages import Progress, check_stage, forget_stages, read_stage, sorted_rows
from frl_env.datasets.table_import.checking.summary import became_of_lists, describe_table, odd
from frl_env.datasets.table_import.checking.weeks import order_weeks
from frl_env.datasets.table_import.episodes import Recorded, make_episodes
from frl_env.datasets.table_import.options import ImportOptions, dataset_ids
from frl_env.datasets.table_import.provenance import gaps_are_meant, made_by_weeks
from frl_env.datasets.table_import.schema.columns import MEMBER, OUTCOMES, REWARD, ColumnMap
from frl_env.datasets.table_import.schema.layout import Layout, lay_out, unlike_files
from frl_env.datasets.table_import.schema.listed import DECISIONS, Listed, read_listed
from frl_env.datasets.table_import.schema.problems import Findings, TableError
from frl_env.datasets.table_import.table_files.source import Table, open_table
from frl_env.datasets.table_import.writing import Draft
from frl_env.errors import UserError
from frl_env.evaluation.privacy.suppression import SMALLEST, part, roughly
from frl_env.evaluation.threads import one_ahead
from frl_env.files.integrity import KEY, REWARD_LIMITS, damaged_file
from frl_env.meaning import METADATA as MEANING
from frl_env.parameters import AGE_BANDS, GENDERS, RACES

VOCABULARIES = {"age_band": AGE_BANDS, "gender": GENDERS, "race_ethnicity": RACES}
"""Groups of the simulator, in its order; a column with other groups has them in alphabetical order."""


@dataclass(frozen=True, kw_only=True)
class Imported:
    """What an import came to.

    Attributes:
        dataset_ids: Datasets that were written: the one asked for and, with a validation share, the one for validation.
        facts: What the metadata of each say under `frl_import`; without any dataset, what they would say.
        left_alone: Id of a dataset of validation members that another import had put beside it, and which stays; empty
            where there is none.
    """

    dataset_ids: tuple[str, ...]
    facts: tuple[dict[str, Any], ...]
    left_alone: str = ""

    def load(self) -> minari.MinariDataset:
        """The dataset that was asked for."""
        return open_dataset(self.dataset_ids[0])


def import_table(
    path: str | Path,
    dataset_id: str,
    *,
    columns: ColumnMap | None = None,
    options: ImportOptions | None = None,
    worklists: Sequence[str | Path] = (),
    description: str = "",
    check_only: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    tell: Callable[[dict[str, Any]], None] | None = None,
) -> Imported:
    """Imports a table of member-weeks into Minari's local store.

    Args:
        path: A Parquet, CSV or Arrow file, or a folder of them.
        dataset_id: Of the dataset, for instance "myorg/care-v0".
        columns: What the table's columns mean; when None as `export_table` wrote it into the table, or by their names.
        options: What to do about problems, and more.
        worklists: Worklists by which the members were contacted, files of their chances, or folders of them; their
            chances are joined by member and week (`frl_env.datasets.table_import.schema.listed`).
        description: For the metadata.
        check_only: Stop before writing.
        force: Replace a dataset of that id; the old one stays until the new one is whole.
        progress: Called as the work goes on.
        tell: Called with the facts after all checks and before anything is written.

    Returns:
        What it came to. The same import once more changes nothing, but that it repairs what was damaged since.

    Raises:
        TableError: If the table has problems; all of them, and nothing was written.
        UserError: If a name, an option or the table is no good, the dataset exists, or the store can't be written.
    """
    options = options or ImportOptions()
    ids = dataset_ids(dataset_id, options)
    table = open_table(Path(path))
    columns = columns or ColumnMap.of_table(table.schema)
    listed = None
    if worklists:
        listed = read_listed([Path(each) for each in worklists], columns.actions, options.decision)
        # The chances of a list are of whole actions; those by factor would be of somebody else.
        columns = replace(columns, ignore=tuple(dict.fromkeys((*columns.ignore, *columns.factor_propensities))))
    elif options.decision != DECISIONS[0]:
        raise UserError("the decision that was listed can be recorded only with a worklist; give one with --worklist")
    layout, problems = lay_out(columns, table.schema)
    one_step = options.rewards == "one-step" and layout.has(*OUTCOMES)
    used = layout.present - {REWARD} if one_step else layout.present  # what is not used need not be whole
    layout = replace(layout, present=used, several=options.several, with_lists=listed is not None)
    problems += unlike_files(table, layout)
    if problems:
        raise TableError(problems, columns=(name for name in table.schema.names if name not in layout.columns))
    made_of = {
        "table": table.fingerprint(),
        "columns": columns.facts(),
        "options": asdict(options),
        "version": package_version(),
        **({} if listed is None else {"worklists": listed.fingerprint()}),
        **({"description": description} if description else {}),
    }
    table_digest = _digest(table.fingerprint())
    task = _Import(
        table=table, layout=layout, options=options, description=description, made_of=made_of,
        table_digest=table_digest, progress=progress or (lambda what, done, total: None),
        tell=tell or (lambda facts: None), listed=listed,
    )  # fmt: skip
    try:
        with lock(*ids):
            missing = ids if check_only or force else task.missing(ids)
            if not missing:
                return task.imported(ids)
            return task.run(ids, missing, write=not check_only, force=force)
    except OSError as problem:
        raise cannot_write(dataset_id, problem) from None


@dataclass(frozen=True, kw_only=True)
class _Import:
    """One import, under way."""

    table: Table
    layout: Layout
    options: ImportOptions
    description: str
    made_of: dict[str, Any]
    table_digest: str
    progress: Progress
    tell: Callable[[dict[str, Any]], None]
    listed: Listed | None

    @property
    def digest(self) -> str:
        """Says whether two imports are the same."""
        return _digest(self.made_of)

    def missing(self, ids: tuple[str, ...]) -> tuple[str, ...]:
        """Ids of the datasets to make: not yet made by this import, or damaged since.

        Raises:
            UserError: If one is of another import, or something else.
        """
        missing = []
        for dataset_id in ids:
            place = dataset_place(dataset_id)
            if not has_dataset(dataset_id):
                missing.append(dataset_id)
                continue
            metadata = read_metadata(place)
            if metadata and metadata.get("frl_import", {}).get("made_of") != self.digest:
                raise _exists(dataset_id)
            if not metadata or damaged_file(place / "data", metadata.get(KEY, {}), anew=True):
                missing.append(dataset_id)
        return tuple(missing)

    def imported(self, ids: tuple[str, ...]) -> Imported:
        """What the store says of these datasets."""
        facts = (read_metadata(dataset_place(dataset_id))["frl_import"] for dataset_id in ids)
        other = str(parse_id(ids[0]).validation)
        left_alone = other if other not in ids and has_dataset(other) else ""
        return Imported(dataset_ids=ids, facts=tuple(facts), left_alone=left_alone)

    def run(self, ids: tuple[str, ...], missing: tuple[str, ...], *, write: bool, force: bool) -> Imported:
        """Reads, checks and writes.

        Args:
            ids: Datasets of the import: the one that was asked for, then that of the validation members.
            missing: Those to write.
            write: Whether to write at all.
            force: Whether datasets of another import may be replaced.
        """
        buildings = {dataset_id: self._building(dataset_id) for dataset_id in ids}
        rows = buildings[ids[0]] / "rows"
        try:
            for dataset_id in missing if write else ():
                check_own(dataset_id)
            make_room(buildings[ids[0]], dataset_place(ids[0]))
            read, checked, facts = self._check(rows)
            if not write:
                shutil.rmtree(buildings[ids[0]])
                return Imported(dataset_ids=(), facts=(facts,))
            drafts = []
            for dataset_id in missing:
                make_room(buildings[dataset_id], dataset_place(dataset_id))
                drafts.append(self._write(dataset_id, ids, rows, read, checked, facts))
                if not force:
                    self._check_same(dataset_id, buildings[dataset_id] / "data")
            forget_stages(rows)
            for draft in drafts:
                draft.clean()
            put_in_place(*((buildings[dataset_id], dataset_place(dataset_id)) for dataset_id in missing))
            if ids[0] not in missing:
                shutil.rmtree(buildings[ids[0]], ignore_errors=True)  # it held the rows for the other one
            return self.imported(ids)
        except BaseException as problem:
            large = (rows / "read.json").exists() and (rows / "rows-001.arrow").exists()
            begun = any(is_under_way(dataset_place(dataset_id)) for dataset_id in ids)
            if not begun and not (large and isinstance(problem, KeyboardInterrupt)):
                for building in buildings.values():
                    shutil.rmtree(building, ignore_errors=True)
            raise

    def _check_same(self, dataset_id: str, written: Path) -> None:
        """Refuses to replace a dataset with damaged metadata, unless the files beside them are what was written now.

        Raises:
            UserError: If so.
        """
        place = dataset_place(dataset_id)
        if not has_dataset(dataset_id) or read_metadata(place):
            return
        facts = json.loads((written / "metadata.json").read_text())[KEY]
        if damaged_file(place / "data", facts, anew=True):
            raise UserError(
                f"dataset {dataset_id!r} exists already, its metadata can't be read, and its files are not those of "
                "this import; choose another id, or add --force to replace it"
            )

    def _check(self, rows: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Facts of both stages before writing, and those for the metadata.

        Raises:
            TableError: If something stands in the way.
        """
        options, layout = self.options, self.layout
        read = read_stage(
            self.table, layout, rows, clip=options.on_error == "clip", progress=self.progress, listed=self.listed
        )
        checked = check_stage(read, layout, rows, progress=self.progress)
        evidence = Evidence(**checked["evidence"])
        source, reason = choose_rewards(options.rewards, layout, evidence)
        problems, repairs = judge(
            read, checked, layout, source=source, on_error=options.on_error,
            gaps_are_meant=gaps_are_meant(self.table.schema),
        )  # fmt: skip
        one_step = source == ONE_STEP
        lost = losses(read, checked["tally"], one_step=one_step)
        if problems:
            raise TableError(problems, in_words(lost))
        facts = {
            "made_of": self.digest,
            "table": self.table_digest,
            "on_error": options.on_error,
            "rows_read": read["rows"],
            "rows_left_out": read["rows"] - evidence.rows + (without_outcomes(checked["tally"]) if one_step else 0),
            "rows_clipped": read["clipped_rows"],
            "repairs": repairs,
            "left_out": lost,
            "several": options.several,
            "week": "number" if read["week_kind"] == "number" else "date",
            "week_written": read["week_kind"],
            "limits": layout.map.facts()["limits"],
            "validation_share": options.validation_share,
            **describe(source, reason, evidence),
        }
        if self.listed is not None:
            facts["worklists"] = became_of_lists(checked["tally"], self.listed.decision)
        made = made_by_weeks(self.table.schema)
        if made:
            facts["member_weeks"] = made
        facts["understood"] = describe_table(layout, read, checked, facts)
        facts["odd"] = odd(layout, read, checked, made, source=source, unread=self.table.others)
        self.tell(facts)
        return read, checked, facts

    def _write(
        self, dataset_id: str, ids: tuple[str, ...], rows: Path, read: dict[str, Any], checked: dict[str, Any],
        facts: dict[str, Any],
    ) -> Draft:  # fmt: skip
        """Writes one dataset beside its place.

        Raises:
            UserError: If it would have no step.
        """
        validation = dataset_id != ids[0]
        what = "writing validation" if validation else "writing"
        draft = Draft(
            folder=self._building(dataset_id) / "data",
            columns=self.layout.map,
            identifiers=self._identifiers if self.options.keep_identifiers else None,
            progress=lambda done: self.progress(what, done, len(read["files"])),  # spells would tell of few
        )
        vocabularies = {name: _vocabulary(name, groups) for name, groups in read["groups"].items()}
        groups = {
            name: np.array([vocabularies[name].index(group) for group in met] or [0], dtype=np.int16)
            for name, met in read["groups"].items()
        }
        first_member = draft.total("members")

        def episodes() -> Iterator[Recorded]:
            nonlocal first_member
            for number in range(len(draft.done), len(read["files"])):
                weeks = order_weeks(sorted_rows(rows, number), self.layout, Findings())
                if self.options.validation_share:
                    drawn = shares(weeks.identifiers) < self.options.validation_share
                    weeks = weeks.of_members(drawn == validation)
                recorded = make_episodes(
                    weeks,
                    self.layout,
                    source=facts["rewards"],
                    groups=groups,
                    dates=facts["week"] == "date",
                    first_member=first_member,
                )
                first_member += len(recorded.identifiers)
                yield recorded

        with draft:
            for recorded in one_ahead(episodes()):
                draft.add(recorded)
        self.progress(what, len(read["files"]), len(read["files"]))
        if not draft.total("steps"):
            share = self.options.validation_share
            drawn = f", of the members whom the share {share:g} puts there; choose another share" if share else ""
            raise UserError(
                f"no row of the table can be used for {dataset_id!r}{drawn}: a decision counts only if what comes of "
                "it is known, from the member's next week or columns of the next state"
            )
        counts: dict[str, Any] = {what: draft.total(what) for what in ("rows", "members", "episodes", "steps")}
        everybody = checked["tally"]["counts"].get("members", 0)
        counts["members"] = self._members(counts["members"], everybody, beside=ids[0] if validation else "")
        draft.finish({
            "dataset_id": dataset_id,
            "description": self.description or "Imported from a table of members; real people may stand behind it.",
            "algorithm_name": "whoever decided in the table",
            "frl_import": facts | counts | split_facts(ids, dataset_id, self.digest),
            "frl_vocabularies": vocabularies,
            MEANING: self.layout.map.meaning.to_json() | {"definitions": self._definitions},
            **({} if self.layout.map.effort is None else {EFFORT: self.layout.map.facts()["effort"]}),
            REWARD_LIMITS: reward_limits(facts["rewards"], self.layout.map),
        })  # fmt: skip
        return draft

    def _members(self, members: int, everybody: int, *, beside: str) -> int | str:
        """Members of a dataset as they may be told beside all of the table: none of the parts must be few.

        Args:
            members: How many it has.
            everybody: All of the table whose rows can be used, with and without a step.
            beside: Id of the dataset of the training members, if this one is for validation.
        """
        told = part(members, everybody)
        if not beside or isinstance(told, str):
            return told
        written = self._building(beside) / "data" / "metadata.json"
        metadata = json.loads(written.read_text()) if written.exists() else read_metadata(dataset_place(beside))
        others = metadata.get("frl_import", {}).get("members")
        without_step = everybody - members - others if isinstance(others, int) else 0
        return roughly(members) if 0 < without_step < SMALLEST else told

    @property
    def _definitions(self) -> dict[str, str]:
        """What each column holds, as far as it is known."""
        columns = self.layout.map
        return {name: columns.definition(name) for name in (*columns.states, *self.layout.of(REWARD, *OUTCOMES))}

    @property
    def _identifiers(self) -> pa.DataType:
        """Type in which identifiers are kept: whole numbers if the table has them as such, else text."""
        kind = self.table.schema.field(self.layout.map.in_table(MEMBER)).type
        return pa.int64() if pa.types.is_signed_integer(kind) else pa.string()

    def _building(self, dataset_id: str) -> Path:
        return building_folder(dataset_id, self.made_of)


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _exists(dataset_id: str) -> UserError:
    return UserError(f"dataset {dataset_id!r} exists already; choose another id, or add --force to replace it")


def _vocabulary(name: str, groups: list[str]) -> list[str]:
    known = VOCABULARIES.get(name, ())
    return list(known) if set(groups) <= set(known) else sorted(groups)
