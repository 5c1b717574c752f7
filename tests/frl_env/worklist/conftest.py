"""Fixtures of the tests of worklists."""

import pytest
from worklist_members import member_table


@pytest.fixture
def table(tmp_path):
    file = tmp_path / "members.parquet"
    member_table().to_parquet(file)
    return file
