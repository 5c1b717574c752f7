#!/usr/bin/env bash
# pyarrow 26.0.1: `parquet.write_table` of a table with a type that Parquet does not have raises an error before it has
# written anything, and removes the file that was there. `csv.write_csv` leaves it there, with nothing in it.
#
# Seen:      ArrowNotImplementedError, last week's file is gone; ArrowInvalid, last week's file has 0 bytes
# For us:    every table is written aside and renamed when it is whole (`frl_env/files/atomic.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

last_week = pa.table({"visits": [1, 2, 3]})
either = pa.UnionArray.from_sparse(pa.array([0, 1], pa.int8()), [pa.array([1, 2]), pa.array(["none", "one"])])
today = pa.table({"visits": either})
seen = []
for write, name in ((parquet.write_table, "visits.parquet"), (csv.write_csv, "visits.csv")):
    write(last_week, name)
    try:
        write(today, name)
        told = "written"
    except pa.ArrowException as problem:
        told = type(problem).__name__
    file = Path(name)
    seen.append((told, f"has {file.stat().st_size} bytes" if file.exists() else "is gone"))
print("; ".join(f"{told}, last week's file {what}" for told, what in seen))
raise SystemExit(0 if seen == [("ArrowNotImplementedError", "is gone"), ("ArrowInvalid", "has 0 bytes")] else 1)
PYTHON
