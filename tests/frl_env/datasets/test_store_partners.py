"""Training and validation data of one import: replaced as one, and refused where they are not of one split."""

import errno
import os
import signal
from pathlib import Path

import pytest
from stores import BUILT, ID, PARTNER, RECIPE, SPLIT, WHOLE, facts_of, in_child, members_of

from frl_env.datasets import (
    ImportOptions,
    Recipe,
    build_dataset,
    check_partners,
    dataset_place,
    import_table,
    open_dataset,
)
from frl_env.errors import UserError
from frl_env.files import atomic


def test_a_partner_of_another_import_is_refused(files):
    """Imported in two, then anew as a whole: the validation members of before are among those trained on now."""
    import_table(files[0], ID, options=SPLIT)
    check_partners(open_dataset(ID), open_dataset(PARTNER))
    again = import_table(files[0], ID, options=WHOLE, force=True)
    assert again.left_alone == PARTNER
    assert members_of(ID) & members_of(PARTNER), "this is what must not be validated on"
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
    old = facts_of(ID)["made_of"]
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

    status = in_child(
        lambda: import_table(files[1], ID, options=SPLIT, force=True), lambda: kill_after(numbers[moment])
    )
    assert status == (0 if moment == "after" else -signal.SIGKILL)
    assert {facts_of(ID)["made_of"] != old, facts_of(PARTNER)["made_of"] != old} == {True}, "begun renames are finished"
    check_partners(open_dataset(ID), open_dataset(PARTNER))
    assert not members_of(ID) & members_of(PARTNER)
    names = {file.name for file in dataset_place(ID).parent.iterdir() if not file.name.endswith(".lock")}
    assert names == {"own-v0", "own-validation-v0", "namespace_metadata.json"}


def test_a_rename_that_fails_changes_nothing(files, monkeypatch):
    import_table(files[0], ID, options=SPLIT)
    old, rename = facts_of(ID)["made_of"], Path.rename

    def fail(self: Path, target: Path) -> Path:
        if self.name.startswith(".own-validation-v0.building"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return rename(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", fail)
        with pytest.raises(UserError, match=r"No space left on device"):
            import_table(files[1], ID, options=SPLIT, force=True)
    assert (facts_of(ID)["made_of"], facts_of(PARTNER)["made_of"]) == (old, old)
    assert not list(dataset_place(ID).parent.glob(".*.building-*"))


def test_a_training_part_without_rows_leaves_the_old_pair(files):
    import_table(files[0], ID, options=SPLIT)
    old = facts_of(PARTNER)["made_of"]
    with pytest.raises(UserError, match=r"no row of the table can be used"):
        import_table(files[1], ID, options=ImportOptions(validation_share=1 - 1e-9), force=True)
    assert (facts_of(ID)["made_of"], facts_of(PARTNER)["made_of"]) == (old, old)
