"""After every step, whatever ended it: a dataset is whole, absent or named as damaged, and partners match."""

import os
import resource
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import nullcontext, suppress
from pathlib import Path

import minari
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from stores import BUILT, ID, PARTNER, RECIPE, SPLIT, WHOLE, flip, in_child, members_of, two_tables

from frl_env.datasets import (
    build_dataset,
    check_partners,
    dataset_place,
    delete_dataset,
    import_table,
    open_dataset,
    placing,
    store,
    stored_datasets,
)
from frl_env.errors import UserError
from frl_env.files import atomic


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
        assert in_child(self._work(kind, number, force), _kill_at(moment)) in (0, 2, -signal.SIGKILL)
        self._forget_repaired()

    @rule(kind=kinds, number=st.integers(0, 1), most=st.sampled_from([100, 3_000, 20_000]))
    def fill_the_disk(self, kind, number, most):
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))  # noqa: E731
        assert in_child(self._work(kind, number, True), limit) in (0, 2)
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
            flip(kept[which % len(kept)], where)
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
            assert not members_of(ID) & members_of(PARTNER)


def _run(table, folder, monkeypatch, examples: int, steps: int) -> None:
    monkeypatch.setattr(store, "REFERENCE_MEMBERS", 50)
    StoreMachine.files = two_tables(table, folder)
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
