from pathlib import Path

import pytest

from benchmarks.record import figures


@pytest.fixture
def own_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for the figures of this test."""
    monkeypatch.setattr(figures, "FOLDER", tmp_path / "figures")
    return figures.FOLDER
