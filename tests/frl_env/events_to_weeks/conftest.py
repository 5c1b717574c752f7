"""Fixtures of bad specs and bad tables: one clear line each, nothing written, nothing of any member in it."""

import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from bad_extracts import LABELS, OLD, SECRET

from frl_env.datasets import Recipe
from frl_env.errors import UserError
from frl_env.event_export import export_events


@pytest.fixture(scope="session")
def good_tables(tmp_path_factory) -> Path:
    """Good tables, with a secret in every identifier."""
    folder = tmp_path_factory.mktemp("good") / "events"
    export_events(Recipe(dataset_id="tests/faults-v0", description="", members=15, seed=2, horizon=4), folder)
    for label in LABELS:
        for file in (folder / label).iterdir():
            table = pd.read_parquet(file)
            table["MEMBER_ID"] = SECRET + table["MEMBER_ID"]
            table.to_parquet(file)
    return folder


@pytest.fixture
def refused(good_tables, tmp_path):
    """Converts the good tables with a changed spec or table; gives the error, having checked what holds for every
    one."""

    def run(spec: Callable[[str], str] = str, output: str = "out/weeks.parquet", **options) -> UserError:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "weeks.parquet").write_bytes(OLD)
        text = re.sub(
            r'path = "(\w+)"',
            lambda found: f'path = "{good_tables / found[1]}"',
            (good_tables / "spec.toml").read_text(),
        )
        (tmp_path / "spec.toml").write_text(spec(text))
        target = tmp_path / output if output else None
        from frl_env.events_to_weeks import weeks  # needs ibis, without which these tests are skipped

        with pytest.raises(UserError) as raised:
            weeks(tmp_path / "spec.toml", target, force=True, **options)
        said = str(raised.value)
        assert "\n" not in said
        assert SECRET not in said
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["weeks.parquet"]
        assert (tmp_path / "out" / "weeks.parquet").read_bytes() == OLD
        assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
        return raised.value

    return run
