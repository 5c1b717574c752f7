import numpy as np
import pandas as pd
import pytest

from benchmarks.speed import importing as import_rows
from frl_env.datasets import import_table


@pytest.fixture(autouse=True)
def _few(monkeypatch, empty_store):
    monkeypatch.setattr(import_rows, "SIMULATED", 20)


@pytest.mark.parametrize("order", import_rows.ORDERS)
def test_the_table_is_what_it_says(order, tmp_path):
    members = import_rows.write_rows(tmp_path / "t.parquet", 5_000, order)
    table = pd.read_parquet(tmp_path / "t.parquet")
    assert len(table) == 5_000
    assert table["member_id"].nunique() == members
    together = (table["member_id"] == table["member_id"].shift()).mean()
    assert together > 0.9 if order == "member" else together == 0
    dataset = import_table(tmp_path / "t.parquet", import_rows.DATASET).load()
    assert dataset.storage.metadata["frl_import"]["rows_left_out"] == 0
    assert dataset.total_steps > 4_500


def test_both_orders_hold_the_same_members(tmp_path):
    tables = []
    for order in import_rows.ORDERS:
        import_rows.write_rows(tmp_path / "t.parquet", 20 * 52, order)
        table = pd.read_parquet(tmp_path / "t.parquet")
        tables.append(table.sort_values(["member_id", "week"], ignore_index=True))
    counts = [np.sort(table.groupby("member_id").size()) for table in tables]
    assert counts[0].sum() == counts[1].sum() == 20 * 52


@pytest.mark.slow
def test_the_command_prints_time_and_memory(tmp_path, capsys):
    import_rows.main(["--rows", "3000", "--folder", str(tmp_path)])
    out = capsys.readouterr().out
    for word in ("pandas.read_parquet", "frl import", "load_replay_buffer", "peak MB"):
        assert word in out
    assert [f.name for f in tmp_path.iterdir() if f.name != "store"] == []


@pytest.mark.slow
def test_the_packages_of_a_commit_import_the_same_file(tmp_path, capfd):
    import_rows.main(["--rows", "3000", "--folder", str(tmp_path), "--before", "HEAD"])
    out = capfd.readouterr().out
    assert "frl import, as of HEAD" in out
    assert "times as fast as at HEAD" in out
    assert not list(tmp_path.glob("before*"))
