"""After every step, whatever ended it: a dataset is whole, absent or named as damaged, and partners match."""

import errno
import multiprocessing
import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import h5py
import minari
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from frl_env.datasets import (
    ImportOptions,
    Recipe,
    build_dataset,
    check_partners,
    dataset_place,
    delete_dataset,
    ensure_dataset,
    export_table,
    import_table,
    open_dataset,
    placing,
    store,
    stored_datasets,
)
from frl_env.errors import UserError
from frl_env.evaluation import load_episodes
from frl_env.files import atomic, integrity
from frl_env.files.integrity import MEMORY
from frl_env.members import open_members

ID, PARTNER, BUILT = "tests/own-v0", "tests/own-validation-v0", "tests/built-v0"
SPLIT = ImportOptions(validation_share=0.4, keep_identifiers=True)
WHOLE = ImportOptions(keep_identifiers=True)
RECIPE = Recipe(dataset_id=BUILT, description="", members=6, seed=3, horizon=4)
CONTEXT = multiprocessing.get_context("fork")


@pytest.fixture
def files(table, tmp_path, empty_store, monkeypatch) -> list[Path]:
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 100)
    return _files(table, tmp_path)


def _files(table: pd.DataFrame, folder: Path) -> list[Path]:
    """Two tables that share members."""
    made = [folder / "old.parquet", folder / "new.parquet"]
    table[table["member_id"] < 1016].to_parquet(made[0])
    table[table["member_id"] >= 1006].to_parquet(made[1])
    return made


def _members(dataset_id: str) -> set[int]:
    return set(pd.read_parquet(dataset_place(dataset_id) / "data/member_ids.parquet")["member_id"])


def _facts(dataset_id: str) -> dict:
    return open_dataset(dataset_id).storage.metadata["frl_import"]


def _flip(file: Path, where: float = 0.5) -> None:
    content = bytearray(file.read_bytes())
    content[int(where * (len(content) - 1))] ^= 1
    file.write_bytes(content)


def _in_child(work: Callable[[], object], before: Callable[[], object] = lambda: None) -> int:
    """Exit status of something in a process of its own; 2 for an error meant for people."""

    def run() -> None:
        sys.stderr = sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - until the process ends
        before()
        try:
            work()
        except UserError:
            os._exit(2)
        os._exit(0)

    process = CONTEXT.Process(target=run)
    process.start()
    process.join()
    return process.exitcode or 0


def _kill_at(number: int) -> Callable[[], None]:
    """Has the process kill itself at its n-th operation on files."""

    def watch() -> None:
        left = [number]

        def hook(event: str, arguments: tuple) -> None:
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"):
                left[0] -= 1
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(hook)

    return watch


def test_a_partner_of_another_import_is_refused(files):
    """Imported in two, then anew as a whole: the validation members of before are among those trained on now."""
    import_table(files[0], ID, options=SPLIT)
    check_partners(open_dataset(ID), open_dataset(PARTNER))
    again = import_table(files[0], ID, options=WHOLE, force=True)
    assert again.left_alone == PARTNER
    assert _members(ID) & _members(PARTNER), "this is what must not be validated on"
    with pytest.raises(UserError, match=r"are not of one split.*again with --validation-share and --force"):
        check_partners(open_dataset(ID), open_dataset(PARTNER))
    import_table(files[0], ID, options=SPLIT, force=True)
    check_partners(open_dataset(ID), open_dataset(PARTNER))


def test_one_table_imported_twice_is_no_validation(files):
    import_table(files[0], ID)
    import_table(files[0], "tests/other-v0", options=WHOLE)
    with pytest.raises(UserError, match=r"are not of one split"):
        check_partners(open_dataset(ID), open_dataset("tests/other-v0"))
    import_table(files[1], "tests/third-v0")
    check_partners(open_dataset(ID), open_dataset("tests/third-v0"))
    with pytest.raises(UserError, match=r"the validation data are the training data"):
        check_partners(open_dataset(ID), open_dataset(ID))


