#!/usr/bin/env bash
# ibis 12.0.0 on DuckDB 2.0.1: `(days / 7).cast("int64")` rounds, where NumPy, pandas and Spark cut off, so that from
# the fifth day of a week on a day counts for the next one. `days // 7` is the week.
#
# Seen:      days 3, 4, 10, 11: cast 0, 1, 1, 2; floor 0, 0, 1, 1
# For us:    `frl weeks` divides by `//` (`frl_env/events_to_weeks/facts/coverage.py`).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ibis-framework[duckdb]==12.0.0' duckdb==2.0.1 pyarrow==26.0.1 sqlglot==30.30.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import ibis

con = ibis.duckdb.connect()
con.raw_sql("create table days as select unnest([3, 4, 10, 11]) as day")
days = con.table("days")
rows = days.select("day", cast=(days.day / 7).cast("int64"), floor=days.day // 7).order_by("day").to_pyarrow().to_pylist()
cast, floor = [row["cast"] for row in rows], [row["floor"] for row in rows]
print(f"days 3, 4, 10, 11: cast {cast}; floor {floor}")
raise SystemExit(0 if (cast, floor) == ([0, 1, 1, 2], [0, 0, 1, 1]) else 1)
PYTHON
