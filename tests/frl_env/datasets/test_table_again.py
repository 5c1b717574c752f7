"""An import that is repeated, stopped, or has its table changed meanwhile."""

import shutil

import minari
import pytest
from own_tables import ID, content_of, episodes_of, write

from frl_env.datasets import table_import
from frl_env.datasets.table_import import ImportOptions, import_table
from frl_env.datasets.table_import.checking import partition
from frl_env.errors import UserError

pytestmark = pytest.mark.usefixtures("empty_store")


def test_one_dataset_of_a_split_comes_back_alone(table, tmp_path, empty_store):
    both = import_table(write(table, tmp_path), ID, options=ImportOptions(validation_share=0.3))
    for missing in both.dataset_ids:
        minari.delete_dataset(missing)
        assert import_table(tmp_path / "table.parquet", ID, options=ImportOptions(validation_share=0.3)) == both
        assert sorted(minari.list_local_datasets()) == sorted(both.dataset_ids)
        assert not list((empty_store / "tests").glob(".*building*"))


def test_an_import_that_is_there_is_left_alone(table, tmp_path, empty_store):
    file = write(table, tmp_path)
    first = import_table(file, ID)
    before = (empty_store / ID / "data/metadata.json").stat().st_mtime_ns
    assert import_table(file, ID) == first
    assert (empty_store / ID / "data/metadata.json").stat().st_mtime_ns == before
    other = tmp_path / "other.parquet"
    table.iloc[12:].to_parquet(other)
    with pytest.raises(UserError, match="exists already; choose another id, or add --force"):
        import_table(other, ID)
    import_table(other, ID, force=True)
    assert minari.load_dataset(ID).total_episodes == 29


def test_another_description_is_another_import(table, tmp_path):
    file = write(table, tmp_path)
    import_table(file, ID, description="of the north")
    import_table(file, ID, description="of the north")
    with pytest.raises(UserError, match="exists already"):
        import_table(file, ID, description="of the south")
    dataset = import_table(file, ID, description="of the south", force=True).load()
    assert dataset.storage.metadata["description"] == "of the south"


def test_checking_writes_nothing(table, tmp_path, empty_store):
    facts = import_table(write(table, tmp_path), ID, check_only=True)
    assert facts.dataset_ids == ()
    assert facts.facts[0]["rows_read"] == len(table)
    assert [f.name for f in empty_store.rglob("*") if f.is_file()] == [".own-v0.lock"]


def test_an_interrupted_import_goes_on_where_it_was(table, tmp_path, empty_store, monkeypatch):
    monkeypatch.setattr(partition, "ROWS", 50)
    file = write(table, tmp_path)
    whole = content_of(import_table(file, "tests/whole-v0").load())

    def stop(after):
        def progress(what, done, total):
            if what == after[0] and done > after[1]:
                raise KeyboardInterrupt

        return progress

    read = []
    original = table_import.checking.reader.Reader.read
    monkeypatch.setattr(
        table_import.checking.reader.Reader, "read", lambda self, b: read.append(1) or original(self, b)
    )
    for after in (("checking", 3), ("writing", 2), ("writing", 4)):
        with pytest.raises(KeyboardInterrupt):
            import_table(file, ID, progress=stop(after))
        assert not (empty_store / ID).exists()
    written = []
    add = table_import.writing.Draft.add
    monkeypatch.setattr(table_import.writing.Draft, "add", lambda self, part: written.append(1) or add(self, part))
    dataset = import_table(file, ID).load()
    assert len(read) == 1, "the table is not read again"
    assert len(written) < 7, "whole files are not written again"
    assert content_of(dataset) == whole
    assert sorted(p.name for p in (empty_store / "tests").iterdir() if not p.name.endswith(".lock")) == [
        "namespace_metadata.json", "own-v0", "whole-v0",
    ]  # fmt: skip
    assert not (empty_store / ID / "description").exists()


def test_another_table_does_not_go_on_from_this_one(table, tmp_path, empty_store, monkeypatch):
    monkeypatch.setattr(partition, "ROWS", 100)

    def stop(what, done, total):
        if what == "checking":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_table(write(table, tmp_path), ID, progress=stop)
    assert len(list((empty_store / "tests").glob(".own-v0.building-*"))) == 1
    table.loc[0, "total_paid"] += 1
    dataset = import_table(write(table, tmp_path), ID).load()
    assert not list((empty_store / "tests").glob(".own-v0.building-*"))
    assert table["total_paid"][0] in {e.observations[0, 6] for e in episodes_of(dataset)}


def test_a_table_that_changes_meanwhile_is_refused(table, tmp_path, empty_store):
    file = write(table, tmp_path)

    def change(what, done, total):
        if what == "reading":
            shutil.copy(file, tmp_path / "copy")
            shutil.copy(tmp_path / "copy", file)

    with pytest.raises(UserError, match="changed while it was being read"):
        import_table(file, ID, progress=change)
    assert not list(empty_store.rglob("*.arrow"))
