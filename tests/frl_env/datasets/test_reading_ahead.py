"""A table of many small groups of rows is not read into memory at once, however slow its reader."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from frl_env.datasets.table_import.table_files.source import open_table


def test_few_groups_of_rows_are_in_memory_at_once(tmp_path):
    rng = np.random.default_rng(0)
    table = pa.table({name: rng.random(500_000) for name in "abcd"})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=5_000)
    before, most, rows = pa.total_allocated_bytes(), 0, 0
    for batch in open_table(tmp_path / "rows.parquet").batches(["a", "b", "c", "d"]):
        rows += len(batch)
        time.sleep(0.005)
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == len(table)
    assert most < table.nbytes / 4
