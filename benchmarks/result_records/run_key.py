"""The name of a result that is kept: another one where our code, or a fact that the study gives, is another one.

Versions of packages are no part of it: numbers may move with them, and the result is found all the same. The file of a
figure names those it was measured with.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.result_records.code_key import ROOT, code_key
from frl_env.files.integrity import content_of, file_facts, has_grown

SHOWING = (
    "benchmarks.__init__", "benchmarks.command_line", "benchmarks.result_records", "benchmarks.docs_pages",
    "benchmarks.sweep_report", "benchmarks.charts", "benchmarks.sweep.scorecard_tables",
)  # fmt: skip
"""Modules and rooms that take options, keep results and show them, and make none."""


def run_key(*programs: str | Path, without: tuple[str, ...] = (), root: Path = ROOT, **facts: Any) -> str:
    """Hash of what a result depends on, besides versions of packages: 24 hexadecimal digits.

    Args:
        programs: Modules whose code, with all that they import, makes the result; the study's own among them.
        without: Modules that only sum up or show results, besides `SHOWING`.
        root: The checkout.
        facts: All else, JSON-able: checksum of the data, settings, updates, seed, members.

    Raises:
        TypeError: If a fact is no JSON.
    """
    everything: Mapping[str, Any] = {
        "code": code_key(*programs, without=(*SHOWING, *without), root=root),
        "facts": facts,
    }
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:24]


def content_of_dataset(dataset: Any) -> str:
    """Hash of what a dataset holds: the one that was kept when it was made, else over all its files.

    Args:
        dataset: A `minari.MinariDataset`; one of somebody's own keeps none, and one to which Minari added episodes one
            of before.
    """
    metadata = dataset.storage.metadata
    if metadata.get("frl_content_sha256") and not has_grown(metadata):
        return str(metadata["frl_content_sha256"])
    folder = Path(dataset.spec.data_path)
    files = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".")]
    return content_of(file_facts(folder, (file.relative_to(folder).as_posix() for file in files)))


def checksum(*arrays: np.ndarray) -> str:
    """Hash of what arrays hold, for data that come from no dataset."""
    content = hashlib.sha256()
    for array in arrays:
        content.update(f"{array.dtype} {array.shape}".encode())
        content.update(np.ascontiguousarray(array).tobytes())
    return content.hexdigest()
