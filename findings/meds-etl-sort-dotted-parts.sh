#!/usr/bin/env bash
# meds_etl 0.3.11: `meds_etl_sort`, which makes a MEDS dataset of unsorted files, names its pieces by what stands before
# the *first* point of a file's name. Dask names the parts of a table part.0.parquet, part.1.parquet: all become `part`,
# so that of members who are in several parts only the part written last is left. No error, no warning.
#
# Seen:      9 events of three months, a part each, as Dask names them: 3 events of one month
#            the same files as part-0, part-1, part-2: 9 events of three months
# Read:      `process_file` in meds_etl/unsorted.py
# For us:    `frl weeks` reads every file of a folder, whatever points its name has
#            (tests/frl_env/events_to_weeks/test_member_weeks_inputs.py).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check meds_etl==0.3.11 meds==0.3.3 polars==2.1.0 \
  pyarrow==26.0.1 numpy==2.4.6 pandas==3.1.1 'dask[dataframe]==2026.8.0'
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import json
import subprocess
import sys
from pathlib import Path

import dask.dataframe
import pandas as pd
import polars as pl

events = pd.DataFrame(
    [(member, pd.Timestamp(2024, month, 1), "VISIT", 1.0) for month in (1, 2, 3) for member in (1, 2, 3)],
    columns=["subject_id", "time", "code", "numeric_value"],
).astype({"time": "datetime64[us]", "numeric_value": "float32"})


def sort(name, renamed):
    """Events and months that are left."""
    source, target = Path(name), Path(f"{name}-sorted")
    dask.dataframe.from_pandas(events, npartitions=3).to_parquet(source / "unsorted_data", write_index=False)
    parts = sorted((source / "unsorted_data").glob("part.*.parquet"))
    if len(parts) != 3:
        raise SystemExit(f"Dask wrote {parts}")
    for part in parts:
        part.rename(part.with_name(renamed(part.name)))
    (source / "metadata").mkdir()
    (source / "metadata" / "dataset.json").write_text(json.dumps({}))
    done = subprocess.run(
        [Path(sys.executable).with_name("meds_etl_sort"), source, target], check=True, capture_output=True, text=True
    )
    if "overwrit" in (done.stdout + done.stderr).lower():
        raise SystemExit("it says so")
    left = pl.read_parquet(target / "data" / "*.parquet")
    return left.height, left["time"].n_unique()


dotted = sort("dotted", lambda name: name)
dashed = sort("dashed", lambda name: name.replace("part.", "part-"))
print(f"{len(events)} events of three months; as Dask names the parts: {dotted[0]} events of {dotted[1]} month")
print(f"the same files with dashes: {dashed[0]} events of {dashed[1]} months")
raise SystemExit(0 if (dotted, dashed) == ((3, 1), (9, 3)) else 1)
PYTHON
