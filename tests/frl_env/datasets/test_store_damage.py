"""Files of a dataset that were changed or lost: every reader says so, and the same import repairs them."""

import os

import h5py
import minari
import pytest
from stores import BUILT, ID, RECIPE, WHOLE, flip

from frl_env.datasets import (
    build_dataset,
    dataset_place,
    delete_dataset,
    ensure_dataset,
    export_table,
    import_table,
    open_dataset,
)
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.files import integrity
from frl_env.files.integrity import MEMORY
from frl_env.members import open_members


@pytest.mark.parametrize("file", ["flat/rewards.npy", "main_data.hdf5", "metadata.json"])
def test_the_same_import_repairs_what_was_damaged(file, files):
    import_table(files[0], ID)
    damaged = dataset_place(ID) / "data" / file
    whole = damaged.read_bytes()
    if file == "metadata.json":
        damaged.write_bytes(b"")
    else:
        flip(damaged)
    with pytest.raises(UserError, match=r"is damaged.*import it again"):
        open_dataset(ID)
    import_table(files[0], ID)
    assert damaged.read_bytes() == whole
    open_dataset(ID)


def test_another_import_does_not_replace_one_whose_metadata_are_damaged(files):
    import_table(files[0], ID)
    (dataset_place(ID) / "data/metadata.json").write_bytes(b"")
    with pytest.raises(UserError, match=r"metadata can't be read, and its files are not those of this import"):
        import_table(files[1], ID)
    with pytest.raises(UserError, match=r"nothing says that .* is one"):
        delete_dataset(ID)
    import_table(files[1], ID, force=True)
    assert open_dataset(ID).total_episodes == 24


def test_damaged_data_are_not_used(files, tmp_path):
    """One bit of a stored reward makes it positive; every reader says so."""
    build_dataset(RECIPE)
    dataset = minari.load_dataset(BUILT)
    with h5py.File(dataset_place(BUILT) / "data/main_data.hdf5", "r+") as target:
        target["episode_0/rewards"][0] = 2.0
    for read in (
        lambda: open_dataset(BUILT),
        lambda: ensure_dataset(BUILT),
        lambda: load_episodes(dataset),
        lambda: export_table(dataset, tmp_path / "out.parquet"),
        lambda: open_members(BUILT).__enter__(),
    ):
        with pytest.raises(UserError, match=r"is damaged: main_data.hdf5 was changed since it was written"):
            read()
    assert not (tmp_path / "out.parquet").exists()


def test_impossible_numbers_are_found_without_checksums(files, monkeypatch):
    build_dataset(RECIPE)
    with h5py.File(dataset_place(BUILT) / "data/main_data.hdf5", "r+") as target:
        target["episode_0/rewards"][0] = 2.0
    monkeypatch.setattr("frl_env.files.integrity.KEY", "none")
    with pytest.raises(UserError, match=r"1 of its rewards lie outside what is possible"):
        load_episodes(minari.load_dataset(BUILT))


def test_what_was_compared_is_not_read_again_until_it_is_touched(files, monkeypatch):
    monkeypatch.setattr("frl_env.files.integrity.RECENT", -1.0)
    import_table(files[0], ID)
    read = []
    original = integrity.sha256
    monkeypatch.setattr("frl_env.files.integrity.sha256", lambda file: read.append(file.name) or original(file))
    open_dataset(ID)
    assert len(read) == 10
    open_dataset(ID)
    assert len(read) == 10
    file = dataset_place(ID) / "data/main_data.hdf5"
    times = file.stat()
    flip(file)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))  # as if it had not been touched
    with pytest.raises(UserError, match=r"main_data.hdf5 was changed"):
        open_dataset(ID)
    (dataset_place(ID) / MEMORY).write_text("{")
    with pytest.raises(UserError, match=r"main_data.hdf5 was changed"):
        open_dataset(ID)


def test_identifiers_that_are_gone_are_missed(files, tmp_path):
    dataset = import_table(files[0], ID, options=WHOLE).load()
    (dataset_place(ID) / "data/member_ids.parquet").unlink()
    with pytest.raises(UserError, match=r"member_ids.parquet is missing"):
        export_table(dataset, tmp_path / "out.csv")


def test_a_file_that_is_there_is_not_replaced_unasked(files, tmp_path):
    dataset = build_dataset(RECIPE)
    target = tmp_path / "members.csv"
    target.write_text("mine")
    with pytest.raises(UserError, match=r"members.csv exists already; choose another name, or add --force"):
        export_table(dataset, target)
    assert target.read_text() == "mine"
    export_table(dataset, target, force=True)
    assert target.read_text().startswith('"member_id"')
