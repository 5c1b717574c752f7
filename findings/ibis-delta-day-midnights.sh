#!/usr/bin/env bash
# ibis 12.0.0 on DuckDB 2.0.1: `later.delta(earlier, unit="day")` counts the midnights between, not days of 24 hours:
# two hours over midnight are one day, 23 hours within one are none.
#
# Seen:      two hours over midnight 1, 23 hours of one day 0
# For us:    `frl weeks` turns stamps into days first, and days into weeks, so that nothing hangs on the hour.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ibis-framework[duckdb]==12.0.0' duckdb==2.0.1 pyarrow==26.0.1 sqlglot==30.30.0
cd "$work"
"$work/venv/bin/python" - <<'PYTHON'
import ibis

con = ibis.duckdb.connect()
con.raw_sql(
    "create table stays as select * from (values "
    "(timestamp '2026-01-01 23:00', timestamp '2026-01-02 01:00'), "
    "(timestamp '2026-01-03 00:30', timestamp '2026-01-03 23:30')) stays(earlier, later)"
)
stays = con.table("stays")
found = stays.order_by("earlier").select(days=stays.later.delta(stays.earlier, unit="day")).to_pyarrow()["days"].to_pylist()
print(f"two hours over midnight {found[0]}, 23 hours of one day {found[1]}")
raise SystemExit(0 if found == [1, 0] else 1)
PYTHON