def test_simulated_members_of_one_seed_are_no_validation(files):
    build_dataset(RECIPE)
    build_dataset(Recipe(**(vars(RECIPE) | {"dataset_id": "tests/same-v0", "horizon": 3})))
    build_dataset(Recipe(**(vars(RECIPE) | {"dataset_id": "tests/others-v0", "seed": 4})))
    with pytest.raises(UserError, match=r"hold the same simulated members"):
        check_partners(open_dataset(BUILT), open_dataset("tests/same-v0"))
    check_partners(open_dataset(BUILT), open_dataset("tests/others-v0"))


@pytest.mark.parametrize("moment", ["before", "first", "between", "last", "after"])
def test_two_datasets_are_replaced_as_one(moment, files, monkeypatch):
    """Killed at any of the renames that give both their names."""
    import_table(files[0], ID, options=SPLIT)
    old = _facts(ID)["made_of"]
    numbers = {"before": 0, "first": 1, "between": 2, "last": 3, "after": 4}

    def kill_after(count: int) -> None:
        rename, done = Path.rename, [0]

        def counted(self: Path, target: Path) -> Path:
            if (self.parent / f".own-v0.{atomic.JOURNAL}").exists():
                if done[0] == count:
                    os.kill(os.getpid(), signal.SIGKILL)
                done[0] += 1
            return rename(self, target)

        Path.rename = counted

    status = _in_child(
        lambda: import_table(files[1], ID, options=SPLIT, force=True), lambda: kill_after(numbers[moment])
    )
    assert status == (0 if moment == "after" else -signal.SIGKILL)
    assert {_facts(ID)["made_of"] != old, _facts(PARTNER)["made_of"] != old} == {True}, "begun renames are finished"
    check_partners(open_dataset(ID), open_dataset(PARTNER))
    assert not _members(ID) & _members(PARTNER)
    names = {file.name for file in dataset_place(ID).parent.iterdir() if not file.name.endswith(".lock")}
    assert names == {"own-v0", "own-validation-v0", "namespace_metadata.json"}


def test_a_rename_that_fails_changes_nothing(files, monkeypatch):
    import_table(files[0], ID, options=SPLIT)
    old, rename = _facts(ID)["made_of"], Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".own-validation-v0.building"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(UserError, match=r"No space left on device"):
            import_table(files[1], ID, options=SPLIT, force=True)
    assert (_facts(ID)["made_of"], _facts(PARTNER)["made_of"]) == (old, old)
    assert not list(dataset_place(ID).parent.glob(".*.building-*"))


def test_a_training_part_without_rows_leaves_the_old_pair(files):
    import_table(files[0], ID, options=SPLIT)
    old = _facts(PARTNER)["made_of"]
    with pytest.raises(UserError, match=r"no row of the table can be used"):
        import_table(files[1], ID, options=ImportOptions(validation_share=1 - 1e-9), force=True)
    assert (_facts(ID)["made_of"], _facts(PARTNER)["made_of"]) == (old, old)


@pytest.mark.parametrize("file", ["flat/rewards.npy", "main_data.hdf5", "metadata.json"])
def test_the_same_import_repairs_what_was_damaged(file, files):
    import_table(files[0], ID)
    damaged = dataset_place(ID) / "data" / file
    whole = damaged.read_bytes()
    if file == "metadata.json":
        damaged.write_bytes(b"")
    else:
        _flip(damaged)
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
    _flip(file)
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


def _opened(dataset_id: str) -> tuple[minari.MinariDataset | None, str]:
    """A dataset, or why it can't be opened."""
    try:
        return open_dataset(dataset_id), ""
    except UserError as problem:
        return None, str(problem)


