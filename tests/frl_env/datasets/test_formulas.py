"""Names that a spreadsheet would compute: shown as they are, and imported as they were."""

import csv

import pandas as pd
import pytest

from frl_env.datasets import export_table, import_table
from frl_env.files.spreadsheets import plain_cell, plain_cells

NAMES = ['=HYPERLINK("http://a")', "+cmd|' /C calc'!A0", "-2+3", "@SUM(1)", "'=quoted", "plain", "65+"]


@pytest.mark.parametrize("name", NAMES[:5])
def test_a_cell_never_begins_like_a_formula(name):
    assert plain_cell(name) == f"'{name}"
    assert plain_cell(plain_cell(name)) == f"''{name}"


def test_other_cells_stay(tmp_path):
    assert [plain_cell(cell) for cell in ("plain", "65+", -2.5, None, "'tis")] == ["plain", "65+", -2.5, None, "'tis"]
    table = plain_cells(pd.DataFrame({"=group": ["=a", "b"], "n": [-1, 2]}))
    assert table.to_csv(index=False).splitlines() == ["=group,n", "'=a,-1", "b,2"]


def test_groups_out_and_in_again(table, tmp_path, empty_store):
    table["gender"] = [NAMES[i % len(NAMES)] for i in table["member_id"]]
    table.to_parquet(tmp_path / "in.parquet")
    first = import_table(tmp_path / "in.parquet", "tests/first-v0").load()
    export_table(first, tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="") as source:
        cells = {row["gender"] for row in csv.DictReader(source)}
    assert cells == {plain_cell(name) for name in NAMES}
    again = import_table(tmp_path / "out.csv", "tests/again-v0").load()
    for dataset in (first, again):
        assert set(dataset.storage.metadata["frl_vocabularies"]["gender"]) == set(NAMES)
