#!/usr/bin/env bash
# pyarrow 26.0.1 reads the values of hive folders as numbers where they look like ones, so that the county code 01003
# (a FIPS code, of Alabama) becomes 1003, which is no county. Naming the type keeps it.
#
# Seen:      discovered int32 1003, named string 01003
# For us:    `frl import` takes no column from the names of folders; a code has to stand in the files, where its type is known.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==26.0.1
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import pathlib

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

folder = pathlib.Path("members/county=01003")
folder.mkdir(parents=True)
pq.write_table(pa.table({"events": [1]}), folder / "0.parquet")
found = ds.dataset("members", partitioning="hive").to_table()
named = ds.dataset("members", partitioning=ds.partitioning(pa.schema([("county", pa.string())]), flavor="hive")).to_table()
kind, value, kept = found.schema.field("county").type, found["county"][0].as_py(), named["county"][0].as_py()
print(f"discovered {kind} {value}, named string {kept}")
raise SystemExit(0 if (str(kind), value, kept) == ("int32", 1003, "01003") else 1)
PYTHON