class StoreMachine(RuleBasedStateMachine):
    """Builds, imports, deletes, kills, fills the disk and flips bytes, and looks after each."""

    files: list[Path]

    def __init__(self) -> None:
        super().__init__()
        for dataset_id in list(stored_datasets()):
            place = dataset_place(dataset_id)
            shutil.rmtree(place)
        for left in dataset_place(ID).parent.glob(".*"):
            atomic.remove(left)
        self.damaged: set[str] = set()

    def _work(self, kind: str, number: int, force: bool) -> Callable[[], object]:
        if kind == "build":
            return lambda: build_dataset(RECIPE, force=force)
        options = SPLIT if kind == "split" else WHOLE
        return lambda: import_table(self.files[number], ID, options=options, force=force)

    kinds = st.sampled_from(["build", "whole", "split"])

    @rule(kind=kinds, number=st.integers(0, 1), force=st.booleans())
    def do(self, kind, number, force):
        with nullcontext() if force else suppress(UserError):
            self._work(kind, number, force)()
            self.damaged -= {BUILT} if kind == "build" else {ID} | ({PARTNER} if kind == "split" else set())

    @rule(kind=kinds, number=st.integers(0, 1), force=st.booleans(), moment=st.integers(1, 400))
    def kill(self, kind, number, force, moment):
        assert _in_child(self._work(kind, number, force), _kill_at(moment)) in (0, 2, -signal.SIGKILL)
        self._forget_repaired()

    @rule(kind=kinds, number=st.integers(0, 1), most=st.sampled_from([100, 3_000, 20_000]))
    def fill_the_disk(self, kind, number, most):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
        assert _in_child(self._work(kind, number, True), limit) in (0, 2)
        self._forget_repaired()

    @rule(dataset_id=st.sampled_from([ID, PARTNER, BUILT]))
    def delete(self, dataset_id):
        with suppress(UserError):
            delete_dataset(dataset_id)
            self.damaged.discard(dataset_id)

    @rule(dataset_id=st.sampled_from([ID, PARTNER, BUILT]), which=st.integers(0, 20), where=st.floats(0, 1))
    def damage(self, dataset_id, which, where):
        data = dataset_place(dataset_id) / "data"
        kept = sorted(file for file in data.rglob("*") if file.is_file() and file.name != "metadata.json")
        if kept:
            _flip(kept[which % len(kept)], where)
            self.damaged.add(dataset_id)

    def _forget_repaired(self) -> None:
        """What a child wrote anew is whole; only the store itself can tell."""
        for dataset_id in list(self.damaged):
            try:
                open_dataset(dataset_id)
            except UserError:
                continue
            self.damaged.discard(dataset_id)

    @invariant()
    def each_is_whole_absent_or_named_as_damaged(self):
        whole = {}
        for dataset_id in (ID, PARTNER, BUILT):
            dataset, said = _opened(dataset_id)
            if dataset is None:
                assert "unknown dataset" in said or ("is damaged" in said and dataset_id in self.damaged), said
                continue
            whole[dataset_id] = dataset
            assert sum(len(episode) for episode in dataset.iterate_episodes()) == dataset.total_steps
        assert set(minari.list_local_datasets()) == set(stored_datasets())
        if whole.keys() >= {ID, PARTNER}:
            try:
                check_partners(whole[ID], whole[PARTNER])
            except UserError:
                return
            assert not _members(ID) & _members(PARTNER)


def _run(table, folder, monkeypatch, examples: int, steps: int) -> None:
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 50)
    StoreMachine.files = _files(table, folder)
    run_state_machine_as_test(
        StoreMachine,
        settings=settings(
            max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck), print_blob=False,
        ),
    )  # fmt: skip


def test_a_store_after_any_steps(table, tmp_path, empty_store, monkeypatch):
    _run(table, tmp_path, monkeypatch, examples=3, steps=8)


@pytest.mark.slow
@pytest.mark.timeout(3_000)
def test_a_store_after_many_steps(table, tmp_path, empty_store, monkeypatch):
    _run(table, tmp_path, monkeypatch, examples=60, steps=30)


def test_who_waits_for_another_writer_is_told(empty_store, monkeypatch, caplog):
    monkeypatch.setattr(placing, "PATIENCE", 0.05)
    released = threading.Event()
    begun = threading.Event()

    def write() -> None:
        with placing.lock(BUILT):
            begun.set()
            released.wait(20)

    other = threading.Thread(target=write)
    other.start()
    begun.wait(20)
    threading.Timer(0.5, released.set).start()
    with placing.lock(BUILT):
        assert released.is_set()
    other.join()
    assert caplog.messages == [f"waiting for another process that is writing dataset '{BUILT}'"]
    assert caplog.records[0].levelname == "WARNING"  # which Python shows where nobody set up logging
