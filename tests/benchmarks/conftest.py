import shutil
from pathlib import Path

import pytest

from benchmarks.result_records import figures


@pytest.fixture
def own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the figures of this test."""
    monkeypatch.setattr(figures, "FOLDER", tmp_path / "figures")
    return figures.FOLDER


@pytest.fixture
def results(swept: Path, tmp_path: Path) -> Path:
    """A copy, to spoil, of what a module's fixture `swept` holds; without the models."""
    folder = tmp_path / "results"
    folder.mkdir()
    for name in ("scorecard.json", "details.json"):
        shutil.copy(swept / name, folder / name)
    return folder
