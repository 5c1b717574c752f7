"""Packages of a commit, whole or not at all."""

import pytest

from benchmarks.result_records.checkout import checked_out
from frl_env.errors import UserError


def test_packages_of_no_commit_are_refused(tmp_path):
    with pytest.raises(UserError, match="can't take the packages of commit 'no-such-commit'"):
        checked_out("no-such-commit", tmp_path / "before")
    assert not list(tmp_path.iterdir())
