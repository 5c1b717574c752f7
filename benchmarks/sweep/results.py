"""Where finished runs lie, so that a stopped sweep goes on where it was.

    OUT/scorecard.json               everything that was measured, and its summary
    OUT/details.json                 what a report shows besides: how each policy acts, and how it was learned
    OUT/runs.parquet                 tidy: one row a run and mode
    OUT/<algorithm>-seed<k>.d3       trained models, each with its SHA-256 beside it (.d3.sha256)
    OUT/runs/<key>.json, <key>.npz   one finished run: facts, and the value of each evaluation member
    OUT/failed/<run>.txt             the traceback of a run that failed

    OUT/checksums.json               SHA-256 of the first three, which are of one sweep

A run is there when its JSON file is, which is written last: what a killed sweep was in the middle of is not there. It
holds the SHA-256 of the values, of the model, and of itself.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from benchmarks.command_line import check_writable
from benchmarks.result_records.kept_results import write_whole
from benchmarks.sweep.jobs import Job
from benchmarks.sweep.runs import Outcome
from frl_env.errors import UserError
from frl_env.evaluation.files import write_together
from frl_env.files.integrity import checksum_beside

CHECKSUMS = "checksums.json"


class Results:
    """The results folder of a sweep.

    Args:
        folder: Where; made when missing.

    Raises:
        UserError: If it can't be written.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the folder."""
        self.folder = folder
        self._runs = folder / "runs"
        check_writable(self._runs)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Keeps a second sweep out of the folder.

        Raises:
            UserError: If one is at work.
        """
        lock = FileLock(self.folder / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout as problem:
            raise UserError(
                f"another sweep is writing to {self.folder}; wait for it, or choose another folder with --out"
            ) from problem
        try:
            for leftover in self._runs.glob(".*"):
                leftover.unlink()
            yield
        finally:
            lock.release()  # the file stays: who has it open may get the lock of a file that is no longer there

    def has(self, job: Job) -> bool:
        """Whether the run is finished, and the model of its name is not that of another run."""
        file, model = self._runs / f"{job.key}.json", self.folder / job.model
        if not (file.exists() and model.exists()):
            return file.exists()
        try:
            return json.loads(file.read_text())["model"] in ("", _digest(model.read_bytes()))
        except (OSError, ValueError, KeyError):
            return True  # `get` says what is wrong with it

    def older(self, job: Job) -> Job:
        """The newest finished run of this job by earlier code, if the job itself is not done; else the job."""
        if self.has(job):
            return job
        found = []
        for file in self._runs.glob("*.json"):
            try:
                kept = Job(**json.loads(file.read_text())["job"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # damaged: whoever asks for it by its name is told
            # One that counts as not done would be trained by this code and kept as if by that one.
            if dataclasses.replace(kept, code=job.code) == job and self.has(kept):
                found.append((file.stat().st_mtime_ns, kept.code))
        return dataclasses.replace(job, code=max(found)[1]) if found else job

    def add(self, outcome: Outcome) -> None:
        """Keeps a finished run, whole or not at all.

        Raises:
            UserError: If it can't be written.
        """
        job = outcome.job
        if outcome.model is not None:
            (beside,) = checksum_beside(job.model, outcome.model).items()
            (self.folder / beside[0]).unlink(missing_ok=True)  # a model is never beside the checksum of another
            write_whole(self.folder / job.model, outcome.model)
            write_whole(self.folder / beside[0], beside[1])
        values = io.BytesIO()
        arrays: dict[str, Any] = dict(outcome.values)
        np.savez_compressed(values, **arrays)
        write_whole(self._runs / f"{job.key}.npz", values.getvalue())
        facts = {"job": dataclasses.asdict(job), "facts": outcome.facts, "summaries": outcome.summaries}
        facts["model"] = "" if outcome.model is None else _digest(outcome.model)
        facts["values"] = _digest(values.getvalue())
        facts["sha256"] = _own_digest(facts)
        write_whole(self._runs / f"{job.key}.json", json.dumps(facts, indent=1).encode())
        self._failure(job).unlink(missing_ok=True)

    def get(self, job: Job) -> Outcome:
        """A finished run, without its model.

        Raises:
            UserError: If its files are damaged.
        """
        file = self._runs / f"{job.key}.json"
        try:
            kept = json.loads(file.read_text())
            if "sha256" in kept and _own_digest(kept) != kept["sha256"]:
                raise ValueError
            content = file.with_suffix(".npz").read_bytes()
            if "values" in kept and _digest(content) != kept["values"]:
                file = file.with_suffix(".npz")
                raise ValueError
            with np.load(io.BytesIO(content)) as arrays:
                values = {mode: arrays[mode] for mode in kept["summaries"]}
            if not all(np.isfinite(value).all() for value in values.values()):
                raise ValueError
            return Outcome(job=job, facts=kept["facts"], summaries=kept["summaries"], values=values, model=None)
        except (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, RecursionError, BadZipFile) as bad:
            raise UserError(
                f"{file} is damaged ({type(bad).__name__}); delete {file.with_suffix('.json').name} beside it and run "
                "the same command"
            ) from bad

    def model(self, job: Job) -> Path:
        """The file of a finished run's model.

        Raises:
            UserError: If it is missing or not what the run wrote.
        """
        file = self.folder / job.model
        if not file.exists() or not self.has(job):
            raise UserError(f"{file} is missing or not what its run wrote; run the same command to train it again")
        return file

    def add_failure(self, job: Job, traceback: str) -> Path:
        """Keeps the traceback of a run that failed; returns where."""
        file = self._failure(job)
        write_whole(file, traceback.encode())
        return file

    def write_scores(self, card: dict[str, Any], details: Any) -> Path:
        """Writes what was measured: scorecard, details and tidy table, all of one sweep or none.

        Args:
            card: Of `scorecard.assemble`.
            details: Of `scorecard.details`.

        Returns:
            The scorecard's file.

        Raises:
            UserError: If it can't be written; what was there before stays.
        """
        contents = {
            "scorecard.json": (json.dumps(card, indent=2, allow_nan=False) + "\n").encode(),
            "details.json": json.dumps(details, allow_nan=False).encode(),
            "runs.parquet": _table(card["runs"]),
        }
        digests = {name: _digest(content) for name, content in contents.items()}
        write_together(self.folder, contents | {CHECKSUMS: (json.dumps(digests, indent=1) + "\n").encode()})
        return self.folder / "scorecard.json"

    def _failure(self, job: Job) -> Path:
        return self.folder / "failed" / f"{job.model.removesuffix('.d3')}.txt"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _own_digest(facts: Mapping[str, Any]) -> str:
    """SHA-256 of what a run's file says, but for itself."""
    rest = {key: value for key, value in facts.items() if key != "sha256"}
    return _digest(json.dumps(rest, sort_keys=True).encode())


def _table(rows: Sequence[dict[str, object]]) -> bytes:
    """The tidy table, one row a run and mode; what has parts of its own becomes JSON."""
    flat = [{key: json.dumps(v) if isinstance(v, dict | list) else v for key, v in row.items()} for row in rows]
    for row in flat:
        row["budget"] = str(row["budget"])  # numbers and words don't go into one column
    content = io.BytesIO()
    pd.DataFrame(flat).to_parquet(content, index=False)
    return content.getvalue()
