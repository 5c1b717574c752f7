"""Two tables to import."""

from pathlib import Path

import pytest
from stores import two_tables

from frl_env.datasets import store


@pytest.fixture
def files(table, tmp_path, empty_store, monkeypatch) -> list[Path]:
    """Two tables that share members, and an empty store."""
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 100)
    return two_tables(table, tmp_path)
