"""A store that can't be written to: what is there can be used, and what would change it is refused in one line."""

import sys

import pytest
from full_disk import contents, read_only

from frl_env import cli
from frl_env.datasets import (
    Recipe,
    build_dataset,
    delete_dataset,
    ensure_dataset,
    export_table,
    import_table,
    open_dataset,
    store,
)
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.members import open_members

BUILT = Recipe(dataset_id="tests/read-v0", description="", members=6, seed=3, horizon=4)
OWN = "tests/read-own-v0"


@pytest.fixture
def filled(table, tmp_path, empty_store, monkeypatch):
    """A store with a built and an imported dataset, none of them compared with its checksums yet."""
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 50)
    table[table["member_id"] < 1010].to_parquet(tmp_path / "own.parquet")
    build_dataset(BUILT)
    import_table(tmp_path / "own.parquet", OWN)
    return empty_store


def _frl(*words):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["frl", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return int(ended.value.code or 0)


def test_what_is_there_can_be_used(filled, tmp_path, capsys):
    before = contents(filled)
    with read_only(filled):
        for dataset_id in (BUILT.dataset_id, OWN):
            assert ensure_dataset(dataset_id).total_episodes == load_episodes(open_dataset(dataset_id)).mask.shape[0]
            with open_members(dataset_id):
                pass
            export_table(open_dataset(dataset_id), tmp_path / f"{dataset_id[-7:]}.csv")
            assert _frl("load", dataset_id) == _frl("show", dataset_id) == 0
        assert _frl("list") == 0
    assert contents(filled) == before
    assert "Traceback" not in capsys.readouterr().err


def test_what_would_change_it_is_one_line(filled, tmp_path, capsys):
    before = contents(filled)
    own, new = tmp_path / "own.parquet", "tests/read-new-v0"
    for change in (
        lambda: build_dataset(BUILT, force=True),
        lambda: import_table(own, OWN, force=True),
        lambda: import_table(own, new),
        lambda: import_table(own, "others/read-v0"),
        lambda: delete_dataset(OWN),
        lambda: delete_dataset(BUILT.dataset_id),
    ):
        with read_only(filled), pytest.raises(UserError, match=r"Read-only file system"):
            change()
        assert contents(filled) == before
    commands = (
        ("delete", "--yes", OWN),
        ("import", own, "--id", OWN, "--force"),
        ("import", own, "--id", new),
        ("build", "frl/medicaid-synthetic-small-v0"),
    )
    for words in commands:
        capsys.readouterr()
        with read_only(filled):
            assert _frl(*words) == 2, words
        lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert len(lines) == 1, words
        assert contents(filled) == before, words
