"""Two at once, a full disk, kill -9: a dataset is whole or absent; an older one stays until the new one is whole."""

import multiprocessing
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import minari
import numpy as np
import pyarrow as pa
import pytest

from frl_env.datasets import (
    ImportOptions,
    Recipe,
    build_dataset,
    dataset_place,
    export_table,
    import_table,
    store,
    verify_dataset,
)
from frl_env.datasets.placing import has_dataset
from frl_env.datasets.table_import.checking import partition
from frl_env.errors import UserError

ID = "tests/own-v0"
CONTEXT = multiprocessing.get_context("fork")
RECIPE = Recipe(dataset_id=ID, description="", members=12, seed=3, horizon=6, shard=5)


@pytest.fixture
def tables(table, tmp_path, empty_store, monkeypatch) -> tuple[Path, Path]:
    """An older and a newer table, large enough for several files of rows."""
    monkeypatch.setattr(partition, "ROWS", 120)
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 100)
    files = tmp_path / "old.parquet", tmp_path / "new.parquet"
    table[table["member_id"] < 1003].to_parquet(files[0])
    table[table["member_id"] < 1025].to_parquet(files[1])
    return files


def _import(file: Path) -> None:
    import_table(file, ID, force=True)


def _build() -> None:
    build_dataset(RECIPE, force=True)


def _in_child(work: Callable[[], None], before: Callable[[], None] = lambda: None) -> multiprocessing.Process:
    """Starts something in a process of its own; exit status 2 for an error meant for people, as the command has it."""

    def run() -> None:
        before()
        try:
            work()
        except UserError as problem:
            print(problem, file=sys.stderr)
            os._exit(2)
        os._exit(0)

    process = CONTEXT.Process(target=run)
    process.start()
    return process


def _kill_at(number: int) -> Callable[[], None]:
    """Has the process kill itself at its n-th operation on files, whatever that is."""

    def watch() -> None:
        left = [number]
        watched = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "shutil.rmtree"}

        def hook(event: str, arguments: tuple) -> None:
            if event in watched:
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return watch


def _episodes() -> int | None:
    """Episodes of the dataset, every one of them read and every file compared; None where there is none."""
    if not has_dataset(ID):
        return None
    dataset = minari.load_dataset(ID)
    assert verify_dataset(dataset)
    assert sum(len(episode) for episode in dataset.iterate_episodes()) == dataset.total_steps
    return dataset.total_episodes


def _only_whole_files(empty_store: Path) -> None:
    names = {f.name for f in (empty_store / "tests").iterdir() if not f.name.endswith(".lock")}
    assert names <= {"own-v0", "namespace_metadata.json"}, names


def _operations(work: Callable[[], None]) -> int:
    """How many operations on files it takes: the first that is too late to be killed at."""
    least, most = 1, 1 << 12
    while most - least > most // 8:
        middle = (least + most) // 2
        process = _in_child(work, _kill_at(middle))
        process.join()
        least, most = (middle, most) if process.exitcode else (least, middle)
    return most


def _kill_everywhere(work: Callable[[], None], moments: int, old: int | None, new: int) -> None:
    """Kills at moments spread over the whole work; what was there stays, or what is new is whole."""
    last = _operations(work)
    rng = np.random.default_rng(0)
    killed = 0
    for moment in sorted(rng.choice(np.arange(1, last), size=moments, replace=False).tolist()):
        if old is None and has_dataset(ID):
            store.delete_dataset(ID)
        process = _in_child(work, _kill_at(moment))
        process.join()
        assert process.exitcode in (0, -signal.SIGKILL)
        killed += process.exitcode != 0
        assert _episodes() in (old, new), moment
    assert killed >= moments // 3  # what was kept of a killed one shortens the next


MOMENTS = [5, pytest.param(20, marks=pytest.mark.slow)]


@pytest.mark.long
@pytest.mark.parametrize("moments", MOMENTS)
def test_a_killed_import_is_whole_or_absent(moments, tables, empty_store):
    _kill_everywhere(lambda: _import(tables[1]), moments, None, 25)
    _import(tables[1])
    assert _episodes() == 25
    _only_whole_files(empty_store)


@pytest.mark.long
@pytest.mark.parametrize("moments", MOMENTS)
def test_an_older_import_stays_until_the_new_one_is_whole(moments, tables, empty_store):
    _import(tables[0])
    assert _episodes() == 3
    _kill_everywhere(lambda: _import(tables[1]), moments, 3, 25)
    _import(tables[1])
    assert _episodes() == 25
    _only_whole_files(empty_store)


@pytest.mark.long
@pytest.mark.parametrize("moments", MOMENTS)
def test_a_killed_build_is_whole_or_absent(moments, tables, empty_store):
    _kill_everywhere(_build, moments, None, 12)
    _build()
    assert _episodes() == 12
    _only_whole_files(empty_store)


@pytest.mark.slow
@pytest.mark.parametrize("work", ["import", "build"])
def test_killed_at_twenty_random_times(work, tables, empty_store):
    """The same by the clock: also inside what HDF5 and Arrow do without telling Python."""

    def run() -> None:
        _import(tables[1]) if work == "import" else _build()

    started = time.perf_counter()
    _in_child(run).join()
    whole = time.perf_counter() - started
    expected = _episodes()
    rng = np.random.default_rng(1)
    for _ in range(20):
        process = _in_child(run)
        time.sleep(rng.uniform(0, whole))
        if process.pid is not None and process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert _episodes() == expected
    run()
    assert _episodes() == expected
    _only_whole_files(empty_store)


def test_a_kill_between_two_renames_loses_nothing(tables, empty_store):
    _import(tables[0])
    place = dataset_place(ID)
    place.rename(place.parent / f".{place.name}.retired")
    assert _episodes() == 3
    _only_whole_files(empty_store)


def _few_bytes(most: int) -> Callable[[], None]:
    """No file may grow beyond this, as on a disk that is full."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


@pytest.mark.parametrize("most", [200, 3_000, 30_000])
def test_a_full_disk_leaves_nothing_and_what_was_there(most, tables, empty_store, capfd):
    process = _in_child(lambda: _import(tables[1]), _few_bytes(most))
    process.join()
    assert process.exitcode == 2
    assert "can't" in capfd.readouterr().err
    assert _episodes() is None
    _import(tables[0])
    process = _in_child(lambda: _import(tables[1]), _few_bytes(most))
    process.join()
    assert process.exitcode == 2
    assert _episodes() == 3
    _only_whole_files(empty_store)


def test_a_full_disk_while_exporting(tables, tmp_path):
    _import(tables[1])
    target = tmp_path / "out" / "out.parquet"
    target.parent.mkdir()
    process = _in_child(lambda: export_table(minari.load_dataset(ID), target) and None, _few_bytes(2_000))
    process.join()
    assert process.exitcode == 2
    assert list(target.parent.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_no_space_is_said_by_its_name(tables, empty_store, monkeypatch):
    """Arrow's own words, and its file's name, are not quoted."""

    def full(self, recorded):
        with pa.OSFile("/dev/full", "wb") as sink:  # `write_table` would remove the device
            sink.write(b"1")

    monkeypatch.setattr("frl_env.datasets.table_import.writing.Draft.add", full)
    with pytest.raises(UserError) as problem:
        _import(tables[1])
    assert str(problem.value) == (
        "can't write dataset 'tests/own-v0': No space left on device; free space, or set MINARI_DATASETS_PATH"
    )
    _only_whole_files(empty_store)


def test_two_of_the_same_at_once_both_end_well(tables, empty_store):
    processes = [_in_child(lambda: import_table(tables[1], ID) and None) for _ in range(2)]
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert _episodes() == 25
    _only_whole_files(empty_store)


def test_of_two_tables_at_once_one_wins(tables, empty_store, capfd):
    processes = [_in_child(lambda file=file: import_table(file, ID) and None) for file in tables]
    for process in processes:
        process.join()
    codes = [process.exitcode for process in processes]
    assert sorted(codes) == [0, 2]
    assert "exists already" in capfd.readouterr().err
    assert _episodes() == (3, 25)[codes.index(0)]


@pytest.mark.long
def test_members_of_an_interrupted_split_are_split_alike(tables, empty_store):
    """Killed between the two datasets of a split, the same import makes the other one as it would have been."""
    options = ImportOptions(validation_share=0.4)

    def work() -> None:
        import_table(tables[1], ID, options=options)

    last = _operations(work)
    whole = {
        name: minari.load_dataset(name).storage.metadata["frl_content_sha256"] for name in minari.list_local_datasets()
    }
    assert len(whole) == 2
    for moment in range(last // 4, last // 2 + last // 4, max(last // 12, 1)):
        for name in list(minari.list_local_datasets()):
            store.delete_dataset(name)
        process = _in_child(work, _kill_at(moment))
        process.join()
        work()
        for name, content in whole.items():
            assert minari.load_dataset(name).storage.metadata["frl_content_sha256"] == content
